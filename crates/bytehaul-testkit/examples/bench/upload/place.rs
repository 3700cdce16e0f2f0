//! The servers that take the uploads: what each upload needs there, what came of it, and how it is thrown away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::uploads::{S3Server, TusServer, python};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Source, file_system};
use crate::files::sha256;

/// Where uploads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// The reference server of tus 1.0, on Node.
    Tus,
    /// Multipart uploads to SeaweedFS, by presigned URLs or by an S3 client.
    Presigned,
    /// One `PUT` to nginx.
    Put,
}

/// A server that runs while this lives.
#[derive(Debug)]
pub(crate) enum Place {
    Tus(TusServer),
    /// Each upload has a server of its own: SeaweedFS does not give back the room of what was deleted.
    S3 {
        server: Option<Box<S3Server>>,
        at_once: u32,
    },
    Put {
        nginx: Nginx,
        dir: PathBuf,
    },
}

/// One upload.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) file: PathBuf,
    /// Where to, or the endpoint of an S3 server.
    pub(crate) url: String,
    /// What the object is called.
    pub(crate) key: String,
    pub(crate) at_once: u32,
    /// A directory of its own, empty but for these two.
    pub(crate) scratch: PathBuf,
    /// The plan for a presigned upload, as JSON.
    pub(crate) plan: PathBuf,
    /// The same for those who know nothing of plans: offset, length and URL of each part.
    pub(crate) list: PathBuf,
    upload_id: String,
}

impl Place {
    pub(crate) fn open(target: Target, at_once: u32, scratch: &Path) -> Result<Self, String> {
        Ok(match target {
            Target::Tus => Self::Tus(TusServer::start().ok_or(NOT_INSTALLED)?),
            Target::Presigned => Self::S3 {
                server: None,
                at_once,
            },
            Target::Put => {
                let dir = scratch.join("objects");
                made_empty(&dir)?;
                let nginx = Nginx::start(&dir).ok_or("nginx is not installed")?;
                Self::Put { nginx, dir }
            }
        })
    }

    pub(crate) fn title(&self) -> String {
        let temporary = file_system(&std::env::temp_dir());
        match self {
            Self::Tus(_) => format!("to the reference tus server (on {temporary})"),
            Self::S3 { at_once, .. } => {
                format!("to SeaweedFS (on {temporary}), {at_once} parts of 8 MiB at once")
            }
            Self::Put { dir, .. } => format!("to nginx in one PUT (on {})", file_system(dir)),
        }
    }

    /// Gets everything ready for one upload under a name that was not used before.
    pub(crate) fn prepare(&mut self, source: &Source, number: usize) -> Result<Job, String> {
        let key = format!("object-{number}.bin");
        let scratch = source.scratch.path().join("run");
        made_empty(&scratch)?;
        let mut job = Job {
            file: source.file.clone(),
            url: String::new(),
            key,
            at_once: 1,
            plan: scratch.join("plan.json"),
            list: scratch.join("parts"),
            scratch,
            upload_id: String::new(),
        };
        match self {
            Self::Tus(server) => job.url = server.direct_url(),
            Self::Put { nginx, .. } => job.url = nginx.url(&format!("/put/{}", job.key)),
            Self::S3 { server, at_once } => {
                let started = server.insert(Box::new(S3Server::start().ok_or(NOT_INSTALLED)?));
                // The first object makes the store allocate its volumes.
                started.put("first", &[0; 1 << 20]);
                job.url = started.direct_url();
                job.at_once = *at_once;
                job.make_plan(source.len)?;
            }
        }
        Ok(job)
    }

    /// Makes the object of parts that were sent by a program that cannot say that these are all.
    pub(crate) fn complete(&self, job: &Job) -> Result<(), String> {
        let Self::S3 { server, .. } = self else {
            return Ok(());
        };
        let server = server.as_ref().ok_or("no server")?;
        let parts = server.parts(&job.key, &job.upload_id)?;
        let parts: Vec<Value> = parts
            .iter()
            .map(|part| json!({"PartNumber": part.number, "ETag": part.etag}))
            .collect();
        let params = json!({
            "Key": job.key,
            "UploadId": job.upload_id,
            "MultipartUpload": {"Parts": parts},
        });
        server.call("complete_multipart_upload", params).map(drop)
    }

    /// Whether the object is there, by its length, and with `Proof::Digest` by its SHA-256.
    ///
    /// It is not read into memory: what this process once had would count as that of each program that it starts.
    pub(crate) fn check(&self, job: &Job, source: &Source, proof: Proof) -> Result<(), String> {
        let len = self.length(job)?;
        if len != source.len {
            return Err(format!("the object has {len} bytes"));
        }
        if proof == Proof::Digest && sha256(&self.file(job)?)? != source.digest {
            return Err("the object has other bytes".into());
        }
        Ok(())
    }

    fn length(&self, job: &Job) -> Result<u64, String> {
        if let Self::S3 { server, .. } = self {
            let server = server.as_ref().ok_or("no server")?;
            let head = server.call("head_object", json!({ "Key": job.key }))?;
            let len = head["ContentLength"].as_u64();
            return len.ok_or_else(|| "an object without length".to_owned());
        }
        let path = self.file(job)?;
        let found = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(found.len())
    }

    /// A file with the object's bytes.
    fn file(&self, job: &Job) -> Result<PathBuf, String> {
        match self {
            Self::Tus(server) => match &server.uploads()[..] {
                [upload] => Ok(server.file(upload)),
                uploads => Err(format!("{} uploads are there", uploads.len())),
            },
            Self::Put { dir, .. } => Ok(dir.join(&job.key)),
            Self::S3 { server, .. } => {
                let server = server.as_ref().ok_or("no server")?;
                let of = json!({ "Key": job.key });
                let url = server.presign("get_object", of, Duration::from_secs(3600));
                let copy = job.scratch.join("copy");
                let mut curl = Command::new("curl");
                curl.args(["-sSf", "--noproxy", "*", "-o"])
                    .arg(&copy)
                    .arg(url);
                let fetched = curl.status().map_err(|error| format!("curl: {error}"))?;
                match fetched.success() {
                    true => Ok(copy),
                    false => Err("there is no object".into()),
                }
            }
        }
    }

    /// Throws away everything that was uploaded, and waits until the disk is idle.
    pub(crate) fn clear(&mut self) -> Result<(), String> {
        match self {
            Self::Tus(server) => {
                let uploads = server.uploads();
                uploads.iter().for_each(|upload| server.delete(upload));
            }
            Self::S3 { server, .. } => *server = None,
            Self::Put { dir, .. } => made_empty(dir)?,
        }
        rustix::fs::sync();
        Ok(())
    }
}

/// How an object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Length,
    Digest,
}

/// In hex.
impl Job {
    fn make_plan(&mut self, len: u64) -> Result<(), String> {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/examples/bench/upload/s3_plan.py"
        );
        let mut command = python().ok_or(NOT_INSTALLED)?;
        let account = [S3Server::ACCESS_KEY, S3Server::SECRET_KEY, S3Server::BUCKET];
        command
            .arg(script)
            .arg(&self.url)
            .args(account)
            .arg(&self.key);
        command.args([len.to_string(), PART_SIZE.to_string()]);
        let made = command.output().map_err(|error| error.to_string())?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned());
        }
        let plan: Value =
            serde_json::from_slice(&made.stdout).map_err(|error| error.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let parts = plan["parts"].as_array().ok_or("a plan without parts")?;
        let lines = parts.iter().map(|part| {
            let url = text(&part["url"]);
            format!("{} {} {url}\n", part["offset"], part["size"])
        });
        self.upload_id = text(&plan["upload_id"]);
        let list: String = lines.collect();
        let written =
            fs::write(&self.plan, &made.stdout).and_then(|()| fs::write(&self.list, list));
        written.map_err(|error| format!("{}: {error}", self.scratch.display()))
    }
}

pub(crate) fn made_empty(dir: &Path) -> Result<(), String> {
    let made = match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => fs::create_dir_all(dir),
    };
    made.map_err(|error| format!("{}: {error}", dir.display()))
}

/// Bytes of a part, for all programs alike.
pub(crate) const PART_SIZE: u64 = 8 << 20;
pub(crate) const NOT_INSTALLED: &str =
    "the servers are not installed: `cargo xtask servers` installs them";

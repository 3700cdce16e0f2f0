//! The programs that compete in uploads, and the command line that each needs for the same work.

use std::process::{Command, Stdio};

use bytehaul_testkit::uploads::{S3Server, client, node, python};

use super::Source;
use super::place::{Job, NOT_INSTALLED, PART_SIZE, Target};

/// A program with a way of using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Limit(Target),
    Bytehaul(Target),
    TusJsClient,
    Boto3,
    Crt,
    Rclone,
    RcloneUnsigned,
    Curl,
}

/// Those whose program is there, and the names of the programs that are not.
pub(crate) fn installed(target: Target) -> Result<(Vec<Contender>, Vec<String>), String> {
    use Contender::{Boto3, Bytehaul, Crt, Curl, Limit, Rclone, RcloneUnsigned, TusJsClient};
    let all = match target {
        Target::Tus => vec![Limit(target), Bytehaul(target), TusJsClient],
        Target::Presigned => vec![
            Limit(target),
            Bytehaul(target),
            Boto3,
            Crt,
            Rclone,
            RcloneUnsigned,
        ],
        Target::Put => vec![Limit(target), Bytehaul(target), Curl],
    };
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for contender in all {
        match contender.is_installed()? {
            true => here.push(contender),
            false => missing.push(contender.name()),
        }
    }
    Ok((here, missing))
}

impl Contender {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Limit(Target::Presigned) => "limit, parts alone".to_owned(),
            Self::Limit(Target::Tus | Target::Put) => "limit".to_owned(),
            Self::Bytehaul(Target::Tus) => "bytehaul --protocol tus".to_owned(),
            Self::Bytehaul(Target::Presigned) => "bytehaul --plan".to_owned(),
            Self::Bytehaul(Target::Put) => "bytehaul --protocol put".to_owned(),
            Self::TusJsClient => "tus-js-client".to_owned(),
            Self::Boto3 => "boto3".to_owned(),
            Self::Crt => "boto3 with AWS CRT".to_owned(),
            Self::Rclone => "rclone".to_owned(),
            Self::RcloneUnsigned => "rclone, nothing hashed".to_owned(),
            Self::Curl => "curl -T".to_owned(),
        }
    }

    /// Whether the object is not there before somebody says that all parts are.
    pub(crate) fn leaves_parts(self) -> bool {
        self == Self::Limit(Target::Presigned)
    }

    /// The command for this upload, ready to run.
    pub(crate) fn command(self, source: &Source, job: &Job) -> Result<Command, String> {
        let own = |name: &str| Command::new(source.programs.join(name));
        let at_once = job.at_once.to_string();
        let mut command = match self {
            Self::Limit(target) => {
                let mut command = own("examples/limit");
                command.arg("--put").arg(&job.file);
                match target {
                    Target::Tus => command.arg("--tus").arg(&job.url),
                    Target::Put => command.arg(&job.url),
                    Target::Presigned => {
                        command.args(["-x", &at_once]).arg("--list").arg(&job.list)
                    }
                };
                command
            }
            Self::Bytehaul(target) => {
                let mut command = own("bytehaul");
                command.args(["put", "-q"]).arg(&job.file);
                command.arg("--state-dir").arg(job.scratch.join("state"));
                match target {
                    Target::Tus => command.args(["--protocol", "tus", &job.url]),
                    Target::Put => command.args(["--protocol", "put", &job.url]),
                    Target::Presigned => {
                        command.args(["-x", &at_once]).arg("--plan").arg(&job.plan)
                    }
                };
                command
            }
            Self::TusJsClient => {
                let mut command = node().ok_or(NOT_INSTALLED)?;
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/servers/tus_client.mjs");
                command.arg(script).arg(&job.file).arg(&job.url);
                command
            }
            Self::Boto3 => s3_upload("boto3", job)?,
            Self::Crt => s3_upload("crt", job)?,
            Self::Rclone => rclone(job)?,
            Self::RcloneUnsigned => {
                let mut command = rclone(job)?;
                command.args(["--s3-disable-checksum", "--s3-use-unsigned-payload=true"]);
                command
            }
            Self::Curl => {
                let mut command = Command::new("curl");
                command.args(["-sSf", "-o", "/dev/null", "-T"]);
                command.arg(&job.file).arg(&job.url);
                command
            }
        };
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        Ok(command)
    }

    fn is_installed(self) -> Result<bool, String> {
        let mut command = match self {
            Self::Limit(_) | Self::Bytehaul(_) => return Ok(true),
            Self::TusJsClient => node().ok_or(NOT_INSTALLED)?,
            Self::Boto3 => return Ok(python().is_some()),
            Self::Crt => {
                let mut command = python().ok_or(NOT_INSTALLED)?;
                command.args(["-c", "import awscrt"]);
                return Ok(succeeds(&mut command));
            }
            Self::Rclone | Self::RcloneUnsigned => {
                let mut command = client("rclone").ok_or(NOT_INSTALLED)?;
                command.arg("version");
                return Ok(succeeds(&mut command));
            }
            Self::Curl => Command::new("curl"),
        };
        command.arg("--version");
        Ok(succeeds(&mut command))
    }
}

fn s3_upload(manager: &str, job: &Job) -> Result<Command, String> {
    let mut command = python().ok_or(NOT_INSTALLED)?;
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/bench/upload/s3_upload.py"
    );
    command.args([script, manager, &job.url]);
    command.args([S3Server::ACCESS_KEY, S3Server::SECRET_KEY, S3Server::BUCKET]);
    command.arg(&job.key).arg(&job.file);
    command.args([PART_SIZE.to_string(), job.at_once.to_string()]);
    Ok(command)
}

/// An empty name of its configuration file means that there is none.
fn rclone(job: &Job) -> Result<Command, String> {
    let mut command = client("rclone").ok_or(NOT_INSTALLED)?;
    let settings = [
        ("TYPE", "s3"),
        ("PROVIDER", "Other"),
        ("ENDPOINT", &job.url),
        ("REGION", "us-east-1"),
        ("ACCESS_KEY_ID", S3Server::ACCESS_KEY),
        ("SECRET_ACCESS_KEY", S3Server::SECRET_KEY),
    ];
    for (name, value) in settings {
        command.env(format!("RCLONE_CONFIG_BENCH_{name}"), value);
    }
    command.args(["copyto", "--config=", "--retries=1", "--s3-no-check-bucket"]);
    let part_size = format!("{PART_SIZE}B");
    command.args([
        "--s3-chunk-size",
        &part_size,
        "--s3-upload-cutoff",
        &part_size,
    ]);
    command
        .arg("--s3-upload-concurrency")
        .arg(job.at_once.to_string());
    command.arg(&job.file);
    command.arg(format!("bench:{}/{}", S3Server::BUCKET, job.key));
    Ok(command)
}

/// Whether it ends well; it says nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

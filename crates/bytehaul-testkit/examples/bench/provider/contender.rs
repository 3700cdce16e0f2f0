//! The programs that compete in moving a provider's objects, and the command line that each needs for the same work.

use std::process::Command;

use bytehaul_testkit::uploads::{client, python};

use super::shop::{Provider, Shop};
use super::{AT_ONCE, Job, Way};
use crate::upload::{NOT_INSTALLED, PART_SIZE, Source, succeeds};

/// A program with a way of using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Bytehaul,
    /// A download that is not held against the provider's checksum, as those of some of the others are not.
    BytehaulUnchecked,
    /// The official SDK, in Python.
    Sdk,
    /// That of S3 by Amazon's C library.
    Crt,
    Rclone,
}

/// Those whose program is there, and the names of the programs that are not.
pub(crate) fn installed(
    provider: Provider,
    way: Way,
) -> Result<(Vec<Contender>, Vec<String>), String> {
    use Contender::{Bytehaul, BytehaulUnchecked, Crt, Rclone, Sdk};
    let all = match provider {
        Provider::S3 => &[Bytehaul, BytehaulUnchecked, Sdk, Crt, Rclone][..],
        Provider::Azure => &[Bytehaul, Sdk, Rclone],
        // rclone signs for OSS as for S3, which the server does not know.
        Provider::Oss => &[Bytehaul, Sdk],
    };
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    let all = all
        .iter()
        .filter(|one| way == Way::Down || **one != BytehaulUnchecked);
    for contender in all {
        match contender.is_installed()? {
            true => here.push(*contender),
            false => missing.push(contender.name(provider).to_owned()),
        }
    }
    Ok((here, missing))
}

impl Contender {
    pub(crate) fn name(self, provider: Provider) -> &'static str {
        match (self, provider) {
            (Self::Bytehaul, _) => "bytehaul",
            (Self::BytehaulUnchecked, _) => "bytehaul --no-provider-checksum",
            (Self::Sdk, Provider::S3) => "boto3",
            (Self::Sdk, Provider::Azure) => "azure-storage-blob",
            (Self::Sdk, Provider::Oss) => "alibabacloud-oss-v2",
            (Self::Crt, _) => "boto3 with AWS CRT",
            (Self::Rclone, _) => "rclone",
        }
    }

    /// The command for this transfer, ready to run.
    pub(crate) fn command(
        self,
        source: &Source,
        shop: &Shop,
        job: &Job,
    ) -> Result<Command, String> {
        let mut command = match self {
            Self::Bytehaul => bytehaul(source, shop, job),
            Self::BytehaulUnchecked => {
                let mut command = bytehaul(source, shop, job);
                command.arg("--no-provider-checksum");
                command
            }
            Self::Sdk => sdk(job.provider_word(), shop, job)?,
            Self::Crt => sdk("crt", shop, job)?,
            Self::Rclone => rclone(shop, job)?,
        };
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        Ok(command)
    }

    fn is_installed(self) -> Result<bool, String> {
        let mut command = match self {
            Self::Bytehaul | Self::BytehaulUnchecked => return Ok(true),
            Self::Sdk => return Ok(python().is_some()),
            Self::Crt => {
                let mut command = python().ok_or(NOT_INSTALLED)?;
                command.args(["-c", "import awscrt"]);
                command
            }
            Self::Rclone => {
                let mut command = client("rclone").ok_or(NOT_INSTALLED)?;
                command.arg("version");
                command
            }
        };
        Ok(succeeds(&mut command))
    }
}

fn bytehaul(source: &Source, shop: &Shop, job: &Job) -> Command {
    let keys = job.provider.keys();
    let mut command = Command::new(source.programs.join("bytehaul"));
    let endpoint = shop.endpoint();
    let variables = match job.provider {
        Provider::S3 => vec![
            ("AWS_ACCESS_KEY_ID", keys.access),
            ("AWS_SECRET_ACCESS_KEY", keys.secret),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
        ],
        Provider::Azure => vec![
            ("AZURE_STORAGE_ACCOUNT", keys.access),
            ("AZURE_STORAGE_KEY", keys.secret),
            ("AZURE_STORAGE_SERVICE_ENDPOINT", endpoint.as_str()),
        ],
        Provider::Oss => vec![
            ("OSS_ACCESS_KEY_ID", keys.access),
            ("OSS_ACCESS_KEY_SECRET", keys.secret),
            ("OSS_ENDPOINT", endpoint.as_str()),
            ("OSS_REGION", "cn-hangzhou"),
        ],
    };
    command.envs(variables).env("HOME", &job.scratch);
    let scheme = match job.provider {
        Provider::S3 => "s3",
        Provider::Azure => "az",
        Provider::Oss => "oss",
    };
    let url = format!("{scheme}://{}/{}", keys.bucket, job.key);
    let at_once = AT_ONCE.to_string();
    match job.way {
        Way::Up => command
            .args(["put", "-q", "-x", &at_once, "--part-size"])
            .arg(PART_SIZE.to_string())
            .arg("--state-dir")
            .arg(job.scratch.join("state"))
            .arg(&job.file)
            .arg(url),
        Way::Down => command
            .args(["get", "-q", "-x", &at_once, "-o"])
            .arg(&job.file)
            .arg(url),
    };
    command
}

fn sdk(kind: &str, shop: &Shop, job: &Job) -> Result<Command, String> {
    let keys = job.provider.keys();
    let mut command = python().ok_or(NOT_INSTALLED)?;
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/bench/provider/sdk.py"
    );
    let way = match job.way {
        Way::Up => "up",
        Way::Down => "down",
    };
    command.args([script, kind, way, &shop.endpoint()]);
    command.args([keys.access, keys.secret, keys.bucket, &job.key]);
    command.arg(&job.file);
    command.args([PART_SIZE.to_string(), AT_ONCE.to_string()]);
    Ok(command)
}

/// An empty name of its configuration file means that there is none.
fn rclone(shop: &Shop, job: &Job) -> Result<Command, String> {
    let keys = job.provider.keys();
    let mut command = client("rclone").ok_or(NOT_INSTALLED)?;
    let endpoint = shop.endpoint();
    let (kind, settings) = match job.provider {
        Provider::S3 | Provider::Oss => (
            "s3",
            &[
                ("TYPE", "s3"),
                ("PROVIDER", "Other"),
                ("REGION", "us-east-1"),
                ("ACCESS_KEY_ID", keys.access),
                ("SECRET_ACCESS_KEY", keys.secret),
            ][..],
        ),
        Provider::Azure => (
            "azureblob",
            &[
                ("TYPE", "azureblob"),
                ("ACCOUNT", keys.access),
                ("KEY", keys.secret),
            ][..],
        ),
    };
    for (name, value) in settings {
        command.env(format!("RCLONE_CONFIG_BENCH_{name}"), value);
    }
    command.env("RCLONE_CONFIG_BENCH_ENDPOINT", endpoint);
    command.args(["copyto", "--config=", "--retries=1"]);
    let part_size = format!("{PART_SIZE}B");
    let no_check = match kind {
        "s3" => "--s3-no-check-bucket",
        _ => "--azureblob-no-check-container",
    };
    command.arg(no_check);
    command.arg(format!("--{kind}-chunk-size={part_size}"));
    command.arg(format!("--{kind}-upload-concurrency={AT_ONCE}"));
    if kind == "s3" {
        command.arg(format!("--s3-upload-cutoff={part_size}"));
    }
    command.arg(format!("--multi-thread-streams={AT_ONCE}"));
    let object = format!("bench:{}/{}", keys.bucket, job.key);
    match job.way {
        Way::Up => command.arg(&job.file).arg(object),
        Way::Down => command.arg(object).arg(&job.file),
    };
    Ok(command)
}

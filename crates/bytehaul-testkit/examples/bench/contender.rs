//! The programs that compete, and the command line that each needs for the same work.

use std::path::Path;
use std::process::Command;

use crate::files::{Files, LARGE};
use crate::scenario::{Stage, Work};

/// A program with a way of using it; numbers are connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Limit(u32),
    LimitSync(u32),
    LimitLargeBuffer,
    LimitSha256,
    LimitList,
    Bytehaul(u32),
    BytehaulAuto,
    BytehaulSha256(u32),
    BytehaulList,
    BytehaulVersion,
    Curl,
    CurlSha256,
    CurlList,
    CurlVersion,
    Aria2(u32),
    Aria2Sha256(u32),
    Aria2List,
}

/// Those whose program is there, and the names of the programs that are not.
pub(crate) fn installed(contenders: Vec<Contender>) -> (Vec<Contender>, Vec<&'static str>) {
    let is_there = |contender: &Contender| match contender.foreign_program() {
        Some(program) => Command::new(program).arg("--version").output().is_ok(),
        None => true,
    };
    let (here, missing): (Vec<_>, Vec<_>) = contenders.into_iter().partition(is_there);
    (
        here,
        missing
            .iter()
            .filter_map(|contender| contender.foreign_program())
            .collect(),
    )
}

impl Contender {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Limit(1) => "limit".to_owned(),
            Self::Limit(connections) => format!("limit -x {connections}"),
            Self::LimitSync(1) => "limit, synced".to_owned(),
            Self::LimitSync(connections) => format!("limit -x {connections}, synced"),
            Self::LimitLargeBuffer => "limit, 2 MiB buffer".to_owned(),
            Self::LimitSha256 => "limit, hashed inline".to_owned(),
            Self::LimitList => "limit, 16 connections".to_owned(),
            Self::Bytehaul(connections) => format!("bytehaul -x {connections}"),
            Self::BytehaulAuto => "bytehaul".to_owned(),
            Self::BytehaulSha256(connections) => format!("bytehaul -x {connections} --checksum"),
            Self::BytehaulList => "bytehaul -j 16 -i".to_owned(),
            Self::BytehaulVersion => "bytehaul --version".to_owned(),
            Self::Curl => "curl".to_owned(),
            Self::CurlSha256 => "curl, then sha256sum".to_owned(),
            Self::CurlList => "curl --parallel-max 16".to_owned(),
            Self::CurlVersion => "curl --version".to_owned(),
            Self::Aria2(connections) => format!("aria2c -x {connections}"),
            Self::Aria2Sha256(connections) => format!("aria2c -x {connections} --checksum"),
            Self::Aria2List => "aria2c -j 16 -i".to_owned(),
        }
    }

    /// The command for the work of `stage`, ready to run.
    pub(crate) fn command(self, stage: &Stage, files: &Files) -> Command {
        let own = |name: &str| Command::new(files.programs.join(name));
        match self {
            Self::Limit(_)
            | Self::LimitSync(_)
            | Self::LimitLargeBuffer
            | Self::LimitSha256
            | Self::LimitList => self.limit(own("examples/limit"), stage, files),
            Self::Bytehaul(_)
            | Self::BytehaulAuto
            | Self::BytehaulSha256(_)
            | Self::BytehaulList => self.bytehaul(own("bytehaul"), stage, files),
            Self::BytehaulVersion => with(own("bytehaul"), &["--version"]),
            Self::Curl | Self::CurlSha256 | Self::CurlList => self.curl(stage, files),
            Self::CurlVersion => with(Command::new("curl"), &["--version"]),
            Self::Aria2(_) | Self::Aria2Sha256(_) | Self::Aria2List => self.aria2(stage, files),
        }
    }

    fn limit(self, mut command: Command, stage: &Stage, files: &Files) -> Command {
        match (self, &stage.work) {
            (Self::LimitList, Work::Small { list, .. }) => {
                command
                    .args(["-x", "16", "--list"])
                    .arg(list)
                    .arg("-o")
                    .arg(&files.out);
            }
            _ => {
                command.arg(&stage.url).arg("-o").arg(files.copy());
            }
        }
        match self {
            Self::LimitSync(connections) => {
                command.args(["--sync", "-x"]).arg(connections.to_string())
            }
            Self::Limit(connections) => command.arg("-x").arg(connections.to_string()),
            Self::LimitLargeBuffer => command.args(["--buffer", "2097152"]),
            Self::LimitSha256 => command.arg("--sha256"),
            _ => &mut command,
        };
        command
    }

    fn bytehaul(self, mut command: Command, stage: &Stage, files: &Files) -> Command {
        command.args(["get", "-q", "-d"]).arg(&files.out);
        match (self, &stage.work) {
            (Self::BytehaulList, Work::Small { list, .. }) => {
                command.args(["-j", "16", "-i"]).arg(list)
            }
            _ => command.arg(&stage.url),
        };
        match self {
            Self::Bytehaul(connections) => command.arg("-x").arg(connections.to_string()),
            Self::BytehaulSha256(connections) => {
                let checksum = format!("sha-256={}", files.digest);
                command
                    .arg("-x")
                    .arg(connections.to_string())
                    .arg("--checksum")
                    .arg(checksum)
            }
            _ => &mut command,
        };
        command
    }

    fn curl(self, stage: &Stage, files: &Files) -> Command {
        let mut command = Command::new("curl");
        match (self, &stage.work) {
            (Self::CurlList, Work::Small { list, .. }) => {
                let script = "sed 's/.*/url=\"&\"\\nremote-name/' \"$1\" | \
                    exec curl -sS --noproxy '*' --parallel --parallel-max 16 --output-dir \"$2\" -K -";
                shell(script, list, &files.out)
            }
            (Self::CurlSha256, _) => {
                let script =
                    "curl -sS --noproxy '*' -o \"$2\" \"$1\" && sha256sum \"$2\" >/dev/null";
                shell(script, Path::new(&stage.url), &files.copy())
            }
            _ => {
                command
                    .args(["-sS", "--noproxy", "*", "-o"])
                    .arg(files.copy())
                    .arg(&stage.url);
                command
            }
        }
    }

    fn aria2(self, stage: &Stage, files: &Files) -> Command {
        let mut command = Command::new("aria2c");
        command
            .args([
                "-q",
                "--no-conf",
                "--file-allocation=falloc",
                "-k1M",
                "--no-proxy=*",
                "-d",
            ])
            .arg(&files.out);
        match (self, &stage.work) {
            (Self::Aria2List, Work::Small { list, .. }) => {
                command.args(["-j", "16", "-i"]).arg(list)
            }
            _ => command.args(["-o", LARGE]).arg(&stage.url),
        };
        match self {
            Self::Aria2(connections) | Self::Aria2Sha256(connections) => {
                command.args([format!("-x{connections}"), format!("-s{connections}")]);
            }
            _ => (),
        }
        if let Self::Aria2Sha256(_) = self {
            command.arg(format!("--checksum=sha-256={}", files.digest));
        }
        command
    }

    /// The program of others that has to be installed.
    fn foreign_program(self) -> Option<&'static str> {
        match self {
            Self::Curl | Self::CurlSha256 | Self::CurlList | Self::CurlVersion => Some("curl"),
            Self::Aria2(_) | Self::Aria2Sha256(_) | Self::Aria2List => Some("aria2c"),
            Self::Limit(_)
            | Self::LimitSync(_)
            | Self::LimitLargeBuffer
            | Self::LimitSha256
            | Self::LimitList => None,
            Self::Bytehaul(_)
            | Self::BytehaulAuto
            | Self::BytehaulSha256(_)
            | Self::BytehaulList => None,
            Self::BytehaulVersion => None,
        }
    }
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

fn shell(script: &str, first: &Path, second: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(first).arg(second);
    command
}

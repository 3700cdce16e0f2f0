//! The comparison of uploads: one large file to real servers, by `bytehaul`, its peers and the physical limit.

mod contender;
mod place;
mod round;
pub(crate) mod table;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::TempDir;

use self::contender::Contender;
pub(crate) use self::contender::succeeds;
pub(crate) use self::place::{NOT_INSTALLED, PART_SIZE, made_empty};
use self::place::{Place, Target};
use crate::files;

/// Uploads a large file by each program in turn.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to; repeatable. Default: all.
    #[arg(long, value_enum)]
    target: Vec<Target>,
    /// Rounds that count, after one that does not.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of the file: bytes, or with K, M or G.
    #[arg(long, default_value = "1G", value_parser = size)]
    size: u64,
    /// Parts of 8 MiB at once, for presigned uploads; repeatable. Default: 4 and 8.
    #[arg(long)]
    at_once: Vec<u32>,
    /// Where the source, the plans and nginx's objects go. Default: `bench` in the target directory. The other servers keep
    /// what they get in the system's directory for temporary files (`TMPDIR`).
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only these programs, by the start of their names; repeatable. Default: all that are installed.
    #[arg(long)]
    only: Vec<String>,
}

/// What is uploaded, and where things are.
#[derive(Debug)]
pub(crate) struct Source {
    /// Directory of the programs that were built.
    pub(crate) programs: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) len: u64,
    /// SHA-256 in hex.
    pub(crate) digest: String,
    /// Of this process alone, and gone with it.
    pub(crate) scratch: TempDir,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let source = Source::prepare(arguments.dir.as_deref(), arguments.size)?;
    let all = [Target::Tus, Target::Presigned, Target::Put];
    let targets = match arguments.target.is_empty() {
        true => &all[..],
        false => &arguments.target,
    };
    let both = [4, 8];
    let at_once = match arguments.at_once.is_empty() {
        true => &both[..],
        false => &arguments.at_once,
    };
    for target in targets {
        let widths = match target {
            Target::Presigned => at_once,
            Target::Tus | Target::Put => &[1],
        };
        for width in widths {
            compare(arguments, &source, *target, *width)?;
        }
    }
    Ok(())
}

fn compare(
    arguments: &Arguments,
    source: &Source,
    target: Target,
    at_once: u32,
) -> Result<(), String> {
    let (mut contenders, missing) = contender::installed(target)?;
    if !arguments.only.is_empty() {
        let is_wanted = |one: &Contender| {
            let mut wanted = arguments.only.iter();
            wanted.any(|name| one.name().starts_with(name.as_str()))
        };
        contenders.retain(is_wanted);
    }
    let mut place = Place::open(target, at_once, source.scratch.path())?;
    println!("\n## {} MiB {}\n", source.len >> 20, place.title());
    if !missing.is_empty() {
        println!("Not installed, left out: {}.\n", missing.join(", "));
    }
    let rounds = round::all(&contenders, &mut place, source, arguments.rounds)?;
    print!("{}", table::of(&rounds));
    Ok(())
}

impl Source {
    /// Makes the file unless it is there, in the directory or in `bench` of the target directory.
    pub(crate) fn prepare(dir: Option<&Path>, size: u64) -> Result<Self, String> {
        let (release, target) = files::programs()?;
        let dir = dir.map_or_else(|| target.join("bench"), Path::to_owned);
        let served = dir.join("served");
        let scratch = fs::create_dir_all(&served)
            .and_then(|()| tempfile::Builder::new().prefix("uploads-").tempdir_in(&dir))
            .map_err(|error| format!("{}: {error}", dir.display()))?;
        let file = served.join(format!("upload-{size}.bin"));
        let digest = files::make(&file, &files::large(size))?;
        Ok(Self {
            programs: release,
            file,
            len: size,
            digest,
            scratch,
        })
    }

    /// Reads it, so that it is in memory before any program does.
    pub(crate) fn warm(&self) -> Result<(), String> {
        let read = || {
            let mut file = fs::File::open(&self.file)?;
            let mut block = vec![0; 1 << 20];
            while file.read(&mut block)? > 0 {}
            Ok(())
        };
        read().map_err(|error: std::io::Error| format!("{}: {error}", self.file.display()))
    }
}

/// What kind of file system a path is on, as far as it matters.
fn file_system(path: &Path) -> &'static str {
    match rustix::fs::statfs(path).map(|found| u64::try_from(found.f_type).unwrap_or(0)) {
        Ok(0x0102_1994) => "tmpfs",
        Ok(0xef53) => "ext4",
        Ok(0x9123_683e) => "btrfs",
        Ok(0x5846_5342) => "xfs",
        Ok(0x794c_7630) => "overlayfs",
        Ok(_) | Err(_) => "another file system",
    }
}

/// Bytes, or with K, M or G.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        Some(_) | None => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size".to_owned())?;
    number.checked_mul(1 << shift).ok_or("too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("7", Some(7)),
            ("256M", Some(256 << 20)),
            ("1G", Some(1 << 30)),
            ("2k", Some(2048)),
            ("M", None),
            ("", None),
            ("18446744073709551615G", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }
}

//! The files that are served, where their copies go, and the programs that were built.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bytehaul_testkit::{Object, check_file};
use sha2::{Digest, Sha256};

/// Paths of everything on disk.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) programs: PathBuf,
    pub(crate) served: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) large: Object,
    pub(crate) digest: String,
}

impl Files {
    /// Makes what is not there yet: the large file and the small ones, below `dir`.
    pub(crate) fn prepare(dir: Option<PathBuf>, size: u64) -> Result<Self, String> {
        let (release, target) = programs()?;
        let out = dir.unwrap_or_else(|| target.join("bench/out"));
        let served = out.parent().unwrap_or(Path::new(".")).join("served");
        for dir in [&out, &served] {
            fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        let large = large(size);
        let digest = make(&served.join(LARGE), &large)?;
        for number in 0..MOST_SMALL {
            let path = served.join(small_name(number));
            let object = small(number);
            if fs::metadata(&path).map_or(0, |found| found.len()) != object.len() {
                fs::write(&path, object.whole())
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        Ok(Self {
            programs: release,
            served,
            out,
            large,
            digest,
        })
    }

    /// Empties the output directory and waits until the disk is idle, so that no run pays for another one's.
    pub(crate) fn clear_out(&self) -> Result<(), String> {
        let cleared = fs::remove_dir_all(&self.out).and_then(|()| fs::create_dir(&self.out));
        cleared.map_err(|error| format!("{}: {error}", self.out.display()))?;
        rustix::fs::sync();
        Ok(())
    }

    /// Where every program puts the large file.
    pub(crate) fn copy(&self) -> PathBuf {
        self.out.join(LARGE)
    }

    /// A file of `count` URLs below `base`, beside the output directory.
    pub(crate) fn list(&self, base: &str, count: usize) -> Result<PathBuf, String> {
        let path = self.served.join(format!("list-{count}"));
        let lines: String = (0..count)
            .map(|number| format!("{base}{}\n", small_name(number)))
            .collect();
        fs::write(&path, lines).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Whether the first `count` small files have arrived whole.
    pub(crate) fn check_small(&self, count: usize) -> Result<(), String> {
        let mut numbers = 0..count;
        numbers.try_for_each(|number| {
            check_file(self.out.join(small_name(number)), &small(number))
                .map_err(|wrong| wrong.to_string())
        })
    }
}

/// Where the programs are that were built, and the target directory.
pub(crate) fn programs() -> Result<(PathBuf, PathBuf), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut above = own.ancestors().skip(2).map(Path::to_owned);
    above
        .next()
        .zip(above.next())
        .ok_or_else(|| "this program is not below a target directory".to_owned())
}

/// The large file's content.
pub(crate) fn large(size: u64) -> Object {
    Object::random(LARGE_SEED, size)
}

/// Writes the object unless a file of its length is there; its SHA-256 in hex.
pub(crate) fn make(path: &Path, object: &Object) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let is_there = fs::metadata(path).map_or(0, |found| found.len()) == object.len();
    let mut file = if is_there {
        None
    } else {
        Some(fs::File::create(path).map_err(fail)?)
    };
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    while offset < object.len() {
        let size = usize::try_from(object.len() - offset).map_or(BLOCK, |left| left.min(BLOCK));
        object.fill(offset, &mut block[..size]);
        hash.update(&block[..size]);
        if let Some(file) = &mut file {
            file.write_all(&block[..size]).map_err(fail)?;
        }
        offset += size as u64;
    }
    Ok(hex(&hash.finalize()))
}

/// SHA-256 of a file in hex, without more of it in memory than a block.
pub(crate) fn sha256(path: &Path) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    digest(fs::File::open(path).map_err(fail)?).map_err(fail)
}

/// The same of anything that can be read to its end.
pub(crate) fn digest(mut from: impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(hex(&hash.finalize())),
            size => hash.update(&block[..size]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn small(number: usize) -> Object {
    Object::random(number as u64, SMALL_LEN)
}

fn small_name(number: usize) -> String {
    format!("small-{number:04}.bin")
}

pub(crate) const LARGE: &str = "large.bin";
const LARGE_SEED: u64 = 20_250_102;
const MOST_SMALL: usize = 2000;
const SMALL_LEN: u64 = 64 << 10;
const BLOCK: usize = 1 << 20;

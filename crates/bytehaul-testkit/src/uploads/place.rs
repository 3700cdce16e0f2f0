//! Where the programs of npm and PyPI lie that the upload servers are made of: one directory for each state of the lists.
//!
//! Also a module of `xtask`, which installs what is looked for here.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory that belongs to the package lists in `lists`.
///
/// It is in `$BYTEHAUL_TEST_SERVERS`, or else in `bytehaul-test-servers` of the user's cache.
///
/// # Errors
/// When a list cannot be read, or no cache directory is known.
pub(crate) fn directory(lists: &Path) -> io::Result<PathBuf> {
    let mut digest = FNV_BASIS;
    for name in LISTS {
        for byte in fs::read(lists.join(name))? {
            digest = (digest ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
    Ok(base()?.join(format!("{digest:016x}")))
}

fn base() -> io::Result<PathBuf> {
    let set = |name: &str| {
        let value = env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    if let Some(base) = set("BYTEHAUL_TEST_SERVERS") {
        return Ok(base);
    }
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.ok_or_else(|| io::Error::other("neither XDG_CACHE_HOME nor HOME is set"))?;
    Ok(cache.join("bytehaul-test-servers"))
}

/// What says that an installation went through; the last file that is written.
pub(crate) const COMPLETE: &str = "complete";

/// The lists, in the order in which they count.
pub(crate) const LISTS: [&str; 3] = ["package.json", "package-lock.json", "requirements.txt"];

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

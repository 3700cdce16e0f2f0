//! What the files beside a target are called, and how a name that would be too long is cut without two meeting.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use bytehaul_integrity::{Algorithm, Hasher};

use crate::Error;

/// The names of a download's files, all in the directory of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// Where the finished file will be.
    pub target: PathBuf,
    /// Where the bytes go until then: `<name>.bytehaul-part`.
    pub part: PathBuf,
    /// What is known about the bytes of the part: `<name>.bytehaul-control`.
    pub control: PathBuf,
    /// The next control file while it is made: `<name>.bytehaul-control-new`.
    pub control_new: PathBuf,
    /// The directory of all of them.
    pub directory: PathBuf,
}

impl Layout {
    /// The files beside `target`, which is made absolute so that a later change of the working directory does not matter.
    ///
    /// A name that would be longer than 255 bytes with its suffix is cut and told apart by a hash of the whole name.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`] when the path ends in no file name (`/`, `..`, empty).
    pub fn beside(target: &Path) -> Result<Self, Error> {
        let (absolute, directory) = named(target)?;
        let name = absolute.file_name().unwrap_or_default();
        let beside = |suffix| directory.join(with_suffix(name, suffix));
        let (part, control, control_new) = (beside(PART), beside(CONTROL), beside(CONTROL_NEW));
        Ok(Self {
            part,
            control,
            control_new,
            directory,
            target: absolute,
        })
    }
}

/// The absolute path of a file, and the file that is beside it under its name with this suffix (of up to 21 bytes).
pub(crate) fn beside(path: &Path, suffix: &str) -> Result<(PathBuf, PathBuf), Error> {
    let (absolute, directory) = named(path)?;
    let name = absolute.file_name().unwrap_or_default();
    let beside = directory.join(with_suffix(name, suffix));
    Ok((absolute, beside))
}

/// A path made absolute that ends in a file name, and its directory.
fn named(path: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let bad = || Error::BadName {
        path: path.to_path_buf(),
    };
    let absolute = std::path::absolute(path).map_err(|_| bad())?;
    let bytes = path.as_os_str().as_encoded_bytes();
    if absolute.file_name().is_none()
        || bytes
            .last()
            .is_some_and(|&last| std::path::is_separator(last.into()))
    {
        return Err(bad());
    }
    let directory = absolute.parent().ok_or_else(bad)?.to_path_buf();
    Ok((absolute, directory))
}

fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut named = if name.len() + CONTROL_NEW.len() <= NAME_MAX {
        name.to_owned()
    } else {
        shortened(name)
    };
    named.push(suffix);
    named
}

fn shortened(name: &OsStr) -> OsString {
    let hash = Hasher::digest(Algorithm::Sha256, name.as_encoded_bytes()).hex();
    let hash = &hash[..HASH_DIGITS];
    let room = NAME_MAX - CONTROL_NEW.len() - 1 - hash.len();
    let text = name.to_string_lossy();
    let cut = (0..=room)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .expect("0 is a boundary");
    OsString::from(format!("{}~{hash}", &text[..cut]))
}

const PART: &str = ".bytehaul-part";
const CONTROL: &str = ".bytehaul-control";
const CONTROL_NEW: &str = ".bytehaul-control-new";
const NAME_MAX: usize = 255;
const HASH_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &Path) -> &str {
        path.file_name().unwrap().to_str().unwrap()
    }

    #[test]
    fn files_stand_beside_the_target() {
        let layout = Layout::beside(Path::new("/data/a.iso")).unwrap();
        assert_eq!(layout.part, Path::new("/data/a.iso.bytehaul-part"));
        assert_eq!(layout.control, Path::new("/data/a.iso.bytehaul-control"));
        assert_eq!(layout.directory, Path::new("/data"));
    }

    #[test]
    fn paths_without_a_file_name_are_refused() {
        for bad in ["/", "..", "", "a/..", "dir/"] {
            assert!(
                matches!(Layout::beside(Path::new(bad)), Err(Error::BadName { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn long_names_are_cut_and_told_apart() {
        for filler in ["x", "é", "名"] {
            let long = filler.repeat(255 / filler.len());
            let a = Layout::beside(
                &Path::new("/d").join(format!("{}1", &long[..long.len() - filler.len()])),
            )
            .unwrap();
            let b = Layout::beside(
                &Path::new("/d").join(format!("{}2", &long[..long.len() - filler.len()])),
            )
            .unwrap();
            for path in [&a.part, &a.control, &a.control_new] {
                assert!(name(path).len() <= 255, "{}", name(path).len());
            }
            assert_ne!(a.part, b.part);
            assert_ne!(a.control, b.control);
        }
    }
}

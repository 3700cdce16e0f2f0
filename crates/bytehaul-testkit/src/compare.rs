//! Whether a file on disk is the object that was served, told by the first byte that differs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::Object;

/// Compares the file with the object, block by block.
///
/// # Errors
/// [`Mismatch`] says where they differ, or why the file cannot be read.
pub fn check_file(path: impl AsRef<Path>, object: &Object) -> Result<(), Mismatch> {
    let path = path.as_ref();
    let fail = |what| Mismatch {
        path: path.to_owned(),
        what,
    };
    let mut file = File::open(path).map_err(|error| fail(What::Io(error)))?;
    let len = file
        .metadata()
        .map_err(|error| fail(What::Io(error)))?
        .len();
    let mut found = vec![0; BLOCK];
    let mut expected = vec![0; BLOCK];
    let mut offset = 0;
    while offset < len.min(object.len()) {
        let size = (len.min(object.len()) - offset).min(BLOCK as u64);
        let size = usize::try_from(size).expect("no longer than a block");
        file.read_exact(&mut found[..size])
            .map_err(|error| fail(What::Io(error)))?;
        object.fill(offset, &mut expected[..size]);
        if found[..size] != expected[..size] {
            let at = (0..size)
                .find(|at| found[*at] != expected[*at])
                .expect("the blocks differ somewhere");
            return Err(fail(What::Byte {
                offset: offset + at as u64,
                found: found[at],
                expected: expected[at],
            }));
        }
        offset += size as u64;
    }
    if len != object.len() {
        return Err(fail(What::Length {
            found: len,
            expected: object.len(),
        }));
    }
    Ok(())
}

/// Where a file and an object differ.
#[derive(Debug)]
pub struct Mismatch {
    path: PathBuf,
    what: What,
}

impl Mismatch {
    /// Offset of the first byte that differs or is missing; `None` when the file could not be read.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self.what {
            What::Io(_) => None,
            What::Length { found, expected } => Some(found.min(expected)),
            What::Byte { offset, .. } => Some(offset),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            What::Io(_) => write!(f, "read {path}"),
            What::Length { found, expected } => {
                write!(f, "{path} has {found} bytes instead of {expected}")
            }
            What::Byte {
                offset,
                found,
                expected,
            } => {
                write!(
                    f,
                    "{path} has {found:#04x} instead of {expected:#04x} at offset {offset}"
                )
            }
        }
    }
}

impl std::error::Error for Mismatch {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            What::Io(error) => Some(error),
            What::Length { .. } | What::Byte { .. } => None,
        }
    }
}

#[derive(Debug)]
enum What {
    Io(io::Error),
    Length {
        found: u64,
        expected: u64,
    },
    Byte {
        offset: u64,
        found: u8,
        expected: u8,
    },
}

const BLOCK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let object = Object::random(3, 3_000_000);
        let check = |bytes: &[u8], expected: Option<u64>| {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(
                check_file(&path, &object)
                    .err()
                    .and_then(|mismatch| mismatch.offset()),
                expected
            );
        };
        let good = object.whole();
        check(&good, None);
        check(&good[..2_000_000], Some(2_000_000));
        check(&[&good[..], b"x"].concat(), Some(3_000_000));
        check(
            &object.clone().flipped_at(2_500_000).whole(),
            Some(2_500_000),
        );
        assert!(
            check_file(dir.path().join("absent"), &object)
                .unwrap_err()
                .offset()
                .is_none()
        );
    }
}

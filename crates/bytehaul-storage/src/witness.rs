//! Where a test watches every change to the disk, and makes it fail.

use std::fmt;
use std::io;

/// One of the four names of a download. A checkpoint has the names of the control file and of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Name {
    Part,
    Control,
    ControlNew,
    Target,
}

/// A change to the disk.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "only a test looks into it"))]
pub(crate) enum Change<'a> {
    Create(Name),
    Write {
        name: Name,
        offset: u64,
        data: &'a [io::IoSlice<'a>],
    },
    SetLen {
        name: Name,
        len: u64,
    },
    Sync(Name),
    Rename {
        from: Name,
        to: Name,
    },
    Remove(Name),
    SyncDirectory,
}

/// Told before and after each change. An error before it takes its place.
pub(crate) trait Witness: fmt::Debug + Send + Sync {
    fn before(&self, change: Change<'_>) -> io::Result<()>;
    fn after(&self, change: Change<'_>);
}

/// Makes a change, before and after which the witness, if there is one, is told.
pub(crate) fn watched<T>(
    witness: Option<&dyn Witness>,
    change: Change<'_>,
    call: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let Some(witness) = witness else {
        return call();
    };
    witness.before(change)?;
    let made = call()?;
    witness.after(change);
    Ok(made)
}

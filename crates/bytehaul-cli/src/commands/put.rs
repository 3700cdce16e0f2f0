//! `put`: uploads, which parse and are refused until they are built.

use crate::args::PutArgs;
use crate::exit::Exit;
use crate::usage::UsageError;

/// Refuses, before anything is read or sent.
pub(crate) fn run(_args: &PutArgs) -> Exit {
    UsageError::unsupported("put").report()
}

//! The servers of [`uploads`](crate::uploads) as endpoints of the suite. Each `start` is `None` where they are not installed.

mod azure;
mod draft;
mod form;
mod gcs;
mod oss;
mod put;
mod s3;
mod tus;

pub use self::azure::Azure;
pub use self::draft::Draft;
pub use self::form::Form;
pub use self::gcs::Gcs;
pub use self::oss::Oss;
pub use self::put::Put;
pub use self::s3::S3;
pub use self::tus::{Concatenated, Tus};

use crate::uploads::{Fault, Gate};

/// Who signs the requests of an upload to a provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signer {
    /// The client, with the provider's credentials.
    Client,
    /// A back end, beforehand: the client is given URLs.
    BackEnd,
}

/// The last segments of the targets to which requests of these methods went since then.
fn resources(gate: &Gate, since: usize, methods: &[&str]) -> Vec<String> {
    let requests = gate.requests();
    let chosen = requests[since..].iter();
    let chosen = chosen.filter(|one| methods.contains(&one.method.as_str()));
    let names = chosen.filter_map(|one| one.path().rsplit('/').next().map(str::to_owned));
    let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    names
}

/// A page of a captive portal in place of an answer.
fn page(status: u16) -> Fault {
    Fault::replace(
        status,
        "<!doctype html><title>Welcome</title><p>Please log in.",
    )
    .header("Content-Type", "text/html")
}

/// More than anybody wants of an answer.
fn flood(status: u16) -> Fault {
    Fault::replace(status, &"x".repeat(3 << 20))
}

/// Somewhere else, which nobody listens at.
fn elsewhere(status: u16) -> Fault {
    Fault::replace(status, "").header("Location", "http://127.0.0.1:1/elsewhere")
}

/// The codes of answers that cannot be right: status, parse, range, checksum, changed, indeterminate, and transport.
const WRONG: &[u16] = &[106, 109, 110, 113, 114, 116, 123, 130];

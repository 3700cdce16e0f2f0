//! The system's own look-up, on a blocking thread.

use std::io;

use super::{Resolve, ResolveError, Resolving};

/// `getaddrinfo` of the system, by way of tokio's blocking threads. It knows all that the system's configuration does, but
/// a look-up under way cannot be stopped, only no longer waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            match tokio::net::lookup_host((name, 0)).await {
                Ok(found) => Ok(found.map(|address| address.ip()).collect()),
                Err(error) if is_not_found(&error) => Err(ResolveError::NotFound),
                Err(error) => Err(ResolveError::Failed(Box::new(error))),
            }
        })
    }
}

/// The standard library keeps the code of `getaddrinfo` to itself; its text for `EAI_NONAME` is what is left.
fn is_not_found(error: &io::Error) -> bool {
    let text = error.to_string();
    [
        "not known",
        "No address",
        "nodename nor servname",
        "No such host",
    ]
    .iter()
    .any(|part| text.contains(part))
}

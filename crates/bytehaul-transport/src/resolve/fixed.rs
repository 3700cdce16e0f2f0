//! Addresses that the caller has given by hand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Resolve, ResolveError, Resolving};

/// A fixed table of names. What is not in it is asked from the next resolver, or does not exist.
///
/// As with every resolver, a client with `enable_ipv6(false)` uses the IPv4 addresses alone. To lay down where a host is in any
/// case, and at which port, see [`ClientBuilder::pin_host`](crate::ClientBuilder::pin_host).
///
/// ```
/// use bytehaul_transport::Client;
/// use bytehaul_transport::resolve::FixedResolver;
///
/// let names = FixedResolver::new([("files.test".to_owned(), vec!["127.0.0.1".parse()?])]);
/// let client = Client::builder().resolver(names).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FixedResolver {
    names: HashMap<String, Vec<IpAddr>>,
    next: Option<Arc<dyn Resolve>>,
}

impl FixedResolver {
    /// A table of names, compared without regard to case and to a dot at the end.
    pub fn new(names: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Self {
        let names = names
            .into_iter()
            .map(|(name, addresses)| (key(&name), addresses))
            .collect();
        Self { names, next: None }
    }

    /// Asks another resolver for what is not in the table. Default: such names do not exist.
    #[must_use]
    pub fn or(mut self, next: impl Resolve + 'static) -> Self {
        self.next = Some(Arc::new(next));
        self
    }
}

impl Resolve for FixedResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        match (self.names.get(&key(name)), &self.next) {
            (Some(addresses), _) => Box::pin(std::future::ready(Ok(addresses.clone()))),
            (None, Some(next)) => next.resolve(name),
            (None, None) => Box::pin(std::future::ready(Err(ResolveError::NotFound))),
        }
    }
}

fn key(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

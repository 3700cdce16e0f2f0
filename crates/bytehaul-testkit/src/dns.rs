//! Name servers on loopback: two real ones, and one that can be told to misbehave; what they know, and what they were asked.
//!
//! None of them asks anybody else, so that every name that was not given to them is unknown.

mod scripted;
mod system;

use std::net::IpAddr;

pub use self::scripted::{Reply, Scripted, ScriptedServer};
pub use self::system::{Dnsmasq, NameServer, Unbound};

/// One question that a name server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// The name in lower case, without the dot at its end.
    pub name: String,
    /// The type of record: `A`, `AAAA`.
    pub kind: String,
}

impl Question {
    fn new(name: &str, kind: &str) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let kind = kind.to_owned();
        Self { name, kind }
    }
}

/// One address of one name, with the seconds for which it may be remembered.
#[derive(Clone, Debug)]
struct Host {
    name: String,
    address: IpAddr,
    ttl: u32,
}

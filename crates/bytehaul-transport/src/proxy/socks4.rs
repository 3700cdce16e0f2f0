//! SOCKS 4, and 4A for names: <https://www.openssh.com/txt/socks4.protocol>, <https://www.openssh.com/txt/socks4a.protocol>.

use std::net::IpAddr;

use super::refusal::Refusal;
use super::tunnel::{Step, Target};
use crate::ErrorKind;

/// The talk with a SOCKS 4 proxy.
#[derive(Debug)]
pub(super) enum Socks4 {
    Ask(Vec<u8>),
    Asked,
    Reply,
    Rest,
}

impl Socks4 {
    /// There may be no NUL in the user name.
    pub(super) fn new(target: &Target<'_>, port: u16, user: &[u8]) -> Result<Self, Refusal> {
        let (address, name) = match target {
            Target::Address(IpAddr::V4(address)) => (address.octets(), None),
            Target::Name(name) => (NAME_FOLLOWS, Some(name)),
            Target::Address(IpAddr::V6(_)) => {
                let said = "SOCKS 4 has no room for an IPv6 address";
                return Err(Refusal::new(ErrorKind::ProxyDenied, said));
            }
        };
        let mut request = vec![VERSION, CONNECT];
        request.extend(port.to_be_bytes());
        request.extend(address);
        request.extend(user);
        request.push(0);
        if let Some(name) = name {
            request.extend(name.as_bytes());
            request.push(0);
        }
        Ok(Self::Ask(request))
    }

    pub(super) fn step(&mut self, received: &[u8]) -> Result<Step, Refusal> {
        match (std::mem::replace(self, Self::Asked), received) {
            (Self::Ask(request), _) => Ok(Step::Send(request)),
            (Self::Asked, _) => {
                *self = Self::Reply;
                Ok(Step::Receive(2))
            }
            (Self::Reply, [0, GRANTED]) => {
                *self = Self::Rest;
                Ok(Step::Receive(6))
            }
            (Self::Reply, [0, 91]) => Err(Refusal::new(
                ErrorKind::ProxyFailed,
                "request rejected or failed (91)",
            )),
            (Self::Reply, [0, code @ (92 | 93)]) => {
                let said = format!("the user name could not be confirmed ({code})");
                Err(Refusal::new(ErrorKind::ProxyAuthentication, said))
            }
            (Self::Reply, other) => {
                let said = format!(
                    "it answered `{}`, which is not SOCKS 4",
                    other.escape_ascii()
                );
                Err(Refusal::new(ErrorKind::ProxyProtocol, said))
            }
            (Self::Rest, _) => Ok(Step::Open),
        }
    }
}

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
const GRANTED: u8 = 90;
/// An address that cannot be: the name comes behind the user name.
const NAME_FOLLOWS: [u8; 4] = [0, 0, 0, 1];

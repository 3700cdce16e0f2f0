//! SOCKS 4, and 4A for names: <https://www.openssh.com/txt/socks4.protocol>, <https://www.openssh.com/txt/socks4a.protocol>.

use std::net::Ipv4Addr;

use super::refusal::Refusal;
use super::tunnel::Step;
use crate::ErrorKind;

/// What the proxy is asked to connect to.
pub(super) enum Target<'a> {
    Address(Ipv4Addr),
    Name(&'a str),
}

/// The talk with a SOCKS 4 proxy.
#[derive(Debug)]
pub(super) enum Socks4 {
    Ask(Vec<u8>),
    Asked,
    Reply,
    Rest,
}

impl Socks4 {
    /// Neither the user name nor the host's name may have a NUL in it.
    pub(super) fn new(target: &Target<'_>, port: u16, user: &[u8]) -> Self {
        let mut request = vec![VERSION, CONNECT];
        request.extend(port.to_be_bytes());
        request.extend(match target {
            Target::Address(address) => address.octets(),
            Target::Name(_) => NAME_FOLLOWS,
        });
        request.extend(user);
        request.push(0);
        if let Target::Name(name) = target {
            request.extend(name.as_bytes());
            request.push(0);
        }
        Self::Ask(request)
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

//! SOCKS 5 (RFC 1928) with a login by user name and password (RFC 1929).

use std::net::IpAddr;

use super::Login;
use super::refusal::Refusal;
use super::tunnel::{Step, Target};
use crate::ErrorKind;

/// The talk with a SOCKS 5 proxy.
pub(super) struct Socks5 {
    state: State,
    /// The login, until it is sent.
    login: Option<Vec<u8>>,
    /// The request, until it is sent.
    request: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Greeted,
    Method,
    LoginSent,
    LoginReply,
    RequestSent,
    Reply,
    AddressType,
    NameLength,
    Rest,
}

impl Socks5 {
    /// User name, password and host name are at most 255 bytes each.
    pub(super) fn new(target: &Target<'_>, port: u16, login: Option<&Login>) -> Self {
        let mut request = vec![VERSION, CONNECT, 0];
        match target {
            Target::Address(IpAddr::V4(address)) => {
                request.push(IPV4);
                request.extend(address.octets());
            }
            Target::Address(IpAddr::V6(address)) => {
                request.push(IPV6);
                request.extend(address.octets());
            }
            Target::Name(name) => {
                request.push(NAME);
                push_counted(&mut request, name.as_bytes());
            }
        }
        request.extend(port.to_be_bytes());
        let login = login.map(|login| {
            let mut message = vec![LOGIN_VERSION];
            push_counted(&mut message, &login.user);
            push_counted(&mut message, &login.password);
            message
        });
        Self {
            state: State::Start,
            login,
            request,
        }
    }

    pub(super) fn step(&mut self, received: &[u8]) -> Result<Step, Refusal> {
        let (state, step) = match self.state {
            State::Start => (State::Greeted, Step::Send(self.greeting())),
            State::Greeted => (State::Method, Step::Receive(2)),
            State::Method => self.method(received)?,
            State::LoginSent => (State::LoginReply, Step::Receive(2)),
            State::LoginReply => self.login_reply(received)?,
            State::RequestSent => (State::Reply, Step::Receive(2)),
            State::Reply => {
                reply(received)?;
                (State::AddressType, Step::Receive(2))
            }
            State::AddressType => match received {
                [_, IPV4] => (State::Rest, Step::Receive(4 + 2)),
                [_, IPV6] => (State::Rest, Step::Receive(16 + 2)),
                [_, NAME] => (State::NameLength, Step::Receive(1)),
                other => return Err(not_socks(other)),
            },
            State::NameLength => {
                let length = received.first().copied().map_or(0, usize::from);
                (State::Rest, Step::Receive(length + 2))
            }
            State::Rest => (State::Rest, Step::Open),
        };
        self.state = state;
        Ok(step)
    }

    /// Whether the login was the last thing said: a proxy that hangs up now has turned it down.
    pub(super) fn is_logging_in(&self) -> bool {
        self.state == State::LoginReply
    }

    fn greeting(&self) -> Vec<u8> {
        match self.login {
            Some(_) => vec![VERSION, 2, NO_LOGIN, BY_PASSWORD],
            None => vec![VERSION, 1, NO_LOGIN],
        }
    }

    fn method(&mut self, received: &[u8]) -> Result<(State, Step), Refusal> {
        match (received, self.login.take()) {
            ([VERSION, NO_LOGIN], _) => Ok(self.ask()),
            ([VERSION, BY_PASSWORD], Some(login)) => Ok((State::LoginSent, Step::Send(login))),
            ([VERSION, NONE_OF_THESE], None) => Err(Refusal::new(
                ErrorKind::ProxyAuthentication,
                "it takes nobody without a login",
            )),
            ([VERSION, NONE_OF_THESE], Some(_)) => Err(Refusal::new(
                ErrorKind::ProxyAuthentication,
                "it wants another kind of login",
            )),
            (other, _) => Err(not_socks(other)),
        }
    }

    fn login_reply(&mut self, received: &[u8]) -> Result<(State, Step), Refusal> {
        match received {
            // Some servers write the version of SOCKS here.
            [LOGIN_VERSION | VERSION, 0] => Ok(self.ask()),
            [LOGIN_VERSION | VERSION, code] => {
                let said = format!("the login failed ({code})");
                Err(Refusal::new(ErrorKind::ProxyAuthentication, said))
            }
            other => Err(not_socks(other)),
        }
    }

    fn ask(&mut self) -> (State, Step) {
        let request = std::mem::take(&mut self.request);
        (State::RequestSent, Step::Send(request))
    }
}

/// RFC 1928 section 6.
fn reply(received: &[u8]) -> Result<(), Refusal> {
    let code = match received {
        [VERSION, 0] => return Ok(()),
        [VERSION, code] => *code,
        other => return Err(not_socks(other)),
    };
    let (kind, words) = match code {
        1 => (ErrorKind::ProxyFailed, "general failure"),
        2 => (ErrorKind::ProxyDenied, "not allowed by its rules"),
        3 => (ErrorKind::ProxyFailed, "network unreachable"),
        4 => (ErrorKind::ProxyFailed, "host unreachable"),
        5 => (ErrorKind::ProxyFailed, "connection refused"),
        6 => (ErrorKind::ProxyFailed, "TTL expired"),
        7 => (ErrorKind::ProxyDenied, "command not supported"),
        8 => (ErrorKind::ProxyDenied, "address type not supported"),
        _ => (ErrorKind::ProxyFailed, "unknown failure"),
    };
    Err(Refusal::new(kind, format!("{words} ({code})")))
}

fn not_socks(received: &[u8]) -> Refusal {
    let said = format!(
        "it answered `{}`, which is not SOCKS 5",
        received.escape_ascii()
    );
    Refusal::new(ErrorKind::ProxyProtocol, said)
}

fn push_counted(message: &mut Vec<u8>, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).expect("lengths are checked where the bytes come in");
    message.push(length);
    message.extend(bytes);
}

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const NO_LOGIN: u8 = 0;
const BY_PASSWORD: u8 = 2;
const NONE_OF_THESE: u8 = 0xff;

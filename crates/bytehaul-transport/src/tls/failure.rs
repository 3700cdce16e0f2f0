//! What went wrong with TLS, in one line that somebody who never read an RFC can act on.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error as RustlsError, PeerIncompatible};

use super::chain::Objection;
use crate::error::ErrorKind;

/// A failure of the TLS session, not of the connection below it.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    cause: RustlsError,
}

/// Whether this client has a certificate to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    Given,
}

/// Whether the server turned this client's certificate, or the lack of one, down. In TLS 1.3 that comes with the first read
/// after the handshake, and then only the kind of the error survives the layers above.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    error.kind() == REFUSAL
}

/// The same words for a certificate that somebody else's TLS was shown.
pub(crate) fn explain(error: &RustlsError) -> String {
    Failure::new(error.clone(), Credentials::None).text
}

impl Failure {
    pub(super) fn new(cause: RustlsError, credentials: Credentials) -> Self {
        let text = match &cause {
            RustlsError::InvalidCertificate(error) => certificate(error),
            RustlsError::AlertReceived(alert) => received(*alert, credentials),
            RustlsError::PeerIncompatible(error) => incompatible(error),
            RustlsError::InvalidMessage(_) => "the server sent what is no tls message".to_owned(),
            RustlsError::NoCertificatesPresented => "the server has no certificate".to_owned(),
            RustlsError::NoApplicationProtocol => {
                received(AlertDescription::NoApplicationProtocol, credentials)
            }
            RustlsError::DecryptError => "a record was changed or damaged on the way".to_owned(),
            RustlsError::PeerMisbehaved(how) => {
                format!("the server breaks the rules of tls: {how:?}")
            }
            other => other.to_string(),
        };
        Self { text, cause }
    }

    /// The same with the first bytes that the server sent, before any of them made sense.
    pub(super) fn with_first_bytes(mut self, first: &[u8]) -> Self {
        if !matches!(
            self.cause,
            RustlsError::InvalidMessage(_) | RustlsError::InappropriateMessage { .. }
        ) {
            return self;
        }
        self.text = if first.starts_with(b"HTTP/") {
            "the server speaks plain http on this port, not tls".to_owned()
        } else {
            "the server does not speak tls on this port".to_owned()
        };
        self
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self.cause {
            // A server in trouble, which may be over soon.
            RustlsError::AlertReceived(
                AlertDescription::InternalError
                | AlertDescription::UserCanceled
                | AlertDescription::CloseNotify,
            ) => ErrorKind::Reset,
            _ => ErrorKind::Tls,
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.cause {
            RustlsError::AlertReceived(alert) if about_client(alert).is_some() => REFUSAL,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// The text says all that the cause does.
impl StdError for Failure {}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate expired on {}", date(*not_after))
        }
        CertificateError::Expired => "the certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, time } => format!(
            "the certificate is not valid before {}, and the clock here says {}",
            date(*not_before),
            date(*time)
        ),
        CertificateError::NotValidYet => "the certificate is not valid yet".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => names(expected, presented),
        CertificateError::NotValidForName => "the certificate is for another name".to_owned(),
        CertificateError::UnknownIssuer => {
            "the certificate is from an unknown authority, whose own certificate could be added to the trusted ones"
                .to_owned()
        }
        CertificateError::Revoked => "the certificate was revoked".to_owned(),
        CertificateError::BadEncoding => "the certificate cannot be read".to_owned(),
        CertificateError::BadSignature => {
            "the server's signature is not that of its certificate's key".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not meant for servers".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "the certificate is signed in a way that is not accepted, such as with sha-1".to_owned()
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "the certificate is that of an authority, which is good for a server only where it is given itself as trusted".to_owned()
            }
            Some(error) => format!("the certificate is not acceptable: {error:?}"),
            None => match other.0.downcast_ref::<Objection>() {
                Some(objection) => objection.to_string(),
                None => format!("the certificate is not acceptable: {other}"),
            },
        },
        other => format!("the certificate is not acceptable: {other}"),
    }
}

/// Which names the certificate has and which was asked for.
fn names(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    // As webpki writes them: `DnsName("a.example")`, `IpAddress(10.0.0.1)`.
    let names = presented.iter().filter_map(|name| {
        let inner = name.strip_suffix(')')?;
        let inner = inner
            .strip_prefix("DnsName(")
            .or_else(|| inner.strip_prefix("IpAddress("))?;
        let plain = inner.trim_matches('"').chars().filter(|c| !c.is_control());
        Some(plain.take(MAX_NAME).collect::<String>())
    });
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        return format!("the certificate names no host as an alternative name, not {expected}");
    }
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let mut list = names.join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    format!("the certificate is for {list}, not for {expected}")
}

fn received(alert: AlertDescription, credentials: Credentials) -> String {
    if let Some(reason) = about_client(alert) {
        return match (credentials, alert) {
            (Credentials::None, _) => {
                "the server wants a client certificate, and none was given".to_owned()
            }
            (Credentials::Given, AlertDescription::CertificateRequired) => {
                "the server wants a client certificate of another kind".to_owned()
            }
            (Credentials::Given, _) => {
                format!("the server refused the client certificate: {reason}")
            }
        };
    }
    match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            let certificate = match credentials {
                Credentials::None => "it wants a client certificate",
                Credentials::Given => "it refuses the client certificate",
            };
            format!(
                "the server refused the handshake: it accepts no common cipher, or {certificate}"
            )
        }
        AlertDescription::ProtocolVersion => NO_VERSION.to_owned(),
        AlertDescription::UnrecognisedName => "the server has no host of this name".to_owned(),
        AlertDescription::NoApplicationProtocol => {
            "the server speaks none of the offered application protocols".to_owned()
        }
        AlertDescription::InternalError => "the server reports an error of its own".to_owned(),
        other => format!("the server ended it with the alert {other:?}"),
    }
}

/// The alerts that speak of a client's certificate when they come from a server, and what they say of it.
fn about_client(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => "there is none",
        AlertDescription::BadCertificate => "it is not good",
        AlertDescription::UnsupportedCertificate => "its kind is not supported",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::CertificateUnknown => "it is not acceptable",
        AlertDescription::UnknownCA => "its authority is unknown to the server",
        AlertDescription::AccessDenied => "its owner has no access",
        _ => return None,
    })
}

fn incompatible(error: &PeerIncompatible) -> String {
    match error {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => NO_VERSION.to_owned(),
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon => {
            "there is no cipher that both sides accept".to_owned()
        }
        other => format!("the server lacks something that tls needs: {other:?}"),
    }
}

fn date(time: UnixTime) -> String {
    // What the date's text cannot hold is as good as at its end.
    let seconds = time.as_secs().min(LAST_SECOND);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

const NO_VERSION: &str = "the server speaks no version of tls that is allowed here";

/// Names of a certificate that are shown.
const MAX_NAMES: usize = 5;

/// Characters of each: as long as a host name can be (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;

/// The end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// No socket gives this kind to a reader or writer, so it cannot be taken for another.
const REFUSAL: io::ErrorKind = io::ErrorKind::PermissionDenied;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_certificate_can_do_no_harm() {
        let expected = ServerName::try_from("a.test").unwrap();
        let long = format!("DnsName(\"{}\")", "x".repeat(60_000));
        for (presented, said) in [
            (&["DnsName(\"b\u{1b}[31m\n.test\")"][..], "b[31m.test, not"),
            (
                &["IpAddress(::1)", "DirectoryName"],
                "is for ::1, not for a.test",
            ),
            (&["Unsupported(0x1)", "DnsName("], "names no host"),
            (&[&long], "xxx, not for a.test"),
        ] {
            let presented: Vec<String> = presented.iter().map(|&name| name.to_owned()).collect();
            let text = names(&expected, &presented);
            assert!(text.contains(said) && text.len() < 400, "{text}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn dates_beyond_the_calendar() {
        for seconds in [0, LAST_SECOND, LAST_SECOND + 1, u64::MAX] {
            let date = date(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
            assert!(date.ends_with(" GMT"), "{date}");
        }
    }
}

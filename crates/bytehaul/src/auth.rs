//! Credentials that a request carries, and how they are written into it.

use std::fmt;

use data_encoding::BASE64;
use http::HeaderValue;

use crate::error::DownloadError;

/// Credentials for a server: what `Authorization` says.
///
/// They go to the origin (scheme, host and port) of the URL that they are given with, and nowhere else: not along with
/// a redirect to another origin, not to a mirror on one. Neither `Debug` nor any log shows them.
///
/// ```
/// use bytehaul::{Auth, DownloadSpec};
///
/// let spec = DownloadSpec::new("https://example.com/big.iso").auth(Auth::bearer("token"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Auth(Credentials);

#[derive(Clone, PartialEq, Eq)]
enum Credentials {
    Bearer(String),
    Basic { user: String, password: String },
}

impl Auth {
    /// A token (RFC 6750).
    pub fn bearer(token: impl Into<String>) -> Self {
        Self(Credentials::Bearer(token.into()))
    }

    /// A user name, which has no colon, and a password (RFC 7617).
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Credentials::Basic {
            user: user.into(),
            password: password.into(),
        })
    }

    /// The value of `Authorization`.
    pub(crate) fn field(&self) -> Result<HeaderValue, DownloadError> {
        let unusable = |what| Err(DownloadError::parameter("auth", what));
        let text = match &self.0 {
            Credentials::Bearer(token) if token.is_empty() => {
                return unusable("the token is empty");
            }
            Credentials::Bearer(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                return unusable("the token has characters that cannot be sent");
            }
            Credentials::Bearer(token) => format!("Bearer {token}"),
            Credentials::Basic { user, .. } if user.contains(':') => {
                return unusable("the user name has a colon");
            }
            Credentials::Basic { user, password } => {
                format!(
                    "Basic {}",
                    BASE64.encode(format!("{user}:{password}").as_bytes())
                )
            }
        };
        let mut value =
            HeaderValue::try_from(text).expect("graphic characters and base64 are a header value");
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Auth {
    /// Shows the kind alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Credentials::Bearer(_) => "Auth::bearer(…)",
            Credentials::Basic { .. } => "Auth::basic(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(auth: Auth, expected: Result<&str, &str>) {
        let field = auth.field();
        match (&field, expected) {
            (Ok(value), Ok(text)) => {
                assert_eq!(value, text);
                assert!(value.is_sensitive());
            }
            (Err(error), Err(text)) => assert_eq!(error.to_string(), text),
            _ => panic!("{field:?}"),
        }
        let shown = format!("{auth:?} {auth:#?} {field:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_is_written() {
        check(Auth::bearer("hunter2.x"), Ok("Bearer hunter2.x"));
        check(
            Auth::basic("Aladdin", "open sésame"),
            Ok("Basic QWxhZGRpbjpvcGVuIHPDqXNhbWU="),
        );
        check(Auth::basic("", ""), Ok("Basic Og=="));
    }

    #[test]
    fn what_cannot_be_written() {
        check(Auth::bearer(""), Err("invalid auth: the token is empty"));
        for token in ["hunter2\n", "a hunter2", "hunter2\u{e9}"] {
            let what = "invalid auth: the token has characters that cannot be sent";
            check(Auth::bearer(token), Err(what));
        }
        let what = "invalid auth: the user name has a colon";
        check(Auth::basic("a:b", "hunter2"), Err(what));
    }
}

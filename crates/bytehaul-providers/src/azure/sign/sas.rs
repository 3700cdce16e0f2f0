//! Service SAS: a query that lets its bearer do this and that to one blob or container for a while.

use std::time::SystemTime;

use crate::azure::address::encoded;
use crate::azure::sign::{SharedKey, VERSION};
use crate::{Secret, clock};

/// What a service SAS allows, to be signed by [`SharedKey::sas`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Sas {
    /// Letters of `sp` in Azure's order, `racwd…`: `r` reads, `c` creates, `w` writes and commits, `d` deletes, `l` lists a container.
    pub permissions: String,
    /// Until when it is good. Whole seconds.
    pub expires: SystemTime,
    /// From when on. `None`: from now on, which a server whose clock is behind may take for the future if it is said.
    pub starts: Option<SystemTime>,
    /// Whether it is good over TLS alone. Default true.
    pub https_only: bool,
    /// The address or `first-last` range of addresses that may use it.
    pub ip: Option<String>,
    /// The stored access policy that it refers to.
    pub identifier: Option<String>,
    /// The `Cache-Control` of answers to it.
    pub cache_control: Option<String>,
    /// The `Content-Disposition` of answers to it.
    pub content_disposition: Option<String>,
    /// The `Content-Encoding` of answers to it.
    pub content_encoding: Option<String>,
    /// The `Content-Language` of answers to it.
    pub content_language: Option<String>,
    /// The `Content-Type` of answers to it.
    pub content_type: Option<String>,
}

impl Sas {
    /// These permissions until then.
    pub fn new(permissions: impl Into<String>, expires: SystemTime) -> Self {
        Self {
            permissions: permissions.into(),
            expires,
            starts: None,
            https_only: true,
            ip: None,
            identifier: None,
            cache_control: None,
            content_disposition: None,
            content_encoding: None,
            content_language: None,
            content_type: None,
        }
    }

    /// Lets it be used without TLS too, as with emulators.
    #[must_use]
    pub fn over_http(mut self) -> Self {
        self.https_only = false;
        self
    }
}

impl SharedKey {
    /// The query, without `?`, that allows this for one blob of a container, or for the container. Names are as they are, not
    /// encoded ([service SAS](https://learn.microsoft.com/rest/api/storageservices/create-service-sas), from version 2020-12-06).
    pub fn sas(&self, container: &str, blob: Option<&str>, sas: &Sas) -> Secret {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let resource = match blob {
            Some(blob) => format!("/blob/{}/{container}/{blob}", self.account()),
            None => format!("/blob/{}/{container}", self.account()),
        };
        let kind = if blob.is_some() { "b" } else { "c" };
        let protocol = if sas.https_only {
            "https"
        } else {
            "https,http"
        };
        let starts = sas.starts.map(extended).unwrap_or_default();
        let expires = extended(sas.expires);
        let to_sign = [
            &sas.permissions,
            &starts,
            &expires,
            &resource,
            &text(&sas.identifier),
            &text(&sas.ip),
            protocol,
            VERSION,
            kind,
            // Neither a snapshot nor a scope of encryption.
            "",
            "",
            &text(&sas.cache_control),
            &text(&sas.content_disposition),
            &text(&sas.content_encoding),
            &text(&sas.content_language),
            &text(&sas.content_type),
        ];
        let signature = self.signature(to_sign.join("\n").as_bytes());
        let parameters = [
            ("sv", VERSION),
            ("st", &starts),
            ("se", &expires),
            ("sr", kind),
            ("sp", &sas.permissions),
            ("spr", protocol),
            ("sip", &text(&sas.ip)),
            ("si", &text(&sas.identifier)),
            ("rscc", &text(&sas.cache_control)),
            ("rscd", &text(&sas.content_disposition)),
            ("rsce", &text(&sas.content_encoding)),
            ("rscl", &text(&sas.content_language)),
            ("rsct", &text(&sas.content_type)),
            ("sig", &signature),
        ];
        let given = parameters.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<_> = given
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        Secret::new(pairs.join("&"))
    }
}

/// `2026-01-31T12:00:00Z`.
fn extended(at: SystemTime) -> String {
    let basic = clock::basic(at);
    let part = |from: usize, to: usize| basic.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}:{}:{}",
        part(0, 4),
        part(4, 6),
        part(6, 11),
        part(11, 13),
        part(13, 16)
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_extended() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(
                extended(UNIX_EPOCH + Duration::from_secs(seconds)),
                expected
            );
        };
        check(0, "1970-01-01T00:00:00Z");
        check(1_769_862_896, "2026-01-31T12:34:56Z");
        check(u64::MAX / 4, "9999-12-31T23:59:59Z");
    }
}

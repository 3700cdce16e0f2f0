//! Which query parameters are parts of signatures, which may be secrets, and which are neither.

use percent_encoding::percent_decode_str;

/// One parameter of a query, as written and with its name made comparable.
pub(super) struct Pair<'a> {
    pub(super) raw: &'a str,
    raw_name: &'a str,
    /// Decoded and in lower case.
    pub(super) name: String,
    pub(super) value: Option<&'a str>,
}

/// How a parameter is to be treated.
#[derive(PartialEq, Eq)]
pub(super) enum Sensitivity {
    /// Part of a signature or an access token: another one tomorrow, for the same object.
    Fleeting,
    /// May be a secret, and may name the object.
    Secret,
    Plain,
}

impl<'a> Pair<'a> {
    pub(super) fn new(raw: &'a str) -> Self {
        let (raw_name, value) = match raw.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (raw, None),
        };
        let name = percent_decode_str(raw_name)
            .decode_utf8_lossy()
            .to_ascii_lowercase();
        Self {
            raw,
            raw_name,
            name,
            value,
        }
    }

    pub(super) fn shown_name(&self) -> &'a str {
        if self.raw_name.len() > LONG {
            HIDDEN
        } else {
            self.raw_name
        }
    }
}

pub(super) fn sensitivity(pair: &Pair<'_>, signed_by_azure: bool) -> Sensitivity {
    let name = pair.name.as_str();
    let is_of_a_signature = FLEETING.contains(&name)
        || FLEETING_STARTS.iter().any(|start| name.starts_with(start))
        || FLEETING_ENDS.iter().any(|end| name.ends_with(end))
        || (signed_by_azure && AZURE.contains(&name));
    if is_of_a_signature {
        Sensitivity::Fleeting
    } else if is_secret(pair) {
        Sensitivity::Secret
    } else {
        Sensitivity::Plain
    }
}

pub(super) fn is_secret(pair: &Pair<'_>) -> bool {
    let name = pair.name.as_str();
    SECRET.contains(&name)
        || SECRET_ENDS.iter().any(|end| name.ends_with(end))
        || pair.value.is_some_and(|value| value.len() > LONG)
        || (pair.value.is_none() && pair.raw_name.len() > LONG)
}

/// What is shown in place of a secret.
pub(super) const HIDDEN: &str = "***";

/// Characters from which on a value (or a lone word) is taken for a secret.
const LONG: usize = 24;

/// Values that are never shown.
const SECRET: &[&str] = &[
    "sig",
    "key",
    "apikey",
    "api-key",
    "pass",
    "passwd",
    "pwd",
    "auth",
    "authorization",
    "jwt",
    "sas",
    "policy",
    "hmac",
    "ossaccesskeyid",
    "awsaccesskeyid",
    "accesskeyid",
    "googleaccessid",
    "key-pair-id",
    "x-amz-credential",
    "code",
    "ticket",
];
const SECRET_ENDS: &[&str] = &[
    "signature",
    "token",
    "credential",
    "credentials",
    "secret",
    "password",
    "api_key",
    "access_key",
    "accesskey",
    "session",
];

/// Parts of presigned URLs: S3 (both versions), CloudFront, Google, OSS, COS, OBS, and the usual names of access tokens.
const FLEETING: &[&str] = &[
    "sig",
    "signature",
    "expires",
    "expiry",
    "exp",
    "policy",
    "key-pair-id",
    "awsaccesskeyid",
    "ossaccesskeyid",
    "accesskeyid",
    "googleaccessid",
    "token",
    "credential",
    "password",
    "passwd",
    "pwd",
    "api_key",
    "apikey",
    "api-key",
    "jwt",
    "hmac",
    "sas",
    "authorization",
    "hdnts",
    "hdnea",
    "sign",
    "q-sign-algorithm",
    "q-ak",
    "q-sign-time",
    "q-key-time",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
];
/// `x-amz-` also begins `x-amz-version-id` and checksums, which are no part of a signature.
const FLEETING_STARTS: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
    "x-goog-algorithm",
    "x-goog-credential",
    "x-goog-date",
    "x-goog-expires",
    "x-goog-signature",
    "x-goog-signedheaders",
    "x-oss-signature",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "x-oss-security-token",
    "x-oss-additional-headers",
    "x-tos-algorithm",
    "x-tos-credential",
    "x-tos-date",
    "x-tos-expires",
    "x-tos-signature",
];
const FLEETING_ENDS: &[&str] = &["_token", "-token", "-signature", "_signature", "secret"];
const AZURE: &[&str] = &[
    "se", "sp", "sv", "sr", "st", "spr", "sip", "si", "ss", "srt", "sdd", "skoid", "sktid", "skt",
    "ske", "sks", "skv", "saoid", "suoid", "scid", "ses",
];

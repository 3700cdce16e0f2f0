//! What both dialects read and write the same way: numbers in fields, the URL of an upload resource, metadata, extensions.

use data_encoding::BASE64;
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use crate::{Answer, Fault, Object, ProtocolError, ProtocolErrorKind};

/// The decimal number in a field; `None` if the field is absent.
///
/// # Errors
/// It is there and is no number, is beyond `u64`, or comes several times with different values.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, ProtocolError> {
    let Some(text) = only(headers, name)? else {
        return Ok(None);
    };
    // `parse` alone would take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        Ok(_) | Err(_) => Err(malformed(name)),
    }
}

/// The URL of the upload resource that an answer names, absolute and fit to send bytes to.
///
/// # Errors
/// There is none, it cannot be understood, or it would take the bytes off TLS to another host.
pub(super) fn location(answer: &Answer<'_>) -> Result<Url, ProtocolError> {
    let text = only(answer.headers, "location")?.ok_or_else(|| {
        let what = "the server began an upload and did not say where";
        ProtocolError::new(ProtocolErrorKind::Parse, what)
    })?;
    let joined = (text.len() <= LONGEST_URL).then(|| answer.url.join(text));
    let Some(Ok(mut url)) = joined else {
        return Err(malformed("location"));
    };
    url.set_fragment(None);
    if answer.url.scheme() == "https" && url.scheme() == "http" {
        // Servers behind a proxy that ends TLS, such as @tus/server, name themselves as they were reached by it.
        let ports = [answer.url.port(), answer.url.port_or_known_default()];
        let same = url.host() == answer.url.host() && ports.contains(&url.port());
        if !(same && url.set_scheme("https").is_ok()) {
            let what = "the server names an upload URL without TLS though it was reached by TLS";
            return Err(ProtocolError::new(ProtocolErrorKind::Parse, what));
        }
    }
    if !is_usable(&url) {
        return Err(malformed("location"));
    }
    Ok(url)
}

/// Whether requests can go there at all.
pub(super) fn is_usable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// The URL that an earlier run kept, if it still is one.
pub(super) fn kept(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    is_usable(&url).then_some(url)
}

/// `Upload-Metadata` (tus 1.0.0, creation): names, and values in base64. `None` if there is nothing to say.
///
/// With `file`, the name and media type of the file are among them under the names that servers look for, `filename` and
/// `filetype`, unless the caller uses these himself. The type is always told, because tuspyserver does not answer for
/// uploads without both.
///
/// # Errors
/// A name is empty, comes twice, or holds what the protocol does not allow in one.
pub(super) fn metadata(object: &Object, file: bool) -> Result<Option<HeaderValue>, ProtocolError> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &object.metadata {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(ProtocolError::parameter(
                "metadata",
                format_args!(
                    "the name {name:?} is empty or holds spaces, commas or other than ASCII"
                ),
            ));
        }
        if pairs.iter().any(|(other, _)| other == name) {
            let reason = format_args!("the name {name:?} comes twice");
            return Err(ProtocolError::parameter("metadata", reason));
        }
        pairs.push((name, value));
    }
    if file {
        let kind = object
            .content_type
            .as_deref()
            .unwrap_or("application/octet-stream");
        for (name, value) in [("filename", object.name.as_str()), ("filetype", kind)] {
            if !value.is_empty() && !pairs.iter().any(|(other, _)| *other == name) {
                pairs.push((name, value));
            }
        }
    }
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| match value.is_empty() {
            true => (*name).to_owned(),
            false => format!("{name} {}", BASE64.encode(value.as_bytes())),
        })
        .collect();
    if encoded.is_empty() {
        return Ok(None);
    }
    let value = HeaderValue::try_from(encoded.join(",")).expect("names and base64 are ASCII");
    Ok(Some(value))
}

/// Whether a comma-separated field names this, whatever the case.
pub(super) fn lists(headers: &HeaderMap, field: &str, name: &str) -> bool {
    headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(name))
}

/// Whether the status says that there is no such upload, or no longer.
pub(super) fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Whether the answer to a request that discards an upload leaves nothing to do: it is gone, or the server does not let
/// clients discard and will do so by itself.
pub(super) fn is_discarded(status: StatusCode) -> bool {
    status.is_success()
        || is_gone(status)
        || matches!(
            status,
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        )
}

/// What a status means of which a request makes nothing of its own.
pub(super) fn refused(status: StatusCode) -> Fault {
    match status {
        StatusCode::LOCKED => Fault::Again("the upload is locked by another request".into()),
        _ => Fault::Status,
    }
}

/// The text of a field that has to have one value.
pub(super) fn only<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a str>, ProtocolError> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(malformed(name));
    }
    let text = std::str::from_utf8(first.as_bytes()).map_err(|_| malformed(name))?;
    Ok(Some(text.trim()))
}

/// The field's value cannot be understood. The value itself is not shown: it may be a URL that is a secret.
pub(super) fn malformed(name: &str) -> ProtocolError {
    let what = format!("the {name} field of the answer cannot be understood");
    ProtocolError::new(ProtocolErrorKind::Parse, what)
}

/// Bytes of an upload URL; a longer one would not fit into the request line of common servers.
const LONGEST_URL: usize = 8 << 10;

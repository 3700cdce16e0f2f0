//! Header fields of a response, as a hostile server may write them.

use std::time::{Duration, SystemTime};

use bytehaul_transport::Url;
use bytehaul_transport::file_name::sanitize;
use bytehaul_transport::headers::{self, ContentRange, ETag, Link};
use bytehaul_transport::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// A `Content-Range` that is accepted is a range within its total, and reads the same when written again.
pub fn content_range(data: &[u8]) {
    let Ok(parsed) = ContentRange::parse(data) else {
        return;
    };
    if let ContentRange::Satisfied { range, total } = &parsed {
        assert!(range.start < range.end, "an empty range: {range:?}");
        assert!(
            total.is_none_or(|total| range.end <= total),
            "{range:?} beyond {total:?}"
        );
    }
    assert_eq!(
        ContentRange::parse(parsed.to_string().as_bytes()),
        Ok(parsed)
    );
}

/// Whatever the server calls the file, the name is harmless, and making it harmless twice changes nothing.
pub fn content_disposition(data: &[u8]) {
    let Some(fields) = single(header::CONTENT_DISPOSITION, data) else {
        return;
    };
    let Some(name) = headers::content_disposition_filename(&fields) else {
        return;
    };
    let Some(name) = sanitize(&name) else { return };
    harmless(&name);
}

/// A `Retry-After` in whichever form is a wait that can be counted.
pub fn retry_after(data: &[u8]) {
    let Some(fields) = single(header::RETRY_AFTER, data) else {
        return;
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let Some(wait) = headers::retry_after(&fields, now) else {
        return;
    };
    let later = headers::retry_after(&fields, now + Duration::from_secs(1))
        .expect("the clock does not change the form");
    assert!(
        later <= wait,
        "waiting makes the wait longer: {wait:?}, then {later:?}"
    );
}

/// A tag is equal to itself, strongly unless it is weak, and a pair compares the same both ways.
pub fn etag(data: &[u8]) {
    let (left, right) = data.split_at(data.len() / 2);
    let Some(tag) = ETag::parse(data) else { return };
    assert!(tag.weak_eq(&tag));
    assert_eq!(tag.strong_eq(&tag), !tag.is_weak());
    let (Some(left), Some(right)) = (ETag::parse(left), ETag::parse(right)) else {
        return;
    };
    assert_eq!(left.strong_eq(&right), right.strong_eq(&left));
    assert!(left.weak_eq(&right) || !left.strong_eq(&right));
}

/// There are no more links than angle brackets, and what they lead to is a URL; looking at one shows no query.
pub fn link(data: &[u8]) {
    let Some(fields) = single(header::LINK, data) else {
        return;
    };
    let base = Url::parse("http://example.com/a/b").expect("a URL");
    let links = Link::all(&fields);
    let opened = data.iter().filter(|byte| **byte == b'<').count();
    assert!(
        links.len() <= opened.min(256),
        "{} of {opened}",
        links.len()
    );
    for link in links {
        assert!(!link.target().is_empty() && !link.target().contains('>'));
        if let Some(target) = link.resolve(&base) {
            assert_eq!(Url::parse(target.as_str()).as_ref(), Ok(&target));
        }
        let _ = (
            link.is_about(&base),
            link.has_rel("duplicate"),
            format!("{link:?}"),
        );
    }
}

/// The laws of a name that a server may choose.
pub(crate) fn harmless(name: &str) {
    assert!(
        !name.is_empty() && name.len() <= 255,
        "{} bytes",
        name.len()
    );
    assert!(
        !name.contains(['/', '\\', ':']) && !name.chars().any(char::is_control),
        "{name:?}"
    );
    assert!(
        !name.starts_with(['.', ' ']) && !name.ends_with(['.', ' ']),
        "{name:?}"
    );
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    assert!(
        !matches!(
            stem.as_str(),
            "CON" | "PRN" | "AUX" | "NUL" | "COM1" | "LPT9"
        ),
        "{name:?}"
    );
    assert_eq!(sanitize(name).as_deref(), Some(name));
}

fn single(name: HeaderName, value: &[u8]) -> Option<HeaderMap> {
    let value = HeaderValue::from_bytes(value).ok()?;
    Some(HeaderMap::from_iter([(name, value)]))
}

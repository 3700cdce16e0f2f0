//! What a response head means for the range that was asked for, before a byte of its body is used.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytehaul_integrity::headers::{Response as Shape, representation_digests};
use bytehaul_transport::SafeUrl;
use bytehaul_transport::headers::{ContentRange, ETag, retry_after};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use crate::error::is_transient;
use crate::identity::Identity;

/// A response head, understood.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Answer {
    /// Some bytes of the file (206): which, and of how many when the server says so.
    Part {
        range: Range<u64>,
        total: Option<u64>,
    },
    /// The whole file (200), ranges ignored or not asked for.
    Whole { len: Option<u64> },
    /// There is nothing in that range (416); the file's length when the server says so.
    Unsatisfiable { total: Option<u64> },
    /// Not now (408, 425, 429, 5xx): worth another try, not before `after` when the server says so.
    Later {
        status: StatusCode,
        after: Option<Duration>,
    },
    /// No (every other status).
    Refused { status: StatusCode },
    /// The head contradicts itself or cannot be used for ranges; one stream may still work.
    Unreliable { what: String },
    /// The head cannot be used at all.
    Unusable { what: String },
}

/// Understands a response head. `body_len` is the body's length as the framing gives it. An encoding makes the content of a file another
/// one, unless it is that of what a provider has `stored`, which it says and does not undo.
pub(crate) fn interpret(
    stored: bool,
    status: StatusCode,
    headers: &HeaderMap,
    body_len: Option<u64>,
    now: SystemTime,
) -> Answer {
    if !stored
        && matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT)
        && let Some(encoding) = foreign_encoding(headers)
    {
        let what = format!("{encoding}-encoded content although it was asked for as it is");
        return Answer::Unusable { what };
    }
    match status {
        StatusCode::OK => Answer::Whole { len: body_len },
        StatusCode::PARTIAL_CONTENT => part(headers, body_len),
        StatusCode::RANGE_NOT_SATISFIABLE => Answer::Unsatisfiable {
            total: unsatisfied_total(headers),
        },
        status if is_transient(status) => {
            let after = retry_after(headers, now);
            Answer::Later { status, after }
        }
        status => Answer::Refused { status },
    }
}

/// What the head says of the file's version; `total` is the file's length as far as this answer tells it.
pub(crate) fn identity(
    url: &SafeUrl,
    status: StatusCode,
    headers: &HeaderMap,
    total: Option<u64>,
) -> Identity {
    let shape = if status == StatusCode::PARTIAL_CONTENT {
        Shape::Partial
    } else {
        Shape::Whole
    };
    let fields = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    Identity {
        url: url.identity(),
        len: total,
        etag: ETag::of(headers),
        last_modified: headers
            .get(LAST_MODIFIED)
            .and_then(|value| Some(value.to_str().ok()?.trim().to_owned())),
        digests: representation_digests(fields, shape),
    }
}

fn part(headers: &HeaderMap, body_len: Option<u64>) -> Answer {
    let multipart = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .to_ascii_lowercase()
                .starts_with("multipart/byteranges")
        });
    if multipart {
        return Answer::Unreliable {
            what: "several ranges although one was asked for".into(),
        };
    }
    let (range, total) = match ContentRange::of(headers) {
        Some(Ok(ContentRange::Satisfied { range, total })) => (range, total),
        Some(_) => {
            return Answer::Unreliable {
                what: "a 206 whose Content-Range cannot be read".into(),
            };
        }
        None => {
            return Answer::Unreliable {
                what: "a 206 without Content-Range".into(),
            };
        }
    };
    if total.is_some_and(|total| total > MOST_BYTES) {
        return Answer::Unusable {
            what: "a length that no file can have".into(),
        };
    }
    let len = range.end - range.start;
    match body_len {
        Some(body) if body != len => Answer::Unreliable {
            what: format!("a 206 of {body} bytes whose Content-Range says {len}"),
        },
        Some(_) | None => Answer::Part { range, total },
    }
}

/// File offsets are signed.
const MOST_BYTES: u64 = i64::MAX as u64;

fn unsatisfied_total(headers: &HeaderMap) -> Option<u64> {
    match ContentRange::of(headers)?.ok()? {
        ContentRange::Unsatisfied { total } => Some(total),
        ContentRange::Satisfied { .. } => None,
    }
}

fn foreign_encoding(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_ENCODING)?;
    let text = String::from_utf8_lossy(value.as_bytes())
        .trim()
        .to_ascii_lowercase();
    let plain = text.is_empty() || text == "identity";
    (!plain).then(|| {
        text.chars()
            .take(32)
            .filter(char::is_ascii_graphic)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields.split('|').map(str::trim).filter(|f| !f.is_empty()) {
            let (name, value) = field.split_once(':').expect("name: value");
            let name = http::HeaderName::from_bytes(name.trim().as_bytes()).expect("a name");
            headers.append(name, value.trim().parse().expect("a value"));
        }
        headers
    }

    fn announced(headers: &HeaderMap) -> Option<u64> {
        headers
            .get(http::header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }

    fn check(status: u16, fields: &str, expected: &str) {
        let headers = head(fields);
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = interpret(
            false,
            status,
            &headers,
            announced(&headers),
            SystemTime::UNIX_EPOCH,
        );
        let text = match answer {
            Answer::Part { range, total } => format!("part {range:?} of {total:?}"),
            Answer::Whole { len } => format!("whole {len:?}"),
            Answer::Unsatisfiable { total } => format!("unsatisfiable {total:?}"),
            Answer::Later { after, .. } => format!("later {after:?}"),
            Answer::Refused { .. } => "refused".into(),
            Answer::Unreliable { .. } => "unreliable".into(),
            Answer::Unusable { .. } => "unusable".into(),
        };
        assert_eq!(text, expected, "{status} {fields}");
    }

    #[test]
    fn what_is_stored_encoded_is_the_file() {
        let headers = head("content-length: 5 | content-encoding: gzip");
        let answer = |stored| {
            let now = SystemTime::UNIX_EPOCH;
            interpret(stored, StatusCode::OK, &headers, Some(5), now)
        };
        assert!(matches!(answer(true), Answer::Whole { len: Some(5) }));
        assert!(matches!(answer(false), Answer::Unusable { .. }));
    }

    #[test]
    fn the_status_comes_first_then_the_headers() {
        check(200, "content-length: 5", "whole Some(5)");
        check(
            200,
            "content-length: 5 | content-range: bytes 0-4/9",
            "whole Some(5)",
        );
        check(
            206,
            "content-length: 5 | content-range: bytes 5-9/20",
            "part 5..10 of Some(20)",
        );
        check(
            206,
            "content-length: 5 | content-range: bytes 5-9/*",
            "part 5..10 of None",
        );
        check(206, "content-length: 5", "unreliable");
        check(
            206,
            "content-length: 6 | content-range: bytes 5-9/20",
            "unreliable",
        );
        check(206, "content-range: bytes 9-5/20", "unreliable");
        check(206, "content-range: bytes 5-9/7", "unreliable");
        check(
            206,
            "content-range: bytes 0-9/18446744073709551615",
            "unusable",
        );
        check(
            206,
            "content-type: multipart/byteranges; boundary=x | content-range: bytes 5-9/20",
            "unreliable",
        );
        check(416, "content-range: bytes */20", "unsatisfiable Some(20)");
        check(416, "", "unsatisfiable None");
        check(404, "content-length: 5", "refused");
        check(302, "", "refused");
        check(503, "retry-after: 7", "later Some(7s)");
        check(429, "", "later None");
        check(
            200,
            "content-encoding: gzip | content-length: 5",
            "unusable",
        );
        check(
            200,
            "content-encoding: identity | content-length: 5",
            "whole Some(5)",
        );
    }
}

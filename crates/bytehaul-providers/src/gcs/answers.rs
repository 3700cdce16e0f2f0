//! What the answers of a session say: how much is kept, where the session is, what the object is like.

use bytehaul_integrity::headers::{Response, declared};
use url::Url;

use crate::{Algorithm, Answer, Completed, Digest, ProtocolError, ProtocolErrorKind};

/// Bytes from the start that the server has kept, by a `308`: without `Range` there are none.
pub(super) fn kept(answer: &Answer<'_>) -> Result<u64, ProtocolError> {
    let Some(value) = answer.headers.get("range") else {
        return Ok(0);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    let last = text.strip_prefix("0-").filter(|last| {
        // What `parse` takes beyond digits is no number here.
        !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
    });
    let kept = last.and_then(|last| last.parse::<u64>().ok()?.checked_add(1));
    kept.ok_or_else(|| {
        let what = "the server says in no understandable way how much it has";
        ProtocolError::new(ProtocolErrorKind::Range, what)
    })
}

/// The URL of the session that was opened. One that began over TLS does not go on without.
pub(super) fn location(answer: &Answer<'_>) -> Result<Url, ProtocolError> {
    let url = answer
        .header("location")
        .and_then(|text| answer.url.join(text).ok());
    let fits = |url: &Url| match url.scheme() {
        "https" => true,
        scheme => scheme == "http" && answer.url.scheme() == "http",
    };
    url.filter(fits).ok_or_else(|| {
        let what = "the answer to the opening of the session does not say where it is";
        ProtocolError::new(ProtocolErrorKind::Parse, what)
    })
}

/// What the server says of the finished object.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) completed: Completed,
    pub(super) size: Option<u64>,
    pub(super) crc32c: Option<Digest>,
}

/// Reads the object's description, in JSON or in fields; neither has to be there.
pub(super) fn finished(answer: &Answer<'_>) -> Finished {
    let json: serde_json::Value = serde_json::from_slice(answer.body).unwrap_or_default();
    let text = |name: &str| {
        json.get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let fields = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let mut named = declared(fields, Response::Head)
        .into_iter()
        .map(|one| one.digest);
    let crc32c = text("crc32c")
        .and_then(|text| Digest::parse_base64(Algorithm::Crc32c, &text).ok())
        .or_else(|| named.find(|digest| digest.algorithm() == Algorithm::Crc32c));
    Finished {
        completed: Completed {
            location: text("selfLink"),
            etag: text("etag").or_else(|| answer.header("etag").map(str::to_owned)),
            payload: (!answer.body.is_empty()).then(|| answer.body.clone()),
            verified: None,
        },
        size: text("size").and_then(|size| size.parse().ok()),
        crc32c,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn with<T>(
        name: &'static str,
        value: &[u8],
        body: &str,
        read: impl FnOnce(&Answer<'_>) -> T,
    ) -> T {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        let body = Bytes::copy_from_slice(body.as_bytes());
        let url = Url::parse("https://h/o?uploadType=resumable").unwrap();
        read(&Answer::new(StatusCode::OK, &headers, &body, &url))
    }

    #[test]
    fn how_much_is_kept() {
        let check = |value: &[u8], expected: Option<u64>| {
            assert_eq!(with("range", value, "", kept).ok(), expected);
        };
        check(b"bytes=0-0", Some(1));
        check(b"0-262143", Some(262_144));
        for bad in [
            "",
            "bytes=1-5",
            "bytes=0-",
            "bytes=0--1",
            "bytes=0-+1",
            "bytes=0-18446744073709551615",
            "\u{fc}",
        ] {
            check(bad.as_bytes(), None);
        }
        assert_eq!(with("x", b"y", "", kept).unwrap(), 0);
    }

    #[test]
    fn where_the_session_is() {
        let check = |value: &[u8], expected: Option<&str>| {
            let url = with("location", value, "", location).ok();
            assert_eq!(url.as_ref().map(Url::as_str), expected);
        };
        check(
            b"https://other/s?upload_id=1",
            Some("https://other/s?upload_id=1"),
        );
        check(b"/s", Some("https://h/s"));
        for bad in ["http://h/s", "ftp://h/s", "http://[", "\u{fc}"] {
            check(bad.as_bytes(), None);
        }
    }

    #[test]
    fn what_the_object_is_like() {
        let check = |name, value: &[u8], body: &str, expected: (Option<u64>, Option<&str>)| {
            let read = with(name, value, body, finished);
            let crc = read.crc32c.map(|crc| crc.base64());
            assert_eq!((read.size, crc.as_deref()), expected, "{body}");
        };
        check(
            "x",
            b"y",
            r#"{"size": "3", "crc32c": "yZRlqg=="}"#,
            (Some(3), Some("yZRlqg==")),
        );
        check(
            "x-goog-hash",
            b"crc32c=yZRlqg==",
            "",
            (None, Some("yZRlqg==")),
        );
        for odd in [
            "[]",
            "{\"size\": 3, \"crc32c\": \"x\"}",
            "<a/>",
            "{\"size\": \"-1\"}",
            "null",
        ] {
            check("x", b"y", odd, (None, None));
        }
    }
}

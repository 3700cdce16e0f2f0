//! When an object was last changed, as far as its server says (RFC 9110 section 8.8.2).

use std::time::SystemTime;

use http::HeaderMap;
use http::header::LAST_MODIFIED;

/// The time of `Last-Modified`, to the second. `None` without the field, or when it is no HTTP date.
pub fn last_modified(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(LAST_MODIFIED)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(value: &[u8], seconds: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(LAST_MODIFIED, http::HeaderValue::from_bytes(value).unwrap());
        assert_eq!(
            last_modified(&headers),
            seconds.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s))
        );
    }

    #[test]
    fn all_three_forms_of_a_date() {
        check(b"Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check(b"Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777));
        check(b"Sun Nov  6 08:49:37 1994", Some(784_111_777));
        check(b"yesterday", None);
        check(b"\xff", None);
        assert_eq!(last_modified(&HeaderMap::new()), None);
    }
}

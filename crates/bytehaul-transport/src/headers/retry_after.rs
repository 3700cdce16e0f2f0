//! How long a server asks to be left alone (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The wait that `Retry-After` asks for: a number of seconds, or a date, counted from `now`. A date that has passed is no
/// wait. `None` without the field, or when it is neither.
///
/// The value is not capped here: it is the server's wish, and the caller's decision. A number too large for 64 bits is the
/// longest wait that there is.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &[u8], seconds: Option<u64>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, http::HeaderValue::from_bytes(value).unwrap());
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs));
    }

    #[test]
    fn seconds_and_dates() {
        check(b"0", Some(0));
        check(b" 120 ", Some(120));
        check(b"Sun, 06 Nov 1994 08:49:37 GMT", Some(30));
        check(b"Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check(b"99999999999999999999999", Some(u64::MAX));
        check(b"-1", None);
        check(b"1.5", None);
        check(b"soon", None);
        check(b"", None);
        check(b"\xff", None);
    }
}

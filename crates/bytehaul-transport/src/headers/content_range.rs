//! Which bytes of which whole a partial response holds (RFC 9110 section 14.4).

use std::fmt;
use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_RANGE;

/// A valid `Content-Range` of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes a-b/total` or `bytes a-b/*`: these bytes follow. Never empty, and never beyond the total.
    Satisfied {
        /// The bytes in the body, end exclusive.
        range: Range<u64>,
        /// The length of the whole, unless the server does not know it (`*`).
        total: Option<u64>,
    },
    /// `bytes */total`, with status 416: the range asked for is not within the whole.
    Unsatisfied {
        /// The length of the whole.
        total: u64,
    },
}

impl ContentRange {
    /// The field of a response. `None` without it; `Some(Err)` where it is there but wrong, or there twice with different values.
    pub fn of(headers: &HeaderMap) -> Option<Result<Self, InvalidContentRange>> {
        let mut values = headers.get_all(CONTENT_RANGE).into_iter();
        let first = values.next()?;
        if values.any(|other| other != first) {
            return Some(Err(InvalidContentRange));
        }
        Some(Self::parse(first.as_bytes()))
    }

    /// Parses the value of the field.
    ///
    /// # Errors
    ///
    /// Another unit than bytes, numbers that are none or do not fit into 64 bits, an end before the start, an end beyond the
    /// total.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidContentRange> {
        parse(value).ok_or(InvalidContentRange)
    }
}

/// A `Content-Range` that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("content-range is not valid")]
pub struct InvalidContentRange;

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Satisfied {
                range,
                total: Some(total),
            } => {
                write!(
                    f,
                    "bytes {}-{}/{total}",
                    range.start,
                    range.end.saturating_sub(1)
                )
            }
            Self::Satisfied { range, total: None } => {
                write!(f, "bytes {}-{}/*", range.start, range.end.saturating_sub(1))
            }
            Self::Unsatisfied { total } => write!(f, "bytes */{total}"),
        }
    }
}

fn parse(value: &[u8]) -> Option<ContentRange> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (unit, rest) = text.split_once([' ', '\t'])?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, total) = rest.split_once('/')?;
    let (range, total) = (range.trim(), total.trim());
    if range == "*" {
        return Some(ContentRange::Unsatisfied {
            total: number(total)?,
        });
    }
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first.trim())?, number(last.trim())?);
    let total = if total == "*" {
        None
    } else {
        Some(number(total)?)
    };
    let end = last.checked_add(1)?;
    if first > last || total.is_some_and(|total| end > total) {
        return None;
    }
    Some(ContentRange::Satisfied {
        range: first..end,
        total,
    })
}

/// Digits only: `u64::from_str` would take a plus sign.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<(Option<Range<u64>>, Option<u64>)>) {
        let expected = expected.map(|(range, total)| match range {
            Some(range) => ContentRange::Satisfied { range, total },
            None => ContentRange::Unsatisfied {
                total: total.unwrap(),
            },
        });
        assert_eq!(
            ContentRange::parse(value.as_bytes()).ok(),
            expected,
            "{value}"
        );
    }

    #[test]
    fn valid() {
        check("bytes 0-0/1", Some((Some(0..1), Some(1))));
        check("bytes 5-9/10", Some((Some(5..10), Some(10))));
        check("BYTES 5-9/*", Some((Some(5..10), None)));
        check("bytes */10", Some((None, Some(10))));
        check("  bytes   5 - 9 / 10 ", Some((Some(5..10), Some(10))));
        check(
            "bytes 0-18446744073709551614/18446744073709551615",
            Some((Some(0..u64::MAX), Some(u64::MAX))),
        );
    }

    #[test]
    fn invalid() {
        for value in [
            "",
            "bytes",
            "bytes ",
            "bytes 0-9",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes 0-0/0",
            "bytes */*",
            "items 0-9/10",
            "bytes=0-9/10",
            "bytes -5/10",
            "bytes 5-/10",
            "bytes +5-9/10",
            "bytes 0-18446744073709551615/*",
            "bytes 0-99999999999999999999/*",
            "bytes 0x0-9/10",
            "bytes 0-9/10/11",
            "bytes 0-9/10, bytes 10-19/20",
            "bytes a-b/c",
        ] {
            check(value, None);
        }
        assert!(ContentRange::parse(b"bytes \xff-9/10").is_err());
    }

    #[test]
    fn two_that_differ_say_nothing() {
        let mut headers = HeaderMap::new();
        assert_eq!(ContentRange::of(&headers), None);
        for (value, ok) in [
            ("bytes 0-9/10", true),
            ("bytes 0-9/10", true),
            ("bytes 0-8/10", false),
        ] {
            headers.append(CONTENT_RANGE, http::HeaderValue::from_str(value).unwrap());
            assert_eq!(ContentRange::of(&headers).unwrap().is_ok(), ok);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(value: Vec<u8>) {
            let _ = ContentRange::parse(&value);
        }

        #[test]
        fn what_is_written_is_read(first: u64, length in 1u64.., rest in proptest::option::of(any::<u64>())) {
            let end = first.saturating_add(length);
            prop_assume!(end > first);
            let total = rest.map(|rest| end.saturating_add(rest));
            let written = ContentRange::Satisfied { range: first..end, total };
            prop_assert_eq!(ContentRange::parse(written.to_string().as_bytes()), Ok(written));
        }
    }
}

//! Whether a server says that it serves ranges (RFC 9110 section 14.3).

use http::HeaderMap;
use http::header::ACCEPT_RANGES;

/// What `Accept-Ranges` says. A hint only: many servers that say nothing serve ranges, and some that say `bytes` do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptRanges {
    /// `bytes`.
    Bytes,
    /// `none`, or units that nobody knows.
    None,
}

impl AcceptRanges {
    /// What the fields say, if anything.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut said = None;
        for value in headers.get_all(ACCEPT_RANGES) {
            let is_bytes = value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|unit| unit.trim_ascii().eq_ignore_ascii_case(b"bytes"));
            if is_bytes {
                return Some(Self::Bytes);
            }
            said = Some(Self::None);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&[u8]], expected: Option<AcceptRanges>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_RANGES, http::HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(AcceptRanges::of(&headers), expected);
    }

    #[test]
    fn units() {
        check(&[], None);
        check(&[b"bytes"], Some(AcceptRanges::Bytes));
        check(&[b"none"], Some(AcceptRanges::None));
        check(&[b"items, Bytes"], Some(AcceptRanges::Bytes));
        check(&[b"none", b"bytes"], Some(AcceptRanges::Bytes));
        check(&[b"\xff"], Some(AcceptRanges::None));
        check(&[b""], Some(AcceptRanges::None));
    }
}

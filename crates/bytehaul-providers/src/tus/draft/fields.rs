//! The draft's fields, which are structured ones (RFC 9651): what is malformed counts as absent.

use http::HeaderMap;
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

/// A field that is one boolean.
pub(super) fn boolean(headers: &HeaderMap, name: &str) -> Option<bool> {
    match item(headers, name)? {
        BareItem::Boolean(value) => Some(value),
        _ => None,
    }
}

/// A field that is one integer that is not negative.
pub(super) fn integer(headers: &HeaderMap, name: &str) -> Option<u64> {
    whole(&item(headers, name)?)
}

/// What an upload resource demands (`Upload-Limit`). `None` stands for no such limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Limits {
    /// Bytes of an object at most.
    pub max_size: Option<u64>,
    /// Bytes of an object at least.
    pub min_size: Option<u64>,
    /// Bytes of one append at most.
    pub max_append: Option<u64>,
    /// Bytes of one append at least, but for the last one.
    pub min_append: Option<u64>,
    /// Seconds that the resource will be kept.
    pub max_age: Option<u64>,
}

impl Limits {
    /// The limits in an answer. The whole field is ignored if a limit in it is no integer, as the draft has it.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = text(headers, "upload-limit")?;
        let members: Dictionary = Parser::new(&text).parse().ok()?;
        let mut limits = Self::default();
        for (key, value) in &members {
            let limit = match key.as_str() {
                "max-size" => &mut limits.max_size,
                "min-size" => &mut limits.min_size,
                "max-append-size" => &mut limits.max_append,
                "min-append-size" => &mut limits.min_append,
                "max-age" => &mut limits.max_age,
                _ => continue,
            };
            let ListEntry::Item(item) = value else {
                return None;
            };
            *limit = Some(whole(&item.bare_item)?);
        }
        Some(limits)
    }

    /// These limits, and those of before for which there is none.
    pub(super) fn or(self, before: Self) -> Self {
        Self {
            max_size: self.max_size.or(before.max_size),
            min_size: self.min_size.or(before.min_size),
            max_append: self.max_append.or(before.max_append),
            min_append: self.min_append.or(before.min_append),
            max_age: self.max_age.or(before.max_age),
        }
    }
}

/// A kind of problem that the draft names (RFC 9457).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    /// The offset in the request is not that of the upload.
    MismatchingOffset,
    /// The upload is complete already.
    Completed,
    /// The lengths that were told do not fit together, or bytes came after completion.
    InconsistentLength,
}

impl Problem {
    /// The problem that an answer's body tells, if it is one of these.
    pub(super) fn of(body: &[u8]) -> Option<Self> {
        let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
        let name = problem.get("type")?.as_str()?.strip_prefix(PROBLEMS)?;
        Some(match name {
            "mismatching-upload-offset" => Self::MismatchingOffset,
            "completed-upload" => Self::Completed,
            "inconsistent-upload-length" => Self::InconsistentLength,
            _ => return None,
        })
    }
}

fn item(headers: &HeaderMap, name: &str) -> Option<BareItem> {
    let text = text(headers, name)?;
    let item: Item = Parser::new(&text).parse().ok()?;
    Some(item.bare_item)
}

fn whole(item: &BareItem) -> Option<u64> {
    match item {
        BareItem::Integer(value) => u64::try_from(i64::from(*value)).ok(),
        _ => None,
    }
}

/// The field's lines as one (RFC 9651, section 4.2).
fn text(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

const PROBLEMS: &str = "https://iana.org/assignments/http-problem-types#";

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn field(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn items() {
        let check = |lines: &[&str], flag: Option<bool>, count: Option<u64>| {
            let headers = field("x", lines);
            assert_eq!(boolean(&headers, "x"), flag, "{lines:?}");
            assert_eq!(integer(&headers, "x"), count, "{lines:?}");
        };
        check(&["?1"], Some(true), None);
        check(&[" ?0 "], Some(false), None);
        check(&["?1;because=\"so\""], Some(true), None);
        check(&["12"], None, Some(12));
        check(&["999999999999999"], None, Some(999_999_999_999_999));
        for wrong in [
            "",
            "true",
            "1.0",
            "-1",
            "+1",
            "1000000000000000",
            "?2",
            "1 2",
            "\"1\"",
            "ü",
        ] {
            check(&[wrong], None, None);
        }
        check(&["12", "12"], None, None);
        check(&[], None, None);
    }

    #[test]
    fn limits() {
        let check = |lines: &[&str], want: Option<[Option<u64>; 5]>| {
            let limits = Limits::of(&field("upload-limit", lines));
            let shown = limits.map(|l| {
                [
                    l.max_size,
                    l.min_size,
                    l.max_append,
                    l.min_append,
                    l.max_age,
                ]
            });
            assert_eq!(shown, want, "{lines:?}");
        };
        check(&["max-size=5"], Some([Some(5), None, None, None, None]));
        check(
            &[
                "min-size=1, max-append-size=9",
                "min-append-size=2;a=b, max-age=60, new=(a \"b\")",
            ],
            Some([None, Some(1), Some(9), Some(2), Some(60)]),
        );
        check(
            &["max-size=5, max-size=6"],
            Some([Some(6), None, None, None, None]),
        );
        for wrong in [
            "max-size=a",
            "max-size",
            "max-size=-1",
            "max-size=(1)",
            "max-size=1,",
            "max-size=99999999999999999999",
        ] {
            check(&[wrong], None);
        }
    }

    #[test]
    fn problems() {
        let check = |body: &str, want: Option<Problem>| {
            assert_eq!(Problem::of(body.as_bytes()), want, "{body}");
        };
        let of = |name: &str| format!("{{\"type\":\"{PROBLEMS}{name}\",\"expected-offset\":-1}}");
        check(&of("completed-upload"), Some(Problem::Completed));
        check(
            &of("mismatching-upload-offset"),
            Some(Problem::MismatchingOffset),
        );
        check(
            &of("inconsistent-upload-length"),
            Some(Problem::InconsistentLength),
        );
        for other in [&of("other"), "{\"type\":7}", "[]", "", "{", "null"] {
            check(other, None);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Problem::of(&bytes);
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                headers.append("upload-limit", value);
                let _ = Limits::of(&headers);
                let _ = boolean(&headers, "upload-limit");
                let _ = integer(&headers, "upload-limit");
            }
        }
    }
}

//! Entity tags and the two ways to compare them (RFC 9110 section 8.8.3).

use std::fmt;

use http::HeaderMap;
use http::header::ETAG;

/// An entity tag. Comparing is by [`strong_eq`](Self::strong_eq) and [`weak_eq`](Self::weak_eq); `==` is being written the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ETag {
    form: Form,
    opaque: Vec<u8>,
}

/// How a tag was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `"x"`: another tag for other bytes.
    Strong,
    /// `W/"x"`: the same tag may stand for bytes that differ.
    Weak,
    /// `x`, without quotes: not valid, but sent by some servers. Compared as a strong one; not fit to be sent back in `If-Match`.
    Unquoted,
}

impl ETag {
    /// The tag of a response. `None` without the field, or when it is empty or not a tag in any form.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(ETAG)?.as_bytes())
    }

    /// Parses the value of the field.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (form, quoted) = match value
            .strip_prefix(b"W/")
            .or_else(|| value.strip_prefix(b"w/"))
        {
            Some(rest) => (Form::Weak, rest),
            None => (Form::Strong, value),
        };
        if let [b'"', opaque @ .., b'"'] = quoted {
            return is_opaque(opaque).then(|| Self {
                form,
                opaque: opaque.to_vec(),
            });
        }
        let plain =
            form == Form::Strong && !value.is_empty() && is_opaque(value) && !value.contains(&b' ');
        plain.then(|| Self {
            form: Form::Unquoted,
            opaque: value.to_vec(),
        })
    }

    /// How it was written.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether it is weak.
    pub fn is_weak(&self) -> bool {
        self.form == Form::Weak
    }

    /// What stands between the quotes.
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// The same bytes for certain, as far as the server is honest: equal, and neither is weak.
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.is_weak() && !other.is_weak() && self.opaque == other.opaque
    }

    /// The same object, perhaps with other bytes: equal, weak or not.
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opaque = String::from_utf8_lossy(&self.opaque);
        match self.form {
            Form::Strong => write!(f, "\"{opaque}\""),
            Form::Weak => write!(f, "W/\"{opaque}\""),
            Form::Unquoted => f.write_str(&opaque),
        }
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ETag({self})")
    }
}

/// `etagc` of the RFC, and spaces, which are seen.
fn is_opaque(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| *byte >= b' ' && *byte != b'"' && *byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<(Form, &str)>) {
        let parsed = ETag::parse(value.as_bytes());
        assert_eq!(
            parsed.as_ref().map(|tag| (tag.form(), tag.opaque())),
            expected.map(|(form, text)| (form, text.as_bytes())),
            "{value}"
        );
    }

    #[test]
    fn forms() {
        check("\"abc\"", Some((Form::Strong, "abc")));
        check(" W/\"abc\" ", Some((Form::Weak, "abc")));
        check("w/\"abc\"", Some((Form::Weak, "abc")));
        check("\"\"", Some((Form::Strong, "")));
        check("abc", Some((Form::Unquoted, "abc")));
        check("\"\u{e9}\"", Some((Form::Strong, "\u{e9}")));
    }

    #[test]
    fn no_tags() {
        for value in [
            "",
            " ",
            "\"",
            "\"abc",
            "abc\"",
            "W/abc",
            "W/",
            "W/\"",
            "\"a\"b\"",
            "\"a\", \"b\"",
            "a b",
            "a\u{7f}",
        ] {
            check(value, None);
        }
    }

    #[test]
    fn comparisons_of_the_rfc() {
        let tag = |text: &str| ETag::parse(text.as_bytes()).unwrap();
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
            ("1", "\"1\"", true, true),
        ] {
            assert_eq!(
                (tag(a).strong_eq(&tag(b)), tag(a).weak_eq(&tag(b))),
                (strong, weak),
                "{a} {b}"
            );
            assert_eq!(tag(b).strong_eq(&tag(a)), strong);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_so(value in "(W/)?\"[!#-~]{0,20}\"") {
            proptest::prop_assert_eq!(ETag::parse(value.as_bytes()).unwrap().to_string(), value);
        }

        #[test]
        fn any_bytes_are_an_answer(value: Vec<u8>) {
            let _ = ETag::parse(&value);
        }
    }
}

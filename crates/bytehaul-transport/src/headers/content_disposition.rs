//! The file name that a server proposes (RFC 6266, RFC 8187), as sent by servers that have read neither.

use http::HeaderMap;
use http::header::CONTENT_DISPOSITION;

/// The name in `Content-Disposition`: of `filename*` where that is valid, or else of `filename`. Not yet fit to be a file's
/// name: see [`file_name::sanitize`](crate::file_name::sanitize).
pub fn content_disposition_filename(headers: &HeaderMap) -> Option<String> {
    parse(headers.get(CONTENT_DISPOSITION)?.as_bytes())
}

fn parse(value: &[u8]) -> Option<String> {
    let mut plain = None;
    for (name, value) in Parameters::of(value) {
        if name.eq_ignore_ascii_case(b"filename*") {
            if let Some(name) = extended(&value) {
                return Some(name);
            }
        } else if name.eq_ignore_ascii_case(b"filename") && plain.is_none() {
            plain = Some(text(&value));
        }
    }
    plain.filter(|name| !name.is_empty())
}

/// `charset'language'percent-encoded` (RFC 8187 section 3.2).
fn extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_encoding::percent_decode(encoded).collect();
    let name = if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes).ok()?
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        latin1(&bytes)
    } else {
        return None;
    };
    (!name.is_empty()).then_some(name)
}

/// A plain value should be ASCII; UTF-8 is often sent as it is, and Latin-1 is what is left.
fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => latin1(value),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The parameters after the disposition type, with quotes and escapes taken off.
struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    fn of(value: &'a [u8]) -> Self {
        // Some servers leave the type out and begin with a parameter.
        let (first, after) = split_at_byte(value, b';');
        let rest = if first.contains(&b'=') { value } else { after };
        Self { rest }
    }

    fn value(&mut self) -> Vec<u8> {
        self.rest = self.rest.trim_ascii_start();
        if let Some(quoted) = self.rest.strip_prefix(b"\"") {
            let (value, after) = unquote(quoted);
            self.rest = split_at_byte(after, b';').1;
            return value;
        }
        let (value, after) = split_at_byte(self.rest, b';');
        self.rest = after;
        value.trim_ascii().to_vec()
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.is_empty() {
                return None;
            }
            let end = self
                .rest
                .iter()
                .position(|byte| matches!(byte, b'=' | b';'))
                .unwrap_or(self.rest.len());
            let (name, after) = self.rest.split_at(end);
            match after {
                [b'=', after @ ..] => {
                    self.rest = after;
                    return Some((name.trim_ascii(), self.value()));
                }
                [_, after @ ..] => self.rest = after,
                [] => return None,
            }
        }
    }
}

/// The text up to the closing quote, and what follows it. A backslash escapes a quote or itself; before anything else it is
/// kept, since Windows paths are sent unescaped. Without a closing quote all of the rest is the text.
fn unquote(quoted: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        match rest {
            [] => return (text, rest),
            [b'"', after @ ..] => return (text, after),
            [b'\\', escaped @ (b'"' | b'\\'), after @ ..] => {
                text.push(*escaped);
                rest = after;
            }
            [byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
        }
    }
}

fn split_at_byte(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == separator) {
        Some(index) => (&bytes[..index], &bytes[index + 1..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &[u8], expected: Option<&str>) {
        assert_eq!(
            parse(value).as_deref(),
            expected,
            "{}",
            String::from_utf8_lossy(value)
        );
    }

    #[test]
    fn plain_names() {
        check(b"attachment; filename=a.txt", Some("a.txt"));
        check(b"attachment;filename=\"a b.txt\"", Some("a b.txt"));
        check(b"ATTACHMENT ; FileName = \"a.txt\" ; size=3", Some("a.txt"));
        check(b"inline; filename=\"a;b=c.txt\"; x=y", Some("a;b=c.txt"));
        check(
            b"attachment; filename=\"a\\\"b\\\\c.txt\"",
            Some("a\"b\\c.txt"),
        );
        check(
            b"attachment; filename=\"C:\\dir\\a.txt\"",
            Some("C:\\dir\\a.txt"),
        );
        check(b"attachment; filename=a b.txt", Some("a b.txt"));
        check(b"filename=a.txt", Some("a.txt"));
        check(b"attachment; filename=\"a.txt", Some("a.txt"));
        check(b"attachment; filename=one; filename=two", Some("one"));
        check(
            "attachment; filename=\"\u{fc}.txt\"".as_bytes(),
            Some("\u{fc}.txt"),
        );
        check(b"attachment; filename=\"\xfc.txt\"", Some("\u{fc}.txt"));
        check(
            b"attachment; x=\"filename=no.txt; filename=no2.txt\"; filename=yes.txt",
            Some("yes.txt"),
        );
    }

    #[test]
    fn extended_names_win() {
        check(
            b"attachment; filename=e.txt; filename*=UTF-8''%e2%82%ac.txt",
            Some("\u{20ac}.txt"),
        );
        check(
            b"attachment; filename*=utf-8'en'%e2%82%ac%20x.txt; filename=e.txt",
            Some("\u{20ac} x.txt"),
        );
        check(
            b"attachment; filename*=ISO-8859-1''%fc.txt",
            Some("\u{fc}.txt"),
        );
        check(b"attachment; filename*=\"UTF-8''a.txt\"", Some("a.txt"));
        check(
            b"attachment; filename*=UTF-8''%ff; filename=e.txt",
            Some("e.txt"),
        );
        check(
            b"attachment; filename*=KOI8-R''a; filename=e.txt",
            Some("e.txt"),
        );
        check(
            b"attachment; filename*=a.txt; filename=e.txt",
            Some("e.txt"),
        );
        check(
            b"attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd",
            Some("../../etc/passwd"),
        );
    }

    #[test]
    fn no_names() {
        for value in [
            "",
            "attachment",
            "attachment;",
            "attachment; filename",
            "attachment; filename=",
            "attachment; filename=\"\"",
            ";;;",
            "=",
            "a=b",
        ] {
            check(value.as_bytes(), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer(value: Vec<u8>) {
            let _ = parse(&value);
        }

        #[test]
        fn quoted_names_come_back(name in "[ -~]{1,40}") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            proptest::prop_assert_eq!(parse(format!("attachment; filename=\"{quoted}\"; x=y").as_bytes()), Some(name));
        }
    }
}

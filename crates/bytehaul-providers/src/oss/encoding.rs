//! Percent-encoding as the signature wants it: all but `A-Z a-z 0-9 - . _ ~`, in upper case.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All of it, slashes too: names and values of a query.
pub(super) fn encode(text: &[u8]) -> Cow<'_, str> {
    percent_encode(text, RESERVED).into()
}

/// All but slashes: buckets and keys in a path.
pub(super) fn encode_path(text: &str) -> Cow<'_, str> {
    percent_encode(text.as_bytes(), PATH).into()
}

/// The text of a list that was encoded, by some as in forms, where a plus is a space; what is no UTF-8 is replaced.
pub(super) fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// Names and values of a query, each decoded and encoded again, in their order. Unlike in forms, `+` is a plus.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let again = |text: &str| {
        let bytes: Cow<'_, [u8]> = percent_decode_str(text).into();
        encode(&bytes).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (again(name), again(value)))
        .collect()
}

/// Pairs of a query as they are signed and sent: without `=` where there is no value.
pub(super) fn query(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| match value.is_empty() {
            true => name.clone(),
            false => format!("{name}={value}"),
        })
        .collect();
    pairs.join("&")
}

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const PATH: &AsciiSet = &RESERVED.remove(b'/');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries() {
        assert_eq!(encode_path("a b/+ü~//%"), "a%20b/%2B%C3%BC~//%25");
        let check = |given: &str, expected: &str| assert_eq!(query(&pairs(given)), expected);
        check("", "");
        check("uploads=", "uploads");
        check("b=2&&a&c=+%2b%7e%2F", "b=2&a&c=%2B%2B~%2F");
        assert_eq!(decode("a%2Bb+%ff"), "a+b \u{fffd}");
    }
}

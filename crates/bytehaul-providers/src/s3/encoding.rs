//! Percent-encoding as the signature wants it: all but `A-Z a-z 0-9 - . _ ~`, in upper case.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All of it, slashes too: names and values of a query.
pub(crate) fn encode(bytes: &[u8]) -> Cow<'_, str> {
    percent_encode(bytes, RESERVED).into()
}

/// All but slashes: the key of an object in a path.
pub(crate) fn encode_path(bytes: &[u8]) -> Cow<'_, str> {
    percent_encode(bytes, PATH).into()
}

/// A path however it is encoded, as the server encodes it again.
pub(crate) fn canonical_path(path: &str) -> String {
    let bytes: Cow<'_, [u8]> = percent_decode_str(path).into();
    match path.is_empty() {
        true => "/".to_owned(),
        false => encode_path(&bytes).into_owned(),
    }
}

/// A query however it is encoded and ordered, as the server encodes and orders it again; `+` is a space, as servers read it.
pub(crate) fn canonical_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (again(name), again(value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn again(text: &str) -> String {
    let text = text.replace('+', " ");
    let bytes: Cow<'_, [u8]> = percent_decode_str(&text).into();
    encode(&bytes).into_owned()
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
        let check = |given: String, expected: &str| assert_eq!(given, expected);
        check(
            encode_path("a b/+ü~//%".as_bytes()).into(),
            "a%20b/%2B%C3%BC~//%25",
        );
        check(canonical_path("/a+b/%7e%2f$"), "/a%2Bb/~/%24");
        check(canonical_path(""), "/");
        check(canonical_query("b=2&a&a=%2b&B=+"), "B=%20&a=&a=%2B&b=2");
        check(canonical_query(""), "");
        // By the encoded names, not by the bytes.
        check(canonical_query("%7e=1&%C3%BC=2&z=3"), "%C3%BC=2&z=3&~=1");
    }
}

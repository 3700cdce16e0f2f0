//! What an answer says: that the object is there, or where to go on.

use serde::Deserialize;

use crate::{ProtocolError, ProtocolErrorKind};

/// The fields of an answer. Others are ignored, `null` counts as absent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub(super) struct Reply {
    /// Present, even empty, once the object is there.
    #[serde(rename = "fileId")]
    pub(super) file_id: Option<String>,
    /// Bytes that the server has from the start.
    #[serde(rename = "nextByte")]
    pub(super) next_byte: Option<i64>,
}

/// Reads the body of a 2xx answer; a blank one says nothing.
///
/// # Errors
/// No JSON object, or its fields are of other types. The error does not quote the answer: it may be for the application alone.
pub(super) fn parse(body: &[u8]) -> Result<Reply, ProtocolError> {
    let unreadable = |what: &str| ProtocolError::new(ProtocolErrorKind::Parse, what);
    let text = str::from_utf8(body).map_err(|_| unreadable("the server's answer is no text"))?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(Reply::default());
    }
    // A struct may be written as an array as well, as far as serde is concerned.
    if !text.starts_with('{') {
        return Err(unreadable("the server's answer is no JSON object"));
    }
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = match error.is_data() {
            true => "has a field of another type than expected",
            false => "is no valid JSON",
        };
        unreadable(&format!(
            "the server's answer {what} (line {line}, column {column})"
        ))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers() {
        let check = |body: &str, expected: Option<(Option<&str>, Option<i64>)>| {
            let reply = parse(body.as_bytes()).map(|reply| (reply.file_id, reply.next_byte));
            let expected = expected.map(|(id, next)| (id.map(str::to_owned), next));
            assert_eq!(reply.ok(), expected, "{body}");
        };
        for blank in ["", " ", "\r\n\t", "{}", " { } ", r#"{"x":{"fileId":"a"}}"#] {
            check(blank, Some((None, None)));
        }
        check(r#"{"fileId":"","nextByte":7}"#, Some((Some(""), Some(7))));
        check(r#"{"nextByte":-3,"code":[1]}"#, Some((None, Some(-3))));
        check(r#"{"fileId":null,"nextByte":null}"#, Some((None, None)));
        check(
            r#"{"nextByte":9223372036854775807}"#,
            Some((None, Some(i64::MAX))),
        );
        for wrong in [
            r#"{"nextByte":9223372036854775808}"#,
            r#"{"nextByte":-9223372036854775809}"#,
            r#"{"nextByte":1.0}"#,
            r#"{"nextByte":1e3}"#,
            r#"{"nextByte":"1"}"#,
            r#"{"nextByte":1,"nextByte":2}"#,
            r#"{"fileId":5}"#,
            r#"{"fileId":"a"} x"#,
            r#"["a",5]"#,
            r#""a""#,
            "null",
            "5",
            "<html>",
            "{",
            "\u{feff}{}",
        ] {
            check(wrong, None);
        }
        assert!(parse(b"\xff").is_err());
        let deep = format!(r#"{{"x":{}"#, "[".repeat(1 << 20));
        assert!(parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn errors_quote_nothing() {
        for body in [r#"{"nextByte":"s3cret"}"#, "{s3cret", "s3cret"] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("s3cret"),
                "{error:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&body);
        }
    }
}

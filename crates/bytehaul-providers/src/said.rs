//! What the answers of object stores say in words: error codes, elements, entity tags.

#[cfg(any(feature = "presigned", feature = "s3", test))]
use bytehaul_integrity::{Algorithm, Digest, Hasher};

/// The `Code` of an error body, of S3, OSS, Azure or Google.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let head = &body[..body.len().min(16 * 1024)];
    let text = String::from_utf8_lossy(head);
    // A document whose root is another one, such as an object that happens to hold the word, is no error.
    let root = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let root = match root.strip_prefix("<?") {
        Some(rest) => rest.split_once("?>")?.1.trim_start(),
        None => root,
    };
    let inner = root.strip_prefix("<Error")?;
    inner
        .starts_with(['>', ' ', '\t', '\r', '\n'])
        .then_some(())?;
    let code = between(inner, "<Code>", "</Code>").unwrap_or("unknown");
    // What is shown is a word, whatever a server may put there.
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let word: String = code
        .trim()
        .chars()
        .take(64)
        .filter(|c| is_word(*c))
        .collect();
    Some(word)
}

/// The text of the first element of this name.
#[cfg(feature = "presigned")]
pub(crate) fn element(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let text = between(text, &format!("<{name}>"), &format!("</{name}>"))?;
    let text = text.trim();
    let plain = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    let text = plain
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    (!text.is_empty()).then_some(text)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// The ETag that S3 gives an object of these parts, where theirs are MD5s: the MD5 of all MD5s, and how many there are.
#[cfg(any(feature = "presigned", feature = "s3", test))]
pub(crate) fn composite_etag<'a>(parts: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let mut hasher = Hasher::new(Algorithm::Md5);
    let mut count = 0;
    for etag in parts {
        let hex = etag?.trim_matches('"');
        hasher.update(Digest::parse(Algorithm::Md5, hex).ok()?.as_bytes());
        count += 1;
    }
    Some(format!("{}-{count}", hasher.finish().hex()))
}

/// Text for the inside of an element.
pub(crate) fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            c => into.push(c),
        }
    }
}

/// Errors that the next try may not meet, whatever status they come with.
pub(crate) fn is_passing(code: &str) -> bool {
    [
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServerBusy",
        "ServiceUnavailable",
        "SlowDown",
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_root() {
        let check = |body: &str, expected: Option<&str>| {
            assert_eq!(error_code(body.as_bytes()).as_deref(), expected, "{body}");
        };
        check("<Error><Code>SlowDown</Code></Error>", Some("SlowDown"));
        check(
            "\n  <?xml version=\"1.0\"?>\n<Error>\n<Code>NoSuchUpload</Code><X>http://h/?sig=1</X></Error>",
            Some("NoSuchUpload"),
        );
        check(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthenticationFailed</Code></Error>",
            Some("AuthenticationFailed"),
        );
        check("<Error xmlns=\"x\"><Code>A</Code></Error>", Some("A"));
        check("<Error><Message>x</Message></Error>", Some("unknown"));
        check(
            "<Error><Code>a b<c>\u{1b}[31m</Code></Error>",
            Some("abc31m"),
        );
        check("<Result><Error><Code>A</Code></Error></Result>", None);
        check("<ErrorReport><Code>A</Code></ErrorReport>", None);
        check("<?xml", None);
        check("{\"error\": \"<Error>\"}", None);
        check("", None);
    }

    #[test]
    fn the_etag_of_a_whole_is_that_of_its_parts() {
        // Two parts, "a" and "b".
        let a = "\"0cc175b9c0f1b6a831c399e269772661\"";
        let b = "92eb5ffee6ae2fec3ad71c777531578f";
        let whole = composite_etag([Some(a), Some(b)].into_iter()).unwrap();
        assert_eq!(whole, "96e024ba2074fe77e8e965ba43a704be-2");
        assert_eq!(composite_etag([Some(a), None].into_iter()), None);
        assert_eq!(composite_etag([Some("x")].into_iter()), None);
    }
}

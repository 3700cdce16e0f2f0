//! S3 and those who speak like it: the body that completes a multipart upload, and plans of signed URLs.

use bytehaul_integrity::Hasher;

use crate::presigned::completion::CompletedPart;
use crate::presigned::plan::{BodyFormat, PlanPart, PlanRequest, UploadPlan};
use crate::{Algorithm, BoxError, Digest};

/// The body of CompleteMultipartUpload. Given to [`Presigned::completion_body`](super::Presigned::completion_body), or
/// chosen by [`BodyFormat::S3`] in the plan.
///
/// # Errors
/// A part has no ETag: the answer that took it had none.
pub fn complete_body(parts: &[CompletedPart]) -> Result<Vec<u8>, BoxError> {
    let mut xml = String::from("<CompleteMultipartUpload>");
    for part in parts {
        let etag = part.etag.as_deref().ok_or_else(|| {
            format!(
                "the answer to part {} had no ETag, without which it cannot be named",
                part.part_number
            )
        })?;
        xml.push_str("<Part><PartNumber>");
        xml.push_str(&part.part_number.to_string());
        xml.push_str("</PartNumber><ETag>");
        escape(etag, &mut xml);
        xml.push_str("</ETag></Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    Ok(xml.into_bytes())
}

impl UploadPlan {
    /// A plan for a multipart upload that a back end has begun: one URL for each part of `chunk_size` bytes, in order, numbered
    /// from 1; the last part is shorter. `complete` is the signed `POST` and `abort` the signed `DELETE` of the same `uploadId`.
    ///
    /// An object of no bytes has one part of none. [`validate`](UploadPlan::validate) tells whether the number of URLs fits.
    ///
    /// ```
    /// use bytehaul_providers::presigned::UploadPlan;
    ///
    /// let urls = (1..=3).map(|n| format!("https://b.s3.amazonaws.com/k?partNumber={n}&uploadId=u&X-Amz-Signature=s"));
    /// let plan = UploadPlan::s3("u", 20 << 20, 8 << 20, urls, "https://b.s3.amazonaws.com/k?uploadId=u&X-Amz-Signature=s", None);
    /// plan.validate()?;
    /// # Ok::<(), bytehaul_providers::ProtocolError>(())
    /// ```
    pub fn s3<U: Into<String>>(
        upload_id: impl Into<String>,
        total_size: u64,
        chunk_size: u64,
        part_urls: impl IntoIterator<Item = U>,
        complete: impl Into<String>,
        abort: Option<String>,
    ) -> Self {
        let complete = PlanRequest::new(complete).body_format(BodyFormat::S3);
        let mut plan = Self::new(total_size, chunk_size)
            .upload_id(upload_id)
            .complete_request(complete);
        plan.abort_request = abort.map(PlanRequest::new);
        plan.parts = parts(total_size, chunk_size, part_urls);
        plan
    }
}

/// Parts of one size for these URLs, in order, numbered from 1. More URLs than parts make parts of no bytes, which no plan
/// may have.
pub(super) fn parts<U: Into<String>>(
    total: u64,
    chunk: u64,
    urls: impl IntoIterator<Item = U>,
) -> Vec<PlanPart> {
    let mut offset = 0_u64;
    let numbered = (1..).zip(urls).map(|(number, url)| {
        let size = chunk.min(total.saturating_sub(offset));
        let part = PlanPart::new(number, offset, size, url);
        offset = offset.saturating_add(size);
        part
    });
    numbered.collect()
}

/// The `Code` of an error body, of S3, OSS, Azure or Google.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
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
pub(super) fn element(body: &[u8], name: &str) -> Option<String> {
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
pub(super) fn composite_etag<'a>(parts: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
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
pub(super) fn escape(text: &str, into: &mut String) {
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
pub(super) fn is_passing(code: &str) -> bool {
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

    fn part(part_number: u32, etag: Option<&str>) -> CompletedPart {
        CompletedPart {
            part_number,
            provider_part_id: None,
            offset: 0,
            size: 1,
            etag: etag.map(str::to_owned),
        }
    }

    #[test]
    fn etags_are_escaped() {
        let body = complete_body(&[part(1, Some("\"a\"")), part(2, Some("<&>"))]).unwrap();
        let expected = "<CompleteMultipartUpload>\
            <Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>\
            <Part><PartNumber>2</PartNumber><ETag>&lt;&amp;&gt;</ETag></Part>\
            </CompleteMultipartUpload>";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        let error = complete_body(&[part(7, None)]).unwrap_err();
        assert!(error.to_string().contains("part 7"));
    }

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

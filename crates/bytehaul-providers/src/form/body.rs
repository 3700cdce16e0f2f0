//! How a form is written (RFC 7578): parts between boundaries, of which one may be a range of the source.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Algorithm, Hasher};
use bytes::Bytes;

use crate::{Payload, Segment};

/// A form that is being written.
pub(super) struct Form {
    boundary: String,
    segments: Vec<Segment>,
    /// What is written since the last segment.
    text: String,
}

impl Form {
    pub(super) fn new(boundary: String) -> Self {
        Self {
            boundary,
            segments: Vec::new(),
            text: String::new(),
        }
    }

    /// The media type that goes with it.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// A field. Its value goes as it is, line ends too: the boundary cannot be in it.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.part(name, "");
        self.text.push_str(value);
        self.text.push_str("\r\n");
    }

    /// The file, from a range of the source.
    pub(super) fn file(&mut self, name: &str, content_type: &str, range: Range<u64>) {
        let more = format!("; filename=\"{FILE_NAME}\"\r\nContent-Type: {content_type}");
        self.part(name, &more);
        let before = std::mem::take(&mut self.text);
        self.segments.push(Segment::Bytes(Bytes::from(before)));
        self.segments.push(Segment::Source(range));
        self.text.push_str("\r\n");
    }

    /// The whole of it.
    pub(super) fn finish(mut self) -> Payload {
        self.text.push_str("--");
        self.text.push_str(&self.boundary);
        self.text.push_str("--\r\n");
        self.segments.push(Segment::Bytes(Bytes::from(self.text)));
        Payload {
            segments: self.segments,
        }
    }

    fn part(&mut self, name: &str, more: &str) {
        let boundary = &self.boundary;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n"
        );
        self.text.push_str(&head);
    }
}

/// A boundary that is in none of these values and, as the hour is among what it is made of, in no file that somebody
/// prepared to be uploaded: who could foretell it could forge the fields behind the file.
pub(super) fn boundary(values: &[&str], now: SystemTime) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for value in values {
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value.as_bytes());
    }
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    hasher.update(&since.as_nanos().to_le_bytes());
    format!("bytehaul-{}", &hasher.finish().hex()[..40])
}

/// The name that the file part has in every chunk.
const FILE_NAME: &str = "upload_chunk_data";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_form_is_written_so() {
        let mut form = Form::new("XX".to_owned());
        form.file("file", "application/octet-stream", 5..9);
        form.text("fileName", "a \"b\"\r\nü");
        form.text("category", "");
        assert_eq!(form.content_type(), "multipart/form-data; boundary=XX");
        let segments: Vec<String> = form.finish().segments.into_iter().map(written).collect();
        let expected = [
            "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload_chunk_data\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            "5..9",
            "\r\n--XX\r\nContent-Disposition: form-data; name=\"fileName\"\r\n\r\na \"b\"\r\nü\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"category\"\r\n\r\n\r\n--XX--\r\n",
        ];
        assert_eq!(segments, expected);
    }

    fn written(segment: Segment) -> String {
        match segment {
            Segment::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Segment::Source(range) => format!("{}..{}", range.start, range.end),
            Segment::Rest(from) => format!("{from}.."),
        }
    }

    #[test]
    fn boundaries_differ_and_are_short() {
        let at = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
        let one = boundary(&["ab", "c"], at(1));
        assert_eq!(one, boundary(&["ab", "c"], at(1)));
        assert_ne!(one, boundary(&["a", "bc"], at(1)));
        assert_ne!(one, boundary(&["ab", "c"], at(2)));
        // RFC 2046, section 5.1.1.
        assert!(one.len() <= 70);
        boundary(&[], UNIX_EPOCH - Duration::from_secs(1));
    }
}

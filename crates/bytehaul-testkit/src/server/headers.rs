//! The headers of an answer, and the head that they make on the wire.

use super::Object;

/// Headers in the order in which they were set; a name is there once.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    fields: Vec<(String, String)>,
    flood: usize,
}

impl Headers {
    pub(super) fn of(object: &Object) -> Self {
        let mut headers = Self::default();
        for (name, value) in &object.headers {
            headers.set(name, value);
        }
        if let Some(etag) = &object.etag {
            headers.set("ETag", etag);
        }
        if let Some(date) = &object.last_modified {
            headers.set("Last-Modified", date);
        }
        headers
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.fields
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// Adds filler of about so many bytes in headers of 1 KiB.
    pub(super) fn flood(&mut self, bytes: usize) {
        self.flood += bytes;
    }

    /// Status line, headers and the empty line.
    pub(super) fn head(&self, status: u16) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for number in 0..self.flood.div_ceil(FILLER) {
            head.push_str(&format!(
                "X-Filler-{number}: {}\r\n",
                "f".repeat(FILLER - 16)
            ));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

const FILLER: usize = 1024;

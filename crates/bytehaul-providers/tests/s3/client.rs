//! As much of an HTTP client as it takes to send what a session asks for, one request on one connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use bytehaul_providers::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use bytehaul_providers::{
    Answer, Available, Completed, Exchange, Fault, Left, Lost, Next, Object, ProtocolError,
    ProtocolErrorKind, Segment, UploadProtocol, UploadSession, Url,
};
use bytes::Bytes;

pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) fn send(
    method: &Method,
    url: &Url,
    fields: &HeaderMap,
    body: Option<&[u8]>,
) -> io::Result<Response> {
    let address = (url.host_str().unwrap(), url.port().unwrap());
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let query = url
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut head = format!(
        "{method} {}{query} HTTP/1.1\r\nhost: {}:{}\r\nconnection: close\r\n",
        url.path(),
        address.0,
        address.1
    );
    for (name, value) in fields {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    if let Some(body) = body {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // Who refuses a request may do so before it has come to its end.
    let written = body.map_or(Ok(()), |body| stream.write_all(body));
    let mut raw = Vec::new();
    let mut block = vec![0; 64 * 1024];
    let is_head = *method == Method::HEAD;
    loop {
        let read = stream.read(&mut block);
        let has_ended = !matches!(read, Ok(count) if count > 0);
        raw.extend_from_slice(&block[..*read.as_ref().unwrap_or(&0)]);
        if let Some(response) = parse(&raw, is_head, has_ended) {
            return Ok(response);
        }
        if has_ended {
            written?;
            read?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The response, once all of it is there.
fn parse(raw: &[u8], is_head: bool, has_ended: bool) -> Option<Response> {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    let rest = &raw[end + 4..];
    let body = match headers.get("transfer-encoding") {
        _ if is_head => Vec::new(),
        Some(_) => dechunked(rest)?,
        None => {
            let len = headers.get("content-length");
            let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
            rest.get(..len.or(has_ended.then_some(rest.len()))?)?
                .to_vec()
        }
    };
    Some(Response {
        status: StatusCode::from_bytes(status.as_bytes()).ok()?,
        headers,
        body: body.into(),
    })
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if len == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..len)?);
        rest = rest.get(len + 2..)?;
    }
}

/// An upload, driven by one request after the other.
pub(crate) struct Upload<'a> {
    pub(crate) session: Box<dyn UploadSession>,
    source: &'a [u8],
}

impl<'a> Upload<'a> {
    pub(crate) fn new(to: &dyn UploadProtocol, source: &'a [u8], left: Option<Left>) -> Self {
        let mut object = Object::new("f", Some(source.len() as u64));
        object.content_type = Some("text/x-test".to_owned());
        object.metadata = vec![("own".to_owned(), "b, c".to_owned())];
        Self {
            session: to.open(&object, left).unwrap(),
            source,
        }
    }

    /// So many requests, or to the end.
    pub(crate) fn run(&mut self, most: usize) -> Result<Option<Completed>, ProtocolError> {
        let available = Available {
            until: self.source.len() as u64,
            ended: true,
        };
        let mut failures = 0;
        let mut count = 0;
        while count < most {
            let now = SystemTime::now();
            match self.session.next(available, now)? {
                Next::Send(exchange) => {
                    count += 1;
                    if !self.exchange(&exchange, now)? {
                        failures += 1;
                        assert!(failures < 10, "it never ends");
                    }
                }
                Next::Digest(job) => {
                    let bytes = &self.source[job.range.start as usize..job.range.end as usize];
                    let digest = bytehaul_integrity::Hasher::digest(job.algorithm, bytes);
                    self.session.digested(job.id, digest);
                }
                Next::Done(completed) => return Ok(Some(completed)),
                other => panic!("{other:?}"),
            }
        }
        Ok(None)
    }

    /// Whether it brought an answer.
    fn exchange(&mut self, exchange: &Exchange, now: SystemTime) -> Result<bool, ProtocolError> {
        let mut body = Vec::new();
        for segment in &exchange.payload.segments {
            match segment {
                Segment::Bytes(bytes) => body.extend_from_slice(bytes),
                Segment::Source(range) => {
                    body.extend_from_slice(&self.source[range.start as usize..range.end as usize]);
                }
                other => panic!("{other:?}"),
            }
        }
        let has_body = !exchange.payload.is_empty();
        let sent = send(
            &exchange.method,
            &exchange.url,
            &exchange.headers,
            has_body.then_some(&body),
        );
        let Ok(response) = sent else {
            self.session.lost(exchange.id, Lost::Unknown);
            return Ok(false);
        };
        let Response {
            status,
            headers,
            body,
        } = &response;
        let mut answer = Answer::new(*status, headers, body, &exchange.url);
        if let Some(range) = exchange.payload.source_range() {
            let bytes = &self.source[range.start as usize..range.end as usize];
            answer = answer.sent(bytes.len() as u64, Some(bytehaul_integrity::crc32c(bytes)));
        }
        match self.session.answered(exchange.id, &answer, now) {
            Ok(()) => Ok(true),
            Err(Fault::Fatal(error)) => Err(error),
            Err(Fault::Status) if status.is_client_error() => Err(ProtocolError::new(
                ProtocolErrorKind::Status(*status),
                "refused",
            )),
            Err(_) => {
                self.session.lost(exchange.id, Lost::Refused(*status));
                Ok(false)
            }
        }
    }
}

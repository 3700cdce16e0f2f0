//! Plays exchanges that are written down: which request has to come, and what is answered to it.

use std::time::{Duration, UNIX_EPOCH};

use bytehaul_integrity::Hasher;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    Answer, Available, DigestJob, Exchange, Fault, Left, Lost, Next, Object, ProtocolErrorKind,
    Saved, SessionId, UploadProtocol, UploadSession,
};

/// The object's bytes at an offset.
pub(super) fn byte(at: u64) -> u8 {
    (at * 7 % 251) as u8
}

/// Bytes of the object.
pub(super) fn bytes(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(byte).collect()
}

/// What an earlier run left behind: an upload's URL, receipts of these sizes with their checksums.
pub(super) fn left(url: &str, sizes: &[u64], unchanged: bool) -> Left {
    let mut saved = Saved {
        session: Some(SessionId::new(url)),
        stage: crate::Stage::Sending,
        ..Saved::default()
    };
    let mut at = 0;
    for (number, size) in sizes.iter().enumerate() {
        let receipt = crate::PartReceipt::new(number as u32, at, *size);
        saved
            .parts
            .push(receipt.crc32c(bytehaul_integrity::crc32c(&bytes(at..at + size))));
        at += size;
    }
    Left::new(saved, unchanged)
}

/// Opens a session and plays `rows` with it: the request that must come, and the answer as `STATUS name: value | name: value
/// > body` (with `early` behind the status when half of the bytes were sent by then), or `lost`, or `unsent`, or `abort` for the user's wish to stop instead of a request. `end` is what comes of it in the end:
/// `done LOCATION [PAYLOAD]`, `aborted`, or `error KIND`.
pub(super) fn check(
    protocol: &dyn UploadProtocol,
    object: &Object,
    left: Option<Left>,
    rows: &[(&str, &str)],
    end: &str,
) {
    let mut session = protocol
        .open(object, left)
        .expect("the object can be uploaded");
    let mut rows = rows.iter();
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let len = object.len.unwrap_or(STREAM);
    let available = Available {
        until: len,
        ended: true,
    };
    loop {
        let exchange = match session.next(available, now) {
            Ok(Next::Send(exchange)) => exchange,
            Ok(Next::Digest(job)) => {
                session.digested(job.id, digest(&job));
                continue;
            }
            Ok(Next::Done(done)) => {
                let location = done.location.unwrap_or_default();
                let payload = done
                    .payload
                    .map(|p| format!(" {}", String::from_utf8_lossy(&p)));
                assert_eq!(
                    format!("done {}{}", short(&location), payload.unwrap_or_default()),
                    end
                );
                break;
            }
            Ok(Next::Aborted) => {
                assert_eq!("aborted", end);
                break;
            }
            Ok(other) => panic!("{other:?} with nothing in flight"),
            Err(error) => {
                assert_eq!(shown(error.kind()), end, "{error}");
                break;
            }
        };
        let (want, reply) = rows
            .next()
            .unwrap_or_else(|| panic!("not written down: {}", render(&exchange)));
        if *want == "abort" {
            session.abort();
            continue;
        }
        assert_eq!(render(&exchange), *want);
        if let Err(kind) = answer(&mut *session, &exchange, reply) {
            assert_eq!(kind, end);
            break;
        }
    }
    assert_eq!(rows.next(), None, "never asked for");
}

fn answer(session: &mut dyn UploadSession, exchange: &Exchange, reply: &str) -> Result<(), String> {
    let (id, now) = (exchange.id, UNIX_EPOCH + Duration::from_secs(1_000_000));
    let (head, body) = reply.split_once(" > ").unwrap_or((reply, ""));
    let (status, fields) = head.split_once(' ').unwrap_or((head, ""));
    if matches!(status, "lost" | "unsent") {
        let how = if status == "lost" {
            Lost::Unknown
        } else {
            Lost::Unsent
        };
        session.lost(id, how);
        return Ok(());
    }
    let (is_early, fields) = match fields.strip_prefix("early ") {
        Some(rest) => (true, rest),
        None => (false, fields),
    };
    let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    for field in fields.split(" | ").filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        headers.append(HeaderName::try_from(name.trim()).unwrap(), value);
    }
    let body = Bytes::copy_from_slice(body.as_bytes());
    let range = exchange.payload.source_range().unwrap_or_default();
    let size = range.end - range.start;
    let sent = if is_early { size / 2 } else { size };
    let crc = bytehaul_integrity::crc32c(&bytes(range.start..range.start + sent));
    let answer = Answer::new(status, &headers, &body, &exchange.url).sent(sent, Some(crc));
    match session.answered(id, &answer, now) {
        Ok(()) => Ok(()),
        Err(Fault::Fatal(error)) => Err(shown(error.kind())),
        Err(Fault::Status) if !is_retried(status) => Err(shown(ProtocolErrorKind::Status(status))),
        Err(Fault::Status | Fault::Again(_) | Fault::Now(_)) => {
            session.lost(id, Lost::Refused(status));
            Ok(())
        }
    }
}

/// Whether a driver sends the request again for this status alone.
pub(super) fn is_retried(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 408 | 425 | 429)
}

pub(super) fn digest(job: &DigestJob) -> bytehaul_integrity::Digest {
    let mut hasher = Hasher::new(job.algorithm);
    hasher.update(&bytes(job.range.clone()));
    hasher.finish()
}

fn shown(kind: ProtocolErrorKind) -> String {
    match kind {
        ProtocolErrorKind::Status(status) => format!("error Status {}", status.as_u16()),
        kind => format!("error {kind:?}"),
    }
}

fn short(url: &str) -> &str {
    url.strip_prefix("https://h").unwrap_or(url)
}

/// The request in short: method, URL, the fields that matter, and which bytes of the source go along.
fn render(exchange: &Exchange) -> String {
    let mut text = format!("{} {}", exchange.method, short(exchange.url.as_str()));
    for name in SHOWN {
        if let Some(value) = exchange.headers.get(*name) {
            let name = name.strip_prefix("upload-").unwrap_or(name);
            text.push_str(&format!(" {name}={}", value.to_str().unwrap()));
        }
    }
    if let Some(range) = exchange.payload.source_range() {
        text.push_str(&format!(" @{}-{}", range.start, range.end));
    }
    text
}

const SHOWN: &[&str] = &[
    "upload-offset",
    "upload-length",
    "upload-defer-length",
    "upload-complete",
    "upload-concat",
    "upload-checksum",
    "x-http-method-override",
];

/// Bytes of an object whose length is not told.
const STREAM: u64 = 10;

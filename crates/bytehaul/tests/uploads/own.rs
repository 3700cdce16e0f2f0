//! Protocols of an application's own, in four calls with a client of its own: tus over plain sockets, one part after the other,
//! and blocks of Azure, several at once.

use std::io;
use std::time::Duration;

use bytehaul::protocol::http::StatusCode;
use bytehaul::protocol::{
    Begun, BoxFuture, CallError, CustomUpload, PartData, PartReceipt, PartTaken, UploadContext, Url,
};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection for each request.
#[derive(Debug)]
struct Wire {
    url: Url,
}

/// tus 1.0.
#[derive(Debug)]
pub(crate) struct OwnTus(Wire);

/// Put Block and Put Block List under a SAS.
#[derive(Debug)]
pub(crate) struct OwnBlocks {
    blob: Wire,
    session: String,
}

impl Wire {
    fn new(url: &str) -> Self {
        Self {
            url: Url::parse(url).expect("a URL"),
        }
    }

    /// Sends one request and gives status and head of its answer.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &str,
        body: &[u8],
    ) -> Result<Answer, CallError> {
        let answered = self.exchange(method, path, fields, body);
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        let answered = answered.map_err(CallError::transient)?;
        let answer = answered.map_err(CallError::transient)?;
        match answer.status {
            200..300 => Ok(answer),
            status => {
                let passes = matches!(status, 408 | 425 | 429 | 500..600);
                let mut error = match passes {
                    true => CallError::transient("refused"),
                    false => CallError::fatal("refused"),
                };
                let wait = answer
                    .field("Retry-After")
                    .and_then(|wait| wait.parse().ok());
                error.retry_after = wait.map(Duration::from_secs);
                Err(match StatusCode::from_u16(status) {
                    Ok(status) => error.status(status),
                    Err(_) => error,
                })
            }
        }
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        fields: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let (host, port) = (
            self.url.host_str().expect("a host"),
            self.url.port().expect("a port"),
        );
        let mut stream = TcpStream::connect((host, port)).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\
             Content-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut text = Vec::new();
        // Its head says all, and is small.
        while !text.windows(4).any(|four| four == b"\r\n\r\n") && text.len() < 1 << 16 {
            if stream.read_buf(&mut text).await? == 0 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let head = text.split_once("\r\n\r\n").ok_or_else(broken)?.0;
        Ok(Answer {
            status: status.ok_or_else(broken)?,
            head: head.to_owned(),
        })
    }
}

impl OwnTus {
    pub(crate) fn new(url: &str) -> Self {
        Self(Wire::new(url))
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &str,
        body: &[u8],
    ) -> Result<Answer, CallError> {
        let fields = format!("Tus-Resumable: 1.0.0\r\n{fields}");
        self.0.ask(method, path, &fields, body).await
    }

    fn path(context: &UploadContext) -> String {
        let session = context.session.as_ref().expect("it has begun");
        session.as_str().to_owned()
    }
}

struct Answer {
    status: u16,
    head: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    fn offset(&self) -> Result<u64, CallError> {
        let told = self
            .field("Upload-Offset")
            .and_then(|text| text.parse().ok());
        told.ok_or_else(|| CallError::transient("no offset"))
    }
}

impl CustomUpload for OwnTus {
    fn name(&self) -> &str {
        "own-tus"
    }

    fn target(&self) -> String {
        self.0.url.to_string()
    }

    fn begin(&self, context: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>> {
        Box::pin(async move {
            if let Some(session) = &context.session {
                match self.ask("HEAD", session.as_str(), "", &[]).await {
                    Ok(answer) => {
                        let begun = Begun::new().session(session.as_str());
                        return Ok(begun.next_byte(answer.offset()?));
                    }
                    // Gone: there will be another one.
                    Err(error)
                        if error
                            .status
                            .is_some_and(|status| [404, 410].contains(&status.as_u16())) => {}
                    Err(error) => return Err(error),
                }
            }
            let length = match context.total {
                Some(total) => format!("Upload-Length: {total}\r\n"),
                None => return Err(CallError::fatal("it has to know the length")),
            };
            let answer = self.ask("POST", self.0.url.path(), &length, &[]).await?;
            let place = answer
                .field("Location")
                .ok_or_else(|| CallError::fatal("no place"))?;
            let place = self.0.url.join(place).map_err(CallError::fatal)?;
            Ok(Begun::new().session(place.path()).next_byte(0))
        })
    }

    fn part(
        &self,
        context: UploadContext,
        part: PartData,
    ) -> BoxFuture<'_, Result<PartTaken, CallError>> {
        Box::pin(async move {
            let path = Self::path(&context);
            // A try before this one may have arrived.
            let has = self.ask("HEAD", &path, "", &[]).await?.offset()?;
            let end = part.offset + part.data.len() as u64;
            if has < part.offset || has > end {
                return Err(CallError::fatal(format!("the server is at {has}")));
            }
            let rest = &part.data[(has - part.offset) as usize..];
            if rest.is_empty() {
                return Ok(PartTaken::new().next_byte(end));
            }
            let fields = format!(
                "Upload-Offset: {has}\r\nContent-Type: application/offset+octet-stream\r\n"
            );
            let answer = self.ask("PATCH", &path, &fields, rest).await?;
            Ok(PartTaken::new().next_byte(answer.offset()?))
        })
    }

    fn abort(&self, context: UploadContext) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async move {
            if context.session.is_none() {
                return Ok(());
            }
            match self.ask("DELETE", &Self::path(&context), "", &[]).await {
                Err(error)
                    if error
                        .status
                        .is_some_and(|status| [404, 410].contains(&status.as_u16())) =>
                {
                    Ok(())
                }
                ended => ended.map(drop),
            }
        })
    }
}

impl OwnBlocks {
    /// Towards the address of the endpoint of blobs.
    pub(crate) fn new(address: &str) -> Self {
        let said: serde_json::Value = serde_json::from_str(address).expect("JSON");
        let text = |name: &str| said[name].as_str().expect("a string");
        Self {
            blob: Wire::new(text("blob")),
            session: text("session").to_owned(),
        }
    }

    async fn put(&self, parameters: &str, fields: &str, body: &[u8]) -> Result<(), CallError> {
        let (path, sas) = (self.blob.url.path(), self.blob.url.query());
        let path = format!("{path}?{}&{parameters}", sas.expect("a SAS"));
        let fields = format!("x-ms-version: 2023-11-03\r\n{fields}");
        match self.blob.ask("PUT", &path, &fields, body).await? {
            Answer { status: 201, .. } => Ok(()),
            _ => Err(CallError::transient("nothing was made")),
        }
    }
}

impl CustomUpload for OwnBlocks {
    fn name(&self) -> &str {
        "own-blocks"
    }

    fn target(&self) -> String {
        self.blob.url.to_string()
    }

    fn parallel(&self) -> bool {
        true
    }

    fn begin(&self, context: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>> {
        Box::pin(async move {
            assert!(context.total.is_some(), "it has to know the length");
            Ok(Begun::new().session(&*self.session))
        })
    }

    fn part(
        &self,
        _: UploadContext,
        part: PartData,
    ) -> BoxFuture<'_, Result<PartTaken, CallError>> {
        Box::pin(async move {
            // Base64 of six bytes, as digits of it are not padded.
            let id = format!("{:08}", part.number);
            if part.data.is_empty() {
                return Ok(PartTaken::new());
            }
            let parameters = format!("comp=block&blockid={id}");
            self.put(&parameters, "", &part.data).await?;
            Ok(PartTaken::new().tag(id))
        })
    }

    fn commit(
        &self,
        _: UploadContext,
        parts: Vec<PartReceipt>,
    ) -> BoxFuture<'_, Result<Option<Bytes>, CallError>> {
        Box::pin(async move {
            let numbers = parts.iter().map(|part| part.number);
            assert!(numbers.eq(1..=parts.len() as u32), "all of them, in order");
            let ids = parts.iter().filter_map(|part| part.tag.as_deref());
            let ids: String = ids.map(|id| format!("<Latest>{id}</Latest>")).collect();
            let list = format!("<?xml version=\"1.0\"?><BlockList>{ids}</BlockList>");
            self.put("comp=blocklist", "", list.as_bytes()).await?;
            Ok(None)
        })
    }
}

/// Whoever makes requests of their own looks after their silence too.
const PATIENCE: Duration = Duration::from_secs(2);

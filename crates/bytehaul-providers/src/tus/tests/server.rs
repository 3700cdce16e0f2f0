//! A tus 1.0.0 server in memory, written from the specification, that refuses what a client must not send.

use std::collections::BTreeMap;

use bytehaul_integrity::{Algorithm, Hasher};
use data_encoding::BASE64;
use http::Method;

use super::driver::{Reply, Request, Server};

/// What the server can do, and where it is odd within the specification.
#[derive(Clone, Debug)]
pub(super) struct Traits {
    pub extensions: Vec<&'static str>,
    /// Answers to `PATCH` without the offset, as the specification forbids and servers do.
    pub silent: bool,
    /// Bytes that it takes of one request at most.
    pub most: usize,
    /// Its status for a wrong checksum.
    pub mismatch: u16,
    /// Whether partial uploads are deleted once they are joined.
    pub consumes: bool,
}

#[derive(Default)]
struct Upload {
    len: Option<u64>,
    data: Vec<u8>,
    partial: bool,
    joined: bool,
}

pub(super) struct TusServer {
    traits: Traits,
    uploads: BTreeMap<String, Upload>,
    made: u32,
}

impl TusServer {
    pub(super) fn new(traits: Traits) -> Self {
        Self {
            traits,
            uploads: BTreeMap::new(),
            made: 0,
        }
    }

    fn has(&self, extension: &str) -> bool {
        self.traits.extensions.contains(&extension)
    }

    fn name(&mut self) -> String {
        self.made += 1;
        format!("/files/{}", self.made)
    }

    fn create(&mut self, request: &Request<'_>, cut: bool) -> Reply {
        assert_eq!(request.path, "/files");
        if let Some(parts) = request
            .header("upload-concat")
            .and_then(|c| c.strip_prefix("final;"))
        {
            return self.join(request, parts);
        }
        let partial = match request.header("upload-concat") {
            Some(kind) => {
                assert!(kind == "partial" && self.has("concatenation"));
                true
            }
            None => false,
        };
        let len = request.number("upload-length");
        match request.header("upload-defer-length") {
            Some(value) => {
                assert!(value == "1" && len.is_none() && self.has("creation-defer-length"));
            }
            None => assert!(len.is_some()),
        }
        let path = self.name();
        let upload = Upload {
            len,
            partial,
            ..Upload::default()
        };
        self.uploads.insert(path.clone(), upload);
        let reply = Reply::new(201).with("location", &path);
        if request.body.is_empty() {
            return reply;
        }
        assert!(self.has("creation-with-upload"));
        assert_eq!(
            request.header("content-type"),
            Some("application/offset+octet-stream")
        );
        if let Some(status) = self.damaged(request, cut) {
            return Reply::new(status);
        }
        let offset = self.take(&path, request.body);
        if self.traits.silent {
            reply
        } else {
            reply.with("upload-offset", offset)
        }
    }

    fn join(&mut self, request: &Request<'_>, parts: &str) -> Reply {
        assert!(self.has("concatenation") && request.number("upload-length").is_none());
        let mut data = Vec::new();
        let paths: Vec<&str> = parts
            .split(' ')
            .map(|url| url.strip_prefix("https://h").unwrap())
            .collect();
        for path in &paths {
            let Some(part) = self.uploads.get(*path) else {
                return Reply::new(404);
            };
            if !part.partial || part.len != Some(part.data.len() as u64) {
                return Reply::new(400);
            }
            data.extend_from_slice(&part.data);
        }
        if self.traits.consumes {
            self.uploads
                .retain(|path, _| !paths.contains(&path.as_str()));
        }
        let path = self.name();
        let len = Some(data.len() as u64);
        self.uploads.insert(
            path.clone(),
            Upload {
                len,
                data,
                joined: true,
                partial: false,
            },
        );
        Reply::new(201).with("location", path)
    }

    /// The status if the checksum is wrong, which it is as well for a body that was cut off.
    fn damaged(&self, request: &Request<'_>, cut: bool) -> Option<u16> {
        let (name, value) = request.header("upload-checksum")?.split_once(' ').unwrap();
        assert!(self.has("checksum"));
        let algorithm: Algorithm = name.parse().unwrap();
        let mut hasher = Hasher::new(algorithm);
        hasher.update(request.body);
        let same = hasher.finish().as_bytes() == BASE64.decode(value.as_bytes()).unwrap();
        (cut || !same).then_some(self.traits.mismatch)
    }

    fn take(&mut self, path: &str, body: &[u8]) -> u64 {
        let most = body.len().min(self.traits.most);
        let upload = self.uploads.get_mut(path).unwrap();
        upload.data.extend_from_slice(&body[..most]);
        let offset = upload.data.len() as u64;
        assert!(
            upload.len.is_none_or(|len| offset <= len),
            "more than was announced"
        );
        offset
    }

    fn append(&mut self, request: &Request<'_>, cut: bool) -> Reply {
        assert_eq!(
            request.header("content-type"),
            Some("application/offset+octet-stream")
        );
        let offset = request.number("upload-offset").unwrap();
        let declared = request.number("upload-length");
        let damaged = self.damaged(request, cut);
        let Some(upload) = self.uploads.get_mut(request.path) else {
            return Reply::new(404);
        };
        if upload.joined {
            return Reply::new(403);
        }
        if offset != upload.data.len() as u64 {
            return Reply::new(409);
        }
        if let Some(declared) = declared {
            assert!(upload.len.is_none(), "the length is told twice");
            upload.len = Some(declared);
        }
        if let Some(status) = damaged {
            return Reply::new(status);
        }
        let offset = self.take(request.path, request.body);
        let reply = Reply::new(204);
        if self.traits.silent && offset.is_multiple_of(3) {
            reply
        } else {
            reply.with("upload-offset", offset)
        }
    }
}

impl Server for TusServer {
    fn handle(&mut self, request: &Request<'_>, cut: bool) -> Reply {
        let options = *request.method == Method::OPTIONS;
        assert_eq!(request.header("tus-resumable").is_some(), !options);
        match *request.method {
            Method::OPTIONS => Reply::new(204)
                .with("tus-version", "1.0.0")
                .with("tus-extension", self.traits.extensions.join(","))
                .with("tus-checksum-algorithm", "md5,sha1,sha256"),
            Method::POST => self.create(request, cut),
            Method::PATCH => self.append(request, cut),
            Method::HEAD => match self.uploads.get(request.path) {
                None => Reply::new(404),
                Some(upload) => {
                    let reply = Reply::new(200).with("upload-offset", upload.data.len());
                    match upload.len {
                        Some(len) => reply.with("upload-length", len),
                        None => reply.with("upload-defer-length", 1),
                    }
                }
            },
            Method::DELETE => match self.uploads.remove(request.path) {
                Some(_) => Reply::new(204),
                None => Reply::new(404),
            },
            _ => panic!("{}", request.method),
        }
    }

    fn lose(&mut self, choice: u8) {
        let count = self.uploads.len();
        let Some((path, upload)) = self
            .uploads
            .iter_mut()
            .nth(usize::from(choice) % count.max(1))
        else {
            return;
        };
        if upload.joined || upload.len == Some(upload.data.len() as u64) && !upload.partial {
            return;
        }
        if choice >= 200 {
            let path = path.clone();
            self.uploads.remove(&path);
        } else {
            upload
                .data
                .truncate(usize::from(choice) % (upload.data.len() + 1));
        }
    }

    fn object(&self, location: &str) -> Option<Vec<u8>> {
        let upload = self.uploads.get(location.strip_prefix("https://h")?)?;
        let complete = upload.len == Some(upload.data.len() as u64) && !upload.partial;
        complete.then(|| upload.data.clone())
    }
}

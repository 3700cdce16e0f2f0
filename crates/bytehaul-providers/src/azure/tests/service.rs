//! Blob storage in memory, one blob of it, as far as uploads see it.

use std::collections::BTreeMap;

use bytehaul_integrity::{Algorithm, Hasher};
use http::HeaderMap;

use crate::{Exchange, Segment};

/// What stands at the blob's name, and what is staged for it.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// Which signature is taken.
    pub(super) valid: u64,
    /// Whether the signature may read.
    pub(super) is_write_only: bool,
    pub(super) blob: Option<Made>,
    pub(super) staged: BTreeMap<String, Vec<u8>>,
    pub(super) versions: u32,
    /// What was asked, in short.
    pub(super) log: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    pub(super) blocks: Vec<(String, Vec<u8>)>,
    pub(super) etag: String,
    pub(super) fields: HeaderMap,
    pub(super) has_md5: bool,
}

/// An answer: its status, its fields, its body.
pub(super) type Reply = (u16, Vec<(&'static str, String)>, String);

impl Service {
    pub(super) fn serve(&mut self, exchange: &Exchange, source: &[u8]) -> Reply {
        let query: BTreeMap<_, _> = exchange.url.query_pairs().into_owned().collect();
        let body = bytes_of(exchange, source);
        let comp = query.get("comp").map_or("blob", String::as_str);
        let what = match (exchange.method.as_str(), comp) {
            ("PUT", "block") => format!("block {}", body.len()),
            (method, comp) => format!("{method} {comp}"),
        };
        self.log.push(what);
        assert_eq!(exchange.headers["x-ms-version"], "2023-11-03");
        let reads = exchange.method != "PUT";
        if query.get("sig") != Some(&self.valid.to_string()) {
            return refuse(403, "AuthenticationFailed");
        }
        if reads && self.is_write_only {
            return refuse(403, "AuthorizationPermissionMismatch");
        }
        if let Some(md5) = exchange.headers.get("content-md5")
            && *md5 != Hasher::digest(Algorithm::Md5, &body).base64()
        {
            return refuse(400, "Md5Mismatch");
        }
        match (exchange.method.as_str(), comp) {
            ("PUT", "block") => self.put_block(&query["blockid"], body),
            ("PUT", "blocklist") => self.commit(exchange, &String::from_utf8(body).unwrap()),
            ("PUT", "blob") => {
                assert_eq!(exchange.headers["x-ms-blob-type"], "BlockBlob");
                match self.must_not_exist(exchange) {
                    true => refuse(409, "BlobAlreadyExists"),
                    false => self.make(body, Vec::new(), &exchange.headers),
                }
            }
            ("GET", "blocklist") => self.list(),
            ("HEAD", "blob") => self.properties(),
            other => panic!("nobody asks for {other:?}"),
        }
    }

    fn put_block(&mut self, id: &str, body: Vec<u8>) -> Reply {
        assert!(!body.is_empty(), "a block has bytes");
        if self.staged.keys().any(|other| other.len() != id.len()) {
            return refuse(400, "InvalidBlobOrBlock");
        }
        self.staged.insert(id.to_owned(), body);
        (201, Vec::new(), String::new())
    }

    fn commit(&mut self, exchange: &Exchange, xml: &str) -> Reply {
        if self.must_not_exist(exchange) {
            return refuse(409, "BlobAlreadyExists");
        }
        let mut blocks = Vec::new();
        for listed in xml.split("<Latest>").skip(1) {
            let id = listed.split('<').next().unwrap();
            let committed = self.blob.iter().flat_map(|blob| &blob.blocks);
            let mut committed = committed.filter(|(one, _)| one == id);
            let bytes = self
                .staged
                .get(id)
                .or(committed.next().map(|(_, bytes)| bytes));
            let Some(bytes) = bytes else {
                return refuse(400, "InvalidBlockList");
            };
            blocks.push((id.to_owned(), bytes.clone()));
        }
        let bytes = blocks.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        self.make(bytes, blocks, &exchange.headers)
    }

    fn must_not_exist(&self, exchange: &Exchange) -> bool {
        exchange.headers.contains_key("if-none-match") && self.blob.is_some()
    }

    pub(super) fn make(
        &mut self,
        bytes: Vec<u8>,
        blocks: Vec<(String, Vec<u8>)>,
        fields: &HeaderMap,
    ) -> Reply {
        self.versions += 1;
        let etag = format!("\"0x{}\"", self.versions);
        self.staged.clear();
        self.blob = Some(Made {
            bytes,
            has_md5: blocks.is_empty(),
            blocks,
            etag: etag.clone(),
            fields: fields.clone(),
        });
        (201, vec![("etag", etag)], String::new())
    }

    fn list(&self) -> Reply {
        if self.blob.is_none() && self.staged.is_empty() {
            return refuse(404, "BlobNotFound");
        }
        let block = |(id, bytes): (&String, &Vec<u8>)| {
            format!(
                "<Block><Name>{id}</Name><Size>{}</Size></Block>",
                bytes.len()
            )
        };
        let committed = self.blob.iter().flat_map(|blob| &blob.blocks);
        let committed: String = committed.map(|(id, bytes)| block((id, bytes))).collect();
        let staged: String = self.staged.iter().map(block).collect();
        let body = format!(
            "<BlockList><CommittedBlocks>{committed}</CommittedBlocks><UncommittedBlocks>{staged}</UncommittedBlocks></BlockList>"
        );
        let etag = self.blob.iter().map(|blob| ("etag", blob.etag.clone()));
        (200, etag.collect(), body)
    }

    fn properties(&self) -> Reply {
        let Some(blob) = &self.blob else {
            return refuse(404, "BlobNotFound");
        };
        let mut fields = vec![
            ("etag", blob.etag.clone()),
            ("content-length", blob.bytes.len().to_string()),
        ];
        if blob.has_md5 {
            let md5 = Hasher::digest(Algorithm::Md5, &blob.bytes).base64();
            fields.push(("content-md5", md5));
        }
        (200, fields, String::new())
    }
}

pub(super) fn refuse(status: u16, code: &str) -> Reply {
    (
        status,
        vec![("x-ms-error-code", code.to_owned())],
        String::new(),
    )
}

fn bytes_of(exchange: &Exchange, source: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for segment in &exchange.payload.segments {
        match segment {
            Segment::Bytes(bytes) => body.extend_from_slice(bytes),
            Segment::Source(range) => {
                body.extend_from_slice(&source[range.start as usize..range.end as usize]);
            }
            Segment::Rest(_) => panic!("blocks have a length"),
        }
    }
    body
}

//! A store in memory with the answers of OSS.

use std::collections::BTreeMap;

use bytehaul_integrity::{Crc, Hasher};

use crate::{Algorithm, Exchange, Segment, said, xml};

/// What stands at the key, and what is staged.
pub(super) struct Store {
    /// Which access key opens it.
    pub(super) valid: u64,
    pub(super) uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    begun: u32,
    pub(super) object: Option<Vec<u8>>,
    /// Whether it was made by the upload.
    pub(super) is_ours: bool,
    /// How it is with lists of parts.
    pub(super) lists: Lists,
    /// Parts on one page.
    pub(super) page: usize,
    /// Requests in words, such as `PUT 1`.
    pub(super) log: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lists {
    Whole,
    WithoutCrcs,
    Denied,
}

/// Status, fields and body of an answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: String,
}

fn reply(status: u16) -> Reply {
    Reply {
        status,
        fields: Vec::new(),
        body: String::new(),
    }
}

pub(super) fn error(status: u16, code: &str) -> Reply {
    Reply {
        body: format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>"),
        ..reply(status)
    }
}

pub(super) fn etag(bytes: &[u8]) -> String {
    let hex = Hasher::digest(Algorithm::Md5, bytes).hex();
    format!("\"{}\"", hex.to_uppercase())
}

fn crc(bytes: &[u8]) -> String {
    Crc::Crc64.checksum(bytes).to_string()
}

/// ETag and CRC of what was stored.
fn stored(bytes: &[u8]) -> Reply {
    Reply {
        fields: vec![("etag", etag(bytes)), ("x-oss-hash-crc64ecma", crc(bytes))],
        ..reply(200)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            valid: 0,
            uploads: BTreeMap::new(),
            begun: 0,
            object: None,
            is_ours: false,
            lists: Lists::Whole,
            page: 2,
            log: Vec::new(),
        }
    }
}

impl Store {
    pub(super) fn serve(&mut self, exchange: &Exchange, source: &[u8]) -> Reply {
        let query: BTreeMap<String, String> = exchange.url.query_pairs().into_owned().collect();
        let field = |name: &str| {
            let value = exchange.headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let body = bytes_of(exchange, source);
        let number = query.get("partNumber");
        let shown = number.map_or(String::new(), |number| format!(" {number}"));
        self.log.push(format!("{}{shown}", exchange.method));
        let authorization = field("authorization").expect("every request is signed");
        if !authorization.contains(&format!("Credential=K{}/", self.valid)) {
            return error(403, "InvalidAccessKeyId");
        }
        let is_kept = field("x-oss-forbid-overwrite").is_some() && self.object.is_some();
        let upload = query.get("uploadId");
        match (exchange.method.as_str(), upload) {
            ("HEAD", None) => self.head(),
            ("PUT" | "POST", None) if is_kept => error(409, "FileAlreadyExists"),
            ("POST", None) => {
                assert!(query.contains_key("uploads"));
                self.begun += 1;
                let id = format!("upload {}&<", self.begun);
                self.uploads.insert(id.clone(), BTreeMap::new());
                let mut escaped = String::new();
                said::escape(&id, &mut escaped);
                Reply {
                    body: format!(
                        "<InitiateMultipartUploadResult><UploadId>{escaped}</UploadId></InitiateMultipartUploadResult>"
                    ),
                    ..reply(200)
                }
            }
            ("PUT", None) => {
                let reply = stored(&body);
                self.object = Some(body);
                self.is_ours = true;
                reply
            }
            (_, Some(id)) if !self.uploads.contains_key(id) => error(404, "NoSuchUpload"),
            ("PUT", Some(id)) => {
                let reply = stored(&body);
                let parts = self.uploads.get_mut(id).unwrap();
                parts.insert(number.unwrap().parse().unwrap(), body);
                reply
            }
            ("GET", Some(id)) => self.list(id, &query["part-number-marker"]),
            ("DELETE", Some(id)) => {
                self.uploads.remove(id);
                reply(204)
            }
            ("POST", Some(_)) if is_kept => error(409, "FileAlreadyExists"),
            ("POST", Some(id)) => self.complete(id, &body),
            other => panic!("{other:?}"),
        }
    }

    fn head(&self) -> Reply {
        let Some(bytes) = &self.object else {
            return reply(404);
        };
        let mut reply = stored(bytes);
        let len = bytes.len().to_string();
        reply.fields.push(("content-length", len));
        reply
    }

    fn list(&self, id: &str, marker: &str) -> Reply {
        if self.lists == Lists::Denied {
            return error(403, "AccessDenied");
        }
        let marker: u32 = marker.parse().unwrap();
        let after: Vec<_> = self.uploads[id].range(marker + 1..).collect();
        let mut body = String::from("<ListPartsResult>");
        for (number, bytes) in after.iter().take(self.page) {
            let crc = match self.lists {
                Lists::WithoutCrcs => String::new(),
                _ => format!("<HashCrc64ecma>{}</HashCrc64ecma>", crc(bytes)),
            };
            body.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag><Size>{}</Size>{crc}</Part>",
                etag(bytes).replace('"', "&quot;"),
                bytes.len()
            ));
        }
        if after.len() > self.page {
            let last = after[self.page - 1].0;
            body.push_str(&format!(
                "<IsTruncated>true</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker>"
            ));
        }
        body.push_str("</ListPartsResult>");
        Reply { body, ..reply(200) }
    }

    fn complete(&mut self, id: &str, body: &[u8]) -> Reply {
        let parts = &self.uploads[id];
        let mut named: Vec<(u32, String)> = Vec::new();
        let mut number = 0;
        xml::walk(body, |path, text| match path.last().unwrap().as_str() {
            "PartNumber" => number = text.parse().unwrap(),
            "ETag" => named.push((number, text.to_owned())),
            _ => (),
        })
        .unwrap();
        assert!(
            named.windows(2).all(|two| two[0].0 < two[1].0),
            "in their order"
        );
        let mut bytes = Vec::new();
        for (number, tag) in &named {
            match parts.get(number) {
                Some(part) if etag(part) == *tag => bytes.extend_from_slice(part),
                _ => return error(400, "InvalidPart"),
            }
        }
        self.uploads.remove(id);
        let mut reply = stored(&bytes);
        let tag = reply.fields.remove(0).1.replace('"', "&quot;");
        reply.body = format!(
            "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        );
        self.object = Some(bytes);
        self.is_ours = true;
        reply
    }
}

/// A success that knows nothing of the bytes.
pub(super) fn hasty() -> Reply {
    let mut reply = stored(&[]);
    reply.fields.retain(|(name, _)| *name == "etag");
    reply
}

fn bytes_of(exchange: &Exchange, source: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for segment in &exchange.payload.segments {
        match segment {
            Segment::Bytes(bytes) => body.extend_from_slice(bytes),
            Segment::Source(range) => {
                body.extend_from_slice(&source[range.start as usize..range.end as usize]);
            }
            Segment::Rest(_) => panic!("no body is sent that has no length"),
        }
    }
    body
}

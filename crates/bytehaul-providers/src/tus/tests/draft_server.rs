//! A server of the draft in memory, written from its text, that refuses what a client must not send.

use std::collections::BTreeMap;

use http::Method;

use super::driver::{Reply, Request, Server};

/// Where the server is odd, or strict, within the draft.
#[derive(Clone, Debug)]
pub(super) struct Traits {
    /// Bytes of one append.
    pub min_append: u64,
    /// Bytes of one append.
    pub max_append: u64,
    /// Whether uploads are forgotten as soon as they are complete.
    pub forgets: bool,
    /// Whether the offset is told in each answer.
    pub tells: bool,
}

#[derive(Default)]
struct Upload {
    len: Option<u64>,
    data: Vec<u8>,
    complete: bool,
}

pub(super) struct DraftServer {
    traits: Traits,
    uploads: BTreeMap<String, Upload>,
    objects: Vec<Vec<u8>>,
    made: u32,
}

impl DraftServer {
    pub(super) fn new(traits: Traits) -> Self {
        Self {
            traits,
            uploads: BTreeMap::new(),
            objects: Vec::new(),
            made: 0,
        }
    }

    /// How many objects have come of uploads.
    pub(super) fn objects(&self) -> usize {
        self.objects.len()
    }

    fn append(&mut self, request: &Request<'_>, cut: bool) -> Reply {
        assert_eq!(
            request.header("content-type"),
            Some("application/partial-upload")
        );
        let completes = match request.header("upload-complete") {
            Some("?1") => true,
            Some("?0") => false,
            other => panic!("{other:?}"),
        };
        let offset = request.number("upload-offset").unwrap();
        let size = request.body.len() as u64;
        assert!(size <= self.traits.max_append, "more than the limit");
        assert!(
            cut || completes || size >= self.traits.min_append,
            "less than the limit"
        );
        let Some(upload) = self.uploads.get_mut(request.path) else {
            return Reply::new(404);
        };
        let at = upload.data.len() as u64;
        if upload.complete {
            let mut reply = Reply::new(400);
            reply.body = COMPLETED;
            return reply;
        }
        if offset != at {
            return Reply::new(409).with("upload-offset", at);
        }
        upload.data.extend_from_slice(request.body);
        let now = upload.data.len() as u64;
        assert!(
            upload.len.is_none_or(|len| now <= len),
            "more than was announced"
        );
        if cut {
            return Reply::new(500);
        }
        if completes {
            assert!(
                upload.len.is_none_or(|len| now == len),
                "inconsistent length"
            );
            upload.complete = true;
            self.objects.push(upload.data.clone());
            if self.traits.forgets {
                self.uploads.remove(request.path);
            }
            let mut reply = Reply::new(200).with("upload-complete", "?1");
            reply.body = "made";
            return reply;
        }
        match self.traits.tells {
            true => Reply::new(204)
                .with("upload-complete", "?0")
                .with("upload-offset", now),
            false => Reply::new(204).with("upload-complete", "?0"),
        }
    }
}

impl Server for DraftServer {
    fn handle(&mut self, request: &Request<'_>, cut: bool) -> Reply {
        assert_eq!(request.header("upload-draft-interop-version"), Some("8"));
        match *request.method {
            Method::POST => {
                assert_eq!(request.header("upload-complete"), Some("?0"));
                assert!(request.body.is_empty());
                self.made += 1;
                let path = format!("/up/{}", self.made);
                let len = request.number("upload-length");
                self.uploads.insert(
                    path.clone(),
                    Upload {
                        len,
                        ..Upload::default()
                    },
                );
                let Traits {
                    min_append,
                    max_append,
                    ..
                } = self.traits;
                Reply::new(201).with("location", path).with(
                    "upload-limit",
                    format!(
                        "min-append-size={min_append}, max-append-size={max_append}, max-age=60"
                    ),
                )
            }
            Method::PATCH => self.append(request, cut),
            Method::HEAD => match self.uploads.get(request.path) {
                None => Reply::new(404),
                Some(upload) => {
                    let flag = if upload.complete { "?1" } else { "?0" };
                    let Traits {
                        min_append,
                        max_append,
                        ..
                    } = self.traits;
                    let limits =
                        format!("min-append-size={min_append}, max-append-size={max_append}");
                    let reply = Reply::new(204)
                        .with("upload-offset", upload.data.len())
                        .with("upload-complete", flag)
                        .with("upload-limit", limits);
                    match upload.len {
                        Some(len) => reply.with("upload-length", len),
                        None => reply,
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
        let found = self
            .uploads
            .iter_mut()
            .nth(usize::from(choice) % count.max(1));
        let Some((path, upload)) = found.filter(|(_, upload)| !upload.complete) else {
            return;
        };
        if choice >= 200 {
            let path = path.clone();
            self.uploads.remove(&path);
        } else {
            upload
                .data
                .truncate(usize::from(choice) % (upload.data.len() + 1));
        }
    }

    /// The last object that was made, whatever it is called.
    fn object(&self, _: &str) -> Option<Vec<u8>> {
        self.objects.last().cloned()
    }
}

const COMPLETED: &str =
    "{\"type\":\"https://iana.org/assignments/http-problem-types#completed-upload\"}";

//! Multipart uploads that nobody has completed or aborted: they are billed and not seen. A machine that lists and aborts them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use super::answers::{self, Verdict};
use super::listing::{MOST_OF_A_TAG, xml_root};
use super::location::Location;
use super::sign::{self, PayloadHash};
use crate::s3::{S3Config, S3Credentials};
use crate::{
    Answer, Exchange, Fault, Ids, ProtocolError, ProtocolErrorKind, SessionId, Step, rfc3339, xml,
};

/// Lists the open uploads of a bucket, page by page (ListMultipartUploads), and makes the requests that abort them.
///
/// Ask [`request`](Self::request) for a request, send it, and give its answer to [`answered`](Self::answered), until there is no
/// further request.
#[derive(Debug)]
pub struct ListUploads {
    location: Location,
    ids: Ids,
    state: State,
    /// Where pages have begun.
    seen: HashSet<(String, String)>,
    has_moved: bool,
    /// Whether keys are to come percent-encoded, because some of them cannot be in XML.
    is_encoded: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    /// Behind this key and upload.
    Next(String, String),
    Done,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OpenUpload {
    /// The key of the object.
    pub key: String,
    /// Its id.
    pub upload: SessionId,
    /// When it was begun, if the server said so.
    pub begun_at: Option<SystemTime>,
}

impl ListUploads {
    /// All uploads of `s3://BUCKET`, or those whose key begins as in `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// As [`S3::new`](super::S3::new), but any prefix will do.
    pub fn new(name: &str, config: &S3Config) -> Result<Self, ProtocolError> {
        Ok(Self {
            location: Location::bucket(name, config)?,
            ids: Ids::default(),
            state: State::Next(String::new(), String::new()),
            seen: HashSet::new(),
            has_moved: false,
            is_encoded: false,
        })
    }

    /// The request for the next page; `None`: that was all.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn request(
        &mut self,
        credentials: &S3Credentials,
        now: SystemTime,
    ) -> Result<Option<Exchange>, ProtocolError> {
        let State::Next(key, upload) = &self.state else {
            return Ok(None);
        };
        let mut query = vec![("uploads", "")];
        if self.is_encoded {
            query.push(("encoding-type", "url"));
        }
        let pairs = [
            ("prefix", &self.location.key),
            ("key-marker", key),
            ("upload-id-marker", upload),
        ];
        let given = pairs.iter().filter(|(_, value)| !value.is_empty());
        query.extend(given.map(|(name, value)| (*name, value.as_str())));
        let url = self.location.bucket_url(&query)?;
        let exchange = Exchange::new(self.ids.fresh(), Step::Check, Method::GET, url);
        let mut exchange = self.signed(exchange, credentials, now)?;
        exchange.answer_limit = 8 << 20;
        Ok(Some(exchange))
    }

    /// Takes a page, and gives the uploads on it.
    ///
    /// # Errors
    /// What the answer means where it is no page.
    pub fn answered(
        &mut self,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Result<Vec<OpenUpload>, Fault> {
        match answers::verdict(answer, now) {
            Verdict::Taken => Ok(self.page(answer.body)?),
            Verdict::Elsewhere(region, said) => match self.location.in_region(&region) {
                Some(location) if !self.has_moved => {
                    self.location = location;
                    self.has_moved = true;
                    Ok(Vec::new())
                }
                _ => Err(said.in_region(&region).fault("list of uploads")),
            },
            Verdict::Refused(said)
            | Verdict::Gone(said)
            | Verdict::Corrupt(said)
            | Verdict::Passing(said)
            | Verdict::Final(said) => Err(said.fault("list of uploads")),
        }
    }

    /// The request that aborts an upload. It is done with a success, and with a 404 that
    /// says `NoSuchUpload`: then there is none any more.
    ///
    /// # Errors
    /// It cannot be signed, or its key cannot be in a URL.
    pub fn abort(
        &mut self,
        upload: &OpenUpload,
        credentials: &S3Credentials,
        now: SystemTime,
    ) -> Result<Exchange, ProtocolError> {
        let query = [("uploadId", upload.upload.as_str())];
        let url = self.location.at(&upload.key, &query)?;
        let exchange = Exchange::new(self.ids.fresh(), Step::Abort, Method::DELETE, url);
        self.signed(exchange, credentials, now)
    }

    fn signed(
        &self,
        exchange: Exchange,
        credentials: &S3Credentials,
        now: SystemTime,
    ) -> Result<Exchange, ProtocolError> {
        let none = HeaderMap::new();
        let request = sign::Request::new(&exchange.method, &exchange.url, &none);
        let request = request.payload(PayloadHash::of(b""));
        let headers = sign::sign(request, credentials, &self.location.region, now)?;
        Ok(exchange.headers(headers))
    }

    fn page(&mut self, body: &[u8]) -> Result<Vec<OpenUpload>, ProtocolError> {
        let mut found = Vec::new();
        let mut one = OpenUpload::none();
        let mut truncated = false;
        let mut is_encoded = false;
        let mut next = (String::new(), String::new());
        let walked = xml::walk_exactly(body, |path, text| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path[..] {
                [ROOT, "IsTruncated"] => truncated = text.trim() == "true",
                [ROOT, "EncodingType"] => is_encoded = text.trim() == "url",
                [ROOT, "NextKeyMarker"] => text.clone_into(&mut next.0),
                [ROOT, "NextUploadIdMarker"] => text.clone_into(&mut next.1),
                [ROOT, "Upload", "Key"] => text.clone_into(&mut one.key),
                [ROOT, "Upload", "UploadId"] => one.upload = SessionId::new(text.trim()),
                [ROOT, "Upload", "Initiated"] => one.begun_at = rfc3339::parse(text),
                [ROOT, "Upload"] => {
                    let upload = std::mem::replace(&mut one, OpenUpload::none());
                    if (1..=MOST_OF_A_TAG).contains(&upload.upload.as_str().len()) {
                        found.push(upload);
                    }
                }
                _ => (),
            }
        });
        if walked.is_err() && !self.is_encoded {
            self.is_encoded = true;
            return Ok(Vec::new());
        }
        if walked.is_err() || xml_root(body).as_deref() != Some(ROOT) {
            let what = "the list of uploads is no such XML";
            return Err(ProtocolError::new(ProtocolErrorKind::Parse, what));
        }
        if is_encoded {
            next.0 = decoded(&next.0);
            for upload in &mut found {
                upload.key = decoded(&upload.key);
            }
        }
        // Each page has to begin where none has, or the list would have no end. In which order is the server's affair:
        // directory buckets list theirs unsorted.
        let begins = next != (String::new(), String::new());
        self.state = match truncated && begins && self.seen.insert(next.clone()) {
            true => State::Next(next.0, next.1),
            false => State::Done,
        };
        Ok(found)
    }
}

impl OpenUpload {
    fn none() -> Self {
        Self {
            key: String::new(),
            upload: SessionId::new(""),
            begun_at: None,
        }
    }
}

impl fmt::Display for OpenUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let decoded: Cow<'_, str> = percent_decode_str(&text).decode_utf8_lossy();
    decoded.into_owned()
}

const ROOT: &str = "ListMultipartUploadsResult";

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    fn keys() -> S3Credentials {
        S3Credentials::new("AK", "s3cret")
    }

    /// Answers each request, named by its host and query, and gives the keys and ids that were found.
    #[track_caller]
    fn check(name: &str, exchanges: &[(&str, u16, &str)], expected: &[&str]) {
        let mut list = ListUploads::new(name, &S3Config::new(keys())).unwrap();
        let mut found = Vec::new();
        for (asked, status, body) in exchanges {
            let exchange = list.request(&keys(), UNIX_EPOCH).unwrap();
            let exchange = exchange.unwrap_or_else(|| panic!("no request for {asked}"));
            let host = exchange.url.host_str().unwrap();
            let region = host.split('.').nth(2).unwrap();
            assert_eq!(
                format!("{region} {}", exchange.url.query().unwrap()),
                *asked
            );
            let body = Bytes::copy_from_slice(body.as_bytes());
            let headers = HeaderMap::new();
            let status = StatusCode::from_u16(*status).unwrap();
            let answer = Answer::new(status, &headers, &body, &exchange.url);
            found.extend(list.answered(&answer, UNIX_EPOCH).unwrap());
        }
        assert!(list.request(&keys(), UNIX_EPOCH).unwrap().is_none());
        let shown: Vec<_> = found
            .iter()
            .map(|one| format!("{}|{}", one.key, one.upload.as_str()))
            .collect();
        assert_eq!(shown, expected);
    }

    fn page(uploads: &[(&str, &str)], more: &str) -> String {
        let uploads: String = uploads
            .iter()
            .map(|(key, id)| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>"))
            .collect();
        format!("<{ROOT}>{uploads}{more}</{ROOT}>")
    }

    #[test]
    fn pages_follow_each_other() {
        let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>a b</NextKeyMarker>\
                    <NextUploadIdMarker>2</NextUploadIdMarker>";
        let first = page(&[("a", "1"), (" a b ", "2")], more);
        let behind = "us-east-1 uploads=&prefix=p%2F&key-marker=a%20b&upload-id-marker=2";
        check(
            "s3://b/p/",
            &[
                ("us-east-1 uploads=&prefix=p%2F", 200, &first),
                (behind, 200, &page(&[("c", "3")], "")),
            ],
            &["a|1", " a b |2", "c|3"],
        );
        // A list that does not go on has no end: it is left.
        check(
            "s3://b/p/",
            &[
                ("us-east-1 uploads=&prefix=p%2F", 200, &first),
                (behind, 200, &first),
            ],
            &["a|1", " a b |2", "a|1", " a b |2"],
        );
    }

    /// Not even where it goes round in a circle, among keys or among the uploads of one.
    #[test]
    fn a_list_that_comes_back_is_left() {
        let more = |key: &str, id: &str| {
            let more = format!(
                "<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
                 <NextUploadIdMarker>{id}</NextUploadIdMarker>"
            );
            page(&[], &more)
        };
        for (one, other) in [(("a", "1"), ("b", "1")), (("a", "1"), ("a", "2"))] {
            let (first, second) = (more(one.0, one.1), more(other.0, other.1));
            let asked = |(key, id): (&str, &str)| {
                format!("us-east-1 uploads=&key-marker={key}&upload-id-marker={id}")
            };
            let exchanges = [
                ("us-east-1 uploads=", 200, &*first),
                (&*asked(one), 200, &second),
                (&*asked(other), 200, &first),
            ];
            check("s3://b", &exchanges, &[]);
        }
    }

    #[test]
    fn ids_that_nobody_would_give_are_passed_over() {
        let (long, fits) = ("x".repeat(1025), "x".repeat(1024));
        let uploads = page(&[("a", &long), ("b", &fits)], "");
        let found = format!("b|{fits}");
        check(
            "s3://b",
            &[("us-east-1 uploads=", 200, &uploads)],
            &[&found],
        );
    }

    #[test]
    fn keys_that_xml_cannot_hold_come_encoded() {
        let encoded = page(&[("a%01+b%2B", "1")], "<EncodingType>url</EncodingType>");
        check(
            "s3://b",
            &[
                (
                    "us-east-1 uploads=",
                    200,
                    "<ListMultipartUploadsResult><Upload><Key>&#1;<",
                ),
                ("us-east-1 uploads=&encoding-type=url", 200, &encoded),
            ],
            &["a\u{1} b+|1"],
        );
    }

    #[test]
    fn the_bucket_is_elsewhere() {
        let moved = "<Error><Code>PermanentRedirect</Code><Region>eu-west-1</Region></Error>";
        check(
            "s3://b",
            &[
                ("us-east-1 uploads=", 301, moved),
                ("eu-west-1 uploads=", 200, &page(&[], "")),
            ],
            &[],
        );
    }

    #[test]
    fn aborts_are_signed() {
        let mut list = ListUploads::new("s3://b", &S3Config::new(keys())).unwrap();
        let upload = OpenUpload {
            key: "a b/ü".into(),
            upload: SessionId::new("i&d"),
            begun_at: None,
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let exchange = list.abort(&upload, &keys(), now).unwrap();
        assert_eq!(
            (&exchange.method, exchange.url.path()),
            (&Method::DELETE, "/a%20b/%C3%BC")
        );
        assert_eq!(exchange.url.query(), Some("uploadId=i%26d"));
        assert!(exchange.headers.contains_key("authorization"));
    }
}

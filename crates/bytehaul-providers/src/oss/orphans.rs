//! Multipart uploads that nobody has completed or aborted: they are billed and not seen. A machine that lists and aborts them.

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, Method};

use super::answers::{self, Verdict};
use super::listing::{More, UploadList};
use super::location::Location;
use super::sign::{self, Resource};
use super::wire::URL_ENCODED;
use crate::oss::{OssConfig, OssCredentials};
use crate::{Answer, Exchange, Fault, Ids, ProtocolError, SessionId, Step};

/// Lists the open uploads of a bucket, page by page (ListMultipartUploads), and makes the requests that abort them.
///
/// Ask [`request`](Self::request) for a request, send it, and give its answer to [`answered`](Self::answered), until there is no
/// further request.
#[derive(Debug)]
pub struct ListUploads {
    location: Location,
    ids: Ids,
    list: UploadList,
    goes_on: bool,
    has_moved: bool,
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
    /// All uploads of `oss://BUCKET`, or those whose key begins as in `oss://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// As [`Oss::new`](super::Oss::new), but any prefix will do.
    pub fn new(name: &str, config: &OssConfig) -> Result<Self, ProtocolError> {
        Ok(Self {
            location: Location::bucket(name, config)?,
            ids: Ids::default(),
            list: UploadList::default(),
            goes_on: true,
            has_moved: false,
        })
    }

    /// The request for the next page; `None`: that was all.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn request(
        &mut self,
        credentials: &OssCredentials,
        now: SystemTime,
    ) -> Result<Option<Exchange>, ProtocolError> {
        if !self.goes_on {
            return Ok(None);
        }
        let (key, upload) = self.list.marker();
        let mut query = vec![("uploads", ""), ("max-uploads", "1000"), URL_ENCODED];
        let given = [
            ("prefix", self.location.key.as_str()),
            ("key-marker", key),
            ("upload-id-marker", upload),
        ];
        query.extend(given.iter().filter(|(_, value)| !value.is_empty()));
        let url = self.location.bucket_url(&query)?;
        let exchange = Exchange::new(self.ids.fresh(), Step::Check, Method::GET, url);
        let resource = Resource::bucket(&self.location.bucket);
        let mut exchange = self.signed(exchange, resource, credentials, now)?;
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
            Verdict::Taken => {
                let (found, more) = self.list.take(answer.body)?;
                self.goes_on = more == More::Yes;
                Ok(found)
            }
            Verdict::Elsewhere(endpoint, said) => match self.location.at_endpoint(&endpoint) {
                Some(location) if !self.has_moved => {
                    self.location = location;
                    self.has_moved = true;
                    Ok(Vec::new())
                }
                _ => Err(said.fault("the bucket has another endpoint")),
            },
            Verdict::Refused(said)
            | Verdict::Gone(said)
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
        credentials: &OssCredentials,
        now: SystemTime,
    ) -> Result<Exchange, ProtocolError> {
        let query = [("uploadId", upload.upload.as_str())];
        let url = self.location.at(&upload.key, &query)?;
        let exchange = Exchange::new(self.ids.fresh(), Step::Abort, Method::DELETE, url);
        let resource = Resource::object(&self.location.bucket, &upload.key);
        self.signed(exchange, resource, credentials, now)
    }

    fn signed(
        &self,
        exchange: Exchange,
        resource: Resource<'_>,
        credentials: &OssCredentials,
        now: SystemTime,
    ) -> Result<Exchange, ProtocolError> {
        let none = HeaderMap::new();
        let request = sign::Request::new(&exchange.method, &exchange.url, &none, resource);
        let headers = sign::sign(request, credentials, &self.location.region, now)?;
        Ok(exchange.headers(headers))
    }
}

impl fmt::Display for OpenUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

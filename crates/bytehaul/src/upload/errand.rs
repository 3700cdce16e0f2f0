//! A request of a protocol that is part of no upload: a page of a list, a discard, the creation that a plan begins with.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bytehaul_providers::{Answer, Exchange, Segment};
use bytehaul_schedule::{Class, Failure, RetryBudget, RetryPolicy, Verdict};
use bytehaul_transport::{Class as ErrorClass, Client, Error, Request, RequestBody, SafeUrl};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::error::is_transient;
use crate::network::Network;
use crate::upload::Uploader;
use crate::upload::courier::wait_asked_for;
use crate::upload::error::UploadError;

/// The answer to an [errand](Uploader::exchange).
#[derive(Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
    /// The URL that answered, which may hold a signature.
    pub url: Url,
}

impl Reply {
    /// As the machines of the protocols take it.
    pub fn answer(&self) -> Answer<'_> {
        Answer::new(self.status, &self.headers, &self.body, &self.url)
    }
}

impl fmt::Debug for Reply {
    /// Shows the URL redacted, and of the body only its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("url", &SafeUrl::from(&self.url))
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Uploader {
    /// Sends a request that a machine beside an upload has made, such as a page of a list of open uploads, and brings its
    /// answer whatever the status is. Nothing is added to it. What fails in passing (the network, 408, 425, 429, 5xx) is tried
    /// again some times, with growing waits.
    ///
    /// ```no_run
    /// # #[cfg(feature = "s3")]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::SystemTime;
    ///
    /// use bytehaul::protocol::s3::{ListUploads, S3Config, S3Credentials};
    ///
    /// let keys = S3Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret");
    /// let mut list = ListUploads::new("s3://bucket/backups/", &S3Config::new(keys.clone()))?;
    /// let uploader = bytehaul::Uploader::builder().build()?;
    /// while let Some(page) = list.request(&keys, SystemTime::now())? {
    ///     let reply = uploader.exchange(&page).await?;
    ///     for upload in list.answered(&reply.answer(), SystemTime::now()).map_err(|fault| format!("{fault:?}"))? {
    ///         println!("{upload}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`UploadError::Network`]; [`UploadError::InvalidParameter`] when it carries bytes of a source.
    ///
    /// # Cancel safety
    /// Dropping the future gives it up; the server may have carried it out.
    pub async fn exchange(&self, exchange: &Exchange) -> Result<Reply, UploadError> {
        let body = body(exchange)?;
        let access = self.shared.downloads.clients.of(&Network::default())?;
        let seed = RandomState::new().build_hasher().finish();
        let mut budget = RetryBudget::new(RetryPolicy::default(), seed);
        loop {
            let came = once(&access.client, exchange, body.clone()).await;
            let failure = match &came {
                Ok(reply) => passing(reply),
                Err(error) => match error.kind().class() {
                    ErrorClass::Transient => Some(Failure::new(Class::Transient)),
                    ErrorClass::Refused => Some(Failure::new(Class::Refused)),
                    ErrorClass::Fatal => None,
                },
            };
            let verdict = failure.map(|failure| budget.on_failure(failure));
            if let Some(Verdict::Retry(wait)) = verdict {
                tokio::time::sleep(wait).await;
                continue;
            }
            return came.map_err(|error| UploadError::Network {
                url: error
                    .url()
                    .cloned()
                    .unwrap_or_else(|| SafeUrl::from(&exchange.url)),
                retries: budget.failures().saturating_sub(1),
                source: Arc::new(error),
            });
        }
    }
}

async fn once(client: &Client, exchange: &Exchange, body: Option<Bytes>) -> Result<Reply, Error> {
    let request = Request::new(exchange.method.clone(), exchange.url.clone());
    let mut request = request.headers(exchange.headers.clone());
    if let Some(body) = body {
        request = request.body(RequestBody::bytes(body));
    }
    let mut response = client.send(request).await?;
    let (status, url) = (response.status(), response.url().clone());
    let headers = response.headers().clone();
    let body = response.body_mut().bytes(exchange.answer_limit).await?;
    Ok(Reply {
        status,
        headers,
        body: body.freeze(),
        url,
    })
}

fn body(exchange: &Exchange) -> Result<Option<Bytes>, UploadError> {
    let mut whole = Vec::new();
    for segment in &exchange.payload.segments {
        let Segment::Bytes(bytes) = segment else {
            let reason = "it carries bytes of a source, so it belongs to an upload";
            return Err(UploadError::parameter("exchange", reason));
        };
        whole.extend_from_slice(bytes);
    }
    Ok((!exchange.payload.is_empty()).then(|| whole.into()))
}

fn passing(reply: &Reply) -> Option<Failure> {
    let throttled = matches!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let mut failure = Failure::new(match throttled {
        true => Class::Throttled,
        false => Class::Transient,
    });
    failure.retry_after = wait_asked_for(&reply.headers);
    is_transient(reply.status).then_some(failure)
}

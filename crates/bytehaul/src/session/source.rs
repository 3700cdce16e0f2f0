//! Where the bytes come from: the URL that was given, the one that redirects led to, and what may be sent to each.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytehaul_transport::{Body, Client, Framing, Origin, Request, RequestRange, Response, SafeUrl};
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::identity::Identity;
use crate::metalink::{self, Named};
use crate::response::{self, Answer};
use crate::session::trouble::Trouble;

/// One remote file. Shared by all workers of a download, so that a redirect is followed once.
#[derive(Debug)]
pub(crate) struct Source {
    client: Client,
    url: Url,
    safe_url: SafeUrl,
    headers: HeaderMap,
    learned: Mutex<Option<Url>>,
}

/// A response whose head has been understood.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) identity: Identity,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// From the request to the head.
    pub(crate) latency: Duration,
    /// Where it came from, redacted.
    pub(crate) url: SafeUrl,
    /// What it names beside the file itself.
    pub(crate) named: Named,
}

impl Source {
    pub(crate) fn new(client: Client, url: Url, headers: HeaderMap) -> Self {
        Self {
            client,
            safe_url: SafeUrl::from(&url),
            url,
            headers,
            learned: Mutex::new(None),
        }
    }

    /// The URL that was given, redacted.
    pub(crate) fn safe_url(&self) -> &SafeUrl {
        &self.safe_url
    }

    /// The URL that was given.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Asks for a range and understands the head of the answer. A learned URL that has expired is forgotten
    /// and the original one is asked in the same attempt.
    pub(crate) async fn ask(&self, range: RequestRange) -> Result<Reply, Trouble> {
        let response = self
            .send(range)
            .await
            .map_err(|error| Trouble::transport(&self.safe_url, error))?;
        Ok(self.understand(response))
    }

    async fn send(&self, range: RequestRange) -> Result<Response, bytehaul_transport::Error> {
        if let Some(learned) = self.learned() {
            let answer = self.client.send(self.request(learned, range.clone())).await;
            let gone = match &answer {
                Ok(response) => {
                    is_expired(response.status()) || response.status().is_server_error()
                }
                Err(_) => true,
            };
            if gone {
                // The next one to ask, perhaps this one, is led to wherever the file is by now.
                self.learn(None);
            }
            match answer {
                Ok(response) if is_expired(response.status()) => {
                    tracing::debug!(url = %self.safe_url, status = %response.status(), "the redirected URL has expired");
                }
                answer => return answer,
            }
        }
        let response = self
            .client
            .send(self.request(self.url.clone(), range))
            .await?;
        if response.redirected() && response.status().is_success() {
            self.learn(Some(self.with_credentials(response.url().clone())));
        }
        Ok(response)
    }

    fn request(&self, url: Url, range: RequestRange) -> Request {
        let ours = self.is_ours(&url);
        let headers = if ours {
            self.headers.clone()
        } else {
            HeaderMap::new()
        };
        Request::get(url).range(range).headers(headers)
    }

    /// A redirect within the origin that the credentials were given for keeps them.
    fn with_credentials(&self, mut url: Url) -> Url {
        if self.is_ours(&url) && url.username().is_empty() {
            // Both can only fail for URLs without a host, which http and https URLs have.
            let _ = url.set_username(self.url.username());
            let _ = url.set_password(self.url.password());
        }
        url
    }

    fn is_ours(&self, url: &Url) -> bool {
        matches!((Origin::of(url), Origin::of(&self.url)), (Ok(theirs), Ok(ours)) if theirs == ours)
    }

    fn understand(&self, response: Response) -> Reply {
        let status = response.status();
        let latency = response.latency();
        let answered = response.url().clone();
        let url = SafeUrl::from(&answered);
        let headers = response.headers().clone();
        let body = response.into_body();
        let answer =
            response::interpret(status, &headers, length(body.framing()), SystemTime::now());
        let total = match &answer {
            Answer::Part { total, .. } | Answer::Unsatisfiable { total } => *total,
            Answer::Whole { len } => *len,
            _ => None,
        };
        let identity = response::identity(&self.safe_url, status, &headers, total);
        let named = metalink::named(&self.url, &answered, &headers, &identity.digests);
        Reply {
            answer,
            named,
            identity,
            headers,
            body,
            latency,
            url,
        }
    }

    fn learned(&self) -> Option<Url> {
        self.learned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where the bytes come from, after redirects.
    pub(crate) fn answered_from(&self) -> SafeUrl {
        self.learned()
            .map_or_else(|| self.safe_url.clone(), |url| SafeUrl::from(&url))
    }

    fn learn(&self, url: Option<Url>) {
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }
}

/// How the range of an answer serves the range that was wanted.
pub(crate) fn lead_in(wanted: u64, got: &Range<u64>) -> Result<u64, String> {
    if got.start > wanted || got.end <= wanted {
        return Err(format!(
            "bytes {}-{} although byte {wanted} was asked for",
            got.start,
            got.end - 1
        ));
    }
    // A block-aligned cache answers from before the wanted byte; what leads in is skipped.
    Ok(wanted - got.start)
}

fn length(framing: Framing) -> Option<u64> {
    match framing {
        Framing::Length(len) => Some(len),
        _ => None,
    }
}

fn is_expired(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 404 | 410)
}

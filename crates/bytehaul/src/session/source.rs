//! Where the bytes come from: the URL that was given, the one that redirects led to, and what may be sent to each.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytehaul_providers::{
    Answer as ProtocolAnswer, DownloadProtocol, Proof, ProtocolError, ProtocolErrorKind,
    RangeRequest, Told, Wanted,
};
use bytehaul_transport::{Body, Client, Framing, Request, RequestRange, Response, SafeUrl};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::time::timeout;
use url::Url;

use crate::error::DownloadError;
use crate::identity::Identity;
use crate::metalink::{self, Named};
use crate::netrc::Entries;
use crate::network::Access;
use crate::response::{self, Answer};
use crate::session::given::Given;
use crate::session::job::Job;
use crate::session::renewal::{Current, Renewal, Then};
use crate::session::trouble::{Trouble, in_a_line};
use crate::session::visit::Visit;

/// One remote file. Shared by all workers of a download, so that a redirect is followed once, and credentials are
/// renewed once.
#[derive(Debug)]
pub(crate) struct Source {
    client: Client,
    /// The one that was given, which stays the file's identity whatever a refresher says.
    url: Url,
    safe_url: SafeUrl,
    renewal: Renewal,
    visit: Visit,
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
    /// The file at the URL that a download is of.
    pub(crate) fn new(access: &Access, job: &Job) -> Self {
        let (refresher, expires_at) = (job.refresher.clone(), job.expires_at);
        let renewal = match &job.protocol {
            None => Renewal::new(given(access, job), refresher, expires_at),
            Some(protocol) => {
                // What a protocol has signed is not to be signed a second time by what a file says.
                let given = with_netrc(Arc::default(), job);
                Renewal::new(given, refresher, expires_at).of_protocol(Arc::clone(protocol))
            }
        };
        Self::of(access, job.url.clone(), renewal)
    }

    /// The same file at another URL, for which nothing can be renewed. Headers and credentials of the download go there
    /// only if it is of the same origin.
    pub(crate) fn mirror(access: &Access, job: &Job, url: Url) -> Self {
        let renewal = Renewal::new(given(access, job).at(url.clone()), None, None);
        Self::of(access, url, renewal)
    }

    /// The same at a URL that an answer has named: besides, no password is looked up for another origin.
    pub(crate) fn named(access: &Access, job: &Job, url: Url) -> Self {
        let renewal = Renewal::new(given(access, job).led_to(url.clone()), None, None);
        Self::of(access, url, renewal)
    }

    fn of(access: &Access, url: Url, renewal: Renewal) -> Self {
        Self {
            client: access.client.clone(),
            safe_url: SafeUrl::from(&url),
            visit: Visit::new(&url),
            url,
            renewal,
        }
    }

    /// Its place among all that use this host.
    pub(crate) fn visit(&self) -> &Visit {
        &self.visit
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
    /// and the original one is asked in the same attempt; credentials that have expired are renewed, and it is asked
    /// again.
    pub(crate) async fn ask(&self, range: RequestRange) -> Result<Reply, Trouble> {
        loop {
            let current = self.renewal.current().await;
            let sent = match &current.protocol {
                Some(protocol) => {
                    let request = by_protocol(&**protocol, &current.given, range.clone());
                    let request = request.map_err(|error| self.unaskable(error))?;
                    // A redirect is good for this request alone.
                    self.client.send(request).await
                }
                None => self.send(&current, range.clone()).await,
            };
            let mut response = sent.map_err(|error| Trouble::transport(&self.safe_url, error))?;
            let status = response.status();
            if status.is_success() {
                self.renewal.accepted(&current);
                return Ok(self.understand(response, current.protocol.is_some()));
            }
            let then = match self.says(&current, &mut response).await {
                Says::Elsewhere => continue,
                Says::Refused => self.renewal.denied(&current, status).await,
                Says::Nothing => self.renewal.refused(&current, status).await,
            };
            match then.map_err(Trouble::Fatal)? {
                Then::AskAgain => (),
                Then::TakeIt => return Ok(self.understand(response, current.protocol.is_some())),
            }
        }
    }

    /// What the answer means to a protocol. What it says is read for that.
    async fn says(&self, current: &Current, response: &mut Response) -> Says {
        let may_tell = matches!(response.status().as_u16(), 301 | 307 | 400 | 403);
        let Some(protocol) = current.protocol.as_ref().filter(|_| may_tell) else {
            return Says::Nothing;
        };
        // Byte by byte it could take for ever, and the fields may say it alone.
        let body = timeout(LONGEST_TOLD, response.body_mut().bytes(MOST_TOLD)).await;
        let body = body.ok().and_then(Result::ok);
        let body = body.map(BytesMut::freeze).unwrap_or_default();
        let (headers, url) = (response.headers(), response.url());
        let answer = ProtocolAnswer::new(response.status(), headers, &body, url);
        match self.renewal.elsewhere(current, &answer) {
            Then::AskAgain => Says::Elsewhere,
            Then::TakeIt if protocol.is_refused(&answer) => Says::Refused,
            Then::TakeIt => Says::Nothing,
        }
    }

    async fn send(
        &self,
        current: &Current,
        range: RequestRange,
    ) -> Result<Response, bytehaul_transport::Error> {
        let given = &current.given;
        if let Some(learned) = &current.learned {
            let answer = self
                .client
                .send(request(given, learned, range.clone()))
                .await;
            let gone = match &answer {
                Ok(response) => {
                    is_expired(response.status()) || response.status().is_server_error()
                }
                Err(_) => true,
            };
            if gone {
                // The next one to ask, perhaps this one, is led to wherever the file is by now.
                self.renewal.learn(current, None);
            }
            match answer {
                Ok(response) if is_expired(response.status()) => {
                    bytehaul_log::debug!(url = %self.safe_url, status = %response.status(), "the redirected URL has expired");
                }
                answer => return answer,
            }
        }
        let response = self.client.send(request(given, given.url(), range)).await?;
        if response.redirected() && response.status().is_success() {
            let learned = with_credentials(given, response.url().clone());
            self.renewal.learn(current, Some(learned));
        }
        Ok(response)
    }

    /// A whole document that an answer of this source names, of at most so many bytes. What was given for this source
    /// goes along only if it is of the same origin.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn document(&self, url: &Url, most: usize) -> Result<Bytes, String> {
        let given = self.renewal.current().await.given;
        let request =
            Request::get(with_credentials(&given, url.clone())).headers(given.fields(url));
        let told = |error| in_a_line(&error);
        let mut response = self.client.send(request).await.map_err(told)?;
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status()));
        }
        let bytes = response.body_mut().bytes(most).await.map_err(told)?;
        Ok(bytes.freeze())
    }

    /// What the object has to hash to, by what its protocol makes of these answers.
    pub(crate) async fn proof(&self, told: &[Told]) -> Result<Proof, ProtocolError> {
        match &self.renewal.current().await.protocol {
            Some(protocol) => protocol.proof(told, SystemTime::now()),
            None => Ok(Proof::Nothing),
        }
    }

    /// The head of the answer to a question of the protocol.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn question(
        &self,
        question: &RangeRequest,
    ) -> Result<(StatusCode, HeaderMap), String> {
        let given = self.renewal.current().await.given;
        let fields = joined(&given, question);
        let request = Request::head(question.url.clone()).headers(fields);
        let sent = self.client.send(request).await;
        let response = sent.map_err(|error| in_a_line(&error))?;
        Ok((response.status(), response.headers().clone()))
    }

    /// The protocol cannot make a request.
    fn unaskable(&self, error: ProtocolError) -> Trouble {
        Trouble::Fatal(match error.kind() {
            ProtocolErrorKind::Refresh => DownloadError::Refresh {
                url: self.safe_url.clone(),
                source: Arc::new(error),
            },
            _ => DownloadError::parameter("protocol", error),
        })
    }

    fn understand(&self, response: Response, stored: bool) -> Reply {
        let status = response.status();
        let latency = response.latency();
        let answered = response.url().clone();
        let url = SafeUrl::from(&answered);
        let headers = response.headers().clone();
        let body = response.into_body();
        let answer = response::interpret(
            stored,
            status,
            &headers,
            length(body.framing()),
            SystemTime::now(),
        );
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

    /// Where the bytes come from, after redirects.
    pub(crate) fn answered_from(&self) -> SafeUrl {
        self.renewal.answered_from()
    }
}

/// What a protocol makes of an answer that is not the file.
enum Says {
    /// All connections ask somewhere else by now.
    Elsewhere,
    /// The credentials are not taken.
    Refused,
    /// Nothing but what its status says.
    Nothing,
}

fn given(access: &Access, job: &Job) -> Given {
    with_netrc(Arc::clone(&access.netrc), job)
}

fn with_netrc(netrc: Arc<Entries>, job: &Job) -> Given {
    Given::new(
        job.url.clone(),
        job.headers.clone(),
        job.auth.clone(),
        netrc,
    )
}

/// A request as the protocol makes it; what was given goes along to the origin that it was given for.
fn by_protocol(
    protocol: &dyn DownloadProtocol,
    given: &Given,
    range: RequestRange,
) -> Result<Request, ProtocolError> {
    let wanted = match &range {
        RequestRange::Whole => Wanted::Whole,
        RequestRange::From(start) => Wanted::From(*start),
        RequestRange::Span(span) => Wanted::Span(span.clone()),
    };
    let made = protocol.request(&wanted, SystemTime::now())?;
    let headers = joined(given, &made);
    Ok(Request::get(made.url).range(range).headers(headers))
}

/// The fields of a request of a protocol, over those that were given for its origin.
fn joined(given: &Given, made: &RangeRequest) -> HeaderMap {
    let mut headers = given.fields(&made.url);
    for name in made.headers.keys() {
        headers.remove(name);
    }
    headers.extend(made.headers.clone());
    headers
}

fn request(given: &Given, url: &Url, range: RequestRange) -> Request {
    Request::get(url.clone())
        .range(range)
        .headers(given.fields(url))
}

/// A redirect within the origin that the credentials were given for keeps them.
fn with_credentials(given: &Given, mut url: Url) -> Url {
    if given.is_same_origin(&url) && url.username().is_empty() {
        // Both can only fail for URLs without a host, which http and https URLs have.
        let _ = url.set_username(given.url().username());
        let _ = url.set_password(given.url().password());
    }
    url
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

/// Bytes that an answer may take to say where else something is.
const MOST_TOLD: usize = 64 << 10;
/// How long it is listened to.
const LONGEST_TOLD: Duration = Duration::from_secs(10);

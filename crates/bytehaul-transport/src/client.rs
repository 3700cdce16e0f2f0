//! The life of a request: a connection from the pool or a new one, the exchange, the redirects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::HeaderValue;
use http::uri::PathAndQuery;

use crate::connect::Connector;
use crate::exchange::{Answer, Failure, Stage, exchange};
use crate::pool::{Line, Pool};
use crate::redirect::{Hop, Redirects};
use crate::request_body::{Feed, Wait};
use crate::route::{Route, Speak};
use crate::{
    Body, ClientBuilder, Error, ErrorKind, Framing, HttpVersion, Request, Response, multiplex,
    outgoing, proxy,
};

/// An HTTP client. Clones are cheap and share connections, names and TLS sessions.
///
/// Works on the tokio runtime of its caller. An HTTP/1.1 request is done in the task that awaits it; an HTTP/2 connection
/// has a task, which ends with its last user. Dropping the future or the body of a request stops it at once.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    timeouts: Timeouts,
    version: HttpVersion,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) pool: Arc<Pool>,
    pub(crate) user_agent: HeaderValue,
    pub(crate) redirects: Redirects,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
}

impl Client {
    /// A builder with the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The same client with other timeouts, see [`ClientBuilder::connect_timeout`] and [`ClientBuilder::read_timeout`].
    /// Connections and names are shared with this one.
    #[must_use]
    pub fn with_timeouts(&self, connect: Duration, read: Duration) -> Self {
        Self {
            timeouts: Timeouts { connect, read },
            ..self.clone()
        }
    }

    /// The same client speaking another version of HTTP, see [`ClientBuilder::http_version`]. Connections, names and TLS
    /// sessions are shared with this one.
    #[must_use]
    pub fn with_http_version(&self, version: HttpVersion) -> Self {
        Self {
            version,
            ..self.clone()
        }
    }

    /// Sends the request, follows redirects, and returns when the head of the response is there. Every status is an `Ok`.
    ///
    /// A pooled connection that turns out to be closed before it gave a byte is replaced by a new one once, without notice;
    /// so is an HTTP/2 connection whose server says that it did nothing with the request. [`Request::new`] says how that is for
    /// methods that are not idempotent, and which redirects are followed with them. `https` is not left for `http` unless
    /// [allowed](ClientBuilder::danger_follow_https_to_http). No `Referer` and no fragment is ever sent.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. Nothing is tried again apart from the above; [`ErrorKind::class`] says whether that may help.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes its connection; of an HTTP/2 connection only its stream.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let mut hop = Hop::first(request)?;
        loop {
            let answer = self.ask(&hop).await?;
            if answer.head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(hop.error(
                    ErrorKind::Protocol,
                    "server switches to a protocol that nobody asked for",
                ));
            }
            let answered = hop.url.clone();
            let redirects = hop.redirects;
            let mut response = self.response(answer, answered, redirects, &hop);
            if !hop.follow(response.status, &response.headers, self.shared.redirects)? {
                return Ok(response);
            }
            bytehaul_log::debug!(status = response.status.as_u16(), to = %hop.safe_url, "redirect");
            discard(&mut response.body).await;
        }
    }

    pub(crate) fn new(shared: Arc<Shared>, timeouts: Timeouts, version: HttpVersion) -> Self {
        Self {
            shared,
            timeouts,
            version,
        }
    }

    /// One request without its redirects: on a connection that is there, or on a new one.
    ///
    /// It is sent again, once and on a new connection, when the one that was there turns out to be lost before it gave a
    /// byte, or when the server says that it did nothing with it; and in HTTP/1.1 when the server asks for that.
    async fn ask(&self, hop: &Hop) -> Result<Answer, Error> {
        let Shared {
            pool, connector, ..
        } = &*self.shared;
        let target = outgoing::target(hop)?;
        let speak = Speak::with(&hop.origin, hop.version.unwrap_or(self.version));
        let route = connector.route(&hop.origin, speak);
        let mut speak = pool.narrow(&route, speak);
        let mut line = pool.take(&route, speak, Instant::now());
        let mut tries = 0;
        let mut wait = hop.wait;
        loop {
            let kept = line.is_some();
            let ready = match line.take() {
                Some(line) => line,
                None => {
                    let dialled = connector.connect(&route, speak, self.timeouts, pool).await;
                    dialled.map_err(|error| error.with_url(&hop.safe_url))?
                }
            };
            bytehaul_log::debug!(
                method = %hop.method,
                url = %hop.safe_url,
                range = ?hop.range,
                connection = if kept { "kept" } else { "new" },
                "request"
            );
            let failure = match self.exchange(ready, hop, &route, &target, wait).await? {
                Ok(answer) if wait == Wait::Continue && is_refusal_to_wait(&answer, hop) => {
                    bytehaul_log::debug!(url = %hop.safe_url, "sent again without an expectation");
                    wait = Wait::Nothing;
                    continue;
                }
                Ok(answer) => return judged(answer, &route, hop),
                Err(failure) => failure,
            };
            tries += 1;
            if !hop.can_be_sent() {
                return Err(failure.error.with_url(&hop.safe_url));
            }
            match failure.stage {
                Stage::WrongVersion if speak == Speak::Either => {
                    pool.remember_only_http1(&route);
                    speak = Speak::Http1;
                }
                Stage::Unsent if kept => {}
                Stage::Unanswered if kept && hop.method.is_idempotent() => {}
                Stage::Unprocessed if tries == 1 => {}
                _ => return Err(failure.error.with_url(&hop.safe_url)),
            }
            bytehaul_log::debug!(url = %hop.safe_url, stage = ?failure.stage, "sent again on a new connection");
        }
    }

    async fn exchange(
        &self,
        line: Line,
        hop: &Hop,
        route: &Route,
        target: &PathAndQuery,
        wait: Wait,
    ) -> Result<Result<Answer, Failure>, Error> {
        let limit = self.read_timeout(hop);
        let (target, user_agent) = (target.clone(), &self.shared.user_agent);
        let mut feed = Feed::new(hop.body.clone(), wait);
        let settled = feed.settle().await;
        settled.map_err(|error| error.with_url(&hop.safe_url))?;
        Ok(match line {
            Line::Http1(wire) => {
                let request = outgoing::http1(hop, target, route, user_agent, feed, wait)?;
                exchange(wire, request, limit).await
            }
            Line::Http2(seat) => {
                let request = outgoing::http2(hop, target, user_agent, wait)?;
                multiplex::exchange(seat, request, feed, limit).await
            }
        })
    }

    fn read_timeout(&self, hop: &Hop) -> Duration {
        hop.read_timeout.unwrap_or(self.timeouts.read)
    }

    fn response(&self, answer: Answer, url: url::Url, redirects: usize, hop: &Hop) -> Response {
        let Answer {
            head,
            latency,
            framing,
            reuse,
            source,
        } = answer;
        bytehaul_log::debug!(
            url = %hop.safe_url,
            status = head.status.as_u16(),
            version = ?head.version,
            ?latency,
            ?framing,
            "response"
        );
        let pool = Arc::clone(&self.shared.pool);
        let body = Body::new(
            source,
            framing,
            reuse,
            self.read_timeout(hop),
            hop.safe_url.clone(),
            pool,
        );
        Response {
            status: head.status,
            version: head.version,
            headers: head.headers,
            url,
            redirects,
            latency,
            body,
        }
    }
}

/// Whether the server takes the request only without an expectation (RFC 9110 section 10.1.1), and it can be sent so.
fn is_refusal_to_wait(answer: &Answer, hop: &Hop) -> bool {
    answer.head.status == StatusCode::EXPECTATION_FAILED && hop.can_be_sent()
}

/// The answer, unless it is a proxy's own word on its credentials.
fn judged(answer: Answer, route: &Route, hop: &Hop) -> Result<Answer, Error> {
    let Route::Forward(proxy) = route else {
        return Ok(answer);
    };
    match proxy::judge(proxy, &hop.origin, answer.head.status, &answer.head.headers) {
        Some(error) => Err(error.with_url(&hop.safe_url)),
        None => Ok(answer),
    }
}

/// Reads the little text that comes with a redirect, so that its connection can be used again. Not worth waiting for.
async fn discard(body: &mut Body) {
    let small = match body.framing() {
        Framing::Length(length) => length <= MAX_DISCARD as u64,
        Framing::Chunked => true,
        Framing::UntilClose => false,
    };
    if small {
        let _ = tokio::time::timeout(DISCARD_WAIT, body.bytes(MAX_DISCARD)).await;
    }
}

const MAX_DISCARD: usize = 16 * 1024;
const DISCARD_WAIT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_may_move_between_threads() {
        fn check<T: Send>(_: &T) {}
        fn shared<T: Send + Sync>() {}
        let client = Client::builder().build().unwrap();
        check(&client.send(Request::get(url::Url::parse("http://127.0.0.1/").unwrap())));
        check::<Option<Response>>(&None);
        shared::<Client>();
        shared::<Request>();
        shared::<Error>();
    }
}

//! The life of a request: a connection from the pool or a new one, the exchange, the redirects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{self, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http_body_util::Empty;
use url::Position;

use crate::connect::Connector;
use crate::exchange::{Answer, Outgoing, Stage, exchange};
use crate::pool::Pool;
use crate::redirect::Hop;
use crate::{Body, ClientBuilder, Error, ErrorKind, Framing, Request, Response};

/// An HTTP/1.1 client. Clones are cheap and share connections, names and TLS sessions.
///
/// Works on the tokio runtime of its caller and spawns no tasks for its connections: a request is done in the task that awaits
/// it, and dropping the future or the body stops it at once.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    timeouts: Timeouts,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) pool: Arc<Pool>,
    pub(crate) user_agent: HeaderValue,
    pub(crate) max_redirects: usize,
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
            shared: Arc::clone(&self.shared),
            timeouts: Timeouts { connect, read },
        }
    }

    /// Sends the request, follows redirects, and returns when the head of the response is there. Every status is an `Ok`.
    ///
    /// A pooled connection that turns out to be closed before it gave a byte is replaced by a new one once, without notice.
    /// `https` is never left for `http`. No `Referer` and no fragment is ever sent.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. Nothing is tried again apart from the above; [`ErrorKind::class`] says whether that may help.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes its connection.
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
            if !hop.follow(
                response.status,
                &response.headers,
                self.shared.max_redirects,
            )? {
                return Ok(response);
            }
            tracing::debug!(status = response.status.as_u16(), to = %hop.safe_url, "redirect");
            discard(&mut response.body).await;
        }
    }

    pub(crate) fn new(shared: Arc<Shared>, timeouts: Timeouts) -> Self {
        Self { shared, timeouts }
    }

    async fn ask(&self, hop: &Hop) -> Result<Answer, Error> {
        let limit = self.timeouts.read;
        if let Some(wire) = self.shared.pool.take(&hop.origin, Instant::now()) {
            match exchange(wire, self.outgoing(hop)?, limit).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.stage == Stage::Unanswered => {
                    tracing::debug!(url = %hop.safe_url, "pooled connection was stale");
                }
                Err(failure) => return Err(failure.error.with_url(&hop.safe_url)),
            }
        }
        let request = self.outgoing(hop)?;
        let connected = self
            .shared
            .connector
            .connect(&hop.origin, self.timeouts.connect)
            .await;
        let wire = connected.map_err(|error| error.with_url(&hop.safe_url))?;
        exchange(wire, request, limit)
            .await
            .map_err(|failure| failure.error.with_url(&hop.safe_url))
    }

    fn outgoing(&self, hop: &Hop) -> Result<http::Request<Outgoing>, Error> {
        let target = &hop.url[Position::BeforePath..Position::AfterQuery];
        let target = PathAndQuery::try_from(target).map_err(|error| {
            let kind = if hop.redirects > 0 {
                ErrorKind::InvalidRedirect
            } else {
                ErrorKind::InvalidUrl
            };
            hop.error(kind, "url does not fit into a request")
                .with_source(error)
        })?;
        let mut request = http::Request::new(Empty::new());
        *request.method_mut() = hop.method.clone();
        *request.uri_mut() = Uri::from(target);
        let host = HeaderValue::from_str(&hop.origin.authority()).map_err(|error| {
            hop.error(ErrorKind::InvalidUrl, "host is no header value")
                .with_source(error)
        })?;
        let fields = request.headers_mut();
        fields.insert(header::HOST, host);
        fields.insert(header::USER_AGENT, self.shared.user_agent.clone());
        fields.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        for name in hop.headers.keys() {
            fields.remove(name);
        }
        fields.extend(hop.headers.clone());
        fields.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        if let Some(range) = hop.range.field() {
            fields.insert(header::RANGE, range);
        }
        Ok(request)
    }

    fn response(&self, answer: Answer, url: url::Url, redirects: usize, hop: &Hop) -> Response {
        let Answer {
            head,
            latency,
            framing,
            reuse,
            source,
        } = answer;
        tracing::debug!(url = %hop.safe_url, status = head.status.as_u16(), ?latency, ?framing, "response");
        let pool = Arc::clone(&self.shared.pool);
        let body = Body::new(
            source,
            framing,
            reuse,
            self.timeouts.read,
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

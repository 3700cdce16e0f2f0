//! The scripted server itself: starting, serving, changing its mind while it runs, and being asked what it saw.

mod answer;
mod behaviour;
mod connection;
mod gzip;
mod headers;
mod listen;
mod log;
mod object;
mod pace;
mod request;
mod route;
mod state;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

#[cfg(feature = "tls")]
use rustls::ServerConfig;
use tokio::net::TcpListener;

pub use self::behaviour::{Behaviour, Effect, StatusAnswer, When};
pub use self::log::RecordedRequest;
pub use self::object::Object;
pub use self::request::RequestedRange;
#[cfg(feature = "tls")]
pub use self::tls::Handshake;

use self::listen::Running;
use self::route::Route;
use self::state::State;
#[cfg(feature = "tls")]
use crate::pki::Certificate;

/// A hand-written HTTP/1.1 server on loopback that can be told to lie.
///
/// Dropping it closes the port and resets what is open. It answers 404 where nothing is served.
#[derive(Debug)]
pub struct Server {
    state: Arc<State>,
    address: SocketAddr,
    _running: Running,
}

impl Server {
    /// Starts on a free port, inside the caller's tokio runtime.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start() -> Self {
        Self::builder()
            .start()
            .await
            .expect("loopback has a free port")
    }

    /// Starts on a free port, on a runtime of its own in another thread, for callers that block.
    ///
    /// # Panics
    /// When loopback has no free port or no thread can be made.
    #[must_use]
    pub fn spawn_thread() -> Self {
        Self::builder()
            .spawn_thread()
            .expect("loopback has a free port")
    }

    /// Chooses port, seed and connection limit first.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            port: 0,
            seed: 0,
            limit: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Serves `object` at `path` (which starts with `/`), with its behaviour; counts for the path begin anew.
    pub fn serve(&self, path: impl Into<String>, object: Object) -> &Self {
        let path = path.into();
        assert!(path.starts_with('/'), "a path starts with a slash: {path}");
        self.state
            .routes()
            .insert(path, Arc::new(Route::new(object)));
        self
    }

    /// Redirects `path` to `location` with a 302.
    pub fn redirect(&self, path: impl Into<String>, location: impl Into<String>) -> &Self {
        let behaviour = Behaviour::new().always(Effect::redirect(location));
        self.serve(path, Object::empty().behaviour(behaviour))
    }

    /// Puts another version of the object at `path`, for all requests from now on. Behaviour and counts stay.
    ///
    /// # Panics
    /// When nothing is served at `path`.
    pub fn replace(&self, path: &str, object: Object) {
        self.served(path).replace(object);
    }

    /// Changes the behaviour at `path`. Rates change at once, all else with the next request.
    ///
    /// # Panics
    /// When nothing is served at `path`.
    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        self.served(path).behave(behaviour);
    }

    /// From now on answers 404 at `path`.
    pub fn remove(&self, path: &str) {
        self.state.routes().remove(path);
    }

    /// Changes how many connections may be open at once, and what happens to further ones.
    pub fn limit_connections(&self, limit: Option<(usize, Excess)>) {
        *self.state.limit() = limit;
    }

    /// Resets all open connections.
    pub fn reset_connections(&self) {
        self.state.reset_connections();
    }

    /// `http://127.0.0.1:port` and `path`, or `https:` with TLS.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.address)
    }

    /// The same place under another host name, such as `localhost`: another origin.
    #[must_use]
    pub fn url_on(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme(), self.port())
    }

    /// The port that was found.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests since the start or the last [`Server::reset_log`], in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.log.all()
    }

    /// Requests for one path.
    #[must_use]
    pub fn requests_for(&self, path: &str) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.path() == path);
        requests
    }

    /// Number of requests for `path` since it was served or the log was reset; what [`When::Requests`] counts.
    ///
    /// # Panics
    /// When nothing is served at `path`.
    #[must_use]
    pub fn count(&self, path: &str) -> u64 {
        self.served(path).requests()
    }

    /// Body bytes handed to the kernel, over all requests in the log.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.state.log.bytes_sent()
    }

    /// Connections accepted since the start, refused ones included.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.accepted()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.state.open()
    }

    /// Most connections that were open at once since the start or the last [`Server::reset_log`].
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.state.most_open()
    }

    /// Most requests for `path` that were being answered at once.
    ///
    /// # Panics
    /// When nothing is served at `path`.
    #[must_use]
    pub fn max_concurrent(&self, path: &str) -> usize {
        self.served(path).most_in_flight()
    }

    /// Forgets the log and sets request counts and maxima back. Connection numbers run on.
    pub fn reset_log(&self) {
        self.state.reset_log();
    }

    #[cfg(feature = "tls")]
    fn scheme(&self) -> &'static str {
        if self.state.certificate().is_some() {
            "https"
        } else {
            "http"
        }
    }

    #[cfg(not(feature = "tls"))]
    fn scheme(&self) -> &'static str {
        "http"
    }

    fn served(&self, path: &str) -> Arc<Route> {
        let route = self.state.routes().get(path).cloned();
        route.unwrap_or_else(|| panic!("nothing is served at {path}"))
    }
}

#[cfg(feature = "tls")]
impl Server {
    /// What the TLS handshake of a connection agreed on, by the number in [`RecordedRequest::connection`].
    #[must_use]
    pub fn handshake(&self, connection: u64) -> Option<Handshake> {
        self.state.handshake(connection)
    }

    /// Handshakes that did not come to an end: refused certificates, and connections without TLS.
    #[must_use]
    pub fn failed_handshakes(&self) -> u64 {
        self.state.failed_handshakes()
    }

    /// Shows another certificate from the next connection on. Sessions of the earlier one cannot be resumed.
    ///
    /// # Panics
    /// When the server was started without TLS.
    pub fn change_certificate(&self, certificate: &Certificate) {
        self.state
            .change_certificate(certificate.server_config(PROTOCOLS));
    }
}

/// What happens to a connection above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is reset as soon as it is accepted.
    Reset,
    /// It is closed in good order without an answer.
    Close,
    /// It is accepted and left without an answer.
    Hang,
}

/// Settings of a [`Server`] that is not yet started.
#[derive(Clone, Debug)]
pub struct Builder {
    port: u16,
    seed: u64,
    limit: Option<(usize, Excess)>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<ServerConfig>>,
}

impl Builder {
    /// Port to listen on: to come back where an earlier server was. Default 0, any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Seed of everything that happens by chance. Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many connections may be open at once, and what happens to further ones. Default: no limit.
    #[must_use]
    pub fn limit_connections(mut self, most: usize, excess: Excess) -> Self {
        self.limit = Some((most, excess));
        self
    }

    /// Speaks TLS (1.2 or 1.3, offering `http/1.1`) and shows this certificate. Default: no TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.tls = Some(certificate.server_config(PROTOCOLS));
        self
    }

    /// Starts inside the caller's tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(self) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let address = listener.local_addr()?;
        let state = self.state();
        let running = Running::here(listener, Arc::clone(&state));
        Ok(Server {
            state,
            address,
            _running: running,
        })
    }

    /// Starts on a runtime of its own in another thread.
    ///
    /// # Errors
    /// When the port cannot be bound or the thread cannot be made.
    pub fn spawn_thread(self) -> io::Result<Server> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        let address = listener.local_addr()?;
        let state = self.state();
        let running = Running::thread(listener, Arc::clone(&state))?;
        Ok(Server {
            state,
            address,
            _running: running,
        })
    }

    fn state(self) -> Arc<State> {
        let state = State::new(self.seed, self.limit);
        #[cfg(feature = "tls")]
        let state = state.secured(self.tls);
        Arc::new(state)
    }
}

#[cfg(feature = "tls")]
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

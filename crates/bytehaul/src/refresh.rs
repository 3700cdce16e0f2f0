//! The caller's way to give a running download another URL or other credentials when those that it has run out.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytehaul_providers::DownloadProtocol;
use bytehaul_transport::SafeUrl;
use http::StatusCode;

use crate::auth::Auth;

/// Gives new credentials, or a new URL of the same file, when the ones that a download has are no longer good: signed
/// URLs and tokens live shorter than large files take.
///
/// Asked when the server answers 401, 403 or 410, and half a minute before
/// [`expires_at`](crate::DownloadSpec#structfield.expires_at). However many connections a download has, it asks once at
/// a time, and after three answers in a row that did not help it takes the server's answer for final. What comes from a
/// new URL is compared with what is there, as any other answer is: bytes of two files are never mixed.
///
/// An async closure becomes one with [`refresh_fn`]. An error ends the download with
/// [`DownloadError::Refresh`](crate::DownloadError::Refresh), unless the old credentials may still be good; so does a
/// panic. There is no time limit; retries are the refresher's own business.
///
/// # Cancel safety
/// The future is run to its end in a task of its own, whatever happens to the connection that needed it. It is dropped
/// only when the download itself ends or is stopped.
pub trait Refresh: Send + Sync + fmt::Debug {
    /// Gets what is needed to go on.
    fn refresh(&self, request: RefreshRequest) -> Refreshing<'_>;
}

/// What [`Refresh::refresh`] returns.
pub type Refreshing<'a> =
    Pin<Box<dyn Future<Output = Result<Refreshed, RefreshError>> + Send + 'a>>;

/// Why a refresher could not help. Its text and those of its causes are shown to whoever sees the download fail.
pub type RefreshError = Box<dyn Error + Send + Sync>;

/// What a refresher is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefreshRequest {
    /// Why.
    pub reason: RefreshReason,
    /// The URL that is no longer good, redacted.
    pub url: SafeUrl,
}

/// Why a refresher is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RefreshReason {
    /// The server answered with this status: 401, 403 or 410.
    Status(StatusCode),
    /// It is about to expire.
    Expiring,
}

/// What to go on with. What is not set stays as it is.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Refreshed {
    /// Another `http` or `https` URL of the same file. Headers and credentials that were given for another origin do
    /// not go there.
    pub url: Option<String>,
    /// Other credentials, for the origin of the new URL, or of the old one when there is no new one.
    pub auth: Option<Auth>,
    /// Other headers in place of all of the spec's, for the same origin.
    pub headers: Option<Vec<(String, String)>>,
    /// When to ask again. `None`: when the server says so.
    pub expires_at: Option<SystemTime>,
    /// The protocol to go on with.
    pub(crate) protocol: Option<Arc<dyn DownloadProtocol>>,
}

impl Refreshed {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`url`](Self#structfield.url).
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets [`auth`](Self#structfield.auth).
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Adds one header to [`headers`](Self#structfield.headers).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let headers = self.headers.get_or_insert_default();
        headers.push((name.into(), value.into()));
        self
    }

    /// Sets [`expires_at`](Self#structfield.expires_at).
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl fmt::Debug for Refreshed {
    /// Shows the URL redacted, and of the headers only their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_deref().map(crate::session::shown);
        let names = |headers: &Vec<(String, String)>| {
            let names = headers.iter().map(|(name, _)| name.clone());
            names.collect::<Vec<_>>()
        };
        f.debug_struct("Refreshed")
            .field("url", &url)
            .field("auth", &self.auth)
            .field("headers", &self.headers.as_ref().map(names))
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// A protocol that renews itself, as a refresher.
#[derive(Debug)]
pub(crate) struct OfProtocol(pub(crate) Arc<dyn DownloadProtocol>);

impl Refresh for OfProtocol {
    fn refresh(&self, _: RefreshRequest) -> Refreshing<'_> {
        Box::pin(async move {
            let renewal = self.0.refresh().ok_or("the protocol can renew nothing")?;
            let protocol = renewal.await?;
            Ok(Refreshed {
                expires_at: protocol.expires_at(),
                protocol: Some(protocol),
                ..Refreshed::default()
            })
        })
    }
}

/// A refresher out of an async closure.
///
/// ```
/// use bytehaul::{Auth, DownloadSpec, Refreshed, refresh_fn};
///
/// # async fn new_token() -> Result<String, std::io::Error> { Ok(String::new()) }
/// let spec = DownloadSpec::new("https://example.com/big.iso")
///     .auth(Auth::bearer("the first token"))
///     .refresher(refresh_fn(|request| async move {
///         eprintln!("{}: {:?}", request.url, request.reason);
///         Ok(Refreshed::new().auth(Auth::bearer(new_token().await?)))
///     }));
/// ```
pub fn refresh_fn<F, R>(refresh: F) -> impl Refresh + 'static
where
    F: Fn(RefreshRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Refreshed, RefreshError>> + Send + 'static,
{
    Closure(refresh)
}

struct Closure<F>(F);

impl<F, R> Refresh for Closure<F>
where
    F: Fn(RefreshRequest) -> R + Send + Sync,
    R: Future<Output = Result<Refreshed, RefreshError>> + Send + 'static,
{
    fn refresh(&self, request: RefreshRequest) -> Refreshing<'_> {
        Box::pin((self.0)(request))
    }
}

impl<F> fmt::Debug for Closure<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refresh_fn(…)")
    }
}

impl<R: Refresh + ?Sized> Refresh for Arc<R> {
    fn refresh(&self, request: RefreshRequest) -> Refreshing<'_> {
        (**self).refresh(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let refreshed = Refreshed::new()
            .url("https://me:hunter2@h/x?X-Amz-Signature=hunter2")
            .auth(Auth::bearer("hunter2"))
            .header("x-token", "hunter2");
        let text = format!("{refreshed:?} {refreshed:#?}");
        assert!(
            text.contains("x-token") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

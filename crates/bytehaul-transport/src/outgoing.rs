//! What a request looks like on the wire: the target in the form that the route wants, and the fields.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Version};
use url::Position;

use crate::redirect::Hop;
use crate::request_body::{Feed, RequestBody, Wait};
use crate::route::Route;
use crate::{Error, ErrorKind};

/// Path and query. Fails for a URL that is too long for a request, which is better known before anything is connected to.
pub(crate) fn target(hop: &Hop) -> Result<PathAndQuery, Error> {
    let target = &hop.url[Position::BeforePath..Position::AfterQuery];
    PathAndQuery::try_from(target).map_err(|error| unfit(hop).with_source(error))
}

/// The request in HTTP/1.1, in origin form (RFC 9112 section 3.2.1); in absolute form and with the proxy's credentials where
/// a proxy takes it.
pub(crate) fn http1(
    hop: &Hop,
    target: PathAndQuery,
    route: &Route,
    user_agent: &HeaderValue,
    feed: Feed,
    wait: Wait,
) -> Result<Request<Feed>, Error> {
    let mut request = Request::new(feed);
    *request.method_mut() = hop.method.clone();
    let host = host(hop)?;
    *request.uri_mut() = match route {
        Route::Forward(_) => absolute(hop, host.as_bytes(), target)?,
        Route::Direct(_) | Route::Tunnel(..) => Uri::from(target),
    };
    let fields = request.headers_mut();
    fields.insert(header::HOST, host);
    add_fields(fields, hop, user_agent, wait);
    if hop
        .body
        .as_ref()
        .is_some_and(|body| body.length().is_none())
    {
        // hyper sends no body with a `GET` unless it is told to.
        fields.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    if let Route::Forward(proxy) = route
        && let Some(credentials) = proxy.authorization()
    {
        fields.insert(header::PROXY_AUTHORIZATION, credentials);
    }
    Ok(request)
}

/// The request in HTTP/2, where scheme and authority are fields of their own and `Host` is none (RFC 9113 section 8.3.1).
pub(crate) fn http2(
    hop: &Hop,
    target: PathAndQuery,
    user_agent: &HeaderValue,
    wait: Wait,
) -> Result<Request<()>, Error> {
    let mut request = Request::new(());
    *request.method_mut() = hop.method.clone();
    *request.version_mut() = Version::HTTP_2;
    let fields = request.headers_mut();
    add_fields(fields, hop, user_agent, wait);
    let host = match fields.remove(header::HOST) {
        Some(own) => own,
        None => host(hop)?,
    };
    *request.uri_mut() = absolute(hop, host.as_bytes(), target)?;
    Ok(request)
}

fn absolute(hop: &Hop, authority: &[u8], target: PathAndQuery) -> Result<Uri, Error> {
    let uri = Uri::builder()
        .scheme(hop.url.scheme())
        .authority(authority)
        .path_and_query(target)
        .build();
    uri.map_err(|error| unfit(hop).with_source(error))
}

fn add_fields(fields: &mut HeaderMap, hop: &Hop, user_agent: &HeaderValue, wait: Wait) {
    fields.insert(header::USER_AGENT, user_agent.clone());
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
    if let Some(length) = content_length(&hop.method, hop.body.as_ref()) {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
    if wait == Wait::Continue {
        fields.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
}

/// What is said of the body's length. Methods that have a use for a body say so when there is none (RFC 9110 section 8.6).
fn content_length(method: &Method, body: Option<&RequestBody>) -> Option<u64> {
    match body {
        Some(body) => body.length(),
        None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Some(0),
        None => None,
    }
}

fn host(hop: &Hop) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(&hop.origin.authority()).map_err(|error| {
        hop.error(ErrorKind::InvalidUrl, "host is no header value")
            .with_source(error)
    })
}

fn unfit(hop: &Hop) -> Error {
    let kind = if hop.redirects > 0 {
        ErrorKind::InvalidRedirect
    } else {
        ErrorKind::InvalidUrl
    };
    hop.error(kind, "url does not fit into a request")
}

//! The client's face: which modules there are and what of them is public.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod body;
mod builder;
mod client;
mod connect;
mod error;
mod exchange;
mod eyeballs;
pub mod file_name;
mod framing;
pub mod headers;
mod multiplex;
mod origin;
mod outgoing;
mod pool;
mod proxy;
mod race;
mod reach;
mod recent;
mod redirect;
mod request;
mod request_body;
pub mod resolve;
mod response;
mod route;
mod safe_url;
mod stall;
mod stream;
mod tls;
mod version;
mod wire;

pub use self::body::Body;
pub use self::builder::ClientBuilder;
pub use self::client::Client;
pub use self::error::{Class, Error, ErrorKind};
pub use self::framing::Framing;
pub use self::origin::{Origin, Scheme};
#[doc(hidden)]
pub use self::proxy::own_bytes;
pub use self::proxy::{Proxies, Proxy};
pub use self::request::{Request, RequestRange};
pub use self::request_body::RequestBody;
pub use self::resolve::{NameServer, Resolve, ResolveError};
pub use self::response::Response;
pub use self::safe_url::SafeUrl;
pub use self::tls::{InvalidPin, Pin, Roots, Tls, TlsVersion};
pub use self::version::HttpVersion;

pub use http;
pub use url::{self, Url};

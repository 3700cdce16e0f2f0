//! Servers over TLS, proxies and name servers, as curl sees them.

#![cfg(unix)]

mod curl;
mod dns;
mod nginx;
mod proxy;
mod server;

//! The client against scripted peers on real sockets.

mod body;
mod failure;
#[cfg(unix)]
mod nginx;
mod redirect;
mod resolve;
mod reuse;
mod server;
mod tls;
mod tls_client;
mod tls_peer;
mod tls_trust;

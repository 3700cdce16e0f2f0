//! The client against scripted peers on real sockets.

mod body;
#[cfg(unix)]
mod dns;
mod failure;
mod h2_server;
mod http2;
mod http2_lanes;
mod name_servers;
#[cfg(unix)]
mod nginx;
#[cfg(unix)]
mod nginx_h2;
#[cfg(unix)]
mod proxy;
mod proxy_scripted;
mod redirect;
mod resolve;
mod reuse;
mod server;
mod tls;
mod tls_client;
#[cfg(unix)]
mod tls_nginx;
#[cfg(unix)]
mod tls_openssl;
mod tls_peer;
mod tls_trust;
mod upload;
mod upload_again;
mod upload_h2;
mod upload_peer;
#[cfg(unix)]
mod upload_real;

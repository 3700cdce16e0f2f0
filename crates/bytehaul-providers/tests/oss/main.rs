//! What OSS and its official SDK make of the requests: the signer beside theirs, and uploads to a server.
#![cfg(feature = "oss")]

mod agreement;
#[path = "../s3/client.rs"]
mod client;
mod live;

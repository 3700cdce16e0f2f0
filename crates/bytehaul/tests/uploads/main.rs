//! Uploads to real servers behind a gate that breaks requests off and loses answers, through the public API alone.

mod client;
mod codes;
mod conformance;
mod keys;
mod many;
mod own;
mod sdks;
mod sources;
mod speech;

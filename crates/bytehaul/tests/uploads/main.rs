//! Uploads to real servers behind a gate that breaks requests off and loses answers, through the public API alone.

mod answers;
mod client;
mod codes;
mod conformance;
mod custom;
mod keys;
mod left;
mod many;
mod own;
mod presigned;
mod scripted;
mod sdks;
mod sources;
mod speech;
mod stops;

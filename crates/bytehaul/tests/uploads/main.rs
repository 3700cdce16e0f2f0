//! Uploads to real servers behind a gate that breaks requests off and loses answers, through the public API alone.

mod sources;

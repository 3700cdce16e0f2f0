//! Blobs of Azure Storage.

pub mod sign;

mod address;

//! Amazon S3 and those who speak like it.

mod credentials;
mod encoding;
pub mod sign;

pub use self::credentials::S3Credentials;

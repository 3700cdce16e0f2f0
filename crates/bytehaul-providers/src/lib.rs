//! The crate's face: the contract, what every protocol is made of, and the protocols that are built in.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(any(feature = "form", feature = "put", feature = "tus"))]
mod address;
#[cfg(any(feature = "azure", feature = "presigned"))]
mod blocks;
#[cfg(any(feature = "azure", feature = "oss", feature = "s3"))]
mod clock;
#[cfg(feature = "credentials")]
mod credentials;
mod custom;
mod download;
mod error;
mod exchange;
mod parts;
#[cfg(all(test, any(feature = "form", feature = "put")))]
mod played;
#[cfg(any(
    feature = "azure",
    feature = "oss",
    feature = "presigned",
    feature = "s3"
))]
mod rfc3339;
#[cfg(any(
    feature = "presigned",
    feature = "azure",
    feature = "oss",
    feature = "s3"
))]
mod said;
mod saved;
mod session;
#[cfg(any(feature = "azure", feature = "oss", feature = "s3"))]
mod xml;

#[cfg(feature = "azure")]
pub mod azure;
#[cfg(feature = "form")]
pub mod form;
#[cfg(feature = "gcs")]
pub mod gcs;
#[cfg(feature = "oss")]
pub mod oss;
#[cfg(feature = "presigned")]
pub mod presigned;
#[cfg(feature = "put")]
pub mod put;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "tus")]
pub mod tus;

#[cfg(feature = "credentials")]
pub use crate::credentials::{CredentialSource, Credentials, ProvideCredentials, Secret};
pub use crate::custom::{Begun, Custom, CustomUpload, PartData, PartTaken, UploadContext};
pub use crate::download::{
    DownloadProtocol, Proof, RangeRequest, Refresh, Refreshing, Told, Wanted,
};
pub use crate::error::{BoxError, Fault, ProtocolError, ProtocolErrorKind};
pub use crate::exchange::{
    Answer, BoxFuture, Call, CallError, Exchange, ExchangeId, Lost, Payload, Returned, Segment,
    Step,
};
pub use crate::parts::{Cursor, Ids, Part, PartState, Parts};
pub use crate::saved::{Left, PartReceipt, Saved, SessionId, Stage};
pub use crate::session::{
    Acknowledged, Available, Capabilities, Completed, DigestJob, Next, Object, UploadProtocol,
    UploadSession,
};

pub use bytehaul_integrity::{Algorithm, Digest, Expected};
pub use http;
pub use url::{self, Url};

//! The protocols that uploads and downloads can speak, and what it takes to write another one.
//!
//! ```no_run
//! use bytehaul::{UploadSpec, protocol};
//!
//! let spec = UploadSpec::file("notes.txt", protocol::Put::new("https://dav.example.com/notes.txt"));
//! ```

pub use bytehaul_providers::*;

#[cfg(feature = "azure")]
pub use bytehaul_providers::azure::{Azure, AzureConfig, AzureCredentials, AzureDownload};
#[cfg(feature = "form")]
pub use bytehaul_providers::form::Form;
#[cfg(feature = "gcs")]
pub use bytehaul_providers::gcs::{Gcs, GcsToken};
#[cfg(feature = "oss")]
pub use bytehaul_providers::oss::{Oss, OssConfig, OssCredentials, OssDownload};
#[cfg(feature = "presigned")]
pub use bytehaul_providers::presigned::{DownloadPlan, Presigned, PresignedDownload, UploadPlan};
#[cfg(feature = "put")]
pub use bytehaul_providers::put::Put;
#[cfg(feature = "s3")]
pub use bytehaul_providers::s3::{S3, S3Config, S3Credentials, S3Download};
#[cfg(feature = "tus")]
pub use bytehaul_providers::tus::{Tus, TusDraft};

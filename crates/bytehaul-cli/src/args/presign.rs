//! What `presign` takes.

use clap::{Args, ValueEnum};

use crate::args::{DisplayArgs, NetworkArgs};
use crate::values::{PositiveSize, PositiveSpan, Size};

/// What `presign` takes.
#[derive(Args, Debug)]
pub(crate) struct PresignArgs {
    /// The object: s3://BUCKET/KEY, az://CONTAINER/BLOB or oss://BUCKET/KEY
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// What the signed URL is good for
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        default_value = "get",
        conflicts_with = "plan"
    )]
    pub(crate) method: SignedMethod,

    /// For how long
    #[arg(long, value_name = "DUR", default_value = "1h")]
    pub(crate) expires: PositiveSpan,

    /// Print the plan of an upload, as `put --plan` takes it; for S3 and OSS that begins the upload
    #[arg(long, requires = "size")]
    pub(crate) plan: bool,

    /// Bytes of the object that the plan is for
    #[arg(long, value_name = "SIZE", requires = "plan")]
    pub(crate) size: Option<Size>,

    /// Bytes of one part of the plan [default: 8M, or more for a very large object]
    #[arg(long, value_name = "SIZE", requires = "plan")]
    pub(crate) part_size: Option<PositiveSize>,

    /// Bucket in the host name, with an own S3 endpoint too (s3://)
    #[arg(long)]
    pub(crate) virtual_host: bool,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SignedMethod {
    /// To download the object
    Get,
    /// To upload it in one request
    Put,
}

//! What `put` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::args::{DisplayArgs, NetworkArgs, TransferArgs};
use crate::values::{Connections, Pair, PositiveSize};

/// What `put` takes.
#[derive(Args, Debug, Serialize, Deserialize)]
pub(crate) struct PutArgs {
    /// What to upload; `-` is stdin, for protocols that need not know the length
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where to, also s3://BUCKET/KEY, az://CONTAINER/BLOB, oss://BUCKET/KEY and gs://BUCKET/OBJECT, where a slash at the end is followed by the
    /// file's name; with --plan it may be left out and is not used
    #[arg(value_name = "URL", required_unless_present = "plan")]
    pub(crate) url: Option<String>,

    /// How to upload [default: by the URL's scheme, `form` for http and https]
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<Protocol>,

    /// Bytes of one part: larger ones mean fewer requests, smaller ones less to send again [default: automatic]
    #[arg(long, value_name = "SIZE")]
    pub(crate) part_size: Option<PositiveSize>,

    /// Parts at once, at most, where the protocol takes them out of order
    #[arg(short = 'x', long, value_name = "N", default_value = "auto")]
    pub(crate) connections: Connections,

    /// Presigned plan as JSON, `-` is stdin; the protocol is `presigned`
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,

    /// Begin anew: discard what an earlier run has staged
    #[arg(long)]
    pub(crate) no_resume: bool,

    /// File name that the server is told [default: that of FILE, `stdin` for `-`]
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,

    /// Media type that the server is told
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,

    /// Name and value that go along, repeatable (tus, s3, azure, oss, gcs)
    #[arg(long, value_name = "K=V")]
    pub(crate) metadata: Vec<Pair>,

    /// Method of the requests (form, put) [default: POST for form, PUT for put]
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,

    /// The field `category` (form)
    #[arg(long, value_name = "TEXT")]
    pub(crate) category: Option<String>,

    /// Fail if there is an object already (put, s3, azure, oss, gcs)
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// Send a digest of the content ahead of it, for which the file is read once before (put)
    #[arg(long, value_name = "ALGO", value_enum)]
    pub(crate) content_digest: Option<ContentDigest>,

    /// Send large files in ranges, so that they can be resumed: for servers that are known to take `PUT` with
    /// Content-Range, such as Apache's mod_dav (put)
    #[arg(long)]
    pub(crate) put_ranges: bool,

    /// Send a digest of each part, so that the server refuses damaged ones (tus)
    #[arg(long, value_name = "ALGO", value_enum)]
    pub(crate) tus_checksum: Option<TusChecksum>,

    /// Send parts at the same time and have the server join them (tus)
    #[arg(long)]
    pub(crate) tus_concat: bool,

    /// Bucket in the host name, with an own S3 endpoint too (s3)
    #[arg(long)]
    pub(crate) virtual_host: bool,

    /// Shell command that prints other headers, or another plan, when the server says 401 or 403; it finds the URL in
    /// BYTEHAUL_URL
    #[arg(long, value_name = "COMMAND")]
    pub(crate) refresh_command: Option<String>,

    /// Where to remember uploads [default: BYTEHAUL_STATE_DIR, then the user's directory for state]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    #[serde(skip)]
    pub(crate) network: NetworkArgs,

    #[command(flatten)]
    #[serde(skip)]
    pub(crate) display: DisplayArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Protocol {
    /// Chunks of multipart/form-data, one after the other
    Form,
    /// One request with the whole body
    Put,
    /// tus 1.0.0
    Tus,
    /// The IETF draft "Resumable Uploads for HTTP"
    TusDraft,
    /// Amazon S3 and those who speak like it, by s3://BUCKET/KEY
    S3,
    /// Blobs of Azure, by az://CONTAINER/BLOB or a URL with a SAS
    Azure,
    /// Aliyun OSS, by oss://BUCKET/KEY
    Oss,
    /// Resumable uploads of Google Cloud Storage, by gs://BUCKET/OBJECT or a URL that was signed for one
    Gcs,
    /// By a plan of signed URLs, see --plan
    Presigned,
}

impl Protocol {
    /// Its name as it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Put => "put",
            Self::Tus => "tus",
            Self::TusDraft => "tus-draft",
            Self::S3 => "s3",
            Self::Azure => "azure",
            Self::Oss => "oss",
            Self::Gcs => "gcs",
            Self::Presigned => "presigned",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
pub(crate) enum ContentDigest {
    /// As Content-Digest
    #[value(name = "sha-256")]
    Sha256,
    /// As Content-Digest
    #[value(name = "sha-512")]
    Sha512,
    /// As Content-MD5
    Md5,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
pub(crate) enum TusChecksum {
    /// What every server with checksums knows
    #[value(name = "sha-1")]
    Sha1,
    #[value(name = "sha-256")]
    Sha256,
    #[value(name = "sha-512")]
    Sha512,
    Md5,
}

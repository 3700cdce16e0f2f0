//! How to speak to an S3 endpoint: where it is, who asks, and which of S3's many ways it understands.

mod files;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::s3::S3Credentials;
use crate::{Algorithm, CredentialSource, ProtocolError};

pub use self::files::SharedFiles;

/// Everything that an S3 protocol needs besides the object's name. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct S3Config {
    pub(super) credentials: CredentialSource<S3Credentials>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<Url>,
    pub(super) addressing: Addressing,
    pub(super) payload_signing: PayloadSigning,
    pub(super) checksum: Option<Checksum>,
    pub(super) if_none_match_any: bool,
    pub(super) part_size: u64,
    pub(super) least_part: u64,
    /// Fields that go with the creation of the object.
    pub(super) headers: HeaderMap,
}

/// Where the bucket's name goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Addressing {
    /// Into the host at Amazon, where the name is fit for it, and into the path at an endpoint of one's own.
    #[default]
    Auto,
    /// Into the path.
    Path,
    /// Into the host.
    VirtualHost,
}

/// Whether bodies are part of the signature. Signing one reads its bytes twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum PayloadSigning {
    /// Over TLS they are not, else they are.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the server compares the bytes of each part with. All but [`None`](Self::None) have the bytes read once before they
/// are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Checksum {
    /// Nothing.
    None,
    /// `Content-MD5`, the oldest way, which nearly every store knows.
    ContentMd5,
    /// `x-amz-checksum-crc32c`, and the whole object's at the end.
    Crc32c,
    /// `x-amz-checksum-crc64nvme`, and the whole object's at the end.
    Crc64Nvme,
    /// `x-amz-checksum-sha256`, and the digest of the parts' digests at the end.
    Sha256,
}

impl Checksum {
    pub(super) fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::None => None,
            Self::ContentMd5 => Some(Algorithm::Md5),
            Self::Crc32c => Some(Algorithm::Crc32c),
            Self::Crc64Nvme => Some(Algorithm::Crc64Nvme),
            Self::Sha256 => Some(Algorithm::Sha256),
        }
    }

    /// The field that carries it.
    pub(super) fn field(self) -> Option<HeaderName> {
        Some(HeaderName::from_static(match self {
            Self::None => return None,
            Self::ContentMd5 => "content-md5",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha256 => "x-amz-checksum-sha256",
        }))
    }

    /// What S3 calls it, in fields and in the names of elements (`ChecksumCRC32C`).
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::None | Self::ContentMd5 => None,
            Self::Crc32c => Some("CRC32C"),
            Self::Crc64Nvme => Some("CRC64NVME"),
            Self::Sha256 => Some("SHA256"),
        }
    }

    /// Whether the checksums of parts make that of the whole.
    pub(super) fn is_of_whole(self) -> bool {
        matches!(self, Self::Crc32c | Self::Crc64Nvme)
    }

    /// As a session keeps it.
    pub(super) fn kept(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ContentMd5 => "md5",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha256 => "sha256",
        }
    }

    pub(super) fn from_kept(text: &str) -> Option<Self> {
        let all = [
            Self::None,
            Self::ContentMd5,
            Self::Crc32c,
            Self::Crc64Nvme,
            Self::Sha256,
        ];
        all.into_iter().find(|one| one.kept() == text)
    }
}

impl S3Config {
    /// Amazon's endpoints, in `us-east-1` unless [`region`](Self::region) says otherwise.
    pub fn new(credentials: impl Into<CredentialSource<S3Credentials>>) -> Self {
        Self {
            credentials: credentials.into(),
            region: None,
            endpoint: None,
            addressing: Addressing::default(),
            payload_signing: PayloadSigning::default(),
            checksum: None,
            if_none_match_any: false,
            part_size: PART_SIZE,
            least_part: LEAST_PART,
            headers: HeaderMap::new(),
        }
    }

    /// Sets the region. Default: `us-east-1`; `auto` at `storage.googleapis.com`.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets an endpoint of one's own, such as `http://127.0.0.1:9000`, with a path if need be. Google's is
    /// `https://storage.googleapis.com`, which takes HMAC keys in place of Amazon's.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Url) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Sets where the bucket's name goes. Default: [`Addressing::Auto`].
    #[must_use]
    pub fn addressing(mut self, addressing: Addressing) -> Self {
        self.addressing = addressing;
        self
    }

    /// Sets whether bodies are signed. Default: [`PayloadSigning::Auto`].
    #[must_use]
    pub fn payload_signing(mut self, payload_signing: PayloadSigning) -> Self {
        self.payload_signing = payload_signing;
        self
    }

    /// Sets which checksum goes with each part. Default: [`Checksum::Crc64Nvme`] at Amazon, [`Checksum::ContentMd5`]
    /// elsewhere, because not every store knows the newer ones. Trailers are never sent.
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// Whether an object that is there already is left alone: `If-None-Match: *` when it is made. Default: it is replaced.
    /// Stores that do not know the field ignore it.
    #[must_use]
    pub fn if_none_match_any(mut self, keeps: bool) -> Self {
        self.if_none_match_any = keeps;
        self
    }

    /// Sets the bytes of one part where the upload does not say. Default 8 MiB. It grows with the object, which has at most
    /// 10,000 parts. What is not larger than a part goes in one request.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes;
        self
    }

    /// Sets what no part but the last is smaller than, for stores that take less than S3. Default 5 MiB.
    #[must_use]
    pub fn least_part(mut self, bytes: u64) -> Self {
        self.least_part = bytes;
        self
    }

    /// Sets a field that goes with the creation of the object, such as `x-amz-storage-class`, `x-amz-acl`,
    /// `x-amz-server-side-encryption` or `cache-control`. It is signed. `Debug` shows its name alone: its value
    /// may be a key.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// What requests are signed with, for machines that are handed the credentials.
    pub fn credential_source(&self) -> &CredentialSource<S3Credentials> {
        &self.credentials
    }

    /// The fields of the creation for an object with these properties.
    pub(super) fn creation(&self, object: &crate::Object) -> Result<HeaderMap, ProtocolError> {
        let mut headers = self.headers.clone();
        if let Some(media) = &object.content_type {
            let value = HeaderValue::from_str(media);
            let value = value.map_err(|_| ProtocolError::parameter("content type", UNFIT))?;
            headers.insert(CONTENT_TYPE, value);
        }
        let mut size = 0;
        for (name, value) in &object.metadata {
            size += name.len() + value.len();
            let field = HeaderName::try_from(format!("x-amz-meta-{name}"));
            let text = HeaderValue::from_str(value);
            let (Ok(field), Ok(text), true) = (field, text, value.is_ascii()) else {
                return Err(ProtocolError::parameter("metadata", UNFIT));
            };
            if headers.insert(field, text).is_some() {
                let reason =
                    "one name twice; S3 knows no difference between capitals and small letters";
                return Err(ProtocolError::parameter("metadata", reason));
            }
        }
        if size > MOST_METADATA {
            return Err(ProtocolError::parameter(
                "metadata",
                "more than 2,048 bytes",
            ));
        }
        Ok(headers)
    }
}

const UNFIT: &str = "not fit for a header field, where S3 keeps it";
const PART_SIZE: u64 = 8 << 20;
const LEAST_PART: u64 = 5 << 20;
/// Names and values together, by "Working with object metadata", Amazon S3 User Guide.
const MOST_METADATA: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    fn config() -> S3Config {
        S3Config::new(S3Credentials::new("AK", "s3cret"))
    }

    #[test]
    fn metadata_goes_into_fields() {
        let check = |metadata: &[(&str, &str)], expected: Result<&str, &str>| {
            let mut object = Object::new("f", Some(1));
            let owned = metadata.iter();
            object.metadata = owned.map(|(n, v)| ((*n).into(), (*v).into())).collect();
            object.content_type = Some("a/b".into());
            let made = config().creation(&object);
            let made = made.map(|headers| {
                let shown = headers
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
                shown.collect::<Vec<_>>().join(" ")
            });
            let made = made.map_err(|error| error.to_string());
            assert_eq!(made.as_deref().map_err(String::as_str), expected);
        };
        check(&[], Ok("content-type=a/b"));
        check(&[("Own", "x y")], Ok("content-type=a/b x-amz-meta-own=x y"));
        let unfit = "invalid metadata: not fit for a header field, where S3 keeps it";
        for (name, value) in [("a b", "x"), ("a", "ü"), ("a", "x\r\ny: z")] {
            check(&[(name, value)], Err(unfit));
        }
        let twice = "invalid metadata: one name twice; S3 knows no difference between capitals and small letters";
        check(&[("a", "1"), ("A", "2")], Err(twice));
        let long = "x".repeat(2048);
        check(
            &[("a", &long)],
            Err("invalid metadata: more than 2,048 bytes"),
        );
    }

    #[test]
    fn nothing_secret_is_shown() {
        let name = HeaderName::from_static("x-amz-server-side-encryption-customer-key");
        let config = config().header(name.clone(), HeaderValue::from_static("s3cret"));
        let protocol = crate::s3::S3::new("s3://bucket/key", config.clone()).unwrap();
        for shown in [format!("{config:?}"), format!("{protocol:?}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains(name.as_str()), "{shown}");
        }
    }
}

//! The digest that a caller expects of a file, as text that is checked for its form before anything is sent.

use std::fmt;
use std::str::FromStr;

use bytehaul_integrity::{Algorithm, Digest};

use crate::error::DownloadError;

/// What the finished file must hash to: an algorithm and its value in hex or base64.
///
/// The text is parsed before the first request, so a value of the wrong length fails at once and never after
/// a gigabyte. The hash runs beside the transfer; a file that does not match is never published.
///
/// ```
/// use bytehaul::Checksum;
///
/// let checksum: Checksum = "sha-256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
/// assert!(matches!(checksum, Checksum::Sha256(_)));
/// assert!("sha-256=abc".parse::<Checksum>().is_err());
/// # Ok::<(), bytehaul::DownloadError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Checksum {
    /// SHA-256 (FIPS 180-4): 64 hex digits.
    Sha256(String),
    /// SHA-512 (FIPS 180-4): 128 hex digits.
    Sha512(String),
    /// SHA-1 (FIPS 180-4): 40 hex digits. Guards against accidents, not against an attacker.
    Sha1(String),
    /// MD5 (RFC 1321): 32 hex digits. Guards against accidents, not against an attacker.
    Md5(String),
    /// CRC-32C (Castagnoli, RFC 3720): 8 hex digits.
    Crc32c(String),
    /// CRC-64/NVME: 16 hex digits.
    Crc64Nvme(String),
    /// CRC-64/XZ (ECMA-182 reflected, as Aliyun OSS uses it): 16 hex digits.
    Crc64(String),
    /// BLAKE3 with its default output of 32 bytes: 64 hex digits.
    Blake3(String),
}

impl Checksum {
    /// The value as bytes.
    ///
    /// # Errors
    /// [`DownloadError::InvalidParameter`] when the text is not a value of that algorithm.
    pub fn digest(&self) -> Result<Digest, DownloadError> {
        let (algorithm, text) = self.parts();
        Digest::parse(algorithm, text.trim())
            .map_err(|reason| DownloadError::parameter("checksum", reason))
    }

    fn parts(&self) -> (Algorithm, &str) {
        match self {
            Self::Sha256(text) => (Algorithm::Sha256, text),
            Self::Sha512(text) => (Algorithm::Sha512, text),
            Self::Sha1(text) => (Algorithm::Sha1, text),
            Self::Md5(text) => (Algorithm::Md5, text),
            Self::Crc32c(text) => (Algorithm::Crc32c, text),
            Self::Crc64Nvme(text) => (Algorithm::Crc64Nvme, text),
            Self::Crc64(text) => (Algorithm::Crc64, text),
            Self::Blake3(text) => (Algorithm::Blake3, text),
        }
    }
}

impl FromStr for Checksum {
    type Err = DownloadError;

    /// Reads `ALGO=VALUE`, such as `sha-256=9f86…`; the value in hex or base64.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digest: Digest = text
            .parse()
            .map_err(|reason| DownloadError::parameter("checksum", reason))?;
        Self::try_from(&digest)
    }
}

impl TryFrom<&Digest> for Checksum {
    type Error = DownloadError;

    fn try_from(digest: &Digest) -> Result<Self, Self::Error> {
        let value = digest.hex();
        Ok(match digest.algorithm() {
            Algorithm::Sha256 => Self::Sha256(value),
            Algorithm::Sha512 => Self::Sha512(value),
            Algorithm::Sha1 => Self::Sha1(value),
            Algorithm::Md5 => Self::Md5(value),
            Algorithm::Crc32c => Self::Crc32c(value),
            Algorithm::Crc64Nvme => Self::Crc64Nvme(value),
            Algorithm::Crc64 => Self::Crc64(value),
            Algorithm::Blake3 => Self::Blake3(value),
            other => {
                return Err(DownloadError::parameter(
                    "checksum",
                    format!("{other} cannot be checked here"),
                ));
            }
        })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, text) = self.parts();
        write!(f, "{algorithm}={text}")
    }
}

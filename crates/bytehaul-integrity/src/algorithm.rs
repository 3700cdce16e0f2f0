//! The names and lengths of the digest algorithms.

use std::fmt;
use std::str::FromStr;

/// A digest or checksum algorithm.
///
/// `Sha1`, `Md5` and the CRCs find accidents, not attackers: they are here because servers send them.
///
/// ```
/// use bytehaul_integrity::Algorithm;
///
/// assert_eq!("SHA_256".parse(), Ok(Algorithm::Sha256));
/// assert_eq!(Algorithm::Sha256.to_string(), "sha-256");
/// assert_eq!(Algorithm::Sha256.digest_len(), 32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
    /// SHA-1 (FIPS 180-4); collisions are practical.
    Sha1,
    /// MD5 (RFC 1321); collisions are trivial.
    Md5,
    /// CRC-32C, Castagnoli (RFC 3720, section 12.1).
    Crc32c,
    /// CRC-64/NVME, as Amazon S3 computes it.
    Crc64Nvme,
    /// CRC-64/XZ: the polynomial of ECMA-182, reflected, as Aliyun OSS computes it.
    Crc64,
    /// BLAKE3 with 32 bytes of output.
    Blake3,
}

impl Algorithm {
    /// Every algorithm, strongest first: the order in which to prefer one where several are offered.
    pub const ALL: [Self; 8] = [
        Self::Sha512,
        Self::Sha256,
        Self::Blake3,
        Self::Sha1,
        Self::Md5,
        Self::Crc64Nvme,
        Self::Crc64,
        Self::Crc32c,
    ];

    /// The canonical name: lowercase, as the hash registry of RFC 9530 spells it where it has the algorithm.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
            Self::Sha1 => "sha-1",
            Self::Md5 => "md5",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc64 => "crc64",
            Self::Blake3 => "blake3",
        }
    }

    /// The length of a value, in bytes; never more than [`MAX_DIGEST_LEN`](Self::MAX_DIGEST_LEN).
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha512 => 64,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha1 => 20,
            Self::Md5 => 16,
            Self::Crc64Nvme | Self::Crc64 => 8,
            Self::Crc32c => 4,
        }
    }

    /// The longest value of any algorithm, in bytes.
    pub const MAX_DIGEST_LEN: usize = 64;
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Case, `-` and `_` do not matter; `sha` is SHA-1 as in RFC 3230, `crc64ecma` and `crc64xz` are [`Algorithm::Crc64`].
impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let plain: String = name
            .trim()
            .chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .take(LONGEST_NAME + 1)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        Ok(match plain.as_str() {
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            "sha1" | "sha" => Self::Sha1,
            "md5" => Self::Md5,
            "crc32c" => Self::Crc32c,
            "crc64nvme" => Self::Crc64Nvme,
            "crc64" | "crc64ecma" | "crc64ecma182" | "crc64xz" => Self::Crc64,
            "blake3" | "b3" => Self::Blake3,
            _ => return Err(UnknownAlgorithm(excerpt(name))),
        })
    }
}

/// The name is none of a known algorithm; holds at most 32 characters of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown digest algorithm {0:?}, known are sha-256, sha-512, sha-1, md5, crc32c, crc64nvme, crc64 and blake3"
)]
pub struct UnknownAlgorithm(String);

fn excerpt(name: &str) -> String {
    name.trim().chars().take(EXCERPT).collect()
}

const EXCERPT: usize = 32;
const LONGEST_NAME: usize = "crc64ecma182".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let check = |text: &str, want: Algorithm| assert_eq!(text.parse(), Ok(want), "{text}");
        for text in ["sha256", "SHA-256", "Sha_256", " sha-256 "] {
            check(text, Algorithm::Sha256);
        }
        check("sha", Algorithm::Sha1);
        check("MD-5", Algorithm::Md5);
        check("crc-64-ecma", Algorithm::Crc64);
        check("CRC64NVME", Algorithm::Crc64Nvme);
        check("B3", Algorithm::Blake3);
    }

    #[test]
    fn canonical_names_parse_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
            assert!(algorithm.digest_len() <= Algorithm::MAX_DIGEST_LEN);
        }
    }

    #[test]
    fn unknown_names_are_quoted_and_bounded() {
        for text in ["", "sha", "sha-224", "sha256x", "crc32"] {
            assert_eq!(text.parse::<Algorithm>().is_ok(), text == "sha", "{text}");
        }
        let message = "x"
            .repeat(10_000)
            .parse::<Algorithm>()
            .unwrap_err()
            .to_string();
        assert!(message.len() < 200, "{message}");
    }
}

//! A digest value: its text forms and its comparison in constant time.

use std::fmt;
use std::str::FromStr;

use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE,
};
use subtle::ConstantTimeEq;

use crate::{Algorithm, Crc, UnknownAlgorithm};

/// The value of a digest, of exactly its algorithm's length.
///
/// Two values are compared in time that does not depend on where they differ. Values of different algorithms differ.
///
/// ```
/// use bytehaul_integrity::{Algorithm, Digest};
///
/// let hex: Digest = "md5=900150983cd24fb0d6963f7d28e17f72".parse()?;
/// let base64 = Digest::parse(Algorithm::Md5, "kAFQmDzST7DWlj99KOF/cg==")?;
/// assert_eq!(hex, base64);
/// # Ok::<(), bytehaul_integrity::ParseError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero beyond the algorithm's length.
    bytes: [u8; Algorithm::MAX_DIGEST_LEN],
}

impl Digest {
    /// The value of `algorithm` in `bytes`, or `None` if the length is not [`Algorithm::digest_len`].
    #[must_use]
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != algorithm.digest_len() {
            return None;
        }
        let mut value = [0; Algorithm::MAX_DIGEST_LEN];
        value[..bytes.len()].copy_from_slice(bytes);
        Some(Self {
            algorithm,
            bytes: value,
        })
    }

    /// Reads hex (either case) or base64 (standard or URL-safe, padded or not); white space around it is dropped.
    ///
    /// The two are told apart by their length. CRCs are big-endian numbers.
    ///
    /// # Errors
    /// [`ParseError::Length`] if the length is that of neither form, else [`ParseError::Hex`] or [`ParseError::Base64`].
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let hex_len = 2 * algorithm.digest_len();
        // Only a CRC-32C has as many characters in padded base64 as in hex; the padding tells.
        if text.len() == hex_len && !text.ends_with('=') {
            let bytes = HEXLOWER_PERMISSIVE
                .decode(text.as_bytes())
                .map_err(|_| not_hex(algorithm, text))?;
            return Ok(
                Self::from_bytes(algorithm, &bytes).expect("the length of the text was checked")
            );
        }
        Self::parse_base64(algorithm, text)
    }

    /// Reads base64 only: standard or URL-safe, padded or not.
    ///
    /// # Errors
    /// [`ParseError::Length`] or [`ParseError::Base64`].
    pub fn parse_base64(algorithm: Algorithm, text: &str) -> Result<Self, ParseError> {
        // No algorithm's length is a multiple of three, so the two lengths differ.
        let padded = text.len() == base64_len(algorithm);
        if !padded && text.len() != base64_nopad_len(algorithm) {
            return Err(ParseError::Length {
                algorithm,
                got: text.chars().count(),
            });
        }
        let url_safe = text.contains(['-', '_']);
        let encoding = match (padded, url_safe) {
            (true, false) => BASE64,
            (true, true) => BASE64URL,
            (false, false) => BASE64_NOPAD,
            (false, true) => BASE64URL_NOPAD,
        };
        encoding
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| Self::from_bytes(algorithm, &bytes))
            .ok_or(ParseError::Base64 { algorithm })
    }

    /// Reads a CRC written as a decimal number, as Aliyun OSS does in `x-oss-hash-crc64ecma`.
    ///
    /// # Errors
    /// [`ParseError::Decimal`] if the text is anything but ASCII digits, or the number does not fit.
    pub fn parse_decimal(crc: Crc, text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let decimal = ParseError::Decimal {
            algorithm: crc.algorithm(),
        };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(decimal);
        }
        let Ok(value) = text.parse::<u64>() else {
            return Err(decimal);
        };
        let digest = crc.digest(value);
        if digest.crc() == Some(value) {
            Ok(digest)
        } else {
            Err(decimal)
        }
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes of the value; those of a CRC are big-endian.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_len()]
    }

    /// The value as a number, or `None` if the algorithm is not a CRC.
    #[must_use]
    pub fn crc(&self) -> Option<u64> {
        Crc::of(self.algorithm)?;
        Some(
            self.as_bytes()
                .iter()
                .fold(0, |value, byte| (value << 8) | u64::from(*byte)),
        )
    }

    /// The value in lowercase hex.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(self.as_bytes())
    }

    /// The value in padded standard base64, as most header fields carry it.
    #[must_use]
    pub fn base64(&self) -> String {
        BASE64.encode(self.as_bytes())
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && bool::from(self.as_bytes().ct_eq(other.as_bytes()))
    }
}

impl Eq for Digest {}

/// `sha-256=` and the value in hex, which [`FromStr`] reads back.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Reads `ALGORITHM=VALUE`, the value as in [`Digest::parse`].
impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (name, value) = text.split_once('=').ok_or(ParseError::Form)?;
        Self::parse(name.parse()?, value)
    }
}

/// What is wrong with the text of a digest. The messages hold no more of the text than one character.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There is no `=` between the algorithm and the value.
    #[error("a digest is written as ALGORITHM=VALUE")]
    Form,
    /// The name before the `=` is of no known algorithm.
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    /// The value has the length of neither text form.
    #[error(
        "{algorithm} needs {} hex digits or {} base64 characters, got {got} characters",
        2 * algorithm.digest_len(), base64_len(*algorithm)
    )]
    Length {
        /// The algorithm whose value it should be.
        algorithm: Algorithm,
        /// The number of characters.
        got: usize,
    },
    /// The value has the length of hex, but one character is no hex digit.
    #[error("{algorithm} needs hex digits, got {found:?} as character {position}")]
    Hex {
        /// The algorithm whose value it should be.
        algorithm: Algorithm,
        /// The first character that is no hex digit.
        found: char,
        /// Where it is, counted from 1.
        position: usize,
    },
    /// The value has the length of base64, but is not base64 of that many bytes.
    #[error("{algorithm} needs {} hex digits or valid base64", 2 * algorithm.digest_len())]
    Base64 {
        /// The algorithm whose value it should be.
        algorithm: Algorithm,
    },
    /// The value is no decimal number that fits.
    #[error("{algorithm} needs a decimal number of at most {} bits", 8 * algorithm.digest_len())]
    Decimal {
        /// The algorithm whose value it should be.
        algorithm: Algorithm,
    },
}

fn not_hex(algorithm: Algorithm, text: &str) -> ParseError {
    let (before, found) = text
        .chars()
        .enumerate()
        .find(|(_, c)| !c.is_ascii_hexdigit())
        .expect("text of an even length that is not hex has a character that is no hex digit");
    ParseError::Hex {
        algorithm,
        found,
        position: before + 1,
    }
}

const fn base64_len(algorithm: Algorithm) -> usize {
    algorithm.digest_len().div_ceil(3) * 4
}

const fn base64_nopad_len(algorithm: Algorithm) -> usize {
    (algorithm.digest_len() * 4).div_ceil(3)
}

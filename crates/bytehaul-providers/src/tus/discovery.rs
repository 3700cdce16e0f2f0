//! What a tus server says of itself when it is asked with `OPTIONS`.

use bytehaul_integrity::Algorithm;
use http::StatusCode;

use crate::tus::resource::checksum_name;
use crate::tus::wire::{lists, number};
use crate::{Answer, ProtocolError};

/// What was found out. Where a server does not answer as one that speaks tus, nothing counts as missing: a gateway may
/// answer `OPTIONS` itself, and some servers do so under another path alone.
#[derive(Debug)]
pub(super) struct Offer {
    missing: Vec<Missing>,
    /// Lowercase, as the server names them; `None` if it does not say.
    checksums: Option<Vec<String>>,
}

/// An extension that the server does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    Checksum,
    Concatenation,
    CreationWithUpload,
    DeferLength,
}

impl Missing {
    const ALL: [Self; 4] = [
        Self::Checksum,
        Self::Concatenation,
        Self::CreationWithUpload,
        Self::DeferLength,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Concatenation => "concatenation",
            Self::CreationWithUpload => "creation-with-upload",
            Self::DeferLength => "creation-defer-length",
        }
    }
}

impl Offer {
    pub(super) fn lacks(&self, extension: Missing) -> bool {
        self.missing.contains(&extension)
    }

    /// # Errors
    /// The server would not compare digests of this algorithm.
    pub(super) fn check_checksum(&self, algorithm: Algorithm) -> Result<(), ProtocolError> {
        let name = checksum_name(algorithm);
        let unknown = |names: &Vec<String>| !names.contains(&name);
        if self.lacks(Missing::Checksum) || self.checksums.as_ref().is_some_and(unknown) {
            let reason = format_args!("the server compares no digests of {algorithm}");
            return Err(ProtocolError::parameter("checksum", reason));
        }
        Ok(())
    }
}

/// Whether the server may answer better later, or after the credentials were renewed.
pub(super) fn is_worth_another_try(status: StatusCode) -> bool {
    let busy = matches!(status.as_u16(), 408 | 423 | 425 | 429);
    busy || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// Reads the answer to `OPTIONS`; an object of `len` bytes is to be uploaded.
///
/// # Errors
/// The server does not speak tus 1.0.0, or takes no object of this size.
pub(super) fn read(answer: &Answer<'_>, len: Option<u64>) -> Result<Offer, ProtocolError> {
    let headers = answer.headers;
    let speaks = headers.contains_key("tus-version") || headers.contains_key("tus-extension");
    if !(answer.status.is_success() && speaks) {
        return Ok(Offer {
            missing: Vec::new(),
            checksums: None,
        });
    }
    if headers.contains_key("tus-version") && !lists(headers, "tus-version", "1.0.0") {
        return Err(ProtocolError::parameter(
            "protocol",
            "the server does not speak tus 1.0.0",
        ));
    }
    if let (Some(most), Some(len)) = (number(headers, "tus-max-size")?, len)
        && len > most
    {
        let reason = format_args!("its {len} bytes are more than the {most} that the server takes");
        return Err(ProtocolError::parameter("source", reason));
    }
    let missing = |extension: &Missing| !lists(headers, "tus-extension", extension.name());
    let checksums = headers.contains_key("tus-checksum-algorithm").then(|| {
        let values = headers.get_all("tus-checksum-algorithm").iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let names = texts.flat_map(|text| text.split(','));
        names.map(|name| name.trim().to_ascii_lowercase()).collect()
    });
    Ok(Offer {
        missing: Missing::ALL.into_iter().filter(missing).collect(),
        checksums,
    })
}

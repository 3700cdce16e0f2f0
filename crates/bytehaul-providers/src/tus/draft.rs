//! The IETF draft "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload), interop version 8.

mod fields;
mod session;

use std::fmt;
use std::fmt::Write as _;

use bytehaul_integrity::Algorithm;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use url::Url;

use self::session::{Session, Settings};
use crate::{Capabilities, Left, Object, ProtocolError, UploadProtocol, UploadSession, address};

/// The draft by careful creation: an empty `POST` first, whose answer names the upload, and then the bytes in one append
/// after the other. It needs no interim responses (104) and so works through anything that speaks HTTP.
///
/// The answer to the append that completes the upload is the object's: its body is the outcome's payload. If that answer
/// is lost, the server is asked whether the upload is complete, and there is no payload. An upload that has vanished after
/// that is indeterminate, because the draft lets servers forget uploads that are complete.
///
/// The file's name goes as `Content-Disposition`, its media type as `Content-Type`, its digest (SHA-256 or SHA-512) as
/// `Repr-Digest`. The draft has no place for other metadata: what [`Object::metadata`] holds is not sent.
#[derive(Clone)]
pub struct TusDraft {
    creation: String,
    upload: Option<String>,
}

impl TusDraft {
    /// Uploads are created by `POST` to this URL, which is that of the resource which takes the object. A bad one is
    /// found by [`validate`](UploadProtocol::validate).
    pub fn new(creation: impl Into<String>) -> Self {
        Self {
            creation: creation.into(),
            upload: None,
        }
    }

    /// Goes on with this upload; what it has is believed to be the beginning of the source. If it is gone, another one is
    /// created. It is discarded on abort only if something was sent to it.
    #[must_use]
    pub fn upload_url(mut self, url: impl Into<String>) -> Self {
        self.upload = Some(url.into());
        self
    }
}

impl fmt::Debug for TusDraft {
    /// Shows hosts alone of the URLs, which may be all that one needs to write there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TusDraft")
            .field("creation", &address::shown(&self.creation))
            .field("upload", &self.upload.as_deref().map(address::shown))
            .finish()
    }
}

impl UploadProtocol for TusDraft {
    fn name(&self) -> &str {
        "tus-draft"
    }

    fn target(&self) -> String {
        self.upload.as_ref().unwrap_or(&self.creation).clone()
    }

    fn endpoint(&self) -> Option<Url> {
        address::parse(&self.creation).ok()
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        address::parse(&self.creation)?;
        super::parsed(self.upload.as_ref()).map(drop)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().unknown_length(true).resumable(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        let creation = address::parse(&self.creation)?;
        let upload = super::parsed(self.upload.as_ref())?;
        let usual = match object.len {
            Some(_) => super::LARGE_PART,
            None => super::SMALL_PART,
        };
        let settings = Settings {
            creation,
            upload,
            about: about(object)?,
            digest: object.digest,
            len: object.len,
            part_size: object.part_size.unwrap_or(usual).max(1),
        };
        Ok(Box::new(Session::new(settings, left)))
    }
}

/// The fields that say what the object is.
fn about(object: &Object) -> Result<HeaderMap, ProtocolError> {
    let mut headers = HeaderMap::new();
    if let Some(kind) = &object.content_type {
        let value = HeaderValue::try_from(kind.as_str())
            .map_err(|_| ProtocolError::parameter("content type", "it is no value of a field"))?;
        headers.insert(CONTENT_TYPE, value);
    }
    if !object.name.is_empty() {
        let value = HeaderValue::try_from(disposition(&object.name)).expect("it is ASCII");
        headers.insert(CONTENT_DISPOSITION, value);
    }
    if let Some(digest) = object.digest
        && matches!(digest.algorithm(), Algorithm::Sha256 | Algorithm::Sha512)
    {
        let value = format!("{}=:{}:", digest.algorithm(), digest.base64());
        let value = HeaderValue::try_from(value).expect("a name and base64 are ASCII");
        headers.insert("repr-digest", value);
    }
    Ok(headers)
}

/// `Content-Disposition` (RFC 6266), in the form for other characters than ASCII where the name has them.
fn disposition(name: &str) -> String {
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%');
    let ascii: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let mut text = format!("attachment; filename=\"{ascii}\"");
    if ascii != name {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            // RFC 8187, section 3.2.1: attr-char.
            match byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                true => text.push(char::from(byte)),
                false => write!(text, "%{byte:02X}").expect("a string takes all"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_fields() {
        let check = |name: &str, want: &str| assert_eq!(disposition(name), want);
        check("a b.txt", "attachment; filename=\"a b.txt\"");
        check(
            "a\"\r\n.txt",
            "attachment; filename=\"a___.txt\"; filename*=UTF-8''a%22%0D%0A.txt",
        );
        check("ü", "attachment; filename=\"_\"; filename*=UTF-8''%C3%BC");
    }
}

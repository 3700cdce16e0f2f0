//! What an answer means, whoever sent it: S3, OSS, Azure, Google, or a back end of one's own.

use http::{Method, StatusCode};

use crate::presigned::s3;
use crate::{Answer, Completed, Fault, ProtocolError, ProtocolErrorKind};

/// What an answer says of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken,
    /// The URL has expired, or its signature is not accepted.
    Refused(Said),
    /// Another try may be answered otherwise.
    Passing(Said),
    /// Any other one would be answered the same.
    Final(Said),
}

/// A status, and the code of the error body, which is all that is shown of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) code: Option<String>,
}

pub(super) fn verdict(answer: &Answer<'_>) -> Verdict {
    let status = answer.status;
    // S3 and OSS begin to answer a completion before they know how it ends: 200 with an error in the body.
    let code = s3::error_code(answer.body).or_else(|| azure_code(answer));
    let said = Said { status, code };
    let code = said.code.as_deref().unwrap_or_default();
    if status.is_success() && said.code.is_none() {
        Verdict::Taken
    } else if matches!(status.as_u16(), 401 | 403) || EXPIRED.contains(&code) {
        Verdict::Refused(said)
    } else if is_passing(status) || s3::is_passing(code) {
        Verdict::Passing(said)
    } else {
        Verdict::Final(said)
    }
}

impl Said {
    /// The fault of a request that is neither taken nor to be renewed.
    pub(super) fn fault(&self, place: &str) -> Fault {
        if is_passing(self.status) {
            return Fault::Status;
        }
        if self.code.as_deref().is_some_and(s3::is_passing) {
            return Fault::Again(format!("{place}: {self}"));
        }
        let kind = match self.exists_already() {
            true => ProtocolErrorKind::Changed,
            false => ProtocolErrorKind::Status(self.status),
        };
        ProtocolError::new(kind, format!("{place}: {self}")).into()
    }

    /// The object is there although the plan says that it must not be.
    fn exists_already(&self) -> bool {
        self.status == StatusCode::PRECONDITION_FAILED
            || self.code.as_deref() == Some("BlobAlreadyExists")
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        match &self.code {
            Some(code) => write!(f, ", {code}"),
            None => Ok(()),
        }
    }
}

/// What the answer to a completion says of the object.
pub(super) fn completed(answer: &Answer<'_>) -> Completed {
    let text = |name: &str| answer.header(name).map(str::to_owned);
    Completed {
        etag: s3::element(answer.body, "ETag").or_else(|| text("etag")),
        location: s3::element(answer.body, "Location").or_else(|| text("location")),
        payload: (!answer.body.is_empty()).then(|| answer.body.clone()),
        ..Completed::default()
    }
}

/// The length of the object that an answer to the head request speaks of.
pub(super) fn object_len(answer: &Answer<'_>, method: &Method) -> Option<u64> {
    match answer.headers.get("content-length") {
        Some(_) => answer.header("content-length")?.trim().parse().ok(),
        None if method == Method::HEAD => None,
        None => Some(answer.body.len() as u64),
    }
}

/// Azure names its errors in a field too, also where there is no body.
fn azure_code(answer: &Answer<'_>) -> Option<String> {
    if answer.status.is_success() {
        return None;
    }
    let code = answer.header("x-ms-error-code")?;
    let word = |c: &char| c.is_ascii_alphanumeric();
    Some(code.chars().take(64).filter(word).collect())
}

/// Statuses that the driver tries again.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

/// What says the same as 403 with another status.
const EXPIRED: [&str; 3] = ["ExpiredToken", "TokenRefreshRequired", "RequestExpired"];

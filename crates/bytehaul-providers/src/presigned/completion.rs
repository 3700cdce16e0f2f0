//! The body of a completion: who writes it, and what it is made of.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde::Serialize;

use crate::presigned::checked::{Checked, Completion};
use crate::presigned::plan::BodyFormat;
use crate::presigned::s3;
use crate::{BoxError, PartReceipt, ProtocolError, ProtocolErrorKind};

/// A part that the server has taken, as a completion speaks of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct CompletedPart {
    /// Its number.
    pub part_number: u32,
    /// Its id in the plan.
    pub provider_part_id: Option<String>,
    /// Where it begins, in bytes of the object.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The `ETag` of the answer that took it, in quotes as the server sent it.
    pub etag: Option<String>,
}

/// Writes the body of a completion, of all parts ascending by number.
pub(super) type BodyBuilder =
    Arc<dyn Fn(&[CompletedPart]) -> Result<Vec<u8>, BoxError> + Send + Sync>;

/// The completion that back ends of presigned plans expect where nothing else is said:
/// `{"upload_id", "total_size", "chunk_size", "parts": [{"part_number", "provider_part_id", "offset", "size", "etag"}]}`, with
/// `null` for what there is none of and the parts ascending by number.
pub fn json_body(
    upload_id: Option<&str>,
    total_size: u64,
    chunk_size: u64,
    parts: &[CompletedPart],
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        upload_id: Option<&'a str>,
        total_size: u64,
        chunk_size: u64,
        parts: &'a [CompletedPart],
    }
    let body = Body {
        upload_id,
        total_size,
        chunk_size,
        parts,
    };
    serde_json::to_vec(&body).expect("numbers and text are JSON")
}

/// A body, and the media type that it has where the plan names none.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<&'static str>,
}

/// The plan's own body, else the builder's, else one of the plan's format. `None`: a request without one.
pub(super) fn body(
    plan: &Checked,
    completion: &Completion,
    builder: Option<&BodyBuilder>,
    receipts: &[PartReceipt],
) -> Result<Option<Body>, ProtocolError> {
    if let Some(body) = &completion.body {
        return Ok(Some(Body {
            bytes: body.clone(),
            content_type: None,
        }));
    }
    let parts = || completed(plan, receipts);
    if let Some(build) = builder {
        let built = build(&parts()).map_err(|error| {
            let what = "the body of the completion could not be built";
            ProtocolError::new(ProtocolErrorKind::Custom, what).with_source(error)
        })?;
        return Ok(Some(Body {
            bytes: built.into(),
            content_type: None,
        }));
    }
    let without = [Method::GET, Method::HEAD, Method::DELETE].contains(&completion.request.method);
    Ok(match completion.format {
        BodyFormat::None => None,
        BodyFormat::Json if without => None,
        BodyFormat::Json => {
            let id = plan.upload_id.as_deref();
            Some(Body {
                bytes: json_body(id, plan.total, plan.chunk, &parts()).into(),
                content_type: Some("application/json"),
            })
        }
        BodyFormat::S3 => {
            let built = s3::complete_body(&parts()).map_err(|error| {
                // The server has sent none, or hides it (CORS-like proxies do).
                ProtocolError::new(ProtocolErrorKind::Parse, error.to_string())
            })?;
            Some(Body {
                bytes: built.into(),
                content_type: None,
            })
        }
    })
}

fn completed(plan: &Checked, receipts: &[PartReceipt]) -> Vec<CompletedPart> {
    // Both are in the order of the offsets, and every part has its receipt by now.
    let mut parts: Vec<_> = plan
        .parts
        .iter()
        .zip(receipts)
        .map(|(part, receipt)| CompletedPart {
            part_number: part.number,
            provider_part_id: part.id.clone(),
            offset: part.range.start,
            size: part.range.end - part.range.start,
            etag: receipt.tag.clone(),
        })
        .collect();
    parts.sort_by_key(|part| part.part_number);
    parts
}

//! S3 and those who speak like it: the body that completes a multipart upload, and plans of signed URLs.

use crate::BoxError;
use crate::presigned::completion::CompletedPart;
use crate::presigned::plan::{BodyFormat, PlanPart, PlanRequest, UploadPlan};

pub(super) use crate::said::{composite_etag, element, error_code, escape, is_passing};

/// The body of CompleteMultipartUpload. Given to [`Presigned::completion_body`](super::Presigned::completion_body), or
/// chosen by [`BodyFormat::S3`] in the plan.
///
/// # Errors
/// A part has no ETag: the answer that took it had none.
pub fn complete_body(parts: &[CompletedPart]) -> Result<Vec<u8>, BoxError> {
    let mut xml = String::from("<CompleteMultipartUpload>");
    for part in parts {
        let etag = part.etag.as_deref().ok_or_else(|| {
            format!(
                "the answer to part {} had no ETag, without which it cannot be named",
                part.part_number
            )
        })?;
        xml.push_str("<Part><PartNumber>");
        xml.push_str(&part.part_number.to_string());
        xml.push_str("</PartNumber><ETag>");
        escape(etag, &mut xml);
        xml.push_str("</ETag></Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    Ok(xml.into_bytes())
}

impl UploadPlan {
    /// A plan for a multipart upload that a back end has begun: one URL for each part of `chunk_size` bytes, in order, numbered
    /// from 1; the last part is shorter. `complete` is the signed `POST` and `abort` the signed `DELETE` of the same `uploadId`.
    ///
    /// An object of no bytes has one part of none. [`validate`](UploadPlan::validate) tells whether the number of URLs fits.
    ///
    /// ```
    /// use bytehaul_providers::presigned::UploadPlan;
    ///
    /// let urls = (1..=3).map(|n| format!("https://b.s3.amazonaws.com/k?partNumber={n}&uploadId=u&X-Amz-Signature=s"));
    /// let plan = UploadPlan::s3("u", 20 << 20, 8 << 20, urls, "https://b.s3.amazonaws.com/k?uploadId=u&X-Amz-Signature=s", None);
    /// plan.validate()?;
    /// # Ok::<(), bytehaul_providers::ProtocolError>(())
    /// ```
    pub fn s3<U: Into<String>>(
        upload_id: impl Into<String>,
        total_size: u64,
        chunk_size: u64,
        part_urls: impl IntoIterator<Item = U>,
        complete: impl Into<String>,
        abort: Option<String>,
    ) -> Self {
        let complete = PlanRequest::new(complete).body_format(BodyFormat::S3);
        let mut plan = Self::new(total_size, chunk_size)
            .upload_id(upload_id)
            .complete_request(complete);
        plan.abort_request = abort.map(PlanRequest::new);
        plan.parts = parts(total_size, chunk_size, part_urls);
        plan
    }
}

/// Parts of one size for these URLs, in order, numbered from 1. More URLs than parts make parts of no bytes, which no plan
/// may have.
pub(super) fn parts<U: Into<String>>(
    total: u64,
    chunk: u64,
    urls: impl IntoIterator<Item = U>,
) -> Vec<PlanPart> {
    let mut offset = 0_u64;
    let numbered = (1..).zip(urls).map(|(number, url)| {
        let size = chunk.min(total.saturating_sub(offset));
        let part = PlanPart::new(number, offset, size, url);
        offset = offset.saturating_add(size);
        part
    });
    numbered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(part_number: u32, etag: Option<&str>) -> CompletedPart {
        CompletedPart {
            part_number,
            provider_part_id: None,
            offset: 0,
            size: 1,
            etag: etag.map(str::to_owned),
        }
    }

    #[test]
    fn etags_are_escaped() {
        let body = complete_body(&[part(1, Some("\"a\"")), part(2, Some("<&>"))]).unwrap();
        let expected = "<CompleteMultipartUpload>\
            <Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>\
            <Part><PartNumber>2</PartNumber><ETag>&lt;&amp;&gt;</ETag></Part>\
            </CompleteMultipartUpload>";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        let error = complete_body(&[part(7, None)]).unwrap_err();
        assert!(error.to_string().contains("part 7"));
    }
}

//! Aliyun OSS: what its signed URLs say of the parts they are for, and plans of them.

use url::Url;

use crate::ProtocolError;
use crate::presigned::checked::parse_url;
use crate::presigned::plan::{BodyFormat, PlanPart, PlanRequest, UploadPlan};
use crate::presigned::s3;

/// The number of the part that a signed UploadPart URL is for.
pub fn part_number(url: &Url) -> Option<u32> {
    parameter(url, "partNumber")?.parse().ok()
}

/// The upload that a signed URL is for.
pub fn upload_id(url: &Url) -> Option<String> {
    parameter(url, "uploadId")
}

impl UploadPlan {
    /// A plan for a multipart upload to OSS: one signed `PUT` URL for each part of `chunk_size` bytes, in order, and the
    /// signed `POST` and `DELETE` of the same upload. The upload's id and the parts' numbers are taken from the URLs. The
    /// completion lists exactly these parts.
    ///
    /// # Errors
    /// A URL that is none or names no part, or one of another upload.
    pub fn oss<U: Into<String>>(
        total_size: u64,
        chunk_size: u64,
        part_urls: impl IntoIterator<Item = U>,
        complete: impl Into<String>,
        abort: Option<String>,
    ) -> Result<Self, ProtocolError> {
        let complete = complete.into();
        let url = parse_url("complete_request", &complete)?;
        let id =
            upload_id(&url).ok_or_else(|| refuse("the completion names no uploadId".into()))?;
        let mut parts = s3::parts(total_size, chunk_size, part_urls);
        for part in &mut parts {
            number(part, &url, &id)?;
        }
        let complete = PlanRequest::new(complete).body_format(BodyFormat::S3);
        let mut plan = Self::new(total_size, chunk_size)
            .upload_id(id)
            .complete_request(complete);
        plan.abort_request = abort.map(PlanRequest::new);
        plan.parts = parts;
        Ok(plan)
    }
}

/// Numbers a part as its URL does, if that is of this upload.
fn number(part: &mut PlanPart, complete: &Url, id: &str) -> Result<(), ProtocolError> {
    let place = format!("part {}", part.part_number);
    let url = parse_url(&place, &part.url)?;
    let same = (url.host_str(), url.path()) == (complete.host_str(), complete.path());
    if !same || upload_id(&url).as_deref() != Some(id) {
        return Err(refuse(format!("the URL of {place} is of another upload")));
    }
    part.part_number = part_number(&url)
        .ok_or_else(|| refuse(format!("the URL of {place} names no partNumber")))?;
    Ok(())
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    let (_, value) = pairs.find(|(key, _)| key == name)?;
    Some(value.into_owned())
}

fn refuse(reason: String) -> ProtocolError {
    ProtocolError::parameter("plan", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(urls: &[&str], expected: Result<&[u32], &str>) {
        let urls = urls
            .iter()
            .map(|query| format!("https://b.oss.com/k?{query}&x-oss-signature=secret"));
        let complete = "https://b.oss.com/k?uploadId=u%2B1&x-oss-signature=secret";
        let plan = UploadPlan::oss(10, 4, urls, complete, None);
        match (plan, expected) {
            (Ok(plan), Ok(numbers)) => {
                let of_plan: Vec<_> = plan.parts.iter().map(|part| part.part_number).collect();
                assert_eq!(
                    (&of_plan[..], plan.upload_id.as_deref()),
                    (numbers, Some("u+1"))
                );
                plan.validate().unwrap();
            }
            (Err(error), Err(expected)) => {
                let text = error.to_string();
                assert!(
                    text.contains(expected) && !text.contains("secret"),
                    "{text}"
                );
            }
            (plan, _) => panic!("{plan:?}"),
        }
    }

    #[test]
    fn urls_say_which_part_they_are_for() {
        let of = |n: u32| format!("uploadId=u%2B1&partNumber={n}");
        let (a, b, c) = (of(3), of(1), of(2));
        check(&[&a, &b, &c], Ok(&[3, 1, 2]));
        check(&[&a, "partNumber=1&uploadId=v"], Err("another upload"));
        check(&["uploadId=u%2B1"], Err("no partNumber"));
        check(&["uploadId=u%2B1&partNumber=-1"], Err("no partNumber"));
    }
}

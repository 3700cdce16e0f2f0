//! Block blobs of Azure under a shared access signature: block ids, and the requests of a whole upload.

use url::Url;

use crate::ProtocolError;
use crate::blocks::{MOST_BLOCKS, MOST_IN_A_BLOCK};
use crate::presigned::checked::parse_url;
use crate::presigned::plan::{PlanPart, PlanRequest, UploadPlan};

pub use crate::blocks::{BlockIds, Existing, VERSION, block_list};

impl UploadPlan {
    /// A plan for a block blob: blocks of `chunk_size` bytes and the list that commits them; or one Put Blob, where a single
    /// block would do. `blob_url` is the blob's with its SAS, which needs the permissions to create and write, and to read if
    /// the blob is to be asked for after a lost answer. `session` is the name for [`BlockIds::of_session`].
    ///
    /// There is no abort: blocks that are not committed expire by themselves, and the blob itself is never deleted.
    ///
    /// # Errors
    /// The URL is none, or the blob would need more than 50,000 blocks or blocks of more than 4,000 MiB
    /// ([Put Block](https://learn.microsoft.com/rest/api/storageservices/put-block)).
    pub fn azure_sas(
        blob_url: &str,
        total_size: u64,
        chunk_size: u64,
        session: &str,
        existing: Existing,
    ) -> Result<Self, ProtocolError> {
        let url = parse_url("the blob", blob_url)?;
        let chunk = chunk_size.max(1);
        if chunk.min(total_size) > MOST_IN_A_BLOCK {
            let reason = format!("{chunk} bytes are more than {MOST_IN_A_BLOCK}");
            return Err(ProtocolError::parameter("chunk size", reason));
        }
        let blocks = total_size.div_ceil(chunk);
        if blocks > MOST_BLOCKS {
            let reason =
                format!("{blocks} blocks of {chunk} bytes, and a blob has at most {MOST_BLOCKS}");
            return Err(ProtocolError::parameter("chunk size", reason));
        }
        let mut plan = Self::new(total_size, chunk).upload_id(session);
        plan.head_request = Some(PlanRequest::new(url.as_str()).header("x-ms-version", VERSION));
        if blocks <= 1 {
            let part = PlanPart::new(1, 0, total_size, url.as_str())
                .header("x-ms-version", VERSION)
                .header("x-ms-blob-type", "BlockBlob");
            return Ok(plan.part(match existing {
                Existing::Replace => part,
                Existing::Refuse => part.header("if-none-match", "*"),
            }));
        }
        let ids = BlockIds::of_session(session);
        let mut listed = Vec::new();
        for (index, offset) in (0..).zip((0..blocks).map(|block| block * chunk)) {
            let id = ids.id(index);
            let put = with(&url, &[("comp", "block"), ("blockid", &id)]);
            let size = chunk.min(total_size - offset);
            let part = PlanPart::new(index + 1, offset, size, put)
                .header("x-ms-version", VERSION)
                .provider_part_id(&id);
            plan = plan.part(part);
            listed.push(id);
        }
        let commit = PlanRequest::new(with(&url, &[("comp", "blocklist")]))
            .method("PUT")
            .header("x-ms-version", VERSION)
            .body(block_list(listed.iter().map(String::as_str)));
        Ok(plan.complete_request(match existing {
            Existing::Replace => commit,
            Existing::Refuse => commit.header("if-none-match", "*"),
        }))
    }
}

/// The URL with these parameters behind the signature, which stays as it was written.
fn with(url: &Url, parameters: &[(&str, &str)]) -> String {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(parameters);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://a.blob.core.windows.net/c/b?sv=2023-11-03&se=2026-01-31T12%3A00%3A00Z&sig=a%2Bb%3D";

    fn plan(total: u64, chunk: u64, existing: Existing) -> UploadPlan {
        let plan = UploadPlan::azure_sas(URL, total, chunk, "s", existing).unwrap();
        plan.validate().unwrap();
        plan
    }

    #[test]
    fn blocks_are_staged_and_listed_in_order() {
        let plan = plan(10, 4, Existing::Refuse);
        let sizes: Vec<_> = plan.parts.iter().map(|part| part.size).collect();
        assert_eq!(sizes, [4, 4, 2]);
        let body = plan
            .complete_request
            .as_ref()
            .unwrap()
            .body
            .clone()
            .unwrap();
        let mut rest = body.as_str();
        for part in &plan.parts {
            let id = part.provider_part_id.as_deref().unwrap();
            rest = rest
                .split_once(&format!("<Latest>{id}</Latest>"))
                .unwrap()
                .1;
            let url = Url::parse(&part.url).unwrap();
            assert!(part.url.starts_with(URL), "{}", part.url);
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            assert!(pairs.contains(&("comp".into(), "block".into())));
            assert!(pairs.contains(&("blockid".into(), id.into())));
        }
        let commit = plan.complete_request.unwrap();
        assert_eq!(commit.headers["if-none-match"], "*");
        assert!(commit.url.ends_with("&comp=blocklist"));
        assert!(plan.abort_request.is_none());
    }

    #[test]
    fn small_blobs_are_put_at_once() {
        for total in [0, 1, 4] {
            let plan = plan(total, 4, Existing::Replace);
            assert_eq!(plan.parts.len(), 1);
            assert_eq!(plan.parts[0].headers["x-ms-blob-type"], "BlockBlob");
            assert!(plan.complete_request.is_none());
            assert!(!plan.parts[0].headers.contains_key("if-none-match"));
        }
    }

    #[test]
    fn limits_of_the_service_are_kept() {
        let check = |total, chunk| UploadPlan::azure_sas(URL, total, chunk, "s", Existing::Replace);
        assert!(check(50_000, 1).is_ok() && check(50_001, 1).is_err());
        assert!(check(u64::MAX, 4000 << 20).is_err());
        assert!(check(u64::MAX, u64::MAX).is_err());
        assert!(check(5, 0).is_ok());
        let error = UploadPlan::azure_sas("no url?sig=secret", 1, 1, "s", Existing::Replace);
        assert!(!error.unwrap_err().to_string().contains("secret"));
    }
}

//! Whether an object that stands there is the one that an upload has made, when nobody has said so.

use crate::presigned::answers;
use crate::presigned::checked::Checked;
use crate::presigned::s3;
use crate::{Answer, Completed, PartReceipt, ProtocolError, ProtocolErrorKind};

/// Compares the answer to the head request with what was sent: an object of this length, and of these parts if it says of
/// which it is.
pub(super) fn found(
    plan: &Checked,
    receipts: &[PartReceipt],
    answer: &Answer<'_>,
) -> Result<Completed, ProtocolError> {
    let method = plan.head.as_ref().map(|head| &head.method);
    match method.and_then(|method| answers::object_len(answer, method)) {
        None => return Err(indeterminate("an object without a length is there")),
        Some(len) if len != plan.total => {
            let what = format!(
                "the session is gone, and the object has {len} bytes instead of {}",
                plan.total
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Changed, what));
        }
        Some(_) => (),
    }
    let etag = answer.header("etag");
    if etag.is_some_and(|etag| is_of_other_parts(etag, receipts)) {
        let what = "an object of this length is there, but not of these parts";
        return Err(indeterminate(what));
    }
    Ok(Completed {
        etag: etag.map(str::to_owned),
        ..Completed::default()
    })
}

/// Whether an ETag in the form that S3 gives to objects of parts says that they are others.
fn is_of_other_parts(etag: &str, receipts: &[PartReceipt]) -> bool {
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    let Some((hash, count)) = etag.split_once('-') else {
        return false;
    };
    let is_hash = hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(count) = count.parse::<usize>().ok().filter(|_| is_hash) else {
        return false;
    };
    let ours = s3::composite_etag(receipts.iter().map(|receipt| receipt.tag.as_deref()));
    count != receipts.len() || ours.is_some_and(|ours| !ours.eq_ignore_ascii_case(etag))
}

pub(super) fn indeterminate(what: &str) -> ProtocolError {
    let what = format!("it cannot be known whether the object was made: {what}");
    ProtocolError::new(ProtocolErrorKind::Indeterminate, what)
}

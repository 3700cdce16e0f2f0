//! What a caller or a server says of a file beforehand holds: its size, the hashes of its pieces, and the digest beside its mirrors.

use bytehaul::{Algorithm, DownloadError, ErrorKind, FollowMetalink};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::Object;

use crate::common::{Bed, MIB};

const LEN: u64 = 4 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_size_is_not_the_one() {
    let bed = Bed::serving(&object());
    let error = bed
        .fetch(bed.spec().expected_size(LEN + 1))
        .await
        .expect_err("another size");
    assert!(
        matches!(error, DownloadError::SizeMismatch { expected, actual, .. } if (expected, actual) == (LEN + 1, LEN)),
        "{error:?}"
    );
    assert_eq!((error.code(), error.kind()), (128, ErrorKind::Integrity));
    assert_eq!(bed.names(), Vec::<String>::new(), "nothing is left of it");
    bed.completes(bed.spec().expected_size(LEN), &object())
        .await;
}

/// The object with a mirror and a digest in its header fields, the digest of `of`.
fn with_mirror(of: &Object) -> Object {
    let digest = Hasher::digest(Algorithm::Sha256, &of.whole()).base64();
    object()
        .header("Link", "<http://127.0.0.1:9/f>; rel=duplicate; pri=1")
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_beside_mirrors_is_verified() {
    let bed = Bed::serving(&with_mirror(&object()));
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert_eq!(
        outcome.digest.expect("verified").algorithm(),
        Algorithm::Sha256
    );
    let bed = Bed::serving(&with_mirror(&Object::random(2, LEN)));
    let error = bed.fetch(bed.spec()).await.expect_err("another digest");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    let off = bed.spec().follow_metalink(FollowMetalink::Off);
    assert_eq!(bed.completes(off, &object()).await.digest, None);
}

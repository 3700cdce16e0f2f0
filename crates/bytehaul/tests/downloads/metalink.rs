//! What a caller or a server says of a file beforehand holds: its size, the hashes of its pieces, and the digest beside its mirrors.

use bytehaul::{
    Algorithm, Auth, DownloadError, ErrorKind, FollowMetalink, Netrc, Network, PieceHashes,
};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};

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

/// The hashes of pieces of `length` bytes.
fn hashes(object: &Object, length: usize) -> PieceHashes {
    let whole = object.whole();
    let values = whole
        .chunks(length)
        .map(|piece| Hasher::digest(Algorithm::Sha256, piece).as_bytes().to_vec());
    PieceHashes::new(Algorithm::Sha256, length as u64, values).expect("hashes")
}

/// Not a divisor of anything.
const PIECE: usize = 300_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_that_was_wrong_is_fetched_again_alone() {
    // Over ranges, with one connection, and as one stream.
    for (connections, behaviour) in [
        (4, Behaviour::new()),
        (1, Behaviour::new()),
        (4, Behaviour::new().always(Effect::IgnoreRange)),
    ] {
        let wrong = behaviour.when(When::Requests(0..1), Effect::Flip(5));
        let bed = Bed::serving(&object().behaviour(wrong));
        let spec = bed
            .spec()
            .max_connections(connections)
            .piece_size(MIB)
            .piece_hashes(hashes(&object(), PIECE));
        let outcome = bed.completes(spec, &object()).await;
        assert!(outcome.fetched > LEN, "{outcome:?}");
    }
    // Where every byte can be asked for alone, only the piece comes again.
    let wrong = Behaviour::new().when(When::Requests(0..1), Effect::Flip(LEN / 2));
    let bed = Bed::serving(&object().behaviour(wrong));
    let spec = bed
        .spec()
        .max_connections(1)
        .piece_hashes(hashes(&object(), PIECE));
    let outcome = bed.completes(spec, &object()).await;
    // A request that still runs over it is begun again, and loses what is in its buffer.
    let again = outcome.fetched - LEN;
    assert!(
        (PIECE as u64..PIECE as u64 + MIB).contains(&again),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_that_is_always_wrong_is_named() {
    for connections in [1, 4] {
        let bed = Bed::serving(&object().flipped_at(PIECE as u64 + 5));
        let spec = bed
            .spec()
            .max_connections(connections)
            .piece_hashes(hashes(&object(), PIECE));
        let error = bed.fetch(spec).await.expect_err("one byte differs");
        let DownloadError::ChecksumMismatch { piece, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*piece, Some(PIECE as u64..2 * PIECE as u64));
        assert!(
            error.to_string().contains("bytes 300000-599999 of"),
            "{error}"
        );
        assert!(!bed.target().exists());
        let asked = bed.server.requests_for("/f").len();
        assert!(asked < 30, "{asked} requests");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_left_is_checked_too() {
    let bed = Bed::serving(&object());
    let left = bed.paused_at(bed.spec(), 2 * MIB, 4 * MIB).await;
    // The claim of the control file holds, since it was made of these bytes.
    bed.server.serve("/f", object());
    let spec = bed
        .spec()
        .piece_hashes(hashes(&object().flipped_at(0), PIECE));
    let error = bed.fetch(spec).await.expect_err("the first piece differs");
    assert!(
        matches!(&error, DownloadError::ChecksumMismatch { piece: Some(piece), .. } if piece.start == 0),
        "{error:?}"
    );
    let spec = bed.spec().piece_hashes(hashes(&object(), PIECE));
    let outcome = bed.completes(spec, &object()).await;
    assert!(outcome.resumed_from > 0 && left > 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_of_another_file_are_refused() {
    let bed = Bed::serving(&object());
    let other = hashes(&Object::random(3, 10 * MIB), PIECE);
    let error = bed
        .fetch(bed.spec().piece_hashes(other.clone()))
        .await
        .expect_err("not those of this file");
    assert_eq!(error.kind(), ErrorKind::Server, "{error:?}");
    let never = bed.spec().piece_hashes(other).expected_size(LEN);
    assert_eq!(
        never.validate().expect_err("at once").kind(),
        ErrorKind::Parameter
    );
}

/// A server that points to a description of its file at `path`, which says `document`.
fn describing(object: &Object, path: &str, document: &str) -> Bed {
    let link = format!("<{path}>; rel=describedby; type=\"application/metalink4+xml\"");
    let slow = Behaviour::new().total_rate(12 * MIB);
    let bed = Bed::serving(&object.clone().header("Link", link).behaviour(slow));
    bed.server.serve(path, Object::bytes(document));
    bed
}

fn document(object: &Object, mirror: &str) -> String {
    let hash = Hasher::digest(Algorithm::Sha256, &object.whole()).hex();
    format!(
        "<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file name='f'><hash type='sha-256'>{hash}</hash>\
         <url>{mirror}</url></file></metalink>"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_that_an_answer_points_to_names_mirrors_and_the_hash() {
    let large = Object::random(4, 32 * MIB);
    let mirror = Server::spawn_thread();
    let slow = Behaviour::new().total_rate(12 * MIB);
    mirror.serve("/m", large.clone().behaviour(slow));
    let bed = describing(&large, "/f.meta4", &document(&large, &mirror.url("/m")));
    let spec = bed
        .spec()
        .max_connections(4)
        .auth(Auth::bearer("hunter2"))
        .follow_metalink(FollowMetalink::HeadersAndDescription);
    let outcome = bed.completes(spec, &large).await;
    let digest = outcome.digest.expect("verified");
    assert_eq!(digest.algorithm(), Algorithm::Sha256);
    assert!(outcome.mirrors[1].bytes > 0, "{outcome:?}");
    let asked = bed.server.requests_for("/f.meta4");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), Some("Bearer hunter2"));
    for request in mirror.requests() {
        assert_eq!(request.header("authorization"), None);
    }
    bed.server.reset_log();
    std::fs::remove_file(bed.target()).expect("published");
    bed.completes(bed.spec(), &large).await;
    assert_eq!(
        bed.server.count("/f.meta4"),
        0,
        "only when it was asked for"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_that_is_of_no_use_changes_nothing() {
    let follow = |bed: &Bed| {
        bed.spec()
            .follow_metalink(FollowMetalink::HeadersAndDescription)
    };
    let other = document(&object(), "http://127.0.0.1:9/m").replace("<url>", "<size>1</size><url>");
    let endless = " ".repeat(2 * MIB as usize);
    for text in ["", "<html>not found</html>", &other, &endless] {
        let bed = describing(&object(), "/f.meta4", text);
        let outcome = bed.completes(follow(&bed), &object()).await;
        assert_eq!((outcome.digest, bed.server.count("/f.meta4")), (None, 1));
    }
    for effect in [Effect::status(404), Effect::status(503)] {
        let bed = describing(&object(), "/f.meta4", "");
        bed.server
            .behave("/f.meta4", Behaviour::new().always(effect));
        let outcome = bed.completes(follow(&bed), &object()).await;
        assert_eq!((outcome.digest, bed.server.count("/f.meta4")), (None, 1));
    }
    // A hash that is strong but wrong speaks of another file, as one beside the answer would.
    let wrong = document(&Object::random(9, LEN), "http://127.0.0.1:9/m");
    let bed = describing(&object(), "/f.meta4", &wrong);
    let error = bed.fetch(follow(&bed)).await.expect_err("another hash");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_elsewhere_is_asked_for_without_credentials() {
    let elsewhere = Server::spawn_thread();
    elsewhere.serve("/f.meta4", Object::bytes("<html/>"));
    let url = elsewhere.url_on("localhost", "/f.meta4");
    let link = format!("<{url}>; rel=describedby; type=\"application/metalink4+xml\"");
    let bed = Bed::serving(&object().header("Link", link));
    let path = bed.path("netrc");
    std::fs::write(&path, "default login me password hunter2").expect("write");
    let spec = bed
        .spec()
        .network(Network::default().netrc(Netrc::File(path.clone())))
        .header("Cookie", "hunter2")
        .auth(Auth::bearer("hunter2"))
        .follow_metalink(FollowMetalink::HeadersAndDescription);
    let outcome = bed.fetch(spec).await.expect("complete");
    assert_eq!(outcome.bytes, LEN);
    let asked = elsewhere.requests();
    assert_eq!(asked.len(), 1);
    assert!(!format!("{asked:?}").contains("hunter2"), "{asked:?}");
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(asked[0].header("cookie"), None);
}

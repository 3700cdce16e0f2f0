//! Mirrors and documents that a server names in its answer (RFC 6249): when they are used, and that nothing bad of them costs anything.

use std::fmt::Write as _;
use std::time::Duration;

use bytehaul::{
    Algorithm, Auth, DownloadError, DownloadSpec, FollowMetalink, MirrorState, Netrc, Network,
    Outcome,
};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Object, Server};

use crate::common::{Bed, MIB, ended, received, until};

/// Long enough for mirrors to be worth their proof.
const LEN: u64 = 40 * MIB;
/// Shorter than that.
const LITTLE: u64 = 2 * MIB;

/// So slow that every source is needed.
fn paced(object: &Object) -> Object {
    object
        .clone()
        .behaviour(Behaviour::new().total_rate(12 * MIB))
}

/// The same bytes, as another server would describe them.
fn copy(of: &Object) -> Object {
    of.clone().etag("\"copy\"")
}

/// A server with `object` at `/f`.
fn serving(object: &Object) -> Server {
    let server = Server::spawn_thread();
    server.serve("/f", object.clone());
    server
}

/// `object` with the SHA-256 of `of` and links in its header fields.
fn naming(object: &Object, of: &Object, links: &str) -> Object {
    let digest = Hasher::digest(Algorithm::Sha256, &of.whole()).base64();
    object
        .clone()
        .header("Link", links)
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
}

fn duplicates(servers: &[Server]) -> String {
    let links = servers
        .iter()
        .map(|server| format!("<{}>; rel=duplicate", server.url("/f")));
    links.collect::<Vec<_>>().join(", ")
}

fn states(outcome: &Outcome) -> Vec<&'static str> {
    let state = |state: &MirrorState| match state {
        MirrorState::Unused => "unused",
        MirrorState::Used => "used",
        MirrorState::Dropped { .. } => "dropped",
        MirrorState::Quarantined { .. } => "quarantined",
        _ => "unknown",
    };
    outcome.mirrors.iter().map(|m| state(&m.state)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_mirrors_deliver_at_the_same_time() {
    let file = Object::random(1, LEN);
    let others = [paced(&copy(&file)), paced(&copy(&file))].map(|object| serving(&object));
    let bed = Bed::serving(&paced(&naming(&file, &file, &duplicates(&others))));
    let outcome = bed.completes(bed.spec(), &file).await;
    assert_eq!(states(&outcome), ["used", "used", "used"], "{outcome:?}");
    assert!(
        outcome.mirrors.iter().all(|m| m.bytes > 4 * MIB),
        "{outcome:?}"
    );
    let digest = Hasher::digest(Algorithm::Sha256, &file.whole());
    assert_eq!(outcome.digest, Some(digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_strong_digest_nobody_is_asked() {
    let file = Object::random(2, LEN);
    let other = serving(&copy(&file));
    let links = duplicates(std::slice::from_ref(&other));
    let named = file.clone().header("Link", links);
    let md5 = Hasher::digest(Algorithm::Md5, &file.whole()).base64();
    let weak = named.clone().header("Digest", format!("MD5={md5}"));
    for object in [named, weak] {
        let bed = Bed::serving(&paced(&object));
        let outcome = bed.completes(bed.spec(), &file).await;
        assert!(outcome.mirrors.is_empty(), "{outcome:?}");
    }
    let off = Bed::serving(&naming(
        &file,
        &file,
        &duplicates(std::slice::from_ref(&other)),
    ));
    let spec = off.spec().follow_metalink(FollowMetalink::Off);
    assert!(off.completes(spec, &file).await.mirrors.is_empty());
    assert_eq!(other.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_mirror_with_other_bytes_is_out() {
    let file = Object::random(3, LEN);
    let others = [
        paced(&Object::random(4, LEN)),
        Object::random(3, LEN + 1),
        paced(&copy(&file)),
    ];
    let others = others.map(|object| serving(&object));
    let bed = Bed::serving(&paced(&naming(&file, &file, &duplicates(&others))));
    let outcome = bed.completes(bed.spec(), &file).await;
    assert_eq!(
        states(&outcome),
        ["used", "quarantined", "quarantined", "used"],
        "{outcome:?}"
    );
    assert_eq!(outcome.mirrors[1].url.to_string(), others[0].url("/f"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_ones_cost_nothing() {
    let file = Object::random(5, LEN);
    let silent = serving(&file);
    silent.behave("/f", Behaviour::new().always(Effect::Hang));
    let refusing = serving(&file);
    refusing.behave("/f", Behaviour::new().always(Effect::status(503)));
    let closed = serving(&file);
    let links = duplicates(&[closed, refusing])
        + ", "
        + &(0..30).fold(String::new(), |mut links, at| {
            let _ = write!(
                links,
                "<{}>; rel=duplicate, ",
                silent.url(&format!("/f?{at}"))
            );
            links
        });
    // The requests that a dead mirror could have delayed fail as well, and are asked again as ever.
    let line = Behaviour::new().total_rate(16 * MIB).when(
        bytehaul_testkit::When::Requests(1..3),
        Effect::ResetAfter(MIB),
    );
    let bed = Bed::serving(&naming(&file, &file, &links).behaviour(line));
    let outcome = bed.completes(bed.spec(), &file).await;
    // 2.5 s on this line.
    assert!(
        outcome.elapsed < Duration::from_millis(4_500),
        "{outcome:?}"
    );
    assert_eq!(outcome.mirrors.len(), 1 + 16, "{outcome:?}");
    assert_eq!(states(&outcome)[0], "used");
    assert!(
        outcome.mirrors[1..].iter().all(|m| m.bytes == 0),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_binds_whoever_takes_the_lead() {
    let file = Object::random(6, LITTLE);
    for (of_mirror, is_the_file) in [(copy(&file), true), (Object::random(7, LITTLE), false)] {
        // Too little is there to compare with.
        for there in [0, LITTLE * 3 / 4] {
            let other = serving(&of_mirror);
            let links = duplicates(std::slice::from_ref(&other));
            let bed = Bed::serving(&naming(&file, &file, &links));
            let line = Behaviour::new().always(Effect::StallAfter(there + 1));
            bed.server.behave("/f", line);
            let handle = bed.start(bed.spec().max_connections(1).max_retries(0));
            received(&handle, there + 1).await;
            bed.server.remove("/f");
            bed.server.reset_connections();
            let ended = ended(&handle).await;
            if is_the_file {
                let outcome = ended.expect("the mirror has it");
                assert!(outcome.digest.is_some(), "{outcome:?}");
                assert_eq!(states(&outcome), ["dropped", "used"], "{outcome:?}");
                bed.is_published(&file);
            } else {
                let error = ended.expect_err("other bytes");
                assert!(!bed.target().exists(), "{error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_has_its_own_mirrors_and_digest() {
    let old = Object::random(8, LITTLE).etag("\"old\"");
    let new = Object::random(9, LITTLE).etag("\"new\"");
    let other = serving(&new);
    let links = duplicates(std::slice::from_ref(&other));
    let bed = Bed::serving(&naming(&old, &old, &links));
    bed.server.behave("/f", Behaviour::new().rate(2 * MIB));
    let handle = bed.start(bed.spec().max_connections(1));
    received(&handle, MIB / 2).await;
    bed.server.replace("/f", naming(&new, &new, &links));
    bed.server.reset_connections();
    let outcome = ended(&handle).await.expect("the new version");
    assert_eq!(outcome.restarts, 1, "{outcome:?}");
    let digest = Hasher::digest(Algorithm::Sha256, &new.whole());
    assert_eq!(outcome.digest, Some(digest));
    bed.is_published(&new);
}

/// What a Metalink document says of a file.
struct Document {
    inside: String,
}

impl Document {
    fn new() -> Self {
        Self {
            inside: String::new(),
        }
    }

    fn with(mut self, element: &str) -> Self {
        self.inside += element;
        self
    }

    fn checksum(self, of: &Object) -> Self {
        let digest = Hasher::digest(Algorithm::Sha256, &of.whole()).hex();
        self.with(&format!("<hash type='sha-256'>{digest}</hash>"))
    }

    fn pieces(self, of: &Object, length: usize) -> Self {
        let whole = of.whole();
        let hashes = whole.chunks(length).fold(String::new(), |mut all, piece| {
            let digest = Hasher::digest(Algorithm::Sha256, piece).hex();
            let _ = write!(all, "<hash>{digest}</hash>");
            all
        });
        self.with(&format!(
            "<pieces type='sha-256' length='{length}'>{hashes}</pieces>"
        ))
    }

    fn url(self, url: &str) -> Self {
        self.with(&format!("<url>{url}</url>"))
    }

    fn object(&self) -> Object {
        let text = format!(
            "<?xml version='1.0' encoding='UTF-8'?><metalink xmlns='urn:ietf:params:xml:ns:metalink'>\
             <file name='f'>{}</file></metalink>",
            self.inside
        );
        Object::bytes(text)
    }
}

/// A link to the document of the same directory.
const TO_DOCUMENT: &str = "<f.meta4>; rel=describedby; type=\"application/metalink4+xml\"";

/// A bed whose `/f` is described at `/f.meta4`.
fn described(file: &Object, document: &Object) -> Bed {
    let bed = Bed::serving(&file.clone().header("Link", TO_DOCUMENT));
    bed.server.serve("/f.meta4", document.clone());
    bed
}

fn following(bed: &Bed) -> DownloadSpec {
    bed.spec()
        .follow_metalink(FollowMetalink::HeadersAndDescription)
}

const PIECE: usize = 1 << 18;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_names_mirrors_and_hashes() {
    let file = Object::random(10, LEN);
    let other = serving(&paced(&copy(&file)));
    let document = Document::new()
        .with(&format!("<size>{LEN}</size>"))
        .checksum(&file)
        .pieces(&file, PIECE)
        .url(&other.url("/f"));
    let bed = described(&paced(&file), &document.object());
    let outcome = bed.completes(following(&bed), &file).await;
    assert_eq!(states(&outcome), ["used", "used"], "{outcome:?}");
    assert!(outcome.mirrors[1].bytes > 4 * MIB, "{outcome:?}");
    assert!(
        outcome.digest.is_some() && outcome.restarts == 0,
        "{outcome:?}"
    );
    assert_eq!(bed.server.requests_for("/f.meta4").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_of_a_document_unless_it_is_chosen() {
    let file = Object::random(11, LITTLE);
    let document = Document::new().checksum(&Object::random(0, 1));
    let bed = described(&file, &document.object());
    assert_eq!(bed.completes(bed.spec(), &file).await.digest, None);
    let off = bed.spec().follow_metalink(FollowMetalink::Off);
    std::fs::remove_file(bed.target()).expect("published");
    bed.completes(off, &file).await;
    assert_eq!(bed.server.requests_for("/f.meta4").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_file_waits_a_moment_for_its_description() {
    let file = Object::random(12, LITTLE);
    let late = Behaviour::new().latency(Duration::from_millis(200));
    let document = Document::new().checksum(&file).pieces(&file, PIECE);
    let bed = described(&file, &document.object().behaviour(late.clone()));
    let outcome = bed.completes(following(&bed), &file).await;
    assert!(outcome.digest.is_some(), "{outcome:?}");
    // What is wrong once comes again.
    let wrong = Behaviour::new().when(bytehaul_testkit::When::Requests(0..1), Effect::Flip(7));
    bed.server.behave("/f", wrong);
    std::fs::remove_file(bed.target()).expect("published");
    let outcome = bed.completes(following(&bed), &file).await;
    assert!(outcome.fetched > LITTLE, "{outcome:?}");
    // One byte differs from what the server says itself.
    let bed = described(
        &file.flipped_at(PIECE as u64),
        &document.object().behaviour(late),
    );
    let error = bed.fetch(following(&bed)).await.expect_err("one byte");
    assert!(
        matches!(&error, DownloadError::ChecksumMismatch { piece: Some(piece), .. } if piece.start == PIECE as u64),
        "{error:?}"
    );
    assert!(!bed.target().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_no_use_costs_nothing() {
    let file = Object::random(13, LITTLE);
    let good = Document::new().checksum(&file);
    let object = good.object();
    let huge = Document::new()
        .with(&"<x/>".repeat(300_000))
        .checksum(&file);
    let of_another = Document::new()
        .with("<size>5</size>")
        .checksum(&Object::random(0, 5));
    let slow = |effect: Effect| object.clone().behaviour(Behaviour::new().always(effect));
    for (what, document, waits) in [
        ("missing", slow(Effect::status(404).into()), false),
        ("broken", Object::bytes("<metalink><file name='..'>"), false),
        ("no xml", Object::random(1, 1000), false),
        ("huge", huge.object(), false),
        (
            "huge, of unknown length",
            huge.object()
                .behaviour(Behaviour::new().always(Effect::Chunked(1000))),
            false,
        ),
        ("of another size", of_another.object(), false),
        ("reset", slow(Effect::ResetAfter(10)), false),
        ("silent", slow(Effect::Hang), true),
        ("stalled", slow(Effect::StallAfter(10)), true),
    ] {
        let bed = described(&file, &document);
        let outcome = bed.completes(following(&bed), &file).await;
        assert_eq!(outcome.digest, None, "{what}");
        assert!(outcome.mirrors.is_empty(), "{what}");
        let most = if waits { 1_700 } else { 900 };
        assert!(
            outcome.elapsed < Duration::from_millis(most),
            "{what}: {outcome:?}"
        );
        let sent = bed.server.bytes_sent();
        assert!(sent < LITTLE + 2 * MIB, "{what}: {sent} bytes");
    }
    // A file that takes longer than that moment does not wait at all.
    let bed = described(&file, &slow(Effect::Hang));
    bed.server
        .behave("/f", Behaviour::new().total_rate(3 * MIB / 2));
    let handle = bed.start(following(&bed));
    let before = std::time::Instant::now();
    until(&handle, |progress| progress.received == LITTLE).await;
    let arrived = before.elapsed();
    ended(&handle).await.expect("complete");
    assert!(
        before.elapsed() - arrived < Duration::from_millis(500),
        "{arrived:?} of {:?}",
        before.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_does_not_overrule_the_caller() {
    let file = Object::random(14, LITTLE);
    let other = Object::random(15, LITTLE);
    let mirror = serving(&copy(&file));
    let document = Document::new()
        .checksum(&other)
        .pieces(&other, PIECE)
        .url(&mirror.url("/f"));
    let bed = described(&file, &document.object());
    let digest = Hasher::digest(Algorithm::Sha256, &file.whole());
    let spec = following(&bed).checksum(bytehaul::Checksum::Sha256(digest.hex()));
    let outcome = bed.completes(spec, &file).await;
    assert_eq!(outcome.digest, Some(digest));
    assert!(outcome.mirrors.is_empty(), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_elsewhere_gets_no_credentials() {
    let file = Object::random(16, LEN);
    let other = serving(&paced(&copy(&file)));
    other.serve("/f.meta4", Document::new().checksum(&file).object());
    let away = format!(
        "<{}>; rel=duplicate, <{}>; rel=describedby; type=\"application/metalink4+xml\"",
        other.url_on("localhost", "/f"),
        other.url_on("localhost", "/f.meta4")
    );
    let bed = Bed::serving(&paced(&naming(&file, &file, &away)));
    // Whatever `.netrc` has for the other host was not meant for what this one names.
    let netrc = bed.path("netrc");
    std::fs::write(&netrc, "machine localhost login me password hunter2").expect("write");
    let spec = following(&bed)
        .auth(Auth::bearer("hunter2"))
        .header("x-key", "hunter2")
        .network(Network::default().netrc(Netrc::File(netrc.clone())));
    let outcome = bed.fetch(spec.clone()).await.expect("complete");
    assert_eq!(states(&outcome), ["used", "used"], "{outcome:?}");
    let requests = other.requests();
    assert!(requests.iter().any(|request| request.path() == "/f.meta4"));
    for request in &requests {
        assert_eq!(request.header("authorization"), None, "{request:?}");
        assert_eq!(request.header("x-key"), None, "{request:?}");
    }
    // At home it gets what its server is told anyway.
    std::fs::remove_file(bed.target()).expect("published");
    std::fs::remove_file(netrc).expect("there");
    let bed = described(&file, &Document::new().checksum(&file).object());
    let spec = following(&bed)
        .auth(Auth::bearer("hunter2"))
        .header("x-key", "hunter2");
    bed.completes(spec, &file).await;
    let told = bed.server.requests_for("/f.meta4");
    assert_eq!(told[0].header("authorization"), Some("Bearer hunter2"));
    assert_eq!(told[0].header("x-key"), Some("hunter2"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secure_file_follows_nothing_plain() {
    let authority = bytehaul_testkit::pki::Authority::new();
    let secure = crate::network::over_tls(&authority.server(&["localhost"]));
    let file = Object::random(17, LEN);
    let plain = serving(&copy(&file));
    plain.serve("/f.meta4", Document::new().object());
    let links = format!(
        "<{}>; rel=duplicate, <{}>; rel=describedby; type=\"application/metalink4+xml\"",
        plain.url("/f"),
        plain.url("/f.meta4")
    );
    secure.serve("/f", naming(&file, &file, &links));
    // Nor does its own document lead there.
    let document = Document::new().checksum(&file).url(&plain.url("/f"));
    let own = naming(&file, &file, TO_DOCUMENT);
    secure.serve("/g", own);
    secure.serve("/f.meta4", document.object());
    let bed = Bed::new();
    for path in ["/f", "/g"] {
        let trusting = Network::default().add_root_certificates(authority.pem());
        let spec = crate::common::quick(&secure.url_on("localhost", path))
            .output_path(bed.target())
            .network(trusting)
            .follow_metalink(FollowMetalink::HeadersAndDescription);
        let outcome = bed.completes(spec, &file).await;
        assert!(outcome.mirrors.is_empty(), "{outcome:?}");
        std::fs::remove_file(bed.target()).expect("published");
    }
    assert_eq!(secure.requests_for("/f.meta4").len(), 1);
    assert_eq!(plain.connections(), 0);
}

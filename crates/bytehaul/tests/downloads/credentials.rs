//! Who is told which credentials: from the spec, the URL, a `.netrc` file, to the host, to mirrors and redirects.

use std::path::PathBuf;

use bytehaul::{Algorithm, Auth, DownloadSpec, ErrorKind, Netrc, Network};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::{Behaviour, Object, RecordedRequest, Server};

use crate::common::{Bed, MIB, downloader, ended, quick};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// A bed whose `/r` leads to `/f` of another server, by another name of this machine.
fn leading_away() -> (Bed, Server) {
    let bed = Bed::new();
    let other = Server::spawn_thread();
    let slow = Behaviour::new().rate(8 * MIB);
    other.serve("/f", object().behaviour(slow.clone()));
    bed.server.serve("/f", object().behaviour(slow));
    bed.server.redirect("/r", other.url_on("localhost", "/f"));
    (bed, other)
}

fn netrc(bed: &Bed, text: &str) -> Network {
    let path = bed.path("netrc");
    std::fs::write(&path, text).expect("write");
    Network::default().netrc(Netrc::File(path))
}

fn told(requests: &[RecordedRequest]) -> Vec<Option<&str>> {
    let mut told: Vec<_> = requests
        .iter()
        .map(|request| request.header("authorization"))
        .collect();
    told.dedup();
    told
}

async fn downloads(bed: &Bed, spec: DownloadSpec) {
    let outcome = bed.fetch(spec).await;
    assert_eq!(outcome.expect("complete").bytes, LEN);
    std::fs::remove_file(bed.target()).expect("published");
}

/// `me:hunter2` in base64 (RFC 7617).
const OF_ME: &str = "Basic bWU6aHVudGVyMg==";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_given_goes_to_the_host_and_not_to_where_it_leads() {
    let (bed, other) = leading_away();
    let spec = || bed.spec_of("/r").max_connections(4);
    let mut in_url = spec();
    in_url.url = in_url.url.replace("http://", "http://me:hunter2@");
    // Both hosts are in the file; only the one that the URL names is told.
    let file = "machine 127.0.0.1 login me password hunter2\n\
                machine localhost login me password hunter2\n\
                default login me password hunter2";
    for (spec, expected) in [
        (spec().auth(Auth::bearer("hunter2")), "Bearer hunter2"),
        (spec().auth(Auth::basic("me", "hunter2")), OF_ME),
        (in_url, OF_ME),
        (spec().network(netrc(&bed, file)), OF_ME),
        (spec().header("Authorization", "Own hunter2"), "Own hunter2"),
    ] {
        bed.server.reset_log();
        other.reset_log();
        downloads(&bed, spec).await;
        assert_eq!(told(&bed.server.requests()), [Some(expected)]);
        assert_eq!(told(&other.requests()), [None], "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_does_not_bring_them_along() {
    let (bed, other) = leading_away();
    other.redirect("/f", bed.server.url("/f"));
    for spec in [
        bed.spec_of("/r").auth(Auth::bearer("hunter2")),
        bed.spec_of("/r")
            .network(netrc(&bed, "machine 127.0.0.1 login me password hunter2")),
    ] {
        bed.server.reset_log();
        other.reset_log();
        downloads(&bed, spec.max_connections(1)).await;
        assert_eq!(told(&other.requests()), [None]);
        assert_eq!(told(&bed.server.requests_for("/f")[..1]), [None]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_that_is_nearest_wins() {
    let (bed, _) = leading_away();
    let file = || netrc(&bed, "machine 127.0.0.1 login me password hunter2");
    let spec = || bed.spec().max_connections(2).network(file());
    let in_url = |spec: DownloadSpec| {
        let url = spec.url.replace("http://", "http://a:b@");
        DownloadSpec::new(url)
            .output_path(bed.target())
            .network(spec.network.clone())
    };
    let with_auth = || in_url(spec()).auth(Auth::bearer("own"));
    for (spec, expected) in [
        (spec(), OF_ME),
        (in_url(spec()), "Basic YTpi"),
        (with_auth(), "Bearer own"),
        (with_auth().header("authorization", "Own x"), "Own x"),
    ] {
        bed.server.reset_log();
        downloads(&bed, spec).await;
        assert_eq!(told(&bed.server.requests()), [Some(expected)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_login() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("f.bin"), object().whole()).expect("write");
    let nginx = Nginx::serving(dir.path()).login("me", "hunter2").start();
    let (url, downloader) = (nginx.url("/auth/f.bin"), downloader());
    let target = |n: usize| dir.path().join(n.to_string());
    let right = [
        quick(&url).auth(Auth::basic("me", "hunter2")),
        quick(&url.replace("http://", "http://me:hunter2@")),
    ];
    for (n, spec) in right.into_iter().enumerate() {
        let handle = downloader.download(spec.output_path(target(n)).max_connections(4));
        assert_eq!(ended(&handle).await.expect("let in").bytes, LEN);
    }
    let before = nginx.requests().len();
    for (n, spec) in [quick(&url), quick(&url).auth(Auth::basic("me", "wrong"))]
        .into_iter()
        .enumerate()
    {
        let handle = downloader.download(spec.output_path(target(10 + n)));
        let error = ended(&handle).await.expect_err("kept out");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, 109));
    }
    assert_eq!(nginx.requests().len() - before, 2, "asked once each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_netrc_file_that_cannot_be_used_is_found_at_the_start() {
    let bed = Bed::serving(&object());
    let missing = Network::default().netrc(Netrc::File(PathBuf::from("/nowhere/netrc")));
    let broken = netrc(&bed, "machine a password \"hunter2");
    for network in [missing, broken] {
        let spec = bed.spec().network(network.clone());
        let error = bed.fetch(spec).await.expect_err("no such file");
        assert_eq!(error.kind(), ErrorKind::Parameter, "{error:?}");
        assert!(error.to_string().starts_with("invalid netrc: /"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
        let built = bytehaul::Downloader::builder().network(network).build();
        assert_eq!(
            built.expect_err("no such file").kind(),
            ErrorKind::Parameter
        );
    }
    assert_eq!(bed.server.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_is_told_what_is_for_its_own_host_alone() {
    // So large and so slow that every source is needed.
    let large = Object::random(2, 32 * MIB);
    let slow = large
        .clone()
        .behaviour(Behaviour::new().total_rate(12 * MIB));
    let (bed, other) = leading_away();
    bed.server.serve("/f", slow.clone());
    bed.server.serve("/g", slow.clone());
    other.serve("/f", slow);
    // `n:p` in base64.
    let file = netrc(&bed, "machine localhost login n password p");
    let spec = bed
        .spec()
        .max_connections(6)
        .network(file)
        .auth(Auth::bearer("hunter2"))
        .header("Cookie", "hunter2")
        .header("X-Api-Key", "hunter2")
        .mirror(other.url_on("localhost", "/f"))
        .mirror(bed.server.url("/g"));
    let outcome = bed.fetch(spec).await.expect("complete");
    assert_eq!(outcome.bytes, large.len());
    assert_eq!(told(&bed.server.requests()), [Some("Bearer hunter2")]);
    assert!(bed.server.count("/g") > 0, "{outcome:?}");
    assert_eq!(told(&other.requests()), [Some("Basic bjpw")]);
    for request in other.requests() {
        let leaked = request
            .headers
            .iter()
            .find(|(_, value)| value.contains("hunter2"));
        assert_eq!(leaked, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_only_the_server_names_is_told_nothing() {
    let large = Object::random(2, 32 * MIB);
    let line = || Behaviour::new().total_rate(12 * MIB);
    let (bed, other) = leading_away();
    let mirror = other.url_on("localhost", "/f");
    let digest = Hasher::digest(Algorithm::Sha256, &large.whole()).base64();
    let naming = large
        .clone()
        .header("Link", format!("<{mirror}>; rel=duplicate"))
        .header("Repr-Digest", format!("sha-256=:{digest}:"));
    bed.server.serve("/f", naming.behaviour(line()));
    other.serve("/f", large.clone().behaviour(line()));
    let file = "machine localhost login me password hunter2\n\
                default login me password hunter2";
    let spec = bed.spec().max_connections(6).network(netrc(&bed, file));
    let outcome = bed.fetch(spec).await.expect("complete");
    assert_eq!(outcome.bytes, large.len());
    assert_eq!(told(&bed.server.requests()), [Some(OF_ME)]);
    assert_eq!(told(&other.requests()), [None], "{outcome:?}");
}

//! The client against a real nginx, where one is installed.

use bytehaul_testkit::nginx::Nginx;
use bytehaul_transport::headers::{AcceptRanges, ContentRange, ETag, content_disposition_filename};
use bytehaul_transport::{Framing, Request, RequestRange, Url};

use crate::server::{client, pattern, read_all};

#[tokio::test]
async fn ranges_chunks_redirects_and_statuses() {
    let dir = tempfile::tempdir().unwrap();
    let content = pattern(3 << 20);
    std::fs::write(dir.path().join("f.bin"), &content).unwrap();
    let Some(nginx) = Nginx::start(dir.path()) else {
        return;
    };
    let client = client();
    let get = async |path: &str, range| {
        let url = Url::parse(&nginx.url(path)).unwrap();
        client.send(Request::get(url).range(range)).await.unwrap()
    };

    let mut whole = get("/files/f.bin", RequestRange::Whole).await;
    assert_eq!(
        (whole.status().as_u16(), whole.body().framing()),
        (200, Framing::Length(3 << 20))
    );
    assert_eq!(AcceptRanges::of(whole.headers()), Some(AcceptRanges::Bytes));
    let tag = ETag::of(whole.headers()).unwrap();
    assert!(read_all(whole.body_mut(), 1 << 20).await.unwrap() == content);

    for (range, bytes) in [
        (RequestRange::From(3_000_000), 3_000_000..3 << 20),
        (RequestRange::Span(0..1), 0..1),
        (RequestRange::Span(70_000..2_000_001), 70_000..2_000_001),
    ] {
        let mut part = get("/files/f.bin", range).await;
        assert_eq!(part.status().as_u16(), 206);
        let told = ContentRange::of(part.headers()).unwrap().unwrap();
        let expected = bytes.start as u64..bytes.end as u64;
        assert_eq!(
            told,
            ContentRange::Satisfied {
                range: expected,
                total: Some(3 << 20)
            }
        );
        assert!(ETag::of(part.headers()).unwrap().strong_eq(&tag));
        assert!(read_all(part.body_mut(), 100_000).await.unwrap() == content[bytes]);
    }

    let mut beyond = get("/files/f.bin", RequestRange::From(3 << 20)).await;
    assert_eq!(beyond.status().as_u16(), 416);
    assert_eq!(
        ContentRange::of(beyond.headers()),
        Some(Ok(ContentRange::Unsatisfied { total: 3 << 20 }))
    );
    beyond.body_mut().text(4096).await.unwrap();

    let mut chunked = get("/chunked/f.bin", RequestRange::Whole).await;
    assert_eq!(chunked.body().framing(), Framing::Chunked);
    assert!(read_all(chunked.body_mut(), 100_000).await.unwrap() == content);

    let mut moved = get("/redir/f.bin", RequestRange::Span(5..9)).await;
    assert!(moved.redirected() && moved.url().path() == "/files/f.bin");
    assert_eq!(read_all(moved.body_mut(), 9).await.unwrap(), content[5..9]);

    let mut named = get("/named/f.bin", RequestRange::Span(0..1)).await;
    assert!(content_disposition_filename(named.headers()).is_some());
    named.body_mut().bytes(1).await.unwrap();

    assert_eq!(
        get("/e503", RequestRange::Whole).await.status().as_u16(),
        503
    );
    drop(client);
    let connections: std::collections::HashSet<String> = nginx
        .access_log()
        .iter()
        .filter_map(|line| {
            line.split_whitespace()
                .find(|word| word.starts_with("conn="))
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        connections.len(),
        1,
        "all requests went over one connection: {connections:?}"
    );
}

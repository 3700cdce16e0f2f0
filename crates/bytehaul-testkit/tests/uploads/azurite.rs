//! The Blob server takes what a SAS of the official SDK allows, through curl, and refuses the rest.

use bytehaul_testkit::uploads::{Azurite, Blocks, Fault, Sas};

use crate::{ask, content};

#[test]
fn blocks_under_a_sas() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let bytes = content(500_000);
    let url = server.sas_url("a.bin", Sas::new("cw"));
    let put =
        |url: &str, more: &str, body: &[u8]| ask("PUT", &format!("{url}&{more}"), &[], body).0;
    server.gate().set([Fault::lose_answer().at("blockid=MQ")]);
    assert_eq!(
        put(&url, "comp=block&blockid=MA%3D%3D", &bytes[..300_000]),
        201
    );
    assert_eq!(
        put(&url, "comp=block&blockid=MQ%3D%3D", &bytes[300_000..]),
        0
    );
    let ids = [("MA==".to_owned(), 300_000), ("MQ==".to_owned(), 200_000)];
    let blocks = Blocks {
        committed: Vec::new(),
        uncommitted: ids.to_vec(),
    };
    assert_eq!(server.blocks("a.bin"), blocks);
    assert_eq!(server.blob("a.bin"), None);
    let xml = "<BlockList><Latest>MA==</Latest><Latest>MQ==</Latest></BlockList>";
    let check = |sas: Sas<'_>, expected| {
        let url = server.sas_url("a.bin", sas);
        assert_eq!(
            put(&url, "comp=blocklist", xml.as_bytes()),
            expected,
            "{sas:?}"
        );
    };
    check(Sas::new("r"), 403);
    check(Sas::new("cw").expired(), 403);
    assert_eq!(
        put(&url.replace("sig=", "sig=A"), "comp=blocklist", b"x"),
        403
    );
    check(Sas::new("w"), 201);
    assert_eq!(server.blob("a.bin").unwrap(), bytes);
    let blocks = Blocks {
        committed: ids.to_vec(),
        uncommitted: Vec::new(),
    };
    assert_eq!(server.blocks("a.bin"), blocks);
    assert_eq!(server.properties("a.bin").unwrap()["size"], 500_000);
    assert_eq!(server.properties("b"), None);
    server.put("c", b"content");
    assert_eq!(server.blob("c").unwrap(), b"content");
    assert_eq!(server.blobs(), ["a.bin", "c"]);
    assert_eq!(ask("GET", &server.url("c"), &[], b"").0, 403);
    assert_eq!(
        ask("GET", &server.sas_url("c", Sas::new("r")), &[], b"").0,
        200
    );
}

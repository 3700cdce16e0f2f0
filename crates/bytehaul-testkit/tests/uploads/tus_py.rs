//! The second tus server joins what the reference client sends in parallel.

use bytehaul_testkit::uploads::{Fault, TusPy};

use crate::{content, tus::tus_js};

#[test]
fn parallel_parts() {
    let Some(server) = TusPy::start() else {
        return;
    };
    let bytes = content(900_000);
    server
        .gate()
        .set([Fault::lose_answer().on("PATCH").after(1)]);
    let metadata = r#""metadata": {"filename": "f", "filetype": "x/y"}"#;
    let options = format!(
        r#"{{"parallelUploads": 3, {metadata}, "metadataForPartialUploads": {{"filename": "p", "filetype": "x/y"}}}}"#
    );
    let done = tus_js(&bytes, &server.url(), &options);
    let lines = server.gate().lines();
    assert!(done.success(), "{} {lines:?}", done.err());
    assert_eq!(server.stored(done.out().trim()), Some(bytes), "{lines:?}");
    assert_eq!(server.stored("none"), None);
}

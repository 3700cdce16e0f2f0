//! Further sources: mirrors that are typed, and files that a Metalink lists.

use sha2::{Digest, Sha256};

use super::{LEN, Site};

#[test]
fn a_metalink_file() {
    let site = Site::new(|setup| setup);
    let hash: String = Sha256::digest(site.object.whole())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let list = |name: &str, hash: &str| {
        let url = site.url();
        site.file(
            name,
            &format!(
                r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f.bin"><size>{LEN}</size>
                <hash type="sha-256">{hash}</hash><url priority="2">http://127.0.0.1:1/gone</url>
                <url priority="1">{url}</url></file></metalink>"#
            ),
        )
    };
    site.works(&["--metalink", &list("good.meta4", &hash)]);
    let wrong = list("wrong.meta4", &"0".repeat(64));
    site.fails(&["--metalink", &wrong], 5, &["sha-256"]);
    let broken = site.file("broken.meta4", "<metalink");
    site.fails(&["--metalink", &broken], 2, &["broken.meta4", "line 1"]);
}

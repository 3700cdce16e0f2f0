//! Documents as they are published, and documents that nobody should publish.

use bytehaul_integrity::headers::{Response, representation_digests};
use http::{HeaderMap, HeaderName};
use proptest::prelude::*;

use super::*;

/// RFC 5854, section 1.1, with the values that its example leaves out.
const V4: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE metalink [<!ENTITY lol "lol">]>
<metalink xmlns="urn:ietf:params:xml:ns:metalink" xmlns:x="urn:other">
  <published>2009-05-15T12:23:23Z</published>
  <x:file name="not/a/file">&lol;</x:file>
  <file name="dir/example.ext">
    <size>20</size>
    <identity>Example</identity>
    <version>1.0</version>
    <language>en</language>
    <description>A description of &lt;the&gt; example file.</description>
    <hash type="md5">900150983cd24fb0d6963f7d28e17f72</hash>
    <hash type="whirlpool">00</hash>
    <hash type="sha-256">BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD</hash>
    <pieces length="8" type="md5">
      <hash>00000000000000000000000000000000</hash><hash>00000000000000000000000000000001</hash>
      <hash>00000000000000000000000000000002</hash>
    </pieces>
    <pieces length="10" type="sha-1">
      <hash>0000000000000000000000000000000000000000</hash>
      <hash> 0000000000000000000000000000000000000001 </hash>
    </pieces>
    <url location="de">ftp://ftp.example.com/example.ext</url>
    <url location="FR" priority="1">http://example.com/example.ext?a=1&amp;b=2</url>
    <url priority="7"><![CDATA[https://example.org/example.ext?a=1&b=2]]></url>
    <url priority="3">relative/example.ext</url>
    <metaurl mediatype="Torrent" priority="2">http://example.com/example.ext.torrent</metaurl>
  </file>
  <file name="no-source"/>
</metalink>
"#;

const V3: &str = r#"<metalink version="3.0" xmlns="http://www.metalinker.org/" type="static">
  <files>
    <file name="example.ext">
      <size>20</size>
      <verification>
        <hash type="sha1">a9993e364706816aba3e25717850c26c9cd0d89d</hash>
        <signature type="pgp">-----BEGIN-----</signature>
        <pieces length="10" type="md5">
          <hash piece="0">00000000000000000000000000000000</hash>
          <hash piece="1">00000000000000000000000000000001</hash>
        </pieces>
      </verification>
      <resources maxconnections="2">
        <url type="http" location="uk" preference="10">http://b.example/example.ext</url>
        <url type="ftp" preference="100">ftp://c.example/example.ext</url>
        <url type="http" preference="90">http://a.example/example.ext</url>
        <url type="http">http://d.example/example.ext</url>
      </resources>
    </file>
  </files>
</metalink>"#;

fn shown(spec: &DownloadSpec) -> String {
    let mirrors = spec.mirrors.iter().map(|mirror| {
        let location = mirror.location.as_deref().unwrap_or("?");
        format!(" + {} {} {location}", mirror.url, mirror.priority)
    });
    let mirrors: String = mirrors.collect();
    let path = spec.output_path.as_deref().expect("a path").display();
    let checksum = spec
        .checksum
        .as_ref()
        .map(|sum| sum.to_string()[..7].to_owned());
    format!(
        "{} -> {path} {:?} {checksum:?}{mirrors}",
        spec.url, spec.expected_size
    )
}

#[test]
fn a_document_becomes_downloads() {
    let metalink = Metalink::parse(V4.as_bytes()).expect("RFC 5854");
    assert_eq!(metalink.files().len(), 2);
    let specs = metalink.specs("base");
    let [spec] = &specs[..] else {
        panic!("{specs:?}")
    };
    assert_eq!(
        shown(spec),
        "http://example.com/example.ext?a=1&b=2 -> base/dir/example.ext Some(20) Some(\"sha-256\") \
         + https://example.org/example.ext?a=1&b=2 7 ?"
    );
    let pieces = spec.piece_hashes.as_ref().expect("pieces");
    assert_eq!(
        (pieces.algorithm(), pieces.piece_length(), pieces.count()),
        (Algorithm::Sha1, 10, 2)
    );
    assert_eq!(pieces.hash(1).expect("two").as_bytes()[19], 1);
    let file = &metalink.files()[0];
    assert_eq!(file.urls[0].location.as_deref(), Some("fr"));
    assert_eq!(
        (
            file.metaurls[0].media_type.as_str(),
            file.metaurls[0].priority
        ),
        ("torrent", 2)
    );
}

#[test]
fn version_3_is_read_too() {
    let metalink = Metalink::parse(V3.as_bytes()).expect("version 3");
    let specs = metalink.specs("");
    assert_eq!(
        shown(&specs[0]),
        "http://a.example/example.ext -> example.ext Some(20) Some(\"sha-1=a\") \
         + http://b.example/example.ext 91 uk + http://d.example/example.ext 999999 ?"
    );
    assert_eq!(specs[0].piece_hashes.as_ref().expect("pieces").count(), 2);
}

/// A document of version 4 around what is in its file, in which `|` is a new line.
fn document(inside: &str) -> String {
    let inside = inside.replace('|', "\n");
    format!(
        "<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file name='f'>{inside}</file></metalink>"
    )
}

fn check(document: &str, expected: &str) {
    let error = Metalink::parse(document.as_bytes()).expect_err(expected);
    assert!(
        error.to_string().contains(expected),
        "{error} | {expected} | {document}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    check(
        &document("||   <size>many</size>"),
        "line 3, column 14: a size that is no number of bytes",
    );
    check(&document("<size>9223372036854775808</size>"), "a size that");
    check(&document("<size>1</size><size>2</size>"), "two sizes");
    check(
        &document("<hash type='md5'>12</hash>"),
        "md5 needs 32 hex digits",
    );
    check(
        &document(
            "<hash type='md5'>00000000000000000000000000000000</hash><hash type='md5'>10000000000000000000000000000000</hash>",
        ),
        "two hashes",
    );
    check(&document("<pieces type='md5'/>"), "pieces without a length");
    check(
        &document("<pieces type='md5' length='0'/>"),
        "pieces without a length",
    );
    check(
        &document("<pieces type='md5' length='8'/>"),
        "pieces without hashes",
    );
    check(
        &document(
            "<size>9</size><pieces type='md5' length='8'><hash>00000000000000000000000000000000</hash></pieces>",
        ),
        "not those of a file of this size",
    );
    check(
        &document("<url>http://secret@h/&lol;</url>"),
        "an entity that is not expanded",
    );
    check(&document("<url>&#0;</url>"), "a reference to no character");
    check(&document("<url></size>"), "not well-formed XML");
    check(&document("<url"), "");
    check(&document(&"<x>".repeat(100)), "too deep");
    check(
        &document(&format!("<url>{}</url>", "x".repeat(70_000))),
        "more than 64 KiB",
    );
    check("", "ends too early");
    check(
        "<metalink xmlns='urn:ietf:params:xml:ns:metalink'>",
        "ends too early",
    );
    check("<html/>", "no Metalink");
    check("<metalink/>", "no Metalink");
    check(
        "text<metalink xmlns='urn:ietf:params:xml:ns:metalink'/>",
        "text outside",
    );
    check(
        "<metalink xmlns='urn:ietf:params:xml:ns:metalink'/><x/>",
        "a second root",
    );
    check(
        "<?xml version='1.0' encoding='utf-16'?><metalink/>",
        "another encoding",
    );
    check(
        &V3.replace("piece=\"1\"", "piece=\"2\""),
        "pieces out of their order",
    );
    let one = "<file name='a'/>";
    check(
        &format!("<metalink xmlns='urn:ietf:params:xml:ns:metalink'>{one}{one}</metalink>"),
        "two files of one name",
    );
    for name in ["", "../f", "/f", "a\\b", "&#47;f", "a/&#46;./b"] {
        check(&document("").replace("'f'", &format!("'{name}'")), "name");
    }
    assert_eq!(
        Metalink::parse(b"<\xff>").expect_err("bytes").to_string(),
        "line 1, column 2: not UTF-8"
    );
    assert!(Metalink::parse(&vec![b' '; 17 << 20]).is_err());
}

#[test]
fn entities_are_not_expanded_and_do_no_harm_elsewhere() {
    let bomb = format!(
        "<!DOCTYPE m [<!ENTITY a 'xxxxxxxxxx'><!ENTITY b '&a;&a;&a;'>]>{}",
        document("<description>&b;</description><url>http://h/f</url>")
    );
    let metalink = Metalink::parse(bomb.as_bytes()).expect("unused text");
    assert_eq!(metalink.specs("")[0].url, "http://h/f");
    check(
        &bomb.replace("http://h/f", "http://h/&b;"),
        "an entity that is not expanded",
    );
}

#[test]
fn a_plain_source_needs_a_hash_beside_a_secure_one() {
    let urls = "<url>http://a/f</url><url>https://b/f</url>";
    let hash = "<hash type='sha-256'>ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad</hash>";
    let sources = |inside: &str| {
        let metalink = Metalink::parse(document(inside).as_bytes()).expect("a document");
        metalink.files()[0]
            .sources()
            .map(|url| url.url.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(sources(urls), "https://b/f");
    assert_eq!(sources(&format!("{hash}{urls}")), "http://a/f https://b/f");
    assert_eq!(sources("<url>http://a/f</url>"), "http://a/f");
}

#[test]
fn debug_shows_no_signature() {
    let inside = "<url>https://u:hunter2@h/f?X-Amz-Signature=hunter2</url><metaurl mediatype='torrent'>https://h/f?token=hunter2</metaurl>";
    let metalink = Metalink::parse(document(inside).as_bytes()).expect("a document");
    let shown = format!("{metalink:?} {:?}", metalink.specs(""));
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn from_headers(asked: &str, answered: &str, fields: &str) -> String {
    let mut headers = HeaderMap::new();
    for field in fields.split('|') {
        let (name, value) = field.split_once(':').expect("name: value");
        let name: HeaderName = name.trim().parse().expect("a name");
        headers.append(name, value.trim().parse().expect("a value"));
    }
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let digests = representation_digests(pairs, Response::Partial);
    let url = |text: &str| Url::parse(text).expect("a URL");
    let named = named(&url(asked), &url(answered), &headers, &digests);
    let mirrors: Vec<_> = named
        .mirrors
        .iter()
        .map(|mirror| {
            format!(
                "{} {}{}",
                mirror.url,
                mirror.priority,
                mirror.location.as_deref().unwrap_or_default()
            )
        })
        .collect();
    let description = named
        .description
        .map(|description| String::from(description.url))
        .unwrap_or_default();
    format!(
        "{}{}{description}",
        mirrors.join(", "),
        if named.digest.is_some() { " # " } else { " - " }
    )
}

const DIGEST: &str = "digest: SHA-256=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

#[test]
fn header_fields_name_mirrors() {
    let http = |fields: &str| from_headers("http://h/d/f", "http://h/d/f", fields);
    assert_eq!(
        http(&format!(
            "{DIGEST} | link: <http://b/f>; rel=duplicate; pri=2; geo=GB, <http://a/f>; rel=duplicate; pri=1; depth=3 \
             | link: </e/f>; rel=duplicate; pref | link: <f.meta4>; rel=describedby; type=\"application/metalink4+xml\" \
             | link: <http://b/f#x>; rel=\"duplicate\", <http://h/d/f>; rel=duplicate, <ftp://c/f>; rel=duplicate \
             | link: <http://u:p@x/f>; rel=duplicate, <http://y/f>; rel=duplicate; anchor=\"/other\", <f.asc>; rel=describedby; type=\"application/pgp-signature\""
        )),
        "http://h/e/f 999999, http://a/f 1, http://b/f 2gb # http://h/d/f.meta4"
    );
    // Without a digest, or with a weak one, nothing binds a mirror to this file.
    let mirror = "link: <http://b/f>; rel=duplicate";
    assert_eq!(http(mirror), " - ");
    assert_eq!(
        http(&format!("{mirror} | digest: MD5=kAFQmDzST7DWlj99KOF/cg==")),
        " - "
    );
    assert_eq!(
        http(&format!(
            "{mirror} | repr-digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
        )),
        "http://b/f 999999 # "
    );
    assert_eq!(
        http(&format!(
            "{DIGEST} | link: <http://b/f>; rel=duplicate; pri=0; geo=xyz"
        )),
        "http://b/f 999999 # "
    );
}

#[test]
fn a_secure_file_has_no_plain_mirrors() {
    let fields = format!(
        "{DIGEST} | link: <http://b/f>; rel=duplicate, <https://c/f>; rel=duplicate, <http://h/m>; rel=describedby; type=\"application/metalink4+xml\""
    );
    for (asked, answered) in [
        ("https://h/f", "https://h/f"),
        ("http://h/f", "https://h/f"),
        ("https://h/f", "http://h/f"),
    ] {
        assert_eq!(
            from_headers(asked, answered, &fields),
            "https://c/f 999999 # "
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(at in 0..V4.len(), cut in 0usize..40, insert in "[<>&'\"/a-z=;! -]{0,8}") {
        let mut text = V4.as_bytes().to_vec();
        let end = (at + cut).min(text.len());
        text.splice(at..end, insert.bytes());
        if let Ok(metalink) = Metalink::parse(&text) {
            for file in metalink.files() {
                prop_assert!(!file.name.split('/').any(|segment| segment == ".." || segment.is_empty()));
            }
        }
    }
}

//! The server of the form protocol takes what curl makes of a form, and says what is wrong with anything else.

use std::fs;
use std::path::Path;

use bytehaul_testkit::uploads::{Fault, FormServer, FormSetup};

use crate::curl;

const CONTENT: &str = "hello world, hello form";
const MD5: &str = "6f04a1d9bf5431364506d89088b06c31";

/// Sends a form of `name=value` parts and returns the status and the body of the answer.
fn form(dir: &Path, url: &str, parts: &[&str]) -> String {
    let file = dir.join("body");
    let mut arguments = vec!["-w", " %{http_code}", "-H", "Expect:", "-H", "X-Task: 7"];
    let mut written = Vec::new();
    for part in parts {
        match part.strip_prefix("file=") {
            Some(content) => {
                fs::write(&file, content).unwrap();
                written.push(format!(
                    "file=@{};filename=upload_chunk_data;type=application/octet-stream",
                    file.display()
                ));
            }
            None => written.push((*part).to_owned()),
        }
    }
    for part in &written {
        arguments.extend([
            if part.starts_with("file=@") {
                "-F"
            } else {
                "--form-string"
            },
            part,
        ]);
    }
    arguments.push(url);
    curl(&arguments, b"").out().trim().to_owned()
}

struct Client<'a> {
    server: &'a FormServer,
    dir: tempfile::TempDir,
    md5: String,
}

impl<'a> Client<'a> {
    fn new(server: &'a FormServer) -> Self {
        Self {
            server,
            dir: tempfile::tempdir().unwrap(),
            md5: format!("fileMd5={MD5}"),
        }
    }

    fn send(&self, parts: &[&str]) -> String {
        form(self.dir.path(), &self.server.url(), parts)
    }

    fn prepare(&self) -> String {
        let total = format!("totalSize={}", CONTENT.len());
        self.send(&[&self.md5, "fileName=a.txt", "category=", &total])
    }

    fn chunk(&self, offset: usize, text: &str) -> String {
        let file = format!("file={text}");
        let (offset, size) = (
            format!("offset={offset}"),
            format!("partSize={}", text.len()),
        );
        let total = format!("totalSize={}", CONTENT.len());
        self.send(&[
            &file,
            &self.md5,
            "fileName=a.txt",
            "category=",
            &offset,
            &size,
            &total,
        ])
    }
}

fn done(suffix: &str) -> String {
    format!(r#"{{"fileId": "{suffix}", "unknown": [1]}} 200"#)
}

#[test]
fn chunks_one_after_the_other() {
    let Some(server) = FormServer::start_with(&FormSetup::new().header("X-Task", "7")) else {
        return;
    };
    let client = Client::new(&server);
    assert_eq!(client.prepare(), r#"{"nextByte": 0} 200"#);
    assert_eq!(client.chunk(0, &CONTENT[..10]), r#"{"nextByte": 10} 200"#);
    // The answer was lost: the same comes again, then more than that.
    assert_eq!(client.chunk(0, &CONTENT[..10]), r#"{"nextByte": 10} 200"#);
    assert_eq!(client.chunk(5, &CONTENT[5..12]), r#"{"nextByte": 12} 200"#);
    server.truncate(MD5, 4);
    assert_eq!(client.prepare(), r#"{"nextByte": 4} 200"#);
    server.set(&FormSetup::new().keep(3));
    assert_eq!(client.chunk(4, &CONTENT[4..12]), r#"{"nextByte": 7} 200"#);
    server.set(&FormSetup::new().blank());
    assert_eq!(client.chunk(7, &CONTENT[7..20]), "200");
    assert_eq!(server.partial(MD5).unwrap(), &CONTENT.as_bytes()[..20]);
    server.set(&FormSetup::new());
    let id = done(&format!("id-{MD5}"));
    assert_eq!(client.chunk(20, &CONTENT[20..]), id);
    assert_eq!(client.chunk(20, &CONTENT[20..]), id);
    assert_eq!(client.prepare(), id);
    server.set(&FormSetup::new().file_id(""));
    assert_eq!(client.prepare(), done(""));
    server.set(&FormSetup::new().no_file_id().status(201));
    assert_eq!(client.prepare(), "201");
    assert_eq!(server.complete(MD5).unwrap(), CONTENT.as_bytes());
    assert_eq!(server.violations(), [""; 0]);
    server
        .gate()
        .set([Fault::replace(200, r#"{"nextByte": 99}"#)]);
    assert_eq!(client.prepare(), r#"{"nextByte": 99} 200"#);
}

#[test]
fn what_the_contract_does_not_allow() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let client = Client::new(&server);
    let check = |said: String, reason: &str| {
        let last = server.violations().pop().unwrap_or_default();
        assert!(
            last.contains(reason) && said.ends_with(" 400"),
            "{reason}: {last} {said}"
        );
    };
    check(client.chunk(0, "hello"), "not prepared");
    client.prepare();
    check(client.chunk(3, "lo"), "a gap");
    client.chunk(0, "hello");
    check(client.chunk(0, "hellO"), "differs");
    check(client.chunk(0, "hell"), "though 5 bytes");
    check(client.chunk(20, "form!"), "beyond the end");
    check(client.chunk(5, ""), "an empty chunk");
    check(
        client.chunk(5, &"x".repeat(CONTENT.len() - 5)),
        "has the MD5",
    );
    let md5 = client.md5.as_str();
    let total = "totalSize=23";
    check(
        client.send(&["fileName=a", md5, "category=", total]),
        "fields [",
    );
    check(
        client.send(&[md5, "fileName=a", "category=", "totalSize=023"]),
        "totalSize is '023'",
    );
    check(
        client.send(&[md5, "fileName=a", "category=", "totalSize=-1"]),
        "totalSize is '-1'",
    );
    let upper = md5.to_uppercase().replace("FILEMD5", "fileMd5");
    check(
        client.send(&[&upper, "fileName=a", "category=", total]),
        "fileMd5 is",
    );
    let rest = [
        md5,
        "fileName=a.txt",
        "category=",
        "offset=0",
        "partSize=4",
        total,
    ];
    client.prepare();
    check(
        client.send(&[&["file=hello"], &rest[..]].concat()),
        "partSize is 4",
    );
    check(
        client.send(&[&rest[..], &["file=hello"]].concat()),
        "fields [",
    );
    server.set(&FormSetup::new().method("PUT"));
    check(client.prepare(), "method POST");
}

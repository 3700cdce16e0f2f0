//! Each example is run once, as its first lines say, against servers of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytehaul::protocol::UploadPlan;
use bytehaul_integrity::{Algorithm, Hasher};
use bytehaul_testkit::uploads::{Azurite, FormServer, OssServer, S3Server, Sas, TusServer};
use bytehaul_testkit::{Object, Server};
use serde_json::json;

/// A directory with a file to be uploaded, in which examples run.
struct Room {
    directory: tempfile::TempDir,
    content: Vec<u8>,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let content = Object::random(1, 300_000).whole();
        std::fs::write(directory.path().join("f"), &content).unwrap();
        Self { directory, content }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs an example to its good end, and gives what it has written.
    #[track_caller]
    fn run(&self, name: &str, arguments: &[&str]) -> Vec<u8> {
        self.run_with(name, arguments, "")
    }

    #[track_caller]
    fn run_with(&self, name: &str, arguments: &[&str], input: &str) -> Vec<u8> {
        use std::io::Write as _;
        let mut child = Command::new(example(name))
            .args(arguments)
            .current_dir(self.directory.path())
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Most of them read nothing, and may be gone.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{name} {arguments:?}: {err}");
        ended.stdout
    }

    #[track_caller]
    fn says(&self, name: &str, arguments: &[&str], expected: &str) {
        let out = self.run(name, arguments);
        let out = String::from_utf8_lossy(&out);
        assert!(out.contains(expected), "{name}: {out}");
    }

    #[track_caller]
    fn holds(&self, name: &str) {
        let found =
            std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(found == self.content, "{name} has {} bytes", found.len());
        std::fs::remove_file(self.path(name)).unwrap();
    }
}

/// The program of an example, which is built where that was not done along with this test.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    if !path.exists() {
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "bytehaul",
                "--example",
                name,
            ])
            .status();
        assert!(built.unwrap().success(), "{name} cannot be built");
    }
    path
}

#[test]
fn downloads() {
    let room = Room::new();
    let server = Server::spawn_thread();
    server.serve("/o", Object::bytes(room.content.clone()));
    let url = server.url("/o");
    room.says("download", &[&url, "d", "2"], "d: 300000 bytes");
    room.holds("d");
    room.says("resume_after_restart", &["get", &url, "r"], "300000 bytes");
    room.holds("r");
    assert!(room.run("stream", &[&url]) == room.content);
    room.says(
        "transfer_manager",
        &[".", &url, &url],
        "row 0: 300000 bytes",
    );
    room.holds("o");
    let out = room.run_with("restore_paused", &[".", &url], "1\n");
    assert!(String::from_utf8_lossy(&out).contains("Completion"));
    room.holds("o");

    let hash = Hasher::digest(Algorithm::Sha256, &room.content).hex();
    let document = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"m/o\">\
         <hash type=\"sha-256\">{hash}</hash><url>{url}</url></file></metalink>"
    );
    std::fs::write(room.path("list.meta4"), document).unwrap();
    room.run("metalink", &["list.meta4", "."]);
    room.holds("m/o");
}

#[test]
fn uploads() {
    let room = Room::new();
    std::fs::create_dir(room.path("store")).unwrap();
    room.says("custom_protocol", &["f", "store"], "store/f");
    room.holds("store/f");
    if let Some(server) = FormServer::start() {
        room.says("upload_form", &["f", &server.url()], "file id ");
        let md5 = Hasher::digest(Algorithm::Md5, &room.content).hex();
        assert!(
            server
                .complete(&md5)
                .is_some_and(|found| found == room.content)
        );
    }
    if let Some(server) = TusServer::start() {
        let out = room.run("upload_tus", &["f", &server.url()]);
        let out = String::from_utf8(out).unwrap();
        assert!(
            server
                .stored(out.trim())
                .is_some_and(|found| found == room.content)
        );
        let put = ["put", "f", &server.url()];
        room.says("resume_after_restart", &put, "300000 bytes, 0 of them");
        assert_eq!(server.uploads().len(), 2);
    }
}

#[test]
fn uploads_by_what_others_have_signed() {
    let room = Room::new();
    if let Some(server) = Azurite::start() {
        let url = server.sas_url("b", Sas::new("rcw"));
        room.says("azure_sas", &["put", "f", &url], "300000 bytes");
        assert!(server.blob("b").is_some_and(|found| found == room.content));
        room.says("azure_sas", &["get", &url, "a"], "(300000 bytes)");
        room.holds("a");
    }
    if let Some(server) = OssServer::start() {
        let upload = server.create("k");
        let part = |number| json!({"key": "k", "upload_id": upload, "part_number": number});
        let parts = server.presign_each("UploadPart", (1..=3).map(part), HOUR);
        let of = json!({"key": "k", "upload_id": upload});
        let complete = server.presign("CompleteMultipartUpload", of, HOUR);
        let put = ["put", "f", "102400", &complete];
        let put = put.into_iter().chain(parts.iter().map(String::as_str));
        let put: Vec<_> = put.collect();
        room.says("oss_presigned", &put, "300000 bytes");
        assert!(
            server
                .object("k")
                .is_some_and(|found| found == room.content)
        );
        let url = server.presign("GetObject", json!({"key": "k"}), HOUR);
        room.says("oss_presigned", &["get", &url, "o"], "(300000 bytes)");
        room.holds("o");
    }
    if let Some(server) = S3Server::start() {
        let upload = server.create("k");
        let of = json!({"Key": "k", "UploadId": upload});
        let complete = server.presign("complete_multipart_upload", of, HOUR);
        let parts = server.presign_parts("k", &upload, 1, HOUR);
        let plan = UploadPlan::s3(&*upload, 300_000, 5 << 20, parts, complete, None);
        let plan = serde_json::to_vec(&plan).unwrap();
        std::fs::write(room.path("plan.json"), plan).unwrap();
        room.says("presigned_plan", &["f", "plan.json"], "300000 bytes");
        assert!(
            server
                .object("k")
                .is_some_and(|found| found == room.content)
        );
    }
}

const HOUR: Duration = Duration::from_secs(3600);

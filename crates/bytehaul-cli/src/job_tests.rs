//! What each argument becomes, and which arguments are refused before anything is tried.

use clap::Parser;

use super::*;
use crate::args::{Cli, Command};

fn plan_with(words: &[&str], environment: &[(&str, &str)]) -> Result<Plan, String> {
    let words = ["bytehaul", "get"].iter().chain(words);
    let Command::Get(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("get was asked for")
    };
    let variable = |name: &str| {
        environment
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| (*v).to_owned())
    };
    resolve(*args, variable).map_err(|error| error.to_string())
}

fn plan(words: &[&str]) -> Result<Plan, String> {
    plan_with(words, &[])
}

fn spec(words: &[&str]) -> DownloadSpec {
    plan(words).unwrap().jobs.remove(0).spec
}

#[test]
fn defaults_are_the_librarys() {
    let ours = spec(&["http://h/f"]);
    assert_eq!(
        format!("{ours:?}"),
        format!("{:?}", DownloadSpec::new("http://h/f"))
    );
    let plan = plan(&["http://h/f"]).unwrap();
    assert_eq!((plan.at_once, plan.destination), (4, Destination::Files));
}

#[test]
fn each_option_reaches_its_field() {
    let spec = spec(&[
        "-x",
        "8",
        "--piece-size",
        "2M",
        "--min-split-size",
        "1K",
        "--file-allocation",
        "none",
        "--no-resume",
        "--overwrite",
        "--retries",
        "9",
        "--retry-delay",
        "250ms",
        "-H",
        "A: b ",
        "-H",
        "C:",
        "--checksum",
        "md5=d41d8cd98f00b204e9800998ecf8427e",
        "-o",
        "out",
        "http://h/f",
    ]);
    assert_eq!(spec.max_connections, 8);
    assert_eq!(spec.piece_size, 2 << 20);
    assert_eq!(spec.min_split_size, 1 << 10);
    assert_eq!(spec.file_allocation, FileAllocation::None);
    assert!(!spec.resume);
    assert_eq!(spec.overwrite, Overwrite::Replace);
    assert_eq!(spec.max_retries, 9);
    assert_eq!(spec.retry_base_delay.as_millis(), 250);
    assert_eq!(
        spec.headers,
        [
            ("A".to_owned(), "b".to_owned()),
            ("C".to_owned(), String::new())
        ]
    );
    assert!(matches!(spec.checksum, Some(Checksum::Md5(_))));
    assert_eq!(spec.output_path, Some("out".into()));
    assert_eq!(spec.url, "http://h/f");
}

#[test]
fn the_target_lies_in_the_directory() {
    let check =
        |words: &[&str], expected: &str| assert_eq!(spec(words).output_path, Some(expected.into()));
    check(&["-o", "a", "http://h/"], "a");
    check(&["-o", "a", "-d", "/d", "http://h/"], "/d/a");
    check(&["-o", "/x/a", "-d", "/d", "http://h/"], "/x/a");
    assert_eq!(
        spec(&["-d", "/d", "http://h/"]).output_dir,
        PathBuf::from("/d")
    );
    assert_eq!(
        plan(&["-o", "-", "-d", "/d", "http://h/"])
            .unwrap()
            .destination,
        Destination::Stdout
    );
}

#[test]
fn wrong_arguments_are_named() {
    let check = |words: &[&str], expected: &str| {
        let error = plan(words).unwrap_err();
        assert!(
            error.contains(expected) && error.starts_with("bytehaul: "),
            "{words:?}: {error}"
        );
    };
    check(&[], "there is no URL");
    check(&["h/f"], "the scheme is missing");
    check(&["h/f"], "hint: did you mean https://h/f");
    check(&["localhost:80/f"], "has the scheme 'localhost'");
    check(&["ftp://h/f"], "has the scheme 'ftp'");
    check(&["http://"], "is not a URL");
    check(&["http://h:99999/"], "is not a URL");
    check(&["s3://b/k"], "AWS_ACCESS_KEY_ID");
    check(&["s3://b/"], "names no object");
    check(&["az://c/b"], "AZURE_STORAGE_ACCOUNT");
    check(&["oss://b/k"], "OSS_ACCESS_KEY_ID");
    check(&["tus+http://h/"], "bytehaul put");
    check(
        &["-o", "a", "http://h/1", "http://h/2"],
        "--output names one target, and there are 2 URLs",
    );
    check(&["-o", "-", "--json", "http://h/1"], "both write to stdout");
    check(&["--checksum", "md5=00", "http://h/"], "md5");
    check(&["--checksum", "sha-256", "http://h/"], "checksum");
    check(&["--checksum", "nonsense=00", "http://h/"], "checksum");
    check(&["-H", "no colon", "http://h/"], "no colon");
    check(&["-H", "a b: c", "http://h/"], "is not a header name");
    check(&["-H", ": c", "http://h/"], "is not a header name");
    check(&["-H", "a: c\r\nd: e", "http://h/"], "control character");
    check(&["--resolve", "h", "http://h/"], "its addresses");
    check(&["--cert", "/no/such/file", "http://h/"], "/no/such/file");
    check(
        &["--mirror", "ftp://m/", "http://h/"],
        "has the scheme 'ftp'",
    );
    check(
        &["--mirror", "http://m/", "http://h/1", "http://h/2"],
        "--mirror is a source of one file, and there are 2 URLs",
    );
    check(&["--cacert", "/no/such/file", "http://h/"], "/no/such/file");
    check(&["-i", "/no/such/file"], "/no/such/file");
}

#[test]
fn a_checksum_is_that_of_one_file() {
    let md5 = "md5=d41d8cd98f00b204e9800998ecf8427e";
    assert!(plan(&["--checksum", md5, "http://h/1"]).is_ok());
    assert!(
        plan(&["--checksum", md5, "http://h/1", "http://h/2"])
            .unwrap_err()
            .contains("2 URLs")
    );
}

#[test]
fn no_secret_is_repeated() {
    for words in [
        &["http://u:topsecret@h:99999/"][..],
        &["ftp://u:topsecret@h/f?sig=topsecret"],
        &["u:topsecret@h/f?token=topsecret"],
        &["http://u:topsecret#1@h/f"],
        &["http://u:topsecret?1@h/f"],
        &["h/f?token=topsecret&to=http://h/"],
        &["-H", "Authorization Bearer topsecret", "http://h/"],
        &["-H", "Authorization: topsecret\nx", "http://h/"],
        &["http://u:topsecret@h/1", "-o", "-", "--json"],
    ] {
        let error = plan(words).unwrap_err();
        assert!(!error.contains("topsecret"), "{error}");
    }
    let plan = plan(&["http://u:topsecret@h/f", "-H", "Authorization: topsecret"]).unwrap();
    assert!(!format!("{plan:?}").contains("topsecret"), "{plan:?}");
}

#[test]
fn a_token_of_the_environment_is_taken() {
    let auth = |token: &str| {
        let plan = plan_with(&["http://h/"], &[("BYTEHAUL_BEARER", token)]);
        plan.map(|mut plan| plan.jobs.remove(0).spec.auth)
    };
    assert!(auth("topsecret\n") == Ok(Some(Auth::bearer("topsecret"))));
    for wrong in ["", "top\nsecret"] {
        let error = auth(wrong).unwrap_err();
        assert!(
            error.contains("BYTEHAUL_BEARER") && !error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn lists_of_urls_follow_the_typed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    std::fs::write(&list, "# two\nhttp://h/2\n\nhttp://h/3\n").unwrap();
    let plan = plan(&["http://h/1", "-i", list.to_str().unwrap()]).unwrap();
    let urls: Vec<_> = plan.jobs.iter().map(|job| job.url.as_str()).collect();
    assert_eq!(urls, ["http://h/1", "http://h/2", "http://h/3"]);
}

#[test]
fn a_metalink_lists_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("list.meta4");
    std::fs::write(
        &file,
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="sub/a.bin"><size>5</size>
        <url priority="2">http://b/a</url><url priority="1">http://a/a</url></file></metalink>"#,
    )
    .unwrap();
    let (file, target) = (file.to_str().unwrap(), dir.path().to_str().unwrap());
    let words = ["-d", target, "--metalink", file, "-H", "A: b", "http://h/1"];
    let mut plan = plan(&words).unwrap();
    let listed = plan.jobs.remove(1).spec;
    assert_eq!(
        (listed.url.as_str(), listed.mirrors.len()),
        ("http://a/a", 1)
    );
    assert_eq!(listed.expected_size, Some(5));
    assert_eq!(listed.output_path, Some(dir.path().join("sub/a.bin")));
    assert!(listed.headers.is_empty(), "they are for the typed URLs");
    assert!(dir.path().join("sub").is_dir());
    assert_eq!(plan.jobs.remove(0).spec.headers.len(), 1);
    assert!(
        self::plan(&["--metalink", "/no/such/file"])
            .unwrap_err()
            .contains("/no/such/file")
    );
    std::fs::write(file, "<metalink").unwrap();
    assert!(
        self::plan(&["--metalink", file])
            .unwrap_err()
            .contains("line 1")
    );
}

#[test]
fn short_names() {
    let check = |path: Option<&str>, url: &str, expected: &str| {
        assert_eq!(short_name(path.map(Path::new), url), expected);
    };
    check(Some("/a/b.iso"), "http://h/x", "b.iso");
    check(None, "http://h/a/x.iso?sig=…", "x.iso");
    check(None, "http://h/a/", "a");
    check(None, "http://h/", "h");
}

//! Sources of uploads: what is read of them, and which changes are noticed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytehaul_storage::{Error, FileSource, Fingerprint};
use proptest::prelude::*;

use crate::common::object;

const LEN: u64 = 10_000;

/// Opens a source in a directory of its own, meddles with it, and compares what `check` says.
#[track_caller]
fn check(meddle: impl FnOnce(&Path), expected: Option<&str>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("source");
    fs::write(&path, object(0..LEN)).unwrap();
    // Of long ago, so that each modification has another time.
    touch(&path, SystemTime::now() - Duration::from_secs(60));
    let source = FileSource::open(&path).unwrap();
    source.check().unwrap();
    meddle(&path);
    let said = match source.check() {
        Ok(()) => None,
        Err(Error::SourceChanged { path: told, what }) => {
            assert_eq!(told, path);
            Some(what)
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(said, expected);
    let mut last = [0; 1];
    let cut = expected == Some("its size is another") && fs::metadata(&path).unwrap().len() < LEN;
    let read = source.read_at(LEN - 1, &mut last);
    assert_eq!(
        matches!(&read, Err(Error::SourceChanged { what, .. }) if *what == "it got shorter"),
        cut,
        "{read:?}"
    );
}

fn touch(path: &Path, time: SystemTime) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[test]
fn changes_are_noticed() {
    check(|_| {}, None);
    check(
        |path| fs::write(path, "x").unwrap(),
        Some("its size is another"),
    );
    check(
        |path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(LEN + 1)
                .unwrap();
        },
        Some("its size is another"),
    );
    check(
        |path| fs::write(path, object(1..LEN + 1)).unwrap(),
        Some("it was modified"),
    );
    check(
        |path| touch(path, SystemTime::now()),
        Some("it was modified"),
    );
    check(
        |path| fs::remove_file(path).unwrap(),
        Some("it was removed"),
    );
    check(
        |path| fs::rename(path, path.with_extension("old")).unwrap(),
        Some("it was removed"),
    );
    check(
        |path| fs::remove_dir_all(path.parent().unwrap()).unwrap(),
        Some("it was removed"),
    );
}

#[test]
fn another_file_of_the_same_size_and_time_is_noticed() {
    check(
        |path| {
            let time = fs::metadata(path).unwrap().modified().unwrap();
            let new = path.with_extension("new");
            fs::write(&new, object(0..LEN)).unwrap();
            touch(&new, time);
            fs::rename(new, path).unwrap();
        },
        Some("another file has its name"),
    );
    check(
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        Some("another file has its name"),
    );
}

#[cfg(unix)]
#[test]
fn a_new_name_or_other_permissions_are_no_change() {
    use std::os::unix::fs::PermissionsExt;
    check(
        |path| {
            fs::hard_link(path, path.with_extension("link")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        },
        None,
    );
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_and_may_not_turn() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two, link] = ["one", "two", "link"].map(|name| directory.path().join(name));
    fs::write(&one, "same").unwrap();
    fs::write(&two, "same").unwrap();
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let source = FileSource::open(&link).unwrap();
    source.check().unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    assert!(matches!(
        source.check(),
        Err(Error::SourceChanged {
            what: "another file has its name",
            ..
        })
    ));
    let mut bytes = [0; 8];
    assert_eq!(
        source.read_at(0, &mut bytes).unwrap(),
        4,
        "of the file that was opened"
    );
    fs::remove_file(&two).unwrap();
    assert!(matches!(FileSource::open(&link), Err(Error::SourceMissing { path }) if path == link));
}

#[test]
fn what_is_not_there_or_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    assert!(
        matches!(FileSource::open(&missing), Err(Error::SourceMissing { path }) if path == missing)
    );
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        FileSource::open(&file.join("x")),
        Err(Error::SourceMissing { .. })
    ));
    assert!(matches!(
        FileSource::open(directory.path()),
        Err(Error::NotAFile { .. })
    ));
    assert!(matches!(
        FileSource::open(Path::new("")),
        Err(Error::BadName { .. })
    ));
}

#[cfg(unix)]
#[test]
fn neither_a_pipe_nor_a_device_is_opened_or_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    for path in [&pipe, Path::new("/dev/null")] {
        assert!(
            matches!(FileSource::open(path), Err(Error::NotAFile { .. })),
            "{path:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_fingerprint_outlives_the_run_and_the_versions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("source");
    fs::write(&path, "bytes").unwrap();
    let first = FileSource::open(&path).unwrap().fingerprint().clone();
    let text = serde_json::to_string(&first).unwrap();
    let stored: Fingerprint = serde_json::from_str(&text).unwrap();
    assert_eq!(stored, first);
    assert_eq!(
        stored.difference(FileSource::open(&path).unwrap().fingerprint()),
        None
    );
    touch(&path, SystemTime::UNIX_EPOCH);
    let touched = FileSource::open(&path).unwrap();
    assert_eq!(
        stored.difference(touched.fingerprint()),
        Some("it was modified")
    );
    let older: Fingerprint = serde_json::from_str(r#"{"size":5,"later":true}"#).unwrap();
    assert_eq!(older, Fingerprint::of_bytes(5));
    assert_eq!(
        older.difference(&stored),
        None,
        "what is not known is not compared"
    );
    assert_eq!(
        older.difference(&Fingerprint::of_bytes(6)),
        Some("its size is another")
    );
}

proptest! {
    #[test]
    fn reading_gives_the_bytes_of_the_place(
        len in 0u64..5000, grown in 0u64..100, offset in prop_oneof![0u64..6000, Just(u64::MAX)], room in 0usize..6000,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("source");
        fs::write(&path, object(0..len)).unwrap();
        let source = FileSource::open(&path).unwrap();
        prop_assert_eq!(source.fingerprint().size(), len);
        fs::write(&path, object(0..len + grown)).unwrap();
        let mut into = vec![0xee; room];
        let read = source.clone().read_at(offset, &mut into).unwrap();
        let start = offset.min(len);
        let end = len.min(start.saturating_add(room as u64));
        prop_assert_eq!(read as u64, end - start);
        prop_assert_eq!(&into[..read], object(start..end));
        prop_assert!(into[read..].iter().all(|&byte| byte == 0xee));
    }
}

/// What was just written is in memory, where the system can tell; whatever comes is what the file has there.
#[test]
fn what_is_in_memory_is_read_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let content: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(&path, &content).unwrap();
    let source = FileSource::open(&path).unwrap();
    let mut buffer = vec![0; 4096];
    for offset in [0, 1, 50_000, 99_999] {
        let read = source.read_cached(offset, &mut buffer);
        let start = offset as usize;
        if let Some(read) = read {
            assert_eq!(buffer[..read], content[start..start + read]);
        }
    }
    assert_eq!(source.read_cached(100_000, &mut buffer), None, "the end");
    assert_eq!(source.read_cached(u64::MAX, &mut buffer), None);
}

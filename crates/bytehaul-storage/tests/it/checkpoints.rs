//! Checkpoint files of uploads: who has them, what is found in them, and what a killed program leaves.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytehaul_storage::checkpoints::{self, EntryContent};
use bytehaul_storage::{Checkpoints, Durability, Error};

use crate::common::{names, object};

struct Fixture {
    directory: tempfile::TempDir,
    all: Checkpoints,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let all = Checkpoints::in_directory(directory.path().join("state/uploads"));
    Fixture { directory, all }
}

#[test]
fn what_was_saved_is_found_again() {
    let Fixture { all, .. } = fixture();
    assert!(all.list().unwrap().is_empty(), "nor is the directory made");
    assert!(!all.directory().exists());
    let mut file = all.claim("a.iso to https://a.example/").unwrap();
    assert_eq!(file.load().unwrap(), None);
    for content in [&b"first"[..], b"", &object(0..100_000)] {
        file.save(content).unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some(content));
    }
    drop(file);
    let file = all.claim("a.iso to https://a.example/").unwrap();
    assert_eq!(file.load().unwrap(), Some(object(0..100_000)));
    assert_eq!(file.warning(), None);
    assert_eq!(all.claim("another").unwrap().load().unwrap(), None);
    file.remove().unwrap();
    assert!(names(all.directory()).is_empty());
}

#[test]
fn a_claim_without_a_save_leaves_nothing() {
    let Fixture { all, .. } = fixture();
    drop(all.claim("x").unwrap());
    assert!(names(all.directory()).is_empty());
}

#[test]
fn one_upload_has_it_at_a_time() {
    let Fixture { directory, all } = fixture();
    let mut first = all.claim("x").unwrap();
    let locked = |result: Result<_, Error>| matches!(result, Err(Error::Locked { .. }));
    // Also through another name of the directory, and after the file was replaced.
    let same = Checkpoints::in_directory(directory.path().join("state/../state/uploads"));
    assert!(locked(same.claim("x")));
    first.save(b"1").unwrap();
    assert!(locked(same.claim("x")));
    assert!(locked(all.claim_named(first.path().file_name().unwrap())));
    assert!(same.claim("y").is_ok());
    drop(first);
    assert!(same.claim("x").is_ok());

    let source = directory.path().join("source");
    let _beside = checkpoints::beside(&source).unwrap();
    match checkpoints::beside(&source) {
        Err(Error::Locked { path }) => assert_eq!(path, source, "it names what is uploaded"),
        other => panic!("{other:?}"),
    }
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::MetadataExt;
    let Fixture { directory, all } = fixture();
    let mut file = all.claim("x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(file.path()), 0o600);
    file.save(b"1").unwrap();
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(mode(all.directory()), 0o700);
    assert_eq!(mode(&directory.path().join("state")), 0o700);
    let mut beside = checkpoints::beside(&directory.path().join("source")).unwrap();
    beside.save(b"https://a.example/secret").unwrap();
    assert_eq!(mode(beside.path()), 0o600);
    assert!(!format!("{beside:?}").contains("secret"));
    let listed = Checkpoints::in_directory(directory.path()).list().unwrap();
    assert_eq!(listed[0].bytes(), Some(&b"https://a.example/secret"[..]));
    assert!(!format!("{listed:?}").contains(&format!("{:?}", b"secret")[1..20]));
}

#[cfg(unix)]
#[test]
fn links_are_neither_followed_nor_replaced() {
    let Fixture { directory, all } = fixture();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let path = all.claim("x").unwrap().path().to_path_buf();
    let new = PathBuf::from(format!("{}-new", path.display()));

    std::os::unix::fs::symlink(&victim, &new).unwrap();
    let mut file = all.claim("x").unwrap();
    file.save(b"1").unwrap();
    drop(file);
    fs::remove_file(&path).unwrap();

    std::os::unix::fs::symlink(&victim, &path).unwrap();
    let name = path.file_name().unwrap();
    for refused in [all.claim("x"), all.claim_named(name)] {
        assert!(
            matches!(refused, Err(Error::NotAFile { .. })),
            "{refused:?}"
        );
    }
    assert!(matches!(all.remove(name), Err(Error::NotAFile { .. })));
    assert!(
        matches!(&all.list().unwrap()[0].content, EntryContent::Unusable(why) if why.contains("regular"))
    );
    fs::remove_file(&path).unwrap();

    // A second name: the save makes a file of its own.
    fs::hard_link(&victim, &path).unwrap();
    let mut file = all.claim("x").unwrap();
    assert_eq!(file.load().unwrap(), None);
    file.save(b"1").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn what_is_no_checkpoint_is_told_and_can_be_replaced() {
    let check = |meddle: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let Fixture { all, .. } = fixture();
        let mut file = all.claim("x").unwrap();
        file.save(&object(0..1000)).unwrap();
        let path = file.path().to_path_buf();
        drop(file);
        let mut bytes = fs::read(&path).unwrap();
        meddle(&mut bytes);
        fs::write(&path, bytes).unwrap();

        let listed = &all.list().unwrap()[0];
        assert!(
            matches!(&listed.content, EntryContent::Unusable(why) if why.contains(expected)),
            "{listed:?}"
        );
        assert_eq!((listed.key(), listed.bytes()), (None, None));
        let mut file = all.claim("x").unwrap();
        assert_eq!(file.load().unwrap(), None);
        assert!(
            file.warning().unwrap().contains(expected),
            "{:?}",
            file.warning()
        );
        drop(file);
        assert!(path.exists(), "it is left for somebody to look at");
        file = all.claim("x").unwrap();
        file.save(b"new").unwrap();
        assert_eq!(file.load().unwrap().unwrap(), b"new");
    };
    check(&|bytes| bytes.fill(0), "no checkpoint");
    check(&|bytes| bytes.truncate(600), "damaged");
    check(&|bytes| bytes[512..].fill(0), "damaged");
    check(&|bytes| bytes[700] ^= 1, "damaged");
    check(&|bytes| bytes[8] = 9, "format 9");
    check(&|bytes| bytes.resize(17 << 20, 0), "too many");
}

#[test]
fn the_checkpoint_of_another_upload_is_not_used() {
    let Fixture { all, .. } = fixture();
    let mut one = all.claim("one").unwrap();
    one.save(b"1").unwrap();
    let two = all.claim("two").unwrap().path().to_path_buf();
    fs::copy(one.path(), &two).unwrap();
    let two = all.claim("two").unwrap();
    assert_eq!(two.load().unwrap(), None);
    assert!(two.warning().unwrap().contains("another upload"));
}

/// Only the superuser can make a file of somebody else.
#[cfg(unix)]
#[test]
fn the_file_of_another_user_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let mut file = checkpoints::beside(&source).unwrap();
    file.save(b"https://a.example/").unwrap();
    if std::os::unix::fs::chown(file.path(), Some(65_534), None).is_err() {
        println!("skipped: this user may not give files away");
        return;
    }
    assert_eq!(file.load().unwrap(), None);
    assert!(file.warning().unwrap().contains("another user"));
}

#[test]
fn what_is_too_large_is_not_saved() {
    let Fixture { all, .. } = fixture();
    let mut file = all.claim("x").unwrap();
    file.save(b"old").unwrap();
    match file.save(&vec![0; 16 << 20]) {
        Err(error @ Error::Io { .. }) => {
            assert_eq!(error.io().unwrap().kind(), std::io::ErrorKind::FileTooLarge);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(file.load().unwrap().unwrap(), b"old");
    file.save(&vec![0; (16 << 20) - 100]).unwrap();
    assert_eq!(file.load().unwrap().unwrap().len(), (16 << 20) - 100);
}

#[test]
fn a_file_that_was_taken_away_is_not_made_again() {
    let Fixture { all, .. } = fixture();
    let mut file = all.claim("x").unwrap();
    file.save(b"1").unwrap();
    let path = file.path().to_path_buf();
    fs::remove_file(&path).unwrap();
    assert!(matches!(file.save(b"2"), Err(Error::Removed { .. })));
    fs::write(&path, "somebody else's").unwrap();
    assert!(matches!(file.save(b"2"), Err(Error::Removed { .. })));
    file.remove().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
}

#[test]
fn the_list_says_what_there_is() {
    let Fixture { all, .. } = fixture();
    let mut running = all.claim("b running").unwrap();
    running.save(b"1").unwrap();
    let _begun = all.claim("c begun").unwrap();
    let mut left = all
        .clone()
        .durability(Durability::Kill)
        .claim("a left")
        .unwrap();
    left.save(b"2").unwrap();
    drop(left);
    fs::write(all.directory().join("d.bytehaul-upload"), "junk").unwrap();
    fs::write(all.directory().join("e.bytehaul-upload-new"), "a crash's").unwrap();
    fs::write(all.directory().join("README"), "other").unwrap();

    let listed = all.list().unwrap();
    let found: Vec<_> = listed
        .iter()
        .map(|entry| (entry.key(), entry.bytes(), entry.in_use))
        .collect();
    let expected = [
        (Some("a left"), Some(&b"2"[..]), false),
        (Some("b running"), Some(&b"1"[..]), true),
        (None, None, true),
        (None, None, false),
    ];
    assert_eq!(found, expected);
    assert_eq!(listed[2].content, EntryContent::Nothing);
    assert!(matches!(&listed[3].content, EntryContent::Unusable(_)));
    for entry in &listed {
        assert_eq!(entry.path, all.directory().join(&entry.name));
        assert!(entry.modified.unwrap().elapsed().unwrap_or_default() < Duration::from_secs(60));
    }

    assert!(matches!(
        all.remove(&listed[1].name),
        Err(Error::Locked { .. })
    ));
    assert!(listed[1].path.exists());
    let mut taken = all.claim_named(&listed[0].name).unwrap();
    assert_eq!(
        (taken.key(), taken.load().unwrap()),
        ("a left", Some(b"2".to_vec()))
    );
    taken.save(b"3").unwrap();
    drop(taken);
    assert_eq!(
        all.claim("a left").unwrap().load().unwrap().unwrap(),
        b"3",
        "it kept its key"
    );
    for entry in [&listed[0], &listed[3]] {
        all.remove(&entry.name).unwrap();
        assert!(matches!(
            all.remove(&entry.name),
            Err(Error::Removed { .. })
        ));
        assert!(matches!(
            all.claim_named(&entry.name),
            Err(Error::Removed { .. })
        ));
    }
    assert!(matches!(all.remove("README"), Err(Error::BadName { .. })));
    assert_eq!(all.list().unwrap().len(), 2);
}

#[test]
fn listing_neither_disturbs_claims_nor_misses_who_has_one() {
    let Fixture { all, .. } = fixture();
    let all = all.durability(Durability::Kill);
    all.claim("free").unwrap().save(b"0").unwrap();
    let done = AtomicBool::new(false);
    let look = || {
        while !done.load(Ordering::Acquire) {
            for entry in all.list().unwrap() {
                assert!(entry.key() != Some("held") || entry.in_use, "{entry:?}");
            }
        }
    };
    let mut held = all.claim("held").unwrap();
    std::thread::scope(|scope| {
        let lookers = [scope.spawn(look), scope.spawn(look)];
        let claims = scope.spawn(|| {
            for round in 0..500u32 {
                held.save(&round.to_le_bytes())?;
                drop(all.claim("free")?);
                drop(all.claim("made")?);
            }
            Ok::<_, Error>(())
        });
        let claims = claims.join();
        done.store(true, Ordering::Release);
        claims.unwrap().unwrap();
        for looker in lookers {
            looker.join().unwrap();
        }
    });
}

/// Not a test of its own: what the child does.
#[test]
fn child_saves_until_killed() {
    let Ok(source) = std::env::var(CHILD) else {
        return;
    };
    let mut file = checkpoints::beside(source.as_ref()).unwrap();
    let last = file.load().unwrap();
    let mut round = last.map_or(0, |last| round_of(&last));
    loop {
        round += 1;
        file.save(&content(round)).unwrap();
        println!("saved {round}");
    }
}

#[test]
fn a_killed_program_leaves_the_content_before_or_after() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let mut last = 0;
    for kill in 0..10 {
        let (mut child, output) = start(&source);
        let mut saved = 0;
        let mut lines = output.lines().map_while(Result::ok);
        while saved < last + 3 + kill % 4 {
            let line = lines.next().expect("the child saves until it is killed");
            saved = line
                .strip_prefix("saved ")
                .map_or(saved, |round| round.parse().unwrap());
        }
        let taken = checkpoints::beside(&source);
        assert!(
            matches!(taken, Err(Error::Locked { .. })),
            "also across processes"
        );
        std::thread::sleep(Duration::from_millis(kill * 3 % 11));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            saved = line
                .strip_prefix("saved ")
                .map_or(saved, |round| round.parse().unwrap_or(saved));
        }
        let file = checkpoints::beside(&source).unwrap();
        let found = file.load().unwrap().expect("it was saved");
        let round = round_of(&found);
        assert_eq!(found, content(round));
        assert!(
            saved <= round && round <= saved + 1,
            "kill {kill}: {saved} was told, {round} found"
        );
        last = round;
    }
}

fn start(source: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "checkpoints::child_saves_until_killed",
            "--nocapture",
        ])
        .env(CHILD, source)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn content(round: u64) -> Vec<u8> {
    let mut bytes = round.to_le_bytes().to_vec();
    bytes.extend(object(round..round + 10_000 + round % 7000));
    bytes
}

fn round_of(content: &[u8]) -> u64 {
    u64::from_le_bytes(*content.first_chunk().unwrap())
}

const CHILD: &str = "BYTEHAUL_CHECKPOINT_CHILD";

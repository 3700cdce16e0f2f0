//! The target is the whole, verified file or what it was before; nobody else's file is touched.

use std::fs;
use std::time::Duration;

use bytehaul::{Checksum, DownloadError, ErrorKind, Overwrite};
use bytehaul_testkit::{Behaviour, Effect, Object, check_file};

use crate::common::{Bed, MIB, ended, received};

const LEN: u64 = 4 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn slow() -> Behaviour {
    Behaviour::new().total_rate(8 * MIB)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_target_is_refused_before_anything_is_sent() {
    let bed = Bed::serving(&object());
    fs::write(bed.target(), "mine").expect("write");
    let before = fs::metadata(bed.target())
        .expect("there")
        .modified()
        .expect("a time");
    let error = bed.fetch(bed.spec()).await.expect_err("exists");
    assert_eq!(
        (error.code(), error.kind()),
        (125, ErrorKind::Local),
        "{error:?}"
    );
    assert_eq!(error.path(), Some(bed.target().as_path()));
    assert_eq!(fs::read(bed.target()).expect("read"), b"mine");
    assert_eq!(
        fs::metadata(bed.target())
            .expect("there")
            .modified()
            .expect("a time"),
        before
    );
    assert_eq!(bed.names(), ["file.bin"]);
    assert_eq!(bed.server.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_file_is_not_fetched_again() {
    let bed = Bed::serving(&object());
    bed.completes(bed.spec(), &object()).await;
    bed.server.reset_log();
    let error = bed.fetch(bed.spec()).await.expect_err("exists");
    assert_eq!(error.code(), 125, "{error:?}");
    bed.is_published(&object());
    assert_eq!(bed.server.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_never_replaced() {
    let bed = Bed::serving(&object());
    fs::create_dir(bed.target()).expect("create");
    for overwrite in [Overwrite::Refuse, Overwrite::Replace] {
        let error = bed
            .fetch(bed.spec().overwrite(overwrite))
            .await
            .expect_err("a directory");
        assert_eq!(error.code(), 125, "{error:?}");
        assert!(bed.target().is_dir() && bed.names() == ["file.bin"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_happens_only_when_all_is_there() {
    let bed = Bed::serving(&object().behaviour(slow()));
    fs::write(bed.target(), "mine").expect("write");
    let handle = bed.start(bed.spec().overwrite(Overwrite::Replace).max_connections(4));
    received(&handle, LEN / 2).await;
    assert_eq!(
        fs::read(bed.target()).expect("read"),
        b"mine",
        "before the end"
    );
    ended(&handle).await.expect("completes");
    bed.is_published(&object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_that_does_not_come_to_its_end_changes_nothing() {
    let bed = Bed::serving(&object().behaviour(slow()));
    fs::write(bed.target(), "mine").expect("write");
    let replace = || bed.spec().overwrite(Overwrite::Replace);
    let handle = bed.start(replace());
    received(&handle, MIB).await;
    handle.cancel().await;
    assert_eq!(fs::read(bed.target()).expect("read"), b"mine");
    bed.server.behave("/f", Behaviour::new());
    let wrong = replace().checksum(Checksum::Sha256("00".repeat(32)));
    let error = bed.fetch(wrong).await.expect_err("another checksum");
    assert_eq!(error.code(), 116, "{error:?}");
    assert_eq!(fs::read(bed.target()).expect("read"), b"mine");
    bed.server
        .behave("/f", Behaviour::new().always(Effect::status(404)));
    bed.fetch(replace()).await.expect_err("not found");
    assert_eq!(fs::read(bed.target()).expect("read"), b"mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_appears_meanwhile_is_not_replaced() {
    let bed = Bed::serving(&object().behaviour(slow()));
    let handle = bed.start(bed.spec());
    received(&handle, MIB).await;
    fs::write(bed.target(), "mine").expect("write");
    let error = ended(&handle).await.expect_err("the name is taken");
    assert_eq!(error.code(), 125, "{error:?}");
    assert_eq!(fs::read(bed.target()).expect("read"), b"mine");
    assert!(
        bed.part().exists() && bed.control().exists(),
        "what was fetched is kept"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_not_followed() {
    let bed = Bed::serving(&object());
    let victim = bed.path("victim");
    fs::write(&victim, "mine").expect("write");
    for place in [bed.target(), bed.part(), bed.control()] {
        for dangling in [false, true] {
            let to = if dangling {
                bed.path("nowhere")
            } else {
                victim.clone()
            };
            std::os::unix::fs::symlink(&to, &place).expect("link");
            let result = bed.fetch(bed.spec()).await;
            println!("{} {dangling} {result:?}", place.display());
            assert!(!bed.path("nowhere").exists(), "written through a link");
            assert_eq!(
                fs::read(&victim).expect("read"),
                b"mine",
                "written through a link"
            );
            if place == bed.control() {
                result.expect("a control file that is none is no reason to fail");
                check_file(bed.target(), &object()).expect("the right bytes");
                fs::remove_file(bed.target()).expect("remove");
            } else {
                assert_eq!(result.expect_err("a link").kind(), ErrorKind::Local);
                assert!(
                    fs::symlink_metadata(&place)
                        .expect("still there")
                        .is_symlink()
                );
                fs::remove_file(&place).expect("remove");
            }
            assert_eq!(bed.names(), ["victim"]);
        }
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_a_link_replaces_the_link() {
    let bed = Bed::serving(&object());
    let victim = bed.path("victim");
    fs::write(&victim, "mine").expect("write");
    std::os::unix::fs::symlink(&victim, bed.target()).expect("link");
    bed.fetch(bed.spec().overwrite(Overwrite::Replace))
        .await
        .expect("completes");
    assert_eq!(fs::read(&victim).expect("read"), b"mine");
    assert!(
        !fs::symlink_metadata(bed.target())
            .expect("there")
            .is_symlink()
    );
    check_file(bed.target(), &object()).expect("the right bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_downloads_to_one_path_do_not_share_it() {
    let bed = Bed::serving(&object().behaviour(slow()));
    let first = bed.start(bed.spec().max_connections(2));
    received(&first, MIB).await;
    bed.server.serve("/g", Object::random(2, LEN));
    for path in ["/f", "/g"] {
        for overwrite in [Overwrite::Refuse, Overwrite::Replace] {
            let error = bed
                .fetch(bed.spec_of(path).overwrite(overwrite))
                .await
                .expect_err("locked");
            assert_eq!(error.code(), 126, "{error:?}");
        }
    }
    assert_eq!(
        bed.server.requests_for("/g").len(),
        0,
        "told before anything was sent"
    );
    ended(&first).await.expect("the first one goes on");
    bed.is_published(&object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_exactly_one_wins() {
    let bed = Bed::serving(&object().behaviour(slow()));
    let all: Vec<_> = (0..8).map(|_| bed.start(bed.spec())).collect();
    let mut complete = 0;
    for handle in &all {
        match ended(handle).await {
            Ok(_) => complete += 1,
            Err(error) => assert!([125, 126].contains(&error.code()), "{error:?}"),
        }
    }
    assert_eq!(complete, 1);
    bed.is_published(&object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_leaves_the_target_alone() {
    let bed = Bed::serving(&object().behaviour(slow()));
    let handle = bed.start(bed.spec());
    received(&handle, MIB).await;
    handle.cancel().await;
    assert!(matches!(handle.wait().await, Err(DownloadError::Cancelled)));
    bed.is_kept();
    drop(handle);
    bed.falls_silent().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    bed.is_kept();
}

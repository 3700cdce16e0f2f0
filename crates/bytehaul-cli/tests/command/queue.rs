//! `bytehaul queue`: what is remembered is run, by whom and when it suits.

use std::fs;

use bytehaul_testkit::process::{Finished, Signal};
use bytehaul_testkit::uploads::{Fault, TusServer, TusSetup};
use bytehaul_testkit::{Behaviour, Effect, Object, Server};
use serde_json::Value;

use super::put::{Desk, events, only};
use super::support::{MIB, check_failure};

#[track_caller]
fn queue(desk: &Desk, code: i32, words: &[&str]) -> Finished {
    let finished = desk.command(&[&["queue"], words].concat()).run().unwrap();
    assert_eq!(finished.code(), Some(code), "{words:?}: {}", finished.err());
    finished
}

#[track_caller]
fn listed(desk: &Desk) -> Vec<Value> {
    events(&queue(desk, 0, &["list", "--json"]).out())
}

#[track_caller]
fn states(desk: &Desk) -> Vec<String> {
    let tasks = listed(desk);
    let state = |task: &Value| task["state"].as_str().unwrap().to_owned();
    tasks.iter().map(state).collect()
}

#[test]
fn both_directions_are_run_as_they_were_added() {
    let Some(tus) = TusServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(2 * MIB);
    let server = Server::spawn_thread();
    let object = Object::random(1, MIB);
    server.serve("/a", object.clone());
    server.serve("/b", object.clone());
    fs::create_dir(desk.path("down")).unwrap();
    let ids = queue(
        &desk,
        0,
        &[
            "add",
            "get",
            "-d",
            "down",
            &server.url("/a"),
            &server.url("/b"),
        ],
    );
    assert_eq!(ids.out(), "1\n2\n");
    let url = format!("tus+{}", tus.url());
    queue(
        &desk,
        0,
        &[
            "add",
            "--paused",
            "put",
            "--metadata",
            "a=b",
            "--part-size",
            "1M",
            "f.bin",
            &url,
        ],
    );
    assert_eq!(states(&desk), ["pending", "pending", "paused"]);
    assert_eq!((server.connections(), tus.gate().lines().len()), (0, 0));
    queue(&desk, 0, &["resume", "3"]);
    queue(&desk, 0, &["cancel", "2"]);
    let said = queue(&desk, 0, &["run", "--json", "-j", "1"]);
    let events = events(&said.out());
    let completed = |direction: &str| {
        let of = |event: &&Value| event["event"] == "completed" && event["direction"] == direction;
        events.iter().filter(of).count()
    };
    assert_eq!(
        (completed("download"), completed("upload")),
        (1, 1),
        "{}",
        said.out()
    );
    assert_eq!(states(&desk), ["complete", "canceled", "complete"]);
    assert_eq!(fs::read(desk.path("down/a")).unwrap(), object.whole());
    assert!(!desk.path("down/b").exists());
    let upload = only(tus.uploads());
    assert!(tus.stored(&upload).unwrap() == bytes);
    assert_eq!(tus.metadata(&upload)["a"], "b");
    assert_eq!(
        tus.gate()
            .requests()
            .iter()
            .filter(|one| one.method == "PATCH")
            .count(),
        2
    );
    let lines = queue(&desk, 0, &["list"]).out();
    assert!(
        lines.lines().count() == 3 && lines.contains("3  complete  2.0/2.0 MiB: upload "),
        "{lines}"
    );
    queue(&desk, 0, &["clear"]);
    assert!(listed(&desk).is_empty());
}

#[test]
fn an_interrupted_or_killed_run_goes_on() {
    let Some(tus) = TusServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(6 * MIB);
    let gate = tus.gate();
    queue(
        &desk,
        0,
        &["add", "put", "--protocol", "tus", "f.bin", &tus.url()],
    );
    gate.set([Fault::slow(4 * MIB).on("PATCH").always()]);
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let due = gate.received() + 2 * MIB;
        let stopped = desk.command(&["queue", "run", "-q"]);
        let stopped = stopped
            .stop_when(|| gate.received() > due, signal)
            .run()
            .unwrap();
        assert_eq!(stopped.code(), code, "{}", stopped.err());
        if code.is_some() {
            check_failure(
                &stopped,
                130,
                &["interrupted", "run the same command again"],
            );
        }
        assert_eq!(states(&desk), ["pending"]);
    }
    gate.set([]);
    queue(&desk, 0, &["run"]);
    assert_eq!(states(&desk), ["complete"]);
    assert!(tus.stored(&only(tus.uploads())).unwrap() == bytes);
    let again = gate.received() - 6 * MIB;
    assert!(again < 3 * MIB, "{again} bytes were sent again");
}

#[test]
fn a_task_that_fails_does_not_keep_others() {
    let desk = Desk::new();
    let server = Server::spawn_thread();
    let gone = Object::empty().behaviour(Behaviour::new().always(Effect::status(404)));
    server.serve("/gone", gone);
    server.serve("/here", Object::random(1, 1000));
    queue(
        &desk,
        0,
        &["add", "get", &server.url("/gone"), &server.url("/here")],
    );
    let said = queue(&desk, 4, &["run", "-q"]);
    check_failure(&said, 4, &["/gone", "404"]);
    let tasks = listed(&desk);
    assert_eq!(
        (&tasks[0]["state"], &tasks[1]["state"]),
        (&"failed".into(), &"complete".into())
    );
    assert!(tasks[0]["error"].as_str().unwrap().contains("404"));
    assert_eq!(tasks[0]["code"], 109);
}

#[test]
fn credentials_are_those_of_whoever_runs_it() {
    let Some(tus) = TusSetup::new().token("topsecret").start() else {
        return;
    };
    let (desk, _) = Desk::with(1000);
    let words = ["put", "--protocol", "tus", "f.bin", &tus.url()];
    let header = ["-H", "Authorization: Bearer topsecret"];
    let refused = queue(
        &desk,
        2,
        &[&["add"], &words[..1], &header, &words[1..]].concat(),
    );
    check_failure(&refused, 2, &["queue run"]);
    queue(&desk, 0, &[&["add"], &words[..]].concat());
    let said = queue(&desk, 0, &[&["run", "-vv"], &header[..]].concat());
    assert!(!said.err().contains("topsecret"), "{}", said.err());
    assert_eq!(states(&desk), ["complete"]);
    let state = fs::read_dir(desk.path("state")).unwrap();
    for file in state
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
    {
        let kept = fs::read(&file).unwrap();
        assert!(
            !kept.windows(9).any(|window| window == b"topsecret"),
            "{}",
            file.display()
        );
    }
}

#[test]
fn what_cannot_be_queued() {
    let (desk, _) = Desk::with(10);
    let url = "http://127.0.0.1:1/f";
    for (words, said) in [
        (&["add"][..], &["Usage"][..]),
        (&["add", "get"], &["no URL"]),
        (&["add", "get", "ftp://h/f"], &["ftp"]),
        (&["add", "get", "-o", "-", url], &["--output -"]),
        (
            &["add", "get", "--proxy", "http://h", url],
            &["hint: give them to 'bytehaul queue run'"],
        ),
        (&["add", "get", "--json", url], &["queue run"]),
        (
            &["add", "get", "http://me:topsecret@127.0.0.1:1/f"],
            &[".netrc"],
        ),
        (&["add", "put", "-", url], &["stdin"]),
        (&["add", "put", "f.bin", "s3://b/k"], &["AWS_ACCESS_KEY_ID"]),
        (
            &["add", "put", "--tus-concat", "f.bin", url],
            &["--tus-concat"],
        ),
        (&["pause", "1"], &["no task 1", "queue list"]),
        (&["resume", "x"], &["'x'"]),
        (&["cancel"], &["ID"]),
        (&["run", "-j", "0"], &["jobs"]),
        (&["run", "-H", "wrong"], &["header"]),
    ] {
        let failed = queue(&desk, 2, words);
        for word in said {
            assert!(failed.err().contains(word), "{words:?}: {}", failed.err());
        }
        assert!(!failed.err().contains("topsecret"));
    }
    queue(&desk, 0, &["add", "get", url]);
    let twice = queue(&desk, 2, &["add", "get", url]);
    check_failure(&twice, 2, &["already queued as task 1", "hint: "]);
    check_failure(&queue(&desk, 2, &["resume", "1"]), 2, &["task 1 is"]);
    assert!(
        queue(&desk, 0, &["list"])
            .out()
            .starts_with("1  pending  0 B: download ")
    );
    desk.write("file", "");
    let failed = queue(&desk, 6, &["list", "--state-dir", "file"]);
    check_failure(&failed, 6, &["file"]);
}

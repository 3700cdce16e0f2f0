//! What `put` says: JSON lines, plain lines, and silence.

use bytehaul_testkit::uploads::{Fault, FormServer, TusServer};
use serde_json::Value;

use super::{Desk, events};
use crate::command::support::MIB;

#[test]
fn json_lines_end_with_completed() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(4 * MIB);
    server
        .gate()
        .set([Fault::slow(2 * MIB).on("PATCH").always()]);
    let words = [
        "--json",
        "--protocol",
        "tus",
        "--part-size",
        "1M",
        "f.bin",
        &server.url(),
    ];
    let finished = desk.works(&words);
    assert_eq!(finished.err(), "");
    let events = events(&finished.out());
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!((names[0], names[names.len() - 1]), ("started", "completed"));
    let progress = || events.iter().filter(|event| event["event"] == "progress");
    assert!(progress().count() >= 2, "{names:?}");
    for event in &events {
        assert_eq!(
            (&event["file"], &event["url"], &event["source"]),
            (&0.into(), &server.url().into(), &"f.bin".into())
        );
    }
    let mut last = (0, 0, 0);
    for event in progress() {
        let field = |name: &str| {
            event[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}: {event}"))
        };
        let now = (field("sent"), field("acknowledged"), field("durable"));
        assert!(now.0 >= now.1 && now.1 >= now.2, "{event}");
        assert!(
            now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2,
            "{event}"
        );
        assert_eq!(field("total"), 4 * MIB);
        assert!(field("prefix") <= field("acknowledged"));
        for name in [
            "rate",
            "resumed_from",
            "connections",
            "retries",
            "elapsed_ms",
        ] {
            field(name);
        }
        last = now;
    }
    assert!(last.1 > 0, "{last:?}");
    let completed = events.last().unwrap();
    assert_eq!(
        (&completed["bytes"], &completed["sent"]),
        (&(4 * MIB).into(), &(4 * MIB).into())
    );
    assert_eq!(completed["already_complete"], false);
    let location = completed["location"].as_str().unwrap();
    assert!(location.starts_with(&server.url()), "{location}");

    let again = desk.works(&words);
    let completed = self::events(&again.out()).pop().unwrap();
    assert_eq!(
        (&completed["already_complete"], &completed["sent"]),
        (&true.into(), &0.into())
    );
    assert_eq!(completed["location"], location);
}

#[test]
fn the_payload_is_what_the_server_said() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(1000);
    let digest = format!("md5={}", super::md5(&bytes));
    let words = ["--json", "--checksum", &digest, "f.bin", &server.url()];
    let mut said = Vec::new();
    for _ in 0..2 {
        let completed = events(&desk.works(&words).out()).pop().unwrap();
        assert_eq!(completed["digest"], digest);
        said.push(completed["payload"].as_str().unwrap().to_owned());
    }
    assert!(!said[0].is_empty());
    assert_eq!(said[0], said[1]);
}

#[test]
fn failures_are_events_too() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(1000);
    let check = |fault: Fault, code: i32, event: Value| {
        server.gate().set([fault.always()]);
        let words = [
            "--json",
            "--protocol",
            "tus",
            "--retries",
            "1",
            "f.bin",
            &server.url(),
        ];
        let finished = desk.put(&words).run().unwrap();
        assert_eq!(finished.code(), Some(code), "{}", finished.err());
        let failed = events(&finished.out()).pop().unwrap();
        assert_eq!(failed["event"], "failed");
        for (name, value) in event.as_object().unwrap() {
            assert_eq!(failed[name], *value, "{failed}");
        }
        assert!(
            finished.err().starts_with("bytehaul: "),
            "{}",
            finished.err()
        );
    };
    let server_says = serde_json::json!({"code": 109, "kind": "server", "exit_code": 4});
    check(Fault::refuse(403), 4, server_says);
    let network = serde_json::json!({"code": 106, "kind": "network", "exit_code": 3});
    check(Fault::drop_request(), 3, network);
}

#[test]
fn plain_lines_go_to_stderr_and_quiet_means_none() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(1000);
    let finished = desk.works(&["f.bin", &server.url()]);
    let err = finished.err();
    let lines: Vec<_> = err.lines().collect();
    assert_eq!((finished.out().as_str(), lines.len()), ("", 2), "{err}");
    assert!(lines[0].starts_with("uploading f.bin to http://"), "{err}");
    assert!(lines[1].starts_with("f.bin: 1000 B in "), "{err}");
    let finished = desk.works(&["-q", "--no-resume", "f.bin", &server.url()]);
    assert_eq!(
        (finished.out(), finished.err()),
        (String::new(), String::new())
    );
}

//! Objects of providers in the queue, whose credentials are those of whoever runs it.

use std::fs;

use bytehaul_testkit::process::Signal;
use bytehaul_testkit::uploads::Fault;

use super::{Counter, Shop};
use crate::command::put::{content, events};
use crate::command::support::MIB;

#[track_caller]
fn states(counter: &Counter) -> Vec<String> {
    let listed = counter.works(&["queue", "list", "--json"]).out();
    let listed = events(&listed);
    let state = |task: &serde_json::Value| task["state"].as_str().unwrap().to_owned();
    listed.iter().map(state).collect()
}

#[track_caller]
fn both_directions(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let (shop, gate) = (&counter.shop, counter.shop.gate());
    let (up, down) = (content(16 * MIB), content(2 * MIB));
    counter.write("up.bin", &up);
    shop.store("down/a b", &down);
    let (to, from) = (shop.url("up/ü"), shop.url("down/a b"));
    let put = ["put", "-x", "1", "--part-size", "5M", "up.bin", &to];
    counter.works(&[&["queue", "add"], &put[..]].concat());
    let get = ["queue", "add", "get", "-o", "down.bin", &from];
    counter.works(&get);
    let before = gate.requests().len();
    assert_eq!(states(&counter), ["pending", "pending"]);
    assert_eq!(gate.requests().len(), before, "adding asks nobody");
    // The first run is killed when a part is there.
    gate.set([Fault::slow(8 * MIB).on("PUT").always()]);
    let due = gate.received() + 6 * MIB;
    let killed = counter.command(&["queue", "run", "-q"]);
    let killed = killed.stop_when(|| gate.received() >= due, Signal::KILL);
    assert_eq!(killed.run().unwrap().signal(), Some(9));
    gate.set([]);
    let before = gate.requests().len();
    counter.works(&["queue", "run", "-q"]);
    assert_eq!(states(&counter), ["complete", "complete"]);
    assert!(shop.object("up/ü").as_ref() == Some(&up));
    assert!(counter.read("down.bin") == down);
    let again = shop.sent_since(before);
    assert!(again < 12 * MIB, "{again} bytes were sent after the kill");
    let state = fs::read_dir(counter.path("state")).unwrap();
    let files = state.map(|entry| entry.unwrap().path());
    for file in files.filter(|path| path.is_file()) {
        let kept = fs::read(&file).unwrap();
        let kept = String::from_utf8_lossy(&kept);
        assert!(!kept.contains(shop.secret()), "{}", file.display());
    }
}

super::of_each! {
    s3_in_the_queue: both_directions(s3);
    azure_in_the_queue: both_directions(azure);
    oss_in_the_queue: both_directions(oss);
}

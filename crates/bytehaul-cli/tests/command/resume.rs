//! What the next run makes of what an earlier one left.

use bytehaul_testkit::process::Signal;
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use super::support::{MIB, Scene};

const LEN: u64 = 12 * MIB;

/// Runs until half of the file has been sent, and stops it with `signal`.
fn stopped_half_way(
    scene: &Scene,
    args: &[&str],
    signal: Signal,
) -> bytehaul_testkit::process::Finished {
    let server = &scene.server;
    let mut words = vec!["-q", "-x", "4", "--min-split-size", "1M"];
    words.extend_from_slice(args);
    let url = scene.url();
    words.push(&url);
    let mut command = super::support::bytehaul();
    command.current_dir(scene.dir()).arg("get").args(words);
    let process = bytehaul_testkit::process::Process::new(command);
    process
        .stop_when(|| server.bytes_sent() > LEN / 2, signal)
        .run()
        .unwrap()
}

fn unthrottle(scene: &Scene) {
    scene.server.behave("/f.bin", Behaviour::new());
}

#[test]
fn interrupted_and_run_again() {
    for signal in [Signal::INT, Signal::TERM] {
        let scene = Scene::throttled(LEN, 2 * MIB);
        let finished = stopped_half_way(&scene, &[], signal);
        super::support::check_failure(
            &finished,
            130,
            &["interrupted", "f.bin kept", "run the same command again"],
        );
        assert_eq!(finished.err().lines().count(), 1, "{}", finished.err());
        assert!(!scene.path("f.bin").exists());

        unthrottle(&scene);
        let sent = scene.server.bytes_sent();
        scene.works(&["-x", "4", "--min-split-size", "1M", &scene.url()]);
        scene.holds("f.bin", &Object::random(1, LEN));
        assert_eq!(scene.files(), ["f.bin"]);
        let again = scene.server.bytes_sent() - sent;
        assert!(
            again < LEN * 3 / 4,
            "{again} of {LEN} bytes were sent again"
        );
    }
}

#[test]
fn killed_and_run_again_with_other_settings() {
    let scene = Scene::throttled(LEN, 2 * MIB);
    let finished = stopped_half_way(&scene, &[], Signal::KILL);
    assert_eq!(finished.signal(), Some(9));
    assert!(!scene.path("f.bin").exists());

    unthrottle(&scene);
    let sent = scene.server.bytes_sent();
    scene.works(&["-x", "1", "--piece-size", "3M", &scene.url()]);
    scene.holds("f.bin", &Object::random(1, LEN));
    let again = scene.server.bytes_sent() - sent;
    assert!(
        again < LEN * 3 / 4,
        "{again} of {LEN} bytes were sent again"
    );
}

#[test]
fn an_earlier_run_can_be_ignored() {
    let scene = Scene::throttled(LEN, 2 * MIB);
    stopped_half_way(&scene, &[], Signal::INT);
    unthrottle(&scene);
    let sent = scene.server.bytes_sent();
    scene.works(&["--no-resume", &scene.url()]);
    scene.holds("f.bin", &Object::random(1, LEN));
    assert!(scene.server.bytes_sent() - sent >= LEN);
}

#[test]
fn a_file_that_changed_meanwhile_is_started_over() {
    let scene = Scene::throttled(LEN, 2 * MIB);
    stopped_half_way(&scene, &[], Signal::INT);
    let new = Object::random(2, LEN);
    scene.server.replace("/f.bin", new.clone());
    unthrottle(&scene);
    scene.works(&[&scene.url()]);
    scene.holds("f.bin", &new);
}

#[test]
fn a_server_that_is_down_costs_no_progress() {
    let scene = Scene::throttled(LEN, 2 * MIB);
    stopped_half_way(&scene, &[], Signal::INT);
    scene
        .server
        .behave("/f.bin", Behaviour::new().always(Effect::status(503)));
    scene.fails(&["--retries", "1", &scene.url()], 3, &["503"]);

    unthrottle(&scene);
    let sent = scene.server.bytes_sent();
    scene.works(&[&scene.url()]);
    scene.holds("f.bin", &Object::random(1, LEN));
    let again = scene.server.bytes_sent() - sent;
    assert!(
        again < LEN * 3 / 4,
        "{again} of {LEN} bytes were sent again"
    );
}

#[test]
fn resets_on_the_way_are_retried() {
    let bumpy = Behaviour::new().when(
        When::EveryRequest { every: 2, index: 0 },
        Effect::ResetAfter(MIB),
    );
    let scene = Scene::with(Object::random(1, LEN).behaviour(bumpy));
    scene.works(&["-x", "4", "--min-split-size", "1M", &scene.url()]);
    scene.holds("f.bin", &Object::random(1, LEN));
}

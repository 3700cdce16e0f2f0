//! Several files: lists, how many at once, and whose failure decides.

use std::time::Duration;

use bytehaul_testkit::{Behaviour, Object};

use super::support::{MIB, Scene};

fn serve(scene: &Scene, count: u64) -> String {
    let mut list = String::from("# a list\n\n");
    for number in 0..count {
        let name = format!("/file-{number}.bin");
        scene
            .server
            .serve(&name, Object::random(number, 1000 + number * 331));
        list.push_str(&scene.server.url(&name));
        list.push('\n');
    }
    list
}

#[test]
fn fifty_files_from_a_list() {
    let scene = Scene::new();
    let list = serve(&scene, 50);
    std::fs::write(scene.path("list"), list).unwrap();
    std::fs::create_dir(scene.path("out")).unwrap();
    scene.works(&["-i", "list", "-d", "out"]);
    for number in 0..50 {
        scene.holds(
            &format!("out/file-{number}.bin"),
            &Object::random(number, 1000 + number * 331),
        );
    }
    assert_eq!(std::fs::read_dir(scene.path("out")).unwrap().count(), 50);
    assert_eq!(
        scene.server.requests().len(),
        50,
        "a small file is one request"
    );
    assert!(
        scene.server.connections() <= 12,
        "{} connections for 4 files at once",
        scene.server.connections()
    );
}

#[test]
fn a_list_on_stdin() {
    let scene = Scene::new();
    let list = serve(&scene, 3);
    let finished = scene.get(&["-i", "-"]).input(list).run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err());
    assert_eq!(scene.files(), ["file-0.bin", "file-1.bin", "file-2.bin"]);
}

#[test]
fn the_first_failing_file_decides_and_the_others_complete() {
    let scene = Scene::new();
    serve(&scene, 2);
    let url = |name: &str| scene.server.url(name);
    std::fs::write(scene.path("file-1.bin"), "old").unwrap();
    // The slow 404 fails last, and still comes first among the URLs.
    let late = Behaviour::new()
        .latency(Duration::from_millis(300))
        .always(bytehaul_testkit::Effect::status(404));
    scene.server.serve("/late", Object::empty().behaviour(late));
    let finished = scene.run(&[
        "-q",
        &url("/late"),
        &url("/file-1.bin"),
        &url("/file-0.bin"),
    ]);
    assert_eq!(finished.code(), Some(4), "{}", finished.err());
    let err = finished.err();
    let problems: Vec<_> = err
        .lines()
        .filter(|line| line.starts_with("bytehaul: "))
        .collect();
    assert_eq!(problems.len(), 2, "{err}");
    assert!(
        problems[0].contains("file-1.bin") && problems[1].contains("404"),
        "{err}"
    );
    scene.holds("file-0.bin", &Object::random(0, 1000));
}

#[test]
fn jobs_run_at_once_and_no_more() {
    let scene = Scene::new();
    let slow = Behaviour::new().latency(Duration::from_millis(150));
    for number in 0..6 {
        scene.server.serve(
            format!("/{number}"),
            Object::random(number, 10).behaviour(slow.clone()),
        );
    }
    let urls: Vec<_> = (0..6)
        .map(|number| scene.server.url(&format!("/{number}")))
        .collect();
    let mut args: Vec<&str> = urls.iter().map(String::as_str).collect();
    args.extend(["-j", "2"]);
    scene.works(&args);
    assert_eq!(scene.server.max_connections(), 2);
}

#[test]
fn one_limit_is_over_all_files() {
    let scene = Scene::new();
    for name in ["/a", "/b"] {
        scene.server.serve(name, Object::random(1, MIB));
    }
    let finished = scene.works(&[
        "--limit-rate",
        "1M",
        &scene.server.url("/a"),
        &scene.server.url("/b"),
    ]);
    assert!(
        finished.wall > Duration::from_millis(1700),
        "2 MiB at 1 MiB/s took {:?}",
        finished.wall
    );
    assert!(
        finished.wall < Duration::from_millis(3500),
        "2 MiB at 1 MiB/s took {:?}",
        finished.wall
    );
}

#[test]
fn one_name_for_two_urls_is_a_failure_of_the_second() {
    let scene = Scene::new();
    let slow = Behaviour::new().latency(Duration::from_millis(100));
    scene
        .server
        .serve("/a/f", Object::random(1, 5000).behaviour(slow.clone()));
    scene
        .server
        .serve("/b/f", Object::random(2, 5000).behaviour(slow));
    let (a, b) = (scene.server.url("/a/f"), scene.server.url("/b/f"));
    let finished = scene.run(&["-q", "-j", "1", &a, &b]);
    super::support::check_failure(&finished, 6, &[&b, "exists"]);
    scene.holds("f", &Object::random(1, 5000));
}

//! Names that nobody typed: where they come from, and that they never leave their directory.

use bytehaul_testkit::Object;

use super::support::Scene;

/// Downloads with this `Content-Disposition` and gives the name of the only file.
fn name_for(disposition: &str) -> String {
    let scene = Scene::with(Object::random(1, 100).content_disposition(disposition));
    std::fs::create_dir(scene.path("in")).unwrap();
    scene.works(&["-d", "in", &scene.url()]);
    assert_eq!(scene.files(), ["in"], "{disposition}");
    let names: Vec<_> = std::fs::read_dir(scene.path("in"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 1, "{disposition}: {names:?}");
    names[0].to_str().unwrap().to_owned()
}

#[test]
fn a_server_may_name_the_file() {
    assert_eq!(
        name_for("attachment; filename=\"report; final.pdf\""),
        "report; final.pdf"
    );
    assert_eq!(
        name_for("attachment; filename=x.txt; filename*=UTF-8''na%C3%AFve.txt"),
        "naïve.txt"
    );
}

#[test]
fn a_hostile_name_stays_in_the_directory() {
    for hostile in [
        "../../evil",
        "/etc/cron.d/evil",
        "..\\..\\evil",
        "..",
        ".",
        "/",
        "a/../../../evil",
        "C:\\evil",
    ] {
        let name = name_for(&format!(
            "attachment; filename=\"{}\"",
            hostile.replace('\\', "\\\\")
        ));
        assert!(
            !name.contains(['/', '\\']) && name != ".." && name != ".",
            "{hostile}: {name}"
        );
    }
    let hidden = name_for("attachment; filename=\".bashrc\"");
    assert!(!hidden.starts_with('.'), "{hidden}");
    let device = name_for("attachment; filename=\"CON.txt\"");
    assert_ne!(device, "CON.txt");
    let long = name_for(&format!("attachment; filename=\"{}.iso\"", "ü".repeat(200)));
    assert!(long.len() <= 255 && long.ends_with(".iso"), "{long}");
}

#[test]
fn a_url_names_the_file_otherwise() {
    let scene = Scene::new();
    scene
        .server
        .serve("/a%20b/c%20d.bin", Object::random(1, 100));
    scene.works(&[&scene.server.url("/a%20b/c%20d.bin?not=this")]);
    scene.server.serve("/", Object::random(2, 100));
    scene.works(&[&scene.server.url("/")]);
    assert_eq!(scene.files(), ["c d.bin", "download"]);
}

#[test]
fn headers_do_not_follow_to_another_origin() {
    let scene = Scene::with(Object::random(1, 100));
    scene
        .server
        .redirect("/from", scene.server.url_on("localhost", "/f.bin"));
    scene.works(&[
        "-H",
        "Authorization: Bearer topsecret",
        "-o",
        "out",
        &scene.server.url("/from"),
    ]);
    let sent = |path: &str| {
        let requests = scene.server.requests_for(path);
        assert_eq!(requests.len(), 1, "{path}");
        requests[0].header("Authorization").map(str::to_owned)
    };
    assert_eq!(sent("/from").as_deref(), Some("Bearer topsecret"));
    assert_eq!(sent("/f.bin"), None);
    scene.holds("out", &Object::random(1, 100));
}

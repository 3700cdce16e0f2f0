//! The real servers that take uploads, and the gate before them, do what their pages say to clients that are not bytehaul.

#![cfg(unix)]

mod azurite;
mod draft;
mod form;
mod gate;
mod oss;
mod s3;
mod tus;
mod tus_py;

use std::process::Command;

use bytehaul_testkit::process::{Finished, Process};

/// Runs curl with a body on its standard input.
fn curl(arguments: &[&str], body: &[u8]) -> Finished {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*"]).args(arguments);
    Process::new(command).input(body).run().unwrap()
}

/// Status and lowercased head of an answer to `method` with these headers and this body.
fn ask(method: &str, url: &str, headers: &[&str], body: &[u8]) -> (u16, String) {
    let mut arguments = vec!["-X", method, "-D", "-", "-o", "/dev/null"];
    if method == "HEAD" {
        arguments = vec!["-I"];
    }
    // curl's own idea of a form is nobody's here.
    arguments.extend(["-H", "Expect:", "-H", "Content-Type:"]);
    for header in headers {
        arguments.extend(["-H", *header]);
    }
    if !body.is_empty() {
        arguments.extend(["--data-binary", "@-"]);
    }
    arguments.push(url);
    let head = curl(&arguments, body).out().to_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or(0), head)
}

/// Value of a header in a lowercased head.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .map(str::trim)
}

/// Bytes that do not repeat soon.
fn content(len: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

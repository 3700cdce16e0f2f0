//! Rules for single Rust files: how they open, how long they grow, what they leave undone.

use std::path::{Path, PathBuf};

use super::Finding;

pub(super) fn check(root: &Path, files: &[PathBuf], findings: &mut Vec<Finding>) {
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
    {
        match std::fs::read_to_string(root.join(file)) {
            Ok(text) => check_text(file, &text, findings),
            Err(error) => findings.push(Finding::error(file, 1, error.to_string())),
        }
    }
}

fn check_text(file: &Path, text: &str, findings: &mut Vec<Finding>) {
    let opening = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("//! "));
    if opening.is_none_or(|purpose| purpose.trim().is_empty()) {
        findings.push(Finding::error(
            file,
            1,
            "does not open with a `//!` line that says its purpose",
        ));
    }
    match text.lines().count() {
        lines if lines > MOST_LINES => {
            findings.push(Finding::error(
                file,
                lines,
                format!("{lines} lines, the most is {MOST_LINES}"),
            ));
        }
        lines if lines >= MANY_LINES => {
            findings.push(Finding::warning(
                file,
                lines,
                format!("{lines} lines: does it still hold one idea?"),
            ));
        }
        _ => (),
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        for word in UNFINISHED {
            if code.contains(word) {
                findings.push(Finding::error(
                    file,
                    number + 1,
                    format!("unfinished: `{word}…`"),
                ));
            }
        }
        if logs_past_the_listener(file, code) {
            findings.push(Finding::error(
                file,
                number + 1,
                "an event that no listener hears: log with `bytehaul_log`",
            ));
        }
        if ALLOW
            .iter()
            .any(|attribute| code.trim_start().starts_with(attribute))
        {
            findings.push(Finding::error(
                file,
                number + 1,
                "`allow` where `expect` with a reason belongs",
            ));
        }
    }
}

/// Whether a library crate emits an event by `tracing`'s own macros, which the debug-log listener would not hear.
fn logs_past_the_listener(file: &Path, code: &str) -> bool {
    let is_library = LOGGING
        .iter()
        .any(|name| file.starts_with(Path::new("crates").join(name).join("src")));
    is_library && LEVELS.iter().any(|level| code.contains(level))
}

/// Crates whose events the listener hears.
const LOGGING: [&str; 3] = ["bytehaul", "bytehaul-storage", "bytehaul-transport"];
const LEVELS: [&str; 5] = [
    "tracing::error!",
    "tracing::warn!",
    "tracing::info!",
    "tracing::debug!",
    "tracing::trace!",
];
const MOST_LINES: usize = 600;
const MANY_LINES: usize = 400;
const ALLOW: [&str; 2] = ["#[allow(", "#![allow("];
/// Written apart, so that this file passes its own rule.
const UNFINISHED: [&str; 3] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_a_file() {
        let check = |text: &str, expected: &[&str]| {
            let mut findings = Vec::new();
            check_text(Path::new("a.rs"), text, &mut findings);
            let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{text}");
        };
        let event = "//! Purpose.\ntracing::debug!(\"x\");\n";
        let library = Path::new("crates/bytehaul/src/a.rs");
        assert!(logs_past_the_listener(library, event));
        assert!(!logs_past_the_listener(
            Path::new("crates/bytehaul-cli/src/a.rs"),
            event
        ));
        check("//! Knows a thing.\nfn main() {}\n", &[]);
        let purpose = "a.rs:1: does not open with a `//!` line that says its purpose";
        check("fn main() {}\n", &[purpose]);
        check("//! \nfn main() {}\n", &[purpose]);
        check("", &[purpose]);
        let unfinished = format!(
            "//! Purpose.\nfn f() {{ {}) }}\n// a {}) to come\n",
            UNFINISHED[0], UNFINISHED[0]
        );
        check(
            &unfinished,
            &[&format!("a.rs:2: unfinished: `{}…`", UNFINISHED[0])],
        );
        check(
            &format!("//! Purpose.\n{}", "\n".repeat(600)),
            &["a.rs:601: 601 lines, the most is 600"],
        );
        check(
            &format!("//! Purpose.\n{}", "\n".repeat(399)),
            &["a.rs:400: warning: 400 lines: does it still hold one idea?"],
        );
    }
}

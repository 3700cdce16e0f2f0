//! Rules for the crates of the workspace: inherited metadata, a README page, documented and safe libraries.

use std::path::Path;

use cargo_metadata::{Metadata, Package};

use super::Finding;

pub(super) fn check(root: &Path, metadata: &Metadata, findings: &mut Vec<Finding>) {
    for package in metadata.workspace_packages() {
        inherits(root, package, findings);
        let library = package.targets.iter().find(|target| target.is_lib());
        if let Some(library) = library {
            let dir = package
                .manifest_path
                .parent()
                .map(|dir| dir.as_std_path().to_owned())
                .unwrap_or_default();
            if !dir.join("README.md").is_file() {
                findings.push(Finding::error(
                    shorten(root, &dir),
                    1,
                    "a library crate without a README.md",
                ));
            }
            let source = library.src_path.as_std_path();
            let text = std::fs::read_to_string(source).unwrap_or_default();
            library_opens_strictly(shorten(root, source), &text, findings);
        }
    }
}

fn inherits(root: &Path, package: &Package, findings: &mut Vec<Finding>) {
    let manifest = package.manifest_path.as_std_path();
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    for key in INHERITED {
        let inherited = format!("{key}.workspace = true");
        if !text.lines().any(|line| line.trim() == inherited) {
            findings.push(Finding::error(
                shorten(root, manifest),
                1,
                format!("without `{inherited}`"),
            ));
        }
    }
    let lints = text
        .split("[lints]")
        .nth(1)
        .and_then(|rest| rest.trim_start().lines().next());
    if lints != Some("workspace = true") {
        findings.push(Finding::error(
            shorten(root, manifest),
            1,
            "without the lints of the workspace",
        ));
    }
}

fn library_opens_strictly(file: &Path, text: &str, findings: &mut Vec<Finding>) {
    if !text.contains("#![warn(missing_docs)]") {
        findings.push(Finding::error(
            file,
            1,
            "a library without `#![warn(missing_docs)]`",
        ));
    }
    if !text.contains("#![forbid(unsafe_code)]") && !text.contains("#![deny(unsafe_code)]") {
        findings.push(Finding::error(
            file,
            1,
            "a library that neither forbids nor denies unsafe code",
        ));
    }
}

fn shorten<'a>(root: &Path, file: &'a Path) -> &'a Path {
    file.strip_prefix(root).unwrap_or(file)
}

const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_documented_and_safe() {
        let count = |text: &str| {
            let mut findings = Vec::new();
            library_opens_strictly(Path::new("lib.rs"), text, &mut findings);
            findings.len()
        };
        assert_eq!(
            count("//! A.\n#![warn(missing_docs)]\n#![forbid(unsafe_code)]\n"),
            0
        );
        assert_eq!(
            count("//! A.\n#![warn(missing_docs)]\n#![deny(unsafe_code)]\n"),
            0
        );
        assert_eq!(count("//! A.\n#![warn(missing_docs)]\n"), 1);
        assert_eq!(count("//! A.\n"), 2);
    }
}

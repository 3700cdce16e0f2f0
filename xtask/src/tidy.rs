//! `cargo xtask tidy`: the rules that no compiler checks, each in a file of its own.

mod layers;
mod links;
mod manifests;
mod named_tests;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::workspace::{Failure, Workspace};

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let files = workspace.files()?;
    let metadata = workspace.metadata()?;
    let mut findings = Vec::new();
    top_level(&files, &mut findings);
    sources::check(workspace.root(), &files, &mut findings);
    links::check(workspace.root(), &files, &mut findings);
    named_tests::check(workspace.root(), &files, &mut findings);
    manifests::check(workspace.root(), &metadata, &mut findings);
    layers::check(workspace, &metadata, &mut findings)?;
    report(&findings)
}

fn report(findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        println!("{finding}");
    }
    match findings
        .iter()
        .filter(|finding| finding.weight == Weight::Error)
        .count()
    {
        0 => Ok(()),
        errors => Err(format!(
            "tidy: {errors} finding{}",
            if errors == 1 { "" } else { "s" }
        )),
    }
}

fn top_level(files: &[PathBuf], findings: &mut Vec<Finding>) {
    let mut seen = Vec::new();
    for file in files {
        let first = file
            .components()
            .next()
            .map(|part| part.as_os_str().to_string_lossy().into_owned());
        let Some(first) = first.filter(|first| !seen.contains(first)) else {
            continue;
        };
        if !first.starts_with('.') && !TOP_LEVEL.contains(&first.as_str()) {
            findings.push(Finding::error(
                &first,
                1,
                "does not belong at the top level",
            ));
        }
        seen.push(first);
    }
    for wanted in TOP_LEVEL {
        if !seen.iter().any(|one| one == wanted) {
            findings.push(Finding::error(wanted, 1, "is missing at the top level"));
        }
    }
}

/// Something that a rule has to say about a line of a file.
#[derive(Debug)]
struct Finding {
    file: PathBuf,
    line: usize,
    message: String,
    weight: Weight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Warning,
    Error,
}

impl Finding {
    fn error(file: impl AsRef<Path>, line: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.as_ref().to_owned(),
            line,
            message: message.into(),
            weight: Weight::Error,
        }
    }

    fn warning(file: impl AsRef<Path>, line: usize, message: impl Into<String>) -> Self {
        Self {
            weight: Weight::Warning,
            ..Self::error(file, line, message)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Warning => "warning: ",
            Weight::Error => "",
        };
        write!(
            f,
            "{}:{}: {weight}{}",
            self.file.display(),
            self.line,
            self.message
        )
    }
}

const TOP_LEVEL: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates",
    "xtask",
    "docs",
    "fuzz",
    "README.md",
    "LICENSE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_level_is_a_closed_list() {
        let all: Vec<PathBuf> = TOP_LEVEL.iter().map(PathBuf::from).collect();
        let check = |files: &[PathBuf], expected: &[&str]| {
            let mut findings = Vec::new();
            top_level(files, &mut findings);
            let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        check(&all, &[]);
        let more = [
            &all[..],
            &[
                ".gitignore".into(),
                "notes/a.md".into(),
                "notes/b.md".into(),
            ],
        ]
        .concat();
        check(&more, &["notes:1: does not belong at the top level"]);
        check(&all[..7], &["LICENSE:1: is missing at the top level"]);
    }
}

//! The arrows between the crates of the workspace, and what must not be reachable from whom.

use cargo_metadata::{DependencyKind, Metadata, Package};

use super::Finding;
use crate::workspace::{Failure, Workspace};

pub(super) fn check(
    workspace: &Workspace,
    metadata: &Metadata,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    for package in metadata.workspace_packages() {
        let manifest = package.manifest_path.as_std_path();
        let file = manifest.strip_prefix(workspace.root()).unwrap_or(manifest);
        for message in wrong_arrows(package.name.as_str(), &arrows_of(metadata, package)) {
            findings.push(Finding::error(file, 1, message));
        }
        let name = package.name.as_str();
        let Some((_, forbidden)) = UNREACHABLE.iter().find(|(from, _)| *from == name) else {
            continue;
        };
        for reached in reachable(workspace, name)? {
            if forbidden.forbids(&reached) {
                findings.push(Finding::error(
                    file,
                    1,
                    format!("`{reached}` is reachable from {name}"),
                ));
            }
        }
    }
    Ok(())
}

/// An arrow to another crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrow {
    to: String,
    only_for_tests: bool,
}

fn arrows_of(metadata: &Metadata, package: &Package) -> Vec<Arrow> {
    let members: Vec<_> = metadata
        .workspace_packages()
        .iter()
        .map(|member| member.name.to_string())
        .collect();
    package
        .dependencies
        .iter()
        .filter(|dependency| members.contains(&dependency.name))
        .map(|dependency| Arrow {
            to: dependency.name.clone(),
            only_for_tests: dependency.kind == DependencyKind::Development,
        })
        .collect()
}

fn wrong_arrows(from: &str, arrows: &[Arrow]) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
        return vec![format!("{from} has no place among the layers")];
    };
    arrows
        .iter()
        .filter(|arrow| !allowed.contains(&arrow.to.as_str()))
        .filter(|arrow| !(arrow.only_for_tests && arrow.to == TEST_KIT))
        .map(|arrow| format!("no arrow leads from {from} to {}", arrow.to))
        .collect()
}

/// Names of all crates below `name`: normal dependencies with all of its own features, on any platform.
fn reachable(workspace: &Workspace, name: &str) -> Result<Vec<String>, Failure> {
    let packages = workspace.tree(&["--edges", "normal", "--target", "all", "--package", name])?;
    Ok(packages
        .into_iter()
        .map(|(reached, _)| reached)
        .filter(|reached| reached != name)
        .collect())
}

/// What a crate must not reach.
#[derive(Debug)]
enum Forbidden {
    /// Any crate at all: std only.
    Everything,
    /// Crates whose name is one of these, or starts with it and a hyphen.
    Families(&'static [&'static str]),
}

impl Forbidden {
    fn forbids(&self, reached: &str) -> bool {
        match self {
            Forbidden::Everything => true,
            Forbidden::Families(families) => families.iter().any(|family| {
                reached
                    .strip_prefix(family)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            }),
        }
    }
}

const TEST_KIT: &str = "bytehaul-testkit";

const ARROWS: [(&str, &[&str]); 11] = [
    ("bytehaul-log", &[]),
    ("bytehaul-schedule", &[]),
    ("bytehaul-integrity", &[]),
    ("bytehaul-ratelimit", &[]),
    ("bytehaul-transport", &["bytehaul-log"]),
    ("bytehaul-storage", &["bytehaul-integrity", "bytehaul-log"]),
    ("bytehaul-providers", &["bytehaul-integrity"]),
    (
        "bytehaul",
        &[
            "bytehaul-schedule",
            "bytehaul-integrity",
            "bytehaul-log",
            "bytehaul-ratelimit",
            "bytehaul-storage",
            "bytehaul-transport",
            "bytehaul-providers",
        ],
    ),
    ("bytehaul-cli", &["bytehaul", TEST_KIT]),
    (TEST_KIT, &["bytehaul-schedule"]),
    ("xtask", &[]),
];

const UNREACHABLE: [(&str, Forbidden); 5] = [
    (
        "bytehaul-log",
        Forbidden::Families(&["tokio", "hyper", "rustls", "hickory"]),
    ),
    ("bytehaul-schedule", Forbidden::Everything),
    (
        "bytehaul-integrity",
        Forbidden::Families(&["tokio", "hyper", "rustls", "hickory"]),
    ),
    (
        "bytehaul-providers",
        Forbidden::Families(&["tokio", "hyper", "rustls", "hickory"]),
    ),
    (
        "bytehaul-ratelimit",
        Forbidden::Families(&["hyper", "rustls", "hickory"]),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows() {
        let check = |from: &str, to: &str, only_for_tests: bool, allowed: bool| {
            let arrow = Arrow {
                to: to.to_owned(),
                only_for_tests,
            };
            assert_eq!(
                wrong_arrows(from, &[arrow]).is_empty(),
                allowed,
                "{from} -> {to}"
            );
        };
        check("bytehaul", "bytehaul-storage", false, true);
        check("bytehaul-storage", "bytehaul-integrity", false, true);
        check("bytehaul-storage", "bytehaul-schedule", false, false);
        check("bytehaul-storage", "bytehaul-schedule", true, false);
        check("bytehaul-transport", TEST_KIT, true, true);
        check("bytehaul-transport", TEST_KIT, false, false);
        check("bytehaul-cli", TEST_KIT, false, true);
        check("bytehaul-schedule", "bytehaul-integrity", false, false);
        assert_eq!(
            wrong_arrows("bytehaul-new", &[]),
            ["bytehaul-new has no place among the layers"]
        );
    }

    #[test]
    fn families() {
        let families = Forbidden::Families(&["tokio", "hickory"]);
        for (name, forbidden) in [
            ("tokio", true),
            ("tokio-rustls", true),
            ("hickory-proto", true),
            ("tokiotools", false),
            ("bytes", false),
        ] {
            assert_eq!(families.forbids(name), forbidden, "{name}");
        }
        assert!(Forbidden::Everything.forbids("bytes"));
    }
}

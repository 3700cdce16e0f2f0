//! `cargo xtask audit`: licences, duplicates and sources of what is depended upon, by the rules of `.config/deny.toml`.
//!
//! Where cargo-deny is installed it does the check. Elsewhere the same file is read and checked here.

use std::collections::BTreeMap;

use serde::Deserialize;
use spdx::{Expression, LicenseReq};

use crate::step::execute;
use crate::workspace::{Failure, Workspace, is_installed};

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    if is_installed("cargo-deny", "--version") {
        let mut command = workspace.cargo();
        command.args([
            "deny",
            "--all-features",
            "check",
            "--config",
            RULES,
            "licenses",
            "bans",
            "sources",
        ]);
        return execute(&mut command);
    }
    let text = std::fs::read_to_string(workspace.root().join(RULES))
        .map_err(|error| format!("{RULES}: {error}"))?;
    let rules: Rules = toml::from_str(&text).map_err(|error| format!("{RULES}: {error}"))?;
    let findings = findings(&rules, &used(workspace)?);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(format!("audit: {} findings", findings.len()))
    }
}

/// The part of cargo-deny's configuration that is understood here.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    #[serde(default)]
    skip: Vec<Skip>,
}

/// A version that may stand beside another one of the same crate.
#[derive(Debug, Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    name_and_version: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// What the rules want to know about one package.
#[derive(Clone, Debug)]
struct Used {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for a crate of the workspace.
    source: Option<String>,
}

/// All packages that are built on the platform looked after, tests included.
fn used(workspace: &Workspace) -> Result<Vec<Used>, Failure> {
    let built = workspace.tree(&["--workspace", "--edges", "normal,build,dev"])?;
    let metadata = workspace.metadata()?;
    let packages = metadata.packages.iter().map(|package| Used {
        name: package.name.to_string(),
        version: package.version.to_string(),
        license: package.license.clone(),
        source: package.source.as_ref().map(|source| source.repr.clone()),
    });
    Ok(packages
        .filter(|package| built.contains(&(package.name.clone(), package.version.clone())))
        .collect())
}

fn findings(rules: &Rules, used: &[Used]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in used {
        findings.extend(license_finding(&rules.licenses.allow, package));
        findings.extend(source_finding(&rules.sources.allow_registry, package));
    }
    findings.extend(duplicates(&rules.bans.skip, used));
    findings
}

fn license_finding(allowed: &[String], package: &Used) -> Option<String> {
    let Used {
        name,
        version,
        license,
        ..
    } = package;
    let Some(license) = license else {
        return Some(format!("{name} {version}: no licence given"));
    };
    let expression = match Expression::parse_mode(license, spdx::ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => {
            return Some(format!(
                "{name} {version}: licence `{license}`: {}",
                error.reason
            ));
        }
    };
    let is_allowed = |needed: &LicenseReq| allowed.contains(&needed.to_string());
    (!expression.evaluate(is_allowed))
        .then(|| format!("{name} {version}: licence `{license}` is not allowed"))
}

fn source_finding(registries: &[String], package: &Used) -> Option<String> {
    let source = package.source.as_ref()?;
    let is_allowed = registries
        .iter()
        .any(|registry| source == &format!("registry+{registry}"));
    (!is_allowed).then(|| format!("{} {}: comes from {source}", package.name, package.version))
}

/// Crates in several versions of which more than one is not excused, and excuses that nothing needs.
fn duplicates(skips: &[Skip], used: &[Used]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in used {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    let mut findings = Vec::new();
    let is_skipped = |name: &str, version: &str| {
        skips
            .iter()
            .any(|skip| skip.name_and_version.split_once('@') == Some((name, version)))
    };
    for (name, versions) in &versions {
        let unexcused = versions
            .iter()
            .filter(|version| !is_skipped(name, version))
            .count();
        if versions.len() > 1 && unexcused > 1 {
            findings.push(format!("{name}: in versions {}", versions.join(", ")));
        }
    }
    for skip in skips {
        let needed = skip
            .name_and_version
            .split_once('@')
            .and_then(|(name, version)| {
                versions
                    .get(name)
                    .filter(|all| all.len() > 1 && all.contains(&version))
            });
        if needed.is_none() {
            findings.push(format!(
                "{RULES}: `{}` is skipped without need",
                skip.name_and_version
            ));
        }
        if skip.reason.trim().is_empty() {
            findings.push(format!(
                "{RULES}: `{}` is skipped without a reason",
                skip.name_and_version
            ));
        }
    }
    findings
}

const RULES: &str = ".config/deny.toml";

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, license: &str) -> Used {
        Used {
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some(license.to_owned()),
            source: Some("registry+https://github.com/rust-lang/crates.io-index".to_owned()),
        }
    }

    fn rules(skip: &str) -> Rules {
        let text = format!(
            "[licenses]\nallow = [\"MIT\", \"Apache-2.0\"]\n[bans]\nskip = [{skip}]\n[sources]\n\
             allow-registry = [\"https://github.com/rust-lang/crates.io-index\"]\n"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn licences_are_expressions() {
        let check = |license: &str, allowed: bool| {
            let found = findings(&rules(""), &[package("a", "1.0.0", license)]);
            assert_eq!(found.is_empty(), allowed, "{license}: {found:?}");
        };
        check("MIT", true);
        check("MIT/Apache-2.0", true);
        check("GPL-3.0-only OR MIT", true);
        check("GPL-3.0-only AND MIT", false);
        check("GPL-3.0-only", false);
        check("Apache-2.0 WITH LLVM-exception OR MIT", true);
        check("nonsense", false);
        let unlicensed = Used {
            license: None,
            ..package("a", "1.0.0", "")
        };
        assert_eq!(
            findings(&rules(""), &[unlicensed]),
            ["a 1.0.0: no licence given"]
        );
    }

    #[test]
    fn duplicates_need_an_excuse() {
        let used = [
            package("a", "1.0.0", "MIT"),
            package("a", "2.0.0", "MIT"),
            package("b", "1.0.0", "MIT"),
        ];
        assert_eq!(findings(&rules(""), &used), ["a: in versions 1.0.0, 2.0.0"]);
        assert!(
            findings(
                &rules("{ crate = \"a@1.0.0\", reason = \"b still needs it\" }"),
                &used
            )
            .is_empty()
        );
        let idle =
            "{ crate = \"a@1.0.0\", reason = \"why\" }, { crate = \"b@1.0.0\", reason = \"why\" }";
        assert_eq!(
            findings(&rules(idle), &used),
            [".config/deny.toml: `b@1.0.0` is skipped without need"]
        );
    }

    #[test]
    fn only_one_registry() {
        let elsewhere = Used {
            source: Some("git+https://example.com/a".to_owned()),
            ..package("a", "1.0.0", "MIT")
        };
        assert_eq!(
            findings(&rules(""), &[elsewhere]),
            ["a 1.0.0: comes from git+https://example.com/a"]
        );
        let own = Used {
            source: None,
            ..package("a", "1.0.0", "MIT")
        };
        assert!(findings(&rules(""), &[own]).is_empty());
    }
}

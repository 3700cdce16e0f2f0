//! Where the workspace is, and what Cargo and git know of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};

/// Why a task failed, in one line.
pub(crate) type Failure = String;

/// The checked-out workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace this program was started from by `cargo xtask`, or else the one around the current directory.
    pub(crate) fn find() -> Result<Self, Failure> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(manifest) => PathBuf::from(manifest),
            None => {
                std::env::current_dir().map_err(|error| format!("current directory: {error}"))?
            }
        };
        let root = start
            .ancestors()
            .find(|dir| dir.join("xtask").is_dir() && dir.join("Cargo.toml").is_file());
        match root {
            Some(root) => Ok(Self {
                root: root.to_owned(),
            }),
            None => Err(format!("no workspace around {}", start.display())),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `cargo`, to be run at the root.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root);
        command
    }

    /// What `cargo metadata` says with all features, for the platforms that are looked after.
    pub(crate) fn metadata(&self) -> Result<Metadata, Failure> {
        MetadataCommand::new()
            .manifest_path(self.root.join("Cargo.toml"))
            .features(CargoOpt::AllFeatures)
            .other_options(["--filter-platform".to_owned(), PLATFORM.to_owned()])
            .exec()
            .map_err(|error| format!("cargo metadata: {error}"))
    }

    /// Names and versions of what `cargo tree` says is really built with all features, in order and once each.
    pub(crate) fn tree(&self, arguments: &[&str]) -> Result<Vec<(String, String)>, Failure> {
        let listed = self
            .cargo()
            .args([
                "tree",
                "--all-features",
                "--prefix",
                "none",
                "--format",
                "{p}",
            ])
            .args(arguments)
            .output()
            .map_err(|error| format!("cargo tree: {error}"))?;
        if !listed.status.success() {
            return Err(format!(
                "cargo tree: {}",
                String::from_utf8_lossy(&listed.stderr).trim()
            ));
        }
        let mut packages: Vec<_> = String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter_map(|line| line.split(' ').next().zip(line.split(' ').nth(1)))
            .map(|(name, version)| (name.to_owned(), version.trim_start_matches('v').to_owned()))
            .collect();
        packages.sort();
        packages.dedup();
        Ok(packages)
    }

    /// Every file that is in git or about to be, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        let listed = Command::new("git")
            .current_dir(&self.root)
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .output()
            .map_err(|error| format!("git: {error}"))?;
        if !listed.status.success() {
            return Err(format!(
                "git ls-files: {}",
                String::from_utf8_lossy(&listed.stderr).trim()
            ));
        }
        let mut files: Vec<PathBuf> = String::from_utf8_lossy(&listed.stdout)
            .split_terminator('\0')
            .map(PathBuf::from)
            .filter(|file| self.root.join(file).is_file())
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// The members that are libraries, by name.
pub(crate) fn libraries(metadata: &Metadata) -> Vec<&Package> {
    let mut libraries = metadata.workspace_packages();
    libraries.retain(|package| package.targets.iter().any(cargo_metadata::Target::is_lib));
    libraries.sort_by(|a, b| a.name.cmp(&b.name));
    libraries
}

/// Whether a program by this name can be started.
pub(crate) fn is_installed(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .output()
        .is_ok_and(|output| output.status.success())
}

const PLATFORM: &str = "x86_64-unknown-linux-gnu";

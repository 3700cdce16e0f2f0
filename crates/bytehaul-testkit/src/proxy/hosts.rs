//! Host names that one process knows and the rest of the machine does not.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

/// The lines of a hosts file.
#[derive(Clone, Debug)]
pub(super) struct Hosts(String);

impl Hosts {
    pub(super) fn add(&mut self, name: &str, address: IpAddr) {
        self.0.push_str(&format!("{address} {name}\n"));
    }

    /// Writes them to `scratch`, where squid looks by itself.
    pub(super) fn write(&self, scratch: &Path) -> io::Result<()> {
        fs::write(scratch.join(FILE), &self.0)
    }

    /// Writes them to `scratch` and makes `command` look them up there before it asks the system.
    ///
    /// # Panics
    /// When the library that does so is not installed.
    pub(super) fn teach(&self, scratch: &Path, command: &mut Command) -> io::Result<()> {
        assert!(
            fs::read_dir("/usr/lib")?
                .flatten()
                .any(|entry| entry.path().join(WRAPPER).is_file()),
            "{WRAPPER} is not installed; `bash .ci/run` installs what the tests need"
        );
        self.write(scratch)?;
        command.env("LD_PRELOAD", WRAPPER);
        command.env("NSS_WRAPPER_HOSTS", scratch.join(FILE));
        Ok(())
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self("127.0.0.1 localhost\n".to_owned())
    }
}

pub(super) const FILE: &str = "hosts";
const WRAPPER: &str = "libnss_wrapper.so";

//! curl with a directory of its own and one authority that it trusts.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bytehaul_testkit::pki::{Authority, Certificate};
use bytehaul_testkit::process::{Finished, Process};
use tempfile::TempDir;

pub(crate) struct Curl {
    dir: TempDir,
    trusted: PathBuf,
}

impl Curl {
    pub(crate) fn trusting(authority: &Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let trusted = dir.path().join("ca.pem");
        fs::write(&trusted, authority.pem()).unwrap();
        Self { dir, trusted }
    }

    /// Path of the certificate that it trusts.
    pub(crate) fn trusted(&self) -> &str {
        self.trusted.to_str().unwrap()
    }

    /// Writes a file into its directory.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The arguments that make it show a certificate.
    pub(crate) fn showing(&self, certificate: &Certificate) -> [String; 4] {
        let paths = [
            self.file("client.pem", certificate.chain_pem()),
            self.file("client.key", certificate.key_pem()),
        ];
        let [chain, key] = paths.map(|path| path.into_os_string().into_string().unwrap());
        ["--cert".to_owned(), chain, "--key".to_owned(), key]
    }

    /// Fetches without a proxy. Its standard output is the status and a space, or what a later `-w` says.
    pub(crate) fn status(&self, arguments: &[&str]) -> Finished {
        self.run(&[&["--noproxy", "*"], arguments].concat())
    }

    /// The same through the proxy that the arguments give.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "5", "--cacert"])
            .arg(&self.trusted)
            .args(["-o", "/dev/null", "-w", "%{http_code} "])
            .args(arguments)
            .env_clear();
        Process::new(command).run().unwrap()
    }
}

//! A real nginx on loopback with a configuration of its own, for what a scripted server cannot prove.

mod configuration;
mod log;

use std::fs;
use std::path::Path;
use std::process::Command;

pub use self::configuration::Setup;
pub use self::log::Logged;

use self::configuration::Configuration;
use crate::daemon::{self, Daemon};

/// A running nginx. Dropping it stops it and removes its temporary files.
///
/// The files of one directory are served at `/files/` (ranges, `ETag`, `If-Range`), `/norange/`, `/noetag/`,
/// `/novalidator/`, `/weaketag/`, `/throttled/` (a rate for each connection), `/maxconn2/` (the third connection
/// draws a 429), `/chunked/`, `/gzip/`, `/named/` (`filename*`), `/redir/` (relative to `/files/`), and `/e403`,
/// `/e404`, `/e429`, `/e503` answer with these statuses. `PUT` and `DELETE` at `/put/` change the directory, at
/// `/put-small/` a `PUT` of more than 1 KiB draws a 413 before it is read, and `/sink/` answers 204 before it throws the
/// body away. `/auth/` wants a login where [`Setup::login`] gave one.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
    scheme: &'static str,
}

impl Nginx {
    /// Starts an nginx that serves the files in `dir`; `None` where none is installed.
    ///
    /// # Panics
    /// When it does not start, or when it is not installed though the environment says `CI`: there it must be.
    #[must_use]
    pub fn start(dir: &Path) -> Option<Self> {
        Self::start_with(Setup::new(dir))
    }

    /// The same with this rate for `/throttled/`, in bytes a second for each connection.
    ///
    /// # Panics
    /// As [`Nginx::start`].
    #[must_use]
    pub fn start_throttled(dir: &Path, bytes_per_second: u64) -> Option<Self> {
        Self::start_with(Setup::new(dir).rate(bytes_per_second))
    }

    fn start_with(setup: Setup) -> Option<Self> {
        let is_installed = daemon::program("nginx").is_some();
        assert!(
            is_installed || std::env::var_os("CI").is_none(),
            "nginx is not installed, and this is CI"
        );
        is_installed.then(|| setup.start())
    }

    /// Chooses TLS, HTTP/2, client certificates and a login before the start of one that serves the files in `dir`.
    pub fn serving(dir: &Path) -> Setup {
        Setup::new(dir)
    }

    fn launch(configuration: &Configuration) -> Self {
        let program = daemon::required("nginx");
        let daemon = Daemon::start("nginx", |scratch, port| {
            for (file, text) in configuration.files(port) {
                fs::write(scratch.join(file), text)?;
            }
            let mut command = Command::new(&program);
            command.arg("-p").arg(scratch);
            command.args(["-c", "nginx.conf", "-e", "error.log"]);
            Ok(command)
        });
        Self {
            daemon,
            scheme: configuration.scheme(),
        }
    }

    /// `http://127.0.0.1:port` and `path`, or `https:` with TLS.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.url_on("127.0.0.1", path)
    }

    /// The same place under another host name, such as `localhost`: another origin.
    #[must_use]
    pub fn url_on(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.port())
    }

    /// The port that was found.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.daemon.port()
    }

    /// The access log so far: method, target, status, body bytes, `range=`, `conn=` of each finished request.
    #[must_use]
    pub fn access_log(&self) -> Vec<String> {
        self.daemon.lines("access.log")
    }

    /// All finished requests so far with what they carried.
    ///
    /// # Panics
    /// When nginx wrote what cannot be understood.
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        let lines = self.daemon.lines("requests.log");
        lines.iter().map(|line| Logged::parse(line)).collect()
    }

    /// What nginx complained about so far, such as failed handshakes.
    #[must_use]
    pub fn error_log(&self) -> Vec<String> {
        self.daemon.lines("error.log")
    }
}

//! Real proxies on loopback, and what they have in common: an address, a log, and hosts that only they know.
//!
//! Each is chosen and started by its own builder: [`Tinyproxy`] and [`Squid`] speak HTTP, [`Microsocks`] and [`Dante`]
//! SOCKS 5, [`Twisted`] SOCKS 4 and 4a.
//!
//! ```no_run
//! use bytehaul_testkit::proxy::Microsocks;
//!
//! let proxy = Microsocks::new().login("user", "secret").host("files.test", [127, 0, 0, 1]).start();
//! let url = proxy.url_as("socks5h", "user", "secret"); // give it to what is tested …
//! assert!(proxy.logs("connected to files.test:")); // … and see that the name was sent, not the address
//! # let _ = url;
//! ```

mod hosts;
mod http;
mod socks;

use std::thread;
use std::time::{Duration, Instant};

pub use self::http::{Squid, Tinyproxy};
pub use self::socks::{Dante, Microsocks, Twisted};

use crate::daemon::Daemon;

/// A running proxy. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Proxy {
    daemon: Daemon,
    log: &'static str,
}

impl Proxy {
    /// The port that was found.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.daemon.port()
    }

    /// `scheme://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// `scheme://user:password@127.0.0.1:port`. Both are put there as they are: already encoded, where they need it.
    #[must_use]
    pub fn url_as(&self, scheme: &str, user: &str, password: &str) -> String {
        format!("{scheme}://{user}:{password}@127.0.0.1:{}", self.port())
    }

    /// `scheme://host:port`, for a certificate with that name.
    #[must_use]
    pub fn url_on(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}", self.port())
    }

    /// What it wrote to its log so far, in its own words.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.daemon.lines(self.log)
    }

    /// Whether a line of the log has this in it, now or within the next two seconds: some write when all is over.
    #[must_use]
    pub fn logs(&self, text: &str) -> bool {
        let began = Instant::now();
        loop {
            if self.log().iter().any(|line| line.contains(text)) {
                return true;
            }
            if began.elapsed() > LATE {
                return false;
            }
            thread::sleep(POLL);
        }
    }
}

const LATE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

//! A server of the system as a child process: found, given a directory and free ports, awaited, and stopped by its pid.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::process::pid_of;

/// A running server. Dropping it stops it and removes its directory.
#[derive(Debug)]
pub(crate) struct Daemon {
    port: u16,
    child: Child,
    end: Signal,
    // Declared last: the directory goes after the process.
    scratch: Scratch,
}

impl Daemon {
    /// Starts what `command` makes of an empty directory and a free port, and waits until that port answers over TCP.
    ///
    /// The command runs in that directory. Another port is tried when it ends at once: somebody may have taken the first.
    ///
    /// # Panics
    /// When it does not start.
    pub(crate) fn start(name: &str, command: impl Fn(&Path, u16) -> io::Result<Command>) -> Self {
        let mut said = io::Error::other("never tried");
        for _ in 0..ATTEMPTS {
            match Self::launch(name, &command) {
                Ok(daemon) => return daemon,
                Err(error) => said = error,
            }
        }
        panic!("{name} does not start: {said}");
    }

    fn launch(
        name: &str,
        command: &impl Fn(&Path, u16) -> io::Result<Command>,
    ) -> io::Result<Self> {
        let scratch = Scratch::new(name)?;
        let port = free_port()?;
        let output = fs::File::create(scratch.0.join(OUTPUT))?;
        let child = command(&scratch.0, port)?
            .current_dir(&scratch.0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut daemon = Self {
            port,
            child,
            end: Signal::TERM,
            scratch,
        };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_TIMEOUT {
            let answers = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            // One that found its port taken, and so answered by a stranger, is about to end.
            thread::sleep(POLL);
            if let Some(status) = self.child.try_wait()? {
                let said = self.lines(OUTPUT).join("\n");
                return Err(io::Error::other(format!("{status}: {said}")));
            }
            if answers {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// For one without children that takes its time to end in good order.
    pub(crate) fn killed_when_dropped(mut self) -> Self {
        self.end = Signal::KILL;
        self
    }

    /// The port that was found.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its directory, which is gone when it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.scratch.0
    }

    /// The lines of a file in its directory so far; none while it is not there.
    pub(crate) fn lines(&self, file: &str) -> Vec<String> {
        let bytes = fs::read(self.scratch.0.join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Several have children of their own, which killing outright would leave behind.
        let _ = kill_process(pid_of(&self.child), self.end);
        let began = Instant::now();
        while began.elapsed() < STOP_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a program is that may be in no directory of `PATH`, because it is an administrator's.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .map(|place| place.join(name))
        .find(|program| program.is_file())
}

/// The same for one that has to be there.
///
/// # Panics
/// When it is not.
pub(crate) fn required(name: &str) -> PathBuf {
    program(name).unwrap_or_else(|| {
        panic!("{name} is not installed; `bash .ci/run` installs what the tests need")
    })
}

/// A port of 127.0.0.1 that nobody has, neither for TCP nor for UDP.
pub(crate) fn free_port() -> io::Result<u16> {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}

/// A directory that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bytehaul-{name}-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        // A process of the same number may have died before it could clean up.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The file in a daemon's directory that has what it wrote to its standard output and error.
pub(crate) const OUTPUT: &str = "output";

static NUMBER: AtomicU32 = AtomicU32::new(0);
const ATTEMPTS: u32 = 3;
const POLL: Duration = Duration::from_millis(5);
const START_TIMEOUT: Duration = Duration::from_secs(25);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

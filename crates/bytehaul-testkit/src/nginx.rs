//! A real nginx on loopback with a configuration of its own, for what a scripted server cannot prove.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::process::pid_of;

/// A running nginx. Dropping it stops it and removes its temporary files.
///
/// The files of one directory are served at `/files/` (ranges, `ETag`, `If-Range`), `/norange/`, `/noetag/`,
/// `/novalidator/`, `/weaketag/`, `/throttled/` (a rate for each connection), `/maxconn2/` (the third connection
/// draws a 429), `/chunked/`, `/gzip/`, `/named/` (`filename*`), `/redir/` (relative to `/files/`), and `/e403`,
/// `/e404`, `/e429`, `/e503` answer with these statuses.
#[derive(Debug)]
pub struct Nginx {
    port: u16,
    scratch: PathBuf,
    child: Child,
}

impl Nginx {
    /// Starts an nginx that serves the files in `dir`; `None` where none is installed.
    ///
    /// # Panics
    /// When it does not start, or when it is not installed though the environment says `CI`: there it must be.
    #[must_use]
    pub fn start(dir: &Path) -> Option<Self> {
        Self::start_throttled(dir, DEFAULT_RATE)
    }

    /// The same with this rate for `/throttled/`, in bytes a second for each connection.
    ///
    /// # Panics
    /// As [`Nginx::start`].
    #[must_use]
    pub fn start_throttled(dir: &Path, bytes_per_second: u64) -> Option<Self> {
        let Some(program) = program() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "nginx is not installed, and this is CI"
            );
            return None;
        };
        let dir = dir.canonicalize().expect("the directory to serve exists");
        for _ in 0..ATTEMPTS {
            match Self::launch(&program, &dir, bytes_per_second) {
                Ok(nginx) => return Some(nginx),
                // Somebody else may have taken the port between looking and binding.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => (),
                Err(error) => panic!("nginx does not start: {error}"),
            }
        }
        panic!("nginx found no free port in {ATTEMPTS} attempts");
    }

    fn launch(program: &Path, dir: &Path, rate: u64) -> io::Result<Self> {
        let scratch = scratch_dir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        fs::write(scratch.join("nginx.conf"), configuration(dir, port, rate))?;
        let child = Command::new(program)
            .arg("-p")
            .arg(&scratch)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(scratch.join("stderr"))?)
            .spawn()?;
        let mut nginx = Self {
            port,
            scratch,
            child,
        };
        nginx.wait_until_ready()?;
        Ok(nginx)
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read_to_string(self.scratch.join("stderr"))?;
                let in_use = said.contains("Address already in use");
                let kind = if in_use {
                    io::ErrorKind::AddrInUse
                } else {
                    io::ErrorKind::Other
                };
                return Err(io::Error::new(kind, format!("{status}: {said}")));
            }
            if self.scratch.join("nginx.pid").exists()
                && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// `http://127.0.0.1:port` and `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The port that was found.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The access log so far: method, target, status, body bytes, `range=`, `conn=` of each finished request.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn access_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.scratch.join("access.log"))
            .expect("nginx made its log at the start");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers; killing it outright would leave them behind.
        let _ = kill_process(pid_of(&self.child), Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < STOP_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    places
        .map(|place| place.join("nginx"))
        .find(|program| program.is_file())
}

fn scratch_dir() -> io::Result<PathBuf> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("bytehaul-nginx-{}-{number}", std::process::id()));
    // A process of the same number may have died before it could clean up.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir)?;
    Ok(dir)
}

fn configuration(dir: &Path, port: u16, rate: u64) -> String {
    let dir = dir.display();
    // Without this the workers of a root's nginx are nobody and may not read the tests' directories.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        r#"{user}
daemon off; worker_processes 2; pid nginx.pid; error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format ranges '$request_method $request_uri $status $body_bytes_sent range="$http_range" conn=$connection';
  access_log access.log ranges;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  default_type application/octet-stream; sendfile on; tcp_nopush on; keepalive_timeout 30s; keepalive_requests 100000;
  limit_conn_zone $binary_remote_addr zone=client:1m;
  server {{
    listen 127.0.0.1:{port};
    location /files/ {{ alias "{dir}/"; }}
    location /norange/ {{ alias "{dir}/"; max_ranges 0; etag off; }}
    location /noetag/ {{ alias "{dir}/"; etag off; }}
    location /novalidator/ {{ alias "{dir}/"; etag off; add_header Last-Modified ""; if_modified_since off; }}
    location /weaketag/ {{ alias "{dir}/"; etag off; add_header ETag 'W/"weak-1"'; }}
    location /throttled/ {{ alias "{dir}/"; limit_rate {rate}; }}
    location /maxconn2/ {{ alias "{dir}/"; limit_conn client 2; limit_conn_status 429; limit_rate {rate}; }}
    location /chunked/ {{ alias "{dir}/"; sub_filter_types *; sub_filter 'no such text 7f3a' ''; }}
    location /gzip/ {{ alias "{dir}/"; gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any; }}
    location /named/ {{ alias "{dir}/"; add_header Content-Disposition "attachment; filename=\"na_ve.bin\"; filename*=UTF-8''na%C3%AFve%20file.bin"; }}
    location /redir/ {{ rewrite ^/redir/(.*)$ /files/$1 redirect; }}
    location = /e403 {{ return 403; }}
    location = /e404 {{ return 404; }}
    location = /e429 {{ add_header Retry-After 1 always; return 429; }}
    location = /e503 {{ add_header Retry-After 1 always; return 503; }}
  }}
}}
"#
    )
}

static NUMBER: AtomicU32 = AtomicU32::new(0);
const DEFAULT_RATE: u64 = 2 << 20;
const ATTEMPTS: u32 = 5;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

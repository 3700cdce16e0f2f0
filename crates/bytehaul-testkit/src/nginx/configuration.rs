//! The configuration of an nginx: what a test may choose, and the files that nginx reads.

use std::path::{Path, PathBuf};

use super::{Logged, Nginx};
#[cfg(feature = "tls")]
use crate::pki::{Authority, Certificate};

/// Settings of an [`Nginx`] that is not yet started.
#[derive(Clone, Debug)]
#[must_use]
pub struct Setup(Configuration);

impl Setup {
    pub(super) fn new(dir: &Path) -> Self {
        Self(Configuration {
            dir: dir.canonicalize().expect("the directory to serve exists"),
            rate: DEFAULT_RATE,
            version: Version::Http11,
            login: None,
            tls: None,
        })
    }

    /// Rate of `/throttled/` and `/maxconn2/`, in bytes a second for each connection (each stream with HTTP/2).
    /// Default 2 MiB.
    pub fn rate(mut self, bytes_per_second: u64) -> Self {
        self.0.rate = bytes_per_second;
        self
    }

    /// Offers HTTP/2: besides 1.1 with TLS, instead of it without (prior knowledge, RFC 9113 section 3.3).
    pub fn http2(mut self) -> Self {
        self.0.version = Version::Http2;
        self
    }

    /// What `/auth/` wants to be told (RFC 7617); nginx's file has no place for a colon in the password.
    /// Default: there is no `/auth/`.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.0.login = Some(format!("{user}:{{PLAIN}}{password}\n"));
        self
    }

    /// Speaks TLS and shows this certificate. Default: no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.0.tls = Some(Tls {
            chain: certificate.chain_pem().to_owned(),
            key: certificate.key_pem().to_owned(),
            clients: None,
        });
        self
    }

    /// Answers 400 to whoever shows no certificate, or one of another authority.
    ///
    /// # Panics
    /// Without [`Setup::tls`] before it.
    #[cfg(feature = "tls")]
    pub fn client_authority(mut self, authority: &Authority) -> Self {
        let tls = self.0.tls.as_mut().expect("TLS was chosen before");
        tls.clients = Some(authority.pem().to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When nginx is not installed or does not start.
    #[must_use]
    pub fn start(self) -> Nginx {
        Nginx::launch(&self.0)
    }
}

/// All that was chosen.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    dir: PathBuf,
    rate: u64,
    version: Version,
    login: Option<String>,
    tls: Option<Tls>,
}

impl Configuration {
    pub(super) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Names and content of the files that nginx needs, for this port.
    pub(super) fn files(&self, port: u16) -> Vec<(&'static str, String)> {
        let mut files = vec![("nginx.conf", self.main(port))];
        if let Some(login) = &self.login {
            files.push(("logins", login.clone()));
        }
        if let Some(tls) = &self.tls {
            files.push(("chain.pem", tls.chain.clone()));
            files.push(("key.pem", tls.key.clone()));
            files.extend(tls.clients.clone().map(|pem| ("clients.pem", pem)));
        }
        files
    }

    fn main(&self, port: u16) -> String {
        // Without this the workers of a root's nginx are nobody and may not read the tests' directories.
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let columns = Logged::format();
        let listen = self.listen(port);
        let locations = self.locations();
        format!(
            r#"{user}
daemon off; worker_processes 2; pid nginx.pid; error_log error.log info;
events {{ worker_connections 1024; }}
http {{
  log_format ranges '$request_method $request_uri $status $body_bytes_sent range="$http_range" conn=$connection';
  log_format columns '{columns}';
  access_log access.log ranges; access_log requests.log columns;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  default_type application/octet-stream; sendfile on; tcp_nopush on; keepalive_timeout 30s; keepalive_requests 100000;
  limit_conn_zone $binary_remote_addr zone=client:1m;
  server {{
{listen}
{locations}
  }}
}}
"#
        )
    }

    fn listen(&self, port: u16) -> String {
        let http2 = match self.version {
            Version::Http11 => "",
            Version::Http2 => " http2",
        };
        let Some(tls) = &self.tls else {
            return format!("    listen 127.0.0.1:{port}{http2};");
        };
        let clients = if tls.clients.is_some() {
            "ssl_client_certificate clients.pem; ssl_verify_client on;"
        } else {
            ""
        };
        format!(
            "    listen 127.0.0.1:{port} ssl{http2};
    ssl_certificate chain.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:sessions:1m; {clients}"
        )
    }

    fn locations(&self) -> String {
        let (dir, rate) = (self.dir.display(), self.rate);
        let auth = if self.login.is_some() {
            format!(
                r#"location /auth/ {{ alias "{dir}/"; auth_basic "test"; auth_basic_user_file logins; }}"#
            )
        } else {
            String::new()
        };
        format!(
            r#"    location /files/ {{ alias "{dir}/"; }}
    location /norange/ {{ alias "{dir}/"; max_ranges 0; etag off; }}
    location /noetag/ {{ alias "{dir}/"; etag off; }}
    location /novalidator/ {{ alias "{dir}/"; etag off; add_header Last-Modified ""; if_modified_since off; }}
    location /weaketag/ {{ alias "{dir}/"; etag off; add_header ETag 'W/"weak-1"'; }}
    location /throttled/ {{ alias "{dir}/"; limit_rate {rate}; }}
    location /maxconn2/ {{ alias "{dir}/"; limit_conn client 2; limit_conn_status 429; limit_rate {rate}; }}
    location /chunked/ {{ alias "{dir}/"; sub_filter_types *; sub_filter 'no such text 7f3a' ''; }}
    location /gzip/ {{ alias "{dir}/"; gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any; }}
    location /named/ {{ alias "{dir}/"; add_header Content-Disposition "attachment; filename=\"na_ve.bin\"; filename*=UTF-8''na%C3%AFve%20file.bin"; }}
    location /put/ {{ alias "{dir}/"; dav_methods PUT DELETE; create_full_put_path on; client_max_body_size 0; }}
    location /put-small/ {{ alias "{dir}/"; dav_methods PUT; client_max_body_size 1k; }}
    location /sink/ {{ client_max_body_size 0; return 204; }}
    location /redir/ {{ rewrite ^/redir/(.*)$ /files/$1 redirect; }}
    {auth}
    location = /e403 {{ return 403; }}
    location = /e404 {{ return 404; }}
    location = /e429 {{ add_header Retry-After 1 always; return 429; }}
    location = /e503 {{ add_header Retry-After 1 always; return 503; }}"#
        )
    }
}

#[derive(Clone, Copy, Debug)]
enum Version {
    Http11,
    Http2,
}

/// PEM of what is shown, and of who may come.
#[derive(Clone, Debug)]
struct Tls {
    chain: String,
    key: String,
    clients: Option<String>,
}

const DEFAULT_RATE: u64 = 2 << 20;

//! The `.netrc` file: where it is, what it says, and which of its entries is for a host.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytehaul_transport::Url;
use percent_encoding::percent_decode_str;

use crate::auth::Auth;
use crate::error::DownloadError;

/// Where names and passwords of hosts may be looked up that no URL and no spec gives.
///
/// The file is read once for a downloader, and its mode is not looked at, as curl does. An entry counts for its host
/// at every port, and only for requests to the host that a URL or a mirror of the caller's names, never for one that a
/// redirect or a mirror of the server's leads to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Netrc {
    /// Nowhere.
    #[default]
    Off,
    /// In the file that the environment's `NETRC` names, else in `.netrc` in the home directory. It need not be there,
    /// and what cannot be read is left out with a warning.
    Home,
    /// In this file; one that cannot be read is an error.
    File(PathBuf),
}

/// The entries of a file, in its order.
#[derive(Default)]
pub(crate) struct Entries(Vec<Entry>);

struct Entry {
    /// `None`: every host.
    machine: Option<String>,
    login: Option<String>,
    password: Option<String>,
}

impl Netrc {
    /// Reads the file.
    pub(crate) fn read(&self) -> Result<Entries, DownloadError> {
        let bad = |reason| DownloadError::parameter("netrc", reason);
        match self {
            Self::Off => Ok(Entries::default()),
            Self::File(path) => match load(path) {
                Ok(Some(entries)) => Ok(entries),
                Ok(None) => Err(bad(format!("{} is not there", path.display()))),
                Err(reason) => Err(bad(reason)),
            },
            Self::Home => {
                let candidates = candidates(std::env::var_os("NETRC"), std::env::home_dir());
                for path in candidates {
                    match load(&path) {
                        Ok(Some(entries)) => return Ok(entries),
                        Ok(None) => (),
                        Err(reason) => {
                            bytehaul_log::warn!(
                                reason,
                                "no passwords are taken from the home directory"
                            );
                            break;
                        }
                    }
                }
                Ok(Entries::default())
            }
        }
    }
}

impl Entries {
    /// The credentials for the host of a URL: of the first entry that is for it, and for the user that the URL names
    /// if it names one. `None` for a URL that has a password itself.
    pub(crate) fn auth(&self, url: &Url) -> Option<Auth> {
        let host = url.host_str()?;
        let user = match (url.username(), url.password()) {
            ("", None) => None,
            (user, None) => Some(percent_decode_str(user).decode_utf8().ok()?),
            (_, Some(_)) => return None,
        };
        let entry = self.0.iter().find(|entry| {
            entry.is_for(host)
                && match (&user, &entry.login) {
                    (Some(user), Some(login)) => *user == login.as_str(),
                    (None, login) => login.is_some(),
                    (Some(_), None) => true,
                }
        })?;
        let user = user.as_deref().or(entry.login.as_deref())?;
        Some(Auth::basic(
            user,
            entry.password.as_deref().unwrap_or_default(),
        ))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words { rest: text };
        let mut entries: Vec<Entry> = Vec::new();
        let line = |rest: &str| text[..text.len() - rest.len()].lines().count().max(1);
        while let Some(word) = words.keyword() {
            let mut value = || {
                let value = words.value();
                value.map_err(|()| format!("line {}: a quote is never closed", line(words.rest)))
            };
            match word {
                "default" => entries.push(Entry::of(None)),
                "machine" => {
                    let machine = value()?;
                    entries.push(Entry::of(Some(machine)));
                }
                "login" => {
                    let login = value()?;
                    if let Some(entry) = entries.last_mut() {
                        entry.login = Some(login);
                    }
                }
                "password" => {
                    let password = value()?;
                    if let Some(entry) = entries.last_mut() {
                        entry.password = Some(password);
                    }
                }
                "account" => drop(value()?),
                "macdef" => words.skip_macro(),
                _ => (),
            }
        }
        Ok(Self(entries))
    }
}

impl Entry {
    fn of(machine: Option<String>) -> Self {
        Self {
            machine,
            login: None,
            password: None,
        }
    }

    fn is_for(&self, host: &str) -> bool {
        let plain = |name: &str| {
            let name = name.strip_suffix('.').unwrap_or(name);
            // As an address stands in a URL.
            name.trim_matches(['[', ']']).to_ascii_lowercase()
        };
        match &self.machine {
            Some(machine) => plain(machine) == plain(host),
            None => true,
        }
    }
}

impl fmt::Debug for Entries {
    /// Shows the hosts alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machines = self.0.iter().map(|entry| &entry.machine);
        f.debug_list().entries(machines).finish()
    }
}

/// Splits a file into words.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// The next word where a keyword stands, which a comment may as well.
    fn keyword(&mut self) -> Option<&'a str> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with('#') {
                self.rest = self.rest.split_once('\n')?.1;
                continue;
            }
            return (!self.rest.is_empty()).then(|| self.word());
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(char::is_whitespace)
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// The next word where a value stands: it may begin with `#`, and may be quoted as curl has it.
    fn value(&mut self) -> Result<String, ()> {
        self.rest = self.rest.trim_start();
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return Ok(self.word().to_owned());
        };
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            value.push(match chars.next().ok_or(())? {
                '"' => break,
                '\\' => match chars.next().ok_or(())? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                },
                other => other,
            });
        }
        self.rest = chars.as_str();
        Ok(value)
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        let mut lines = self.rest.split_inclusive('\n').skip(1);
        let mut used = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        for line in &mut lines {
            used += line.len();
            if line.trim_end_matches(['\r', '\n']).is_empty() {
                break;
            }
        }
        self.rest = &self.rest[used..];
    }
}

/// The files to try in order.
fn candidates(named: Option<std::ffi::OsString>, home: Option<PathBuf>) -> Vec<PathBuf> {
    match (named.filter(|path| !path.is_empty()), home) {
        (Some(path), _) => vec![path.into()],
        (None, Some(home)) if cfg!(windows) => vec![home.join(".netrc"), home.join("_netrc")],
        (None, Some(home)) => vec![home.join(".netrc")],
        (None, None) => Vec::new(),
    }
}

/// `None`: there is no such file.
fn load(path: &Path) -> Result<Option<Entries>, String> {
    let shown = path.display();
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > MAX_FILE => Err(format!("{shown} is too large")),
        Ok(_) => match Entries::parse(&text) {
            Ok(entries) => Ok(Some(entries)),
            Err(reason) => Err(format!("{shown}, {reason}")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

const MAX_FILE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r##"
# machine commented.test login no password no
machine plain.test login user password pass
machine QUOTED.test
    login "a user" password "say \"hi\"\t\\" # and so on
machine hash.test login user password #1
machine two.test login one password 1
machine two.test login two password 2
macdef init
    machine macro.test login no password no

machine after.test account x login user password after
machine nologin.test password p
machine 127.0.0.1 login local password l
machine unfinished.test login user
default login anonymous password me@
machine late.test login no password no
"##;

    #[track_caller]
    fn check(url: &str, expected: Option<(&str, &str)>) {
        let entries = Entries::parse(FILE).unwrap();
        let found = entries.auth(&Url::parse(url).unwrap());
        let expected = expected.map(|(user, password)| Auth::basic(user, password));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_entry_for_a_host_counts() {
        let anybody = Some(("anonymous", "me@"));
        check("http://plain.test/", Some(("user", "pass")));
        check("https://PLAIN.test:8443/x", Some(("user", "pass")));
        check("http://quoted.test./", Some(("a user", "say \"hi\"\t\\")));
        check("http://hash.test/", Some(("user", "#1")));
        check("http://two.test/", Some(("one", "1")));
        check("http://after.test/", Some(("user", "after")));
        check("http://127.0.0.1:1/", Some(("local", "l")));
        check("http://unfinished.test/", Some(("user", "")));
        check("http://commented.test/", anybody);
        check("http://macro.test/", anybody);
        check("http://sub.plain.test/", anybody);
        check("http://nologin.test/", anybody);
        check("http://late.test/", anybody);
    }

    #[test]
    fn a_user_of_the_url_has_to_be_the_entrys() {
        check("http://two@two.test/", Some(("two", "2")));
        check(
            "http://a%20user@quoted.test/",
            Some(("a user", "say \"hi\"\t\\")),
        );
        check("http://me@nologin.test/", Some(("me", "p")));
        check("http://three@two.test/", None);
        check("http://user:own@plain.test/", None);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told_with_its_line() {
        let error = Entries::parse("machine a\n login \"x\npassword y").unwrap_err();
        assert_eq!(error, "line 2: a quote is never closed");
        assert!(Entries::parse("machine a password \"x\\").is_err());
    }

    #[test]
    fn where_it_is_looked_for() {
        let home = || Some(PathBuf::from("/home/me"));
        let check = |named: Option<&str>, home: Option<PathBuf>, expected: &[&str]| {
            let found = candidates(named.map(Into::into), home);
            assert_eq!(found.first(), expected.first().map(PathBuf::from).as_ref());
        };
        check(Some("/x"), home(), &["/x"]);
        check(Some(""), home(), &["/home/me/.netrc"]);
        check(None, home(), &["/home/me/.netrc"]);
        check(None, None, &[]);
    }

    #[test]
    fn a_file_that_was_named_has_to_be_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netrc");
        let read = || Netrc::File(path.clone()).read();
        let reason = |result: Result<Entries, DownloadError>| result.unwrap_err().to_string();
        assert!(reason(read()).ends_with("netrc is not there"));
        std::fs::write(&path, "machine a login b password \"hunter2").unwrap();
        let text = reason(read());
        assert!(
            text.contains("line 1") && !text.contains("hunter2"),
            "{text}"
        );
        std::fs::write(&path, vec![b' '; MAX_FILE as usize + 1]).unwrap();
        assert!(reason(read()).contains("too large"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(reason(read()).contains("UTF-8"));
        std::fs::write(&path, "default login a password hunter2").unwrap();
        let entries = read().unwrap();
        assert_eq!(entries.0.len(), 1);
        assert!(!format!("{entries:?}").contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(text in "(machine|login|password|macdef|default|[\\x00-\\xff]| |\n|\"|\\\\|#){0,40}") {
            if let Ok(entries) = Entries::parse(&text) {
                let _ = entries.auth(&Url::parse("http://u@h/").unwrap());
            }
        }
    }
}

//! How a failed transfer is told: one line with every cause, what to do about it, and its exit status.

mod upload;

use std::error::Error;
use std::fmt;

use bytehaul::{DownloadError, ErrorKind};

use crate::exit::Exit;
pub(crate) use crate::failure::upload::{Access, Circumstances, PROVIDER};

/// A failed file, ready to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// What failed and why, on one line, without the URL when the text names it.
    pub(crate) text: String,
    pub(crate) hint: Option<&'static str>,
    /// The library's stable number.
    pub(crate) code: u16,
    /// The library's kind as a word.
    pub(crate) kind: &'static str,
    pub(crate) exit: Exit,
}

/// Whether a next run finds something to go on from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    Something,
    Nothing,
}

impl Failure {
    /// What to say of `error`, which ended the download of `url`.
    pub(crate) fn new(url: &str, error: &DownloadError, kept: Kept) -> Self {
        Self {
            text: text(url, error),
            hint: hint(error, kept),
            code: error.code(),
            kind: kind_word(error.kind()),
            exit: error.kind().into(),
        }
    }
}

impl fmt::Display for Failure {
    /// The line for stderr, and the hint on its own line below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytehaul: {}", self.text)?;
        match self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The line for `error`, which names `url` once.
fn text(url: &str, error: &dyn Error) -> String {
    // A cause names the URL that it happened with, which a redirect may have led to; one is enough where it did not.
    let chain = chain(error).replace(&format!(" ({url})"), "");
    if chain.contains(url) {
        chain
    } else {
        format!("{url}: {chain}")
    }
}

/// The error and its causes, joined; a cause that the text before it already holds is left out, and no
/// character of theirs can break the line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    one_line(&text)
}

pub(crate) fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain
        .collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// What to do about it, where something can be done.
fn hint(error: &DownloadError, kept: Kept) -> Option<&'static str> {
    match (error.code(), error.kind()) {
        (DISK_FULL, _) => Some("free some space and run the same command again"),
        (EXISTS, _) if error.path().is_some_and(std::path::Path::is_dir) => {
            Some("name the file with -o, or the directory with -d")
        }
        (EXISTS, _) => Some("use --overwrite to replace it, or -o to choose another name"),
        (LOCKED, _) => Some("wait for the other download, or choose another name with -o"),
        (_, ErrorKind::Integrity) if is_declared(error) => Some(
            "nothing was published; if the provider's checksum is wrong, --no-provider-checksum ignores it",
        ),
        (_, ErrorKind::Integrity) => {
            Some("nothing was published; check the value, or try another source")
        }
        (_, ErrorKind::Server) => match error.status().map(|status| status.as_u16()) {
            Some(401 | 403) => {
                Some("give credentials with -H, BYTEHAUL_BEARER or .netrc, if the file needs them")
            }
            Some(404 | 410) => Some("check the URL"),
            Some(_) | None => None,
        },
        (_, ErrorKind::Network) => match kept {
            Kept::Something => Some("run the same command again to resume"),
            Kept::Nothing => None,
        },
        (_, ErrorKind::Internal) => Some("this is a bug in bytehaul; what had arrived is kept"),
        _ => None,
    }
}

/// Whether the checksum is not the user's.
fn is_declared(error: &DownloadError) -> bool {
    matches!(
        error,
        DownloadError::ChecksumMismatch { declared: true, .. }
    )
}

pub(crate) fn kind_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Parameter => "parameter",
        ErrorKind::Network => "network",
        ErrorKind::Server => "server",
        ErrorKind::Integrity => "integrity",
        ErrorKind::Local => "local",
        ErrorKind::RemoteChanged => "remote-changed",
        ErrorKind::Stopped => "stopped",
        ErrorKind::Internal => "internal",
        // Kinds that a later library may add.
        _ => "other",
    }
}

// Stable numbers of the library: see `DownloadError::code`.
const DISK_FULL: u16 = 121;
const EXISTS: u16 = 125;
const LOCKED: u16 = 126;

#[cfg(test)]
mod tests {
    use bytehaul::DownloadSpec;

    use super::*;

    #[derive(Debug)]
    struct Level(&'static str, Option<Box<Level>>);

    impl fmt::Display for Level {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Level {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|level| level as _)
        }
    }

    fn levels(texts: &[&'static str]) -> Level {
        let (first, rest) = texts.split_first().unwrap();
        Level(
            first,
            if rest.is_empty() {
                None
            } else {
                Some(Box::new(levels(rest)))
            },
        )
    }

    #[test]
    fn causes_are_joined_on_one_line() {
        let check =
            |texts: &[&'static str], expected: &str| assert_eq!(chain(&levels(texts)), expected);
        check(&["download h"], "download h");
        check(
            &["download h", "connect to h:1", "connection refused"],
            "download h: connect to h:1: connection refused",
        );
        check(&["write f: disk full", "disk full"], "write f: disk full");
        check(&["a\nb\u{1b}[31m", "c\r\n"], "a b [31m: c");
    }

    #[test]
    fn an_error_names_its_url_once() {
        let refused = DownloadSpec::new("gopher://h/").validate().unwrap_err();
        let text = Failure::new("gopher://h/", &refused, Kept::Nothing).text;
        assert_eq!(text.matches("gopher://h/").count(), 1, "{text}");
        let failure = Failure::new("http://h/f", &DownloadError::Paused, Kept::Nothing);
        assert_eq!(failure.to_string(), "bytehaul: http://h/f: paused");
        assert_eq!(
            (failure.code, failure.kind, failure.exit),
            (124, "stopped", Exit::Interrupted)
        );
    }
}

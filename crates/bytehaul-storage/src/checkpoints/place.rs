//! Where checkpoint files are: their names, and the directory for state of this user.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use bytehaul_integrity::{Algorithm, Hasher};

use crate::{Error, layout};

/// The names of one checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// The next one while it is made.
    pub(crate) new: PathBuf,
    pub(crate) directory: PathBuf,
    /// Of what is said that it is in use.
    pub(crate) subject: PathBuf,
}

impl Place {
    pub(crate) fn beside(source: &Path) -> Result<Self, Error> {
        let (subject, path) = layout::beside(source, SUFFIX)?;
        let mut place = Self::at(path);
        place.subject = subject;
        Ok(place)
    }

    pub(super) fn of_key(directory: &Path, key: &str) -> Result<Self, Error> {
        Self::named(directory, file_name(key).as_ref())
    }

    /// A name as [`is_checkpoint`] knows it, and nothing that leads elsewhere.
    pub(super) fn named(directory: &Path, name: &OsStr) -> Result<Self, Error> {
        let path = directory.join(name);
        let mut components = Path::new(name).components();
        let plain = matches!(components.next(), Some(Component::Normal(only)) if only == name);
        if !plain || components.next().is_some() || !is_checkpoint(name) {
            return Err(Error::BadName { path });
        }
        let path = std::path::absolute(&path).map_err(|_| Error::BadName { path })?;
        Ok(Self::at(path))
    }

    fn at(path: PathBuf) -> Self {
        let mut new = OsString::from(&path);
        new.push(NEW);
        Self {
            new: new.into(),
            directory: path.parent().unwrap_or(Path::new("/")).to_path_buf(),
            subject: path.clone(),
            path,
        }
    }
}

pub(super) fn is_checkpoint(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(SUFFIX.as_bytes())
}

/// What the key looks like, for a person, and a hash of it, for no two to meet.
fn file_name(key: &str) -> String {
    let mut readable = String::new();
    for letter in key.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => readable.push(letter),
            // Never two, and none in front: neither hidden files nor options of a command.
            '.' if readable.ends_with(|last: char| last.is_ascii_alphanumeric()) => {
                readable.push('.');
            }
            _ if !readable.is_empty() && !readable.ends_with('-') => readable.push('-'),
            _ => {}
        }
        if readable.len() == READABLE {
            break;
        }
    }
    let hash = Hasher::digest(Algorithm::Sha256, key.as_bytes()).hex();
    format!("{readable}~{}{SUFFIX}", &hash[..HASH_DIGITS])
}

/// Where this user's programs keep what should outlast them: the directory of `bytehaul` there. It is not made.
///
/// `$BYTEHAUL_STATE_DIR` itself; else `$XDG_STATE_HOME/bytehaul`, if that variable has an absolute path (XDG Base Directory
/// Specification 0.8); else `~/.local/state/bytehaul`, on macOS `~/Library/Application Support/bytehaul`, on Windows
/// `%LOCALAPPDATA%\bytehaul`. `None` when the environment names no home either.
pub fn state_dir() -> Option<PathBuf> {
    state_dir_in(|name| std::env::var_os(name), std::env::home_dir)
}

fn state_dir_in(
    variable: impl Fn(&str) -> Option<OsString>,
    home: impl FnOnce() -> Option<PathBuf>,
) -> Option<PathBuf> {
    let path = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(own) = path("BYTEHAUL_STATE_DIR") {
        return std::path::absolute(own).ok();
    }
    let of_all = |path: Option<PathBuf>| path.filter(|path| path.is_absolute());
    let state = of_all(path("XDG_STATE_HOME")).or_else(|| {
        if cfg!(windows) {
            return of_all(path("LOCALAPPDATA"));
        }
        let below = if cfg!(target_vendor = "apple") {
            "Library/Application Support"
        } else {
            ".local/state"
        };
        of_all(home()).map(|home| home.join(below))
    })?;
    Some(state.join("bytehaul"))
}

const SUFFIX: &str = ".bytehaul-upload";
const NEW: &str = "-new";
const READABLE: usize = 64;
const HASH_DIGITS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_never_meet() {
        let check = |key: &str, readable: &str| {
            let name = file_name(key);
            let (before, rest) = name.split_once('~').unwrap();
            assert_eq!(before, readable, "{key:?}");
            assert_eq!(rest.len(), HASH_DIGITS + SUFFIX.len());
            assert!(
                Place::of_key(Path::new("/state"), key)
                    .unwrap()
                    .path
                    .starts_with("/state")
            );
        };
        check("disk.iso https://a.example/x", "disk.iso-https-a.example-x");
        check("", "");
        check("../../etc/passwd", "etc-passwd");
        check(".hidden", "hidden");
        check("a..b\0\n\u{202e}c", "a.-b-c");
        check("名前.iso", "iso");
        check(&"x".repeat(70_000), &"x".repeat(READABLE));
        assert_ne!(file_name("a b"), file_name("a/b"));
        assert_ne!(file_name(""), file_name(" "));
    }

    #[test]
    fn long_names_of_sources_are_cut() {
        let place = Place::beside(&Path::new("/d").join("é".repeat(127))).unwrap();
        for path in [&place.path, &place.new] {
            assert!(path.file_name().unwrap().len() <= 255);
        }
        assert!(is_checkpoint(place.path.file_name().unwrap()));
        assert!(!is_checkpoint(place.new.file_name().unwrap()));
        let short = Place::beside(Path::new("/d/a.iso")).unwrap();
        assert_eq!(short.path, Path::new("/d/a.iso.bytehaul-upload"));
        assert_eq!(short.new, Path::new("/d/a.iso.bytehaul-upload-new"));
    }

    #[test]
    fn only_names_of_checkpoints_are_taken() {
        for bad in [
            "",
            ".",
            "..",
            "x",
            "../x.bytehaul-upload",
            "a/x.bytehaul-upload",
            "/x.bytehaul-upload",
            "x.bytehaul-upload/",
        ] {
            let place = Place::named(Path::new("/d"), bad.as_ref());
            assert!(matches!(place, Err(Error::BadName { .. })), "{bad}");
        }
        assert!(Place::named(Path::new("/d"), "x.bytehaul-upload".as_ref()).is_ok());
    }

    #[cfg(all(unix, not(target_vendor = "apple")))]
    #[test]
    fn the_environment_says_where_state_is() {
        let check = |variables: &[(&str, &str)], home: Option<&str>, expected: Option<&str>| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let found = state_dir_in(variable, || home.map(PathBuf::from));
            assert_eq!(
                found.as_deref(),
                expected.map(Path::new),
                "{variables:?} {home:?}"
            );
        };
        let (own, xdg) = ("BYTEHAUL_STATE_DIR", "XDG_STATE_HOME");
        check(&[(own, "/s"), (xdg, "/x")], Some("/h"), Some("/s"));
        check(&[(own, ""), (xdg, "/x")], Some("/h"), Some("/x/bytehaul"));
        check(&[(xdg, "x")], Some("/h"), Some("/h/.local/state/bytehaul"));
        check(&[], Some("/h"), Some("/h/.local/state/bytehaul"));
        check(&[], Some(""), None);
        check(&[], None, None);
        let relative = std::path::absolute("s").unwrap();
        check(&[(own, "s")], None, relative.to_str());
    }
}

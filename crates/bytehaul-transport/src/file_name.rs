//! How a name that a server chose becomes one that can do no harm in a directory, on any system.

use percent_encoding::percent_decode_str;
use url::Url;

/// A safe file name from a name of the server's choice, or `None` when nothing is left of it.
///
/// - Only what follows the last `/` or `\` counts, and of a drive letter (`C:x`) only what follows it: the name never leaves
///   its directory. `.` and `..` are no names.
/// - Control characters, and invisible ones that turn the direction of writing, are taken out. `< > : " | ? *` become `_`, since Windows
///   refuses them.
/// - Leading and trailing spaces and dots go. So `.bashrc` becomes `bashrc`: a server must not choose a hidden file, which
///   programs read by themselves.
/// - Names that are devices on Windows get an underscore in front: `CON.txt` becomes `_CON.txt`.
/// - At most 235 bytes of UTF-8: file systems take 255, and 20 are left for the suffix of a part file. A longer name is
///   shortened before its extension.
///
/// ```
/// use bytehaul_transport::file_name::sanitize;
///
/// assert_eq!(sanitize("../../etc/passwd").as_deref(), Some("passwd"));
/// assert_eq!(sanitize("..").as_deref(), None);
/// ```
pub fn sanitize(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = strip_drive(name);
    let clean: String = name
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(replace_refused)
        .collect();
    let clean = clean.trim_matches(is_space_or_dot);
    if clean.is_empty() {
        return None;
    }
    let clean = if is_device(clean) {
        format!("_{clean}")
    } else {
        clean.to_owned()
    };
    Some(shorten(&clean))
}

/// A safe file name from the last segment of a URL's path that is not empty, percent-decoded. `None` without one.
pub fn name_from_url(url: &Url) -> Option<String> {
    let segment = url.path_segments()?.rfind(|segment| !segment.is_empty())?;
    sanitize(&percent_decode_str(segment).decode_utf8_lossy())
}

fn strip_drive(name: &str) -> &str {
    match name.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => &name[2..],
        _ => name,
    }
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

fn replace_refused(c: char) -> char {
    if matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') {
        '_'
    } else {
        c
    }
}

fn is_space_or_dot(c: char) -> bool {
    c == '.' || c.is_whitespace()
}

/// Windows takes `con`, `con.txt` and `con .txt` for the device.
fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"].contains(&stem.as_str()) {
        return true;
    }
    let Some(number) = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"))
    else {
        return false;
    };
    matches!(
        number,
        "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "\u{b9}" | "\u{b2}" | "\u{b3}"
    )
}

fn shorten(name: &str) -> String {
    if name.len() <= MAX_BYTES {
        return name.to_owned();
    }
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    };
    let stem = &stem[..floor_char_boundary(stem, MAX_BYTES - extension.len())];
    format!("{}{extension}", stem.trim_end_matches(is_space_or_dot))
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0)
}

/// 255 of the file system, less 20 for a suffix.
const MAX_BYTES: usize = 235;

/// Bytes, with the dot, up to which the end of a name counts as its extension.
const MAX_EXTENSION: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(sanitize(name).unwrap_or_default(), expected, "{name:?}");
    }

    #[test]
    fn good_names_stay() {
        for name in [
            "a.txt",
            "big file (1).tar.gz",
            "\u{fc}n\u{ef}c\u{f6}d\u{e9}.bin",
            "a..b",
            "console.log",
            "com.txt",
            "COM10",
            "a\u{20ac}",
        ] {
            check(name, name);
        }
    }

    #[test]
    fn no_name_leaves_its_directory() {
        check("../../etc/passwd", "passwd");
        check("..\\..\\boot.ini", "boot.ini");
        check("/abs/x", "x");
        check("C:x", "x");
        check("C:\\x\\y", "y");
        check("..", "");
        check("...", "");
        check("a/..", "");
        check("a/", "");
        check("/", "");
        check("", "");
    }

    #[test]
    fn dots_spaces_and_control_characters_go() {
        check(".bashrc", "bashrc");
        check(" . a.txt . ", "a.txt");
        check("a\0b\nc\u{7f}\u{85}.txt", "abc.txt");
        check("gpj\u{202e}txt.exe", "gpjtxt.exe");
        check("a<b>c:d\"e|f?g*.txt", "a_b_c_d_e_f_g_.txt");
        check("\u{a0}\u{3000}", "");
    }

    #[test]
    fn devices_are_renamed() {
        for name in [
            "CON",
            "con.txt",
            "Nul.tar.gz",
            "aux .x",
            "COM1",
            "lpt9.log",
            "com\u{b9}",
        ] {
            check(name, &format!("_{name}"));
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        check(
            &format!("{}.tar", "a".repeat(300)),
            &format!("{}.tar", "a".repeat(MAX_BYTES - 4)),
        );
        check(&"\u{20ac}".repeat(100), &"\u{20ac}".repeat(MAX_BYTES / 3));
        check(
            &format!("a.{}", "b".repeat(300)),
            &format!("a.{}", "b".repeat(MAX_BYTES - 2)),
        );
    }

    #[test]
    fn names_of_urls() {
        let name = |url: &str| name_from_url(&Url::parse(url).unwrap());
        assert_eq!(name("http://a/x/y.iso?z=/w#v").as_deref(), Some("y.iso"));
        assert_eq!(name("http://a/x/y//").as_deref(), Some("y"));
        assert_eq!(name("http://a/x/a%20b%2Fc.iso").as_deref(), Some("c.iso"));
        assert_eq!(name("http://a/%2e%2e%2f").as_deref(), None);
        assert_eq!(name("http://a/%ff.txt").as_deref(), Some("\u{fffd}.txt"));
        assert_eq!(name("http://a/"), None);
        assert_eq!(name("data:x"), None);
    }

    proptest! {
        #[test]
        fn every_name_is_harmless(name in any::<String>()) {
            harmless(&name)?;
        }

        #[test]
        fn also_from_the_alphabet_of_an_attacker(name in "[./\\\\: a\u{e9}~\0]{0,300}(CON|nul|\\.\\.|\\.)?") {
            harmless(&name)?;
        }
    }

    fn harmless(name: &str) -> Result<(), TestCaseError> {
        let Some(safe) = sanitize(name) else {
            return Ok(());
        };
        prop_assert!(!safe.is_empty() && safe.len() <= MAX_BYTES);
        prop_assert!(!safe.contains(['/', '\\', ':', '\0']) && !safe.chars().any(char::is_control));
        prop_assert!(!safe.starts_with(['.', ' ']) && !safe.ends_with(['.', ' ']));
        prop_assert!(!is_device(&safe));
        let again = sanitize(&safe);
        prop_assert_eq!(again, Some(safe));
        Ok(())
    }
}

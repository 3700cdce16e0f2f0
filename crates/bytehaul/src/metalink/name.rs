//! Which names a document may give to its files: relative, below the directory, harmless on any system.

use bytehaul_transport::file_name::sanitize;

/// The name with harmless segments, or what is wrong with it (RFC 5854, section 4.1.2.1).
pub(super) fn safe(name: &str) -> Result<String, &'static str> {
    let name = name.trim();
    if name.is_empty() {
        return Err("a file without a name");
    }
    // A drive letter, and what a backslash leads to, depend on the system; no honest name needs them.
    if name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') || name.contains('\\') {
        return Err("a name that is no relative path");
    }
    let segments: Vec<_> = name.split('/').collect();
    if segments.len() > MOST_SEGMENTS {
        return Err("a name with too many directories");
    }
    if segments.contains(&"..") {
        return Err("a name that leads out of its directory");
    }
    let safe: Option<Vec<_>> = segments.into_iter().map(sanitize).collect();
    safe.map(|segments| segments.join("/"))
        .ok_or("a name with a part of which nothing can be used")
}

const MOST_SEGMENTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for (name, expected) in [
            ("a.iso", "a.iso"),
            (" debian/dvd/a b.iso ", "debian/dvd/a b.iso"),
            (".ssh/authorized_keys", "ssh/authorized_keys"),
            ("CON.txt", "_CON.txt"),
            ("a/xy:z", "a/xy_z"),
            ("..a", "a"),
        ] {
            assert_eq!(safe(name).as_deref(), Ok(expected), "{name}");
        }
        for name in [
            "",
            " ",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a/..",
            "C:a",
            "a\\..\\b",
            "a//b",
            "a/./b",
            "a/",
            "...",
            &"a/".repeat(20),
        ] {
            assert!(safe(name).is_err(), "{name}");
        }
    }
}

//! Just as much of a structured dictionary (RFC 9651, section 3.2) as the digest fields of RFC 9530 need.

use crate::{Algorithm, Digest};

/// The digests in a dictionary of byte sequences: `sha-256=:…:, sha-512=:…:`.
///
/// A dictionary that does not fall apart into members yields nothing at all, as the RFC demands; members of unknown
/// algorithms, of other types or of the wrong length are skipped. Of a key that comes twice the last one counts. Keys in
/// uppercase, which the RFC forbids, are read all the same.
pub(super) fn digests(value: &str) -> Vec<Digest> {
    let Some(members) = members(value) else {
        return Vec::new();
    };
    let mut found: Vec<Digest> = Vec::new();
    for (key, item) in members {
        let Ok(algorithm) = key.parse::<Algorithm>() else {
            continue;
        };
        found.retain(|earlier| earlier.algorithm() != algorithm);
        found.extend(byte_sequence(algorithm, item));
    }
    found
}

fn byte_sequence(algorithm: Algorithm, item: &str) -> Option<Digest> {
    let (base64, parameters) = item.strip_prefix(':')?.split_once(':')?;
    let ends = parameters.is_empty() || parameters.starts_with(';');
    Digest::parse_base64(algorithm, base64)
        .ok()
        .filter(|_| ends)
}

/// Key and value of each member, the value empty for a bare key; `None` if the text is no dictionary.
fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut members = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = member_len(rest)?;
        let (member, after) = rest.split_at(end);
        let key_len = member.find(|c| !is_key(c)).unwrap_or(member.len());
        let (key, value) = member.split_at(key_len);
        if !key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*') {
            return None;
        }
        members.push((key, value.strip_prefix('=').unwrap_or_default().trim_end()));
        rest = match after.strip_prefix(',').map(str::trim_start) {
            // A comma promises one more member.
            Some("") => return None,
            Some(next) => next,
            None => "",
        };
    }
    Some(members)
}

/// The length up to the comma that ends the member, which is one outside of strings; `None` if a string is left open.
fn member_len(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ',' => return Some(at),
            '"' => skip_string(&mut chars)?,
            _ => {}
        }
    }
    Some(text.len())
}

fn skip_string(chars: &mut std::str::CharIndices<'_>) -> Option<()> {
    loop {
        match chars.next()?.1 {
            '"' => return Some(()),
            '\\' => {
                chars.next()?;
            }
            _ => {}
        }
    }
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha-256=b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    const WORLD: &str = "md5=5eb63bbbe01eeed093cb22bb8f5acdc3";

    fn check(field: &str, want: &[&str]) {
        let found: Vec<String> = digests(field).iter().map(ToString::to_string).collect();
        assert_eq!(found, want, "{field}");
    }

    #[test]
    fn well_formed() {
        let sha = "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:";
        let md5 = "md5=:XrY7u+Ae7tCTyyK7j1rNww==:";
        check(sha, &[HELLO]);
        check(&format!("  {sha} ,\t{md5}  "), &[HELLO, WORLD]);
        check(&format!("{sha};q=1"), &[HELLO]);
        check(&sha.replace("sha-256", "SHA-256"), &[HELLO]);
        check(&format!("x=\"a, b\\\", md5=:c:\", {md5}"), &[WORLD]);
        check(
            &format!("bare, list=(1 \"a,b\" 2);p, {md5}, number=12.5"),
            &[WORLD],
        );
        check(&format!("md5=:AAAA:, {md5}"), &[WORLD]);
    }

    #[test]
    fn no_proof() {
        for field in [
            "",
            ",",
            "=",
            "sha-256",
            "sha-256=",
            "sha-256=:",
            "sha-256=::",
            "sha-256=uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
            "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
            "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:x",
            "sha-256=:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9:",
            "md5=:XrY7u+Ae7tCTyyK7j1rNww==:,",
            "md5=:XrY7u+Ae7tCTyyK7j1rNww==:, =",
            "md5=:XrY7u+Ae7tCTyyK7j1rNww==:, x=\"open",
            "md5=:XrY7u+Ae7tCTyyK7j1rNww==:, md5=1",
        ] {
            check(field, &[]);
        }
    }
}

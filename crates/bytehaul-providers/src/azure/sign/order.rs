//! The order in which the service sorts the names of its own fields before it signs them: that of words, not of bytes.

use std::cmp::Ordering;

/// Compares two names in lower case. Hyphens and apostrophes count only between names that are the same without them, and then
/// the one that has them later comes first, or has none; the underscore comes before digits and letters. As the official SDKs do it.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let letters = |name: &str| -> Vec<u16> {
        let weights = name.bytes().map(weight);
        weights.filter(|weight| *weight > 0).collect()
    };
    let words = letters(left).cmp(&letters(right));
    words.then_with(|| signs(left.as_bytes(), right.as_bytes()))
}

fn weight(byte: u8) -> u16 {
    let at = RISING.iter().position(|one| *one == byte);
    // A name in a header map has no other characters than these and those that do not count.
    at.map_or(0, |at| u16::try_from(at).unwrap_or(u16::MAX) + 1)
}

/// The first place where one of two names of the same letters has a sign, and the other has none or another one.
fn signs(left: &[u8], right: &[u8]) -> Ordering {
    let sign = |byte: u8| match byte {
        b'\'' => 1,
        b'-' => 2,
        _ => 0_u8,
    };
    let mut pairs = left.iter().zip(right).map(|(l, r)| (sign(*l), sign(*r)));
    let difference = pairs.find(|(l, r)| l != r);
    // What is longer has signs more, at its end.
    difference.map_or(left.len().cmp(&right.len()), |(l, r)| match (l, r) {
        (0, _) => Ordering::Less,
        (_, 0) => Ordering::Greater,
        (l, r) => l.cmp(&r),
    })
}

const RISING: &[u8] = b"!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_before_signs() {
        let check = |rising: &[&str]| {
            for pair in rising.windows(2) {
                assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
                assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
            }
        };
        check(&[
            "x-ms-blob-content-md5",
            "x-ms-blob-content-type",
            "x-ms-blob-type",
            "x-ms-client-request-id",
            "x-ms-date",
            "x-ms-meta-_",
            "x-ms-meta-0",
            "x-ms-meta-00",
            "x-ms-meta-a_",
            "x-ms-meta-a1",
            "x-ms-meta-ab",
            "x-ms-version",
        ]);
        check(&["abc", "abc-", "ab-c", "a-bc"]);
        check(&["x-ms-meta-coop", "x-ms-meta-co-op", "x-ms-meta-coops"]);
        assert_eq!(compare("x-ms-date", "x-ms-date"), Ordering::Equal);
    }
}

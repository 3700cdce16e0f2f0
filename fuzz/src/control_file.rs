//! Control files after a crash, a bad disk or a malicious hand.

use bytehaul_integrity::{crc32c, crc32c_append};
use bytehaul_storage::control::decode;

/// What is accepted makes sense: pieces of at least a byte, claims in order, apart, and within the object.
pub fn control_file(data: &[u8]) {
    sensible(data);
    // The same bytes behind a head whose checksum fits, or no input would ever get past it.
    for split in [data.len(), data.len() / 2] {
        let (body, records) = data.split_at(split);
        sensible(&[&head(body)[..], body, records].concat());
    }
}

fn sensible(bytes: &[u8]) {
    let Ok(contents) = decode(bytes) else { return };
    assert!(contents.piece_size > 0);
    let mut end = 0;
    for range in contents.claimed() {
        assert!(
            range.start < range.end && end <= range.start,
            "{range:?} after {end}"
        );
        end = range.end;
    }
    for range in contents.appended() {
        assert!(range.start < range.end, "{range:?}");
        end = end.max(range.end);
    }
    assert!(
        contents.len.is_none_or(|len| end <= len),
        "claims {end} of {:?}",
        contents.len
    );
}

fn head(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("a fuzzer's input is small");
    let crc = crc32c_append(crc32c(body), &VERSION.to_le_bytes());
    let crc = crc32c_append(crc, &u64::from(len).to_le_bytes());
    let numbers = [VERSION, len, crc].map(u32::to_le_bytes);
    [b"bytehaul".as_slice(), numbers.as_flattened()].concat()
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use bytehaul_storage::control::Malformed;

    use super::*;

    #[test]
    fn the_head_fits() {
        let body = b"no body at all";
        let framed = [&head(body)[..], body].concat();
        assert!(
            matches!(decode(&framed), Err(Malformed::Senseless(_))),
            "{:?}",
            decode(&framed)
        );
    }
}

//! Digests as users and servers write them.

use bytehaul_integrity::headers::{Response, declared, message_digests, representation_digests};
use bytehaul_integrity::{Algorithm, Crc, Digest};

/// A digest that is accepted in any form reads the same when written in each of its forms.
pub fn digest_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(digest) = text.parse::<Digest>() {
        written_again(&digest);
    }
    for algorithm in Algorithm::ALL {
        if let Ok(digest) = Digest::parse(algorithm, text) {
            assert_eq!(digest.algorithm(), algorithm);
            written_again(&digest);
        }
    }
    for crc in [Crc::Crc32c, Crc::Crc64Nvme, Crc::Crc64] {
        if let Ok(digest) = Digest::parse_decimal(crc, text) {
            let number = digest.crc().expect("a CRC is a number");
            assert_eq!(Digest::parse_decimal(crc, &number.to_string()), Ok(digest));
        }
    }
}

/// Fields never declare two values of one algorithm for the same thing, and the selections agree with the whole.
pub fn header_digests(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let fields = || {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value))
    };
    for response in [Response::Whole, Response::Partial, Response::Head] {
        let all = declared(fields(), response);
        for (index, one) in all.iter().enumerate() {
            let same = |other: &&_| -> bool {
                let other: &bytehaul_integrity::headers::Declared = other;
                other.scope == one.scope && other.digest.algorithm() == one.digest.algorithm()
            };
            assert_eq!(all[index + 1..].iter().find(same), None, "{all:?}");
            written_again(&one.digest);
        }
        let split = representation_digests(fields(), response).len()
            + message_digests(fields(), response).len();
        assert_eq!(split, all.len(), "{all:?}");
    }
}

fn written_again(digest: &Digest) {
    let algorithm = digest.algorithm();
    assert_eq!(digest.as_bytes().len(), algorithm.digest_len());
    assert_eq!(Digest::parse(algorithm, &digest.hex()).as_ref(), Ok(digest));
    assert_eq!(
        Digest::parse(algorithm, &digest.base64()).as_ref(),
        Ok(digest)
    );
    assert_eq!(digest.to_string().parse::<Digest>().as_ref(), Ok(digest));
}

//! Published test vectors of every algorithm, and the text forms of a value.

use bytehaul_integrity::{Algorithm, Crc, Digest, Hasher, JoinError, Joiner, ParseError};
use proptest::prelude::*;

#[test]
fn published_vectors() {
    let check = |algorithm: Algorithm, data: &[u8], hex: &str| {
        assert_eq!(
            Hasher::digest(algorithm, data).hex(),
            hex,
            "{algorithm} of {} bytes",
            data.len()
        );
    };
    // FIPS 180-4 examples, RFC 1321 appendix A.5, the CRC catalogue's check values, BLAKE3's test_vectors.json.
    let catalogue = b"123456789".as_slice();
    check(
        Algorithm::Sha256,
        b"abc",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    check(
        Algorithm::Sha256,
        b"",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
    check(
        Algorithm::Sha512,
        b"abc",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    );
    check(
        Algorithm::Sha1,
        b"abc",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
    );
    check(
        Algorithm::Sha1,
        b"",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    );
    check(Algorithm::Md5, b"abc", "900150983cd24fb0d6963f7d28e17f72");
    check(
        Algorithm::Md5,
        b"message digest",
        "f96b697d7cb7938d525a2f31aaf161d0",
    );
    check(Algorithm::Crc32c, catalogue, "e3069283");
    check(Algorithm::Crc64Nvme, catalogue, "ae8b14860a799888");
    check(Algorithm::Crc64, catalogue, "995dc9bbdf1939fa");
    check(
        Algorithm::Blake3,
        b"",
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    );
    // RFC 3720, appendix B.4, in number order.
    check(Algorithm::Crc32c, &[0; 32], "8a9136aa");
    check(Algorithm::Crc32c, &[0xff; 32], "62a8ab43");
    for crc in [Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Crc64] {
        assert_eq!(Hasher::new(crc).finish().crc(), Some(Crc::EMPTY));
    }
}

#[test]
fn text_forms_are_read() {
    let check = |text: &str, want: &str| match text.parse::<Digest>() {
        Ok(digest) => assert_eq!(digest.to_string(), want),
        Err(error) => panic!("{text}: {error}"),
    };
    let md5 = "md5=900150983cd24fb0d6963f7d28e17f72";
    check(md5, md5);
    check("MD-5=900150983CD24FB0D6963F7D28E17F72", md5);
    check("md5= kAFQmDzST7DWlj99KOF/cg== ", md5);
    check("md5=kAFQmDzST7DWlj99KOF_cg==", md5);
    check("md5=kAFQmDzST7DWlj99KOF/cg", md5);
    check("md5=kAFQmDzST7DWlj99KOF_cg", md5);
    check("crc32c=4waSgw==", "crc32c=e3069283");
    check("crc32c=4waSgw", "crc32c=e3069283");
    check("crc32c=E3069283", "crc32c=e3069283");
    check("crc64nvme=rosUhgp5mIg=", "crc64nvme=ae8b14860a799888");
}

#[test]
fn errors_say_what_is_wrong() {
    let check = |text: &str, want: &str| {
        assert_eq!(
            text.parse::<Digest>().unwrap_err().to_string(),
            want,
            "{text}"
        );
    };
    check("sha-256", "a digest is written as ALGORITHM=VALUE");
    check(
        "sha-256=9f86d081abcd",
        "sha-256 needs 64 hex digits or 44 base64 characters, got 12 characters",
    );
    check(
        "sha-256=",
        "sha-256 needs 64 hex digits or 44 base64 characters, got 0 characters",
    );
    check(
        "crc32c=12é456z",
        "crc32c needs hex digits, got 'é' as character 3",
    );
    check(
        "md5=kAFQmDzST7DWlj99KOF/c===",
        "md5 needs 32 hex digits or valid base64",
    );
    check(
        "md5=kAFQmDzST7DWlj99KOF/ch==",
        "md5 needs 32 hex digits or valid base64",
    );
    check(
        "md5=-AFQmDzST7DWlj99KOF/cg==",
        "md5 needs 32 hex digits or valid base64",
    );
    check(
        "sha-3=00",
        "unknown digest algorithm \"sha-3\", known are sha-256, sha-512, sha-1, md5, crc32c, crc64nvme, crc64 and blake3",
    );
}

#[test]
fn decimal_numbers() {
    let read = |crc, text| Digest::parse_decimal(crc, text).map(|digest| digest.hex());
    assert_eq!(
        read(Crc::Crc64, " 11051210869376104954"),
        Ok("995dc9bbdf1939fa".into())
    );
    assert_eq!(read(Crc::Crc64, "0"), Ok("0000000000000000".into()));
    assert_eq!(read(Crc::Crc32c, "4294967295"), Ok("ffffffff".into()));
    for (crc, text) in [
        (Crc::Crc32c, "4294967296"),
        (Crc::Crc64, "18446744073709551616"),
        (Crc::Crc64, "+1"),
        (Crc::Crc64, "-1"),
        (Crc::Crc64, ""),
        (Crc::Crc64, "1 2"),
    ] {
        assert_eq!(
            read(crc, text),
            Err(ParseError::Decimal {
                algorithm: crc.algorithm()
            }),
            "{text}"
        );
    }
}

#[test]
fn equality_knows_the_algorithm() {
    let zeros = [0; 32];
    let sha = Digest::from_bytes(Algorithm::Sha256, &zeros).unwrap();
    let blake = Digest::from_bytes(Algorithm::Blake3, &zeros).unwrap();
    assert_ne!(sha, blake);
    for at in 0..32 {
        let mut other = zeros;
        other[at] = 1;
        assert_ne!(
            sha,
            Digest::from_bytes(Algorithm::Sha256, &other).unwrap(),
            "byte {at}"
        );
    }
    assert_eq!(Digest::from_bytes(Algorithm::Sha256, &zeros[1..]), None);
}

#[test]
fn joiner_refuses_what_cannot_be() {
    let mut joiner = Joiner::new(Crc::Crc32c, 100);
    joiner.add(40, 20, 1).unwrap();
    for (offset, len) in [(40, 20), (30, 11), (59, 1), (50, 5), (30, 50), (0, 100)] {
        assert_eq!(
            joiner.add(offset, len, 0),
            Err(JoinError::Overlap { offset, len })
        );
    }
    for (offset, len) in [(100, 1), (90, 11), (u64::MAX, 1), (1, u64::MAX)] {
        assert_eq!(
            joiner.add(offset, len, 0),
            Err(JoinError::Outside {
                offset,
                len,
                limit: 100
            })
        );
    }
    joiner.add(50, 0, 7).unwrap();
    assert_eq!(joiner.known(), 20);
    assert_eq!(joiner.segments().count(), 1);
    assert_eq!(Joiner::new(Crc::Crc64, 0).value(), Some(Crc::EMPTY));
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.as_slice())
}

fn crcs() -> impl Strategy<Value = Crc> {
    prop::sample::select(vec![Crc::Crc32c, Crc::Crc64Nvme, Crc::Crc64])
}

/// Data cut into segments, and an order in which they are finished.
fn segments() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..150), 0..20)
        .prop_map(|parts| {
            let mut offset = 0;
            let place = |part: Vec<u8>| {
                let at = offset;
                offset += part.len() as u64;
                (at, part)
            };
            parts.into_iter().map(place).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn splitting_anywhere_changes_nothing(
        algorithm in algorithms(),
        data in prop::collection::vec(any::<u8>(), 0..5000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
        cuts.extend([0, data.len()]);
        cuts.sort_unstable();
        let mut hasher = Hasher::new(algorithm);
        for pair in cuts.windows(2) {
            hasher.update(&data[pair[0]..pair[1]]);
        }
        prop_assert_eq!(hasher.finish(), Hasher::digest(algorithm, &data));
    }

    #[test]
    fn every_text_form_reads_back(algorithm in algorithms(), seed: u64) {
        let value = Hasher::digest(Algorithm::Sha512, &seed.to_le_bytes());
        let digest = Digest::from_bytes(algorithm, &value.as_bytes()[..algorithm.digest_len()]).unwrap();
        let base64 = digest.base64();
        let url_safe = base64.replace('+', "-").replace('/', "_");
        for text in [
            digest.hex(),
            digest.hex().to_uppercase(),
            base64.trim_end_matches('=').to_owned(),
            url_safe.trim_end_matches('=').to_owned(),
            url_safe,
            base64,
        ] {
            prop_assert_eq!(Digest::parse(algorithm, &text), Ok(digest), "{}", text);
        }
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        if let Some(crc) = digest.crc() {
            let kind = Crc::of(algorithm).unwrap();
            prop_assert_eq!(Digest::parse_decimal(kind, &crc.to_string()), Ok(digest));
            prop_assert_eq!(kind.digest(crc), digest);
        }
    }

    #[test]
    fn text_of_any_kind_never_panics(algorithm in algorithms(), text in "\\PC*", near in "[0-9a-fA-F+/_=é -]{0,130}") {
        for text in [&text, &near] {
            let _ = text.parse::<Digest>();
            let _ = format!("{algorithm}={text}").parse::<Digest>().map_err(|error| error.to_string());
            let _ = Digest::parse_base64(algorithm, text);
            let _ = Digest::parse_decimal(Crc::Crc32c, text);
        }
    }

    #[test]
    fn what_is_read_is_what_was_meant(algorithm in algorithms(), text in "[0-9a-zA-Z+/=]{4,90}") {
        if let Ok(digest) = Digest::parse(algorithm, &text) {
            let padded = digest.base64();
            let canonical = [digest.hex(), padded.trim_end_matches('=').to_owned(), padded];
            prop_assert!(canonical.iter().any(|form| form.eq_ignore_ascii_case(&text)), "{text} read as {digest}");
        }
    }

    #[test]
    fn segments_in_any_order_join_to_the_whole(crc in crcs(), order in segments()) {
        let mut data = order.clone();
        data.sort_by_key(|(offset, part)| (*offset, part.len()));
        let data: Vec<u8> = data.into_iter().flat_map(|(_, part)| part).collect();

        let mut joiner = Joiner::new(crc, data.len() as u64);
        let mut known = vec![false; data.len()];
        for (offset, part) in &order {
            joiner.add(*offset, part.len() as u64, crc.checksum(part)).unwrap();
            let from = usize::try_from(*offset).unwrap();
            known[from..from + part.len()].fill(true);
            let complete = known.iter().all(|byte| *byte);
            prop_assert_eq!(joiner.value().is_some(), complete);
            prop_assert_eq!(joiner.known(), known.iter().filter(|byte| **byte).count() as u64);
            // What is kept is the plain CRC of maximal runs.
            for run in joiner.segments() {
                let (from, to) = (usize::try_from(run.offset).unwrap(), usize::try_from(run.offset + run.len).unwrap());
                prop_assert_eq!(run.crc, crc.checksum(&data[from..to]));
                prop_assert!(from == 0 || !known[from - 1]);
                prop_assert!(to == data.len() || !known[to]);
            }
        }
        prop_assert_eq!(joiner.value(), Some(crc.checksum(&data)));
        prop_assert_eq!(joiner.digest(), Some(Hasher::digest(crc.algorithm(), &data)));
    }

    #[test]
    fn saved_segments_restore_a_joiner(crc in crcs(), order in segments(), at in any::<prop::sample::Index>()) {
        let len = order.iter().map(|(_, part)| part.len() as u64).sum();
        let mut joiner = Joiner::new(crc, len);
        for (offset, part) in &order[..at.index(order.len() + 1)] {
            joiner.add(*offset, part.len() as u64, crc.checksum(part)).unwrap();
        }
        let mut restored = Joiner::new(crc, joiner.total());
        for run in joiner.segments() {
            restored.add(run.offset, run.len, run.crc).unwrap();
        }
        prop_assert_eq!(restored, joiner);
    }
}

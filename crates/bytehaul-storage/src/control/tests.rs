//! Tests of the form of the control file: whatever the bytes, reading ends in an error or in something sensible.

use proptest::prelude::*;

use super::*;

fn contents() -> impl Strategy<Value = Contents> {
    let text = || prop::option::of("[ -~]{0,40}");
    let digests = prop::collection::vec(
        ("[a-z0-9-]{0,12}", prop::collection::vec(any::<u8>(), 0..64)),
        0..3,
    );
    let identity = ("[ -~]{0,60}", any::<Option<u64>>(), text(), text(), digests);
    let identity = identity.prop_map(|(url, len, etag, last_modified, digests)| Identity {
        url,
        len,
        etag,
        last_modified,
        digests: digests
            .into_iter()
            .map(|(algorithm, bytes)| KnownDigest { algorithm, bytes })
            .collect(),
    });
    let fingerprint = prop::option::of((any::<u64>(), any::<(i64, u32)>(), any::<u64>()));
    let runs = prop::collection::vec((0u64..3, 1u64..1000, any::<u32>()), 0..20);
    (identity, 1000u64..5000, fingerprint, runs).prop_map(
        |(identity, piece_size, fingerprint, runs)| {
            // One run in every piece that is not skipped.
            let mut piece = 0;
            let segments: Vec<Segment> = runs
                .into_iter()
                .map(|(skip, len, crc)| {
                    piece += skip + 1;
                    Segment {
                        start: piece * piece_size,
                        len,
                        crc,
                    }
                })
                .collect();
            let fingerprint = fingerprint.map(|(size, modified, inode)| Fingerprint {
                size,
                modified,
                inode,
            });
            let len = segments.last().map(Segment::end);
            Contents {
                identity,
                len,
                piece_size,
                fingerprint,
                segments,
                records: Vec::new(),
            }
        },
    )
}

fn with_records(contents: &Contents, records: &[Record]) -> Vec<u8> {
    let (mut bytes, seed) = encode(contents);
    records
        .iter()
        .for_each(|record| bytes.extend(record.encode(seed)));
    bytes
}

fn record(start: u64, len: u64) -> Record {
    Record {
        segment: Segment { start, len, crc: 7 },
    }
}

fn sample() -> Contents {
    Contents {
        identity: Identity {
            url: "https://a.example/x".into(),
            etag: Some("\"1\"".into()),
            ..Identity::default()
        },
        len: Some(10_000),
        piece_size: 1000,
        fingerprint: None,
        segments: vec![
            Segment {
                start: 0,
                len: 1000,
                crc: 1,
            },
            Segment {
                start: 1500,
                len: 500,
                crc: 2,
            },
        ],
        records: Vec::new(),
    }
}

/// Encodes a body that no writer would write.
fn forged(change: impl FnOnce(&mut Body)) -> Vec<u8> {
    let mut body = Body::of(&sample());
    change(&mut body);
    frame(&postcard::to_stdvec(&body).unwrap())
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for number in [VERSION, body.len() as u32, frame_crc(VERSION, body)] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(body);
    bytes
}

#[test]
fn senseless_fields_are_found_behind_a_right_checksum() {
    let cases: [(&str, Vec<u8>); 9] = [
        ("piece size", forged(|body| body.piece_size = 0)),
        ("piece size", forged(|body| body.piece_size = u64::MAX)),
        ("object length", forged(|body| body.len = Some(u64::MAX))),
        ("segment", forged(|body| body.len = Some(1999))),
        ("segment", forged(|body| body.segments[1].len = 0)),
        ("segment", forged(|body| body.segments[1].len = 501)),
        ("segment", forged(|body| body.segments[1].gap = u64::MAX)),
        ("segment", forged(|body| body.segments[1].len = u64::MAX)),
        (
            "identity",
            forged(|body| body.identity.etag = Some("x".repeat(MAX_FILE as usize / 1024))),
        ),
    ];
    for (field, bytes) in cases {
        assert_eq!(decode(&bytes), Err(Malformed::Senseless(field)));
    }
}

#[test]
fn other_files_are_not_control_files() {
    let good = encode(&sample()).0;
    assert_eq!(decode(&[]), Err(Malformed::NotControl));
    assert_eq!(decode(&[0; 4096]), Err(Malformed::NotControl));
    let mut newer = good.clone();
    newer[8] = 2;
    assert_eq!(decode(&newer), Err(Malformed::Version(2)));
    let mut body = postcard::to_stdvec(&Body::of(&sample())).unwrap();
    body.push(0);
    assert_eq!(decode(&frame(&body)), Err(Malformed::Senseless("body")));
    for len in MAGIC.len() + 4..good.len() {
        assert_eq!(decode(&good[..len]), Err(Malformed::Damaged), "{len}");
    }
}

#[test]
fn records_end_where_they_stop_to_fit() {
    let records = [record(2000, 500), record(9000, 1000), record(9000, 1001)];
    let bytes = with_records(&sample(), &records);
    // The third one lies beyond the object.
    assert_eq!(decode(&bytes).unwrap().records, records[..2]);
    // A torn one.
    assert_eq!(
        decode(&bytes[..bytes.len() - RECORD_LEN - 1])
            .unwrap()
            .records,
        records[..1]
    );
    // One of another snapshot.
    let mut foreign = encode(&sample()).0;
    foreign.extend(records[0].encode(1));
    assert_eq!(decode(&foreign).unwrap().records, []);
    // A hole of zeros, as a power cut leaves it, and a good one behind.
    let (mut holed, seed) = encode(&sample());
    holed.extend([0; RECORD_LEN]);
    holed.extend(records[0].encode(seed));
    assert_eq!(decode(&holed).unwrap().records, []);
    // Empty and overflowing ones.
    for bad in [
        record(5, 0),
        record(u64::MAX, 1),
        record(u64::MAX - 1, u64::MAX),
    ] {
        assert_eq!(
            decode(&with_records(&sample(), &[bad])).unwrap().records,
            []
        );
    }
}

#[test]
fn what_is_over_its_bound_is_left_out() {
    let mut large = sample();
    large.identity.url = "x".repeat(MAX_BODY as usize);
    large.identity.etag = Some("x".repeat(MAX_BODY as usize));
    large.identity.digests = vec![
        KnownDigest {
            algorithm: "x".into(),
            bytes: vec![0; 1000]
        };
        1000
    ];
    let read = decode(&encode(&large).0).unwrap();
    assert_eq!(read.identity, Identity::default());
    assert_eq!(read.segments, large.segments);
}

proptest! {
    #[test]
    fn what_is_written_is_read(contents in contents(), writes in prop::collection::vec((0u64..1000, 1u64..1000), 0..10)) {
        let mut contents = contents;
        contents.len = contents.len.map(|len| len + 2000).or(Some(2000));
        contents.records = writes.into_iter().map(|(start, len)| record(start, len)).collect();
        let bytes = with_records(&contents, &contents.records);
        prop_assert_eq!(decode(&bytes), Ok(contents));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = decode(&frame(&bytes));
        let _ = decode(&[MAGIC.as_slice(), &bytes].concat());
    }

    #[test]
    fn a_flipped_bit_is_found(contents in contents(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (mut bytes, _) = encode(&contents);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn forged_bodies_never_panic(contents in contents(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        // Past the checksum: only the validation of the fields stands between the bytes and the caller.
        let mut body = postcard::to_stdvec(&Body::of(&contents)).unwrap();
        for (at, value) in edits {
            let at = at.index(body.len());
            body[at] = value;
        }
        if let Ok(read) = decode(&frame(&body)) {
            let mut end = 0;
            for segment in &read.segments {
                prop_assert!(segment.start >= end && segment.len > 0);
                end = segment.end();
                prop_assert!(end <= read.len.unwrap_or(MAX_LEN));
            }
        }
    }
}

//! Objects of every size, from every source, and with a checksum.

use crate::conformance::Bed;

/// Nothing, one byte, and one part more or less, as file, bytes and stream.
pub async fn every_size(bed: &Bed) {
    let abilities = bed.abilities();
    let part = abilities.part;
    for len in [0, 1, part - 1, part, part + 1, 5 * part] {
        bed.trial(format!("a file of {len}"), len).completes().await;
        let trial = bed.trial(format!("bytes of {len}"), len).of_bytes();
        trial.completes().await;
        if abilities.streams {
            for chunk in [1000, 3 * part as usize] {
                let trial = bed.trial(format!("a stream of {len}, {chunk} at a time"), len);
                trial.of_stream(chunk).completes().await;
            }
        }
    }
    complained(bed);
}

/// As many parts as are many for this endpoint, the last one short.
pub async fn many_parts(bed: &Bed) {
    let abilities = bed.abilities();
    let len = abilities.many * abilities.part - 1;
    let trial = bed.trial("many parts", len);
    trial.counts();
    trial.completes().await;
    let (received, most) = (trial.received(), len + trial.wrapping());
    assert!(
        received <= most,
        "{}: {received} bytes for {len}",
        trial.what
    );
    if abilities.streams {
        let trial = bed.trial("a stream of many parts", len);
        trial.of_stream(10_000).completes().await;
    }
    complained(bed);
}

/// A checksum that is right lets the object be, and one that is wrong does not.
pub async fn checksums(bed: &Bed) {
    let abilities = bed.abilities();
    let len = 3 * abilities.part + 7;
    for stream in [false, true] {
        if stream && !abilities.streams {
            continue;
        }
        let mut right = bed.trial(format!("right checksum, stream: {stream}"), len);
        right.job.sha256 = Some(bed.client.sha256(&right.content));
        if stream {
            right = right.of_stream(5000);
        }
        right.completes().await;
        let mut wrong = bed.trial(format!("wrong checksum, stream: {stream}"), len);
        wrong.job.sha256 = right.job.sha256;
        if stream {
            wrong = wrong.of_stream(5000);
        }
        wrong.fails(&[MISMATCH]).await;
        wrong.has_no_object();
    }
}

fn complained(bed: &Bed) {
    let complaints = bed.endpoint.complaints();
    assert!(
        complaints.is_empty(),
        "{}: {complaints:?}",
        bed.endpoint.name()
    );
}

const MISMATCH: u16 = 116;

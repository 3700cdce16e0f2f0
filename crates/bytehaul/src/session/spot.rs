//! One look at what a mirror delivered: the same stretch from another source, and who is wrong when they differ.

use std::sync::Arc;
use std::time::Duration;

use bytehaul_schedule::{ByteRange, SourceId};
use bytehaul_storage::Writer;
use bytes::Bytes;

use crate::session::prove;
use crate::session::worker;

/// A source that can say what the right bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) id: SourceId,
    pub(crate) shared: Arc<worker::Shared>,
}

/// What a comparison gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    Agrees,
    /// This source has other bytes than it should.
    Guilty(SourceId),
    /// There was nothing to compare with.
    Unknown(String),
}

/// Compares a stretch that `accused` has delivered with the first of the judges that answers.
pub(crate) async fn check(
    accused: SourceId,
    range: ByteRange,
    writer: &Writer,
    judges: &[Judge],
) -> Finding {
    if let Err(error) = writer.settled().await {
        return Finding::Unknown(error.to_string());
    }
    let part = writer.layout().part.clone();
    let delivered = match prove::read(part, range).await {
        Ok(delivered) => delivered,
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    let mut others = judges.iter();
    let mut answer = first(&mut others, range).await;
    // A host that has no room for one more connection at this moment may have it in the next.
    for wait in WAITS {
        if answer.is_some() || judges.is_empty() {
            break;
        }
        tokio::time::sleep(wait).await;
        others = judges.iter();
        answer = first(&mut others, range).await;
    }
    let Some((judge, judged)) = answer else {
        return Finding::Unknown("no other source answers".into());
    };
    if judged == delivered {
        return Finding::Agrees;
    }
    let third = first(&mut others, range).await;
    Finding::Guilty(culprit(
        (accused, &delivered),
        (judge, &judged),
        third.as_ref(),
    ))
}

/// Of two that differ, a third decides; without one, or with one that has yet other bytes, the one that is believed is
/// the judge, who was asked first because it was named first.
fn culprit(
    (accused, delivered): (SourceId, &Bytes),
    (judge, _): (SourceId, &Bytes),
    third: Option<&(SourceId, Bytes)>,
) -> SourceId {
    match third {
        Some((_, bytes)) if bytes == delivered => judge,
        Some(_) | None => accused,
    }
}

/// The bytes of the next judge that answers.
async fn first<'a>(
    judges: &mut impl Iterator<Item = &'a Judge>,
    range: ByteRange,
) -> Option<(SourceId, Bytes)> {
    for judge in judges {
        let toll = judge.shared.intake.toll();
        match prove::fetch(&judge.shared.source, &judge.shared.known, range, &toll).await {
            Ok((bytes, ..)) => return Some((judge.id, bytes)),
            Err(trouble) => bytehaul_log::debug!(
                url = %judge.shared.source.safe_url(),
                what = trouble.what(),
                "a source could not be compared with"
            ),
        }
    }
    None
}

const WAITS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(third: Option<&'static str>, expected: u32) {
        let third = third.map(|bytes| (SourceId(2), Bytes::from_static(bytes.as_bytes())));
        let (delivered, judged) = (Bytes::from_static(b"bad"), Bytes::from_static(b"good"));
        let found = culprit(
            (SourceId(1), &delivered),
            (SourceId(0), &judged),
            third.as_ref(),
        );
        assert_eq!(found, SourceId(expected), "{third:?}");
    }

    #[test]
    fn a_majority_decides_and_else_the_one_that_was_named_first() {
        check(None, 1);
        check(Some("good"), 1);
        check(Some("other"), 1);
        check(Some("bad"), 0);
    }
}

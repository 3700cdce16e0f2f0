//! Any order of any writes, cut into any runs: the file and its checksums are those of a naive model.

use crate::common::{claim, filled, options};
use bytehaul_integrity::{Algorithm, Hasher};
use bytehaul_storage::{Budget, StartOptions};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Write { start: usize, len: usize, fill: u8 },
    Save,
    Reopen,
    Invalidate { start: usize, len: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..LEN, 1usize..3000, any::<u8>()).prop_map(|(start, len, fill)| Step::Write {
        start,
        len,
        fill,
    });
    let invalid = (0..LEN, 1usize..3000).prop_map(|(start, len)| Step::Invalidate { start, len });
    prop_oneof![12 => write, 1 => Just(Step::Save), 1 => Just(Step::Reopen), 1 => invalid]
}

/// What a byte is when it was written first, if it was.
type Model = Vec<Option<u8>>;

async fn run(steps: Vec<Step>, piece_size: u64) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let options = || StartOptions {
        piece_size,
        digest: Some(Algorithm::Sha256.into()),
        ..options(LEN as u64)
    };
    let budget = Budget::new(16 << 10);
    let mut model: Model = vec![None; LEN];
    let mut writer = claim(&target).start(options()).unwrap();
    for step in steps {
        match step {
            Step::Write { start, len, fill } => {
                let end = (start + len).min(LEN);
                let bytes: Vec<u8> = (start..end).map(|at| fill ^ at as u8).collect();
                for (slot, byte) in model[start..end].iter_mut().zip(&bytes) {
                    slot.get_or_insert(*byte);
                }
                writer.submit(start as u64, filled(&budget, &bytes).await);
            }
            Step::Save => writer.save().await.unwrap(),
            Step::Reopen => {
                writer.close().await.unwrap();
                let claim = claim(&target);
                prop_assert_eq!(&claim.left().unwrap().durable, &known(&model));
                prop_assert_eq!(claim.left().unwrap().refuted, 0);
                writer = claim.start(options()).unwrap();
            }
            Step::Invalidate { start, len } => {
                let end = (start + len).min(LEN);
                model[start..end].fill(None);
                writer.invalidate(start as u64..end as u64).await.unwrap();
            }
        }
    }
    writer.settled().await.unwrap();
    prop_assert_eq!(writer.written(), known(&model));
    // The rest, over what is there: the first write wins.
    let rest = vec![0xee; LEN];
    for at in (0..LEN).step_by(4096) {
        writer.submit(
            at as u64,
            filled(&budget, &rest[at..(at + 4096).min(LEN)]).await,
        );
    }
    let expected: Vec<u8> = model.into_iter().map(|byte| byte.unwrap_or(0xee)).collect();
    let digest = Hasher::digest(Algorithm::Sha256, &expected);
    // The checksums are those of the bytes, or the part would not be believed after this change of its date.
    writer.close().await.unwrap();
    let part = std::fs::File::options()
        .write(true)
        .open(directory.path().join("x.bytehaul-part"))
        .unwrap();
    part.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let claim = claim(&target);
    prop_assert_eq!(&claim.left().unwrap().durable, &[0..LEN as u64]);
    let finished = claim
        .start(options())
        .unwrap()
        .finish(Some(digest.into()), LEN as u64)
        .await
        .unwrap();
    prop_assert!(std::fs::read(finished.path).unwrap() == expected);
    prop_assert_eq!(budget.in_use(), 0);
    Ok(())
}

fn known(model: &Model) -> Vec<std::ops::Range<u64>> {
    let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
    for at in (0..LEN)
        .filter(|&at| model[at].is_some())
        .map(|at| at as u64)
    {
        match runs.last_mut() {
            Some(last) if last.end == at => last.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_any_writes(steps in prop::collection::vec(step(), 1..40), piece_size in 4096u64..9000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, piece_size))?;
    }
}

const LEN: usize = 20_000;

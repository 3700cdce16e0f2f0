//! The range set against the simplest possible model: a flag for each byte.

use bytehaul_schedule::{ByteRange, RangeSet};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const BYTES: u64 = 64;

#[derive(Clone, Debug)]
enum Change {
    Insert(ByteRange),
    Remove(ByteRange),
}

fn range() -> impl Strategy<Value = ByteRange> {
    (0..BYTES, 1..=BYTES)
        .prop_map(|(start, len)| ByteRange::new(start, (start + len).min(BYTES)).unwrap())
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        3 => range().prop_map(Change::Insert),
        2 => range().prop_map(Change::Remove),
    ];
    proptest::collection::vec(change, 0..24)
}

fn build(changes: &[Change]) -> (RangeSet, Vec<bool>) {
    let mut set = RangeSet::new();
    let mut model = vec![false; BYTES as usize];
    for change in changes {
        let (range, held) = match *change {
            Change::Insert(range) => {
                set.insert(range);
                (range, true)
            }
            Change::Remove(range) => {
                set.remove(range);
                (range, false)
            }
        };
        model[range.start() as usize..range.end() as usize].fill(held);
    }
    (set, model)
}

/// The set as flags; fails when its ranges are not sorted, disjoint and coalesced.
fn flags(set: &RangeSet) -> Vec<bool> {
    let mut flags = vec![false; BYTES as usize];
    let mut behind = None;
    for range in set.iter() {
        assert!(behind.is_none_or(|end| end < range.start()), "{set:?}");
        behind = Some(range.end());
        flags[range.start() as usize..range.end() as usize].fill(true);
    }
    flags
}

fn zip(a: &[bool], b: &[bool], both: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    a.iter().zip(b).map(|(&a, &b)| both(a, b)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn holds_what_the_model_holds(changes in changes(), within in range()) {
        let (set, model) = build(&changes);
        let inside = |offset: usize| within.contains_offset(offset as u64);
        prop_assert_eq!(flags(&set), model.clone());
        prop_assert_eq!(set.covered(), model.iter().filter(|&&held| held).count() as u64);
        prop_assert_eq!(set.is_empty(), model.iter().all(|&held| !held));
        prop_assert_eq!(set.prefix_end(), model.iter().take_while(|&&held| held).count() as u64);
        prop_assert_eq!(set.contains(&within), (0..model.len()).filter(|&at| inside(at)).all(|at| model[at]));
        let gaps: Vec<_> = model.iter().enumerate().map(|(at, &held)| inside(at) && !held).collect();
        prop_assert_eq!(flags(&set.gaps(within)), gaps);
        prop_assert_eq!(set.first_gap(within), set.gaps(within).iter().next());
        let parts: RangeSet = set.overlapping(within).collect();
        prop_assert_eq!(flags(&parts), (0..model.len()).map(|at| inside(at) && model[at]).collect::<Vec<_>>());
    }

    #[test]
    fn sets_combine_as_their_bytes_do(one in changes(), other in changes()) {
        let ((a, a_model), (b, b_model)) = (build(&one), build(&other));
        prop_assert_eq!(flags(&a.union(&b)), zip(&a_model, &b_model, |a, b| a || b));
        prop_assert_eq!(flags(&a.intersection(&b)), zip(&a_model, &b_model, |a, b| a && b));
        prop_assert_eq!(flags(&a.difference(&b)), zip(&a_model, &b_model, |a, b| a && !b));
        prop_assert_eq!(&a.iter().rev().collect::<RangeSet>(), &a);
    }
}

//! What holds of any upload, whatever befalls it.

use proptest::prelude::*;

use super::world::{Fate, World};
use crate::azure::{BlockCheck, Existing};
use crate::{ProtocolErrorKind, Stage};

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Unsent),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Gateway),
        1 => Just(Fate::Busy),
        1 => Just(Fate::Hasty),
        1 => Just(Fate::Garbled),
        1 => Just(Fate::Killed),
    ]
}

fn world() -> impl Strategy<Value = World> {
    let sizes = (
        prop_oneof![Just(0_usize), 1..60_usize],
        1..9_u64,
        1..5_usize,
    );
    let kinds = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3_u8);
    (sizes, kinds).prop_map(
        |((len, size, parallel), (is_stream, renews, refuses, check))| {
            let mut world = World::new(len, size);
            (world.parallel, world.is_stream, world.renews) = (parallel, is_stream, renews);
            world.existing = if refuses {
                Existing::Refuse
            } else {
                Existing::Replace
            };
            world.check = match check {
                0 => BlockCheck::None,
                1 => BlockCheck::Crc64,
                _ => BlockCheck::Md5,
            };
            world
        },
    )
}

/// A stream cannot be taken up by another process: that is another upload, which finds a blob of the first.
fn one_process_for_a_stream(world: &World, fates: &mut Vec<Fate>) {
    if world.is_stream {
        fates.retain(|fate| *fate != Fate::Killed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Complete means that the blob is there, byte by byte; failed, that it is not this upload's; else it is said that it is unknown.
    #[test]
    fn the_end_is_true(
        mut world in world(),
        is_write_only in any::<bool>(),
        before in prop::option::of(0..3_u8),
        mut fates in prop::collection::vec(fate(), 0..40),
        damage in prop::option::weighted(0.5, (0..40_usize, 0..3_u8)),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        one_process_for_a_stream(&world, &mut fates);
        world.service.lock().unwrap().is_write_only = is_write_only;
        let theirs = before.map(|kind| match kind {
            0 => b"theirs".to_vec(),
            1 => vec![0xff; world.source.len()],
            _ => Vec::new(),
        });
        if let Some(bytes) = &theirs {
            world.put(bytes);
        }
        let mut overwritten = false;
        if let Some((at, kind)) = damage {
            let fate = [Fate::Forgotten, Fate::Overwritten, Fate::Expired][usize::from(kind)];
            overwritten = fate == Fate::Overwritten;
            fates.insert(at.min(fates.len()), fate);
        }
        let (ended, saved) = world.drive(None, &fates, &picks);
        match ended {
            Ok(completed) => {
                prop_assert_eq!(world.blob(), Some(world.source.clone()));
                prop_assert!(completed.etag.is_some());
                prop_assert_eq!(saved.stage, Stage::Complete);
            }
            Err(error) if error.kind() == ProtocolErrorKind::Indeterminate => (),
            Err(error) => {
                prop_assert!(!world.is_ours(), "{error} although the blob is there");
                prop_assert!(!error.to_string().contains("sig"));
                if world.existing == Existing::Refuse && !overwritten && theirs.is_some() {
                    prop_assert_eq!(world.blob(), theirs);
                }
            }
        }
    }

    /// Nothing but damage ends an upload, with credentials that can be renewed and may read.
    #[test]
    fn faults_that_pass_are_passed(
        mut world in world(),
        mut fates in prop::collection::vec(fate(), 0..30),
        expired in prop::option::of(0..30_usize),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        if let Some(at) = expired.filter(|_| world.renews) {
            fates.insert(at.min(fates.len()), Fate::Expired);
        }
        one_process_for_a_stream(&world, &mut fates);
        let (ended, _) = world.drive(None, &fates, &picks);
        prop_assert!(ended.is_ok(), "{ended:?} {}", world.log());
        prop_assert_eq!(world.blob(), Some(world.source.clone()));
        prop_assert!(world.is_ours());
    }

    /// A source of which some bytes have changed between two runs is uploaded as it is now, never as a mixture.
    #[test]
    fn a_changed_source_is_never_mixed(
        mut world in world(),
        fates in prop::collection::vec(fate(), 1..20),
        (at, stop) in (0..60_usize, 1..20_usize),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        world.is_stream = false;
        world.source.push(9);
        let (_, saved) = world.stopped(&mut *world.open(None), stop);
        let at = at % world.source.len();
        world.source[at] ^= 1;
        world.unchanged = false;
        world.existing = Existing::Replace;
        let fates: Vec<_> = fates.into_iter().filter(|fate| *fate != Fate::Killed).collect();
        let (ended, _) = world.drive(Some(saved), &fates, &picks);
        prop_assert!(ended.is_ok(), "{ended:?}");
        prop_assert_eq!(world.blob(), Some(world.source.clone()));
    }
}

//! What holds of every upload, whatever befalls its requests.

use proptest::prelude::*;

use super::driver::{Driver, Fate};
use super::store::{Lists, etag};
use crate::ProtocolErrorKind;
use crate::oss::Existing;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Unsent),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Gateway),
        1 => Just(Fate::Busy),
        1 => Just(Fate::Hasty),
        1 => Just(Fate::Expired),
        1 => Just(Fate::Killed),
        1 => Just(Fate::Damaged),
    ]
}

fn lists() -> impl Strategy<Value = Lists> {
    prop::sample::select(vec![Lists::Whole, Lists::WithoutCrcs, Lists::Denied])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Complete means that the object is there, byte by byte; failed, that it is not; else the error says that it is unknown.
    #[test]
    fn the_end_is_true(
        len in prop_oneof![Just(0_usize), 1..40_usize],
        part in 1..9_u64,
        (renews, keeps, is_stream, before) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        (parallel, lists) in (1..4_usize, lists()),
        mut fates in prop::collection::vec(fate(), 0..40),
        damage in prop::option::weighted(0.4, (0..40_usize, any::<bool>())),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        if let Some((at, forgets)) = damage {
            let fate = if forgets { Fate::Forgotten } else { Fate::Discarded };
            fates.insert(at.min(fates.len()), fate);
        }
        let mut driver = Driver::new(len, part);
        (driver.renews, driver.is_stream, driver.parallel) = (renews, is_stream, parallel);
        driver.existing = if keeps { Existing::Refuse } else { Existing::Replace };
        driver.store.lock().unwrap().lists = lists;
        if before {
            // Another object of the same length.
            driver.store.lock().unwrap().object = Some(vec![0xff; len]);
        }
        let ended = driver.drive(None, &fates, &picks);
        let store = driver.store.lock().unwrap();
        let is_made = store.is_ours && store.object.as_ref() == Some(&driver.source);
        match ended {
            Ok(completed) => {
                prop_assert_eq!(store.object.as_ref(), Some(&driver.source));
                prop_assert_eq!(completed.etag, Some(etag(&driver.source)));
                prop_assert!(completed.verified.is_some());
            }
            Err(error) if error.kind() == ProtocolErrorKind::Indeterminate => (),
            // A stream that ends with its process is no word about the object.
            Err(error) if error.kind() == ProtocolErrorKind::Parameter && is_stream => (),
            Err(error) => prop_assert!(!is_made, "{error} although the object is there"),
        }
    }

    /// Where keys are renewed and nothing is lost for good, everything ends well, and nothing stays behind but uploads whose
    /// creation was not heard of.
    #[test]
    fn faults_that_pass_are_passed(
        len in 0..40_usize,
        part in 1..9_u64,
        (parallel, lists) in (1..4_usize, lists()),
        fates in prop::collection::vec(fate(), 0..30),
        expired in prop::option::of(0..30_usize),
        gone in prop::option::of((0..30_usize, any::<bool>())),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let mut damages = 0;
        let mut fates: Vec<Fate> = fates
            .into_iter()
            .filter(|fate| {
                damages += u32::from(*fate == Fate::Damaged);
                // More of one of these may be final.
                *fate != Fate::Expired && (*fate != Fate::Damaged || damages <= 3)
            })
            .collect();
        if let Some(at) = expired {
            fates.insert(at.min(fates.len()), Fate::Expired);
        }
        if let Some((at, forgets)) = gone {
            let fate = if forgets { Fate::Forgotten } else { Fate::Discarded };
            fates.insert(at.min(fates.len()), fate);
        }
        let mut driver = Driver::new(len, part);
        (driver.renews, driver.parallel) = (true, parallel);
        driver.store.lock().unwrap().lists = lists;
        let ended = driver.drive(None, &fates, &picks);
        prop_assert!(ended.is_ok(), "{ended:?}");
        let store = driver.store.lock().unwrap();
        prop_assert_eq!(store.object.as_ref(), Some(&driver.source));
        let unheard = fates.iter().filter(|fate| !matches!(fate, Fate::Answered | Fate::Unsent | Fate::Busy | Fate::Hasty));
        prop_assert!(store.uploads.len() <= unheard.count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What the server has is not sent again, whatever was saved of it.
    #[test]
    fn a_resumed_upload_sends_what_is_missing(
        len in 9..60_usize,
        part in 1..9_u64,
        kept in 0..20_usize,
        arrived in any::<bool>(),
    ) {
        let mut driver = Driver::new(len, part);
        let count = len.div_ceil(part as usize);
        let kept = kept.min(count);
        // The process dies with so many parts there, and one more if its request has arrived.
        let mut fates = vec![Fate::Answered; 1 + kept];
        fates.push(Fate::Killed);
        let pick = u8::from(!arrived);
        driver.drive(None, &fates, &[pick]).unwrap();
        let store = driver.store.lock().unwrap();
        let sent = store.log.iter().filter(|line| line.starts_with("PUT ")).count();
        prop_assert_eq!(sent, count);
        prop_assert_eq!(store.object.as_ref(), Some(&driver.source));
    }
}

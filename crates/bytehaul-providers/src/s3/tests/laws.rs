//! What holds of every upload, whatever befalls its requests.

use proptest::prelude::*;

use super::store::{Driver, Fate, Lists};
use crate::ProtocolErrorKind;
use crate::s3::Checksum;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Unsent),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Gateway),
        1 => Just(Fate::Busy),
        1 => Just(Fate::Expired),
        1 => Just(Fate::Killed),
        1 => Just(Fate::Damaged),
    ]
}

fn checksum() -> impl Strategy<Value = Checksum> {
    prop::sample::select(vec![
        Checksum::ContentMd5,
        Checksum::Crc32c,
        Checksum::Crc64Nvme,
        Checksum::Sha256,
    ])
}

fn lists() -> impl Strategy<Value = Lists> {
    prop::sample::select(vec![
        Lists::Whole,
        Lists::Twice,
        Lists::WithoutEtags,
        Lists::Never,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Complete means that the object is there, byte by byte; failed, that it is not; else the error says that it is unknown.
    #[test]
    fn the_end_is_true(
        len in prop_oneof![Just(0_usize), 1..40_usize],
        part in 1..9_u64,
        (renews, keeps, is_stream, is_own) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        (parallel, checksum, lists) in (1..4_usize, checksum(), lists()),
        before in any::<bool>(),
        mut fates in prop::collection::vec(fate(), 0..40),
        damage in prop::option::weighted(0.4, (0..40_usize, any::<bool>())),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        if let Some((at, forgets)) = damage {
            let fate = if forgets { Fate::Forgotten } else { Fate::Discarded };
            fates.insert(at.min(fates.len()), fate);
        }
        let mut driver = Driver::new(len, part);
        (driver.renews, driver.keeps, driver.is_stream) = (renews, keeps, is_stream);
        (driver.parallel, driver.checksum, driver.is_own) = (parallel, checksum, is_own);
        driver.store.lock().unwrap().lists = lists;
        if before {
            // Another object of the same length, made of parts too.
            let tag = format!("\"{}-{}\"", "0".repeat(32), 1);
            driver.store.lock().unwrap().object = Some((vec![0xff; len], tag));
        }
        let ended = driver.drive(None, &fates, &picks);
        let store = driver.store.lock().unwrap();
        match ended {
            Ok(completed) => {
                prop_assert!(store.is_ours);
                let (bytes, etag) = store.object.as_ref().unwrap();
                prop_assert_eq!(bytes, &driver.source);
                prop_assert_eq!(completed.etag.as_ref(), Some(etag));
            }
            Err(error) if error.kind() == ProtocolErrorKind::Indeterminate => (),
            // A stream that ends with its process is no word about the object.
            Err(error) if error.kind() == ProtocolErrorKind::Parameter && is_stream => (),
            Err(error) => prop_assert!(!store.is_ours, "{error} although the object is there"),
        }
    }

    /// Where keys are renewed and nothing is lost for good, everything ends well, and nothing stays behind but uploads whose
    /// creation was not heard of.
    #[test]
    fn faults_that_pass_are_passed(
        len in 0..40_usize,
        part in 1..9_u64,
        (parallel, checksum, lists) in (1..4_usize, checksum(), lists()),
        fates in prop::collection::vec(fate().prop_filter("two in a row may be final", |fate| !matches!(fate, Fate::Expired)), 0..30),
        expired in prop::option::of(0..30_usize),
        gone in prop::option::of(0..30_usize),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let mut fates = fates;
        if let Some(at) = expired {
            fates.insert(at.min(fates.len()), Fate::Expired);
        }
        if let Some(at) = gone {
            fates.insert(at.min(fates.len()), Fate::Discarded);
        }
        let mut driver = Driver::new(len, part);
        (driver.renews, driver.parallel, driver.checksum) = (true, parallel, checksum);
        driver.store.lock().unwrap().lists = lists;
        let ended = driver.drive(None, &fates, &picks);
        prop_assert!(ended.is_ok(), "{ended:?}");
        let store = driver.store.lock().unwrap();
        let unheard = fates.iter().filter(|fate| !matches!(fate, Fate::Answered | Fate::Unsent | Fate::Busy));
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
        forgets in any::<bool>(),
        twice in any::<bool>(),
    ) {
        let mut driver = Driver::new(len, part);
        let lists = if twice { Lists::Twice } else { Lists::Whole };
        driver.store.lock().unwrap().lists = lists;
        let count = len.div_ceil(part as usize);
        let kept = kept.min(count);
        // The process dies with so many parts there.
        let mut fates = vec![Fate::Answered; 1 + kept];
        fates.push(Fate::Killed);
        // And of the last of them the receipt was not written down.
        if forgets && kept > 0 {
            fates[kept] = Fate::Lost;
        }
        driver.drive(None, &fates, &[1]).unwrap();
        let store = driver.store.lock().unwrap();
        let sent = store.log.iter().filter(|line| line.starts_with("PUT ")).count();
        // A lost answer has the part sent again by the same process.
        prop_assert!(sent <= count + usize::from(forgets), "{sent} of {count}");
        prop_assert_eq!(&store.object.as_ref().unwrap().0, &driver.source);
    }
}

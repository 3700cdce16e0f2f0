//! The proof by cutting for checkpoints: after a crash at any moment the file has the content before or the content after.

use std::io;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::model::{Crash, Disk, Event, Op, Recorder};
use super::{Numbers, object};
use crate::checkpoints::{Missing, Place};
use crate::witness::{Change, Name, Witness};
use crate::{CheckpointFile, Checkpoints, Durability, Error, Layout};

/// What an upload does with its checkpoint.
#[derive(Debug, Clone)]
enum Step {
    Save(Vec<u8>),
    /// The program ends in order, and the next one claims the file.
    Restart,
    Remove,
}

type Content = Option<Vec<u8>>;
/// After how many events a step was done, and what it left.
type Done = (usize, Content);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Some within a sector, some over many.
    let content = (
        any::<u8>(),
        prop_oneof![0u64..40, 400u64..600, 2000u64..4000],
    );
    let step = prop_oneof![
        6 => content.prop_map(|(salt, len)| Step::Save(object(salt, 0..len))),
        1 => Just(Step::Restart),
        1 => Just(Step::Remove),
    ];
    prop::collection::vec(step, 1..8)
}

fn claim(path: &Path, durability: Durability, witness: Arc<dyn Witness>) -> CheckpointFile {
    let place = Place::beside(path).unwrap();
    let mut file =
        CheckpointFile::claim(place, "key".into(), Missing::Make, Some(witness)).unwrap();
    file.set_durability(durability);
    file
}

/// What happened, and when each step was done.
fn story(steps: &[Step], durability: Durability) -> (Vec<Event>, Vec<Done>) {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let recorder = Arc::new(Recorder::default());
    let claim = || claim(&source, durability, Arc::clone(&recorder) as _);
    let mut file = claim();
    let mut done = Vec::new();
    let mut last = None;
    for step in steps {
        match step {
            Step::Save(content) => {
                file.save(content).unwrap();
                last = Some(content.clone());
                assert_eq!(file.load().unwrap(), last);
            }
            Step::Restart => {
                drop(file);
                file = claim();
                assert_eq!(file.load().unwrap(), last);
            }
            Step::Remove => {
                file.remove().unwrap();
                last = None;
                done.push((recorder.events().len(), None));
                file = claim();
                assert_eq!(file.load().unwrap(), None);
            }
        }
        done.push((recorder.events().len(), last.clone()));
    }
    (recorder.events(), done)
}

/// What may be there after these many events: what the last finished step left, and what the one under way is to leave.
fn allowed(done: &[Done], events: usize) -> Vec<Content> {
    let mut finished = done.iter().filter(|(at, _)| *at <= events);
    let before = finished
        .next_back()
        .and_then(|(_, content)| content.clone());
    let under_way = done.iter().find(|(at, _)| *at > events);
    let after = under_way.map(|(_, content)| content.clone());
    [before].into_iter().chain(after).collect()
}

fn cut_everywhere(steps: &[Step], durability: Durability, numbers: &mut Numbers) {
    let (events, done) = story(steps, durability);
    let mut disk = Disk::default();
    for (at, event) in events.iter().enumerate() {
        disk.happen(event);
        for crash in [Crash::Kill, Crash::PowerCut] {
            if crash == Crash::Kill && matches!(event, Event::Before(_)) {
                continue;
            }
            let survived = crash == Crash::Kill || durability == Durability::PowerCut;
            let mut allowed = allowed(&done, at + 1);
            if !survived {
                // Any whole one, or none; never a torn one.
                allowed.push(None);
                allowed.extend(done.iter().map(|(_, content)| content.clone()));
            }
            let (found, warning) = after(&disk, crash, numbers);
            assert!(
                allowed.contains(&found),
                "{crash:?} after {event:?}: {found:?}, not of {allowed:?}"
            );
            assert!(
                !survived || warning.is_none(),
                "{crash:?} after {event:?}: {warning:?}"
            );
        }
    }
}

/// What the next run finds, which then can save, whatever the crash left.
fn after(disk: &Disk, crash: Crash, numbers: &mut Numbers) -> (Content, Option<String>) {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let place = Place::beside(&source).unwrap();
    let layout = Layout {
        control: place.path.clone(),
        control_new: place.new,
        ..Layout::beside(&source).unwrap()
    };
    disk.crash(crash, numbers, &layout);
    let mut file = CheckpointFile::claim(
        Place::beside(&source).unwrap(),
        "key".into(),
        Missing::Make,
        None,
    )
    .unwrap();
    let found = file.load().unwrap();
    let warning = file.warning().map(str::to_owned);
    file.save(b"next").unwrap();
    drop(file);
    let listed = Checkpoints::in_directory(directory.path()).list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].bytes(), Some(&b"next"[..]));
    assert!(!layout.control_new.exists(), "nothing is left over");
    (found, warning)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_crash_leaves_the_content_before_or_after(steps in steps(), seed: u64) {
        cut_everywhere(&steps, Durability::PowerCut, &mut Numbers(seed));
    }

    #[test]
    fn without_syncing_a_torn_checkpoint_is_none(steps in steps(), seed: u64) {
        cut_everywhere(&steps, Durability::Kill, &mut Numbers(seed));
    }
}

/// Fails one change.
#[derive(Debug)]
struct Failing(fn(&Change<'_>) -> bool);

impl Witness for Failing {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        if (self.0)(&change) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn after(&self, _change: Change<'_>) {}
}

#[test]
fn a_save_that_fails_leaves_the_content_before() {
    let check = |fails: fn(&Change<'_>) -> bool, expected: &str| {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("source");
        let mut file = claim(&source, Durability::PowerCut, Arc::new(Failing(|_| false)));
        file.save(b"old").unwrap();
        drop(file);
        let mut file = claim(&source, Durability::PowerCut, Arc::new(Failing(fails)));
        let failed = file.save(b"new");
        assert!(matches!(failed, Err(Error::DiskFull { .. })), "{failed:?}");
        assert_eq!(file.load().unwrap().as_deref(), Some(expected.as_bytes()));
        let again = crate::checkpoints::beside(&source);
        assert!(
            matches!(again, Err(Error::Locked { .. })),
            "it is still ours"
        );
        drop(file);
        let names = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 1, "nothing is left over");
    };
    check(
        |change| matches!(change, Change::Create(Name::ControlNew)),
        "old",
    );
    check(|change| matches!(change, Change::Write { .. }), "old");
    check(|change| matches!(change, Change::Sync(_)), "old");
    check(|change| matches!(change, Change::Rename { .. }), "old");
    check(|change| matches!(change, Change::SyncDirectory), "new");
}

#[test]
fn what_is_synced_is_what_the_durability_says() {
    let syncs = |durability| {
        let (events, _) = story(&[Step::Save(vec![1]), Step::Save(vec![2])], durability);
        let synced = events
            .iter()
            .filter(|event| matches!(event, Event::After(Op::Sync(_) | Op::SyncDirectory)));
        synced.count()
    };
    assert_eq!(syncs(Durability::PowerCut), 4);
    assert_eq!(syncs(Durability::Kill), 0);
}

//! The proof by cutting: after a crash at any moment, the control file claims nothing that is not there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytehaul_integrity::{Algorithm, Hasher, crc32c};

use super::model::{Crash, Disk, Event, Op, Recorder};
use super::{Numbers, claim, filled, object};
use crate::witness::Name;
use crate::{
    Allocation, Budget, Conflict, Durability, Error, Identity, Keep, Layout, Left, Resume,
    StartOptions, Writer, control,
};

type How = (Allocation, Durability);

/// Objects are named by their URL; each has its own bytes.
const OBJECTS: [(&str, u8); 2] = [
    ("https://a.example/one", 0x00),
    ("https://a.example/two", 0xa5),
];
const LEN: u64 = 64 << 10;
const WRITE: u64 = 3000;
const WRONG: std::ops::Range<u64> = 20_000..21_000;
const WRONG_SALT: u8 = 0x3c;

fn options(object: usize, keep: Keep, how: How) -> StartOptions {
    StartOptions {
        identity: Identity {
            url: OBJECTS[object].0.into(),
            ..Identity::default()
        },
        len: Some(LEN),
        piece_size: 8 << 10,
        allocation: how.0,
        durability: how.1,
        keep,
        digest: Some(Algorithm::Sha256.into()),
        save_every: Duration::from_millis(10),
    }
}

/// Writes those of the chunks that `which` chooses, in a random order and with pauses in which snapshots fall.
async fn write(writer: &Writer, salt: u8, numbers: &mut Numbers, which: impl Fn(u64) -> bool) {
    let budget = Budget::new(16 << 10);
    let mut starts: Vec<u64> = (0..LEN)
        .step_by(WRITE as usize)
        .filter(|&start| which(start / WRITE))
        .collect();
    while !starts.is_empty() {
        let start = starts.swap_remove(numbers.below(starts.len() as u64) as usize);
        let bytes = object(salt, start..LEN.min(start + WRITE));
        writer.submit(start, filled(&budget, &bytes).await);
        if numbers.below(4) == 0 {
            tokio::time::sleep(Duration::from_millis(numbers.below(12))).await;
        }
    }
}

/// One object is begun and given up, another is written in two runs, with bytes that turn out wrong, and published.
async fn story(target: &Path, numbers: &mut Numbers, how: How) -> Vec<Event> {
    let recorder = Arc::new(Recorder::default());
    recorder.part_is_made();
    let writer = claim(target, &recorder)
        .start(options(0, Keep::Nothing, how))
        .unwrap();
    write(&writer, OBJECTS[0].1, numbers, |chunk| chunk % 3 == 0).await;
    if numbers.coin() {
        save(&writer, &recorder).await;
    }
    writer.close().await.unwrap();

    let writer = claim(target, &recorder)
        .start(options(1, Keep::Nothing, how))
        .unwrap();
    let salt = OBJECTS[1].1;
    writer.submit(
        WRONG.start,
        filled(&Budget::default(), &object(WRONG_SALT, WRONG)).await,
    );
    write(&writer, salt, numbers, |chunk| chunk % 2 == 0).await;
    writer.invalidate(WRONG).await.unwrap();
    recorder.note(Event::ProvenWrong);
    save(&writer, &recorder).await;
    writer.close().await.unwrap();

    let again = claim(target, &recorder);
    assert_eq!(again.left().unwrap().identity.url, OBJECTS[1].0);
    assert_eq!(again.left().unwrap().refuted, 0);
    let writer = again.start(options(1, Keep::Left, how)).unwrap();
    write(&writer, salt, numbers, |_| true).await;
    save(&writer, &recorder).await;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&object(salt, 0..LEN));
    let finished = writer
        .finish(Some(hasher.finish().into()), LEN)
        .await
        .unwrap();
    assert_eq!(std::fs::read(finished.path).unwrap(), object(salt, 0..LEN));
    recorder.events()
}

async fn save(writer: &Writer, recorder: &Recorder) {
    writer.save().await.unwrap();
    recorder.note(Event::Saved(writer.status().borrow().durable));
}

/// What the bytes may be, for each object.
struct Expected {
    objects: [Vec<u8>; 2],
    wrong: Vec<u8>,
}

/// Crashes after these events, and looks at what a next run would find.
fn check(events: &[Event], disk: &Disk, cut: &Cut, numbers: &mut Numbers, expected: &Expected) {
    let directory = tempfile::tempdir_in(in_memory()).unwrap();
    let layout = Layout::beside(&directory.path().join("target")).unwrap();
    disk.crash(cut.crash, numbers, &layout);
    let part = std::fs::read(&layout.part).unwrap_or_default();
    if cut.is_survived() {
        if let Ok(published) = std::fs::read(&layout.target) {
            assert!(
                published == expected.objects[1],
                "the target is whole or not there"
            );
        }
        check_snapshot(&layout, &part);
    }
    let claim = match crate::claim(&layout.target, Conflict::Refuse, Resume::Continue) {
        Ok(claim) => claim,
        Err(error) => {
            let exists = matches!(error, Error::TargetExists { .. });
            assert!(exists && layout.target.exists(), "{error}");
            return;
        }
    };
    let proven_wrong = events
        .iter()
        .any(|event| matches!(event, Event::ProvenWrong));
    let may_be_wrong = !proven_wrong || !cut.is_survived();
    let kept = claim.left().map_or(0, |left| {
        check_left(left, &part, expected, may_be_wrong);
        left.durable
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    });
    let (recorded, saved) = promised(events);
    match cut.crash {
        Crash::Kill => assert!(
            kept >= recorded.max(saved),
            "a kill loses nothing that was recorded: {kept}"
        ),
        Crash::PowerCut if cut.is_survived() => {
            assert!(
                kept >= saved,
                "a power cut loses nothing that was saved: {kept}, {saved}"
            );
        }
        Crash::PowerCut => {}
    }
}

/// What a crash does, and what the files were meant to survive.
struct Cut {
    crash: Crash,
    durability: Durability,
}

impl Cut {
    fn is_survived(&self) -> bool {
        self.crash == Crash::Kill || self.durability == Durability::PowerCut
    }
}

/// The snapshot's claims are true of the part as it is, without a word from the reader that checks them.
fn check_snapshot(layout: &Layout, part: &[u8]) {
    let Ok(bytes) = std::fs::read(&layout.control) else {
        return;
    };
    let Ok(contents) = control::decode(&bytes) else {
        return;
    };
    if !layout.part.exists() {
        return;
    }
    for segment in &contents.segments {
        let bytes = part.get(segment.start as usize..segment.end() as usize);
        assert_eq!(
            bytes.map(crc32c),
            Some(segment.crc),
            "the snapshot claims {:?} truly",
            segment.range()
        );
    }
}

/// What is offered has the bytes of the object that it is offered as.
fn check_left(left: &Left, part: &[u8], expected: &Expected, may_be_wrong: bool) {
    let url = &left.identity.url;
    let object = OBJECTS
        .iter()
        .position(|(name, _)| name == url)
        .expect("one of the objects");
    let object = &expected.objects[object];
    for range in &left.durable {
        let range = range.start as usize..range.end as usize;
        if part[range.clone()] == object[range.clone()] {
            continue;
        }
        for at in range {
            let wrong =
                may_be_wrong && WRONG.contains(&(at as u64)) && part[at] == expected.wrong[at];
            assert!(wrong || part[at] == object[at], "byte {at} of {url}");
        }
    }
}

/// Bytes of the present object whose record had been written, but for the invalidated ones; and bytes that were saved.
fn promised(events: &[Event]) -> (u64, u64) {
    let (mut written, mut noted, mut saved, mut published) = (0u64, 0u64, 0, false);
    for event in events {
        match event {
            Event::After(Op::Write {
                name: Name::Part,
                data,
                ..
            }) => written += data.len() as u64,
            Event::After(Op::Write {
                name: Name::Control,
                ..
            }) => noted = written,
            // A run that starts over.
            Event::Before(Op::Remove(Name::Control)) if !published => {
                (written, noted, saved) = (0, 0, 0);
            }
            Event::Before(Op::Rename {
                to: Name::Target, ..
            }) => published = true,
            Event::Saved(bytes) => saved = *bytes,
            Event::Before(_) | Event::After(_) | Event::ProvenWrong => {}
        }
    }
    (noted.saturating_sub(WRONG.end - WRONG.start), saved)
}

async fn cut_everywhere(seed: u64, how: How) {
    let directory = tempfile::tempdir_in(in_memory()).unwrap();
    let mut numbers = Numbers(seed);
    let events = story(&directory.path().join("target"), &mut numbers, how).await;
    let snapshots = events.iter().filter(|event| {
        matches!(
            event,
            Event::After(Op::Rename {
                to: Name::Control,
                ..
            })
        )
    });
    assert!(
        snapshots.count() > 6,
        "the story must have snapshots within it"
    );
    let objects = OBJECTS.map(|(_, salt)| object(salt, 0..LEN));
    let expected = Expected {
        objects,
        wrong: object(WRONG_SALT, 0..LEN),
    };
    let mut disk = Disk::default();
    for (at, event) in events.iter().enumerate() {
        disk.happen(event);
        let crashes: &[Crash] = match event {
            Event::Before(_) => &[Crash::PowerCut],
            Event::After(_) | Event::ProvenWrong | Event::Saved(_) => {
                &[Crash::Kill, Crash::PowerCut]
            }
        };
        // Publishing is few steps, so each is cut more often.
        let times = if at + PUBLISHING >= events.len() {
            8
        } else {
            1
        };
        for &crash in crashes.iter().cycle().take(crashes.len() * times) {
            let cut = Cut {
                crash,
                durability: how.1,
            };
            check(&events[..=at], &disk, &cut, &mut numbers, &expected);
        }
    }
}

/// Thousands of small files are made, and none of them needs a disk.
fn in_memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

#[tokio::test]
async fn no_crash_makes_the_control_file_lie() {
    cut_everywhere(1, (Allocation::None, Durability::PowerCut)).await;
}

#[tokio::test]
async fn no_crash_makes_the_control_file_lie_with_reserved_space() {
    cut_everywhere(2, (Allocation::Prealloc, Durability::PowerCut)).await;
}

#[tokio::test]
async fn without_syncing_a_resume_is_still_right() {
    cut_everywhere(3, (Allocation::None, Durability::Kill)).await;
}

const PUBLISHING: usize = 16;

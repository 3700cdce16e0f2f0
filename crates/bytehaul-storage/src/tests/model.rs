//! A disk that forgets: it replays recorded changes and keeps of the unsynced ones whatever a crash may keep.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::Numbers;
use crate::witness::{Change, Name, Witness};
use crate::{Layout, lock};

/// What happened, in order.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Before(Op),
    After(Op),
    /// The test has been told that bytes were proven wrong and are claimed no more.
    ProvenWrong,
    /// The test has been told that so many bytes are durable.
    Saved(u64),
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Create(Name),
    Write {
        name: Name,
        offset: u64,
        data: Vec<u8>,
    },
    SetLen {
        name: Name,
        len: u64,
    },
    Sync(Name),
    Rename {
        from: Name,
        to: Name,
    },
    Remove(Name),
    SyncDirectory,
}

#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub(super) fn note(&self, event: Event) {
        lock(&self.0).push(event);
    }

    /// The part file is made by claiming, before there is anything to watch.
    pub(super) fn part_is_made(&self) {
        lock(&self.0).push(Event::After(Op::Create(Name::Part)));
    }

    pub(super) fn events(&self) -> Vec<Event> {
        lock(&self.0).clone()
    }
}

impl Witness for Recorder {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        lock(&self.0).push(Event::Before(Op::of(change)));
        if matches!(change, Change::Sync(_)) {
            // As long as a disk takes, so that writing goes on beside it.
            std::thread::sleep(Duration::from_millis(4));
        }
        Ok(())
    }

    fn after(&self, change: Change<'_>) {
        lock(&self.0).push(Event::After(Op::of(change)));
    }
}

impl Op {
    fn of(change: Change<'_>) -> Self {
        match change {
            Change::Create(name) => Self::Create(name),
            Change::Write { name, offset, data } => Self::Write {
                name,
                offset,
                data: data
                    .iter()
                    .flat_map(|slice: &IoSlice<'_>| slice.to_vec())
                    .collect(),
            },
            Change::SetLen { name, len } => Self::SetLen { name, len },
            Change::Sync(name) => Self::Sync(name),
            Change::Rename { from, to } => Self::Rename { from, to },
            Change::Remove(name) => Self::Remove(name),
            Change::SyncDirectory => Self::SyncDirectory,
        }
    }
}

/// What remains of unsynced changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    /// The program dies, the system lives: everything that was handed over.
    Kill,
    /// The system dies: of the bytes any sectors, of the names any first ones.
    PowerCut,
}

type Names = BTreeMap<Name, usize>;

#[derive(Debug, Default)]
pub(super) struct Disk {
    files: Vec<FileState>,
    names: Names,
    durable_names: Names,
    /// The names after each unsynced change, and which one it removed.
    pending_names: Vec<(Names, Option<Name>)>,
    /// What a sync that has begun will make durable.
    syncing: BTreeMap<Name, (usize, Vec<usize>)>,
    syncing_names: usize,
}

#[derive(Debug, Default)]
struct FileState {
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    op: Op,
    done: bool,
    synced: bool,
}

impl Disk {
    pub(super) fn happen(&mut self, event: &Event) {
        match event {
            Event::Before(op) => self.before(op),
            Event::After(op) => self.after(op),
            Event::ProvenWrong | Event::Saved(_) => {}
        }
    }

    /// Puts what is left after a crash into a real directory.
    pub(super) fn crash(&self, crash: Crash, numbers: &mut Numbers, layout: &Layout) {
        let names = match crash {
            Crash::Kill => self.names.clone(),
            Crash::PowerCut => self.names_after_power_cut(numbers),
        };
        for (name, file) in names {
            let bytes = self.files[file].left(crash, numbers);
            std::fs::write(path(layout, name), bytes).unwrap();
        }
    }

    fn names_after_power_cut(&self, numbers: &mut Numbers) -> Names {
        let kept = numbers.below(self.pending_names.len() as u64 + 1) as usize;
        let mut names = match kept {
            0 => self.durable_names.clone(),
            kept => self.pending_names[kept - 1].0.clone(),
        };
        // A removal may overtake what was done to other names before it.
        for removed in self.pending_names[kept..]
            .iter()
            .filter_map(|(_, removed)| *removed)
        {
            if numbers.coin() {
                names.remove(&removed);
            }
        }
        names
    }

    fn before(&mut self, op: &Op) {
        match op {
            Op::Write { name, .. } | Op::SetLen { name, .. } => {
                let file = self.names[name];
                self.files[file].pending.push(Pending {
                    op: op.clone(),
                    done: false,
                    synced: false,
                });
            }
            Op::Sync(name) => {
                let file = self.names[name];
                let pending = self.files[file].pending.iter().enumerate();
                let done = pending
                    .filter(|(_, pending)| pending.done && !pending.synced)
                    .map(|(at, _)| at)
                    .collect();
                self.syncing.insert(*name, (file, done));
            }
            Op::SyncDirectory => self.syncing_names = self.pending_names.len(),
            Op::Create(_) | Op::Rename { .. } | Op::Remove(_) => {}
        }
    }

    fn after(&mut self, op: &Op) {
        match op {
            Op::Write { name, .. } | Op::SetLen { name, .. } => {
                // The name may have moved since; the file is the one with this change under way.
                let file = self.names.get(name).copied().unwrap_or_default();
                let under_way = self.files[file]
                    .pending
                    .iter_mut()
                    .find(|pending| !pending.done);
                under_way.expect("a change begins before it is done").done = true;
            }
            Op::Sync(name) => {
                let (file, done) = self.syncing.remove(name).unwrap();
                for at in done {
                    let file = &mut self.files[file];
                    file.pending[at].synced = true;
                    apply(&mut file.durable, &file.pending[at].op);
                }
            }
            Op::Create(name) => {
                self.files.push(FileState::default());
                self.rename(None, |names, file| _ = names.insert(*name, file));
            }
            Op::Rename { from, to } => self.rename(None, |names, _| {
                let file = names.remove(from).expect("a name that is there");
                names.insert(*to, file);
            }),
            Op::Remove(name) => self.rename(Some(*name), |names, _| _ = names.remove(name)),
            Op::SyncDirectory => {
                if let Some((names, _)) = self.pending_names.drain(..self.syncing_names).next_back()
                {
                    self.durable_names = names;
                }
            }
        }
    }

    fn rename(&mut self, removed: Option<Name>, change: impl FnOnce(&mut Names, usize)) {
        change(&mut self.names, self.files.len() - 1);
        self.pending_names.push((self.names.clone(), removed));
    }
}

impl FileState {
    fn left(&self, crash: Crash, numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for pending in self.pending.iter().filter(|pending| !pending.synced) {
            match (crash, &pending.op) {
                (Crash::Kill, op) if pending.done => apply(&mut bytes, op),
                (_, Op::Write { offset, data, .. }) => {
                    // Sector by sector; the length may have become durable without the bytes.
                    for sector in (*offset..*offset + data.len() as u64).step_by(SECTOR) {
                        let from = (sector - offset) as usize;
                        let kept = &data[from..data.len().min(from + SECTOR)];
                        match numbers.below(3) {
                            0 => put(&mut bytes, sector, kept),
                            1 => grow(&mut bytes, sector as usize + kept.len()),
                            _ => {}
                        }
                    }
                }
                (_, op) if numbers.coin() => apply(&mut bytes, op),
                (_, _) => {}
            }
        }
        bytes
    }
}

fn apply(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, data, .. } => put(bytes, *offset, data),
        Op::SetLen { len, .. } => bytes.resize(*len as usize, 0),
        Op::Create(_) | Op::Sync(_) | Op::Rename { .. } | Op::Remove(_) | Op::SyncDirectory => {
            unreachable!("only changes of bytes wait in a file")
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let offset = offset as usize;
    grow(bytes, offset + data.len());
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

fn grow(bytes: &mut Vec<u8>, len: usize) {
    bytes.resize(bytes.len().max(len), 0);
}

pub(super) fn path(layout: &Layout, name: Name) -> &Path {
    match name {
        Name::Part => &layout.part,
        Name::Control => &layout.control,
        Name::ControlNew => &layout.control_new,
        Name::Target => &layout.target,
    }
}

const SECTOR: usize = 512;

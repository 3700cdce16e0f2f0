//! How queued buffers become writes: one thread at a time, neighbours together, the first write of a byte wins.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use bytehaul_integrity::crc32c;

use super::shared::{Draining, Job, Shared};
use crate::control::{MAX_LEN, Record};
use crate::segments::Segment;
use crate::witness::Name;
use crate::{Buffer, Error, lock};

impl Shared {
    /// Queues a job, and sees to it that a thread works on the queue.
    pub(super) fn push(self: &Arc<Self>, job: Job) {
        let mut queue = lock(&self.queue);
        if queue.closed || self.has_failed() {
            return;
        }
        queue.jobs.push_back(job);
        if queue.draining == Draining::Idle {
            queue.draining = Draining::Queued;
            drop(queue);
            let shared = Arc::clone(self);
            // Not joined: it ends by itself when the queue is empty, and a mark in the queue is how others wait for it.
            self.runtime.spawn_blocking(move || drain(&shared));
        }
    }

    /// Takes the next job, or ends the draining.
    fn next(&self) -> Option<Next> {
        let mut queue = lock(&self.queue);
        if self.has_failed() {
            queue.jobs.clear();
        }
        let Some(job) = queue.jobs.pop_front() else {
            queue.draining = Draining::Idle;
            self.drained.notify_all();
            return None;
        };
        let (offset, data) = match job {
            Job::Mark(done) => return Some(Next::Mark(done)),
            Job::Write { offset, data } => (offset, data),
        };
        let mut batch = Batch {
            offset,
            len: data.len() as u64,
            buffers: vec![data],
        };
        while let Some(at) = neighbour(queue.jobs.iter(), &batch) {
            if let Some(Job::Write { data, .. }) = queue.jobs.remove(at) {
                batch.len += data.len() as u64;
                batch.buffers.push(data);
            }
        }
        Some(Next::Write(batch))
    }

    fn write(self: &Arc<Self>, batch: &Batch) -> Result<(), Error> {
        let (gaps, piece_size) = {
            let progress = lock(&self.progress);
            let end = progress.len.unwrap_or(MAX_LEN);
            let range = batch
                .range()
                .filter(|range| range.end <= end)
                .ok_or_else(|| Error::BeyondEnd {
                    path: self.disk.layout.part.clone(),
                    offset: batch.offset,
                    len: end,
                })?;
            (progress.written.gaps(range), progress.segments.piece_size())
        };
        if !gaps.is_empty() {
            self.first_control(batch.len)?;
        }
        for gap in gaps {
            let slices = batch.slices(&gap);
            match self.write_slices(gap.start, &slices, piece_size) {
                // What of a joined write still fits on the disk is worth keeping.
                Err(Error::DiskFull { .. }) if slices.len() > 1 => {
                    let mut at = gap.start;
                    for slice in slices {
                        self.write_slices(at, &[slice], piece_size)?;
                        at += slice.len() as u64;
                    }
                }
                other => other?,
            }
        }
        self.announce();
        self.save_later();
        self.follow();
        Ok(())
    }

    fn write_slices(
        &self,
        start: u64,
        slices: &[IoSlice<'_>],
        piece_size: u64,
    ) -> Result<(), Error> {
        // While the bytes are hot from the socket: this costs next to nothing beside the copy into the page cache.
        let segments = checksums(start, slices, piece_size);
        let end = segments.last().map_or(start, Segment::end);
        self.disk.write_part(start, &mut slices.to_vec())?;
        self.note(start..end, segments)
    }

    /// Notes what has been written: in memory, and in the control file.
    fn note(&self, written: Range<u64>, segments: Vec<Segment>) -> Result<(), Error> {
        let mut progress = lock(&self.progress);
        let progress = &mut *progress;
        let records = segments.iter().map(|&segment| Record { segment });
        if let Some(carried) = &mut progress.carried {
            carried.extend(records.clone());
        }
        if let Some(journal) = &mut progress.journal {
            let bytes: Vec<u8> = records
                .flat_map(|record| record.encode(journal.seed))
                .collect();
            // Records are a help after a kill, so a file that grows without end may do without more of them.
            if journal.file.len() + bytes.len() as u64 <= crate::control::MAX_FILE {
                self.disk
                    .append_control(&mut journal.file, Name::Control, &bytes)?;
            }
        }
        segments
            .into_iter()
            .for_each(|segment| progress.segments.insert(segment));
        progress.unsaved += written.end - written.start;
        progress.written.insert(written);
        Ok(())
    }
}

/// Works on the queue until it is empty, if nobody has begun to since this was asked for.
pub(super) fn drain(shared: &Arc<Shared>) {
    {
        let mut queue = lock(&shared.queue);
        if queue.draining != Draining::Queued {
            return;
        }
        queue.draining = Draining::Running;
    }
    let _guard = PanicGuard(shared);
    while let Some(next) = shared.next() {
        match next {
            // Whoever asked may have stopped waiting.
            Next::Mark(done) => drop(done.send(())),
            Next::Write(batch) => {
                if let Err(error) = shared.write(&batch) {
                    shared.announce();
                    shared.fail(error);
                }
            }
        }
    }
}

enum Next {
    Write(Batch),
    Mark(tokio::sync::oneshot::Sender<()>),
}

/// Buffers that follow one another in the file.
struct Batch {
    offset: u64,
    len: u64,
    buffers: Vec<Buffer>,
}

impl Batch {
    fn range(&self) -> Option<Range<u64>> {
        Some(self.offset..self.offset.checked_add(self.len)?)
    }

    /// The bytes of a part of the batch.
    fn slices(&self, part: &Range<u64>) -> Vec<IoSlice<'_>> {
        let mut at = self.offset;
        let cut = self.buffers.iter().filter_map(|buffer| {
            let start = at;
            at += buffer.len() as u64;
            let (from, to) = (part.start.max(start), part.end.min(at));
            (from < to)
                .then(|| IoSlice::new(&buffer[(from - start) as usize..(to - start) as usize]))
        });
        cut.collect()
    }
}

/// Where in the queue the buffer is that goes on where the batch ends, if it may be written ahead of those before it.
fn neighbour<'a>(jobs: impl Iterator<Item = &'a Job>, batch: &Batch) -> Option<usize> {
    let end = batch.range()?.end;
    let mut passed: Vec<Range<u64>> = Vec::new();
    for (at, job) in jobs.take(LOOK_AHEAD).enumerate() {
        let Job::Write { offset, data } = job else {
            return None;
        };
        let range = *offset..offset.checked_add(data.len() as u64)?;
        let fits = range.start == end && batch.len + data.len() as u64 <= MAX_BATCH;
        if fits
            && passed
                .iter()
                .all(|other| other.end <= range.start || range.end <= other.start)
        {
            return Some(at);
        }
        passed.push(range);
    }
    None
}

/// The checksums of consecutive bytes, cut at the edges of pieces.
fn checksums(start: u64, slices: &[IoSlice<'_>], piece_size: u64) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut at = start;
    for slice in slices {
        let mut rest: &[u8] = slice;
        while !rest.is_empty() {
            let room = piece_size - at % piece_size;
            let (now, later) =
                rest.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(rest.len()));
            let (len, crc) = (now.len() as u64, crc32c(now));
            match segments
                .last_mut()
                .filter(|_| !at.is_multiple_of(piece_size))
            {
                Some(last) => {
                    last.crc = bytehaul_integrity::crc32c_combine(last.crc, crc, len);
                    last.len += len;
                }
                None => segments.push(Segment {
                    start: at,
                    len,
                    crc,
                }),
            }
            at += len;
            rest = later;
        }
    }
    segments
}

/// Turns a panic of ours into a failure of this file, so nobody waits for ever.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let source = Arc::new(std::io::Error::other("the writing thread panicked"));
            let path = self.0.disk.layout.part.clone();
            self.0.fail(Error::Io {
                action: "write",
                path,
                offset: None,
                source,
            });
            lock(&self.0.queue).draining = Draining::Idle;
            self.0.drained.notify_all();
        }
    }
}

const MAX_BATCH: u64 = 1 << 20;
const LOOK_AHEAD: usize = 64;

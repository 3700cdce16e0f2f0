//! How lines get to a reader that may be slow or absent without holding up whoever has something to tell.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use tokio::sync::oneshot;

/// What becomes of a line when many others wait for the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keep {
    /// It waits as well.
    Always,
    /// It is dropped, because a later one says more.
    WhileFew,
}

/// Lines on their way out. A thread writes them in order; it ends with the process if they are never read.
#[derive(Debug)]
pub(crate) struct Lines {
    /// `None` when no more lines are wanted.
    to: Option<Sender<Vec<u8>>>,
    /// Lines that were told and are not written yet.
    waiting: Arc<AtomicUsize>,
    /// Ends when the thread does.
    ended: oneshot::Receiver<Infallible>,
}

impl Lines {
    /// Lines to `out`. Fails when there can be no thread.
    pub(crate) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (to, lines) = mpsc::channel();
        let (ending, ended) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        thread::Builder::new().name("lines".into()).spawn(move || {
            write(out, &lines, &left);
            // Whoever has seen the end finds that nobody takes lines any more.
            drop(lines);
            drop(ending);
        })?;
        Ok(Self {
            to: Some(to),
            waiting,
            ended,
        })
    }

    /// Hands over a line, its line feed included. Never waits; a reader that has gone away is no failure.
    pub(crate) fn tell(&mut self, line: Vec<u8>, keep: Keep) {
        let Some(to) = &self.to else { return };
        if keep == Keep::WhileFew && self.waiting.load(Ordering::Relaxed) > FEW {
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if to.send(line).is_err() {
            self.to = None;
        }
    }

    /// Waits until all lines are written or the reader has gone away; lines told later are dropped. Cancel-safe.
    pub(crate) async fn written(&mut self) {
        self.to = None;
        if !self.ended.is_terminated() {
            // Nothing is ever sent: the error is the end of the thread.
            let _ = (&mut self.ended).await;
        }
    }
}

fn write(mut out: impl Write, lines: &Receiver<Vec<u8>>, waiting: &AtomicUsize) {
    for line in lines {
        // One write a line, so that lines of several processes never mix.
        let written = out.write_all(&line).and_then(|()| out.flush());
        waiting.fetch_sub(1, Ordering::Relaxed);
        if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
    }
}

/// Lines that may wait before some are dropped: what four files at once tell in half a minute.
const FEW: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A reader that takes a write only when it is told to, and says what it took.
    struct Gate {
        open: Receiver<()>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.open.recv().map_err(gone)?;
            self.taken.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Lines, Sender<()>, Receiver<Vec<u8>>) {
        let (open, opened) = mpsc::channel();
        let (taken, took) = mpsc::channel();
        let gate = Gate {
            open: opened,
            taken,
        };
        (Lines::to(gate).unwrap(), open, took)
    }

    fn line(number: usize) -> Vec<u8> {
        format!("{number}\n").into_bytes()
    }

    #[tokio::test]
    async fn only_lines_that_may_be_dropped_are_dropped_and_only_when_many_wait() {
        let (mut lines, open, took) = gated();
        for number in 0..=FEW {
            lines.tell(line(number), Keep::WhileFew);
        }
        lines.tell(line(1000), Keep::WhileFew);
        lines.tell(line(1001), Keep::Always);
        lines.tell(line(1002), Keep::WhileFew);
        // Two that wait less, and the next one is worth telling again.
        open.send(()).unwrap();
        open.send(()).unwrap();
        let mut out = vec![took.recv().unwrap(), took.recv().unwrap()];
        while lines.waiting.load(Ordering::Relaxed) > FEW {
            thread::sleep(Duration::from_millis(1));
        }
        lines.tell(line(1003), Keep::WhileFew);
        lines.tell(line(1004), Keep::WhileFew);
        for _ in 0..FEW + 1 {
            open.send(()).unwrap();
        }
        lines.written().await;
        out.extend(took.try_iter());
        let kept = (0..=FEW).chain([1001, 1003]).map(line);
        assert_eq!(out, kept.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_wait_may_be_given_up_and_begun_again() {
        let (mut lines, open, took) = gated();
        lines.tell(line(1), Keep::Always);
        let wait = Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, lines.written()).await.is_err());
        lines.tell(line(2), Keep::Always);
        open.send(()).unwrap();
        lines.written().await;
        lines.written().await;
        assert_eq!(took.iter().collect::<Vec<_>>(), [line(1)]);
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_ends_it_quietly() {
        let (mut lines, open, took) = gated();
        lines.tell(line(1), Keep::Always);
        drop(open);
        // The writer, and the sender within, goes with the thread.
        assert!(took.recv().is_err());
        assert!((&mut lines.ended).await.is_err());
        lines.tell(line(2), Keep::Always);
        assert!(lines.to.is_none());
        lines.written().await;
    }
}

//! Lines for a log: one when a file begins, one when it ends, and a sign of life in between.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::human::{Bytes, Time};
use super::look::Look;
use super::to_stderr;

/// How often progress is looked at; a line comes every [`SIGN_OF_LIFE`].
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Plain {
    /// When the last line of each running file was written.
    told: BTreeMap<usize, Instant>,
}

impl Plain {
    /// Tells of the file of this number.
    pub(crate) fn started(&mut self, number: usize, line: &str) {
        self.told.insert(number, Instant::now());
        to_stderr(line);
    }

    pub(crate) fn progress(&mut self, number: usize, look: &Look<'_>) {
        let now = Instant::now();
        let told = self.told.entry(number).or_insert(now);
        if now.duration_since(*told) >= SIGN_OF_LIFE {
            *told = now;
            to_stderr(line(look));
        }
    }

    pub(crate) fn completed(&mut self, number: usize, line: &str) {
        self.told.remove(&number);
        to_stderr(line);
    }
}

fn line(look: &Look<'_>) -> String {
    let mut text = format!("{}: {}", look.name, Bytes(look.bytes));
    if let Some(total) = look.total {
        text.push_str(&format!(" of {}", Bytes(total)));
    }
    text.push_str(&format!(", {}/s", Bytes(look.rate)));
    if let Some(left) = look.left {
        text.push_str(&format!(", {} left", Time(left)));
    }
    text
}

const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use bytehaul::ProgressSnapshot;

    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let mut progress = ProgressSnapshot::default();
        progress.received = 3 << 20;
        progress.rate = 1 << 20;
        assert_eq!(
            line(&Look::download("http://h/f.iso", &progress)),
            "f.iso: 3.0 MiB, 1.0 MiB/s"
        );
        progress.total = Some(8 << 20);
        progress.eta = Some(Duration::from_secs(5));
        assert_eq!(
            line(&Look::download("http://h/f.iso", &progress)),
            "f.iso: 3.0 MiB of 8.0 MiB, 1.0 MiB/s, 5.0 s left"
        );
    }
}

//! Lines for a log: one when a file begins, one when it ends, and a sign of life in between.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytehaul::{Outcome, ProgressSnapshot};

use super::human::{Bytes, Time};
use super::{File, summary, to_stderr};
use crate::job::short_name;

/// How often progress is looked at; a line comes every [`SIGN_OF_LIFE`].
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Plain {
    /// When the last line of each running file was written.
    told: BTreeMap<usize, Instant>,
}

impl Plain {
    pub(crate) fn started(&mut self, file: File<'_>) {
        self.told.insert(file.number, Instant::now());
        to_stderr(format_args!("downloading {}", file.url));
    }

    pub(crate) fn progress(&mut self, file: File<'_>, progress: &ProgressSnapshot) {
        let now = Instant::now();
        let told = self.told.entry(file.number).or_insert(now);
        if now.duration_since(*told) >= SIGN_OF_LIFE {
            *told = now;
            to_stderr(line(file.url, progress));
        }
    }

    pub(crate) fn completed(&mut self, file: File<'_>, outcome: &Outcome) {
        self.told.remove(&file.number);
        to_stderr(summary(outcome));
    }
}

fn line(url: &str, progress: &ProgressSnapshot) -> String {
    let name = short_name(progress.path.as_deref(), url);
    let mut text = format!("{name}: {}", Bytes(progress.received));
    if let Some(total) = progress.total {
        text.push_str(&format!(" of {}", Bytes(total)));
    }
    text.push_str(&format!(", {}/s", Bytes(progress.rate)));
    if let Some(eta) = progress.eta {
        text.push_str(&format!(", {} left", Time(eta)));
    }
    text
}

const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let mut progress = ProgressSnapshot::default();
        progress.received = 3 << 20;
        progress.rate = 1 << 20;
        assert_eq!(
            line("http://h/f.iso", &progress),
            "f.iso: 3.0 MiB, 1.0 MiB/s"
        );
        progress.total = Some(8 << 20);
        progress.eta = Some(Duration::from_secs(5));
        assert_eq!(
            line("http://h/f.iso", &progress),
            "f.iso: 3.0 MiB of 8.0 MiB, 1.0 MiB/s, 5.0 s left"
        );
    }
}

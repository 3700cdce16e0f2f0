//! Progress bars on a terminal: one for each file that is under way, and one for all when there are several.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::human::{Bytes, Left, Part};
use super::look::{Look, Phase};
use super::to_stderr;
use crate::failure::Failure;

/// Time between two looks at the downloads.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    /// Files that were seen under way; one that ends between two looks never gets a bar.
    running: BTreeMap<usize, Running>,
    total: Option<Total>,
}

#[derive(Debug)]
struct Running {
    bar: ProgressBar,
    bytes: u64,
    total: Option<u64>,
    rate: u64,
}

/// The bar below the others, which counts files.
#[derive(Debug)]
struct Total {
    bar: ProgressBar,
    files: usize,
    ended: usize,
    /// Bytes of the files that have ended.
    bytes: u64,
}

impl Bars {
    pub(crate) fn new(files: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = (files > 1).then(|| {
            let bar = all.add(ProgressBar::new(files as u64).with_style(total_style()));
            Total {
                bar,
                files,
                ended: 0,
                bytes: 0,
            }
        });
        Self {
            all,
            running: BTreeMap::new(),
            total,
        }
    }

    /// Shows the file of this number.
    pub(crate) fn progress(&mut self, number: usize, look: &Look<'_>) {
        let running = self.running.entry(number).or_insert_with(|| Running {
            bar: add_bar(&self.all, self.total.as_ref()),
            bytes: 0,
            total: None,
            rate: 0,
        });
        running.bytes = look.bytes;
        running.rate = look.rate;
        if let Some(total) = look.total.filter(|total| running.total != Some(*total)) {
            running.total = Some(total);
            running.bar.set_style(file_style());
            running.bar.set_length(total);
        }
        running.bar.set_prefix(fitted(look.name));
        running.bar.set_message(message(look));
        running.bar.set_position(look.bytes);
    }

    pub(crate) fn totals(&mut self) {
        let Some(total) = &self.total else { return };
        let moved: u64 = self.running.values().map(|running| running.bytes).sum();
        let rate: u64 = self.running.values().map(|running| running.rate).sum();
        let mut text = format!("{}  {}/s", Bytes(total.bytes + moved), Bytes(rate));
        if let Some(left) = self.time_left(total, rate) {
            text.push_str(&format!("  {}", Left(left)));
        }
        total
            .bar
            .set_prefix(format!("{} of {} files", total.ended, total.files));
        total.bar.set_message(text);
        total.bar.set_position(total.ended as u64);
    }

    /// Tells of a file of so many bytes that is complete.
    pub(crate) fn completed(&mut self, number: usize, bytes: u64, line: &str) {
        self.remove(number, bytes);
        self.line(line);
    }

    pub(crate) fn failed(&mut self, number: usize, failure: &Failure) {
        self.remove(number, 0);
        self.line(&failure.to_string());
    }

    pub(crate) fn stopped(&mut self, number: usize) {
        self.remove(number, 0);
    }

    /// Writes a line above the bars.
    pub(crate) fn line(&self, text: &str) {
        self.all.suspend(|| to_stderr(text));
    }

    pub(crate) fn end(&mut self) {
        self.running.clear();
        self.total = None;
        // The bars are a sign of work, so none stays behind; a terminal that is gone is no failure.
        let _ = self.all.clear();
    }

    fn remove(&mut self, number: usize, bytes: u64) {
        if let Some(running) = self.running.remove(&number) {
            running.bar.finish_and_clear();
            self.all.remove(&running.bar);
        }
        if let Some(total) = &mut self.total {
            total.ended += 1;
            total.bytes += bytes;
        }
    }

    /// Time to the end of all files, once every one of them has begun and has said how long it is.
    fn time_left(&self, total: &Total, rate: u64) -> Option<Duration> {
        if rate == 0 || total.ended + self.running.len() < total.files {
            return None;
        }
        let missing = self
            .running
            .values()
            .map(|running| Some(running.total?.saturating_sub(running.bytes)));
        let missing: Option<u64> = missing.sum();
        Some(Duration::from_secs(missing? / rate))
    }
}

fn add_bar(all: &MultiProgress, total: Option<&Total>) -> ProgressBar {
    let bar = ProgressBar::no_length().with_style(open_style());
    match total {
        Some(total) => all.insert_before(&total.bar, bar),
        None => all.add(bar),
    }
}

fn message(look: &Look<'_>) -> String {
    let mut text = match look.total {
        Some(total) => format!(
            "{:>3}%  {}",
            percent(look.bytes, total),
            Part {
                of: total,
                bytes: look.bytes
            }
        ),
        None => Bytes(look.bytes).to_string(),
    };
    match look.phase {
        Phase::Busy(word) => text.push_str(&format!("  {word}")),
        Phase::Moving => {
            text.push_str(&format!("  {}/s", Bytes(look.rate)));
            if let Some(left) = look.left {
                text.push_str(&format!("  {}", Left(left)));
            }
            if look.connections > 0 {
                text.push_str(&format!("  {} conn", look.connections));
            }
        }
    }
    text
}

/// Rounded down, so that only the whole is 100.
fn percent(bytes: u64, total: u64) -> u64 {
    let hundredths = u128::from(bytes) * 100 / u128::from(total.max(1));
    u64::try_from(hundredths).unwrap_or(100).min(100)
}

/// The name cut to the width of its column, and without characters that would move the cursor.
fn fitted(name: &str) -> String {
    let name: Vec<char> = name
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if name.len() <= NAME_WIDTH {
        return name.into_iter().collect();
    }
    let tail = &name[name.len() - NAME_TAIL..];
    let head = &name[..NAME_WIDTH - NAME_TAIL - 1];
    head.iter().chain(&['…']).chain(tail).collect()
}

/// The message gives way where the terminal is narrow, so that no line is ever wrapped.
fn file_style() -> ProgressStyle {
    style("{prefix:18!} {bar:12} {wide_msg}")
}

/// For a file whose length is not known.
fn open_style() -> ProgressStyle {
    style("{prefix:18!} {spinner}  {wide_msg}")
}

fn total_style() -> ProgressStyle {
    style("{prefix:18!} {bar:12} {wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("a constant template is well formed")
        .progress_chars("━╸─")
}

const NAME_WIDTH: usize = 18;
const NAME_TAIL: usize = 7;

#[cfg(test)]
mod tests {
    use bytehaul::{DownloadState, ProgressSnapshot, UploadProgress, UploadState};

    use super::*;

    #[test]
    fn templates_are_well_formed() {
        let _ = (file_style(), open_style(), total_style());
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(fitted("short.iso"), "short.iso");
        let long = fitted("a-very-long-name-of-a-file-2026.tar.gz");
        assert_eq!(long, "a-very-lon….tar.gz");
        assert_eq!(long.chars().count(), NAME_WIDTH);
        assert_eq!(fitted("a\u{1b}[2Jb"), "a?[2Jb");
    }

    #[test]
    fn a_message_says_what_is_known() {
        let check = |look: &Look<'_>, expected: &str| assert_eq!(message(look), expected);
        let mut progress = ProgressSnapshot::default();
        check(&Look::download("u", &progress), "0 B  connecting");
        progress.state = DownloadState::Downloading;
        progress.received = 1 << 20;
        progress.rate = 1 << 10;
        progress.connections = 8;
        check(
            &Look::download("u", &progress),
            "1.0 MiB  1.0 KiB/s  8 conn",
        );
        progress.total = Some(2 << 20);
        progress.eta = Some(Duration::from_secs(90));
        check(
            &Look::download("u", &progress),
            " 50%  1.0/2.0 MiB  1.0 KiB/s  1m 30s left  8 conn",
        );
        let mut upload = UploadProgress::default();
        check(&Look::upload("f", &upload), "0 B  preparing");
        upload.state = UploadState::Committing;
        (upload.sent, upload.acknowledged, upload.total) = (10, 5, Some(10));
        check(&Look::upload("f", &upload), "100%  10/10 B  finishing");
    }

    #[test]
    fn only_the_whole_is_all() {
        assert_eq!(
            (
                percent(0, 0),
                percent(99_999, 100_000),
                percent(5, 5),
                percent(6, 5)
            ),
            (0, 99, 100, 100)
        );
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }

    #[test]
    fn time_left_needs_every_length() {
        let mut bars = Bars::new(2);
        let mut progress = ProgressSnapshot::default();
        progress.total = Some(100);
        progress.rate = 10;
        bars.progress(0, &Look::download("http://h/a", &progress));
        let left = |bars: &Bars| bars.time_left(bars.total.as_ref().unwrap(), 10);
        assert_eq!(left(&bars), None);
        bars.progress(1, &Look::download("http://h/b", &progress));
        assert_eq!(left(&bars), Some(Duration::from_secs(20)));
        bars.stopped(1);
        assert_eq!(left(&bars), Some(Duration::from_secs(10)));
    }
}

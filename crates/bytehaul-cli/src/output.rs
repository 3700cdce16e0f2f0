//! Which of the four ways of showing things is used, and what all of them can show.

mod bars;
pub(crate) mod human;
mod json;
pub(crate) mod lines;
pub(crate) mod look;
mod plain;
pub(crate) mod upload;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use bytehaul::{Outcome, ProgressSnapshot};

use crate::args::DisplayArgs;
use crate::failure::Failure;
use crate::output::bars::Bars;
use crate::output::json::Json;
use crate::output::look::Look;
use crate::output::plain::Plain;

/// A file of the command, as events speak of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    /// Position among the URLs of the command, from 0.
    pub(crate) number: usize,
    /// The URL as it may be shown.
    pub(crate) url: &'a str,
}

/// What an interruption leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Kept<'a> {
    /// Bytes of unfinished files that are safely on disk.
    pub(crate) bytes: u64,
    /// Files that these bytes belong to.
    pub(crate) files: usize,
    /// Name of the only one.
    pub(crate) name: Option<&'a str>,
    /// Files of which nothing has arrived.
    pub(crate) untouched: usize,
}

/// Where events go. Lines for people go to stderr, data goes to stdout, and a reader that has gone away stops
/// neither the transfer nor the command.
#[derive(Debug)]
pub(crate) enum Output {
    Quiet,
    Plain(Plain),
    Bars(Box<Bars>),
    Json(Json),
}

impl Output {
    /// The way that the arguments and the terminal ask for, for this many files. Fails when events cannot have the
    /// thread that they need.
    pub(crate) fn choose(args: &DisplayArgs, files: usize) -> io::Result<Self> {
        if args.json {
            return Json::new().map(Self::Json);
        }
        if args.quiet {
            return Ok(Self::Quiet);
        }
        // Log lines would tear the bars apart.
        if args.verbose == 0 && io::stderr().is_terminal() && !terminal_is_dumb() {
            return Ok(Self::Bars(Box::new(Bars::new(files))));
        }
        Ok(Self::Plain(Plain::default()))
    }

    /// How often [`progress`](Self::progress) is worth calling.
    pub(crate) fn period(&self) -> Option<Duration> {
        match self {
            Self::Quiet => None,
            Self::Plain(_) => Some(plain::PERIOD),
            Self::Bars(_) => Some(bars::PERIOD),
            Self::Json(_) => Some(json::PERIOD),
        }
    }

    pub(crate) fn started(&mut self, file: File<'_>) {
        match self {
            Self::Quiet | Self::Bars(_) => {}
            Self::Plain(plain) => {
                plain.started(file.number, &format!("downloading {}", file.url));
            }
            Self::Json(json) => json.started(file),
        }
    }

    /// Shows a file that is under way.
    pub(crate) fn progress(&mut self, file: File<'_>, progress: &ProgressSnapshot) {
        match self {
            Self::Quiet => {}
            Self::Plain(plain) => plain.progress(file.number, &Look::download(file.url, progress)),
            Self::Bars(bars) => bars.progress(file.number, &Look::download(file.url, progress)),
            Self::Json(json) => json.progress(file, progress),
        }
    }

    /// Comes after the [`progress`](Self::progress) of all files.
    pub(crate) fn totals(&mut self) {
        match self {
            Self::Quiet | Self::Plain(_) | Self::Json(_) => {}
            Self::Bars(bars) => bars.totals(),
        }
    }

    pub(crate) fn completed(&mut self, file: File<'_>, outcome: &Outcome) {
        match self {
            Self::Quiet => {}
            Self::Plain(plain) => plain.completed(file.number, &summary(outcome)),
            Self::Bars(bars) => bars.completed(file.number, outcome.bytes, &summary(outcome)),
            Self::Json(json) => json.completed(file, outcome),
        }
    }

    /// Tells of a failure on stderr, whatever else is shown.
    pub(crate) fn failed(&mut self, file: File<'_>, failure: &Failure) {
        match self {
            Self::Quiet | Self::Plain(_) => to_stderr(failure),
            Self::Bars(bars) => bars.failed(file.number, failure),
            Self::Json(json) => {
                json.failed(file, failure);
                to_stderr(failure);
            }
        }
    }

    /// Ends a file that was interrupted. The line for people is [`interrupted`](Self::interrupted).
    pub(crate) fn stopped(&mut self, file: File<'_>, failure: &Failure) {
        match self {
            Self::Quiet | Self::Plain(_) => {}
            Self::Bars(bars) => bars.stopped(file.number),
            Self::Json(json) => json.failed(file, failure),
        }
    }

    /// Says what can be noticed though nothing failed.
    pub(crate) fn warning(&mut self, text: &str) {
        match self {
            Self::Quiet => {}
            Self::Plain(_) | Self::Json(_) => to_stderr(format_args!("warning: {text}")),
            Self::Bars(bars) => bars.line(&format!("warning: {text}")),
        }
    }

    /// Tells of a file that has no target.
    pub(crate) fn note(&mut self, text: &str) {
        match self {
            Self::Quiet | Self::Json(_) => {}
            Self::Plain(_) => to_stderr(text),
            Self::Bars(bars) => bars.line(text),
        }
    }

    /// Says on one line what an interruption leaves, in every way of showing things.
    pub(crate) fn interrupted(&mut self, kept: impl std::fmt::Display) {
        self.end();
        to_stderr(format_args!("bytehaul: {kept}"));
    }

    /// Takes the bars away.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Quiet | Self::Plain(_) | Self::Json(_) => {}
            Self::Bars(bars) => bars.end(),
        }
    }

    /// Waits, for a reader of stdout that is slow, until everything that was told is written. Cancel-safe.
    pub(crate) async fn written(&mut self) {
        match self {
            Self::Quiet | Self::Plain(_) | Self::Bars(_) => {}
            Self::Json(json) => json.written().await,
        }
    }
}

impl std::fmt::Display for Kept<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = human::Bytes(self.bytes);
        match (self.files, self.name) {
            (0, _) => {
                return f
                    .write_str("interrupted: nothing had arrived yet, run the same command again");
            }
            (1, Some(name)) => write!(f, "interrupted: {bytes} of {name} kept")?,
            (files, _) => write!(
                f,
                "interrupted: {bytes} of {} kept",
                human::count(files as u64, "file", "files")
            )?,
        }
        if self.untouched > 0 {
            write!(
                f,
                ", {} not begun",
                human::count(self.untouched as u64, "file", "files")
            )?;
        }
        f.write_str(", run the same command again to resume")
    }
}

/// Writes a line to stderr. Without a stderr there is nobody to tell.
pub(crate) fn to_stderr(line: impl std::fmt::Display) {
    let line = format!("{line}\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// What a finished file is told with, by lines and bars alike.
fn summary(outcome: &Outcome) -> String {
    let human = |bytes| human::Bytes(bytes);
    let mut text = format!(
        "{}: {} in {} ({}/s",
        outcome.path.display(),
        human(outcome.bytes),
        human::Time(outcome.elapsed),
        human::mean_rate(outcome.fetched, outcome.elapsed),
    );
    if outcome.connections > 1 {
        text.push_str(&format!(", {} connections", outcome.connections));
    }
    if outcome.resumed_from > 0 {
        text.push_str(&format!(", {} resumed", human(outcome.resumed_from)));
    }
    if outcome.retries > 0 {
        text.push_str(&format!(
            ", {}",
            human::count(outcome.retries, "retry", "retries")
        ));
    }
    let of_provider = outcome.verified.as_ref().map(|expected| &expected.digest);
    if let Some(digest) = outcome.digest.as_ref().or(of_provider) {
        text.push_str(&format!(", {} verified", digest.algorithm()));
    }
    text.push(')');
    text
}

fn terminal_is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interruption_leaves_is_one_line() {
        let check = |kept: Kept<'_>, expected: &str| assert_eq!(kept.to_string(), expected);
        let again = "run the same command again";
        check(
            Kept::default(),
            &format!("interrupted: nothing had arrived yet, {again}"),
        );
        check(
            Kept {
                bytes: 3 << 20,
                files: 1,
                name: Some("f.iso"),
                untouched: 0,
            },
            &format!("interrupted: 3.0 MiB of f.iso kept, {again} to resume"),
        );
        check(
            Kept {
                bytes: 3 << 20,
                files: 2,
                name: None,
                untouched: 5,
            },
            &format!("interrupted: 3.0 MiB of 2 files kept, 5 files not begun, {again} to resume"),
        );
    }
}

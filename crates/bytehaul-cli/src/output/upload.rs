//! What all ways of showing things say of an upload.

use std::fmt;

use bytehaul::{UploadOutcome, UploadProgress};

use super::human::{Bytes, Time, count, mean_rate};
use super::look::Look;
use super::{Output, to_stderr};
use crate::failure::Failure;
use crate::output::json::upload::shown;

/// The upload of the command, as events speak of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload<'a> {
    /// Where it goes, as it may be shown.
    pub(crate) url: &'a str,
    /// The file as it was typed.
    pub(crate) source: &'a str,
    /// Name of the file alone.
    pub(crate) name: &'a str,
}

impl Output {
    pub(crate) fn upload_started(&mut self, upload: Upload<'_>) {
        match self {
            Self::Quiet | Self::Bars(_) => {}
            Self::Plain(plain) => {
                plain.started(0, &format!("uploading {} to {}", upload.source, upload.url));
            }
            Self::Json(json) => json.upload_started(upload),
        }
    }

    pub(crate) fn upload_progress(&mut self, upload: Upload<'_>, progress: &UploadProgress) {
        let look = Look::upload(upload.name, progress);
        match self {
            Self::Quiet => {}
            Self::Plain(plain) => plain.progress(0, &look),
            Self::Bars(bars) => bars.progress(0, &look),
            Self::Json(json) => json.upload_progress(upload, progress),
        }
    }

    pub(crate) fn uploaded(&mut self, upload: Upload<'_>, outcome: &UploadOutcome) {
        let line = || summary(upload, outcome);
        match self {
            Self::Quiet => {}
            Self::Plain(plain) => plain.completed(0, &line()),
            Self::Bars(bars) => bars.completed(0, outcome.bytes, &line()),
            Self::Json(json) => json.uploaded(upload, outcome),
        }
    }

    /// Tells of a failure on stderr, whatever else is shown.
    pub(crate) fn upload_failed(&mut self, upload: Upload<'_>, failure: &Failure) {
        match self {
            Self::Quiet | Self::Plain(_) => to_stderr(failure),
            Self::Bars(bars) => bars.failed(0, failure),
            Self::Json(json) => {
                json.upload_failed(upload, failure);
                to_stderr(failure);
            }
        }
    }

    /// Ends an upload that was interrupted. The line for people is [`interrupted`](Self::interrupted).
    pub(crate) fn upload_stopped(&mut self, upload: Upload<'_>, failure: &Failure) {
        match self {
            Self::Quiet | Self::Plain(_) => {}
            Self::Bars(bars) => bars.stopped(0),
            Self::Json(json) => json.upload_failed(upload, failure),
        }
    }
}

/// What an interruption leaves at the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left<'a> {
    /// So many bytes of the file of this name are known to be there.
    Kept(&'a str, u64),
    Nothing,
    /// What came from stdin cannot be sent again.
    Discarded,
}

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted: ")?;
        match *self {
            Self::Kept(name, bytes) => write!(
                f,
                "the server has {} of {name}, run the same command again to resume",
                Bytes(bytes)
            ),
            Self::Nothing => f.write_str(
                "the server has nothing that could be kept, the same command begins again",
            ),
            Self::Discarded => {
                f.write_str("what came from stdin is not kept, the same command begins again")
            }
        }
    }
}

/// What a finished upload is told with, by lines and bars alike.
fn summary(upload: Upload<'_>, outcome: &UploadOutcome) -> String {
    let Upload { name, url, .. } = upload;
    let place = outcome.location.as_deref().map(shown);
    let place = place.filter(|place| place.contains("://"));
    let place = place.as_deref().unwrap_or(url);
    if outcome.already_complete {
        let digest = outcome.digest.as_ref().or(outcome.verified.as_ref());
        let digest = digest.map(|digest| format!(", {} verified", digest.algorithm()));
        let digest = digest.unwrap_or_default();
        return format!("{name}: the server has it already, nothing was sent{digest} ({place})");
    }
    let mut text = format!(
        "{name}: {} in {} ({}/s",
        Bytes(outcome.bytes),
        Time(outcome.elapsed),
        mean_rate(outcome.sent, outcome.elapsed),
    );
    if outcome.connections > 1 {
        text.push_str(&format!(", {} connections", outcome.connections));
    }
    if outcome.resumed_from > 0 {
        text.push_str(&format!(", {} resumed", Bytes(outcome.resumed_from)));
    }
    if outcome.retries > 0 {
        text.push_str(&format!(", {}", count(outcome.retries, "retry", "retries")));
    }
    if let Some(digest) = outcome.digest.as_ref().or(outcome.verified.as_ref()) {
        text.push_str(&format!(", {} verified", digest.algorithm()));
    }
    text.push_str(&format!(") at {place}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interruption_leaves_is_one_line() {
        let check = |left: Left<'_>, expected: &str| assert_eq!(left.to_string(), expected);
        check(
            Left::Kept("f.iso", 3 << 20),
            "interrupted: the server has 3.0 MiB of f.iso, run the same command again to resume",
        );
        check(
            Left::Nothing,
            "interrupted: the server has nothing that could be kept, the same command begins again",
        );
    }
}

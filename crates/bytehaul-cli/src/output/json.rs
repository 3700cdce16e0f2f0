//! The events of `--json`: their names and fields are an interface, described in `docs/cli.md`.

pub(super) mod upload;

use std::io;
use std::time::Duration;

use bytehaul::{DownloadState, MirrorReport, MirrorState, Outcome, ProgressSnapshot};
use serde::Serialize;

use super::File;
use super::lines::{Keep, Lines};
use crate::failure::Failure;

/// Time between two progress events of one file.
pub(crate) const PERIOD: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Json {
    lines: Lines,
}

impl Json {
    /// Events to stdout.
    pub(crate) fn new() -> io::Result<Self> {
        let lines = Lines::to(io::stdout())?;
        Ok(Self { lines })
    }

    pub(crate) fn started(&mut self, file: File<'_>) {
        let event = Event::Started {
            file: file.number,
            url: file.url,
        };
        self.tell(&event, Keep::Always);
    }

    pub(crate) fn progress(&mut self, file: File<'_>, progress: &ProgressSnapshot) {
        self.tell(&progress_event(file, progress), Keep::WhileFew);
    }

    pub(crate) fn completed(&mut self, file: File<'_>, outcome: &Outcome) {
        let digest = outcome.digest.as_ref().map(ToString::to_string);
        let verified = outcome.verified.as_ref().map(ToString::to_string);
        let event = Event::Completed {
            file: file.number,
            url: file.url,
            path: &outcome.path.to_string_lossy(),
            bytes: outcome.bytes,
            fetched: outcome.fetched,
            resumed_from: outcome.resumed_from,
            digest: digest.as_deref(),
            verified: verified.as_deref(),
            elapsed_ms: millis(outcome.elapsed),
            evidence: outcome.evidence.as_str(),
            length_verified: outcome.length_verified,
            retries: outcome.retries,
            restarts: outcome.restarts,
            connections: outcome.connections,
            mirrors: outcome.mirrors.iter().map(mirror).collect(),
        };
        self.tell(&event, Keep::Always);
    }

    pub(crate) fn failed(&mut self, file: File<'_>, failure: &Failure) {
        self.tell(&failed_event(file, failure), Keep::Always);
    }

    /// Waits until all events are written or their reader has gone away. Cancel-safe.
    pub(crate) async fn written(&mut self) {
        self.lines.written().await;
    }

    fn tell(&mut self, event: &impl Serialize, keep: Keep) {
        let mut line =
            serde_json::to_vec(event).expect("an event has string keys and no foreign types");
        line.push(b'\n');
        self.lines.tell(line, keep);
    }
}

/// One line of output.
#[derive(Serialize, Debug)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Started {
        file: usize,
        url: &'a str,
    },
    Progress {
        file: usize,
        url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        received: u64,
        durable: u64,
        resumed_from: u64,
        rate: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        eta_ms: Option<u64>,
        connections: u32,
        retries: u64,
        elapsed_ms: u64,
    },
    Completed {
        file: usize,
        url: &'a str,
        path: &'a str,
        bytes: u64,
        fetched: u64,
        resumed_from: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        verified: Option<&'a str>,
        elapsed_ms: u64,
        evidence: &'a str,
        length_verified: bool,
        retries: u64,
        restarts: u32,
        connections: u32,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        mirrors: Vec<Mirror>,
    },
    Failed {
        file: usize,
        url: &'a str,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'static str>,
        code: u16,
        kind: &'static str,
        exit_code: u8,
    },
}

/// How one of several sources did.
#[derive(Serialize, Debug)]
struct Mirror {
    url: String,
    state: &'static str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn mirror(report: &MirrorReport) -> Mirror {
    let (state, reason) = match &report.state {
        MirrorState::Unused => ("unused", None),
        MirrorState::Used => ("used", None),
        MirrorState::Dropped { reason } => ("dropped", Some(reason.clone())),
        MirrorState::Quarantined { reason } => ("quarantined", Some(reason.clone())),
        // States that a later library may add.
        _ => ("other", None),
    };
    Mirror {
        url: report.url.to_string(),
        state,
        bytes: report.bytes,
        reason,
    }
}

fn progress_event<'a>(file: File<'a>, progress: &ProgressSnapshot) -> Event<'a> {
    Event::Progress {
        file: file.number,
        url: file.url,
        path: progress
            .path
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned()),
        state: state_word(progress.state),
        total: progress.total,
        received: progress.received,
        durable: progress.durable,
        resumed_from: progress.resumed_from,
        rate: progress.rate,
        eta_ms: progress.eta.map(millis),
        connections: progress.connections,
        retries: progress.retries,
        elapsed_ms: millis(progress.elapsed),
    }
}

fn failed_event<'a>(file: File<'a>, failure: &'a Failure) -> Event<'a> {
    Event::Failed {
        file: file.number,
        url: file.url,
        error: &failure.text,
        hint: failure.hint,
        code: failure.code,
        kind: failure.kind,
        exit_code: failure.exit.code(),
    }
}

fn state_word(state: DownloadState) -> &'static str {
    match state {
        DownloadState::Pending => "pending",
        DownloadState::Connecting => "connecting",
        DownloadState::Downloading => "downloading",
        DownloadState::Finishing => "finishing",
        DownloadState::Completed => "completed",
        DownloadState::Paused => "paused",
        DownloadState::Cancelled => "cancelled",
        DownloadState::Failed => "failed",
        // States that a later library may add.
        _ => "other",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn check(event: &Event<'_>, expected: &str) {
        assert_eq!(serde_json::to_string(event).unwrap(), expected);
    }

    #[test]
    fn events_are_the_documented_ones() {
        let file = File {
            number: 3,
            url: "http://h/f",
        };
        check(
            &Event::Started {
                file: 3,
                url: file.url,
            },
            r#"{"event":"started","file":3,"url":"http://h/f"}"#,
        );
        let mut progress = ProgressSnapshot::default();
        progress.received = 5;
        progress.eta = Some(Duration::from_millis(1500));
        check(
            &progress_event(file, &progress),
            concat!(
                r#"{"event":"progress","file":3,"url":"http://h/f","state":"pending","received":5,"durable":0,"#,
                r#""resumed_from":0,"rate":0,"eta_ms":1500,"connections":0,"retries":0,"elapsed_ms":0}"#
            ),
        );
        let failure = Failure {
            text: "a \"quoted\" text".into(),
            hint: Some("do this"),
            code: 106,
            kind: "network",
            exit: Exit::Network,
        };
        check(
            &failed_event(file, &failure),
            concat!(
                r#"{"event":"failed","file":3,"url":"http://h/f","error":"a \"quoted\" text","hint":"do this","#,
                r#""code":106,"kind":"network","exit_code":3}"#
            ),
        );
    }
}

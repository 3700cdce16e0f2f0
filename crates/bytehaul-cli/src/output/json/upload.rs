//! The events of an upload.

use bytehaul::{SafeUrl, UploadOutcome, UploadProgress, UploadState};
use serde::Serialize;
use url::Url;

use super::{Json, Keep, millis};
use crate::failure::Failure;
use crate::output::upload::Upload;

impl Json {
    pub(crate) fn upload_started(&mut self, upload: Upload<'_>) {
        self.tell(&event("started", upload, Detail::Started {}), Keep::Always);
    }

    pub(crate) fn upload_progress(&mut self, upload: Upload<'_>, progress: &UploadProgress) {
        let detail = progress_detail(progress);
        self.tell(&event("progress", upload, detail), Keep::WhileFew);
    }

    pub(crate) fn uploaded(&mut self, upload: Upload<'_>, outcome: &UploadOutcome) {
        let detail = completed_detail(outcome);
        self.tell(&event("completed", upload, detail), Keep::Always);
    }

    pub(crate) fn upload_failed(&mut self, upload: Upload<'_>, failure: &Failure) {
        let detail = Detail::Failed {
            error: &failure.text,
            hint: failure.hint,
            code: failure.code,
            kind: failure.kind,
            exit_code: failure.exit.code(),
        };
        self.tell(&event("failed", upload, detail), Keep::Always);
    }
}

/// One line of output.
#[derive(Serialize, Debug)]
struct Event<'a> {
    event: &'static str,
    file: usize,
    url: &'a str,
    source: &'a str,
    #[serde(flatten)]
    detail: Detail<'a>,
}

#[derive(Serialize, Debug)]
#[serde(untagged)]
enum Detail<'a> {
    Started {},
    Progress {
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        sent: u64,
        acknowledged: u64,
        durable: u64,
        prefix: u64,
        resumed_from: u64,
        rate: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        eta_ms: Option<u64>,
        connections: u32,
        retries: u64,
        elapsed_ms: u64,
    },
    Completed {
        bytes: u64,
        sent: u64,
        resumed_from: u64,
        already_complete: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        etag: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        verified: Option<String>,
        elapsed_ms: u64,
        retries: u64,
        connections: u32,
    },
    Failed {
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'static str>,
        code: u16,
        kind: &'static str,
        exit_code: u8,
    },
}

fn event<'a>(event: &'static str, upload: Upload<'a>, detail: Detail<'a>) -> Event<'a> {
    Event {
        event,
        file: 0,
        url: upload.url,
        source: upload.source,
        detail,
    }
}

fn progress_detail<'a>(progress: &UploadProgress) -> Detail<'a> {
    Detail::Progress {
        state: state_word(progress.state),
        total: progress.total,
        sent: progress.sent,
        acknowledged: progress.acknowledged,
        durable: progress.durable,
        prefix: progress.prefix,
        resumed_from: progress.resumed_from,
        rate: progress.rate,
        eta_ms: progress.eta.map(millis),
        connections: progress.connections,
        retries: progress.retries,
        elapsed_ms: millis(progress.elapsed),
    }
}

fn completed_detail(outcome: &UploadOutcome) -> Detail<'_> {
    let text = outcome.payload.as_deref().map(std::str::from_utf8);
    Detail::Completed {
        bytes: outcome.bytes,
        sent: outcome.sent,
        resumed_from: outcome.resumed_from,
        already_complete: outcome.already_complete,
        location: outcome.location.as_deref().map(shown),
        etag: outcome.etag.as_deref(),
        payload: text.and_then(Result::ok),
        digest: outcome.digest.as_ref().map(ToString::to_string),
        verified: outcome.verified.as_ref().map(ToString::to_string),
        elapsed_ms: millis(outcome.elapsed),
        retries: outcome.retries,
        connections: outcome.connections,
    }
}

/// A location as it may be shown. What is no URL may be the server's own name for the object.
pub(crate) fn shown(location: &str) -> String {
    match Url::parse(location) {
        Ok(url) => SafeUrl::from(url).to_string(),
        Err(_) => location.split(['?', '#']).next().unwrap_or("").to_owned(),
    }
}

fn state_word(state: UploadState) -> &'static str {
    match state {
        UploadState::Pending => "pending",
        UploadState::Preparing => "preparing",
        UploadState::Sending => "sending",
        UploadState::Committing => "committing",
        UploadState::Completed => "completed",
        UploadState::Paused => "paused",
        UploadState::Cancelled => "cancelled",
        UploadState::Failed => "failed",
        // States that a later library may add.
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    const UPLOAD: Upload<'_> = Upload {
        url: "http://h/up",
        source: "d/f",
        name: "f",
    };

    fn check(name: &'static str, detail: Detail<'_>, expected: &str) {
        let event = serde_json::to_string(&event(name, UPLOAD, detail)).unwrap();
        let head = format!(r#"{{"event":"{name}","file":0,"url":"http://h/up","source":"d/f""#);
        assert_eq!(event.strip_prefix(&head).unwrap(), expected);
    }

    #[test]
    fn events_are_the_documented_ones() {
        check("started", Detail::Started {}, "}");
        let mut progress = UploadProgress::default();
        (progress.sent, progress.acknowledged, progress.prefix) = (7, 5, 3);
        check(
            "progress",
            progress_detail(&progress),
            concat!(
                r#","state":"pending","sent":7,"acknowledged":5,"durable":0,"prefix":3,"resumed_from":0,"#,
                r#""rate":0,"connections":0,"retries":0,"elapsed_ms":0}"#
            ),
        );
        let failure = Failure {
            text: "why".into(),
            hint: None,
            code: 130,
            kind: "indeterminate",
            exit: Exit::Other,
        };
        check(
            "failed",
            Detail::Failed {
                error: &failure.text,
                hint: failure.hint,
                code: failure.code,
                kind: failure.kind,
                exit_code: failure.exit.code(),
            },
            r#","error":"why","code":130,"kind":"indeterminate","exit_code":1}"#,
        );
    }

    #[test]
    fn locations_are_shown_without_secrets() {
        assert_eq!(
            shown("https://me:pw@h/f?token=hunter2&v=1"),
            "https://h/f?token=***&v=1"
        );
        assert_eq!(shown("/files/17?token=hunter2"), "/files/17");
        assert_eq!(shown("17"), "17");
    }
}

//! `uploads list`: every upload that was begun on this machine, complete or not, as lines or as JSON.

use std::io::Write;
use std::time::SystemTime;

use bytehaul::protocol::Stage;
use bytehaul::{Checkpoint, RecordContent, UploadRecord};
use serde::Serialize;

use super::{age, enough, id, short};
use crate::args::ListArgs;
use crate::exit::Exit;
use crate::failure;
use crate::job::put::ledger;
use crate::output::human::{Bytes, Part, Time};
use crate::output::to_stderr;

/// Lists them on stdout. A reader that goes away is no failure.
pub(crate) fn run(args: &ListArgs) -> Exit {
    let ledger = match ledger(args.state_dir.as_deref()) {
        Ok(ledger) => ledger,
        Err(error) => return error.report(),
    };
    let records = match ledger.list() {
        Ok(records) => records,
        Err(error) => {
            to_stderr(format_args!("bytehaul: {}", failure::chain(&error)));
            return error.kind().into();
        }
    };
    let (now, characters) = (SystemTime::now(), enough(&records));
    let mut text = String::new();
    for record in &records {
        match args.json {
            true => {
                let line = serde_json::to_string(&Line::new(record, now))
                    .expect("strings and numbers are JSON");
                text.push_str(&line);
            }
            false => text.push_str(&line(record, short(id(record), characters), now)),
        }
        text.push('\n');
    }
    if records.is_empty() && !args.json {
        to_stderr("no uploads were begun, or all were forgotten");
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Complete
}

/// One upload of `--json`, as `docs/cli.md` has it.
#[derive(Serialize, Debug)]
struct Line<'a> {
    id: &'a str,
    record: String,
    stage: &'static str,
    in_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    #[serde(flatten)]
    upload: Option<Upload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize, Debug)]
struct Upload<'a> {
    protocol: &'a str,
    url: &'a str,
    source: &'a str,
    acknowledged: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    begun_at: u64,
    updated_at: u64,
}

impl<'a> Line<'a> {
    fn new(record: &'a UploadRecord, now: SystemTime) -> Self {
        let age = age(record, now).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Self {
            id: id(record),
            record: record.path.to_string_lossy().into_owned(),
            stage: stage(record),
            in_use: record.in_use,
            age_ms: age,
            upload: record.checkpoint().map(|checkpoint| Upload {
                protocol: &checkpoint.protocol,
                url: &checkpoint.target,
                source: &checkpoint.source,
                acknowledged: acknowledged(checkpoint),
                total: checkpoint.total,
                begun_at: checkpoint.begun_at,
                updated_at: checkpoint.updated_at,
            }),
            error: match &record.content {
                RecordContent::Unusable(why) => Some(why),
                _ => None,
            },
        }
    }
}

fn line(record: &UploadRecord, id: &str, now: SystemTime) -> String {
    let used = if record.in_use { ", in use" } else { "" };
    let age = age(record, now).map_or_else(String::new, |age| format!(", {} ago", Time(age)));
    let stage = stage(record);
    let text = match (&record.content, record.checkpoint()) {
        (_, Some(checkpoint)) => {
            let done = acknowledged(checkpoint);
            let bytes = match checkpoint.total {
                Some(total) => Part {
                    bytes: done,
                    of: total,
                }
                .to_string(),
                None => Bytes(done).to_string(),
            };
            format!(
                "{id}  {stage}  {bytes}{age}{used}: {} to {} by {}",
                checkpoint.source, checkpoint.target, checkpoint.protocol
            )
        }
        (RecordContent::Unusable(why), None) => {
            format!("{id}  {stage}{age}{used}: {}: {why}", record.path.display())
        }
        _ => format!("{id}  {stage}{age}{used}: {}", record.path.display()),
    };
    // Names of files may hold anything, and a terminal obeys some of it.
    text.replace(char::is_control, "?")
}

/// Of a complete upload all is acknowledged, also where there are no receipts.
fn acknowledged(checkpoint: &Checkpoint) -> u64 {
    match (checkpoint.session.stage, checkpoint.total) {
        (Stage::Complete, Some(total)) => total,
        _ => checkpoint.acknowledged(),
    }
}

fn stage(record: &UploadRecord) -> &'static str {
    let Some(checkpoint) = record.checkpoint() else {
        return match record.content {
            RecordContent::Unusable(_) => "unreadable",
            _ => "beginning",
        };
    };
    match checkpoint.session.stage {
        Stage::Beginning => "beginning",
        Stage::Sending => "sending",
        Stage::Committing => "committing",
        Stage::Complete => "complete",
        Stage::Aborted => "aborted",
        // Stages that a later library may add.
        _ => "other",
    }
}

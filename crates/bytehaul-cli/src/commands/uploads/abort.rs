//! `uploads abort`: discards what uploads have staged at their servers, and then their records.

use std::io::Write;
use std::time::SystemTime;

use bytehaul::protocol::UploadPlan;
use bytehaul::{
    Auth, RecordContent, UploadError, UploadLedger, UploadRecord, UploadSpec, Uploader,
    UploaderBuilder,
};
use serde::Serialize;

use super::{age, enough, id, short};
use crate::args::AbortArgs;
use crate::exit::Exit;
use crate::failure::{self, Access, Circumstances, Failure, Kept};
use crate::job::put::{OnSignal, ledger};
use crate::job::{self, protocol};
use crate::network;
use crate::output::to_stderr;
use crate::signals::Signals;
use crate::usage::UsageError;

/// What is to be discarded.
#[derive(Debug)]
pub(crate) struct AbortPlan {
    uploader: UploaderBuilder,
    ledger: UploadLedger,
    chosen: Vec<Chosen>,
    with: With,
    say: Say,
}

#[derive(Debug)]
struct Chosen {
    record: UploadRecord,
    /// As the list shows it.
    id: String,
    by: By,
}

/// How a record came to be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Name,
    Rule,
}

/// What no record holds.
#[derive(Debug)]
struct With {
    headers: Vec<(String, String)>,
    auth: Option<Auth>,
    plan: Option<UploadPlan>,
    forget: bool,
    variable: fn(&str) -> Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Say {
    Lines,
    Errors,
    Json,
}

/// Why a record is still there.
#[derive(Debug)]
enum Stop {
    Upload(String, UploadError),
    /// It cannot be told what to send.
    Unknown(String, &'static str),
}

/// Turns the arguments into a plan. `variable` reads the environment.
pub(crate) fn resolve(
    args: AbortArgs,
    variable: fn(&str) -> Option<String>,
) -> Result<AbortPlan, UsageError> {
    let ledger = ledger(args.state_dir.as_deref())?;
    let records = ledger
        .list()
        .map_err(|error| UsageError::new(failure::chain(&error)))?;
    let characters = enough(&records);
    let chosen = match args.ids.is_empty() {
        false => by_name(&args.ids, records)?,
        true => by_rule(&args, records),
    };
    let by = match args.ids.is_empty() {
        false => By::Name,
        true => By::Rule,
    };
    let chosen = chosen.into_iter().map(|record| Chosen {
        id: short(id(&record), characters).to_owned(),
        record,
        by,
    });
    Ok(AbortPlan {
        uploader: Uploader::builder().network(network::settings(&args.network)?),
        ledger,
        chosen: chosen.collect(),
        with: With {
            headers: job::headers(&args.network)?,
            auth: job::token(&variable)?,
            plan: args.plan.as_deref().map(protocol::read_plan).transpose()?,
            forget: args.forget,
            variable,
        },
        say: match (args.display.json, args.display.quiet) {
            (true, _) => Say::Json,
            (false, true) => Say::Errors,
            (false, false) => Say::Lines,
        },
    })
}

/// Carries out a plan, one upload after the other. A signal ends it where it is: what is not discarded is still known.
pub(crate) async fn run(plan: AbortPlan, mut signals: Signals) -> Exit {
    let uploader = match plan.uploader.build() {
        Ok(uploader) => uploader,
        Err(error) => {
            to_stderr(format_args!("bytehaul: {}", failure::chain(&error)));
            return error.kind().into();
        }
    };
    let mut exit = Exit::Complete;
    for chosen in &plan.chosen {
        let ended = tokio::select! {
            ended = discard(chosen, &plan.ledger, &uploader, &plan.with) => ended,
            () = signals.asked() => {
                to_stderr("bytehaul: interrupted: the remaining uploads are still known, run the same command again");
                return Exit::Interrupted;
            }
        };
        let failed = tell(chosen, ended, plan.say);
        if exit == Exit::Complete {
            exit = failed;
        }
    }
    exit
}

fn by_name(ids: &[String], records: Vec<UploadRecord>) -> Result<Vec<UploadRecord>, UsageError> {
    let mut chosen: Vec<UploadRecord> = Vec::new();
    for wanted in ids {
        let fits = |record: &&UploadRecord| {
            record.name.to_str() == Some(wanted) || id(record).starts_with(wanted.as_str())
        };
        let fitting: Vec<_> = records.iter().filter(fits).collect();
        let shown = wanted.escape_debug();
        match fitting[..] {
            _ if wanted.is_empty() => return Err(UsageError::new("an id is empty")),
            [] => {
                return Err(UsageError::new(format!("no upload has the id '{shown}'"))
                    .hint("'bytehaul uploads list' shows all of them"));
            }
            [record] => {
                if chosen.iter().all(|other| other.name != record.name) {
                    chosen.push(record.clone());
                }
            }
            _ => {
                let what = format!("'{shown}' is the beginning of {} ids", fitting.len());
                return Err(UsageError::new(what).hint("write more of it"));
            }
        }
    }
    Ok(chosen)
}

fn by_rule(args: &AbortArgs, records: Vec<UploadRecord>) -> Vec<UploadRecord> {
    let now = SystemTime::now();
    let is_due = |record: &UploadRecord| {
        let least = args.older_than.map(|span| span.0);
        least.is_none_or(|least| age(record, now).is_some_and(|age| age >= least))
    };
    let is_chosen = |record: &UploadRecord| !record.in_use && is_due(record);
    records.into_iter().filter(is_chosen).collect()
}

async fn discard(
    chosen: &Chosen,
    ledger: &UploadLedger,
    uploader: &Uploader,
    with: &With,
) -> Result<(), Stop> {
    let Chosen { record, by, .. } = chosen;
    let path = || record.path.display().to_string();
    let checkpoint = match &record.content {
        RecordContent::Saved(checkpoint) if !with.forget => checkpoint,
        RecordContent::Unusable(why) if !with.forget && *by == By::Rule => {
            return Err(Stop::Unknown(
                format!("{}: {why}", path()),
                "name its id, or use --forget, to forget it though something may be staged",
            ));
        }
        _ => {
            let removed = ledger.remove(&record.name);
            return removed.map_err(|error| Stop::Upload(path(), error));
        }
    };
    let failed = |error| Stop::Upload(checkpoint.target.clone(), error);
    let protocol = protocol::of_record(checkpoint, with.plan.as_ref(), &with.variable);
    let protocol = protocol.map_err(|error| {
        Stop::Unknown(
            format!("{}: {}", checkpoint.target, error.message()),
            "give the credentials that it was begun with, or use --forget to leave it at the server",
        )
    });
    let Some(protocol) = protocol? else {
        // Nothing has to be sent for what is over.
        if !checkpoint.is_open() {
            return ledger.remove(&record.name).map_err(failed);
        }
        let (url, name) = (&checkpoint.target, &checkpoint.protocol);
        return Err(Stop::Unknown(
            format!("{url}: what to send to discard an upload by {name} is not known"),
            "give its plan with --plan, or the endpoint and the region that it was begun with; or use --forget to leave it at the server",
        ));
    };
    let is_planned = Access::of(&*protocol) == Access::Presigned;
    let spec = match ledger.spec_to_abort(record, protocol) {
        Ok(spec) if !is_planned || record.identity.as_deref() == Some(&spec.identity()) => spec,
        Err(error) if !is_planned => return Err(failed(error)),
        Ok(_) | Err(_) => {
            return Err(Stop::Unknown(
                format!("{}: the plan is that of another upload", checkpoint.target),
                "give the plan that it was begun with, or a newer one of the same upload",
            ));
        }
    };
    uploader.abort(access(spec, with)).await.map_err(failed)
}

fn access(mut spec: UploadSpec, with: &With) -> UploadSpec {
    spec.headers.clone_from(&with.headers);
    spec.auth.clone_from(&with.auth);
    spec
}

/// One line of `--json`, as `docs/cli.md` has it.
#[derive(Serialize, Debug)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Aborted {
        id: &'a str,
    },
    Failed {
        id: &'a str,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'static str>,
        code: u16,
        kind: &'static str,
        exit_code: u8,
    },
}

fn tell(chosen: &Chosen, ended: Result<(), Stop>, say: Say) -> Exit {
    let id = &chosen.id;
    let failure = match ended {
        Ok(()) => {
            match say {
                Say::Lines => {
                    to_stderr(format_args!("{id} discarded: {}", subject(&chosen.record)));
                }
                Say::Errors => {}
                Say::Json => print(&Event::Aborted { id }),
            }
            return Exit::Complete;
        }
        Err(Stop::Upload(subject, error)) => {
            let of = Circumstances {
                kept: Kept::Nothing,
                stop: OnSignal::Pause,
                is_resumable: true,
                access: Access::Given,
            };
            Failure::upload(&subject, &error, of)
        }
        Err(Stop::Unknown(text, hint)) => Failure {
            text,
            hint: Some(hint),
            code: INVALID,
            kind: "parameter",
            exit: Exit::Usage,
        },
    };
    if say == Say::Json {
        print(&Event::Failed {
            id,
            error: &failure.text,
            hint: failure.hint,
            code: failure.code,
            kind: failure.kind,
            exit_code: failure.exit.code(),
        });
    }
    to_stderr(&failure);
    failure.exit
}

fn subject(record: &UploadRecord) -> String {
    match record.checkpoint() {
        Some(checkpoint) => format!("{} to {}", checkpoint.source, checkpoint.target)
            .escape_debug()
            .to_string(),
        None => record.path.display().to_string(),
    }
}

fn print(event: &Event<'_>) {
    let line = serde_json::to_string(event).expect("strings and numbers are JSON");
    // A reader that has gone away is no failure.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The library's number for a parameter that cannot be used.
const INVALID: u16 = 102;

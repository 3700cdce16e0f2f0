//! `queue run`: keeps the tasks of the queue running until none waits any more, and tells what becomes of them.

use bytehaul::{
    EventKind, EventStream, Network, RunUntil, TaskState, TransferEvent, TransferManager,
    TransferStore,
};
use serde::Serialize;

use super::{Refused, open, shown};
use crate::args::{NetworkArgs, RunArgs};
use crate::exit::Exit;
use crate::failure::{self, kind_word, one_line};
use crate::job::queue::transfer;
use crate::network;
use crate::output::human::{Bytes, Time, mean_rate};
use crate::output::lines::{Keep, Lines};
use crate::output::to_stderr;
use crate::signals::Signals;

/// A queue that is to be run.
#[derive(Debug)]
pub(crate) struct RunPlan {
    store: TransferStore,
    network: NetworkArgs,
    settings: Network,
    downloads: usize,
    uploads: usize,
    rate: u64,
    say: Say,
    /// The token of the environment, as it is there.
    variables: fn(&str) -> Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Say {
    Lines,
    Errors,
    Json,
}

/// Turns the arguments into a plan; what is wrong has been told.
pub(crate) fn resolve(
    args: RunArgs,
    variables: fn(&str) -> Option<String>,
) -> Result<RunPlan, Exit> {
    let settings = network::settings(&args.network).map_err(|error| error.report())?;
    // A header that cannot be sent is found before any task is blamed for it.
    crate::job::headers(&args.network).map_err(|error| error.report())?;
    crate::job::token(&variables).map_err(|error| error.report())?;
    let store = open(args.state.dir.as_deref()).map_err(|refused| refused.report())?;
    Ok(RunPlan {
        store,
        network: args.network,
        settings,
        downloads: args.downloads.unwrap_or(args.jobs).into(),
        uploads: args.uploads.unwrap_or(args.jobs).into(),
        rate: args.limit_rate.map_or(0, |rate| rate.0),
        say: match (args.display.json, args.display.quiet) {
            (true, _) => Say::Json,
            (false, true) => Say::Errors,
            (false, false) => Say::Lines,
        },
        variables,
    })
}

/// Carries out a plan. A signal saves what runs; the next run goes on.
pub(crate) async fn run(plan: RunPlan, mut signals: Signals) -> Exit {
    let manager = TransferManager::builder()
        .network(plan.settings)
        .max_downloads(plan.downloads)
        .max_uploads(plan.uploads)
        .max_download_speed(plan.rate)
        .max_upload_speed(plan.rate)
        .build();
    let manager = match manager {
        Ok(manager) => manager,
        Err(error) => {
            to_stderr(format_args!("bytehaul: {}", failure::chain(&error)));
            return error.kind().into();
        }
    };
    let lines = match plan.say {
        Say::Json => match Lines::to(std::io::stdout()) {
            Ok(lines) => Some(lines),
            Err(error) => {
                to_stderr(format_args!(
                    "bytehaul: start the writer of events: {error}"
                ));
                return Exit::Other;
            }
        },
        Say::Lines | Say::Errors => None,
    };
    let told = tokio::spawn(tell(manager.events(), lines, plan.say));
    let (network, variables) = (plan.network, plan.variables);
    let mut stopped = false;
    let ran = {
        let stop = async {
            signals.asked().await;
            stopped = true;
        };
        let make = |task: &bytehaul::StoredTask| transfer(task, &network, variables);
        plan.store.run(manager, make, RunUntil::Idle, stop).await
    };
    // The manager is closed, so there are no more events.
    let failed = told.await.unwrap_or(Some(Exit::Other));
    match ran {
        Err(error) => Refused::Store(error).report(),
        Ok(_) if stopped => {
            to_stderr(
                "bytehaul: interrupted: what ran is kept, run the same command again to go on",
            );
            Exit::Interrupted
        }
        Ok(_) => failed.unwrap_or(Exit::Complete),
    }
}

/// Tells of all events until the manager is closed: the exit status of the first failure.
async fn tell(mut events: EventStream, mut lines: Option<Lines>, say: Say) -> Option<Exit> {
    let mut first = None;
    while let Some(event) = events.next().await {
        if let EventKind::Failed(failure) = &event.kind {
            let exit = match failure.code {
                INDETERMINATE => Exit::Other,
                _ => failure.kind.into(),
            };
            first.get_or_insert(exit);
        }
        if let (Some(lines), Some((line, keep))) = (&mut lines, as_json(&event)) {
            lines.tell(line, keep);
        }
        for_people(&event, say);
    }
    if let Some(mut lines) = lines {
        lines.written().await;
    }
    first
}

fn for_people(event: &TransferEvent, say: Say) {
    let (source, target) = (&event.source, &event.target);
    let line = match &event.kind {
        EventKind::Failed(failure) => {
            return to_stderr(format_args!("bytehaul: {}", one_line(&failure.message)));
        }
        EventKind::State(TaskState::Transmission) => format!("started: {source} to {target}"),
        EventKind::State(TaskState::Paused) => format!("paused: {source} to {target}"),
        EventKind::Canceled => format!("canceled: {source} to {target}"),
        EventKind::Completed(done) => format!(
            "complete: {source} to {target}: {} in {} ({}/s)",
            Bytes(done.bytes),
            Time(done.elapsed),
            mean_rate(done.moved, done.elapsed)
        ),
        _ => return,
    };
    if say == Say::Lines {
        to_stderr(one_line(&line));
    }
}

/// One line of `--json`, as `docs/cli.md` has it.
#[derive(Serialize, Debug)]
struct Event<'a> {
    event: &'static str,
    direction: &'static str,
    source: &'a str,
    target: &'a str,
    #[serde(flatten)]
    detail: Detail<'a>,
}

#[derive(Serialize, Debug)]
#[serde(untagged)]
enum Detail<'a> {
    State {
        state: &'static str,
    },
    Progress {
        done: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        rate: u64,
    },
    Completed {
        bytes: u64,
        moved: u64,
        resumed_from: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<String>,
    },
    Failed {
        error: &'a str,
        code: u16,
        kind: &'static str,
    },
    Canceled {},
}

fn as_json(event: &TransferEvent) -> Option<(Vec<u8>, Keep)> {
    let (name, detail, keep) = match &event.kind {
        EventKind::State(state) => {
            let state = super::state_word(*state);
            ("state", Detail::State { state }, Keep::Always)
        }
        EventKind::Progress(progress) => {
            let detail = Detail::Progress {
                done: progress.done,
                total: progress.total,
                rate: progress.rate,
            };
            ("progress", detail, Keep::WhileFew)
        }
        EventKind::Completed(done) => {
            let detail = Detail::Completed {
                bytes: done.bytes,
                moved: done.moved,
                resumed_from: done.resumed_from,
                location: done.location.as_deref().map(shown),
            };
            ("completed", detail, Keep::Always)
        }
        EventKind::Failed(failure) => {
            let detail = Detail::Failed {
                error: &failure.message,
                code: failure.code,
                kind: kind_word(failure.kind),
            };
            ("failed", detail, Keep::Always)
        }
        EventKind::Canceled => ("canceled", Detail::Canceled {}, Keep::Always),
        // A checkpoint is nobody's business but the store's.
        _ => return None,
    };
    let event = Event {
        event: name,
        direction: match event.direction {
            bytehaul::Direction::Download => "download",
            bytehaul::Direction::Upload => "upload",
        },
        source: &event.source,
        target: &event.target,
        detail,
    };
    let mut line = serde_json::to_vec(&event).expect("strings and numbers are JSON");
    line.push(b'\n');
    Some((line, keep))
}

/// The library's number for an upload of which nobody knows whether it is complete.
const INDETERMINATE: u16 = 130;

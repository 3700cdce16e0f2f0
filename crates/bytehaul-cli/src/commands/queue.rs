//! `queue`: transfers that are remembered in a file, and what may be wished of them.

pub(crate) mod run;

use std::io::Write;
use std::path::Path;

use bytehaul::{
    NewTask, Recipe, SafeUrl, StoreError, StoredId, StoredTask, TaskState, TransferStore, Wish,
};
use serde::Serialize;
use url::Url;

use crate::args::{AddArgs, AddCommand, QueueCommand, TasksArgs};
use crate::exit::Exit;
use crate::failure;
use crate::job::queue::{downloads, upload};
use crate::output::human::{Bytes, Part};
use crate::output::to_stderr;
use crate::usage::UsageError;

/// Everything but running it.
pub(crate) fn change(command: QueueCommand) -> Exit {
    let done = match command {
        QueueCommand::Add(args) => add(args),
        QueueCommand::List(args) => open(args.state.dir.as_deref())
            .and_then(|store| Ok(store.list()?))
            .map(|tasks| list(&tasks, args.json)),
        QueueCommand::Pause(args) => wish(&args, Wish::Pause),
        QueueCommand::Resume(args) => wish(&args, Wish::Resume),
        QueueCommand::Cancel(args) => wish(&args, Wish::Cancel),
        QueueCommand::Clear(args) => {
            open(args.dir.as_deref()).and_then(|store| Ok(store.forget_ended().map(drop)?))
        }
        QueueCommand::Run(_) => Ok(()),
    };
    match done {
        Ok(()) => Exit::Complete,
        Err(refused) => refused.report(),
    }
}

/// Why nothing, or no more, was done.
#[derive(Debug)]
pub(crate) enum Refused {
    Usage(UsageError),
    Store(StoreError),
    Directory(String),
}

impl Refused {
    pub(crate) fn report(&self) -> Exit {
        match self {
            Self::Usage(error) => error.report(),
            Self::Directory(text) => {
                to_stderr(format_args!("bytehaul: {text}"));
                Exit::Local
            }
            Self::Store(error) => {
                to_stderr(format_args!("bytehaul: {}", failure::chain(error)));
                match error {
                    StoreError::Duplicate { .. } => {
                        to_stderr("hint: 'bytehaul queue cancel' gives the other one up");
                    }
                    StoreError::NotFound(_) => {
                        to_stderr("hint: 'bytehaul queue list' shows all tasks");
                    }
                    _ => {}
                }
                error.kind().into()
            }
        }
    }
}

impl From<UsageError> for Refused {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Opens the queue below the directory of state, which is made if it is missing.
pub(crate) fn open(directory: Option<&Path>) -> Result<TransferStore, Refused> {
    let ledger = crate::job::put::ledger(directory)?;
    let state = ledger.directory().parent().unwrap_or(Path::new("."));
    make_private(state).map_err(|error| {
        Refused::Directory(format!("make the directory {}: {error}", state.display()))
    })?;
    Ok(TransferStore::open(state.join(FILE))?)
}

fn add(args: AddArgs) -> Result<(), Refused> {
    let recipes = match args.what {
        AddCommand::Get(get) => downloads(*get)?,
        AddCommand::Put(put) => vec![upload(*put)?],
    };
    let store = open(args.state.dir.as_deref())?;
    for recipe in recipes {
        let mut task = NewTask::new(recipe).priority(args.priority);
        if args.paused {
            task = task.paused();
        }
        let id = store.add(task)?;
        say(&id.to_string());
    }
    Ok(())
}

fn wish(args: &TasksArgs, wish: Wish) -> Result<(), Refused> {
    let ids = args.ids.iter().map(|text| {
        let wrong = || {
            UsageError::new(format!(
                "'{}' is not the number of a task",
                text.escape_debug()
            ))
        };
        text.parse::<StoredId>().map_err(|_| wrong())
    });
    let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
    let store = open(args.state.dir.as_deref())?;
    for id in ids {
        store.wish(id, wish)?;
    }
    Ok(())
}

/// One task of `--json`, as `docs/cli.md` has it.
#[derive(Serialize, Debug)]
struct Line<'a> {
    id: StoredId,
    direction: &'static str,
    state: &'static str,
    running: bool,
    priority: i32,
    source: String,
    target: String,
    done: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    added_at: i64,
    updated_at: i64,
}

fn list(tasks: &[StoredTask], json: bool) {
    for task in tasks {
        let (direction, source, target) = ends(&task.recipe);
        let line = Line {
            id: task.id,
            direction,
            state: state_word(task.state),
            running: task.claimed,
            priority: task.priority,
            source,
            target,
            done: task.progress.done,
            total: task.progress.total,
            error: task
                .failure
                .as_ref()
                .map(|failure| failure.message.as_str()),
            code: task.failure.as_ref().map(|failure| failure.code),
            added_at: task.added_at,
            updated_at: task.updated_at,
        };
        say(&match json {
            true => serde_json::to_string(&line).expect("strings and numbers are JSON"),
            false => for_people(&line),
        });
    }
    if tasks.is_empty() && !json {
        to_stderr("the queue is empty");
    }
}

fn for_people(line: &Line<'_>) -> String {
    let bytes = match line.total {
        Some(total) => Part {
            bytes: line.done,
            of: total,
        }
        .to_string(),
        None => Bytes(line.done).to_string(),
    };
    let mut text = format!(
        "{}  {}  {bytes}: {} {} to {}",
        line.id, line.state, line.direction, line.source, line.target
    );
    if let Some(error) = line.error {
        text.push_str(&format!(" ({error})"));
    }
    // Names of files may hold anything, and a terminal obeys some of it.
    text.replace(char::is_control, "?")
}

/// Direction, and where the bytes come from and go, as it may be shown.
fn ends(recipe: &Recipe) -> (&'static str, String, String) {
    match recipe {
        Recipe::Download(recipe) => {
            let path = recipe.output_path.as_ref().unwrap_or(&recipe.output_dir);
            ("download", shown(&recipe.url), path.display().to_string())
        }
        Recipe::Upload(recipe) => (
            "upload",
            recipe.source.display().to_string(),
            shown(&recipe.target),
        ),
        // What a later library may store.
        _ => ("other", String::new(), String::new()),
    }
}

fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => SafeUrl::from(url).to_string(),
        Err(_) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
    }
}

fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "pending",
        TaskState::Transmission => "running",
        TaskState::Paused => "paused",
        TaskState::Complete => "complete",
        TaskState::Failed => "failed",
        TaskState::Canceled => "canceled",
    }
}

/// Writes a line to stdout. A reader that has gone away is no failure.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(directory)
}

/// The queue's file in the directory of state.
const FILE: &str = "queue.db";

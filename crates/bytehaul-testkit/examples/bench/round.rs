//! Rounds: every program once in each, in changing order, its result checked and then removed.

use std::time::Duration;

use bytehaul_testkit::process::Process;
use bytehaul_testkit::{Usage, check_file};

use crate::contender::Contender;
use crate::files::Files;
use crate::scenario::{Stage, Work};

/// What one program used in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) wall: Duration,
    pub(crate) usage: Usage,
}

/// All runs of one program, or why it failed.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) name: String,
    pub(crate) runs: Result<Vec<Run>, String>,
}

/// Runs every contender `rounds` times, after a round that warms up and is not counted.
pub(crate) fn all(
    contenders: &[Contender],
    stage: &Stage,
    files: &Files,
    rounds: usize,
) -> Result<Vec<Runs>, String> {
    let mut all: Vec<Runs> = contenders
        .iter()
        .map(|one| Runs {
            name: one.name(),
            runs: Ok(Vec::new()),
        })
        .collect();
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            files.clear_out()?;
            let Ok(runs) = &mut all[index].runs else {
                continue;
            };
            match one(contenders[index], stage, files) {
                Ok(run) if round > 0 => runs.push(run),
                Ok(_) => (),
                Err(failure) => all[index].runs = Err(failure),
            }
        }
    }
    files.clear_out()?;
    Ok(all)
}

fn one(contender: Contender, stage: &Stage, files: &Files) -> Result<Run, String> {
    let command = contender.command(stage, files);
    let finished = Process::new(command)
        .timeout(TIMEOUT)
        .run()
        .map_err(|error| error.to_string())?;
    if !finished.success() {
        return Err(format!(
            "{}: {}",
            finished.status,
            last_line(&finished.err())
        ));
    }
    match &stage.work {
        Work::Whole(object) => {
            check_file(files.copy(), object).map_err(|wrong| wrong.to_string())?;
        }
        Work::Small { count, .. } => files.check_small(*count)?,
        Work::Nothing => (),
    }
    Ok(Run {
        wall: finished.wall,
        usage: finished.usage,
    })
}

pub(crate) fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message")
}

const TIMEOUT: Duration = Duration::from_secs(180);

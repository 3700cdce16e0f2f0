//! Rounds of uploads: every program once in each, in changing order, its object checked and then removed.

use std::time::Duration;

use bytehaul_testkit::process::Process;

use super::Source;
use super::contender::Contender;
use super::place::{Place, Proof};
use crate::round::{Run, Runs, last_line};

/// Runs every contender `rounds` times, after a round that is not counted, whose objects are compared byte by byte.
pub(crate) fn all(
    contenders: &[Contender],
    place: &mut Place,
    source: &Source,
    rounds: usize,
) -> Result<Vec<Runs>, String> {
    let none = |one: &Contender| Runs {
        name: one.name(),
        runs: Ok(Vec::new()),
    };
    let mut all: Vec<Runs> = contenders.iter().map(none).collect();
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            let Ok(runs) = &mut all[index].runs else {
                continue;
            };
            let number = round * contenders.len() + turn;
            let proof = if round == 0 {
                Proof::Digest
            } else {
                Proof::Length
            };
            let outcome = one(contenders[index], place, source, number, proof);
            place.clear()?;
            match outcome {
                Ok(run) if round > 0 => runs.push(run),
                Ok(_) => (),
                Err(failure) => all[index].runs = Err(failure),
            }
        }
    }
    Ok(all)
}

fn one(
    contender: Contender,
    place: &mut Place,
    source: &Source,
    number: usize,
    proof: Proof,
) -> Result<Run, String> {
    let job = place.prepare(source, number)?;
    let command = contender.command(source, &job)?;
    source.warm()?;
    let finished = Process::new(command)
        .timeout(TIMEOUT)
        .run()
        .map_err(|error| error.to_string())?;
    if !finished.success() {
        let said = finished.err();
        return Err(format!("{}: {}", finished.status, last_line(&said)));
    }
    if contender.leaves_parts() {
        place.complete(&job)?;
    }
    place.check(&job, source, proof)?;
    Ok(Run {
        wall: finished.wall,
        usage: finished.usage,
    })
}

const TIMEOUT: Duration = Duration::from_secs(600);

//! Runs of uploads as a Markdown table: medians, and medians of what `bytehaul` took of what the other took in the same round.

use std::fmt::Write;

use crate::round::{Run, Runs};
use crate::table::median;

/// One line a program.
pub(crate) fn of(all: &[Runs]) -> String {
    let ours = all.iter().find(|runs| runs.name.starts_with(OURS));
    let ours = ours
        .and_then(|runs| runs.runs.as_deref().ok())
        .unwrap_or_default();
    let mut out = format!(
        "| program | wall s | CPU s | RSS MiB | {OURS} ÷ it: wall | CPU | RSS |\n|---|---|---|---|---|---|---|\n"
    );
    for runs in all {
        let line = match &runs.runs {
            Ok(list) => line(&runs.name, list, ours),
            Err(failure) => {
                let failure = failure.replace('|', "/");
                format!("| {} | failed: {failure} | | | | | |\n", runs.name)
            }
        };
        out.push_str(&line);
    }
    out
}

fn line(name: &str, runs: &[Run], ours: &[Run]) -> String {
    let wall = |run: &Run| run.wall.as_secs_f64();
    let cpu = |run: &Run| run.usage.cpu.as_secs_f64();
    let rss = |run: &Run| run.usage.peak_rss as f64 / f64::from(1 << 20);
    let ratio = |value: &dyn Fn(&Run) -> f64| {
        let pairs = ours.iter().zip(runs);
        median(pairs.map(|(ours, run)| value(ours) / value(run)))
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "| {name} | {:.3} | {:.3} | {:.0} | {:.2} | {:.2} | {:.2} |",
        median(runs.iter().map(wall)),
        median(runs.iter().map(cpu)),
        median(runs.iter().map(rss)),
        ratio(&wall),
        ratio(&cpu),
        ratio(&rss),
    );
    out
}

const OURS: &str = "bytehaul";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytehaul_testkit::Usage;

    use super::*;

    fn runs(name: &str, walls: &[f64]) -> Runs {
        let run = |wall: &f64| Run {
            wall: Duration::from_secs_f64(*wall),
            usage: Usage::own(),
        };
        Runs {
            name: name.to_owned(),
            runs: Ok(walls.iter().map(run).collect()),
        }
    }

    #[test]
    fn ratios_are_ours_to_theirs_in_the_same_round() {
        let check = |all: &[Runs], line: usize, expected: [&str; 3]| {
            let table = of(all);
            let columns: Vec<_> = table.lines().nth(2 + line).unwrap().split('|').collect();
            let found = [columns[1], columns[2], columns[5]].map(str::trim);
            assert_eq!(found, expected, "{table}");
        };
        let all = [
            runs("limit", &[1.0, 9.0, 3.0]),
            runs("bytehaul --protocol tus", &[2.0, 6.0, 4.0]),
        ];
        check(&all, 0, ["limit", "3.000", "1.33"]);
        check(&all, 1, ["bytehaul --protocol tus", "4.000", "1.00"]);
        // Without us there is nothing to compare with.
        check(&[runs("limit", &[1.0])], 0, ["limit", "1.000", "NaN"]);
    }
}

//! Runs as a Markdown table: medians, and medians of the ratios to the first program in the same round.

use std::fmt::Write;
use std::time::Duration;

use crate::round::{Run, Runs};

/// One line a program; the ratio columns speak of the first program that ran, or of the ideal wall time.
pub(crate) fn of(all: &[Runs], ideal: Option<Duration>) -> String {
    let base = all
        .iter()
        .find_map(|runs| runs.runs.as_ref().ok())
        .map(Vec::as_slice)
        .unwrap_or_default();
    let against = if ideal.is_some() {
        "ideal"
    } else {
        all.first().map_or("", |runs| runs.name.as_str())
    };
    let mut out = format!(
        "| program | wall s | CPU s | RSS MiB | wall ÷ {against} | CPU ÷ {} |\n|---|---|---|---|---|---|\n",
        all.first().map_or("", |runs| runs.name.as_str())
    );
    for runs in all {
        let line = match &runs.runs {
            Ok(list) => line(&runs.name, list, base, ideal),
            Err(failure) => format!(
                "| {} | failed: {} | | | | |\n",
                runs.name,
                failure.replace('|', "/")
            ),
        };
        out.push_str(&line);
    }
    out
}

fn line(name: &str, runs: &[Run], base: &[Run], ideal: Option<Duration>) -> String {
    let wall = |run: &Run| run.wall.as_secs_f64();
    let cpu = |run: &Run| run.usage.cpu.as_secs_f64();
    let rss = |run: &Run| run.usage.peak_rss as f64 / f64::from(1 << 20);
    let ratio = |value: &dyn Fn(&Run) -> f64| {
        median(
            runs.iter()
                .zip(base)
                .map(|(run, base)| value(run) / value(base)),
        )
    };
    let wall_ratio = match ideal {
        Some(ideal) => median(runs.iter().map(wall)) / ideal.as_secs_f64(),
        None => ratio(&wall),
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "| {name} | {:.3} | {:.3} | {:.0} | {wall_ratio:.2} | {:.2} |",
        median(runs.iter().map(wall)),
        median(runs.iter().map(cpu)),
        median(runs.iter().map(rss)),
        ratio(&cpu),
    );
    out
}

/// Not a number where there are none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

#[cfg(test)]
mod tests {
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
    fn medians() {
        for (values, expected) in [
            (&[3.0, 1.0, 2.0][..], 2.0),
            (&[4.0, 1.0][..], 2.5),
            (&[7.0][..], 7.0),
        ] {
            assert!((median(values.iter().copied()) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let table = of(
            &[runs("a", &[1.0, 2.0, 4.0]), runs("b", &[2.0, 4.0, 8.0])],
            None,
        );
        let columns: Vec<_> = table
            .lines()
            .last()
            .unwrap()
            .split('|')
            .map(str::trim)
            .collect();
        assert_eq!((columns[1], columns[2], columns[5]), ("b", "4.000", "2.00"));
        let failed = Runs {
            name: "c".to_owned(),
            runs: Err("exit status: 1: a|b".to_owned()),
        };
        assert!(of(&[failed], None).contains("| c | failed: exit status: 1: a/b | | | | |"));
    }
}

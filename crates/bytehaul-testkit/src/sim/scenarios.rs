//! The table of paths on which the scheduler is watched, and what is expected of it on each.

use std::fmt::Write as _;
use std::time::Duration;

use bytehaul_schedule::{Config, Connections};

use super::{Network, Outcome, Pick, Refusal, Run, SlowStart};

/// A path, a transfer over it, and how long that may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// What it is about.
    pub name: &'static str,
    /// The transfer.
    pub run: Run,
    /// The least possible time.
    pub best: Duration,
    /// The longest time that is accepted.
    pub limit: Duration,
}

impl Scenario {
    /// Runs it with each of the seeds.
    pub fn outcomes(&self, seeds: std::ops::Range<u64>) -> Vec<Outcome> {
        seeds.map(|seed| self.run.simulate(seed)).collect()
    }

    /// `len` MiB by `connections` in at most `slack` times the best time.
    fn within(
        name: &'static str,
        network: Network,
        mib: u64,
        connections: u32,
        slack: f64,
    ) -> Self {
        let len = mib << 20;
        let best = network.best(len, connections);
        let config = Config::default().connections(Connections::fixed(connections));
        Self {
            name,
            run: Run::new(network, len).config(config),
            best,
            limit: best.mul_f64(slack),
        }
    }

    /// Lets the scheduler choose the number of connections.
    fn automatic(mut self) -> Self {
        self.run = self.run.config(Config::default());
        self
    }

    /// At most so many seconds.
    fn seconds(mut self, limit: f64) -> Self {
        self.limit = Duration::from_secs_f64(limit);
        self
    }
}

/// All scenarios. Best times are by formula, see [`Network::best`]: all connections there from the start, none replaced.
pub fn scenarios() -> Vec<Scenario> {
    let path = Network::default;
    let far = || path().round_trip(50);
    let wait = Some(Duration::from_secs(2));
    vec![
        Scenario::within("8 equal connections, 128 MiB", path(), 128, 8, 1.03),
        Scenario::within("8 equal connections, 1 GiB", path(), 1024, 8, 1.03),
        Scenario::within("automatic, against 8 equal, 128 MiB", path(), 128, 8, 1.03).automatic(),
        Scenario::within("automatic, against 8 equal, 1 GiB", path(), 1024, 8, 1.0).automatic(),
        Scenario::within(
            "8 fast connections, 4 GiB",
            path().rate(150.0),
            4096,
            8,
            1.03,
        ),
        Scenario::within("one connection", path(), 32, 1, 1.01),
        Scenario::within(
            "one connection of 1 MiB/s, resets",
            path().rate(1.0).resets(4.0),
            32,
            1,
            1.05,
        ),
        Scenario::within(
            "one straggler ten times slower",
            path().slow(Pick::Only(3), 10.0),
            128,
            8,
            1.03,
        ),
        Scenario::within(
            "one straggler ten times slower, 1 GiB",
            path().slow(Pick::Only(3), 10.0),
            1024,
            8,
            1.0,
        ),
        Scenario::within(
            "1 in 4 ten times slower",
            path().slow(Pick::Every(4), 10.0),
            128,
            8,
            1.05,
        ),
        Scenario::within(
            "1 in 4 ten times slower, by chance",
            path().slow(Pick::OneIn(4), 10.0),
            128,
            8,
            1.15,
        ),
        Scenario::within(
            "1 in 4 ten times slower, 50 ms",
            far().slow(Pick::Every(4), 10.0),
            128,
            8,
            1.05,
        ),
        Scenario::within(
            "1 in 4 stalled",
            path().stalled(Pick::Every(4), 1 << 20),
            128,
            8,
            1.0,
        )
        .seconds(5.6),
        Scenario::within(
            "1 in 4 stalled from the start, 50 ms",
            far().stalled(Pick::Every(4), 0),
            128,
            8,
            1.0,
        )
        .seconds(5.6),
        Scenario::within(
            "resets each 8 MiB",
            path().rate(8.0).resets(8.0),
            128,
            8,
            1.10,
        ),
        Scenario::within(
            "resets each 2 MiB",
            path().rate(8.0).resets(2.0),
            128,
            8,
            1.15,
        ),
        Scenario::within(
            "resets each 8 MiB, 50 ms",
            far().rate(8.0).resets(8.0),
            256,
            8,
            1.25,
        ),
        Scenario::within("50 ms", far(), 128, 8, 1.0).seconds(4.35),
        Scenario::within(
            "200 ms, TLS",
            path().round_trip(200).dial_trips(2),
            256,
            8,
            1.25,
        ),
        Scenario::within(
            "50 MiB/s shared, 50 ms",
            far().rate(50.0).total(50.0),
            128,
            8,
            1.05,
        ),
        Scenario::within(
            "50 MiB/s shared, 50 ms, slow start",
            far().rate(50.0).total(50.0).slow_start(SlowStart::On),
            128,
            8,
            1.31,
        ),
        Scenario::within(
            "refuses above 4",
            path().limit(4, Refusal::Refused),
            128,
            8,
            1.05,
        ),
        Scenario::within(
            "refuses above 2",
            path().limit(2, Refusal::Refused),
            64,
            8,
            1.05,
        ),
        Scenario::within(
            "429 above 4, Retry-After 2 s",
            path().limit(4, Refusal::Throttled(wait)),
            128,
            8,
            1.05,
        ),
        Scenario::within(
            "429 above 1",
            path().limit(1, Refusal::Throttled(None)),
            32,
            8,
            1.05,
        ),
        Scenario::within(
            "gone from 1 s to 3 s",
            path().outage(secs(1)..secs(3)),
            128,
            8,
            1.0,
        )
        .seconds(10.5),
        Scenario::within(
            "everything at once",
            far()
                .slow(Pick::OneIn(4), 10.0)
                .stalled(Pick::OneIn(8), 1 << 20)
                .resets(8.0)
                .limit(6, Refusal::Throttled(None)),
            128,
            8,
            2.5,
        ),
    ]
}

/// The table with what came out over twenty seeds each, as text.
pub fn report() -> String {
    let mut text = format!(
        "{:<40} {:>7} {:>7} {:>7} {:>6} {:>6}  {:>8} {:>5} {:>9}  {}\n",
        "virtual time, seconds",
        "best",
        "median",
        "worst",
        "ratio",
        "limit",
        "requests",
        "dials",
        "wasted",
        "verdict"
    );
    for scenario in scenarios() {
        let mut outcomes = scenario.outcomes(0..REPORT_SEEDS);
        outcomes.sort_by_key(|outcome| outcome.time);
        let (median, worst) = (&outcomes[outcomes.len() / 2], &outcomes[outcomes.len() - 1]);
        let is_met = worst.time <= scenario.limit
            && outcomes.iter().all(|outcome| outcome.failure.is_none());
        let best = scenario.best.as_secs_f64();
        writeln!(
            text,
            "{:<40} {best:>7.3} {:>7.3} {:>7.3} {:>6.3} {:>6.3}  {:>8} {:>5} {:>5} KiB  {}",
            scenario.name,
            median.time.as_secs_f64(),
            worst.time.as_secs_f64(),
            median.time.as_secs_f64() / best,
            scenario.limit.as_secs_f64() / best,
            median.requests,
            median.dials,
            median.wasted >> 10,
            if is_met { "met" } else { "MISSED" },
        )
        .expect("writing to a string");
    }
    text
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const REPORT_SEEDS: u64 = 20;

//! Single decisions, each as a script: what happens on the left, what the scheduler then wants on the right.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use bytehaul_schedule::{
    Action, ByteRange, Class, Config, Connections, Event, Failure, LeaseId, Plan, RangeSet,
    RetryPolicy, Scheduler, SourceId,
};

const MIB: f64 = 1024.0 * 1024.0;

/// Plays the steps on an object of `mib` MiB in pieces of 1 MiB and compares what the scheduler wants after each.
/// Offsets are in MiB, times in milliseconds, leases `l0`, connections `c0`.
#[track_caller]
fn check(mib: u64, config: Config, steps: &[(&str, &str)]) {
    check_from(mib, &[], config, steps);
}

#[track_caller]
fn check_from(mib: u64, done: &[(f64, f64)], config: Config, steps: &[(&str, &str)]) {
    let done: RangeSet = done.iter().map(|&(start, end)| range(start, end)).collect();
    let plan = Plan::new(mib << 20, NonZeroU64::new(1 << 20).unwrap()).done(done);
    let mut desk = Desk {
        scheduler: Scheduler::new(plan, config, 7),
        now: Instant::now(),
    };
    let wanted: Vec<_> = steps
        .iter()
        .map(|&(step, _)| (step, desk.play(step)))
        .collect();
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(step, actions)| (*step, actions.as_str()))
        .collect();
    assert_eq!(wanted, steps);
}

fn upto(n: u32) -> Config {
    Config::default().connections(Connections::fixed(n))
}

struct Desk {
    scheduler: Scheduler,
    now: Instant,
}

impl Desk {
    fn play(&mut self, step: &str) -> String {
        for part in step.split(';').map(str::trim) {
            let words: Vec<_> = part.split_whitespace().collect();
            match words[..] {
                [] => {}
                ["adopt", start, end] => {
                    let range = range(number(start), number(end));
                    self.scheduler
                        .adopt(self.now, range, millis("20"))
                        .expect("adoptable");
                }
                ["wait", time] => self.tell(millis(time), Event::Tick),
                ["accept", id] => self.tell(
                    millis("0"),
                    Event::Accepted {
                        lease: lease(id),
                        latency: millis("20"),
                    },
                ),
                ["at", id, position] => {
                    self.tell(
                        millis("0"),
                        Event::Progress {
                            lease: lease(id),
                            position: bytes(number(position)),
                        },
                    );
                }
                ["flow", time, ref flows @ ..] => self.flow(number(time) as u64, flows),
                ["shrunk", id, end] => self.tell(
                    millis("0"),
                    Event::Shrunk {
                        lease: lease(id),
                        end: bytes(number(end)),
                    },
                ),
                ["fail", id, class] => self.fail(id, class, None),
                ["fail", id, class, after] => self.fail(id, class, Some(millis(after))),
                ["invalid", start, end] => {
                    self.tell(
                        millis("0"),
                        Event::Invalidated {
                            range: range(number(start), number(end)),
                        },
                    );
                }
                ["connections", n] => {
                    self.tell(
                        millis("0"),
                        Event::SetConnections(Connections::fixed(n.parse().unwrap())),
                    );
                }
                ["limit", n] => self.tell(
                    millis("0"),
                    Event::HostLimit {
                        source: SourceId::PRIMARY,
                        connections: n.parse().unwrap(),
                    },
                ),
                _ => panic!("unknown step {part}"),
            }
        }
        let mut actions = Vec::new();
        while let Some(action) = self.scheduler.poll_action(self.now) {
            actions.push(show(action));
        }
        actions.join(", ")
    }

    fn tell(&mut self, later: Duration, event: Event) {
        self.now += later;
        self.scheduler.handle(self.now, event);
    }

    /// Lets leases, given as `l0:from:rate` in MiB and MiB/s, flow for a time without asking for decisions.
    fn flow(&mut self, time: u64, flows: &[&str]) {
        for step in 1..=time / 50 {
            self.now += millis("50");
            for flow in flows {
                let parts: Vec<_> = flow.split(':').collect();
                let [id, from, rate] = parts[..] else {
                    panic!("unknown flow {flow}")
                };
                let position = number(from) + number(rate) * step as f64 * 0.05;
                self.tell(
                    millis("0"),
                    Event::Progress {
                        lease: lease(id),
                        position: bytes(position),
                    },
                );
            }
        }
    }

    fn fail(&mut self, id: &str, class: &str, after: Option<Duration>) {
        let mut failure = Failure::new(match class {
            "reset" => Class::Transient,
            "throttled" => Class::Throttled,
            "refused" => Class::Refused,
            "fatal" => Class::Fatal,
            "unreliable" => Class::RangesUnreliable,
            _ => panic!("unknown class {class}"),
        });
        failure.retry_after = after;
        self.tell(
            millis("0"),
            Event::Failed {
                lease: lease(id),
                failure,
            },
        );
    }
}

fn show(action: Action) -> String {
    let mib = |offset: u64| {
        format!("{:.4}", offset as f64 / MIB)
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    };
    match action {
        Action::Fetch {
            connection,
            lease,
            range,
            ..
        } => {
            format!(
                "{connection} {lease} {}-{}",
                mib(range.start()),
                mib(range.end())
            )
        }
        Action::Shrink { lease, end } => format!("shrink {lease} {}", mib(end)),
        Action::Abandon { lease } => format!("abandon {lease}"),
        Action::Close { connection } => format!("close {connection}"),
        Action::Finish => "finish".to_owned(),
        Action::Fail { class, .. } => format!("fail {class:?}"),
        other => panic!("unknown action {other:?}"),
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

fn bytes(mib: f64) -> u64 {
    (mib * MIB) as u64
}

fn range(start: f64, end: f64) -> ByteRange {
    ByteRange::new(bytes(start), bytes(end)).unwrap()
}

fn lease(text: &str) -> LeaseId {
    LeaseId(text.strip_prefix('l').unwrap().parse().unwrap())
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap())
}

#[test]
fn each_answer_allows_three_more_connections() {
    check(
        128,
        upto(8),
        &[
            ("adopt 0 4", "c1 l1 4-20, c2 l2 20-36, c3 l3 36-52"),
            ("accept l1", "c4 l4 52-68, c5 l5 68-84, c6 l6 84-100"),
            ("accept l2", "c7 l7 100-116"),
            ("accept l3; accept l4; accept l5", ""),
        ],
    );
}

#[test]
fn one_connection_is_one_request() {
    check(
        64,
        upto(1),
        &[
            ("", "c0 l0 0-64"),
            ("wait 20; accept l0", ""),
            ("at l0 10; fail l0 reset", "c1 l1 10-64"),
            ("accept l1; at l1 64", "finish"),
            ("wait 1000", ""),
        ],
    );
}

#[test]
fn a_small_object_is_left_to_one_connection() {
    check(
        3,
        upto(8),
        &[
            ("adopt 0 1", ""),
            ("at l0 1", "c0 l1 1-3"),
            ("accept l1; at l1 3", "finish"),
        ],
    );
}

#[test]
fn what_is_there_is_not_fetched() {
    check_from(8, &[(0.0, 8.0)], upto(4), &[("", "finish"), ("wait 9", "")]);
    check_from(
        8,
        &[(1.0, 7.5)],
        upto(1),
        &[
            ("", "c0 l0 0-1"),
            ("accept l0; at l0 1", "c0 l1 7.5-8"),
            ("at l1 8", "finish"),
        ],
    );
}

#[test]
fn a_refusal_while_others_work_lowers_the_limit_only() {
    check(
        256,
        upto(8).retry(RetryPolicy::default().max_retries(0)),
        &[
            ("adopt 0 16", "c1 l1 16-32, c2 l2 32-48, c3 l3 48-64"),
            ("accept l1; at l0 1; fail l2 refused; fail l3 refused", ""),
            ("flow 2000 l0:1:1 l1:16:1", ""),
            ("flow 27900 l0:3:0.1 l1:18:0.1", ""),
            ("wait 100", "c4 l4 32-48"),
            ("fail l4 throttled 60000", ""),
        ],
    );
}

#[test]
fn when_nothing_works_the_wait_is_what_the_host_asks() {
    check(
        16,
        upto(4),
        &[
            ("", "c0 l0 0-4"),
            ("fail l0 throttled 7000", ""),
            ("wait 6999", ""),
            ("wait 1", "c1 l1 0-4"),
        ],
    );
}

#[test]
fn a_failing_range_lets_others_go_first() {
    check(
        64,
        upto(2),
        &[
            ("adopt 0 4; accept l0; at l0 2", "c1 l1 4-20"),
            ("accept l1; fail l1 reset", ""),
            ("at l0 4", "c0 l2 20-36"),
            ("wait 1000; at l2 21", "c2 l3 4-20"),
        ],
    );
}

#[test]
fn the_last_one_at_work_is_replaced_however_long_dialling_waits() {
    check(
        64,
        upto(2),
        &[
            ("adopt 0 4; accept l0; at l0 2", "c1 l1 4-20"),
            ("fail l1 reset", ""),
            ("wait 1100", "c2 l2 4-20"),
            ("fail l2 throttled 60000", ""),
            ("at l0 3; fail l0 reset", "c3 l3 3-19"),
        ],
    );
}

#[test]
fn an_idle_connection_takes_from_the_one_that_would_end_last() {
    check(
        16,
        upto(2),
        &[
            ("adopt 0 4", "c1 l1 4-12"),
            ("accept l1", ""),
            ("flow 1000 l0:0:4 l1:4:1", "c0 l2 12-16"),
            ("accept l2; flow 1000 l2:12:4 l1:5:1", "shrink l1 7.216"),
            ("shrunk l1 7.5", "c0 l3 7.5-12"),
            ("at l1 7.5", "close c1, shrink l3 9.71"),
            ("accept l3; at l3 12", "finish"),
        ],
    );
}

#[test]
fn the_last_late_bytes_are_raced_and_the_loser_is_dropped() {
    check(
        16,
        upto(2),
        &[
            ("adopt 0 15.9", "c1 l1 15.9-16"),
            ("accept l1", ""),
            ("flow 1000 l0:14.9:1 l1:15.9:0.01", "c0 l2 15.91-16"),
            ("accept l2; at l2 16", "abandon l1, finish"),
        ],
    );
}

#[test]
fn a_stalled_connection_is_replaced_while_its_peers_do_well() {
    check(
        256,
        upto(3),
        &[
            ("adopt 0 16", "c1 l1 16-32, c2 l2 32-48"),
            ("accept l1; accept l2", ""),
            ("flow 1000 l0:0:4 l1:16:4 l2:32:4", ""),
            ("flow 900 l0:4:4 l1:20:4", ""),
            ("flow 700 l0:7.6:4 l1:23.6:4", "abandon l2, c3 l3 36-52"),
        ],
    );
}

#[test]
fn leases_stay_inside_the_window() {
    check(
        64,
        upto(4).window(Some(8 << 20)),
        &[
            ("adopt 0 4", "c1 l1 4-5, c2 l2 5-6, c3 l3 6-7"),
            ("accept l1; accept l2", ""),
            ("at l0 2", ""),
        ],
    );
}

#[test]
fn wrong_bytes_reopen_a_finished_transfer() {
    check(
        4,
        upto(1),
        &[
            ("", "c0 l0 0-4"),
            ("accept l0; at l0 4", "finish"),
            ("invalid 1 2", "c0 l1 1-2"),
            ("accept l1; at l1 2", "finish"),
        ],
    );
}

#[test]
fn what_cannot_help_fails_at_once() {
    check(
        16,
        upto(2),
        &[
            ("adopt 0 4", "c1 l1 4-12"),
            ("fail l1 fatal", "fail Fatal"),
            ("at l0 4; wait 9", ""),
        ],
    );
    check(
        16,
        upto(2),
        &[
            ("adopt 0 4", "c1 l1 4-12"),
            ("fail l1 unreliable", "fail RangesUnreliable"),
        ],
    );
}

#[test]
fn the_users_limit_can_change() {
    check(
        64,
        upto(1),
        &[
            ("adopt 0 4", ""),
            ("connections 4", "c1 l1 4-20, c2 l2 20-36, c3 l3 36-52"),
            ("limit 2; accept l1", ""),
            ("at l0 4", "close c0"),
        ],
    );
}

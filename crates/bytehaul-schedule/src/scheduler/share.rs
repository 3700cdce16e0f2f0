//! How the rest is shared out when nothing is left to lease: stealing from those who would end last, and the tail race.

use std::time::Instant;

use super::Scheduler;
use super::assign::{SMALLEST, Seat};
use super::outlook::{Outlook, Runner, level};
use super::table::Shrink;
use crate::Action;

impl Scheduler {
    /// Finds work for connections that have none.
    pub(super) fn share(&mut self, now: Instant) {
        let is_waiting = self
            .leases
            .values()
            .any(|lease| lease.shrink == Shrink::Asked);
        // Bytes outside the window keep their connections waiting; bytes put off after a failure do not.
        let mut free = self.unleased();
        self.trouble.withhold(now, &mut free);
        if is_waiting || !free.is_empty() {
            return;
        }
        let outlook = self.outlook(now);
        let idle = self.idle_seats(now, &outlook);
        let seats = if idle.is_empty() {
            self.new_seat(now, &outlook).into_iter().collect()
        } else {
            idle
        };
        if seats.is_empty() || self.steal(now, &outlook, &seats) {
            return;
        }
        self.race(now, &outlook, &seats);
    }

    /// Asks those who would end last to end when all could end together. Whether anybody was asked.
    fn steal(&mut self, now: Instant, outlook: &Outlook, seats: &[Seat]) -> bool {
        let mut victims: Vec<_> = outlook
            .runners
            .iter()
            .filter(|runner| self.may_shrink(now, runner))
            .collect();
        victims.sort_by(|a, b| b.finish.total_cmp(&a.finish));
        let left = victims.iter().map(|victim| victim.left).sum();
        let mut crew: Vec<_> = victims
            .iter()
            .map(|victim| (victim.begin, victim.rate))
            .collect();
        crew.extend(seats.iter().map(|seat| (seat.begin, seat.rate)));
        let end = level(left, &mut crew);
        let Some(seat) = seats.first() else {
            return false;
        };
        // Each steal is a request more and a connection less; it has to carry more than that costs.
        let worth = SMALLEST.max(2.0 * seat.rate * seat.begin);
        let gain = seat.begin.max(SHORTEST_GAIN);
        let mut asked = false;
        for victim in victims.into_iter().take(seats.len()) {
            let keeps = (victim.rate * (end - victim.begin)).max(SMALLEST);
            let loses = victim.left - keeps;
            if victim.finish - end < gain || loses < worth {
                continue;
            }
            let end = victim.at + keeps as u64;
            self.leases
                .get_mut(&victim.lease)
                .expect("a runner is a live lease")
                .shrink = Shrink::Asked;
            self.actions.push_back(Action::Shrink {
                lease: victim.lease,
                end,
            });
            asked = true;
        }
        asked
    }

    /// Leases the rest of the lease that would end last a second time, when it is small and late.
    fn race(&mut self, now: Instant, outlook: &Outlook, seats: &[Seat]) {
        let Some(seat) = seats.first() else { return };
        let again = |left: f64| seat.begin + left / seat.rate;
        let late = |runner: &&Runner| {
            let again = again(runner.left);
            runner.finish > CLEARLY_LATER * again
                && runner.finish - again > LATE_BY.max(2.0 * seat.begin)
        };
        let last = outlook
            .runners
            .iter()
            .filter(|runner| runner.left <= RACE_MOST && self.may_race(runner))
            .filter(late)
            .max_by(|a, b| a.finish.total_cmp(&b.finish));
        let Some(range) = last.and_then(|runner| self.leases[&runner.lease].rest()) else {
            return;
        };
        let raced = last.map(|runner| runner.lease);
        let racer = self.fetch(now, seat, range);
        self.leases.get_mut(&racer).expect("just leased").races = raced;
    }

    fn may_shrink(&self, now: Instant, runner: &Runner) -> bool {
        let rests = match self.leases[&runner.lease].shrink {
            Shrink::Free => true,
            Shrink::Asked => false,
            Shrink::Refused(until) => until <= now,
        };
        rests && runner.left >= 2.0 * SMALLEST && self.may_race(runner)
    }

    /// Whether nobody races with this lease, in either role.
    fn may_race(&self, runner: &Runner) -> bool {
        let is_raced = self
            .leases
            .values()
            .any(|lease| lease.races == Some(runner.lease));
        let races = self.leases[&runner.lease].races;
        !is_raced && races.is_none_or(|other| !self.leases.contains_key(&other))
    }
}

/// Seconds that a steal has to bring the end nearer.
const SHORTEST_GAIN: f64 = 0.02;
/// Most bytes that are fetched twice in one race.
const RACE_MOST: f64 = 2.0 * 1024.0 * 1024.0;
/// A race needs the present lease to take this many times as long as fetching again, and seconds longer.
const CLEARLY_LATER: f64 = 2.0;
const LATE_BY: f64 = 0.1;

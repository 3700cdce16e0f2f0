//! What is noted of each event, before anything is decided.

use std::time::{Duration, Instant};

use super::table::{Cut, Dialled, Shrink};
use super::{Scheduler, State, later};
use crate::meter::Meter;
use crate::{ByteRange, LeaseId};

impl Scheduler {
    pub(super) fn accepted(&mut self, now: Instant, id: LeaseId, latency: Duration) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        if lease.accepted.is_some() {
            return;
        }
        lease.accepted = Some(now);
        lease.heard = now;
        let latency = latency.min(LONGEST_LATENCY);
        if lease.dialled == Dialled::New {
            let waited = now
                .saturating_duration_since(lease.requested)
                .min(LONGEST_LATENCY);
            smooth(&mut self.setup, waited.as_secs_f64());
        }
        smooth(&mut self.latency, latency.as_secs_f64());
        let connection = self
            .connections
            .get_mut(&lease.connection)
            .expect("a lease has its connection");
        connection.latency = Some(latency);
        connection.meter.resume(now);
        self.total.get_or_insert_with(|| Meter::new(now));
        let source = connection.source;
        let proven = self.proven_at(source);
        if let Some(source) = self.source_mut(source) {
            source.limit.on_accepted(proven);
        }
        self.ramp.on_accepted();
    }

    pub(super) fn progress(&mut self, now: Instant, id: LeaseId, position: u64) {
        // A driver that reports bytes before the answer still has an answer.
        let unanswered = self
            .leases
            .get(&id)
            .filter(|lease| lease.accepted.is_none())
            // A host that reports where a request starts has not been answered yet.
            .filter(|lease| position > lease.position)
            .map(|lease| lease.requested);
        if let Some(requested) = unanswered {
            self.accepted(now, id, now.saturating_duration_since(requested));
        }
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        if lease.accepted.is_none() {
            return;
        }
        let position = position.min(lease.range.end());
        let news = ByteRange::new(lease.position, position);
        let gained = news.map_or(0, |news| news.len());
        lease.heard = now;
        let connection = self
            .connections
            .get_mut(&lease.connection)
            .expect("a lease has its connection");
        connection.meter.sample(now, gained);
        if let Some(total) = &mut self.total {
            total.sample(now, gained);
        }
        let Some(news) = news else { return };
        lease.position = position;
        lease.moved = now;
        self.delivered = self.delivered.saturating_add(gained);
        self.done.insert(news);
        let dialled = (lease.dialled == Dialled::New).then_some(lease.requested);
        let source = connection.source;
        self.trouble.on_progress(news);
        if lease.rest().is_none() {
            self.complete(now, id);
        }
        if let Some(source) = self.source_mut(source) {
            source.on_progress(gained, dialled);
        }
        self.settle_races();
    }

    pub(super) fn shrunk(&mut self, now: Instant, id: LeaseId, end: u64) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        if end >= lease.range.end() {
            lease.shrink = Shrink::Refused(later(now, ASK_AGAIN));
            return;
        }
        lease.shrink = Shrink::Free;
        lease.cut = Cut::Short;
        // The granted end may lie before what was reported since; those bytes are there all the same.
        match ByteRange::new(lease.range.start(), end.max(lease.position)) {
            Some(range) => lease.range = range,
            None => {
                self.drop_lease(id);
                return;
            }
        }
        if lease.rest().is_none() {
            self.complete(now, id);
        }
    }

    pub(super) fn invalidated(&mut self, range: ByteRange) {
        let Some(range) = self
            .geometry
            .whole()
            .and_then(|whole| whole.intersect(&range))
        else {
            return;
        };
        self.done.remove(range);
        if self.state == State::Finished {
            self.state = State::Running;
        }
    }
}

fn smooth(average: &mut Option<f64>, value: f64) {
    *average = Some(average.map_or(value, |old| old + (value - old) / 4.0));
}

/// A worker that gave nothing up is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Longest latency that is believed.
const LONGEST_LATENCY: Duration = Duration::from_secs(60);

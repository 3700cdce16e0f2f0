//! One connection of the virtual network: dialling, waiting, flowing, stalled, dead.

use std::time::Duration;

use bytehaul_schedule::{ByteRange, Class, Failure, LeaseId, SourceId};

use super::network::{Fate, Network, SlowStart};

/// A connection and the request on it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) source: SourceId,
    pub(super) fate: Fate,
    pub(super) turned_away: Option<Failure>,
    pub(super) request: Option<Request>,
    /// Bytes that came over it so far.
    carried: f64,
    window: f64,
    /// When its last byte came, or its request went out.
    alive_at: Duration,
}

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) lease: LeaseId,
    pub(super) range: ByteRange,
    /// When its head comes.
    pub(super) head_at: Duration,
    pub(super) answer: Answer,
    /// Bytes of the range received; a fraction is on its way.
    received: f64,
    pub(super) reported: u64,
}

/// Whether the head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Awaited,
    Come,
}

impl Link {
    pub(super) const fn new(source: SourceId, fate: Fate, turned_away: Option<Failure>) -> Self {
        Self {
            source,
            fate,
            turned_away,
            request: None,
            carried: 0.0,
            window: FIRST_WINDOW,
            alive_at: Duration::ZERO,
        }
    }

    pub(super) fn ask(&mut self, lease: LeaseId, range: ByteRange, head_at: Duration) {
        self.alive_at = head_at;
        let reported = range.start();
        self.request = Some(Request {
            lease,
            range,
            head_at,
            answer: Answer::Awaited,
            received: 0.0,
            reported,
        });
    }

    /// Bytes a second that it would take at this moment.
    pub(super) fn demand(&self, network: &Network) -> f64 {
        let is_flowing = self
            .request
            .as_ref()
            .is_some_and(|request| request.answer == Answer::Come);
        let is_stalled = self
            .fate
            .stalls_after
            .is_some_and(|after| self.carried >= after);
        if !is_flowing || is_stalled {
            return 0.0;
        }
        match network.slow_start {
            SlowStart::Off => self.fate.rate,
            SlowStart::On => self
                .fate
                .rate
                .min(self.window / network.round_trip.as_secs_f64()),
        }
    }

    /// Lets bytes flow for a step.
    pub(super) fn flow(&mut self, now: Duration, bytes: f64) {
        if bytes <= 0.0 {
            return;
        }
        if let Some(request) = &mut self.request {
            self.alive_at = now;
            request.received += bytes;
            self.carried += bytes;
            // Each acknowledged byte opens the window by one: it doubles every round trip.
            self.window += bytes;
        }
    }

    /// What it dies of in this step, if it does: a reset, or the driver's patience.
    pub(super) fn death(&self, now: Duration) -> Option<Failure> {
        let is_reset = self
            .fate
            .resets_after
            .is_some_and(|after| self.carried >= after);
        let is_silent = self.request.is_some() && now >= self.alive_at + READ_TIMEOUT;
        (is_reset || is_silent).then_some(Failure::new(Class::Transient))
    }
}

impl Request {
    /// The offset up to which its bytes are there.
    pub(super) fn position(&self) -> u64 {
        self.range
            .start()
            .saturating_add(self.received as u64)
            .min(self.range.end())
    }
}

/// A driver gives up a connection that is silent for so long.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Ten segments of 1460 bytes.
const FIRST_WINDOW: f64 = 14_600.0;

//! Who gets the next lease, and how long it is.

use std::time::Instant;

use super::Scheduler;
use super::outlook::{Basis, Outlook, level};
use super::table::{Dialled, Lease};
use crate::{Action, ByteRange, ConnectionId, LeaseId, RangeSet, SourceId};

/// A place for a lease: an idle connection, or one that would be dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) connection: Option<ConnectionId>,
    pub(super) source: SourceId,
    pub(super) rate: f64,
    /// Seconds until its first bytes would come.
    pub(super) begin: f64,
    /// Whether its own rate was measured.
    basis: Basis,
}

impl Scheduler {
    /// Leases what is open to idle connections, and to new ones as far as they are allowed and worth it.
    pub(super) fn assign(&mut self, now: Instant) {
        let mut open = self.open(now);
        while !open.is_empty() {
            let outlook = self.outlook(now);
            let idle = self.idle_seats(now, &outlook).into_iter().next();
            let Some(seat) = idle.or_else(|| self.new_seat(now, &outlook)) else {
                break;
            };
            let Some(range) = self.portion(now, &open, &outlook, &seat) else {
                break;
            };
            open.remove(range);
            self.fetch(now, &seat, range);
        }
    }

    /// Gives `range` to a seat.
    pub(super) fn fetch(&mut self, now: Instant, seat: &Seat, range: ByteRange) -> LeaseId {
        let (connection, dialled) = match seat.connection {
            Some(connection) => (connection, Dialled::Reused),
            None => (self.dial(now, seat.source), Dialled::New),
        };
        let lease = self.grant(now, connection, range, dialled);
        self.actions.push_back(Action::Fetch {
            connection,
            source: seat.source,
            lease,
            range,
        });
        lease
    }

    /// The bytes that nobody has or fetches.
    pub(super) fn unleased(&self) -> RangeSet {
        let mut free = self.missing();
        for rest in self.leases.values().filter_map(Lease::rest) {
            free.remove(rest);
        }
        free
    }

    /// Idle connections, fastest first.
    pub(super) fn idle_seats(&self, now: Instant, outlook: &Outlook) -> Vec<Seat> {
        let idle = self.connections.iter().filter(|(_, connection)| {
            connection.lease.is_none() && !self.source(connection.source).is_held(now)
        });
        let mut seats: Vec<_> = idle
            .map(|(&id, connection)| Seat {
                connection: Some(id),
                source: connection.source,
                rate: outlook.rate(now, connection),
                begin: connection
                    .latency
                    .map_or(outlook.latency, |latency| latency.as_secs_f64()),
                basis: if connection.meter.rate(now).is_some() {
                    Basis::Measured
                } else {
                    Basis::Nominal
                },
            })
            .collect();
        seats.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        seats
    }

    /// A connection that may be dialled now.
    pub(super) fn new_seat(&self, now: Instant, outlook: &Outlook) -> Option<Seat> {
        let is_allowed =
            self.live() < self.ramp.allowed().min(self.most()) && !self.trouble.is_held(now);
        if !is_allowed || (self.live() > 0 && self.is_undivided()) {
            return None;
        }
        let source = self.next_source(now)?;
        let rate = self.rate_of(now, self.source(source));
        Some(Seat {
            connection: None,
            source,
            rate: rate.unwrap_or(outlook.prior),
            begin: outlook.setup,
            basis: Basis::Nominal,
        })
    }

    /// Most connections that what is missing can make use of.
    pub(super) fn useful(&self) -> u32 {
        if self.is_undivided() {
            return 1;
        }
        let missing = self.geometry.len() - self.received();
        u32::try_from(missing / WORTH_A_CONNECTION)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    pub(super) fn live(&self) -> u32 {
        u32::try_from(self.connections.len()).unwrap_or(u32::MAX)
    }

    /// Whether the object is left to one connection.
    fn is_undivided(&self) -> bool {
        self.ramp.is_single() || self.geometry.len() < self.config.split_from()
    }

    /// What may be leased now: not put off after a failure, and inside the window.
    fn open(&self, now: Instant) -> RangeSet {
        let mut open = self.unleased();
        self.trouble.withhold(now, &mut open);
        if let Some(behind) = self
            .window_end()
            .and_then(|end| ByteRange::new(end, self.geometry.len()))
        {
            open.remove(behind);
        }
        open
    }

    fn window_end(&self) -> Option<u64> {
        let window = self.config.window_bytes()?;
        let least = self.geometry.piece_size().get().max(SMALLEST as u64);
        Some(self.done.prefix_end().saturating_add(window.max(least)))
    }

    /// The part of what is open that a seat should take; `None` when the seat is not worth taking.
    fn portion(
        &self,
        now: Instant,
        open: &RangeSet,
        outlook: &Outlook,
        seat: &Seat,
    ) -> Option<ByteRange> {
        let gap = open.iter().next()?;
        if self.is_undivided() {
            return Some(gap);
        }
        let (end, crew) = self.common_end(now, outlook, seat);
        let share = seat.rate * (end - seat.begin).max(0.0);
        if seat.connection.is_none() && !self.is_worth_dialling(outlook, seat, share) {
            return None;
        }
        let trip = (LATENCIES_PER_LEASE * seat.begin).clamp(SHORTEST_LEASE, LONGEST_LEASE);
        let steady = match seat.basis {
            Basis::Measured => {
                (seat.rate * trip).max(SMALL_LEASE.min(seat.rate * SMALL_LEASE_SECONDS))
            }
            Basis::Nominal => FIRST_LEASE,
        };
        // Near the end the share is taken whole, so that one last request each is enough.
        let is_last = end <= 2.0 * trip || share <= 1.5 * steady;
        let mut len = if is_last { share } else { steady }.max(SMALLEST);
        if let Some(window) = self.config.window_bytes() {
            len = len.min(window as f64 / (2.0 * f64::from(crew)));
        }
        Some(self.trim(gap, len as u64, (2.0 * outlook.latency * seat.rate) as u64))
    }

    /// Whether a new connection would have enough to do, or is the only one that will come to it soon.
    fn is_worth_dialling(&self, outlook: &Outlook, seat: &Seat, share: f64) -> bool {
        if self.connections.is_empty() {
            return true;
        }
        let dialling = match outlook.basis {
            Basis::Measured => seat.rate * outlook.setup,
            Basis::Nominal => 0.0,
        };
        if self.live() < self.useful() && share >= NEW_SEAT.max(dialling) {
            return true;
        }
        let bytes = self.unleased().covered() as f64;
        let mut others: Vec<_> = outlook.runners.iter().map(|r| (r.finish, r.rate)).collect();
        level(bytes, &mut others) > 2.0 * (seat.begin + bytes / seat.rate)
    }

    /// When everything could end if the rest were shared out well, and between how many.
    fn common_end(&self, now: Instant, outlook: &Outlook, seat: &Seat) -> (f64, u32) {
        let mut crew: Vec<_> = outlook.runners.iter().map(|r| (r.finish, r.rate)).collect();
        crew.extend(
            self.idle_seats(now, outlook)
                .iter()
                .map(|idle| (idle.begin, idle.rate)),
        );
        // Connections that are only allowed a round trip later will want their share too.
        let planned = if self.holds_dials(now) {
            0
        } else {
            self.most().min(self.useful()).saturating_sub(self.live())
        };
        let planned = planned.max(u32::from(seat.connection.is_none()));
        crew.extend((0..planned).map(|_| (outlook.setup, outlook.prior)));
        let size = u32::try_from(crew.len()).unwrap_or(u32::MAX).max(1);
        (level(self.unleased().covered() as f64, &mut crew), size)
    }

    /// The first `len` bytes of `gap`, up to a border of pieces where there are many, and all of it where hardly anything would be left.
    fn trim(&self, gap: ByteRange, len: u64, negligible: u64) -> ByteRange {
        let piece = self.geometry.piece_size().get();
        let end = gap.start().saturating_add(len.max(1));
        let end = if len >= piece {
            self.geometry.border_at_or_after(end)
        } else {
            end
        };
        if gap.end().saturating_sub(end) <= negligible.max(SMALLEST as u64) {
            return gap;
        }
        gap.split_at(end).0.unwrap_or(gap)
    }
}

/// A lease lasts so many latencies that the wait for its first byte costs 2 %.
const LATENCIES_PER_LEASE: f64 = 50.0;
/// Seconds.
const SHORTEST_LEASE: f64 = 0.1;
const LONGEST_LEASE: f64 = 10.0;
/// Bytes that are worth a request of their own, if they come within a few seconds.
const SMALL_LEASE: f64 = 4.0 * 1024.0 * 1024.0;
const SMALL_LEASE_SECONDS: f64 = 2.0;
/// Most bytes of a lease whose connection has no rate yet.
const FIRST_LEASE: f64 = 16.0 * 1024.0 * 1024.0;
/// Bytes below which nothing is divided.
pub(super) const SMALLEST: f64 = 64.0 * 1024.0;
/// Fewest bytes that a new connection is dialled for.
const NEW_SEAT: f64 = 256.0 * 1024.0;
/// Missing bytes for each connection, so that each has something to do.
const WORTH_A_CONNECTION: u64 = 1024 * 1024;

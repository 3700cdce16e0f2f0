//! The books of connections and leases: every way in which one begins or ends.

use std::time::Instant;

use super::Scheduler;
use super::table::{Connection, Cut, Dialled, Lease};
use crate::{Action, ByteRange, ConnectionId, LeaseId, SourceId};

impl Scheduler {
    /// Connections on which a host has answered.
    pub(super) fn proven(&self) -> u32 {
        let proven = self.connections.values().filter(|c| c.is_proven()).count();
        u32::try_from(proven).unwrap_or(u32::MAX)
    }

    pub(super) fn dial(&mut self, now: Instant, source: SourceId) -> ConnectionId {
        let id = ConnectionId(self.dialled);
        self.dialled = self.dialled.wrapping_add(1);
        self.connections.insert(id, Connection::new(now, source));
        id
    }

    pub(super) fn grant(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        range: ByteRange,
        dialled: Dialled,
    ) -> LeaseId {
        let id = LeaseId(self.leased);
        self.leased += 1;
        self.leases
            .insert(id, Lease::new(now, connection, range, dialled));
        self.connections
            .get_mut(&connection)
            .expect("a lease is granted to a live connection")
            .lease = Some(id);
        id
    }

    /// Ends a lease whose bytes are all there. A connection whose response goes on is of no further use.
    pub(super) fn complete(&mut self, now: Instant, id: LeaseId) {
        let Some(lease) = self.leases.remove(&id) else {
            return;
        };
        match lease.cut {
            Cut::Short => self.close(lease.connection),
            Cut::Whole => {
                let connection = self
                    .connections
                    .get_mut(&lease.connection)
                    .expect("a lease has its connection");
                connection.lease = None;
                connection.idle_since = now;
            }
        }
    }

    /// Ends a lease together with its connection.
    pub(super) fn drop_lease(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        self.forget(lease.connection);
        Some(lease)
    }

    pub(super) fn abandon(&mut self, id: LeaseId) {
        if self.drop_lease(id).is_some() {
            self.actions.push_back(Action::Abandon { lease: id });
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId) {
        if self.forget(id).is_some() {
            self.actions.push_back(Action::Close { connection: id });
        }
    }

    fn forget(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.health.remember(&connection);
        Some(connection)
    }

    /// Ends every lease whose rest somebody else has fetched.
    pub(super) fn settle_races(&mut self) {
        let lost = |lease: &Lease| lease.rest().is_some_and(|rest| self.done.contains(&rest));
        let losers: Vec<_> = self
            .leases
            .iter()
            .filter(|(_, lease)| lost(lease))
            .map(|(&id, _)| id)
            .collect();
        for id in losers {
            self.abandon(id);
        }
    }
}

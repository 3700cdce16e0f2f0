//! Which addresses let a connection wait or fail lately, so that they are not the first to be tried again.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::recent::Recent;

/// What a client remembers of the addresses it has dialled, for 60 s each and for 256 addresses at most.
///
/// An address is bad when it failed, or when another that was begun later was connected before it. A family is
/// bad when an address of it was overtaken by one of the other family, until one of it connects.
/// Bad ones are tried last, never left out.
#[derive(Debug, Default)]
pub(crate) struct BadAddresses {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    addresses: Recent<SocketAddr>,
    families: Recent<Family>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

impl BadAddresses {
    /// The good ones first; the given order is kept among the good and among the bad.
    pub(super) fn sort(&self, addresses: &mut [SocketAddr], now: Instant) {
        let memory = self.lock();
        addresses.sort_by_key(|address| memory.badness(address, now));
    }

    pub(super) fn failed(&self, address: SocketAddr, now: Instant) {
        self.lock().addresses.insert(address, now);
    }

    /// The winner is good again, whatever was known of it; those that it overtook are bad from now on.
    pub(super) fn connected(&self, winner: SocketAddr, overtaken: &[SocketAddr], now: Instant) {
        let mut memory = self.lock();
        memory.addresses.remove(&winner);
        memory.families.remove(&Family::of(&winner));
        for loser in overtaken {
            memory.addresses.insert(*loser, now);
            if Family::of(loser) != Family::of(&winner) {
                memory.families.insert(Family::of(loser), now);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// A family that let us wait is behind, but before a single address that did.
    fn badness(&self, address: &SocketAddr, now: Instant) -> u8 {
        if self.addresses.contains(address, now) {
            2
        } else {
            u8::from(self.families.contains(&Family::of(address), now))
        }
    }
}

impl Family {
    fn of(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recent::LIFETIME;

    fn list(text: &str) -> Vec<SocketAddr> {
        text.split(' ')
            .map(|one| one.parse().expect("an address"))
            .collect()
    }

    fn check(bad: &BadAddresses, now: Instant, addresses: &str, sorted: &str) {
        let mut addresses = list(addresses);
        bad.sort(&mut addresses, now);
        assert_eq!(addresses, list(sorted));
    }

    #[test]
    fn a_failed_address_is_last_until_it_connects_or_is_forgotten() {
        let (bad, now) = (BadAddresses::default(), Instant::now());
        let all = "1.0.0.1:1 1.0.0.2:1 1.0.0.3:1";
        check(&bad, now, all, all);
        bad.failed(list(all)[0], now);
        check(&bad, now, all, "1.0.0.2:1 1.0.0.3:1 1.0.0.1:1");
        check(&bad, now, "1.0.0.1:2 1.0.0.2:1", "1.0.0.1:2 1.0.0.2:1");
        check(&bad, now + LIFETIME, all, all);
        bad.connected(list(all)[0], &[], now);
        check(&bad, now, all, all);
    }

    #[test]
    fn a_family_that_was_overtaken_is_behind_for_other_hosts_too() {
        let (bad, now) = (BadAddresses::default(), Instant::now());
        bad.connected(list("1.0.0.1:1")[0], &list("[::1]:1"), now);
        check(&bad, now, "[::2]:1 1.0.0.2:1", "1.0.0.2:1 [::2]:1");
        check(&bad, now, "[::1]:1 [::2]:1", "[::2]:1 [::1]:1");
        bad.connected(list("[::2]:1")[0], &[], now);
        check(&bad, now, "[::3]:1 1.0.0.2:1", "[::3]:1 1.0.0.2:1");
        bad.connected(list("[::3]:1")[0], &list("[::2]:1"), now);
        check(&bad, now, "[::4]:1 1.0.0.2:1", "[::4]:1 1.0.0.2:1");
    }
}

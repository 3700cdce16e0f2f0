//! What was seen lately: a small set whose entries fade, and which cannot grow without bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Keys that were put in within [`LIFETIME`], the [`CAPACITY`] newest of them.
#[derive(Debug)]
pub(crate) struct Recent<K> {
    seen: HashMap<K, Instant>,
}

impl<K: Eq + Hash + Clone> Recent<K> {
    pub(crate) fn insert(&mut self, key: K, now: Instant) {
        if self.seen.len() >= CAPACITY && !self.seen.contains_key(&key) {
            self.make_room(now);
        }
        self.seen.insert(key, now);
    }

    pub(crate) fn contains(&self, key: &K, now: Instant) -> bool {
        self.seen.get(key).is_some_and(|at| is_fresh(*at, now))
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.seen.remove(key);
    }

    fn make_room(&mut self, now: Instant) {
        self.seen.retain(|_, at| is_fresh(*at, now));
        if self.seen.len() < CAPACITY {
            return;
        }
        let oldest = self.seen.iter().min_by_key(|(_, at)| **at);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.seen.remove(&key);
        }
    }
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self {
            seen: HashMap::new(),
        }
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < LIFETIME
}

pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
const CAPACITY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fade() {
        let (start, mut recent) = (Instant::now(), Recent::default());
        recent.insert("a", start);
        assert!(recent.contains(&"a", start + LIFETIME - Duration::from_millis(1)));
        assert!(!recent.contains(&"a", start + LIFETIME));
        assert!(!recent.contains(&"b", start));
        recent.remove(&"a");
        assert!(!recent.contains(&"a", start));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (start, mut recent) = (Instant::now(), Recent::default());
        let at = |n: usize| start + Duration::from_millis(n as u64);
        for n in 0..=CAPACITY {
            recent.insert(n, at(n));
        }
        assert_eq!(recent.seen.len(), CAPACITY);
        assert!(!recent.contains(&0, at(CAPACITY)) && recent.contains(&1, at(CAPACITY)));
        recent.insert(1, at(CAPACITY));
        assert_eq!(recent.seen.len(), CAPACITY);
    }
}

//! The claim of one worker on a range, shared with the session that may shorten it while bytes arrive.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far a lease has come and where it ends. The end only ever moves down, and never below what has arrived.
#[derive(Debug)]
pub(crate) struct Lease {
    span: Mutex<Span>,
    start: u64,
    submitted: AtomicU64,
}

#[derive(Debug)]
struct Span {
    position: u64,
    end: u64,
    hold: Hold,
}

/// Whether what arrives is still wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    Held,
    Revoked,
}

impl Lease {
    /// A claim on `start..end`; an end of `u64::MAX` is a stream whose length is not known.
    pub(crate) fn new(start: u64, end: u64) -> Self {
        Self {
            span: Mutex::new(Span {
                position: start,
                end,
                hold: Hold::Held,
            }),
            start,
            submitted: AtomicU64::new(start),
        }
    }

    /// The offset of the next byte to arrive.
    pub(crate) fn position(&self) -> u64 {
        self.lock().position
    }

    /// Bytes still to come.
    pub(crate) fn remaining(&self) -> u64 {
        let span = self.lock();
        span.end - span.position
    }

    /// Takes `arrived` further bytes and says how many of them belong to this lease: an end that moved down
    /// meanwhile cuts the rest off.
    pub(crate) fn advance(&self, arrived: u64) -> u64 {
        let mut span = self.lock();
        let accepted = arrived.min(span.end - span.position);
        span.position += accepted;
        accepted
    }

    /// Moves the end down towards `end` and returns the end that holds from now on.
    pub(crate) fn shrink(&self, end: u64) -> u64 {
        let mut span = self.lock();
        span.end = span.end.min(end.max(span.position));
        span.end
    }

    /// Everything before this offset has been handed to the writer.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Acquire)
    }

    /// Where it began.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Where it ends, as far as it is known now.
    pub(crate) fn end(&self) -> u64 {
        self.lock().end
    }

    /// Lets `submit` hand over the bytes up to `offset`, unless the lease was revoked: then they are nobody's.
    pub(crate) fn hand_over(&self, offset: u64, submit: impl FnOnce()) {
        let span = self.lock();
        if span.hold == Hold::Held {
            submit();
            self.submitted.store(offset, Ordering::Release);
        }
    }

    /// Ends the lease, whatever its worker still does: after this nothing more is handed over. Returns the offset up
    /// to which everything was.
    pub(crate) fn revoke(&self) -> u64 {
        self.lock().hold = Hold::Revoked;
        self.submitted()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Span> {
        // The numbers are consistent after every statement, so a panic elsewhere leaves nothing half done.
        self.span
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shrinking_never_cuts_what_has_arrived() {
        let lease = Lease::new(10, 100);
        assert_eq!(lease.advance(30), 30);
        assert_eq!(lease.shrink(20), 40);
        assert_eq!((lease.remaining(), lease.advance(5)), (0, 0));
    }

    #[test]
    fn after_revoking_nothing_is_handed_over() {
        let lease = Lease::new(10, 100);
        let mut handed = 0;
        lease.advance(30);
        lease.hand_over(40, || handed += 1);
        lease.advance(10);
        assert_eq!(lease.revoke(), 40);
        lease.hand_over(50, || handed += 1);
        assert_eq!((handed, lease.submitted(), lease.start()), (1, 40, 10));
    }

    proptest! {
        #[test]
        fn bytes_after_the_end_are_never_accepted(steps in prop::collection::vec((0u64..50, prop::bool::ANY), 1..40)) {
            let lease = Lease::new(0, 400);
            let mut end = 400u64;
            for (amount, shrink) in steps {
                if shrink {
                    let granted = lease.shrink(end.saturating_sub(amount));
                    prop_assert!(granted <= end && granted >= lease.position());
                    end = granted;
                } else {
                    let before = lease.position();
                    let accepted = lease.advance(amount);
                    prop_assert_eq!(before + accepted, lease.position());
                    prop_assert!(lease.position() <= end);
                }
            }
        }
    }
}

//! What the looks at one upload must have in common with each other and with its end.

use super::{Done, Failed};

/// One look at a running upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Where it is.
    pub state: State,
    /// Length of the source, once it is known.
    pub total: Option<u64>,
    /// Bytes handed to the network.
    pub sent: u64,
    /// Bytes that the server has answered for.
    pub acknowledged: u64,
    /// Bytes that another run would not send again.
    pub durable: u64,
}

/// Where an upload is. The order is that of its life; the last four are ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum State {
    Pending,
    Preparing,
    Sending,
    Committing,
    Completed,
    Paused,
    Cancelled,
    Failed,
}

impl State {
    /// Whether nothing follows it.
    #[must_use]
    pub fn is_end(self) -> bool {
        self > Self::Committing
    }
}

/// Checks the looks at one upload, from its start to its end.
pub(super) fn check(what: &str, looks: &[Look], ended: &Result<Done, Failed>) {
    for look in looks {
        let ordered = look.durable <= look.acknowledged
            && look.acknowledged <= look.sent
            && look.total.is_none_or(|total| look.sent <= total);
        assert!(ordered, "{what}: counters out of order: {look:?}");
    }
    for pair in looks.windows(2) {
        let [before, after] = pair else { continue };
        let grew = before.sent <= after.sent
            && before.acknowledged <= after.acknowledged
            && before.durable <= after.durable;
        assert!(grew, "{what}: a counter went back: {before:?} {after:?}");
        let told = before.total.is_none() || before.total == after.total;
        assert!(told, "{what}: the total changed: {before:?} {after:?}");
        // A server that lost a part makes a commit go back to sending.
        let again = before.state == State::Committing && after.state == State::Sending;
        assert!(
            before.state <= after.state || again,
            "{what}: states out of order: {before:?} {after:?}"
        );
        assert!(
            !before.state.is_end() || before == after,
            "{what}: something after the end: {before:?} {after:?}"
        );
    }
    let last = looks
        .last()
        .unwrap_or_else(|| panic!("{what}: nobody looked"));
    let expected = match ended {
        Ok(_) => State::Completed,
        Err(error) if error.code == CANCELLED => State::Cancelled,
        Err(error) if error.code == PAUSED => State::Paused,
        Err(_) => State::Failed,
    };
    assert_eq!(last.state, expected, "{what}: {ended:?} and {last:?}");
    if let Ok(done) = ended {
        let all = [last.sent, last.acknowledged, last.durable];
        assert_eq!(all, [done.bytes; 3], "{what}: complete at {last:?}");
        assert_eq!(last.total, Some(done.bytes), "{what}: {last:?}");
    }
}

/// The code of an upload that was cancelled.
pub(super) const CANCELLED: u16 = 120;

/// The code of an upload that was paused.
pub(super) const PAUSED: u16 = 124;

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn look(state: State, sent: u64, acknowledged: u64, durable: u64) -> Look {
        Look {
            state,
            total: Some(10),
            sent,
            acknowledged,
            durable,
        }
    }

    #[test]
    fn what_is_lawful() {
        let check = |looks: &[Look], ended: Result<u64, u16>, lawful: bool| {
            let ended = match ended {
                Ok(bytes) => Ok(Done {
                    bytes,
                    resumed_from: 0,
                    location: None,
                }),
                Err(code) => Err(Failed {
                    code,
                    text: String::new(),
                }),
            };
            let held = catch_unwind(|| check("", looks, &ended)).is_ok();
            assert_eq!(held, lawful, "{looks:?} {ended:?}");
        };
        use State::{Cancelled, Committing, Completed, Paused, Sending};
        let done = look(Completed, 10, 10, 10);
        check(&[look(Sending, 5, 0, 0), done], Ok(10), true);
        check(&[look(Sending, 5, 6, 0), done], Ok(10), false);
        check(&[look(Sending, 5, 4, 5), done], Ok(10), false);
        check(&[look(Sending, 11, 4, 4)], Err(109), false);
        check(
            &[look(Sending, 5, 4, 3), look(Sending, 5, 3, 3), done],
            Ok(10),
            false,
        );
        check(
            &[look(Committing, 9, 9, 9), look(Sending, 9, 9, 9), done],
            Ok(10),
            true,
        );
        check(&[done, look(State::Failed, 10, 10, 10)], Err(109), false);
        check(&[done], Ok(9), false);
        check(&[done], Err(109), false);
        check(&[look(Sending, 9, 9, 9)], Err(109), false);
        check(&[look(State::Failed, 9, 9, 9)], Err(109), true);
        check(&[look(Paused, 9, 9, 9)], Err(PAUSED), true);
        check(&[look(Cancelled, 9, 9, 9)], Err(CANCELLED), true);
        check(&[look(Cancelled, 9, 9, 9)], Err(PAUSED), false);
        check(&[], Err(PAUSED), false);
    }
}

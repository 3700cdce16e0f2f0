//! How what is in flight ends when the caller wants an end: at once, but that a session which is being opened is waited for
//! behind a cancelled upload's end, and for a moment before a paused one's, or nobody would know of it.

use std::time::{Duration, SystemTime};

use bytehaul_providers::{Stage, Step};
use tokio::task::AbortHandle;

use crate::upload::courier::Came;
use crate::upload::driver::{Driver, Landed};
use crate::upload::error::UploadError;

impl Driver {
    /// A request has been started.
    pub(crate) fn took_off(&mut self, flight: AbortHandle, opens: Opens) {
        let flights = match opens {
            Opens::AtOnce => &mut self.begins,
            Opens::WithBytes => &mut self.first_parts,
            Opens::Nothing => &mut self.others,
        };
        flights.retain(|flight| !flight.is_finished());
        flights.push(flight);
    }

    /// Drops every request in flight but those that open a session.
    pub(crate) fn drop_others(&mut self) {
        for flight in self.others.drain(..) {
            flight.abort();
        }
    }

    /// Drops parts that open a session as well: they may take as long as the source does.
    pub(crate) fn drop_first_parts(&mut self) {
        for flight in self.first_parts.drain(..) {
            flight.abort();
        }
    }

    /// Drops what is in flight, and saves where the session is.
    pub(crate) async fn stop(&mut self) -> Result<(), UploadError> {
        self.flights.shutdown().await;
        self.digests = 0;
        self.stats.set_connections(0);
        self.save_now().await
    }

    /// Whether a request is in flight that opens a session.
    pub(crate) fn is_beginning(&self) -> bool {
        let mut all = self.begins.iter().chain(&self.first_parts);
        all.any(|begin| !begin.is_finished())
    }

    /// Whether this may open a session at the server. A first part may, too.
    pub(crate) fn opens(&self, step: &Step) -> Opens {
        match step {
            Step::Begin => Opens::AtOnce,
            _ if self.session.stage() == Stage::Beginning => Opens::WithBytes,
            _ => Opens::Nothing,
        }
    }

    /// Lets the session know of what is being opened for it, so that it can be discarded or gone on with; and drops everything
    /// else.
    pub(crate) async fn learn_of_begins(&mut self, patience: Duration) -> Opened {
        let mut opened = Opened::Known;
        let deadline = tokio::time::Instant::now() + patience;
        while self.is_beginning() {
            let landed = tokio::time::timeout_at(deadline, self.flights.join_next()).await;
            let Ok(Some(landed)) = landed else {
                opened = Opened::Perhaps;
                break;
            };
            match landed {
                Ok(Landed::Came {
                    id,
                    came: Came::Answer(received),
                    ..
                }) => {
                    let answer = received.answer();
                    // What is wrong with it matters no longer.
                    let _ = self.session.answered(id, &answer, SystemTime::now());
                }
                Ok(Landed::Called {
                    id,
                    result: Ok(value),
                    ..
                }) => {
                    let _ = self.session.returned(id, value, SystemTime::now());
                }
                Ok(_) | Err(_) => (),
            }
        }
        self.flights.shutdown().await;
        self.digests = 0;
        opened
    }
}

/// Whether a request opens a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opens {
    AtOnce,
    /// Besides carrying bytes of the source.
    WithBytes,
    Nothing,
}

/// Whether the server may have opened a session of which nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opened {
    Known,
    Perhaps,
}

/// How long the answer to a request is waited for that opens a session which nobody wants any more.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

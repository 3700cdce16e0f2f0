//! How what is in flight ends when the caller wants an end: at once, but that a session which is being opened is waited for
//! behind a cancelled upload's end, or nobody would know of it.

use std::time::{Duration, SystemTime};

use bytehaul_providers::{Stage, Step};
use tokio::task::AbortHandle;

use crate::upload::courier::Came;
use crate::upload::driver::{Driver, Landed};
use crate::upload::error::UploadError;

impl Driver {
    /// A request has been started.
    pub(crate) fn took_off(&mut self, flight: AbortHandle, is_begin: bool) {
        let flights = match is_begin {
            true => &mut self.begins,
            false => &mut self.others,
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

    /// Drops what is in flight, and saves where the session is.
    pub(crate) async fn stop(&mut self) -> Result<(), UploadError> {
        self.flights.shutdown().await;
        self.digests = 0;
        self.stats.set_connections(0);
        self.save_now().await
    }

    /// Whether a request is in flight that opens a session.
    pub(crate) fn is_beginning(&self) -> bool {
        self.begins.iter().any(|begin| !begin.is_finished())
    }

    /// Whether this may open a session at the server.
    pub(crate) fn opens(&self, step: &Step) -> bool {
        *step == Step::Begin || self.session.stage() == Stage::Beginning
    }

    /// Lets the session know of what is being opened for it, so that it can be discarded; and drops everything else.
    pub(crate) async fn learn_of_begins(&mut self) -> Opened {
        let mut opened = Opened::Known;
        let deadline = tokio::time::Instant::now() + GRACE;
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

/// Whether the server may have opened a session of which nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opened {
    Known,
    Perhaps,
}

/// How long the answer to a request is waited for that opens a session which nobody wants any more.
const GRACE: Duration = Duration::from_secs(10);

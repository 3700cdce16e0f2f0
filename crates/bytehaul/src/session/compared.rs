//! Asking for a range of a file that is known already: the answer is compared before a byte of it is used, and a
//! validator that differs is asked about again until it is clear whether it wobbles or the file has changed.

use std::time::Duration;

use bytehaul_transport::RequestRange;
use http::StatusCode;

use crate::identity::{Evidence, Identity, Verdict};
use crate::response::Answer;
use crate::session::source::{Reply, Source};
use crate::session::trouble::Trouble;

/// An answer that speaks of the known version, with the evidence for it. Only `Part`, `Whole`, `Unsatisfiable` and
/// `Unreliable` answers are returned; the others are troubles.
pub(crate) async fn ask(
    source: &Source,
    known: &Identity,
    range: RequestRange,
) -> Result<(Reply, Evidence), Trouble> {
    let mut waits = DOUBT_WAITS.iter();
    loop {
        let reply = source.ask(range.clone()).await?;
        let verdict = match &reply.answer {
            Answer::Later { status, after } => {
                return Err(Trouble::later(&reply.url, *status, *after));
            }
            // The file was there a moment ago, so this is how the host says that there are too many connections.
            Answer::Refused { status } if *status == StatusCode::FORBIDDEN => {
                return Err(Trouble::pushed_back(&reply.url, *status));
            }
            Answer::Refused { status } => return Err(Trouble::refused(&reply.url, *status)),
            Answer::Unusable { what } => return Err(Trouble::unusable(&reply.url, what.clone())),
            // An error page need not repeat the validators of the file; what it does say has to agree.
            Answer::Unsatisfiable { .. } if !reply.identity.has_validator() => {
                known.only_length().compare(&reply.identity)
            }
            Answer::Part { .. }
            | Answer::Whole { .. }
            | Answer::Unsatisfiable { .. }
            | Answer::Unreliable { .. } => known.compare(&reply.identity),
        };
        match verdict {
            Verdict::Same(evidence) => return Ok((reply, evidence)),
            // Another length is no wobble, but it may be somebody's error page, which does not stay.
            Verdict::Changed(what) if waits.len() <= DOUBT_WAITS.len() - CHANGE_ASKED => {
                return Err(Trouble::Changed(what));
            }
            Verdict::Changed(what) | Verdict::Doubt(what) => match waits.next() {
                Some(wait) => {
                    bytehaul_log::debug!(url = %reply.url, what, "another version, it seems; asking again");
                    tokio::time::sleep(*wait).await;
                }
                None => return Err(Trouble::Doubt(what)),
            },
        }
    }
}

/// How often a change that no wobble explains is asked about again.
const CHANGE_ASKED: usize = 3;

/// How long to wait before asking again about a validator that differs, each time. A server whose edges name
/// different ones shows the known one again before long; only after all of these is it a change.
pub(crate) const DOUBT_WAITS: [Duration; 8] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_millis(400),
    Duration::from_millis(400),
    Duration::from_millis(400),
    Duration::from_millis(400),
];

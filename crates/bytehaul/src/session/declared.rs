//! What the provider of an object says that it has to hash to: asked before the first byte is written, so that it is computed beside
//! the transfer.

use std::time::Duration;

use bytehaul_integrity::Expected;
use bytehaul_providers::{Proof, Told};
use http::{HeaderMap, StatusCode};
use tokio::time::{sleep, timeout};

use crate::identity::{Identity, Verdict};
use crate::session::carry::Carrier;
use crate::session::probe::{Kind, Probe};
use crate::session::source::Source;
use crate::stream::Declared;

impl Carrier {
    /// What the file has to hash to: what the caller says, or else what servers said that was learned, or what its provider says.
    pub(crate) fn expected(&self) -> Option<Expected> {
        let digest = self.digest().map(Expected::from);
        digest.or_else(|| self.learned.declared())
    }

    /// The same for a reader, who is not told of what servers have said of mirrors.
    pub(crate) fn expected_of_stream(&self) -> Option<Declared> {
        let by_caller = self.job.digest.map(|digest| Declared {
            expected: digest.into(),
            by_provider: false,
        });
        let by_provider = |expected| Declared {
            expected,
            by_provider: true,
        };
        by_caller.or_else(|| self.learned.declared().map(by_provider))
    }

    /// Whether it is the provider who says so.
    pub(crate) fn is_declared(&self) -> bool {
        self.digest().is_none() && self.learned.declared().is_some()
    }

    /// Asks the provider, if that is wished for and nobody else says. Whatever is wrong with its word is no trouble for the transfer.
    pub(crate) async fn ask_provider(&self, probe: Option<&Probe>, identity: &Identity) {
        let is_wanted = self.job.verify_declared && self.job.protocol.is_some();
        if !is_wanted || self.expected().is_some() {
            return;
        }
        let source = self.source();
        let asked = timeout(LONGEST, ask(&source, probe, identity)).await;
        match asked.unwrap_or_else(|_| Err(format!("not told within {LONGEST:?}"))) {
            Ok(expected) => self.learned.set_declared(expected),
            Err(what) => {
                bytehaul_log::debug!(url = %source.safe_url(), what, "what the object has to hash to is not known");
            }
        }
    }
}

async fn ask(
    source: &Source,
    probe: Option<&Probe>,
    identity: &Identity,
) -> Result<Option<Expected>, String> {
    let mut told: Vec<_> = probe.and_then(first).into_iter().collect();
    for _ in 0..=MOST_QUESTIONS {
        let proof = source.proof(&told).await;
        let question = match proof.map_err(|error| error.to_string())? {
            Proof::Nothing => return Ok(None),
            Proof::Known(expected) => return Ok(Some(expected)),
            Proof::Ask(question) => question,
        };
        let mut waits = WAITS.iter();
        let answer = loop {
            let answer = source.question(&question).await;
            let passes = match &answer {
                Ok((status, _)) => {
                    status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
                }
                Err(_) => true,
            };
            match waits.next().filter(|_| passes) {
                Some(wait) => sleep(*wait).await,
                None => break answer,
            }
        };
        let (status, headers) = answer?;
        if status.is_success() {
            check(source, identity, status, &headers)?;
        }
        told.push(Told::of_question(status, headers));
    }
    Err("it asks again and again".into())
}

/// The answer that the transfer began with.
fn first(probe: &Probe) -> Option<Told> {
    let status = match probe.kind {
        Kind::Ranged { .. } => StatusCode::PARTIAL_CONTENT,
        Kind::Whole { .. } => StatusCode::OK,
        Kind::Empty => return None,
    };
    Some(Told::of_range(status, probe.headers.clone()))
}

/// What is said of another version proves nothing of this one.
fn check(
    source: &Source,
    identity: &Identity,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), String> {
    let seen = crate::response::identity(source.safe_url(), status, headers, None);
    // Only tags are compared: the digests of a part are not those of the whole.
    let tag_of = |identity: &Identity| Identity {
        etag: identity.etag.clone(),
        ..Identity::default()
    };
    match tag_of(identity).compare(&tag_of(&seen)) {
        Verdict::Same(_) => Ok(()),
        Verdict::Doubt(what) | Verdict::Changed(what) => Err(what),
    }
}

const LONGEST: Duration = Duration::from_secs(10);
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
/// No provider needs more.
const MOST_QUESTIONS: usize = 3;

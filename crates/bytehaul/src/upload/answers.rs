//! What becomes of an answer, or of none: taken by the session, tried again after a wait, or the end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use bytehaul_providers::{
    CallError, ExchangeId, Fault, Lost, ProtocolError, ProtocolErrorKind, Returned, Stage, Step,
};
use bytehaul_schedule::{Class, Failure};
use bytehaul_transport::ErrorKind;

use crate::session::renewal::Then;
use crate::upload::courier::{Came, Done, Received, wait_asked_for};
use crate::upload::driver::{Driver, Landed};
use crate::upload::error::UploadError;

impl Driver {
    pub(crate) async fn came(
        &mut self,
        id: ExchangeId,
        step: Step,
        came: Came,
    ) -> Result<(), UploadError> {
        match came {
            Came::Answer(received) => self.answered(id, step, &received).await,
            Came::Lost {
                how,
                failure,
                error,
                done,
            } => {
                self.doubt(&step, done);
                self.again(id, &step, how, failure, error)
            }
            Came::Fatal(error) => Err(self.fatal(&step, error)),
        }
    }

    /// An end, unless the object may be there all the same: an earlier request may have completed it, or this one, whose
    /// answer is only too large.
    fn fatal(&self, step: &Step, error: UploadError) -> UploadError {
        let heard = match &error {
            UploadError::Network { source, .. } => matches!(
                source.kind(),
                ErrorKind::HeadersTooLarge | ErrorKind::BodyTooLarge
            ),
            _ => false,
        };
        match heard && self.may_be_the_end(step) || self.in_doubt && *step == Step::Commit {
            true => self.indeterminate(error, 0),
            false => error,
        }
    }

    /// Something that may have been done: if it completes the object, nothing is certain before the server has said more.
    fn doubt(&mut self, step: &Step, done: Done) {
        if done == Done::Perhaps && self.may_be_the_end(step) {
            self.in_doubt = true;
        }
    }

    /// Whether the object may be complete once this is done.
    pub(crate) fn completes(&self, step: &Step) -> bool {
        let available = self.courier.source.available();
        match step {
            Step::Commit => true,
            Step::Part { range, .. } => available.ended && range.end >= available.until,
            _ => false,
        }
    }

    /// Whether the object may be complete once this is done, and nobody asks for more: where parts go in any order a commit
    /// follows, unless one part is all of it.
    fn may_be_the_end(&self, step: &Step) -> bool {
        let is_all = match step {
            Step::Part { range, .. } => range.start == 0 || !self.in_any_order,
            _ => true,
        };
        is_all && self.completes(step)
    }

    async fn answered(
        &mut self,
        id: ExchangeId,
        step: Step,
        received: &Received,
    ) -> Result<(), UploadError> {
        let answer = received.answer();
        let taken = self.session.answered(id, &answer, SystemTime::now());
        let fault = match taken {
            Ok(()) => {
                self.retries.succeeded(&step);
                // Not every answer tells of the commit: the session knows whether it still is to be made sure of, of which
                // a commit that was taken is no less in need.
                let is_open = self.session.stage() == Stage::Committing;
                self.in_doubt = is_open && (self.in_doubt || step == Step::Commit);
                return Ok(());
            }
            Err(fault) => fault,
        };
        let how = Lost::Refused(received.status);
        match fault {
            Fault::Status => {
                // Between two denials the server may well take another kind of request, which says nothing of this one.
                let in_vain = self.denied >= MOST_DENIED * self.parallel;
                if !in_vain && self.courier.renewed(received).await? == Then::AskAgain {
                    self.denied += 1;
                    self.stats.retries.fetch_add(1, Relaxed);
                    self.session.lost(id, how);
                    return Ok(());
                }
                match self.courier.plain(&step, received) {
                    Came::Lost {
                        how,
                        failure,
                        error,
                        done,
                    } => {
                        self.doubt(&step, done);
                        self.again(id, &step, how, failure, error)
                    }
                    Came::Fatal(error) => Err(self.fatal(&step, error)),
                    Came::Answer(_) => Ok(()),
                }
            }
            Fault::Again(what) => {
                self.doubt(&step, Done::behind(received.status));
                let mut failure = Failure::new(Class::Transient);
                failure.retry_after = wait_asked_for(&received.headers);
                self.again(id, &step, how, failure, self.refused(received, what))
            }
            Fault::Now(what) => {
                self.doubt(&step, Done::behind(received.status));
                let failure = Failure::new(Class::Transient).retry_after(Duration::ZERO);
                self.again(id, &step, how, failure, self.refused(received, what))
            }
            Fault::Fatal(error) => Err(self.protocol(error)),
            _ => Err(self.refused(received, "an answer that leads nowhere".into())),
        }
    }

    pub(crate) fn called(
        &mut self,
        id: ExchangeId,
        step: Step,
        result: Result<Returned, CallError>,
    ) -> Result<(), UploadError> {
        match result {
            Ok(value) => match self.session.returned(id, value, SystemTime::now()) {
                Ok(()) => {
                    self.retries.succeeded(&step);
                    self.in_doubt &= self.session.stage() == Stage::Committing;
                    Ok(())
                }
                Err(Fault::Fatal(error)) => Err(self.protocol(error)),
                Err(fault) => {
                    let what = format!("{fault:?}");
                    let error = ProtocolError::new(ProtocolErrorKind::Custom, what);
                    let failure = Failure::new(Class::Transient);
                    self.again(id, &step, Lost::Unknown, failure, self.protocol(error))
                }
            },
            Err(error) => {
                let kind = match (error.status, &step) {
                    (Some(status), _) => ProtocolErrorKind::Status(status),
                    (None, Step::Refresh) => ProtocolErrorKind::Refresh,
                    (None, _) => ProtocolErrorKind::Custom,
                };
                let mut failure = Failure::new(match error.retry {
                    true => Class::Transient,
                    false => Class::Fatal,
                });
                failure.retry_after = error.retry_after;
                // The application's own code commits in a call of its own, and no part completes anything.
                let refused = error.status.is_some_and(|status| !status.is_server_error());
                if step == Step::Commit && error.retry && !refused {
                    self.in_doubt = true;
                }
                let how = error.status.map_or(Lost::Unknown, Lost::Refused);
                let what = match step {
                    Step::Refresh => "the access could not be renewed",
                    _ => "the protocol's own call failed",
                };
                let error = ProtocolError::new(kind, what).with_source(error.source);
                self.again(id, &step, how, failure, self.protocol(error))
            }
        }
    }

    /// Waits beside the rest and lets the session try again, or gives up.
    fn again(
        &mut self,
        id: ExchangeId,
        step: &Step,
        how: Lost,
        failure: Failure,
        error: UploadError,
    ) -> Result<(), UploadError> {
        let wait = match self.retries.failed(step, failure) {
            Ok(wait) => wait,
            Err(tries) if self.in_doubt => return Err(self.indeterminate(error, tries)),
            Err(tries) => return Err(error.after_retries(tries)),
        };
        bytehaul_log::debug!(?step, ?wait, %error, "to be tried again");
        self.stats.retries.fetch_add(1, Relaxed);
        self.flights.spawn(async move {
            tokio::time::sleep(wait).await;
            Landed::Rested(id, how)
        });
        Ok(())
    }

    /// It was asked for as often as was allowed, and may have been done each time.
    fn indeterminate(&self, error: UploadError, tries: u32) -> UploadError {
        let what =
            "the object may or may not be there: no answer said what became of the last request";
        let what = ProtocolError::new(ProtocolErrorKind::Indeterminate, what).with_source(error);
        self.protocol(what).after_retries(tries)
    }

    fn refused(&self, received: &Received, what: String) -> UploadError {
        let kind = match received.status.is_success() {
            true => ProtocolErrorKind::Parse,
            false => ProtocolErrorKind::Status(received.status),
        };
        self.protocol(ProtocolError::new(kind, what))
    }

    pub(crate) fn protocol(&self, error: ProtocolError) -> UploadError {
        UploadError::protocol(&self.courier.url, error)
    }
}

/// Denied requests that are sent again with newer credentials, for each one that may be in flight, before the server's answer is final.
const MOST_DENIED: usize = 3;

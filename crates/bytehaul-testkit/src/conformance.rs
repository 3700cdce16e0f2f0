//! What every upload must hold to, whatever it speaks: one suite for all clients and protocols, against real servers.
//!
//! A [`Client`] is what runs uploads, an [`Endpoint`] a real server behind a [`Gate`] with what has to be known of it. A
//! [`Bed`] has one of each, and every function of [`cases`] takes a bed and panics with the name of what went wrong. What an
//! endpoint cannot do is in its [`Abilities`]: a case that needs it says that it is skipped.
//!
//! Every upload of every case is watched: its counters never go back, `durable` ≤ `acknowledged` ≤ `sent` ≤ `total`, its
//! states come in order, it ends once, and its end is what waiting for it returns.

mod bed;
pub mod cases;
pub mod endpoints;
mod laws;

use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

pub use self::bed::Bed;
pub use self::laws::{Look, State};
use crate::uploads::{Fault, Gate};

/// What runs uploads.
pub trait Client: Send + Sync {
    /// Starts this job towards this place, at once.
    fn start(&self, place: &Place, job: &Job) -> Arc<dyn Running>;

    /// A program that does the same with a job of a file, and ends well when the upload does. It is killed in the middle.
    fn command(&self, place: &Place, job: &Job) -> Command;

    /// Lowercase hex SHA-256, as [`Job::sha256`] takes it.
    fn sha256(&self, content: &[u8]) -> String;
}

/// An upload that was started.
pub trait Running: Send + Sync {
    /// The latest look at it.
    fn look(&self) -> Look;

    /// Waits for the end; may be called again.
    fn wait(&self) -> Pending<'_, Result<Done, Failed>>;

    /// Stops it so that another run goes on; returns when that run may start.
    fn pause(&self) -> Pending<'_, ()>;

    /// Stops it for good; returns when what it has staged is discarded.
    fn cancel(&self) -> Pending<'_, ()>;
}

/// What the methods of [`Running`] return.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What to upload, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the bytes come from.
    pub source: Source,
    /// The file name that the server is told.
    pub name: String,
    /// Bytes of a part.
    pub part: u64,
    /// Parts at once.
    pub parallel: u32,
    /// Where the checkpoint is kept, if it is.
    pub checkpoints: Option<PathBuf>,
    /// Retries of each step.
    pub retries: u32,
    /// Wait before the first of them.
    pub delay: Duration,
    /// How long the server may be silent.
    pub patience: Duration,
    /// Bytes a second; 0 for no limit.
    pub rate: u64,
    /// What the source must hash to.
    pub sha256: Option<String>,
    /// Whoever renews the access counts here how often it was asked; `None`: nobody renews it.
    pub renewals: Option<Arc<AtomicU32>>,
}

/// Where bytes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Memory.
    Bytes(Vec<u8>),
    /// A stream that gives these bytes in chunks of this size, and counts what it gave.
    Stream {
        /// All of them.
        bytes: Arc<Vec<u8>>,
        /// How many at a time.
        chunk: usize,
        /// How many were taken.
        given: Arc<AtomicU64>,
    },
}

/// What a complete upload says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// Length of the object.
    pub bytes: u64,
    /// Bytes of an earlier run that were not sent again.
    pub resumed_from: u64,
    /// Where the object is, if the server said so.
    pub location: Option<String>,
}

/// Why there is no object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The stable code.
    pub code: u16,
    /// The whole story, for whoever reads the panic.
    pub text: String,
}

/// Where one object goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// What a client has to know, in the form that belongs to the protocol: a URL, or JSON.
    pub address: String,
    /// What the server calls it.
    pub key: String,
    /// How long the object is to be.
    pub len: u64,
    /// Requests that the gate had seen before.
    pub since: usize,
}

/// A real server behind a gate.
pub trait Endpoint: Send + Sync {
    /// What it is called in panics.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// What stands before it.
    fn gate(&self) -> &Gate;

    /// Makes room for an object of this content, in parts of this size.
    fn place(&self, name: &str, content: &[u8], part: u64) -> Place;

    /// The same place where the content has changed; its address stays.
    fn changed(&self, place: &Place, content: &[u8]) -> Place {
        Place {
            len: content.len() as u64,
            ..place.clone()
        }
    }

    /// The finished object by the server's own means; `location` is what it was told to be at, if anything.
    fn object(&self, place: &Place, location: Option<&str>) -> Option<Vec<u8>>;

    /// Whether it holds something of an upload to this place that is no object.
    fn is_staged(&self, place: &Place) -> bool;

    /// The fault for requests of this kind alone, in an upload of so many parts; `None` where the protocol has none.
    fn aim(&self, step: Step, fault: Fault, parts: u64) -> Option<Fault>;

    /// Puts an object there before; false where an upload never meets an older one.
    fn occupy(&self, place: &Place, content: &[u8]) -> bool {
        let _ = (place, content);
        false
    }

    /// Loses something of an upload that is not complete; `None` where it cannot.
    fn lose(&self, place: &Place, loss: Loss) -> Option<After> {
        let _ = (place, loss);
        None
    }

    /// Answers that cannot be right, or that lead astray.
    fn lies(&self) -> Vec<Lie>;

    /// Ends what an earlier run still has in flight; needed only where a request has to wait for the one before it.
    fn settle(&self) {}

    /// What requests did that the protocol does not allow, as far as the server keeps a record of that.
    fn complaints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What an endpoint can do with its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// Parts at once that the suite asks for.
    pub parallel: u32,
    /// The fewest with which the protocol is what it is: more than 1 where one part at a time is another way.
    pub least_parallel: u32,
    /// Whether another run can go on.
    pub resumable: bool,
    /// Whether the source may be a stream.
    pub streams: bool,
    /// Whether a commit that was carried out can be asked for again; else nobody can say what became of one whose answer
    /// was lost.
    pub recommits: bool,
    /// Whether something can be discarded.
    pub aborts: bool,
    /// Whether credentials or URLs can be renewed.
    pub renews: bool,
    /// Bytes of a part, at least as many as the server takes.
    pub part: u64,
    /// How many parts are many here.
    pub many: u64,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Opens the session.
    Begin,
    /// Sends bytes of the source.
    Part,
    /// Makes the object, in a request of its own.
    Commit,
}

/// What a server may lose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Some of what it has taken.
    Some,
    /// All of it, and that there ever was anything.
    All,
}

/// What is right after a loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// The upload becomes complete.
    Recovers,
    /// It may fail; if it becomes complete nevertheless, every byte is right.
    MayFail,
}

/// An answer that is wrong, and what may become of it.
#[derive(Clone, Debug)]
pub struct Lie {
    /// Its name in panics.
    pub what: &'static str,
    /// The fault that tells it.
    pub fault: Fault,
    /// The codes with which the upload may fail. It may also go on, to an object that is right.
    pub codes: &'static [u16],
}

impl Lie {
    /// A lie with this name.
    #[must_use]
    pub const fn new(what: &'static str, fault: Fault, codes: &'static [u16]) -> Self {
        Self { what, fault, codes }
    }
}

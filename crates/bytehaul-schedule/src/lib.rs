//! Who fetches what, and when: the decisions of a ranged transfer, without any I/O.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod config;
mod event;
mod geometry;
mod hosts;
mod meter;
mod random;
mod range;
mod range_set;
mod retry;
mod samples;
mod scheduler;
pub mod transfers;

pub use crate::config::{Config, Connections};
pub use crate::event::{Action, ConnectionId, Event, LeaseId, SourceId};
pub use crate::geometry::{Geometry, PieceId, Plan};
pub use crate::hosts::{HostLimits, Turn, VisitId};
pub use crate::range::ByteRange;
pub use crate::range_set::RangeSet;
pub use crate::retry::{Class, Failure, RetryBudget, RetryPolicy, Verdict};
pub use crate::samples::samples;
pub use crate::scheduler::{Scheduler, Standing};

//! The transfer manager, through the public API alone, over a server that is slow, fails and hangs when told to.

mod bed;
mod closing;
mod events;
mod limits;
mod listeners;
mod queue;
mod restart;
mod shelf;
mod stopping;
#[cfg(feature = "store")]
mod store;
mod uploads;

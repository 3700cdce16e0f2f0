//! A network in virtual time: how the scheduler does on paths that no test machine has, in milliseconds of real time.
//!
//! [`Network`] says what the path is like, [`Run`] lets a scheduler fetch an object over it, [`scenarios`] is the table of those
//! that are watched, and [`report`] prints how close each comes to the best possible time.
//!
//! The model is a fluid one in steps of a millisecond: bytes flow at rates, a request costs its round trip, a new connection
//! the dialling. It knows no packet loss and no queues, so it shows what scheduling costs, not what TCP does.

mod chance;
mod link;
mod network;
mod run;
mod scenarios;
mod world;

pub use self::network::{Network, Pick, Refusal, SlowStart};
pub use self::run::{Outcome, Run};
pub use self::scenarios::{Scenario, report, scenarios};

//! The machine against a service in memory, through lost answers, lost blocks, other writers and killed processes.

mod laws;
mod rules;
mod service;
mod world;

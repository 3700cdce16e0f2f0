//! A store in memory that loses answers, parts and uploads; and exchanges as they were written down.

mod driver;
mod laws;
mod rules;
mod store;

//! Both dialects against servers in memory: exchange by exchange as data, and to the end through random mishaps.

mod draft_server;
mod driver;
mod laws;
mod rules;
mod rules_draft;
mod rules_join;
mod script;
mod server;

//! Azure from outside: signatures against those of the official SDK, and against a server that verifies them.
#![cfg(feature = "azure")]

mod agreement;
mod client;
mod dice;
mod live;

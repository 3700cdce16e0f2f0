//! The command as a shell sees it: real processes against a server on loopback that can be told to lie.

#![cfg(unix)]

mod command {
    mod bad_input;
    mod declared;
    #[cfg(feature = "demo")]
    mod demo;
    mod many;
    mod names;
    mod network;
    mod output;
    mod providers;
    mod put;
    #[cfg(feature = "queue")]
    mod queue;
    mod resume;
    mod stop;
    mod stuck;
    pub(crate) mod support;
    mod uploads;
}

//! What every fuzz target checks: more than that nothing panics, the laws that its result has to keep.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod checkpoints;
mod control_file;
mod digests;
mod headers;
mod input;
#[path = "../../crates/bytehaul-schedule/tests/ledger/mod.rs"]
mod ledger;
mod metalink;
mod mutate;
mod plans;
mod proxies;
mod scheduler;
mod transfers;
mod uploads;
mod urls;

use std::process::ExitCode;

pub use checkpoints::{checkpoint_file, checkpoint_json};
pub use control_file::control_file;
pub use digests::{digest_text, header_digests};
pub use headers::{content_disposition, content_range, etag, link, retry_after};
pub use metalink::metalink;
pub use mutate::mutations;
pub use plans::upload_plan;
pub use proxies::{proxy_answer, proxy_text};
pub use scheduler::scheduler_events;
pub use transfers::transfer_commands;
pub use uploads::{draft_answers, form_reply, tus_answers};
pub use urls::safe_url;

#[doc(hidden)]
#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// A target: panics when the input shows a broken law.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 20] = [
    ("content_range", content_range),
    ("content_disposition", content_disposition),
    ("retry_after", retry_after),
    ("etag", etag),
    ("link", link),
    ("metalink", metalink),
    ("control_file", control_file),
    ("digest_text", digest_text),
    ("header_digests", header_digests),
    ("scheduler_events", scheduler_events),
    ("safe_url", safe_url),
    ("proxy_text", proxy_text),
    ("proxy_answer", proxy_answer),
    ("form_reply", form_reply),
    ("tus_answers", tus_answers),
    ("draft_answers", draft_answers),
    ("upload_plan", upload_plan),
    ("checkpoint_file", checkpoint_file),
    ("checkpoint_json", checkpoint_json),
    ("transfer_commands", transfer_commands),
];

/// The body of a fuzz target's program: libFuzzer's entry in an instrumented build, else one that replays files.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::replay($crate::$name)
        }
    };
}

/// Runs a target on the files named by the program's arguments: how a finding is looked at without a fuzzer.
pub fn replay(target: Target) -> ExitCode {
    for path in std::env::args_os().skip(1) {
        match std::fs::read(&path) {
            Ok(bytes) => target(&bytes),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

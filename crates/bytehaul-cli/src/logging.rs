//! What `-v` shows: the library's own events on stderr, in which URLs are redacted, and nobody else's.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::uptime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Shows debug events for one `-v`, all for more, and nothing without.
pub(crate) fn install(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // Other crates' events may hold whole URLs and headers, so only our own, by the prefix of their names, pass.
    let ours = Targets::new().with_target("bytehaul", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_timer(uptime());
    tracing_subscriber::registry().with(ours).with(lines).init();
}

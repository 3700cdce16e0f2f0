//! What a panic looks like from outside: one line, and never a backtrace.

use std::panic::PanicHookInfo;

use crate::output::to_stderr;

/// Replaces the standard report. The library turns a panic within a download into that download's failure,
/// which is reported as such, so only a panic of the command itself is told here.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let line = describe(info);
        if std::thread::current().name() == Some("main") {
            to_stderr(format_args!(
                "bytehaul: {line}\nhint: this is a bug in bytehaul; what had arrived is kept"
            ));
        } else {
            tracing::error!(target: "bytehaul", "{line}");
        }
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("no message").replace(char::is_control, " ");
    match info.location() {
        Some(place) => format!("internal error: {said} ({}:{})", place.file(), place.line()),
        None => format!("internal error: {said}"),
    }
}

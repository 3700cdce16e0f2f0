//! Which signals ask the command to stop, and that the second of them is obeyed whatever the command is doing.

use std::convert::Infallible;
use std::{io, thread};

use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::exit::Exit;

/// SIGINT and SIGTERM, and Ctrl-C where there are no such signals.
#[derive(Debug)]
pub(crate) struct Signals {
    asked: watch::Receiver<bool>,
}

impl Signals {
    /// From here on the first signal no longer ends the process by itself, and the second one does so at once, with
    /// the status of an interruption.
    ///
    /// A thread with a runtime of its own listens until the process ends, so that a write to a pipe that nobody
    /// reads, on whatever thread, makes no signal unheard.
    pub(crate) fn install() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let source = {
            let _context = runtime.enter();
            Source::install()?
        };
        let (tell, asked) = watch::channel(false);
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || match runtime.block_on(listen(source, &tell)) {})?;
        Ok(Self { asked })
    }

    /// Waits for the first one; there is nothing to wait for once it has come. Cancel-safe.
    pub(crate) async fn asked(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(mut source: Source, tell: &watch::Sender<bool>) -> Infallible {
    source.next().await;
    tell.send_replace(true);
    source.next().await;
    std::process::exit(i32::from(Exit::Interrupted.code()))
}

/// Where signals come from.
struct Source {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Source {
    #[cfg(unix)]
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    fn install() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

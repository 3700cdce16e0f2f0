//! Where the server runs: the accept loop, in the caller's runtime or in a thread of its own.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use super::Excess;
use super::connection::Connection;
use super::state::State;
use super::stream::Stream;

/// A running accept loop; dropping it ends the loop and every connection.
#[derive(Debug)]
pub(super) enum Running {
    Here(AbortHandle),
    Thread {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<JoinHandle<()>>,
    },
}

impl Running {
    pub(super) fn here(listener: TcpListener, state: Arc<State>) -> Self {
        Self::Here(tokio::spawn(accept(listener, state)).abort_handle())
    }

    pub(super) fn thread(listener: std::net::TcpListener, state: Arc<State>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
            tokio::select! {
                () = accept(listener, state) => (),
                _ = stopped => (),
            }
        };
        let thread = std::thread::Builder::new()
            .name("testkit-server".to_owned())
            .spawn(move || runtime.block_on(serve))?;
        Ok(Self::Thread {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Here(handle) => handle.abort(),
            Self::Thread { stop, thread } => {
                drop(stop.take());
                if let Some(thread) = thread.take() {
                    // Its panic was printed where it happened.
                    let _ = thread.join();
                }
            }
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept is a client that left already.
                if let Ok((stream, _)) = accepted {
                    admit(&mut connections, stream, &state);
                }
            }
            Some(ended) = connections.join_next() => ended.expect("no connection panics"),
        }
    }
}

fn admit(connections: &mut JoinSet<()>, stream: TcpStream, state: &Arc<State>) {
    let _ = stream.set_nodelay(true);
    let (id, admitted) = state.accept();
    match admitted {
        Ok(open) => {
            let state = Arc::clone(state);
            connections.spawn(async move {
                // A client that does not like the certificate has left already.
                if let Ok(stream) = shake_hands(stream, id, &state).await {
                    Connection::new(id, stream, state).serve().await;
                }
                drop(open);
            });
        }
        Err(Excess::Reset) => {
            let _ = stream.set_zero_linger();
        }
        Err(Excess::Close) => drop(stream),
        Err(Excess::Hang) => {
            connections.spawn(async move {
                let mut byte = [0];
                while let Ok(()) = stream.readable().await {
                    match stream.try_read(&mut byte) {
                        Ok(0) => break,
                        Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                        Ok(_) | Err(_) => (),
                    }
                }
            });
        }
    }
}

#[cfg(feature = "tls")]
async fn shake_hands(stream: TcpStream, connection: u64, state: &State) -> io::Result<Stream> {
    let Some(config) = state.certificate() else {
        return Ok(Stream::Plain(stream));
    };
    let mut reset = state.resets();
    let shaken = tokio::select! {
        shaken = super::tls::accept(config, stream) => shaken,
        _ = reset.changed() => Err(io::ErrorKind::ConnectionReset.into()),
    };
    let (stream, handshake) = shaken.inspect_err(|_| state.handshake_failed())?;
    state.agreed(connection, handshake);
    Ok(Stream::Tls(Box::new(stream)))
}

#[cfg(not(feature = "tls"))]
async fn shake_hands(stream: TcpStream, _connection: u64, _state: &State) -> io::Result<Stream> {
    Ok(Stream::Plain(stream))
}

//! What stands before every upload server: it passes requests on, does harm to the chosen ones, and writes down all of them.

mod fault;
mod log;
mod relay;
mod wire;

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::fault::Fault;
pub use self::log::Passed;

use self::fault::Armed;
use self::log::Log;

/// A relay of HTTP/1.1 on a free loopback port. Dropping it closes its connections.
///
/// It changes no byte of what it passes on, unless told to, so a signature that covers the host is right when it was made for the gate's.
/// Each connection of a client has one of its own to the server behind.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Gate {
    /// Opens a gate before what listens on this port of 127.0.0.1.
    ///
    /// # Panics
    /// When no socket can be had.
    #[must_use]
    pub fn before(port: u16) -> Self {
        let open = || -> io::Result<Self> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            let shared = Arc::new(Shared {
                server: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                opened: Instant::now(),
                log: Log::default(),
                faults: Mutex::default(),
                sockets: Mutex::default(),
                closed: AtomicBool::new(false),
            });
            let accepting = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || accept(&listener, &shared))
            };
            Ok(Self {
                address,
                shared,
                accepting: Some(accepting),
            })
        };
        open().unwrap_or_else(|error| panic!("a gate before port {port}: {error}"))
    }

    /// `http://127.0.0.1:port` of the gate, and `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The gate's own port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Forgets all faults and takes these; an empty list heals everything.
    pub fn set(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.shared.faults() = faults.into_iter().map(Armed::new).collect();
    }

    /// One more fault, behind those that are there: of several that fit a request, the first counts.
    /// [`Fault::delay`] and [`Fault::slow`] count besides.
    pub fn add(&self, fault: Fault) {
        self.shared.faults().push(Armed::new(fault));
    }

    /// All requests so far, in the order of their arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Passed> {
        self.shared.log.all()
    }

    /// The same as lines of `METHOD path status`, for comparing; a trouble made on purpose follows in brackets.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(ToString::to_string).collect()
    }

    /// Bytes of all request bodies so far: what a client sent, be it for nothing.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.requests().iter().map(|one| one.received).sum()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.log.clear();
    }

    /// Closes every connection that is open now, as a server that restarts does.
    pub fn disconnect(&self) {
        self.shared.shut_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.shut_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.shared.shut_all();
    }
}

/// What the connections of a gate share.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    opened: Instant,
    log: Log,
    faults: Mutex<Vec<Armed>>,
    sockets: Mutex<Vec<(u64, TcpStream)>>,
    closed: AtomicBool,
}

impl Shared {
    fn faults(&self) -> std::sync::MutexGuard<'_, Vec<Armed>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sockets(&self) -> std::sync::MutexGuard<'_, Vec<(u64, TcpStream)>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Remembers a socket of a connection, so that closing the gate closes it too.
    fn keep(&self, connection: u64, socket: &TcpStream) -> io::Result<()> {
        self.sockets().push((connection, socket.try_clone()?));
        if self.is_closed() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        Ok(())
    }

    fn shut(&self, connection: u64) {
        self.sockets().retain(|(of, socket)| {
            if *of == connection {
                let _ = socket.shutdown(Shutdown::Both);
            }
            *of != connection
        });
    }

    fn shut_all(&self) {
        for (_, socket) in self.sockets().iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (connection, client) in (0..).zip(listener.incoming()) {
        if shared.is_closed() {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        // Not joined: it ends when its sockets are shut, which closing the gate does.
        thread::spawn(move || {
            // What breaks a connection breaks it for its client, who is the one to complain.
            let _ = relay::connection(&shared, connection, client);
            shared.shut(connection);
        });
    }
}

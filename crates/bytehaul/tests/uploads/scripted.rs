//! A server whose answers a test writes byte by byte, for what real servers do not say on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Answers one request on each connection. Its threads end with the test's process.
pub(crate) struct Scripted {
    port: u16,
    shared: Arc<Shared>,
}

type Answering = dyn Fn(usize, &str) -> String + Send + Sync;

struct Shared {
    answer: Box<Answering>,
    seen: Mutex<Vec<String>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl Scripted {
    /// `answer` gets the number of the request, from 0, and its first line, and gives all bytes of the answer.
    pub(crate) fn start(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            seen: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&of_thread);
                // A client that goes away is what some tests are about.
                thread::spawn(move || drop(client.and_then(|client| shared.serve(&client))));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/f", self.port)
    }

    /// The first lines of the requests, without the version.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn most_in_flight(&self) -> usize {
        self.shared.most_in_flight.load(SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut client: &TcpStream) -> std::io::Result<()> {
        let mut from = BufReader::new(client);
        let (mut first, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let line = line.trim_end().to_lowercase();
            match line.split_once(": ") {
                Some(("content-length", digits)) => length = digits.parse().unwrap(),
                Some(_) => (),
                None if line.is_empty() => break,
                None => first = line.trim_end_matches(" http/1.1").to_owned(),
            }
        }
        let now = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.most_in_flight.fetch_max(now, SeqCst);
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(first.clone());
            seen.len() - 1
        };
        std::io::copy(&mut from.take(length), &mut std::io::sink())?;
        // Time for another one to come meanwhile.
        thread::sleep(Duration::from_millis(10));
        let answer = (self.answer)(number, &first);
        self.in_flight.fetch_sub(1, SeqCst);
        client.write_all(answer.as_bytes())
    }
}

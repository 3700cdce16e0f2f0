//! One connection of a client: its requests go to the server, the answers come back, and faults strike in between.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use super::fault::{Kind, Reply, Trouble};
use super::log::Entry;
use super::wire::{self, Framing, Head, Piece};

/// Serves a client until it or the server closes, or a fault does.
pub(super) fn connection(shared: &Shared, number: u64, client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    shared.keep(number, &client)?;
    let mut from = BufReader::with_capacity(BUFFER, client.try_clone()?);
    let mut server = None;
    while let Some(head) = Head::read(&mut from)? {
        let entry = shared.log.open(number, shared.opened.elapsed(), &head);
        let trouble = Trouble::of(&mut shared.faults(), &head);
        entry.change(|entry| entry.fault = trouble.name());
        thread::sleep(trouble.delay);
        let mut exchange = Exchange {
            client: &client,
            from: &mut from,
            head: &head,
            entry: &entry,
            trouble: &trouble,
        };
        let next = match &trouble.kind {
            Some(Kind::Drop) => Next::Close,
            Some(Kind::Refuse(reply)) => exchange.refuse(reply)?,
            _ => {
                let server = match &mut server {
                    Some(server) => server,
                    empty => empty.insert(Upstream::connect(shared, number)?),
                };
                exchange.pass(server)?
            }
        };
        match next {
            Next::Request => (),
            Next::Close => break,
            Next::Hang => {
                // Until the client has enough, or the gate is closed.
                io::copy(&mut from, &mut io::sink())?;
                break;
            }
        }
    }
    Ok(())
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Request,
    Close,
    Hang,
}

/// The connection to the server that belongs to a client's.
#[derive(Debug)]
struct Upstream {
    stream: TcpStream,
    from: BufReader<TcpStream>,
}

impl Upstream {
    fn connect(shared: &Shared, number: u64) -> io::Result<Self> {
        let stream = TcpStream::connect(shared.server)?;
        stream.set_nodelay(true)?;
        shared.keep(number, &stream)?;
        let from = BufReader::with_capacity(BUFFER, stream.try_clone()?);
        Ok(Self { stream, from })
    }
}

/// One request and its answer.
struct Exchange<'a> {
    client: &'a TcpStream,
    from: &'a mut BufReader<TcpStream>,
    head: &'a Head,
    entry: &'a Entry,
    trouble: &'a Trouble,
}

impl Exchange<'_> {
    fn refuse(&mut self, reply: &Reply) -> io::Result<Next> {
        let waits_for_leave = self.head.has("expect", "100-continue");
        if !waits_for_leave {
            let entry = self.entry;
            wire::body(self.from, self.head.request_body()?, |piece| {
                if let Piece::Content(bytes) = piece {
                    entry.change(|entry| entry.received += bytes.len() as u64);
                }
                Ok(())
            })?;
        }
        answer(self.client, reply, &self.head.method, self.entry)?;
        // Without its leave the body may come or not: nobody knows where the next request begins.
        Ok(if waits_for_leave {
            Next::Close
        } else {
            Next::Request
        })
    }

    fn pass(&mut self, server: &mut Upstream) -> io::Result<Next> {
        let Upstream { stream, from } = server;
        stream.write_all(&self.head.bytes)?;
        let (client, entry, head) = (self.client, self.entry, self.head);
        let kind = self.trouble.kind.as_ref();
        let is_sent = &AtomicBool::new(false);
        thread::scope(|scope| {
            let answer = scope.spawn(move || {
                let next = pass_answer(from, client, head, entry, kind);
                // After an answer before the end of the body the client may go on sending a while, but not for ever;
                // without one there is nothing to wait for.
                let grace = if next.is_ok() { GRACE } else { Duration::ZERO };
                if !within(grace, || is_sent.load(Ordering::Acquire)) {
                    let _ = client.shutdown(Shutdown::Both);
                }
                next
            });
            let sent = self.pass_body(stream);
            is_sent.store(true, Ordering::Release);
            let next = match &sent {
                Ok(next) => *next,
                Err(_) => Next::Close,
            };
            if next == Next::Close {
                // The server learns that there is no more, ends what it does, and closes; then the client may see it.
                let _ = stream.shutdown(Shutdown::Write);
                if !within(GRACE, || answer.is_finished()) {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            let answered = answer
                .join()
                .map_err(|_| io::Error::other("the answer's thread panicked"))?;
            sent?;
            if next == Next::Close {
                return Ok(next);
            }
            answered
        })
    }

    fn pass_body(&mut self, server: &mut TcpStream) -> io::Result<Next> {
        let framing = self.head.request_body()?;
        let most = match self.trouble.kind {
            Some(Kind::Cut(most)) => most,
            _ => u64::MAX,
        };
        let (began, mut passed, mut is_deaf) = (Instant::now(), 0u64, false);
        let (entry, rate) = (self.entry, self.trouble.rate);
        let mut pass = |bytes: &[u8]| {
            // A server that answered early may listen no more; the client still has to get rid of the rest.
            is_deaf = is_deaf || server.write_all(bytes).is_err();
        };
        let outcome = wire::body(self.from, framing, |piece| {
            let bytes = match piece {
                Piece::Framing(bytes) => {
                    pass(bytes);
                    return Ok(());
                }
                Piece::Content(bytes) => bytes,
            };
            for bytes in bytes.chunks(rate.map_or(BUFFER, step)) {
                let room = usize::try_from(most - passed).unwrap_or(usize::MAX);
                let bytes = &bytes[..bytes.len().min(room)];
                pass(bytes);
                passed += bytes.len() as u64;
                entry.change(|entry| entry.received = passed);
                if passed == most {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                if let Some(rate) = rate {
                    let due = Duration::from_secs_f64(passed as f64 / rate.max(1) as f64);
                    thread::sleep(due.saturating_sub(began.elapsed()));
                }
            }
            Ok(())
        });
        match outcome {
            _ if matches!(self.trouble.kind, Some(Kind::Cut(_))) => {
                // Node forgets what it has not yet handed on when the end comes with it.
                thread::sleep(SETTLE);
                Ok(Next::Close)
            }
            Ok(()) => Ok(Next::Request),
            Err(error) => Err(error),
        }
    }
}

/// Bytes passed on at once at this rate: about twenty times a second.
fn step(bytes_per_second: u64) -> usize {
    usize::try_from(bytes_per_second / 20)
        .unwrap_or(BUFFER)
        .clamp(1, BUFFER)
}

/// Passes on what the server says, up to the end of its final answer.
fn pass_answer(
    from: &mut BufReader<TcpStream>,
    mut client: &TcpStream,
    request: &Head,
    entry: &Entry,
    kind: Option<&Kind>,
) -> io::Result<Next> {
    let is_heard = !matches!(
        kind,
        Some(Kind::Cut(_) | Kind::Lose | Kind::Hang | Kind::Replace(_))
    );
    loop {
        let Some(head) = Head::read(from)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let status = head.status()?;
        let is_interim = (100..200).contains(&status);
        let is_torn = matches!(kind, Some(Kind::Cut(_)));
        // What a server says of half a request is an answer to none.
        if !is_interim && !is_torn {
            // Before anything is sent: who has the answer may ask for the log at once.
            entry.change(|entry| {
                entry.status = status;
                entry.answered = is_heard;
            });
        }
        // What is said in between gets through, whatever becomes of the answer.
        if is_heard || is_interim {
            client.write_all(&head.bytes)?;
        }
        let framing = head.answer_body(&request.method)?;
        let mut is_whole = !matches!(kind, Some(Kind::Corrupt)) || is_interim;
        wire::body(from, framing, |piece| match piece {
            Piece::Content([first, rest @ ..]) if !is_whole => {
                is_whole = true;
                client.write_all(&[first ^ 1])?;
                client.write_all(rest)
            }
            Piece::Content(bytes) | Piece::Framing(bytes) if is_heard => client.write_all(bytes),
            Piece::Content(_) | Piece::Framing(_) => Ok(()),
        })?;
        if is_interim {
            continue;
        }
        return Ok(match kind {
            Some(Kind::Hang) => Next::Hang,
            Some(Kind::Lose | Kind::Cut(_)) => Next::Close,
            Some(Kind::Replace(reply)) => {
                answer(client, reply, &request.method, entry)?;
                Next::Request
            }
            _ if framing == Framing::UntilClosed || head.has("connection", "close") => Next::Close,
            _ => Next::Request,
        });
    }
}

fn answer(mut client: &TcpStream, reply: &Reply, method: &str, entry: &Entry) -> io::Result<()> {
    entry.change(|entry| {
        entry.status = reply.status;
        entry.answered = true;
    });
    client.write_all(&reply.bytes(method))
}

/// Whether it holds before the time is over.
fn within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() >= time {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

const BUFFER: usize = 64 << 10;
const GRACE: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_millis(150);
const POLL: Duration = Duration::from_millis(1);

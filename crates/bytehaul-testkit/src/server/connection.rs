//! One accepted connection: reads requests and carries out what was planned for each, byte by byte.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep_until;

use super::answer::{Answer, End, Framing, Plan};
use super::behaviour::Facts;
use super::log::Entry;
use super::pace::Pacer;
use super::request::Request;
use super::route::{Flight, Route};
use super::state::State;
use super::stream::Stream;

pub(super) struct Connection {
    id: u64,
    stream: Stream,
    state: Arc<State>,
    received: Vec<u8>,
    line: Pacer,
    block: Vec<u8>,
}

impl Connection {
    pub(super) fn new(id: u64, stream: Stream, state: Arc<State>) -> Self {
        Self {
            id,
            stream,
            state,
            received: Vec::new(),
            line: Pacer::default(),
            block: Vec::new(),
        }
    }

    /// Answers requests until either side ends the connection.
    pub(super) async fn serve(mut self) {
        let mut reset = self.state.resets();
        let ended = tokio::select! {
            ended = self.answer_all() => ended,
            _ = reset.changed() => Ok(Next::Reset),
        };
        // Errors are the client's leaving, which is not this server's business.
        if matches!(ended, Ok(Next::Reset)) {
            let _ = self.stream.set_zero_linger();
        }
    }

    async fn answer_all(&mut self) -> io::Result<Next> {
        while let Some(request) = Request::read(&mut self.stream, &mut self.received).await? {
            self.skip_body(&request).await?;
            match self.answer(&request).await? {
                Next::Request => (),
                next @ (Next::Close | Next::Reset) => return Ok(next),
            }
        }
        Ok(Next::Close)
    }

    async fn skip_body(&mut self, request: &Request) -> io::Result<()> {
        let mut left = usize::try_from(request.body_len()).map_err(io::Error::other)?;
        loop {
            let here = left.min(self.received.len());
            self.received.drain(..here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn answer(&mut self, request: &Request) -> io::Result<Next> {
        let (route, chance) = self.state.route(request.path());
        let entry = self.state.record(self.id, request);
        let (flight, facts) = route.enter(request, self.id, chance);
        match route.plan(request, &facts) {
            Plan::Hang => self.wait_for_the_peer().await,
            Plan::Raw(bytes) => {
                self.stream.write_all(&bytes).await?;
                self.stream.flush().await?;
                Ok(Next::Close)
            }
            Plan::Answer(answer) => {
                self.send(
                    &answer,
                    Turn {
                        route,
                        facts,
                        flight,
                        entry,
                    },
                )
                .await
            }
        }
    }

    async fn send(&mut self, answer: &Answer, mut turn: Turn) -> io::Result<Next> {
        tokio::time::sleep(answer.latency).await;
        turn.entry.status(answer.status);
        if answer.sent_len() == 0 {
            turn.over(answer);
        }
        self.send_head(answer).await?;
        self.send_body(answer, &mut turn).await?;
        match answer.end {
            End::Complete if answer.close => self.close_in_order().await,
            End::Complete => Ok(Next::Request),
            End::Fin(_) => self.close_in_order().await,
            End::Reset(_) => Ok(Next::Reset),
            End::Stall(_) => self.wait_for_the_peer().await,
        }
    }

    async fn send_head(&mut self, answer: &Answer) -> io::Result<()> {
        let Some(pause) = answer.head_pause else {
            self.stream.write_all(&answer.head).await?;
            return self.stream.flush().await;
        };
        for byte in &answer.head {
            self.stream.write_all(&[*byte]).await?;
            self.stream.flush().await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn send_body(&mut self, answer: &Answer, turn: &mut Turn) -> io::Result<()> {
        let len = answer.sent_len();
        let begin = Instant::now();
        self.line.restart(begin);
        turn.route.restart_line_if_idle(begin);
        let mut position = 0;
        while position < len {
            let most = turn
                .route
                .slowest(&turn.facts)
                .map_or(MAX_BLOCK, |rate| (rate / 50).clamp(1, MAX_BLOCK));
            let most = if let Framing::Chunked(size) = answer.framing {
                most.min(size)
            } else {
                most
            };
            let size = most.min(len - position);
            if let Some(due) = turn
                .route
                .due(&turn.facts, &mut self.line, Instant::now(), size)
            {
                sleep_until(due.into()).await;
            }
            self.fill_block(answer, position, size);
            position += size;
            if position == len {
                turn.over(answer);
            }
            self.send_block(size, &turn.entry).await?;
        }
        match (answer.framing, answer.end) {
            (Framing::Chunked(_), End::Complete) => {
                self.stream.write_all(b"0\r\n\r\n").await?;
                self.stream.flush().await
            }
            _ => Ok(()),
        }
    }

    fn fill_block(&mut self, answer: &Answer, position: u64, size: u64) {
        self.block.clear();
        let chunked = matches!(answer.framing, Framing::Chunked(_));
        if chunked {
            self.block.extend(format!("{size:x}\r\n").into_bytes());
        }
        let start = self.block.len();
        let size = usize::try_from(size).expect("a block fits memory");
        self.block.resize(start + size, 0);
        answer.fill(position, &mut self.block[start..]);
        if chunked {
            self.block.extend(b"\r\n");
        }
    }

    async fn send_block(&mut self, size: u64, entry: &Entry) -> io::Result<()> {
        entry.sending(size);
        let mut rest = self.block.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest).await {
                Ok(sent) => rest = &rest[sent..],
                Err(error) => {
                    entry.not_sent(size.min(rest.len() as u64));
                    return Err(error);
                }
            }
        }
        // TLS keeps what the kernel would not take at once.
        self.stream.flush().await
    }

    /// Sends FIN and then waits a moment: closing with unread bytes left would turn into a reset.
    async fn close_in_order(&mut self) -> io::Result<Next> {
        self.stream.shutdown().await?;
        let _ = tokio::time::timeout(LINGER, self.wait_for_the_peer()).await;
        Ok(Next::Close)
    }

    async fn wait_for_the_peer(&mut self) -> io::Result<Next> {
        let mut ignored = [0; 4096];
        while self.stream.read(&mut ignored).await? > 0 {}
        Ok(Next::Close)
    }
}

/// What comes after an answer.
enum Next {
    Request,
    Close,
    Reset,
}

/// A request's place in the books of the server.
struct Turn {
    route: Arc<Route>,
    facts: Facts,
    flight: Flight,
    entry: Arc<Entry>,
}

impl Turn {
    /// Called just before the last bytes go out.
    fn over(&mut self, answer: &Answer) {
        match answer.end {
            End::Complete => {
                self.entry.finished();
                self.flight.land();
            }
            End::Fin(_) | End::Reset(_) => self.flight.land(),
            End::Stall(_) => (),
        }
    }
}

const MAX_BLOCK: u64 = 256 << 10;
const LINGER: Duration = Duration::from_secs(2);

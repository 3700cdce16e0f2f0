//! A TLS connection that receives in large pieces and gives plaintext straight to the reader.
//!
//! rustls's buffered connection takes its bytes in small receives and keeps them in queues of its own. Here the receive
//! buffer is ours: one large receive, the records decrypted in it, and their plaintext copied once into the reader's buffer.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::ConnectionState;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{Incoming, Queue, give};
use super::failure::{Credentials, Failure};

/// A client's side of a connection whose handshake is done.
pub(crate) struct TlsStream<S> {
    session: UnbufferedClientConnection,
    io: S,
    incoming: Incoming,
    outgoing: Queue,
    /// Small pieces of what is written, gathered into one record.
    gathered: Vec<u8>,
    /// Plaintext that the reader had no room for.
    plain: Queue,
    peer_closed: bool,
    credentials: Credentials,
    /// How the session has failed. It is not asked again: rustls would read on past what it has refused.
    failed: Option<rustls::Error>,
}

/// What the session can do next.
enum Turn {
    /// Something was done; there may be more to do with what is there.
    Again,
    /// Nothing without more bytes from the peer. The handshake is done or not.
    NeedsInput(Handshake),
    /// So many bytes of the payload were encrypted.
    Encrypted(usize),
}

enum Handshake {
    Done,
    UnderWay,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Does the handshake.
    pub(crate) async fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        io: S,
    ) -> io::Result<Self> {
        let credentials = match config.client_auth_cert_resolver.has_certs() {
            true => Credentials::Given,
            false => Credentials::None,
        };
        let session = UnbufferedClientConnection::new(config, name)
            .map_err(|error| Failure::new(error, credentials))?;
        let mut stream = Self {
            session,
            io,
            incoming: Incoming::new(),
            outgoing: Queue::default(),
            gathered: Vec::new(),
            plain: Queue::default(),
            peer_closed: false,
            credentials,
            failed: None,
        };
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The stream below.
    pub(crate) fn get_ref(&self) -> &S {
        &self.io
    }

    /// The protocol that both sides agreed on (RFC 7301).
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.session.protocol_version()
    }

    /// Whether an earlier session was taken up again.
    pub(crate) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.session.handshake_kind()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.turn(None, &[]) {
                Ok(Turn::Again | Turn::Encrypted(_)) => {}
                Ok(Turn::NeedsInput(handshake)) => {
                    ready!(self.poll_send(cx))?;
                    match handshake {
                        Handshake::Done => return Poll::Ready(Ok(())),
                        Handshake::UnderWay => ready!(self.poll_receive(cx))?,
                    }
                }
                Err(error) => {
                    // The alert that tells the peer why is worth one try.
                    let _ = self.poll_send(cx);
                    return Poll::Ready(Err(self.unheard(error)));
                }
            }
        }
    }

    /// The same error, made clearer where the first thing that came was not TLS.
    fn unheard(&self, error: io::Error) -> io::Error {
        match error.downcast::<Failure>() {
            Ok(failure) if self.version().is_none() => {
                failure.with_first_bytes(self.incoming.first()).into()
            }
            Ok(failure) => failure.into(),
            Err(error) => error,
        }
    }

    /// Lets the session take one step with the bytes that are there. Plaintext goes into the reader's buffer, and into the
    /// queue where that is full or missing.
    fn turn(&mut self, mut reader: Option<&mut ReadBuf<'_>>, payload: &[u8]) -> io::Result<Turn> {
        if let Some(error) = &self.failed {
            return Err(Failure::new(error.clone(), self.credentials).into());
        }
        let status = self.session.process_tls_records(self.incoming.filled_mut());
        let (mut discard, mut failure) = (status.discard, None);
        let turn = match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(io::Error::other)?;
                    discard += record.discard;
                    give(record.payload, reader.as_deref_mut(), &mut self.plain);
                }
                Ok(Turn::Again)
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                self.outgoing
                    .append(|room| data.encode(room))
                    .map_err(io::Error::other)?;
                Ok(Turn::Again)
            }
            // What was encoded waits in the queue, and nothing overtakes it there.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Turn::Again)
            }
            Ok(ConnectionState::BlockedHandshake) => Ok(Turn::NeedsInput(Handshake::UnderWay)),
            Ok(ConnectionState::WriteTraffic(_)) if payload.is_empty() => {
                Ok(Turn::NeedsInput(Handshake::Done))
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
                self.outgoing
                    .append(|room| traffic.encrypt(payload, room))
                    .map_err(io::Error::other)?;
                Ok(Turn::Encrypted(payload.len()))
            }
            Ok(ConnectionState::PeerClosed) => {
                self.peer_closed = true;
                Ok(Turn::Again)
            }
            Ok(ConnectionState::Closed) => Ok(Turn::NeedsInput(Handshake::Done)),
            Ok(_) => Err(io::Error::other("unexpected state of the tls session")),
            Err(error) => {
                failure = Some(error);
                Ok(Turn::Again)
            }
        };
        self.incoming.discard(discard);
        match failure {
            Some(error) => Err(self.fail(error)),
            None => turn,
        }
    }

    /// Ends the session, whose last word is the alert that it may have for the peer.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        let status = self.session.process_tls_records(self.incoming.filled_mut());
        if let Ok(ConnectionState::EncodeTlsData(mut alert)) = status.state {
            // Without it the connection ends all the same.
            let _ = self.outgoing.append(|room| alert.encode(room));
        }
        self.failed = Some(error.clone());
        Failure::new(error, self.credentials).into()
    }

    /// Puts a record with the beginning of the payload into the queue, and tells how much that was.
    fn encrypt(&mut self, payload: &[u8]) -> io::Result<usize> {
        loop {
            match self.turn(None, payload)? {
                Turn::Again => {}
                Turn::Encrypted(written) => return Ok(written),
                Turn::NeedsInput(_) => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// The same with several pieces, the first of them from this place on.
    fn encrypt_gathered(&mut self, pieces: &[IoSlice<'_>], mut at: usize) -> io::Result<usize> {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.clear();
        for piece in pieces {
            let piece = &piece[std::mem::take(&mut at)..];
            let room = MAX_PAYLOAD - gathered.len();
            gathered.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let encrypted = self.encrypt(&gathered);
        self.gathered = gathered;
        encrypted
    }

    /// Receives more. An end without the peer's notice is an error: it may be an attacker's.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = ReadBuf::new(self.incoming.room()?);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        match room.filled().len() {
            0 => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "connection closed without tls notice",
            ))),
            received => {
                self.incoming.received(received);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Sends all that waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, self.outgoing.rest())) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(sent) => self.outgoing.advance(sent),
                Err(error) => return Poll::Ready(Err(self.reason(cx, error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A peer that no longer listens may have said why, in an alert that was not read yet.
    fn reason(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        for _ in 0..LAST_RECEIVES {
            let said = loop {
                match self.turn(None, &[]) {
                    Ok(Turn::Again | Turn::Encrypted(_)) if !self.peer_closed => {}
                    Ok(_) => break None,
                    Err(said) => break Some(said),
                }
            };
            match said {
                Some(said) => return said,
                None if matches!(self.poll_receive(cx), Poll::Ready(Ok(()))) => {}
                None => return error,
            }
        }
        error
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let stream = &mut *self;
        let kept = buf.remaining().min(stream.plain.rest().len());
        buf.put_slice(&stream.plain.rest()[..kept]);
        stream.plain.advance(kept);
        while buf.remaining() > 0 {
            let step = match stream.turn(Some(buf), &[]) {
                Ok(Turn::Again | Turn::Encrypted(_)) => continue,
                Ok(Turn::NeedsInput(_)) => {
                    // Such as an answer to a change of keys. What cannot be sent now goes with the next write.
                    let _ = stream.poll_send(cx)?;
                    if buf.filled().len() > before || stream.peer_closed {
                        return Poll::Ready(Ok(()));
                    }
                    ready!(stream.poll_receive(cx))
                }
                Err(error) => Err(error),
            };
            // Bytes that came before an error are given first; the session keeps the error.
            if let Err(error) = step {
                return Poll::Ready(if buf.filled().len() > before {
                    Ok(())
                } else {
                    Err(error)
                });
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let stream = &mut *self;
        let mut written = 0;
        let mut at = 0;
        for _record in 0..MAX_RECORDS {
            while let [first, rest @ ..] = bufs
                && at == first.len()
            {
                (bufs, at) = (rest, 0);
            }
            let encrypted = match bufs {
                [] => break,
                [only] => stream.encrypt(&only[at..])?,
                [first, ..] if first.len() - at >= MAX_PAYLOAD => stream.encrypt(&first[at..])?,
                many => stream.encrypt_gathered(many, at)?,
            };
            written += encrypted;
            (bufs, at) = past(bufs, at, encrypted);
        }
        // What does not go out at once is sent by the next write or flush.
        let _ = stream.poll_send(cx)?;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

/// Where the pieces go on after so many bytes.
fn past<'a, 'b>(
    mut pieces: &'a [IoSlice<'b>],
    mut at: usize,
    mut bytes: usize,
) -> (&'a [IoSlice<'b>], usize) {
    while let [first, rest @ ..] = pieces {
        let step = bytes.min(first.len() - at);
        (bytes, at) = (bytes - step, at + step);
        if at < first.len() {
            break;
        }
        (pieces, at) = (rest, 0);
    }
    (pieces, at)
}

/// Records that are sent at a time. Each send costs more than the encryption of one.
const MAX_RECORDS: usize = 8;

/// Plaintext of one record at most (RFC 8446 section 5.1).
const MAX_PAYLOAD: usize = 16 * 1024;

/// Receives in search of the reason why nothing can be sent any more.
const LAST_RECEIVES: usize = 4;

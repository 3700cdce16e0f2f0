//! Takes the frames of an HTTP/2 connection apart: payload of bodies is for their readers, all the rest is for h2.
//!
//! h2 puts each frame into a buffer of its own before anybody sees it, and a body read so costs twice the CPU time.
//! So it gets no `DATA` frames (RFC 9113 section 6.1). What it would have done with them is done here: both windows, padding,
//! and the end of the stream, which h2 is told as a reset without error, for it would miss the bytes of the content-length.

use std::collections::HashMap;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::outgoing::Sent;
use super::{CONNECTION_WINDOW, MAX_FRAME, STREAM_WINDOW};
use crate::request_body::Outlet;

/// The receiving side of a connection, and the window updates that answer it.
pub(super) struct Frames<S> {
    pub(super) io: S,
    at: At,
    /// Within the frames of one field block, among which no other may be.
    in_block: bool,
    /// What h2 is to read.
    pub(super) control: BytesMut,
    inboxes: HashMap<u32, Inbox>,
    /// The highest stream that was asked for.
    opened: u32,
    window: Window,
    /// Window updates that wait to be sent.
    pub(super) updates: BytesMut,
}

/// What has come for one stream and was not read yet.
pub(super) struct Inbox {
    pub(super) bytes: BytesMut,
    /// The last byte is in the inbox or was read.
    pub(super) ended: bool,
    /// A head has come, without which there can be no body.
    headed: bool,
    window: Window,
    /// Of the request's body.
    outlet: Option<Arc<Outlet>>,
    /// The end came before the request's, and h2 was not told of it: it would forget the rest of the request.
    untold: bool,
}

/// What comes next on the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// Something was put down for h2.
    Control,
    /// So many bytes of a body; none where it ends and h2 is not to hear of it.
    Data { id: u32, left: usize },
    /// Nothing any more.
    End,
}

/// Where in a frame the connection stands.
enum At {
    Header { bytes: [u8; HEADER], have: usize },
    Control { left: usize },
    PadLength(Data),
    Data(Data),
}

#[derive(Clone, Copy)]
struct Data {
    id: u32,
    left: usize,
    padding: usize,
    ends: bool,
}

/// Bytes that the peer may still send, and those that it may again but was not told of.
struct Window {
    open: u32,
    owed: u32,
}

impl Window {
    fn take(&mut self, bytes: usize) -> io::Result<()> {
        let left = usize::try_from(self.open)
            .ok()
            .and_then(|open| open.checked_sub(bytes));
        let left = left.and_then(|left| u32::try_from(left).ok());
        self.open = left.ok_or_else(|| invalid("more data than the window has room for"))?;
        Ok(())
    }

    /// How much to tell the peer, when it is worth a frame.
    fn give(&mut self, bytes: usize) -> Option<u32> {
        self.owed += u32::try_from(bytes).expect("no more than the window");
        if self.owed < RELEASE {
            return None;
        }
        self.open += self.owed;
        Some(std::mem::take(&mut self.owed))
    }
}

impl Inbox {
    fn new(outlet: Option<Arc<Outlet>>) -> Self {
        Self {
            bytes: BytesMut::new(),
            ended: false,
            headed: false,
            window: Window {
                open: STREAM_WINDOW,
                owed: 0,
            },
            outlet,
            untold: false,
        }
    }
}

impl<S: AsyncRead + Unpin> Frames<S> {
    pub(super) fn new(io: S) -> Self {
        Self {
            io,
            at: At::START,
            in_block: false,
            control: BytesMut::new(),
            inboxes: HashMap::new(),
            opened: 0,
            window: Window {
                open: CONNECTION_WINDOW,
                owed: 0,
            },
            updates: BytesMut::new(),
        }
    }

    /// A request was sent on the stream. Its answer may have begun to arrive. Streams are opened in their order.
    pub(super) fn open(&mut self, id: u32, outlet: Option<Arc<Outlet>>) {
        self.opened = self.opened.max(id);
        let inbox = self.inboxes.entry(id).or_insert_with(|| Inbox::new(None));
        inbox.outlet = outlet;
    }

    /// A frame of a request's body is on its way.
    pub(super) fn sent(&self, data: Sent) {
        let inbox = self.inboxes.get(&data.id);
        if let Some(outlet) = inbox.and_then(|inbox| inbox.outlet.as_ref()) {
            outlet.wrote(data.length as u64);
            if data.ends {
                outlet.flushed();
            }
        }
    }

    pub(super) fn inbox(&mut self, id: u32) -> Option<&mut Inbox> {
        self.inboxes.get_mut(&id)
    }

    /// Nobody reads the stream any more. What still comes is thrown away. Tells whether it had ended, and h2 hears of it.
    pub(super) fn close(&mut self, id: u32) -> bool {
        let Some(inbox) = self.inboxes.remove(&id) else {
            return false;
        };
        self.credit(id, inbox.bytes.len());
        inbox.ended && !inbox.untold
    }

    /// Reads up to the next byte of a body.
    pub(super) fn poll_front(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Front>> {
        loop {
            match self.at {
                At::Header { .. } => {
                    if ready!(self.poll_header(cx))?.is_none() {
                        return Poll::Ready(Ok(Front::End));
                    }
                }
                At::Control { left: 0 } => {
                    self.at = At::START;
                    return Poll::Ready(Ok(Front::Control));
                }
                At::Control { left } => {
                    let room = left.min(STEP);
                    self.control.reserve(room);
                    let mut control = (&mut self.control).limit(room);
                    let read = some(ready!(pin!(self.io.read_buf(&mut control)).poll(cx))?)?;
                    self.at = At::Control { left: left - read };
                    return Poll::Ready(Ok(Front::Control));
                }
                At::PadLength(data) => ready!(self.poll_pad_length(cx, data))?,
                At::Data(Data { id, left, .. }) if left > 0 => {
                    return Poll::Ready(Ok(Front::Data { id, left }));
                }
                At::Data(data) if data.padding > 0 => ready!(self.poll_padding(cx, data))?,
                At::Data(Data { id, ends, .. }) => {
                    self.at = At::START;
                    if ends && let Some(inbox) = self.inboxes.get_mut(&id) {
                        inbox.ended = true;
                        if inbox.outlet.as_ref().is_some_and(|outlet| !outlet.is_out()) {
                            inbox.untold = true;
                            return Poll::Ready(Ok(Front::Data { id, left: 0 }));
                        }
                        put_frame(&mut self.control, RST_STREAM, id, 0);
                        return Poll::Ready(Ok(Front::Control));
                    }
                }
            }
        }
    }

    /// Some bytes of a header, and what a whole one means. `None` is the end of the connection in front of one.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<()>>> {
        let At::Header { bytes, have } = &mut self.at else {
            return Poll::Ready(Ok(Some(())));
        };
        let mut room = ReadBuf::new(&mut bytes[*have..]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        if read == 0 && *have == 0 {
            return Poll::Ready(Ok(None));
        }
        *have += some(read)?;
        if *have == HEADER {
            let header = *bytes;
            self.begin(header)?;
        }
        Poll::Ready(Ok(Some(())))
    }

    fn poll_pad_length(&mut self, cx: &mut Context<'_>, mut data: Data) -> Poll<io::Result<()>> {
        let mut length = [0];
        let mut room = ReadBuf::new(&mut length);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        some(room.filled().len())?;
        data.padding = usize::from(length[0]);
        let left = data.left.checked_sub(1 + data.padding);
        data.left = left.ok_or_else(|| invalid("more padding than frame"))?;
        self.at = At::Data(data);
        self.credit(data.id, 1);
        Poll::Ready(Ok(()))
    }

    fn poll_padding(&mut self, cx: &mut Context<'_>, mut data: Data) -> Poll<io::Result<()>> {
        let mut waste = [0; u8::MAX as usize];
        let mut room = ReadBuf::new(&mut waste[..data.padding]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        let read = some(room.filled().len())?;
        data.padding -= read;
        self.at = At::Data(data);
        self.credit(data.id, read);
        Poll::Ready(Ok(()))
    }

    /// Reads bytes of the body that is at the front.
    pub(super) fn poll_payload<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<io::Result<usize>> {
        let At::Data(data) = &mut self.at else {
            return Poll::Ready(Ok(0));
        };
        let mut room = buf.limit(data.left);
        let read = some(ready!(pin!(self.io.read_buf(&mut room)).poll(cx))?)?;
        data.left -= read;
        let id = data.id;
        self.credit(id, read);
        Poll::Ready(Ok(read))
    }

    /// Puts bytes of the body that is at the front into its inbox, or throws them away when there is none.
    pub(super) fn poll_spill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let At::Data(data) = &mut self.at else {
            return Poll::Ready(Ok(()));
        };
        let room = data.left.min(STEP);
        match self.inboxes.get_mut(&data.id) {
            Some(inbox) => {
                inbox.bytes.reserve(room);
                let mut bytes = (&mut inbox.bytes).limit(room);
                data.left -= some(ready!(pin!(self.io.read_buf(&mut bytes)).poll(cx))?)?;
            }
            None => {
                let mut waste = [0; STEP];
                let mut waste = ReadBuf::new(&mut waste[..room]);
                ready!(Pin::new(&mut self.io).poll_read(cx, &mut waste))?;
                let read = some(waste.filled().len())?;
                data.left -= read;
                let id = data.id;
                self.credit(id, read);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes of a stream were read or thrown away, so that as many may be sent.
    pub(super) fn credit(&mut self, id: u32, bytes: usize) {
        if let Some(more) = self.window.give(bytes) {
            put_frame(&mut self.updates, WINDOW_UPDATE, 0, more);
        }
        if let Some(inbox) = self.inboxes.get_mut(&id)
            && let Some(more) = inbox.window.give(bytes)
            && !inbox.ended
        {
            put_frame(&mut self.updates, WINDOW_UPDATE, id, more);
        }
    }

    /// Decides whose a frame is.
    fn begin(&mut self, header: [u8; HEADER]) -> io::Result<()> {
        let [a, b, c, kind, flags, i, j, k, l] = header;
        let length = u32::from_be_bytes([0, a, b, c]);
        let id = u32::from_be_bytes([i & 0x7f, j, k, l]);
        let left = length as usize;
        if kind == DATA && self.is_ours(id, length) {
            self.window.take(left)?;
            if let Some(inbox) = self.inboxes.get_mut(&id) {
                inbox.window.take(left)?;
            }
            let data = Data {
                id,
                left,
                padding: 0,
                ends: flags & END_STREAM != 0,
            };
            self.at = match flags & PADDED {
                0 => At::Data(data),
                _ if left == 0 => return Err(invalid("padding without its length")),
                _ => At::PadLength(data),
            };
            return Ok(());
        }
        match kind {
            HEADERS => self.head(id, flags),
            PUSH_PROMISE | CONTINUATION => self.in_block = flags & END_HEADERS == 0,
            _ => {}
        }
        self.control.extend_from_slice(&header);
        self.at = At::Control { left };
        Ok(())
    }

    /// Data that should not be there is given to h2, which knows what is wrong with it.
    fn is_ours(&self, id: u32, length: u32) -> bool {
        let expected = match self.inboxes.get(&id) {
            Some(inbox) => inbox.headed && !inbox.ended,
            None => id % 2 == 1 && id <= self.opened,
        };
        expected && !self.in_block && length <= MAX_FRAME
    }

    fn head(&mut self, id: u32, flags: u8) {
        self.in_block = flags & END_HEADERS == 0;
        if id > self.opened {
            self.inboxes.entry(id).or_insert_with(|| Inbox::new(None));
        }
        if let Some(inbox) = self.inboxes.get_mut(&id) {
            inbox.headed = true;
            inbox.ended |= flags & END_STREAM != 0;
        }
    }
}

impl At {
    const START: Self = Self::Header {
        bytes: [0; HEADER],
        have: 0,
    };
}

fn put_frame(to: &mut BytesMut, kind: u8, id: u32, payload: u32) {
    to.put_slice(&[0, 0, 4, kind, 0]);
    to.put_u32(id);
    to.put_u32(payload);
}

fn some(read: usize) -> io::Result<usize> {
    match read {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Bytes of a frame before its payload.
pub(super) const HEADER: usize = 9;

/// Types and flags (RFC 9113 section 6).
pub(super) const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PUSH_PROMISE: u8 = 5;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// Bytes that are moved at a time where nobody waits for them.
const STEP: usize = 16 * 1024;

/// Bytes that are read before the peer is told of the room. Each time costs a packet.
const RELEASE: u32 = 1 << 20;

#[cfg(test)]
mod tests;

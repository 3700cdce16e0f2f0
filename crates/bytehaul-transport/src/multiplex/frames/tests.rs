//! Frames in every split, and those that no peer should send.

use std::future::poll_fn;

use super::*;

/// Gives out so many bytes at a time.
struct Dribble<'a>(&'a [u8], usize);

impl AsyncRead for Dribble<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let step = self.1.min(self.0.len()).min(buf.remaining());
        let (given, rest) = self.0.split_at(step);
        buf.put_slice(given);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

fn head(id: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, id, b"head")
}

/// What was taken apart: the frames for h2, and the bodies of streams 1 and 3 with a full stop where they end.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    control: Vec<u8>,
    bodies: [String; 2],
}

/// Streams 1 and 3 are open; 5 was, but nobody reads it any more.
fn opened<S: AsyncRead + Unpin>(io: S) -> Frames<S> {
    let mut frames = Frames::new(io);
    [1, 3, 5].into_iter().for_each(|id| frames.open(id, None));
    frames.close(5);
    frames
}

async fn take_apart(bytes: &[u8], step: usize) -> io::Result<Parts> {
    let mut frames = opened(Dribble(bytes, step));
    loop {
        match poll_fn(|cx| frames.poll_front(cx)).await? {
            Front::Control => {}
            Front::Data { .. } => poll_fn(|cx| frames.poll_spill(cx)).await?,
            Front::End => break,
        }
    }
    let bodies = [1, 3].map(|id| {
        let inbox = frames.inbox(id).unwrap();
        let end = if inbox.ended { "." } else { "" };
        String::from_utf8_lossy(&inbox.bytes).into_owned() + end
    });
    Ok(Parts {
        control: frames.control.to_vec(),
        bodies,
    })
}

#[track_caller]
fn check(bytes: &[Vec<u8>], control: &[Vec<u8>], bodies: [&str; 2]) {
    let expected = Parts {
        control: control.concat(),
        bodies: bodies.map(str::to_owned),
    };
    let bytes = bytes.concat();
    for step in (1..=30).chain([usize::MAX]) {
        let parts = futures(take_apart(&bytes, step));
        assert_eq!(parts.unwrap(), expected, "by {step}");
    }
}

fn futures<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

#[test]
fn data_is_for_readers_and_the_rest_for_h2() {
    let ping = frame(6, 0, 0, b"12345678");
    let end = |id| frame(RST_STREAM, 0, id, &[0; 4]);
    check(
        &[
            frame(4, 0, 0, &[]),
            head(1),
            frame(DATA, 0, 1, b"ab"),
            head(3),
            frame(DATA, 0, 3, b"xy"),
            frame(DATA, 0, 1, b""),
            ping.clone(),
            frame(DATA, END_STREAM, 1, b"cd"),
            frame(DATA, END_STREAM, 3, b""),
        ],
        &[frame(4, 0, 0, &[]), head(1), head(3), ping, end(1), end(3)],
        ["abcd.", "xy."],
    );
}

#[test]
fn padding_is_no_body() {
    let padded = frame(DATA, PADDED | END_STREAM, 1, b"\x03abc\0\0\0");
    let empty = frame(DATA, PADDED, 3, b"\0");
    let only = frame(DATA, PADDED, 3, b"\x02\0\0");
    let end = frame(RST_STREAM, 0, 1, &[0; 4]);
    let control = [head(1), head(3), end];
    check(
        &[head(1), head(3), padded, empty, only],
        &control,
        ["abc.", ""],
    );
}

#[test]
fn what_nobody_reads_is_thrown_away() {
    let late = [head(5), frame(DATA, END_STREAM, 5, b"late"), head(1)];
    check(&late, &[head(5), head(1)], ["", ""]);
}

#[test]
fn an_end_in_the_head_is_an_end() {
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"head");
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 3, b"tail");
    let bytes = [
        whole.clone(),
        head(3),
        frame(DATA, 0, 3, b"x"),
        trailers.clone(),
    ];
    check(&bytes, &[whole, head(3), trailers], [".", "x."]);
}

#[test]
fn data_out_of_place_is_shown_to_h2() {
    let stray = [
        frame(DATA, 0, 1, b"before the head"),
        frame(DATA, 0, 7, b"never asked for"),
        frame(DATA, 0, 0, b"no stream"),
        frame(HEADERS, 0, 1, b"part of a head"),
        frame(DATA, 0, 1, b"within the head"),
        frame(CONTINUATION, END_HEADERS, 1, b"the rest"),
    ];
    check(&stray, &stray, ["", ""]);
}

#[test]
fn an_answer_may_overtake_the_request() {
    futures(async {
        let bytes = [head(1), frame(DATA, 0, 1, b"ab")].concat();
        let mut frames = Frames::new(&*bytes);
        let front = poll_fn(|cx| frames.poll_front(cx)).await;
        assert_eq!(front.unwrap(), Front::Control);
        while Front::Control == poll_fn(|cx| frames.poll_front(cx)).await.unwrap() {}
        poll_fn(|cx| frames.poll_spill(cx)).await.unwrap();
        frames.open(1, None);
        assert_eq!(frames.inbox(1).unwrap().bytes, "ab");
    });
}

#[test]
fn bad_frames_are_errors() {
    for (bad, kind) in [
        (
            frame(DATA, PADDED, 1, b"\x04abc"),
            io::ErrorKind::InvalidData,
        ),
        (frame(DATA, PADDED, 1, b""), io::ErrorKind::InvalidData),
        (
            frame(DATA, 0, 1, b"abc")[..11].to_vec(),
            io::ErrorKind::UnexpectedEof,
        ),
        (head(3)[..10].to_vec(), io::ErrorKind::UnexpectedEof),
        (head(3)[..5].to_vec(), io::ErrorKind::UnexpectedEof),
    ] {
        let bytes = [head(1), bad].concat();
        let outcome = futures(take_apart(&bytes, 4));
        assert_eq!(outcome.unwrap_err().kind(), kind);
    }
}

/// Full frames on one stream, as many as its window has room for and one more.
#[test]
fn windows_are_held_against_the_peer() {
    let full = frame(DATA, 0, 1, &vec![b'x'; MAX_FRAME as usize]);
    let fits = (STREAM_WINDOW / MAX_FRAME) as usize;
    let mut bytes = head(1);
    bytes.extend(full.repeat(fits));
    let parts = futures(take_apart(&bytes, usize::MAX)).unwrap();
    assert_eq!(parts.bodies[0].len(), STREAM_WINDOW as usize);
    bytes.extend(full);
    let outcome = futures(take_apart(&bytes, usize::MAX));
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn what_is_read_may_be_sent_again() {
    futures(async {
        let full = frame(DATA, 0, 1, &vec![b'x'; MAX_FRAME as usize]);
        let mut bytes = head(1);
        bytes.extend(full.repeat((RELEASE / MAX_FRAME) as usize));
        let mut frames = opened(&*bytes);
        let mut read = 0;
        let mut body = BytesMut::with_capacity(bytes.len());
        loop {
            match poll_fn(|cx| frames.poll_front(cx)).await.unwrap() {
                Front::Control => {}
                Front::Data { .. } => {
                    assert!(frames.updates.is_empty());
                    let polled = poll_fn(|cx| frames.poll_payload(cx, &mut body));
                    read += polled.await.unwrap();
                }
                Front::End => break,
            }
        }
        assert_eq!((read, body.len()), (RELEASE as usize, RELEASE as usize));
        let update = |id| frame(WINDOW_UPDATE, 0, id, &RELEASE.to_be_bytes());
        assert_eq!(frames.updates, [update(0), update(1)].concat());
    });
}

#[test]
fn bytes_of_a_dropped_stream_are_given_back_to_the_connection() {
    futures(async {
        let full = frame(DATA, 0, 1, &vec![b'x'; MAX_FRAME as usize]);
        let mut bytes = head(1);
        bytes.extend(full.repeat((RELEASE / MAX_FRAME) as usize));
        let mut frames = opened(&*bytes);
        while poll_fn(|cx| frames.poll_front(cx)).await.unwrap() != Front::End {
            poll_fn(|cx| frames.poll_spill(cx)).await.unwrap();
        }
        assert!(frames.updates.is_empty());
        assert!(!frames.close(1));
        let update = frame(WINDOW_UPDATE, 0, 0, &RELEASE.to_be_bytes());
        assert_eq!(frames.updates, update);
    });
}

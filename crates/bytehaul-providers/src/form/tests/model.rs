//! A server in memory that keeps the contract, and whatever may happen between it and a client.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Form, Read};
use crate::Lost;
use crate::played::{Driven, End, Play, Seen};

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Fine,
    /// It arrives, its answer does not.
    AnswerLost,
    RequestLost,
    Unsent,
    /// A gateway answers in place of the server, which has done its work.
    Gateway,
    Busy,
    Throttled,
    /// Only this many bytes of a chunk are kept, at least one.
    Piece(u64),
    /// The server loses all but this many bytes of what it has, then goes on.
    Loses(u64),
    CrashBefore,
    CrashAfter,
}

#[derive(Default)]
struct Server {
    staged: HashMap<String, Vec<u8>>,
    finished: HashMap<String, Vec<u8>>,
    /// How it answers: with the cursor always, an id at the end, and instantly what it knows.
    says_cursor: bool,
    says_id: bool,
}

impl Server {
    fn take(&mut self, read: &Read, luck: Luck) -> Play {
        if self.says_id && self.finished.contains_key(&read.md5) {
            return Play::body(200, format!("{{\"fileId\":\"{}\"}}", read.md5));
        }
        let staged = self.staged.entry(read.md5.clone()).or_default();
        if let Luck::Loses(kept) = luck {
            staged.truncate(kept as usize);
        }
        let Some((offset, data)) = &read.chunk else {
            return cursor(staged.len());
        };
        if *offset != staged.len() as u64 {
            return Play::status(500);
        }
        let kept = match luck {
            Luck::Piece(bytes) => bytes.clamp(1, data.len() as u64) as usize,
            _ => data.len(),
        };
        staged.extend_from_slice(&data[..kept]);
        if (staged.len() as u64) < read.total {
            return match self.says_cursor || kept < data.len() {
                true => cursor(staged.len()),
                false => Play::status(200),
            };
        }
        let whole = staged.clone();
        self.finished.insert(read.md5.clone(), whole);
        match self.says_id {
            true => Play::body(200, format!("{{\"fileId\":\"{}\"}}", read.md5)),
            false => Play::status(200),
        }
    }

    fn meet(&mut self, seen: &Seen, luck: Luck) -> Play {
        let read = Read::of(seen);
        match luck {
            Luck::Fine | Luck::Piece(_) | Luck::Loses(_) => self.take(&read, luck),
            Luck::RequestLost => Play::Lost(Lost::Unknown),
            Luck::Unsent => Play::Lost(Lost::Unsent),
            Luck::Busy => Play::status(503),
            Luck::Throttled => Play::status(429),
            Luck::CrashBefore => Play::Crash,
            Luck::AnswerLost | Luck::Gateway | Luck::CrashAfter => {
                let _ = self.take(&read, luck);
                match luck {
                    Luck::AnswerLost => Play::Lost(Lost::Unknown),
                    Luck::Gateway => Play::status(502),
                    _ => Play::Crash,
                }
            }
        }
    }
}

fn cursor(at: usize) -> Play {
    Play::body(200, format!("{{\"nextByte\":{at}}}"))
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        4 => Just(Luck::Fine),
        1 => Just(Luck::AnswerLost),
        1 => Just(Luck::RequestLost),
        1 => Just(Luck::Unsent),
        1 => Just(Luck::Gateway),
        1 => Just(Luck::Busy),
        1 => Just(Luck::Throttled),
        2 => (0..9_u64).prop_map(Luck::Piece),
        1 => (0..40_u64).prop_map(Luck::Loses),
        1 => Just(Luck::CrashBefore),
        1 => Just(Luck::CrashAfter),
    ]
}

proptest! {
    /// Whatever happens on the way, the object that is called complete is at the server, byte for byte, and an id that
    /// the server gave is handed on.
    #[test]
    fn an_upload_ends_with_the_object(
        source in prop::collection::vec(any::<u8>(), 0..60),
        part_size in 1..20_u64,
        says_cursor: bool,
        says_id: bool,
        mut lucks in prop::collection::vec(luck(), 0..40),
    ) {
        let mut server = Server { says_cursor, says_id, ..Server::default() };
        let form = Form::new("http://a.test/up").part_size(part_size);
        let mut driven = Driven::new(&form, &source);
        driven.tries = 100;
        let (end, acknowledged, saved) = driven.run(|seen| {
            let luck = lucks.pop().unwrap_or(Luck::Fine);
            server.meet(seen, luck)
        });
        let End::Done(completed) = &end else {
            return Err(TestCaseError::fail(format!("{end:?}")));
        };
        let md5 = &saved.extra["file-md5"];
        let instant_or_last = says_id && server.finished.contains_key(md5);
        prop_assert_eq!(completed.payload.is_some(), instant_or_last);
        let stored = server.finished.get(md5).or(server.staged.get(md5));
        prop_assert_eq!(stored, Some(&source));
        prop_assert_eq!(acknowledged.prefix, source.len() as u64);
    }
}

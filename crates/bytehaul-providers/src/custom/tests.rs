//! What a session of one's own takes from a checkpoint, and how long its calls may take.

use std::time::UNIX_EPOCH;

use super::*;
use crate::{Available, Next, ProtocolErrorKind, Saved, Stage};

#[derive(Debug)]
struct Nothing {
    parallel: bool,
}

impl CustomUpload for Nothing {
    fn name(&self) -> &str {
        "nothing"
    }

    fn target(&self) -> String {
        "nothing:".to_owned()
    }

    fn parallel(&self) -> bool {
        self.parallel
    }

    fn begin(&self, _: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>> {
        Box::pin(async { Ok(Begun::new()) })
    }

    fn part(&self, _: UploadContext, _: PartData) -> BoxFuture<'_, Result<PartTaken, CallError>> {
        Box::pin(async { Ok(PartTaken::new()) })
    }
}

/// The part size of a session whose checkpoint says `kept`.
fn opened(parallel: bool, len: u64, wanted: Option<u64>, kept: u64) -> Result<u64, ProtocolError> {
    let mut object = Object::new("f", Some(len));
    object.part_size = wanted;
    let saved = Saved {
        stage: Stage::Sending,
        part_size: kept,
        ..Saved::default()
    };
    let left = (kept > 0).then(|| Left::new(saved, true));
    let session = Custom::new(Nothing { parallel }).open(&object, left)?;
    Ok(session.part_size())
}

#[test]
fn part_sizes_make_no_more_parts_than_can_be_held() {
    const USUAL: u64 = 8 << 20;
    for parallel in [false, true] {
        let check = |len: u64, wanted: Option<u64>, kept: u64, expected: u64| {
            let size = opened(parallel, len, wanted, kept).unwrap();
            assert_eq!(size, expected, "{len} {wanted:?} {kept}");
        };
        check(1000, None, 0, USUAL);
        check(1000, Some(7), 0, 7);
        check(1000, Some(7), 9, 9);
        check(1000, None, 1, 1);
        // No run has made these.
        check(1 << 40, None, 1, USUAL);
        check(1 << 40, Some(5 << 20), 1, 5 << 20);
        check(1 << 40, None, u64::MAX, USUAL);
        check(1000, None, u64::MAX, USUAL);
        // What is asked for now may be as large as it likes.
        check(1 << 40, Some(1 << 33), 1 << 33, 1 << 33);
        let many = opened(parallel, 1 << 40, Some(1), 0).unwrap_err();
        assert_eq!(many.kind(), ProtocolErrorKind::Parameter, "{many}");
    }
}

#[test]
fn each_call_has_the_limit_that_was_set() {
    let available = Available {
        until: 1,
        ended: true,
    };
    for limit in [None, Some(Duration::from_secs(7))] {
        let custom = Custom::new(Nothing { parallel: false });
        let custom = limit.into_iter().fold(custom, Custom::call_timeout);
        let mut session = custom.open(&Object::new("f", Some(1)), None).unwrap();
        let mut limits = Vec::new();
        loop {
            match session.next(available, UNIX_EPOCH).unwrap() {
                Next::Call(call) => {
                    limits.push(call.limit);
                    let running = (call.run)(Bytes::from_static(b"x"));
                    let returned = now_or_never(running).unwrap();
                    session.returned(call.id, returned, UNIX_EPOCH).unwrap();
                }
                Next::Done(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(limits, [limit; 3]);
    }
}

fn now_or_never<T>(mut running: BoxFuture<'_, T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match running.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

//! Checkpoints of uploads, as a crash, a bad disk, another program or an application's database may give them back.

use bytehaul::Checkpoint;
use bytehaul_integrity::{crc32c, crc32c_append};
use bytehaul_providers::form::Form;
use bytehaul_providers::presigned::{PlanPart, Presigned, UploadPlan};
use bytehaul_providers::put::Put;
use bytehaul_providers::tus::{Tus, TusDraft};
use bytehaul_providers::{Left, Object, SessionId, Stage, UploadProtocol};
use bytehaul_storage::checkpoints::framed;

use crate::uploads::{Honest, discard, rest, source};

/// A file that is believed has one form, and its own bytes alone: not one fewer, not one more, not one changed.
pub fn checkpoint_file(data: &[u8]) {
    believed(data);
    // The same bytes behind a head that fits, or no input would ever get past it.
    let at = data
        .first()
        .map_or(0, |first| usize::from(*first) % data.len());
    let (key, content) = data.split_at(at);
    let bytes = frame(key, content);
    let expected = std::str::from_utf8(key).ok().map(|key| (key, content));
    assert_eq!(framed(&bytes), expected);
    if expected.is_some() {
        believed(&bytes);
    }
}

fn believed(bytes: &[u8]) {
    let Some((key, content)) = framed(bytes) else {
        return;
    };
    assert_eq!(frame(key.as_bytes(), content), bytes);
    assert_eq!(framed(&bytes[..bytes.len() - 1]), None);
    assert_eq!(framed(&[bytes, b"\0"].concat()), None);
    let mut changed = bytes.to_vec();
    let at = content.len() % bytes.len();
    changed[at] ^= 1;
    assert_eq!(framed(&changed), None);
}

fn frame(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut crc = crc32c(&VERSION.to_le_bytes());
    for part in [key, content] {
        crc = crc32c_append(crc, &(part.len() as u64).to_le_bytes());
    }
    crc = crc32c_append(crc32c_append(crc, key), content);
    let len = |part: &[u8]| u32::try_from(part.len()).expect("a fuzzer's input is small");
    let numbers = [VERSION, len(key), len(content), crc].map(u32::to_le_bytes);
    [b"bhupload", numbers.as_flattened(), key, content].concat()
}

/// A checkpoint that is accepted is the same when written again and shows no session id; and every protocol, when it takes
/// it up as a run would or to discard it, ends at an honest server that has forgotten all: with the object, or knowing why not.
pub fn checkpoint_json(data: &[u8]) {
    let checkpoint = match Checkpoint::from_json(data) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            assert!(error.to_string().len() < 200, "{error}");
            return;
        }
    };
    let json = checkpoint.to_json();
    let again = Checkpoint::from_json(&json).expect("what was written can be read");
    assert!(again == checkpoint && again.to_json() == json);
    let _ = (checkpoint.acknowledged(), checkpoint.is_open());
    let mut hidden = checkpoint.clone();
    hidden.session.session = Some(SessionId::new(SECRET));
    let shown = format!("{hidden:?} {:?}", hidden.session.session);
    let elsewhere = data
        .windows(SECRET.len())
        .any(|word| word == SECRET.as_bytes());
    assert!(elsewhere || !shown.contains(SECRET), "{shown}");
    for (protocol, honest) in protocols() {
        taken_up(&checkpoint, &*protocol, honest);
        discarded(&checkpoint, &*protocol, honest);
    }
}

/// As a run takes it up: the parts alone that the source has, and of a complete object all or nothing.
fn taken_up(checkpoint: &Checkpoint, protocol: &dyn UploadProtocol, honest: Honest) {
    let mut saved = checkpoint.session.clone();
    saved.parts.retain(|part| {
        let is_same = |crc| crc == crc32c(&source(part.offset..part.end()));
        part.end() <= LEN && part.offset <= LEN && part.crc32c.is_none_or(is_same)
    });
    let unchanged =
        saved.parts.len() == checkpoint.session.parts.len() && !checkpoint.source_changed;
    if saved.stage == Stage::Aborted || (!unchanged && saved.stage == Stage::Complete) {
        return;
    }
    let object = Object::new("source.bin", Some(LEN));
    // What the draft keeps beside the stage counts as well.
    let stage = match saved.extra.contains_key("completing") {
        true => Stage::Committing,
        false => saved.stage,
    };
    let session = protocol.open(&object, Some(Left::new(saved, unchanged)));
    rest(
        session.expect("the protocol takes this object"),
        LEN,
        stage,
        honest,
    );
}

/// As it is discarded: unchecked, and with the length that it names.
fn discarded(checkpoint: &Checkpoint, protocol: &dyn UploadProtocol, honest: Honest) {
    let object = Object::new("source.bin", checkpoint.total);
    let left = Left::new(checkpoint.session.clone(), true);
    let Ok(mut session) = protocol.open(&object, Some(left)) else {
        return;
    };
    session.abort();
    discard(session, checkpoint.total.unwrap_or(LEN), honest);
}

fn protocols() -> [(Box<dyn UploadProtocol>, Honest); 6] {
    let url = "http://honest.test/files?token=t";
    let plan =
        UploadPlan::new(LEN, 4).part(PlanPart::new(1, 0, LEN, "http://honest.test/object?sig=s"));
    [
        (Box::new(Form::new(url)), Honest::Form),
        (Box::new(Put::new(url)), Honest::Put),
        (Box::new(Put::new(url).resumable(true)), Honest::Put),
        (Box::new(Tus::new(url)), Honest::Tus),
        (Box::new(TusDraft::new(url)), Honest::Draft),
        (Box::new(Presigned::new(plan)), Honest::Plan),
    ]
}

const LEN: u64 = 10;
const SECRET: &str = "fuzzedsecret";
const VERSION: u32 = 1;

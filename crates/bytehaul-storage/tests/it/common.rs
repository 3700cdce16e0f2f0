//! What the tests of the public face share: bytes of an object, buffers of them, and a quick start.

use std::ops::Range;
use std::path::Path;

use bytehaul_storage::{
    Allocation, Budget, Buffer, Claim, Conflict, Identity, Keep, Resume, StartOptions, Writer,
};

/// The bytes of the object at these places.
pub(crate) fn object(range: Range<u64>) -> Vec<u8> {
    range
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8)
        .collect()
}

pub(crate) async fn filled(budget: &Budget, bytes: &[u8]) -> Buffer {
    let mut buffer = budget.buffer(bytes.len()).await;
    assert_eq!(buffer.extend_from_slice(bytes), bytes.len());
    buffer
}

pub(crate) async fn submit(writer: &Writer, range: Range<u64>) {
    writer.submit(
        range.start,
        filled(&Budget::default(), &object(range)).await,
    );
}

pub(crate) fn claim(target: &Path) -> Claim {
    bytehaul_storage::claim(target, Conflict::Refuse, Resume::Continue).unwrap()
}

pub(crate) fn options(len: u64) -> StartOptions {
    StartOptions {
        identity: Identity {
            url: "https://a.example/object".into(),
            ..Identity::default()
        },
        len: Some(len),
        piece_size: 4096,
        allocation: Allocation::None,
        keep: Keep::Left,
        ..StartOptions::default()
    }
}

pub(crate) fn start(target: &Path, len: u64) -> Writer {
    claim(target).start(options(len)).unwrap()
}

pub(crate) fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

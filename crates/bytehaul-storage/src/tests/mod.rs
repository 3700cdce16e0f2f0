//! Tests that watch or break the changes to the disk from inside; those of the public face are in `tests/`.

#![expect(
    clippy::single_range_in_vec_init,
    reason = "what is compared is a list of ranges"
)]

mod broken;
mod checkpoints;
mod crash;
mod faults;
mod model;
mod publishing;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::claim::claim_watched;
use crate::witness::Witness;
use crate::{Budget, Buffer, Claim, Conflict, Resume};

fn claim(target: &Path, witness: &Arc<impl Witness + 'static>) -> Claim {
    let witness: Arc<dyn Witness> = Arc::clone(witness) as _;
    let stop = AtomicBool::new(false);
    claim_watched(
        target,
        Conflict::Refuse,
        Resume::Continue,
        &stop,
        Some(witness),
    )
    .unwrap()
}

/// The bytes of an object, told apart from those of another by its salt.
fn object(salt: u8, range: Range<u64>) -> Vec<u8> {
    range
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8 ^ salt)
        .collect()
}

async fn filled(budget: &Budget, bytes: &[u8]) -> Buffer {
    let mut buffer = budget.buffer(bytes.len()).await;
    assert_eq!(buffer.extend_from_slice(bytes), bytes.len());
    buffer
}

/// A small generator of numbers, so that a run can be repeated from its seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

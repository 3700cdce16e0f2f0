//! The cases: each an async function that takes a bed, and panics with the endpoint and the case that went wrong.
//!
//! They need a runtime of several threads: asking a server what it has blocks.

mod access;
mod failures;
mod kills;
mod limits;
mod lost;
mod resume;
mod sizes;
mod sources;
mod stops;
mod together;
mod wrong;

pub use self::access::{access_that_is_never_renewed, access_that_is_renewed};
pub use self::failures::{begins_and_commits_that_fail, parts_that_break_off, parts_that_fail};
pub use self::kills::killed_again_and_again;
pub use self::limits::{a_rate_that_holds, a_stream_is_held_in_bounds};
pub use self::lost::{answers_that_are_lost, nothing_is_claimed_early};
pub use self::resume::{every_boundary, servers_that_have_more, servers_that_lost};
pub use self::sizes::{checksums, every_size, many_parts};
pub use self::sources::{changed_between_runs, changed_on_the_way};
pub use self::stops::{cancelled_at_any_time, paused_at_any_time};
pub use self::together::{several_at_once, the_same_twice};
pub use self::wrong::wrong_answers;

/// A number that looks random and is the same in every run, below `bound`.
fn chance(seed: u64, bound: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % bound.max(1)
}

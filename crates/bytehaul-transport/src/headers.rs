//! Which response fields have a parser here. All are pure, take any bytes, and never panic.

mod accept_ranges;
mod content_disposition;
mod content_range;
mod etag;
mod last_modified;
mod link;
mod retry_after;

pub use self::accept_ranges::AcceptRanges;
pub use self::content_disposition::content_disposition_filename;
pub use self::content_range::{ContentRange, InvalidContentRange};
pub use self::etag::{ETag, Form};
pub use self::last_modified::last_modified;
pub use self::link::Link;
pub use self::retry_after::retry_after;

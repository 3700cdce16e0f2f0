//! Plans that cannot be used, exchanges as they were written down, and a server in memory that forgets and loses answers.

mod model;
mod plans;
mod scripts;

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::presigned::UploadPlan;
use crate::{Call, CallError, Returned};

/// Runs a call whose futures never wait.
fn run(call: Call) -> Result<Returned, CallError> {
    let mut future = (call.run)(Bytes::new());
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(ended) => ended,
        Poll::Pending => panic!("a call of a test waits"),
    }
}

/// A plan as JSON.
fn plan(json: &str) -> UploadPlan {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

//! In which order the addresses of a host are tried, and when the next is tried beside one that does not answer.

mod memory;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

pub(crate) use self::memory::BadAddresses;
use crate::race::{Pace, race};

/// Connects to the first address that answers, after RFC 8305 sections 4 and 5: families in turn, beginning with that of
/// the first address; another attempt each 250 ms, or at once after a failure; at most 8 attempts at a time, the oldest
/// of which is given up for the next. Addresses known to be bad come last.
///
/// The error is of the first address that failed, or of one that refused where there is one. Dropping the future gives up
/// all attempts.
pub(crate) async fn connect(
    addresses: Vec<SocketAddr>,
    bad: &BadAddresses,
) -> Result<TcpStream, (SocketAddr, io::Error)> {
    dial(addresses, bad, TcpStream::connect).await
}

async fn dial<T, F>(
    mut addresses: Vec<SocketAddr>,
    bad: &BadAddresses,
    begin: impl Fn(SocketAddr) -> F,
) -> Result<T, (SocketAddr, io::Error)>
where
    F: Future<Output = io::Result<T>>,
{
    let now = || Instant::now().into_std();
    bad.sort(&mut addresses, now());
    let mut failure: Option<(SocketAddr, io::Error)> = None;
    let failed = |address, error: Option<io::Error>| {
        bad.failed(address, now());
        let error = error.unwrap_or_else(|| io::ErrorKind::TimedOut.into());
        if failure.is_none() || error.kind() == io::ErrorKind::ConnectionRefused {
            failure = Some((address, error));
        }
    };
    match race(interleave(addresses), PACE, begin, failed).await {
        Some(won) => {
            bad.connected(won.key, &won.overtaken, now());
            Ok(won.value)
        }
        None => Err(failure.unwrap_or_else(no_address)),
    }
}

/// Alternates the families, beginning with that of the first address, and keeps the order within each.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut lead, mut follow): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(lead.len() + follow.len());
    while !lead.is_empty() || !follow.is_empty() {
        mixed.extend(lead.pop_front());
        mixed.extend(follow.pop_front());
    }
    mixed
}

fn no_address() -> (SocketAddr, io::Error) {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = io::Error::new(io::ErrorKind::NotFound, "no address");
    (unspecified, error)
}

const PACE: Pace = Pace {
    // RFC 8305 section 5: the recommended delay between attempts.
    stagger: Duration::from_millis(250),
    // The oldest of eight silent ones has waited for two seconds, longer than a healthy path takes.
    most: 8,
};

#[cfg(test)]
mod tests;

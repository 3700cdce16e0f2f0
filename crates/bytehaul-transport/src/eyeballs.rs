//! In which order the addresses of a host are tried, and when the next is tried beside one that does not answer.

mod memory;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

pub(crate) use self::memory::BadAddresses;

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
    race(addresses, bad, TcpStream::connect).await
}

async fn race<T, F>(
    mut addresses: Vec<SocketAddr>,
    bad: &BadAddresses,
    dial: impl Fn(SocketAddr) -> F,
) -> Result<T, (SocketAddr, io::Error)>
where
    F: Future<Output = io::Result<T>>,
{
    let now = || Instant::now().into_std();
    bad.sort(&mut addresses, now());
    let mut waiting = VecDeque::from(interleave(addresses));
    let mut running: Vec<Attempt<F>> = Vec::new();
    let mut failure: Option<(SocketAddr, io::Error)> = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            if running.len() == MOST_ATTEMPTS {
                let oldest = running.remove(0).address;
                bad.failed(oldest, now());
                failure.get_or_insert((oldest, io::ErrorKind::TimedOut.into()));
            }
            let connecting = Box::pin(dial(address));
            running.push(Attempt {
                address,
                connecting,
            });
        }
        if running.is_empty() {
            return Err(failure.unwrap_or_else(no_address));
        }
        let stagger = (!waiting.is_empty()).then_some(STAGGER);
        match next_event(&mut running, stagger).await {
            Event::Connected(index, stream) => {
                let order: Vec<SocketAddr> = running.iter().map(|run| run.address).collect();
                bad.connected(order[index], &order[..index], now());
                return Ok(stream);
            }
            Event::Stagger => {}
            Event::Failed(index, error) => {
                let address = running.remove(index).address;
                bad.failed(address, now());
                if failure.is_none() || error.kind() == io::ErrorKind::ConnectionRefused {
                    failure = Some((address, error));
                }
            }
        }
    }
}

/// One of the running attempts; they are kept in the order in which they began.
struct Attempt<F> {
    address: SocketAddr,
    connecting: Pin<Box<F>>,
}

enum Event<T> {
    Connected(usize, T),
    Failed(usize, io::Error),
    Stagger,
}

async fn next_event<T, F>(running: &mut [Attempt<F>], stagger: Option<Duration>) -> Event<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut stagger = pin!(stagger.map(sleep));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(event) = poll_attempts(running, cx) {
            return Poll::Ready(event);
        }
        match stagger.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(cx).map(|()| Event::Stagger),
            None => Poll::Pending,
        }
    })
    .await
}

fn poll_attempts<T, F>(running: &mut [Attempt<F>], cx: &mut Context<'_>) -> Poll<Event<T>>
where
    F: Future<Output = io::Result<T>>,
{
    for (index, attempt) in running.iter_mut().enumerate() {
        if let Poll::Ready(result) = attempt.connecting.as_mut().poll(cx) {
            return Poll::Ready(match result {
                Ok(stream) => Event::Connected(index, stream),
                Err(error) => Event::Failed(index, error),
            });
        }
    }
    Poll::Pending
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

/// RFC 8305 section 5: the recommended delay between attempts.
const STAGGER: Duration = Duration::from_millis(250);
/// The eighth silent one has waited for two seconds, longer than a healthy path takes.
const MOST_ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests;

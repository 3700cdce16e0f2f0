//! In which order the addresses of a host are tried, and when the next is tried beside one that does not answer.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

/// Connects to the first address that answers (a simple RFC 8305: alternating families, an attempt each 250 ms or at once
/// after a failure). The error is of the first address that failed, or of one that refused where there is one.
///
/// Dropping the future gives up all attempts.
pub(crate) async fn connect(
    addresses: Vec<SocketAddr>,
) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let mut waiting = VecDeque::from(interleave(addresses));
    let mut running: Vec<Attempt> = Vec::new();
    let mut failure: Option<(SocketAddr, io::Error)> = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            running.push(Attempt {
                address,
                connecting: Box::pin(TcpStream::connect(address)),
            });
        }
        if running.is_empty() {
            let none = || {
                (
                    UNSPECIFIED,
                    io::Error::new(io::ErrorKind::NotFound, "no address"),
                )
            };
            return Err(failure.unwrap_or_else(none));
        }
        let stagger = if waiting.is_empty() {
            None
        } else {
            Some(STAGGER)
        };
        match next_event(&mut running, stagger).await {
            Event::Connected(stream) => return Ok(stream),
            Event::Stagger => {}
            Event::Failed(address, error) => {
                if failure.is_none() || error.kind() == io::ErrorKind::ConnectionRefused {
                    failure = Some((address, error));
                }
            }
        }
    }
}

struct Attempt {
    address: SocketAddr,
    connecting: Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>,
}

enum Event {
    Connected(TcpStream),
    Failed(SocketAddr, io::Error),
    Stagger,
}

async fn next_event(running: &mut Vec<Attempt>, stagger: Option<Duration>) -> Event {
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

fn poll_attempts(running: &mut Vec<Attempt>, cx: &mut Context<'_>) -> Poll<Event> {
    for index in 0..running.len() {
        if let Poll::Ready(result) = running[index].connecting.as_mut().poll(cx) {
            let address = running.remove(index).address;
            return Poll::Ready(match result {
                Ok(stream) => Event::Connected(stream),
                Err(error) => Event::Failed(address, error),
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

/// RFC 8305 section 5: the recommended delay between attempts.
const STAGGER: Duration = Duration::from_millis(250);
const UNSPECIFIED: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate() {
        let mixed = interleave(addresses(&[
            "[::1]:1",
            "[::2]:1",
            "[::3]:1",
            "1.1.1.1:1",
            "1.1.1.2:1",
        ]));
        assert_eq!(
            mixed,
            addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"])
        );
        assert_eq!(interleave(vec![]), vec![]);
    }

    #[tokio::test]
    async fn a_dead_address_does_not_stop_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let closed: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let stream = connect(vec![closed, live]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        let (address, error) = connect(vec![closed]).await.unwrap_err();
        assert_eq!(
            (address, error.kind()),
            (closed, io::ErrorKind::ConnectionRefused)
        );
    }

    #[cfg(target_os = "linux")]
    /// An address that takes no further connections and does not say so.
    async fn silent() -> (SocketAddr, tokio::net::TcpListener, Vec<TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut crowd = Vec::new();
        let limit = Duration::from_millis(100);
        while let Ok(Ok(stream)) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
            crowd.push(stream);
        }
        (address, listener, crowd)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_silent_address_is_overtaken() {
        let (silent, _listener, _crowd) = silent().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let started = std::time::Instant::now();
        let stream = connect(vec![silent, live]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        assert!((STAGGER..STAGGER * 4).contains(&started.elapsed()));
    }
}

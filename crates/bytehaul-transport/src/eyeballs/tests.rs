//! The timing laws of connecting in virtual time, and the same on real sockets.

use std::cell::RefCell;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use tokio::time::sleep;

use super::*;

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

/// A network in virtual time. A port says what becomes of an attempt: it connects after so many milliseconds, or fails
/// after `port - 10_000`, or is silent (60_000).
#[derive(Default)]
struct Net {
    begun: RefCell<Vec<(u64, SocketAddr)>>,
    open: Rc<()>,
}

impl Net {
    async fn race(
        &self,
        list: &[&str],
        bad: &BadAddresses,
    ) -> (Result<SocketAddr, (SocketAddr, io::Error)>, u64) {
        let start = Instant::now();
        self.begun.borrow_mut().clear();
        let begin = |address: SocketAddr| {
            let now = start.elapsed().as_millis() as u64;
            self.begun.borrow_mut().push((now, address));
            let open = Rc::clone(&self.open);
            async move {
                let _open = open;
                match address.port() {
                    60_000 => std::future::pending().await,
                    failing @ 10_000.. => {
                        sleep(Duration::from_millis(u64::from(failing) - 10_000)).await;
                        Err(io::ErrorKind::HostUnreachable.into())
                    }
                    good => {
                        sleep(Duration::from_millis(u64::from(good))).await;
                        Ok(address)
                    }
                }
            }
        };
        let result = dial(addresses(list), bad, begin).await;
        (result, start.elapsed().as_millis() as u64)
    }

    fn begun(&self) -> Vec<u64> {
        self.begun.borrow().iter().map(|(at, _)| *at).collect()
    }
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

#[tokio::test(start_paused = true)]
async fn the_first_address_has_the_field_to_itself() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    let (winner, took) = net.race(&["[::1]:249", "1.1.1.1:1"], &bad).await;
    assert_eq!(winner.unwrap().port(), 249);
    assert_eq!((took, net.begun()), (249, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn another_attempt_each_quarter_of_a_second_or_at_once_after_a_failure() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    let list = [
        "1.1.1.1:60000",
        "1.1.1.2:60000",
        "1.1.1.3:10100",
        "1.1.1.4:60000",
        "1.1.1.5:5",
    ];
    let (winner, took) = net.race(&list, &bad).await;
    assert_eq!(winner.unwrap(), list[4].parse().unwrap());
    assert_eq!((took, net.begun()), (855, vec![0, 250, 500, 600, 850]));
    assert_eq!(Rc::strong_count(&net.open), 1, "the losers are given up");
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_address_may_still_win() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    let list = ["[::1]:400", "1.1.1.1:300"];
    let (winner, took) = net.race(&list, &bad).await;
    assert_eq!((winner.unwrap(), took), (list[0].parse().unwrap(), 400));
    // Nobody was overtaken, so the order is the same the next time.
    let (winner, took) = net.race(&list, &bad).await;
    assert_eq!((winner.unwrap(), took), (list[0].parse().unwrap(), 400));
}

#[tokio::test(start_paused = true)]
async fn a_dead_family_costs_a_quarter_of_a_second_once() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    let one = ["[::1]:60000", "1.1.1.1:10"];
    assert_eq!(net.race(&one, &bad).await.1, 260);
    assert_eq!(net.race(&one, &bad).await.1, 10);
    let other = ["[::2]:60000", "1.1.1.2:20"];
    assert_eq!(net.race(&other, &bad).await.1, 20);
    // It is given another chance after a minute.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(net.race(&one, &bad).await.1, 260);
}

#[tokio::test(start_paused = true)]
async fn a_bad_address_is_tried_all_the_same_when_nothing_else_is_left() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    bad.failed("1.1.1.1:7".parse().unwrap(), Instant::now().into_std());
    let (winner, took) = net.race(&["1.1.1.1:7", "1.1.1.2:10001"], &bad).await;
    assert_eq!((winner.unwrap().port(), took), (7, 8));
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_the_oldest_gives_way() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    let list: Vec<String> = (1..=20)
        .map(|n| match n {
            20 => "1.1.1.20:1".to_owned(),
            n => format!("1.1.1.{n}:60000"),
        })
        .collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let racing = net.race(&list, &bad);
    let (winner, took) = {
        let mut racing = pin!(racing);
        std::future::poll_fn(|cx| {
            assert!(Rc::strong_count(&net.open) <= 1 + PACE.most);
            racing.as_mut().poll(cx)
        })
        .await
    };
    assert_eq!((winner.unwrap().port(), took), (1, 19 * 250 + 1));
}

#[tokio::test(start_paused = true)]
async fn the_error_is_of_the_first_that_failed() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    let (failed, took) = net.race(&["1.1.1.1:10300", "1.1.1.2:10020"], &bad).await;
    let (address, error) = failed.unwrap_err();
    assert_eq!(
        (address.port(), error.kind(), took),
        (10_020, io::ErrorKind::HostUnreachable, 300)
    );
    let (failed, _) = net.race(&[], &bad).await;
    assert_eq!(failed.unwrap_err().1.kind(), io::ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn dropping_gives_up_all_attempts() {
    let (net, bad) = (Net::default(), BadAddresses::default());
    let racing = net.race(&["1.1.1.1:60000", "1.1.1.2:60000"], &bad);
    let limit = Duration::from_millis(400);
    tokio::time::timeout(limit, racing).await.unwrap_err();
    assert_eq!(
        (net.begun(), Rc::strong_count(&net.open)),
        (vec![0, 250], 1)
    );
}

#[tokio::test]
async fn a_refusal_leads_to_the_next_address_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (live, bad) = (listener.local_addr().unwrap(), BadAddresses::default());
    let closed: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let started = std::time::Instant::now();
    let stream = connect(vec![closed, live], &bad).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), live);
    assert!(started.elapsed() < PACE.stagger);
    let (address, error) = connect(vec![closed], &bad).await.unwrap_err();
    assert_eq!(
        (address, error.kind()),
        (closed, io::ErrorKind::ConnectionRefused)
    );
}

/// An address that takes no further connections and does not say so.
#[cfg(target_os = "linux")]
async fn silent(ip: std::net::IpAddr) -> (SocketAddr, tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = match ip {
        std::net::IpAddr::V4(_) => tokio::net::TcpSocket::new_v4().unwrap(),
        std::net::IpAddr::V6(_) => tokio::net::TcpSocket::new_v6().unwrap(),
    };
    socket.bind((ip, 0).into()).unwrap();
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
async fn a_silent_address_is_overtaken_and_remembered() {
    let (silent, _listener, _crowd) = silent(Ipv6Addr::LOCALHOST.into()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (live, bad) = (listener.local_addr().unwrap(), BadAddresses::default());
    for expected in [PACE.stagger..PACE.stagger * 4, Duration::ZERO..PACE.stagger] {
        let started = std::time::Instant::now();
        let stream = connect(vec![silent, live], &bad).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        assert!(expected.contains(&started.elapsed()), "{expected:?}");
    }
}

//! Which of a host's addresses is best: the rules of RFC 6724 section 6 that can be told without asking the routing table twice.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

/// Sorts addresses of which some are IPv6 and some IPv4, best first; equals keep their order. A list of one family only is
/// left alone, since the name server's order is the better guess there.
///
/// `source` says from which address of this machine another is reached, or that it is not.
pub(super) fn sort(addresses: &mut [IpAddr], source: impl Fn(IpAddr) -> Option<IpAddr>) {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    if addresses.iter().all(|ip| ip.is_ipv6() == first_is_v6) {
        return;
    }
    addresses.sort_by_cached_key(|ip| {
        let Some(source) = source(*ip) else {
            // Rule 1: what cannot be reached is last.
            return (Reverse(false), Reverse(false), Reverse(false), Reverse(0));
        };
        (
            Reverse(true),
            Reverse(scope(source) == scope(*ip)),       // Rule 2
            Reverse(policy(source).1 == policy(*ip).1), // Rule 5
            Reverse(policy(*ip).0),                     // Rule 6
        )
    });
}

/// The address that the system would send from. Nothing is sent: connecting a UDP socket only asks for the route.
pub(super) fn source(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => [0, 0, 0, 0].into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(SocketAddr::new(to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Link,
    Global,
}

/// RFC 6724 section 3.1 and 3.2, as far as unicast goes.
fn scope(ip: IpAddr) -> Scope {
    let link = match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    if link { Scope::Link } else { Scope::Global }
}

/// RFC 6724 section 2.1: precedence and label of the default policy table.
fn policy(ip: IpAddr) -> (u8, u8) {
    let IpAddr::V6(ip) = ip else {
        return (35, 4);
    };
    match ip.segments() {
        _ if ip.is_loopback() => (50, 0),
        [0, 0, 0, 0, 0, 0xffff, ..] => (35, 4),
        [0x2002, ..] => (30, 2),
        [0x2001, 0, ..] => (5, 5),
        [first, ..] if first & 0xfe00 == 0xfc00 => (3, 13),
        _ => (40, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these addresses: each reaches what is of its family and, for a label of its own, of its label.
    #[track_caller]
    fn check(own: &str, addresses: &str, sorted: &str) {
        let parse = |text: &str| -> Vec<IpAddr> {
            text.split_whitespace()
                .map(|ip| ip.parse().unwrap())
                .collect()
        };
        let own = parse(own);
        let mut found = parse(addresses);
        sort(&mut found, |to| {
            own.iter().copied().find(|ip| ip.is_ipv6() == to.is_ipv6())
        });
        assert_eq!(found, parse(sorted));
    }

    #[test]
    fn ipv6_comes_first_where_it_works() {
        let both = "192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2";
        let sorted = "2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2";
        check("10.0.0.1 2001:db8:1::1", both, sorted);
    }

    #[test]
    fn a_family_without_a_route_is_last() {
        let sorted = "192.0.2.1 2001:db8::1";
        check("10.0.0.1", "2001:db8::1 192.0.2.1", sorted);
        check(
            "2001:db8:1::1",
            "192.0.2.1 2001:db8::1",
            "2001:db8::1 192.0.2.1",
        );
        check("", "2001:db8::1 192.0.2.1", "2001:db8::1 192.0.2.1");
    }

    #[test]
    fn a_local_ipv6_address_is_not_for_the_whole_internet() {
        let sorted = "192.0.2.1 2001:db8::1";
        check("10.0.0.1 fd00::1", "2001:db8::1 192.0.2.1", sorted);
        check("10.0.0.1 fe80::1", "2001:db8::1 192.0.2.1", sorted);
        check("10.0.0.1 2002::1", "2001:db8::1 192.0.2.1", sorted);
        check("127.0.0.1 ::1", "127.0.0.1 ::1", "::1 127.0.0.1");
    }

    #[test]
    fn one_family_is_left_alone() {
        check("", "192.0.2.2 192.0.2.1", "192.0.2.2 192.0.2.1");
        check("", "", "");
    }

    #[test]
    fn the_system_knows_the_way_to_itself() {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        assert_eq!(source(loopback), Some(loopback));
    }
}

//! Groups, between sockets of this machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::testkit::Probe;
use switchboard::udp::{JoinMulticast, LeaveMulticast};
use switchboard::{Interface, Multicast};

use super::address;
use super::programs::skip;
use super::recording::{Recording, run_simply, run_without_leaks};

const LOOPBACK: Interface = Interface::Address(Ipv4Addr::LOCALHOST);
/// How long nothing may come for it to count as nothing.
const QUIET: Duration = Duration::from_millis(100);

/// A group of its own for each test.
fn group(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(239, 255, 71, number)
}

fn on_loopback(number: u8) -> Multicast {
    Multicast::group(group(number)).on(LOOPBACK)
}

async fn recorded(pool: &Pool, probe: &Probe, bind: BindUdp) -> Udp {
    let recorder = probe.recorder();
    let session = move |_| Recording {
        recorder: recorder.clone(),
    };
    pool.bind_udp(bind, session).await.unwrap()
}

async fn sender(pool: &Pool) -> Udp {
    let bind = BindUdp::new("127.0.0.1:0").multicast_interface(LOOPBACK);
    pool.open_udp(bind).await.unwrap()
}

fn at(number: u8, port: u16) -> SocketAddr {
    (group(number), port).into()
}

#[test]
fn members_get_what_is_sent_to_their_group() {
    run_simply(|pool| async move {
        let probes = [Probe::new().partial(), Probe::new().partial()];
        let bind = |port| BindUdp::port(port).join(on_loopback(1));
        let first = recorded(&pool, &probes[0], bind(0)).await;
        let port = address(&first).port();
        // Both have the port.
        recorded(&pool, &probes[1], bind(port)).await;
        let sender = sender(&pool).await;
        sender.send_to("to all", at(1, port)).unwrap();
        for mut probe in probes {
            let told = probe.expect::<DatagramReceived>().await;
            assert_eq!(
                (&*told.data, told.from),
                (&b"to all"[..], sender.local_addr().unwrap())
            );
            probe.no_more(QUIET).await;
        }
    });
}

#[test]
fn a_group_is_joined_and_left_while_it_is_open() {
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let udp = recorded(&pool, &probe, BindUdp::port(0)).await;
        let port = address(&udp).port();
        let sender = sender(&pool).await;
        // Another member on the machine, so that what is sent is delivered anyway.
        let other = UdpSocket::bind("0.0.0.0:0").unwrap();
        other
            .join_multicast_v4(&group(2), &Ipv4Addr::LOCALHOST)
            .unwrap();
        let addr = udp.addr().unwrap();
        for as_message in [false, true] {
            sender.send_to("nobody", at(2, port)).unwrap();
            probe.no_more(QUIET).await;
            if as_message {
                addr.send(JoinMulticast(on_loopback(2)))
                    .await
                    .unwrap()
                    .unwrap();
            } else {
                udp.join_multicast(on_loopback(2)).unwrap();
            }
            sender.send_to("member", at(2, port)).unwrap();
            assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"member");
            if as_message {
                addr.send(LeaveMulticast(on_loopback(2)))
                    .await
                    .unwrap()
                    .unwrap();
            } else {
                udp.leave_multicast(on_loopback(2)).unwrap();
            }
        }
        sender.send_to("nobody", at(2, port)).unwrap();
        probe.no_more(QUIET).await;
        drop(other);
    });
}

#[test]
fn hops_and_loop_are_set_and_read_back() {
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let udp = recorded(&pool, &probe, BindUdp::port(0).join(on_loopback(3))).await;
        let port = address(&udp).port();
        let bind = BindUdp::new("127.0.0.1:0")
            .multicast_interface(LOOPBACK)
            .multicast_loop(false)
            .multicast_ttl(7)
            .ttl(9);
        let sender = pool.open_udp(bind).await.unwrap();
        let read = |udp: &Udp| {
            udp.with_socket(|socket| {
                let hops = (socket.multicast_ttl_v4().unwrap(), socket.ttl_v4().unwrap());
                (hops, socket.multicast_loop_v4().unwrap())
            })
            .unwrap()
        };
        assert_eq!(read(&sender), ((7, 9), false));
        // Over the loopback interface it comes in anyway, as from a wire.
        sender.set_multicast_loop(true).unwrap();
        sender.set_multicast_ttl(1).unwrap();
        assert_eq!(read(&sender), ((1, 9), true));
        sender.send_to("back", at(3, port)).unwrap();
        assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"back");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_interface_is_chosen_by_address_or_number() {
    run_simply(|pool| async move {
        let number: u32 = std::fs::read_to_string("/sys/class/net/lo/ifindex")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let by_number = Multicast::group(group(4)).on(Interface::Index(number));
        for (joined, through) in [
            (on_loopback(4), Interface::Index(number)),
            (by_number, LOOPBACK),
        ] {
            let mut probe = Probe::new().partial();
            let udp = recorded(&pool, &probe, BindUdp::port(0).join(joined)).await;
            let sender = pool.open_udp(BindUdp::new("127.0.0.1:0")).await.unwrap();
            sender.set_multicast_interface(through).unwrap();
            sender
                .send_to("hello", at(4, address(&udp).port()))
                .unwrap();
            assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"hello");
        }
        let bind = BindUdp::port(0).multicast_interface(Interface::Index(4_000_000));
        assert!(pool.open_udp(bind).await.is_err());
    });
}

#[test]
fn what_cannot_be_joined_or_left_is_an_error_and_nothing_else() {
    run_simply(|pool| async move {
        let udp = pool.open_udp(BindUdp::port(0)).await.unwrap();
        let none = Multicast::group(Ipv4Addr::new(10, 0, 0, 1));
        let error = udp.join_multicast(none).unwrap_err();
        assert!(error.to_string().contains("no multicast group"), "{error}");
        let error = pool
            .open_udp(BindUdp::port(0).join(none))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("10.0.0.1 is no multicast group"),
            "{error}"
        );
        let unknown = Interface::Index(4_000_000);
        assert!(
            udp.join_multicast(Multicast::group(group(5)).on(unknown))
                .is_err()
        );
        let unknown = Interface::Address(Ipv4Addr::new(192, 0, 2, 77));
        assert!(
            udp.join_multicast(Multicast::group(group(5)).on(unknown))
                .is_err()
        );
        assert!(udp.leave_multicast(on_loopback(5)).is_err());
        udp.join_multicast(on_loopback(5)).unwrap();
        assert!(
            udp.join_multicast(on_loopback(5)).is_err(),
            "it is a member already"
        );
        udp.leave_multicast(on_loopback(5)).unwrap();
        assert!(udp.leave_multicast(on_loopback(5)).is_err());
        let v6 = Multicast::group(Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0x4711));
        let error = udp.join_multicast(v6.on(LOOPBACK)).unwrap_err();
        assert!(
            error.to_string().contains("number of the interface"),
            "{error}"
        );
        assert!(udp.join_multicast(v6).is_err(), "a socket of IPv4");
        udp.close();
        udp.wait_closed().await;
        assert!(udp.join_multicast(on_loopback(5)).is_err(), "it is closed");
    });
}

/// The number of an interface over which IPv6 groups can be reached.
#[cfg(target_os = "linux")]
fn interface_v6(group: Ipv6Addr) -> Option<u32> {
    let known = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    known.lines().find_map(|line| {
        let number = u32::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()?;
        let socket = UdpSocket::bind("[::]:0").ok()?;
        let to = std::net::SocketAddrV6::new(group, 9, 0, number);
        socket.send_to(b"", to).ok()?;
        Some(number)
    })
}

#[cfg(target_os = "linux")]
#[test]
fn ipv6_groups_are_joined_on_an_interface_by_number() {
    let group = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0x71, 0x4711);
    let Some(number) = interface_v6(group) else {
        skip("no interface has a route to IPv6 groups");
        return;
    };
    run_simply(|pool| async move {
        let probes = [Probe::new().partial(), Probe::new().partial()];
        let joined = Multicast::group(group).on(Interface::Index(number));
        let bind = |port| BindUdp::new(format_args!("[::]:{port}"));
        let first = recorded(&pool, &probes[0], bind(0).join(joined)).await;
        let port = address(&first).port();
        let second = recorded(&pool, &probes[1], bind(port).join(joined)).await;
        let through = bind(0)
            .multicast_interface(Interface::Index(number))
            .multicast_ttl(2);
        let sender = pool.open_udp(through).await.unwrap();
        let hops = sender.with_socket(|socket| socket.multicast_hops_v6().unwrap());
        assert_eq!(hops, Some(2));
        let [mut one, mut other] = probes;
        let to = SocketAddr::from((group, port));
        sender.send_to("to all", to).unwrap();
        for probe in [&mut one, &mut other] {
            assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"to all");
        }
        second.leave_multicast(joined).unwrap();
        sender.send_to("to one", to).unwrap();
        assert_eq!(&*one.expect::<DatagramReceived>().await.data, b"to one");
        other.no_more(QUIET).await;
        sender.set_multicast_loop(false).unwrap();
        sender.send_to("to others", to).unwrap();
        one.no_more(QUIET).await;
        let error = sender.set_multicast_interface(LOOPBACK).unwrap_err();
        assert!(error.to_string().contains("number"), "{error}");
    });
}

#[test]
fn groups_leave_no_descriptors() {
    run_without_leaks(
        "multicast::groups_leave_no_descriptors",
        |pool| async move {
            for _ in 0..20 {
                let udp = pool.open_udp(BindUdp::port(0).join(on_loopback(6))).await;
                udp.unwrap().abort();
                let unknown = Multicast::group(group(6)).on(Interface::Index(4_000_000));
                assert!(pool.open_udp(BindUdp::port(0).join(unknown)).await.is_err());
            }
        },
    );
}

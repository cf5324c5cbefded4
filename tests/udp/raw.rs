//! Raw IP sockets; without the right to open one these tests are skipped, visibly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::testkit::Probe;
use switchboard::udp::{RecvFromError, SendTo, SendToError};
use switchboard::{Address, ChannelKind, DatagramRefusal, Handle, OpenRaw, Raw};

use super::PATIENCE;
use super::programs::skip;
use super::recording::{Recording, run_simply, run_without_leaks};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long nothing may come for it to count as nothing.
const QUIET: Duration = Duration::from_millis(50);

/// Every raw socket of a protocol gets all of its packets: one test at a time. `None`: it is skipped.
fn allowed() -> Option<MutexGuard<'static, ()>> {
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let domain = socket2::Domain::IPV4;
    let icmp = socket2::Protocol::ICMPV4;
    if socket2::Socket::new(domain, socket2::Type::RAW, Some(icmp)).is_err() {
        skip("no right to open raw sockets");
        return None;
    }
    Some(ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn recorded(pool: &Pool, probe: &Probe, open: OpenRaw) -> Raw {
    let recorder = probe.recorder();
    let session = move |_| Recording {
        recorder: recorder.clone(),
    };
    pool.open_raw(open, session).await.unwrap()
}

/// The Internet checksum (RFC 1071).
fn checksum(data: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in data.chunks(2) {
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// An echo request of ICMP, or, with 128 as its kind, of ICMPv6, whose checksum the system makes.
fn echo_request(kind: u8, id: u16, sequence: u16) -> Vec<u8> {
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(b"switchboard");
    let sum = checksum(&packet).to_be_bytes();
    packet[2..4].copy_from_slice(&sum);
    packet
}

fn id() -> u16 {
    u16::try_from(std::process::id() & 0xFFFF).unwrap()
}

/// UA-36.
#[test]
fn ua_36_packets_of_a_protocol_that_nobody_has_go_both_ways() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let raw = recorded(&pool, &probe, OpenRaw::v4(255)).await;
        let included = |raw: &Raw| raw.with_socket(|socket| socket.header_included_v4().unwrap());
        assert_eq!(included(&raw), Some(false));
        raw.send_to_with("payload", LOCAL, 1).unwrap();
        probe.expect_sent(1).await;
        let told = probe.expect::<DatagramReceived>().await;
        assert_eq!(told.from, Address::from(LOCAL));
        assert_eq!(
            (told.data.len(), told.data[0], told.data[9]),
            (27, 0x45, 255)
        );
        assert_eq!(&told.data[20..], b"payload");

        let mut stripped = Probe::new().partial();
        let other = recorded(&pool, &stripped, OpenRaw::v4(255).strip_ip_header(true)).await;
        raw.send_to("again", LOCAL).unwrap();
        let told = stripped.expect::<DatagramReceived>().await;
        assert_eq!((&*told.data, told.truncated), (&b"again"[..], false));
        assert_eq!(told.from.inet().unwrap().port(), 0);

        let header = OpenRaw::v4(255).header_included(true);
        let by_hand = recorded(&pool, &Probe::new().partial(), header).await;
        assert_eq!(included(&by_hand), Some(true));
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 9, 255, 0, 0];
        packet.extend([127, 0, 0, 9, 127, 0, 0, 1]);
        packet.extend(b"by hand");
        by_hand.send_to(packet, LOCAL).unwrap();
        let told = stripped.expect::<DatagramReceived>().await;
        assert_eq!(&*told.data, b"by hand");
        assert_eq!(told.from, Address::from(IpAddr::from([127, 0, 0, 9])));
        other.close();
        other.wait_closed().await;
        assert_eq!(other.local_addr(), None);
    });
}

#[test]
fn over_ipv6_nothing_has_a_header() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_simply(|pool| async move {
        let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let mut probe = Probe::new().partial();
        let raw = recorded(&pool, &probe, OpenRaw::v6(255)).await;
        raw.send_to("payload", local).unwrap();
        let told = probe.expect::<DatagramReceived>().await;
        assert_eq!(
            (&*told.data, told.from),
            (&b"payload"[..], Address::from(local))
        );

        let mut probe = Probe::new().partial();
        let raw = recorded(&pool, &probe, OpenRaw::v6(58).connect(local)).await;
        raw.send(echo_request(128, id(), 1)).unwrap();
        // The request comes by, too.
        let answer = loop {
            let told = probe.expect::<DatagramReceived>().await;
            if told.data[0] == 129 {
                break told;
            }
        };
        assert_eq!(&answer.data[8..], b"switchboard");
        assert_eq!(answer.from, Address::from(local));
        let refused = pool
            .open_raw_alone(OpenRaw::v6(58).header_included(true))
            .await;
        assert!(refused.unwrap_err().to_string().contains("no header"));
    });
}

/// UA-36.
#[test]
fn ua_36_an_echo_request_is_answered() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_simply(|pool| async move {
        let open = OpenRaw::v4(1).strip_ip_header(true).connect("127.0.0.1");
        let raw = pool.open_raw_alone(open).await.unwrap();
        for sequence in 0..5 {
            let request = echo_request(8, id(), sequence);
            let size = request.len();
            assert_eq!(
                raw.sent(request.clone(), Some(PATIENCE)).await.unwrap(),
                size
            );
            let answer = loop {
                let packet = raw.recv(1500, Some(PATIENCE)).await.unwrap().unwrap();
                if packet[0] == 0 && packet[4..8] == request[4..8] {
                    break packet;
                }
            };
            assert_eq!(answer[8..], request[8..]);
            assert_eq!(checksum(&answer), 0);
        }
    });
}

/// UA-37.
#[test]
fn ua_37_it_is_connected_by_address_or_name() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_simply(|pool| async move {
        for host in ["127.0.0.1", "localhost"] {
            let raw = pool.open_raw_alone(OpenRaw::v4(254)).await.unwrap();
            assert_eq!(raw.connect(host).await.unwrap(), Address::from(LOCAL));
            assert_eq!(raw.peer_addr(), Some(Address::from(LOCAL)));
            raw.send("hello").unwrap();
            let packet = raw.recv(1500, Some(PATIENCE)).await.unwrap().unwrap();
            assert_eq!(&packet[20..], b"hello");
            let other = IpAddr::from([127, 0, 0, 2]);
            assert!(raw.send_to("x", other).is_err());
            assert!(raw.connect("no.such.name.invalid").await.is_err());
            let by_name = pool
                .open_raw_alone(OpenRaw::v4(254).connect(host))
                .await
                .unwrap();
            assert_eq!(by_name.peer_addr(), Some(Address::from(LOCAL)));
        }
        // A port means nothing here.
        let raw = pool.open_raw_alone(OpenRaw::v4(254)).await.unwrap();
        let with_port = std::net::SocketAddr::new(LOCAL, 80);
        assert_eq!(raw.connect(with_port).await.unwrap(), Address::from(LOCAL));
        raw.send_to("x", LOCAL).unwrap();
        let open = OpenRaw::v4(254).connect(with_port);
        let raw = pool.open_raw_alone(open).await.unwrap();
        raw.send_to("x", LOCAL).unwrap();

        let unknown = OpenRaw::v4(254).connect("no.such.name.invalid");
        let error = pool.open_raw_alone(unknown).await.unwrap_err();
        assert_eq!(error.phase, switchboard::ListenPhase::Resolve, "{error}");
        for open in [
            OpenRaw::v4(254).connect(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            OpenRaw::v6(254).bind(LOCAL),
        ] {
            let error = pool.open_raw_alone(open).await.unwrap_err();
            assert!(error.to_string().contains("other family"), "{error}");
        }
    });
}

/// UA-38.
#[test]
fn ua_38_what_needs_a_peer_is_refused_without_one() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_simply(|pool| async move {
        let raw = pool.open_raw_alone(OpenRaw::v4(253)).await.unwrap();
        let wait = Some(Duration::from_millis(10));
        let error = raw.recv(1500, wait).await.unwrap_err();
        assert_eq!(error, RecvFromError::NotConnected);
        let error = raw.send("x").unwrap_err();
        assert_eq!(error.refusal, DatagramRefusal::NoDestination);
        let error = raw.sent("x", wait).await.unwrap_err();
        assert_eq!(error, SendToError::Refused(DatagramRefusal::NoDestination));
        assert_eq!(raw.recv_from(1500, wait).await.unwrap(), None);
        assert_eq!(raw.sent_to("x", LOCAL, wait).await.unwrap(), 1);
        assert!(raw.recv_from(1500, Some(PATIENCE)).await.unwrap().is_some());
        raw.connect(LOCAL).await.unwrap();
        assert_eq!(raw.recv(1500, wait).await.unwrap(), None);
        raw.close();
        let error = raw.recv(1500, wait).await.unwrap_err();
        assert_eq!(error, RecvFromError::Closed);
        let error = raw.sent("x", wait).await.unwrap_err();
        assert_eq!(error, SendToError::Refused(DatagramRefusal::Closed));
    });
}

#[test]
fn it_is_bound_to_an_address_of_ours() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let own = IpAddr::from([127, 0, 0, 3]);
        let raw = recorded(&pool, &probe, OpenRaw::v4(252).bind(own)).await;
        assert_eq!(raw.local_addr(), Some(Address::from(own)));
        raw.send_to("to another", LOCAL).unwrap();
        probe.no_more(QUIET).await;
        raw.send_to("to itself", own).unwrap();
        assert_eq!(
            probe.expect::<DatagramReceived>().await.from,
            Address::from(own)
        );
        let foreign = OpenRaw::v4(252).bind(IpAddr::from([192, 0, 2, 1]));
        assert!(pool.open_raw_alone(foreign).await.is_err());
    });
}

#[test]
fn raw_sockets_are_listed_and_found_as_such() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let raw = recorded(&pool, &probe, OpenRaw::v4(251)).await;
        let infos = pool.connections().await.unwrap();
        assert_eq!((infos[0].id, infos[0].kind), (raw.id(), ChannelKind::Raw));
        let Some(Handle::Raw(found)) = pool.find(raw.id()).await else {
            panic!("it is not found");
        };
        assert_eq!(found, raw);
        let command = SendTo {
            data: "x".into(),
            to: Some(LOCAL.into()),
            token: Some(Token::from(7)),
        };
        raw.addr().unwrap().send(command).await.unwrap().unwrap();
        probe.expect_sent(7).await;
        probe.expect::<DatagramReceived>().await;
        raw.close();
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.handle, Handle::Raw(raw));
    });
}

#[test]
fn without_the_right_the_error_says_so() {
    const NAME: &str = "raw::without_the_right_the_error_says_so";
    const CHILD: &str = "SWITCHBOARD_UNPRIVILEGED";
    if std::env::var_os(CHILD).is_none() && allowed().is_some() {
        // With the right: as another user, who has none.
        use std::os::unix::process::CommandExt;
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([NAME, "--exact", "--nocapture"]).env(CHILD, "1");
        child.current_dir("/").uid(65_534).gid(65_534);
        match child.output() {
            Ok(output) => {
                let told = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(
                    output.status.success() && told.contains("1 passed"),
                    "{told}{errors}"
                );
            }
            Err(error) => skip(&format!("cannot be another user: {error}")),
        }
        return;
    }
    run_simply(|pool| async move {
        for open in [OpenRaw::v4(1), OpenRaw::v6(58)] {
            let error = pool.open_raw_alone(open).await.unwrap_err();
            assert_eq!(error.source.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
        }
        assert_eq!(pool.connections().await.unwrap().len(), 0);
    });
}

#[test]
fn raw_sockets_leave_no_descriptors() {
    let Some(_turn) = allowed() else {
        return;
    };
    run_without_leaks("raw::raw_sockets_leave_no_descriptors", |pool| async move {
        for _ in 0..20 {
            let raw = pool.open_raw_alone(OpenRaw::v4(250)).await.unwrap();
            raw.sent_to("x", LOCAL, Some(PATIENCE)).await.unwrap();
            raw.close();
            let unknown = OpenRaw::v4(250).connect(IpAddr::V6(Ipv6Addr::LOCALHOST));
            assert!(pool.open_raw_alone(unknown).await.is_err());
        }
    });
}

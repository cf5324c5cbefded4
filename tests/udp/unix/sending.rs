//! What is sent comes, and from whom; or waits for who is full.

use std::process::Command;

use switchboard::ChannelKind;
use switchboard::udp::SendToError;

use super::*;
use crate::programs::{Program, peer as program};

/// AC-12.
#[test]
fn ac_12_a_datagram_comes_back_to_who_sent_it() {
    run_simply(|pool| async move {
        let directory = Directory::new("echo");
        let at = directory.file("server");
        let udp = echo(&pool, &at).await;
        assert_eq!(udp.kind(), ChannelKind::UnixDatagram);
        assert_eq!(udp.local_addr(), Some(Address::from(at.clone())));
        let own = directory.file("peer");
        beside(move || {
            let peer = bounded(UnixDatagram::bind(own).unwrap());
            for size in [0, 1, 1000, 65_535] {
                assert_eq!(exchange(&peer, &at, &vec![7; size]).len(), size);
            }
        })
        .await;
        let infos = pool.connections().await.unwrap();
        assert_eq!(infos[0].kind, ChannelKind::UnixDatagram);
    });
}

#[test]
fn a_sender_without_a_name_is_told_as_such() {
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let directory = Directory::new("unnamed");
        let at = directory.file("server");
        let udp = recorded(&pool, &probe, BindUdp::unix(&at)).await;
        let peer = UnixDatagram::unbound().unwrap();
        peer.send_to(b"hello", &at).unwrap();
        let told = probe.expect::<DatagramReceived>().await;
        assert_eq!(
            (&*told.data, &told.from),
            (&b"hello"[..], &Address::Unix(UnixName::Unnamed))
        );
        // It cannot be answered.
        udp.send_to_with("x", told.from, 1).unwrap();
        let failed = probe.expect::<DatagramFailed>().await;
        assert_eq!(failed.token, Some(Token::from(1)));
        // Nor can who is gone.
        udp.send_to_with("x", directory.file("nobody"), 2).unwrap();
        let failed = probe.expect::<DatagramFailed>().await;
        assert_eq!(
            (failed.token, &*failed.data),
            (Some(Token::from(2)), &b"x"[..])
        );
        assert!(!udp.is_closed());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_need_no_file() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    run_simply(|pool| async move {
        let name = format!("switchboard-{}-abstract", std::process::id());
        let bind = BindUdp::unix_abstract(&name);
        let udp = pool.bind_udp(bind, |udp| Echo { udp }).await.unwrap();
        let own = UnixName::Abstract(name.as_bytes().into());
        assert_eq!(udp.local_addr(), Some(Address::Unix(own)));
        let again = pool.open_udp(BindUdp::unix_abstract(&name)).await;
        assert!(again.is_err(), "it is taken");
        let to = SocketAddr::from_abstract_name(&name).unwrap();
        beside(move || {
            let own = SocketAddr::from_abstract_name(format!("{name}-peer")).unwrap();
            let peer = bounded(UnixDatagram::bind_addr(&own).unwrap());
            peer.send_to_addr(b"hello", &to).unwrap();
            let mut received = [0; 16];
            assert_eq!(peer.recv(&mut received).unwrap(), 5);
        })
        .await;
    });
}

#[test]
fn a_connected_socket_sends_to_its_peer_and_survives_its_end() {
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let directory = Directory::new("connected");
        let (at, own) = (directory.file("server"), directory.file("own"));
        let peer = bounded(UnixDatagram::bind(&at).unwrap());
        let bind = BindUdp::unix(&own).connect(at.clone());
        let udp = recorded(&pool, &probe, bind).await;
        assert_eq!(udp.peer_addr(), Some(Address::from(at.clone())));
        udp.send_with("hello", 1).unwrap();
        probe.expect_sent(1).await;
        let mut received = [0; 16];
        let (count, from) = peer.recv_from(&mut received).unwrap();
        assert_eq!((count, from.as_pathname()), (5, Some(&*own)));
        peer.send_to(b"back", &own).unwrap();
        assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"back");
        assert!(udp.send_to("x", directory.file("other")).is_err());
        drop(peer);
        udp.send_with("lost", 2).unwrap();
        let failed = loop {
            let event = probe.within(PATIENCE).next().await;
            if let switchboard::message::ClientEvent::DatagramFailed(failed) = event {
                break failed;
            }
        };
        assert_eq!(failed.token, Some(Token::from(2)));
        assert!(!udp.is_closed());
        let nobody = BindUdp::unix_unnamed().connect(directory.file("nobody"));
        let error = pool.open_udp(nobody).await.unwrap_err();
        assert_eq!(error.phase, switchboard::ListenPhase::Connect);
    });
}

#[test]
fn a_datagram_longer_than_the_receive_size_is_cut_and_flagged() {
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let directory = Directory::new("long");
        let (short, long) = (directory.file("short"), directory.file("long"));
        let bind = BindUdp::unix(&short).send_limits(8, 1024 * 1024);
        let small = recorded(&pool, &probe, bind).await;
        let bind = BindUdp::unix(&long).recv_size(256 * 1024);
        let large = recorded(&pool, &probe, bind).await;
        let peer = UnixDatagram::unbound().unwrap();
        let data: Vec<u8> = (0..200 * 1024).map(|at| (at % 251) as u8).collect();
        peer.send_to(&data, &short).unwrap();
        let told = probe.expect::<DatagramReceived>().await;
        assert!(told.truncated);
        assert_eq!(told.data, data[..65_535]);
        peer.send_to(&data, &long).unwrap();
        let told = probe.expect::<DatagramReceived>().await;
        assert!(!told.truncated);
        assert_eq!(told.data, data);
        assert_eq!((small.counts().truncated, large.counts().truncated), (1, 0));
        // The same the other way.
        small.send_to(data.clone(), long).unwrap();
        let told = probe.of(large.id()).expect::<DatagramReceived>().await;
        assert_eq!(told.data, data);
    });
}

#[test]
fn a_pair_is_adopted_as_it_is_connected() {
    run_simply(|pool| async move {
        let (one, other) = UnixDatagram::pair().unwrap();
        let other = bounded(other);
        let bind = BindUdp::adopt_unix(one);
        let udp = pool.open_udp(bind).await.unwrap();
        other.send(b"hello").unwrap();
        let (data, from) = udp.recv_from(100, Some(PATIENCE)).await.unwrap().unwrap();
        assert_eq!(
            (&*data, from),
            (&b"hello"[..], Address::Unix(UnixName::Unnamed))
        );
        assert_eq!(udp.local_addr(), None);
        assert_eq!(udp.peer_addr(), Some(Address::Unix(UnixName::Unnamed)));
        udp.send("back").unwrap();
        assert_eq!(other.recv(&mut [0; 16]).unwrap(), 4);
        let unnamed = pool.open_udp(BindUdp::unix_unnamed()).await.unwrap();
        assert_eq!((unnamed.local_addr(), unnamed.peer_addr()), (None, None));
    });
}

#[test]
fn socat_talks_to_it() {
    let Some(socat) = program("socat") else {
        return;
    };
    run_simply(|pool| async move {
        let directory = Directory::new("socat");
        let at = directory.file("server");
        let own = directory.file("socat");
        let udp = echo(&pool, &at).await;
        let to = format!("UNIX-SENDTO:{},bind={}", at.display(), own.display());
        let mut command = Command::new(&socat);
        command.args(["-", &to]);
        beside(move || {
            let mut running = Program::start(&mut command);
            running.say("hello\n");
            running.wait_for("hello\n");
        })
        .await;
        let sink = directory.file("sink");
        let mut command = Command::new(&socat);
        command.args(["-u", &format!("UNIX-RECV:{}", sink.display()), "-"]);
        let mut running = Program::start(&mut command);
        while !sink.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        udp.send_to("to socat\n", sink).unwrap();
        beside(move || running.wait_for("to socat\n")).await;
    });
}

/// The queue of a receiver is full (net.unix.max_dgram_qlen), and nobody says when it is not any more.
#[test]
fn what_a_full_receiver_does_not_take_is_sent_later_and_once() {
    if !switchboard_tests::alone(
        "unix::sending::what_a_full_receiver_does_not_take_is_sent_later_and_once",
    ) {
        return;
    }
    for connected in [false, true] {
        run_simply(|pool| async move {
            const COUNT: u32 = 200;
            let mut probe = Probe::new().partial();
            let directory = Directory::new("full");
            let at = directory.file("server");
            let peer = bounded(UnixDatagram::bind(&at).unwrap());
            let mut bind = BindUdp::unix_unnamed();
            if connected {
                bind = bind.connect(at.clone());
            }
            let udp = recorded(&pool, &probe, bind).await;
            for number in 0..COUNT {
                let data = number.to_string();
                if connected {
                    udp.send_with(data, u64::from(number)).unwrap();
                } else {
                    udp.send_to_with(data, at.clone(), u64::from(number))
                        .unwrap();
                }
            }
            // Nothing goes on now, and nothing spins.
            let before = switchboard_tests::processor_time();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let spent = switchboard_tests::processor_time() - before;
            assert!(spent < Duration::from_millis(200), "{spent:?}");
            assert!(udp.write_buffer_size() > 0, "the queue is never full here");
            // In sequence it waits in turn.
            let waiting = udp.sent_to("in turn", at.clone(), Some(Duration::from_millis(50)));
            assert_eq!(waiting.await.unwrap_err(), SendToError::TimedOut);
            let reading = std::thread::spawn(move || {
                let mut received = [0; 16];
                for number in 0..COUNT {
                    let count = peer.recv(&mut received).unwrap();
                    assert_eq!(received[..count], *number.to_string().as_bytes());
                }
                peer
            });
            for number in 0..COUNT {
                probe.expect_sent(u64::from(number)).await;
            }
            let peer = beside(move || reading.join().unwrap()).await;
            peer.set_nonblocking(true).unwrap();
            assert!(peer.recv(&mut [0; 16]).is_err(), "there is one more");
            probe.no_more(Duration::from_millis(20)).await;
        });
    }
}

/// UA-27: the same in sequence.
#[test]
fn ua_27_a_send_in_sequence_waits_for_a_full_receiver() {
    run_simply(|pool| async move {
        let directory = Directory::new("sequence");
        let at = directory.file("server");
        let peer = bounded(UnixDatagram::bind(&at).unwrap());
        let udp = pool.open_udp(BindUdp::unix_unnamed()).await.unwrap();
        // It gets a name, and the lock beside it, when it opens or never.
        let late = udp.bind(directory.file("late")).unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::Unsupported);
        assert!(!directory.file("late").exists());
        let wait = Some(Duration::from_millis(30));
        let mut sent = 0;
        while let Ok(count) = udp.sent_to("x", at.clone(), wait).await {
            assert_eq!(count, 1);
            sent += 1;
        }
        assert!(sent > 0);
        let error = udp.sent_to("x", at.clone(), wait).await.unwrap_err();
        assert_eq!(error, SendToError::TimedOut);
        let reading = std::thread::spawn(move || {
            // The sender has begun to wait by then.
            std::thread::sleep(Duration::from_millis(50));
            for _ in 0..=sent {
                peer.recv(&mut [0; 4]).unwrap();
            }
            peer
        });
        assert_eq!(udp.sent_to("x", at.clone(), None).await.unwrap(), 1);
        let peer = beside(move || reading.join().unwrap()).await;
        peer.set_nonblocking(true).unwrap();
        assert!(
            peer.recv(&mut [0; 4]).is_err(),
            "one that timed out was sent"
        );
    });
}

//! Sockets leave nothing behind, and cost nothing while nothing happens.

use switchboard::message::*;
use switchboard::testkit::LeakCheck;
use switchboard_tests::{Probe, alone, processor_time, with};

use super::*;

/// Two hundred sockets are opened, used and closed: descriptors, tasks and actors are as before.
#[test]
fn two_hundred_sockets_leave_nothing_behind() {
    if !alone("leaks::two_hundred_sockets_leave_nothing_behind") {
        return;
    }
    let mut probe = Probe::new();
    let make = probe.full_session_for();
    let totals = with(Pool::builder().shards(2), async |pool| {
        let peer = peer();
        // The first look-up starts threads that stay for a while.
        let warm = pool.open_udp(local()).await.unwrap();
        warm.abort();
        warm.wait_closed().await;
        let leaks = LeakCheck::begin().pool(&pool);
        let mut sockets = Vec::new();
        for number in 0..200 {
            let udp = match number % 4 {
                0 => pool.open_udp(local()).await.unwrap(),
                1 => pool
                    .open_udp(BindUdp::adopt(UdpSocket::bind("127.0.0.1:0").unwrap()))
                    .await
                    .unwrap(),
                _ => pool.bind_udp(local(), make.clone()).await.unwrap(),
            };
            peer.send_to(b"hello", address(&udp)).unwrap();
            if number % 4 < 2 {
                udp.recv(10, None).await.unwrap();
            } else {
                probe.expect::<DatagramReceived>().await;
            }
            sockets.push(udp);
        }
        for (number, udp) in sockets.iter().enumerate() {
            assert!(if number % 3 == 0 {
                udp.abort()
            } else {
                udp.close()
            });
        }
        for udp in sockets {
            udp.wait_closed().await;
        }
        leaks.settle().await;
    });
    assert_eq!((totals.opened, totals.closed_in_all()), (201, 201));
    probe.finish();
}

/// Sockets that nothing happens at cost no processor time, whatever their sessions and receivers wait for.
#[test]
fn idle_sockets_cost_no_processor_time() {
    if !alone("leaks::idle_sockets_cost_no_processor_time") {
        return;
    }
    let probe = Probe::new();
    let make = probe.full_session_for();
    with(Pool::builder().shards(1), async |pool| {
        let peer = peer();
        let mut sockets = Vec::new();
        for number in 0..60 {
            let bind = match number % 3 {
                0 => local(),
                1 => local().connect(nobody()),
                _ => local().idle_timeout(Duration::from_secs(3_600)),
            };
            let udp = if number % 2 == 0 {
                pool.bind_udp(bind, make.clone()).await.unwrap()
            } else {
                pool.open_udp(bind).await.unwrap()
            };
            let waiting = udp.clone();
            actix_rt::spawn(async move { waiting.recv(10, None).await });
            if number % 3 == 1 {
                // Refused.
                udp.send("x").unwrap();
            } else {
                peer.send_to(b"x", address(&udp)).unwrap();
                udp.send_to("x", peer.local_addr().unwrap()).unwrap();
            }
            if number % 5 == 0 {
                udp.pause_reading();
            }
            sockets.push(udp);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = processor_time();
        // What is measured is what they cost meanwhile.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let spent = processor_time().saturating_sub(before);
        assert!(spent < Duration::from_millis(20), "{spent:?}");
    });
}

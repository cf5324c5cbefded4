//! Connections on which nothing moves.

use std::io::Write;
use std::time::{Duration, Instant};

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{Cause, IdleAction, IdleRule, TimeoutKind};
use switchboard_tests::*;

use super::{in_turn, local};

/// A peer of which no byte comes any more.
#[test]
fn an_idle_timeout_closes_a_connection_on_which_no_byte_moves() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(600);
        let listen = local().data().idle_timeout(after);
        let (mut stream, client, mut trace) = serve(&pool, listen).await;
        // Each of these gaps is shorter than the timeout, and all of them together are longer.
        for round in 0..3 {
            // The gap, in which nothing moves.
            tokio::time::sleep(after * 2 / 3).await;
            if round == 1 {
                client.send("out").unwrap();
            } else {
                stream.write_all(b"in").unwrap();
                assert_eq!(expect!(trace, DataReceived).data, "in");
            }
        }
        let start = Instant::now();
        let closed = expect!(trace, Closed);
        let took = start.elapsed();
        assert!(took >= after - Duration::from_millis(20), "{took:?}");
        assert!(took < after + Duration::from_millis(200), "{took:?}");
        assert_eq!(closed.reason, ClosedReason::Timeout);
        let kind = TimeoutKind::Idle;
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got, b"out", "a timeout closes in order");
    });
}

/// Trap 7: commands are not traffic, however many there are.
#[test]
fn trap_07_commands_do_not_keep_an_idle_connection_open() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(150);
        let listen = local().idle_timeout(after);
        let (_stream, client, mut trace) = serve(&pool, listen).await;
        let start = Instant::now();
        let closed = loop {
            client.pause_reading();
            client.resume_reading();
            let _ = client.arm(RecvLine::once());
            client.cancel_recv();
            let _ = client.set_write_limits(None, None);
            if let Some(address) = client.addr() {
                address.do_send(GetInfo {});
            }
            match tokio::time::timeout(Duration::from_millis(5), trace.next()).await {
                Err(_) => assert!(start.elapsed() < 4 * after, "it is kept open"),
                Ok(ClientEvent::Closed(closed)) => break closed,
                Ok(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(closed.reason, ClosedReason::Timeout);
        assert!(start.elapsed() < after + Duration::from_millis(200));
    });
}

/// Each direction has a clock of its own, which the other one does not move.
#[test]
fn read_and_write_idleness_are_told_apart() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(150);
        for (listen, kind, we_send) in [
            (
                local().data().idle_read_timeout(after),
                TimeoutKind::IdleRead,
                true,
            ),
            (
                local().data().idle_write_timeout(after),
                TimeoutKind::IdleWrite,
                false,
            ),
        ] {
            let (mut stream, client, mut trace) = serve(&pool, listen).await;
            let start = Instant::now();
            let closed = loop {
                if we_send {
                    let _ = client.send("out");
                } else {
                    let _ = stream.write_all(b"in");
                }
                match tokio::time::timeout(Duration::from_millis(20), trace.next()).await {
                    Err(_) => assert!(start.elapsed() < 4 * after, "it is kept open"),
                    Ok(ClientEvent::DataReceived(_)) => {}
                    Ok(ClientEvent::Closed(closed)) => break closed,
                    Ok(other) => panic!("{other:?}"),
                }
            };
            let took = start.elapsed();
            assert!(took >= after - Duration::from_millis(20), "{took:?}");
            assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
        }
    });
}

/// An idle time that is only reported is told again and again, and the connection goes on.
#[test]
fn an_idle_report_comes_again_and_again_and_closes_nothing() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(50);
        let listen = local().lines().idle_report(after);
        let (mut stream, client, mut trace) = serve(&pool, listen).await;
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(expect!(trace, Idle).kind, TimeoutKind::Idle);
        }
        let took = start.elapsed();
        assert!(took >= after * 3 - Duration::from_millis(20), "{took:?}");
        assert!(took < after * 3 + Duration::from_millis(300), "{took:?}");
        stream.write_all(b"still here\n").unwrap();
        let line = loop {
            match trace.next().await {
                ClientEvent::Idle(_) => {}
                ClientEvent::LineReceived(event) => break event.line,
                other => panic!("{other:?}"),
            }
        };
        client.send_line(&line).unwrap();
        assert_eq!(read_exact(&mut stream, 11), b"still here\n");

        let mut listen = local().lines();
        let action = IdleAction::Report;
        listen.config_mut().idle_read = Some(IdleRule { after, action });
        let (_stream, _, mut trace) = serve(&pool, listen).await;
        assert_eq!(expect!(trace, Idle).kind, TimeoutKind::IdleRead);
    });
}

//! Deadlines.

use std::io::Write;
use std::time::{Duration, Instant};

use switchboard::message::*;
use switchboard::{ArmError, Cause, ClosedReason, ConnectionOptions, Listen, TimeoutKind};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, OneByOne, Shout, ms, text};

/// XAS-46.
#[test]
fn xas_46_a_receive_that_does_not_complete_in_time_closes_with_timeout() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let armed = Instant::now();
        client.arm(RecvLine::once().timeout(ms(300))).unwrap();
        let trickle = std::thread::spawn(move || {
            // The peer's pace; the deadline does not care about it.
            for _ in 0..12 {
                if peer.write_all(b"x").is_err() {
                    break;
                }
                std::thread::sleep(ms(50));
            }
            peer
        });
        let closed = expect!(trace, Closed);
        let took = armed.elapsed();
        assert!((ms(300)..=ms(400)).contains(&took), "{took:?}");
        assert_eq!(closed.reason, ClosedReason::Timeout);
        let (kind, after) = (TimeoutKind::Receive, ms(300));
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
        assert!(closed.detail.unread.starts_with(b"xxx"));
        drop(trickle.join().unwrap());
    });
}

/// XAS-46.
#[test]
fn xas_46_a_receive_that_completes_in_time_leaves_no_deadline_behind() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once().timeout(ms(300))).unwrap();
        trace.no_more(ms(250)).await;
        peer.write_all(b"in time\n").unwrap();
        assert_eq!(text(&mut trace).await, "in time");
        trace.no_more(ms(350)).await;
        assert!(!client.is_closed());
    });
}

/// XAS-46, AMB-05.
#[test]
fn xas_46_a_deadline_that_reports_leaves_the_connection_and_the_bytes() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let armed = Instant::now();
        client
            .arm(RecvLine::once().timeout(ms(100)).report_timeout())
            .unwrap();
        peer.write_all(b"hel").unwrap();
        assert_eq!(expect!(trace, Idle).kind, TimeoutKind::Receive);
        let took = armed.elapsed();
        assert!((ms(100)..=ms(200)).contains(&took), "{took:?}");
        assert!(!client.info().activity.receiving);
        peer.write_all(b"lo\n").unwrap();
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "hello");
    });
}

/// XAS-46, AMB-19.
#[test]
fn xas_46_a_deadline_of_zero_is_refused() {
    with_pool(|pool| async move {
        let (_peer, client, _trace) = serve(&pool, Listen::tcp(ANY)).await;
        let zero = client.arm(RecvLine::once().timeout(Duration::ZERO));
        assert_eq!(zero, Err(ArmError::ZeroTimeout));
        assert!(!client.info().activity.receiving);
    });
}

/// XAS-46: each repetition has its own time.
#[test]
fn xas_46_a_repeated_receive_counts_from_the_last_delivery() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).receive(RecvLine::once().always().timeout(ms(200)));
        let (mut peer, _, mut trace) = serve(&pool, listen).await;
        for _ in 0..3 {
            // Three waits that are together longer than one deadline.
            trace.no_more(ms(100)).await;
            peer.write_all(b"tick\n").unwrap();
            assert_eq!(text(&mut trace).await, "tick");
        }
        let last = Instant::now();
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::Timeout);
        let took = last.elapsed();
        assert!((ms(180)..=ms(300)).contains(&took), "{took:?}");
    });
}

/// XAS-47, T-08.
#[test]
fn xas_47_a_thousand_deadlines_that_were_kept_never_fire() {
    with_pool(|pool| async move {
        let (lines, mut seen) = mpsc::unbounded_channel();
        let mut peer = serve_with(&pool, Listen::tcp(ANY).lines(), |client| Shout { client }).await;
        let mut timed = serve_with(&pool, Listen::tcp(ANY), move |client| OneByOne {
            client,
            receive: RecvLine::once().timeout(ms(100)),
            left: 1_000,
            lines: lines.clone(),
        })
        .await;
        let script: String = (0..1_000).map(|n| format!("{n}\n")).collect();
        timed.write_all(script.as_bytes()).unwrap();
        for n in 0..1_000 {
            assert_eq!(seen.recv().await.unwrap(), n.to_string());
        }
        // Ten deadlines' length: nothing comes of any of them, and others live on beside it.
        let client = pool.connections().await.unwrap();
        assert_eq!(client.len(), 2);
        tokio::time::sleep(ms(1000)).await;
        assert_eq!(pool.connections().await.unwrap().len(), 2, "still open");
        assert_eq!(exchange(&mut peer, b"alive\n"), b"ALIVE\n");
    });
}

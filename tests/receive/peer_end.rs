//! The peer's end.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use switchboard::message::*;
use switchboard::{ArmError, ClosedReason, ConnectionOptions, Listen, Token};
use switchboard_tests::*;

use super::{ANY, MIB, Shout, ms, text};

/// XAS-48.
#[test]
fn xas_48_an_unfinished_line_is_not_delivered_but_handed_back() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once()).unwrap();
        peer.write_all(b"abc").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.unread, "abc");
    });
}

/// XAS-49: the part with a receive armed.
#[test]
fn xas_49_a_peer_that_leaves_a_waiting_receive_is_noticed_at_once() {
    with_pool(|pool| async move {
        for resets in [false, true] {
            let (peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
            client.arm(RecvLine::once()).unwrap();
            until(|| client.info().activity.receiving).await;
            leaves_in_time(peer, resets, &mut trace).await;
        }
    });
}

/// A peer that leaves, which is noticed soon, and for what it is.
async fn leaves_in_time(peer: TcpStream, resets: bool, trace: &mut Probe) {
    if resets {
        reset_on_close(&peer);
    }
    let left = Instant::now();
    drop(peer);
    let closed = expect!(trace, Closed);
    let took = left.elapsed();
    assert!(took < ms(200), "{took:?}");
    let reason = match resets {
        true => ClosedReason::Error,
        false => ClosedReason::ClosedByPeer,
    };
    assert_eq!(closed.reason, reason);
}

/// XAS-49, AMB-04: unread bytes come first.
#[test]
fn xas_49_what_a_leaving_peer_had_sent_is_delivered_before_its_end() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"last\nwords\n").unwrap();
        drop(peer);
        for line in ["last", "words"] {
            client.arm(RecvLine::once()).unwrap();
            assert_eq!(text(&mut trace).await, line);
        }
        // Whether the end was seen together with the last line or not, it is told as the peer's.
        let _ = client.arm(RecvLine::once());
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
    });
}

/// XAS-49: what comes before the peer's end, or before its mistake, is answered.
#[test]
fn xas_49_the_last_line_before_an_end_or_a_mistake_is_answered() {
    with_pool(|pool| async move {
        for (script, finishes) in [("one\ntwo\n", true), ("one\ntwo\nmuch too long\n", false)] {
            let listen = Listen::tcp(ANY).max_line(3).lines();
            let mut peer = serve_with(&pool, listen, |client| Shout { client }).await;
            peer.write_all(script.as_bytes()).unwrap();
            if finishes {
                peer.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(read_all(&mut peer), b"ONE\nTWO\n", "{script:?}");
        }
    });
}

/// AIO-37.
#[test]
fn aio_37_a_half_closed_peer_that_is_kept_gets_everything_and_then_the_end() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve_full(&pool, Listen::tcp(ANY).data()).await;
        peer.write_all(b"request").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "request");
        expect!(trace, PeerFinished).keep_open();
        assert_eq!(client.arm(RecvLine::once()), Err(ArmError::PeerFinished));
        client.send_with(pattern(MIB), Token(1)).unwrap();
        let reader = std::thread::spawn(move || {
            let got = read_all(&mut peer);
            (peer, got)
        });
        loop {
            match trace.next().await {
                ClientEvent::Sent(sent) => break assert_eq!(sent.bytes, MIB),
                ClientEvent::WritePaused(_) | ClientEvent::WriteResumed(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        assert!(!client.is_closed(), "it stays until we close it");
        client.close();
        let closed = loop {
            match trace.next().await {
                ClientEvent::Closed(closed) => break closed,
                ClientEvent::WriteResumed(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        };
        assert_eq!(closed.reason, ClosedReason::ClosedByHost);
        let (_peer, got) = reader.join().unwrap();
        assert!(got == pattern(MIB), "not the bytes that were sent");
    });
}

/// AIO-37.
#[test]
fn aio_37_without_an_answer_the_peers_end_closes_the_connection() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve_full(&pool, Listen::tcp(ANY).data()).await;
        peer.write_all(b"x").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "x");
        drop(expect!(trace, PeerFinished));
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
        assert_eq!(read_all(&mut peer), b"");
    });
}

/// XAS-49: nothing is armed, or reading is paused, and the peer leaves all the same.
#[test]
fn xas_49_a_peer_that_leaves_is_noticed_though_nobody_reads() {
    with_pool(|pool| async move {
        for pauses in [false, true] {
            for resets in [false, true] {
                let (peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
                if pauses {
                    client.arm(RecvLine::once().always()).unwrap();
                    client.pause_reading();
                }
                leaves_in_time(peer, resets, &mut trace).await;
            }
        }
    });
}

/// XAS-49, AMB-04: an end is not told before unread bytes were offered, and they are not read for it.
#[test]
fn xas_49_the_end_of_a_peer_waits_behind_what_it_has_sent() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let (mut peer, client, mut trace) = serve(&pool, listen).await;
        peer.write_all(b"before\n").unwrap();
        assert_eq!(text(&mut trace).await, "before");
        client.pause_reading();
        peer.write_all(b"one\ntwo\n").unwrap();
        drop(peer);
        trace.no_more(ms(300)).await;
        let activity = client.info().activity;
        assert_eq!((activity.bytes_in, activity.unread), (7, 0));
        client.resume_reading();
        for line in ["one", "two"] {
            assert_eq!(text(&mut trace).await, line);
        }
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
    });
}

/// AMB-04: a reset is told at once, also behind an end, and what had come is handed back.
#[test]
fn amb_04_a_reset_is_told_at_once_with_everything_that_was_unread() {
    with_pool(|pool| async move {
        for finishes in [false, true] {
            let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
            client.arm(RecvLine::once()).unwrap();
            peer.write_all(b"line\nin our hands, ").unwrap();
            assert_eq!(text(&mut trace).await, "line");
            peer.write_all(b"in the system's").unwrap();
            if finishes {
                // The answer to it is what makes the peer's system reset.
                peer.shutdown(Shutdown::Write).unwrap();
                trace.no_more(ms(100)).await;
            }
            reset_on_close(&peer);
            drop(peer);
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error, "{}", closed.detail);
            assert_eq!(closed.detail.unread, "in our hands, in the system's");
        }
    });
}

/// XAS-49: looking out for the peer's end is in nobody's way.
#[test]
fn xas_49_who_only_sends_is_not_held_up_and_may_read_later() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve_full(&pool, Listen::tcp(ANY)).await;
        // The lookout stands before the first byte is sent.
        trace.no_more(ms(50)).await;
        client.send_with(pattern(4 * MIB), Token(1)).unwrap();
        let reader = std::thread::spawn(move || {
            let got = read_exact(&mut peer, 4 * MIB);
            (peer, got)
        });
        loop {
            if let ClientEvent::Sent(sent) = trace.next().await {
                break assert_eq!(sent.bytes, 4 * MIB);
            }
        }
        let (mut peer, got) = reader.join().unwrap();
        assert!(got == pattern(4 * MIB));
        peer.write_all(b"thank you\n").unwrap();
        client.arm(RecvLine::once()).unwrap();
        let line = loop {
            if let ClientEvent::LineReceived(line) = trace.next().await {
                break line;
            }
        };
        assert_eq!(line.line.as_bytes(), b"thank you");
        peer.shutdown(Shutdown::Write).unwrap();
        expect!(trace, PeerFinished).keep_open();
        client.send("good bye").unwrap();
        assert_eq!(read_exact(&mut peer, 8), b"good bye");
        // A half-closed connection is looked after too.
        reset_on_close(&peer);
        drop(peer);
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::Error);
    });
}

//! How channels over descriptors end.

use std::io::{Read, Write};

use switchboard::message::*;
use switchboard::{
    Cause, ChannelKind, ClosedReason, ConnectionOptions, Drain, IoOperation, TimeoutKind, WatchFd,
};
use switchboard_tests::*;

use super::{ms, open, open_full, pipes};

/// AC-21, XAS-48.
#[test]
fn ac_21_the_end_hands_an_unfinished_line_back() {
    with_pool(|pool| async move {
        let (read, mut to_us) = std::io::pipe().unwrap();
        let (_, mut probe) = open(&pool, WatchFd::new(&read).unwrap().lines()).await;
        to_us.write_all(b"whole\npart").unwrap();
        probe.expect_line("whole").await;
        drop(to_us);
        let closed = probe.expect_closed(ClosedReason::ClosedByPeer).await;
        assert_eq!(closed.detail.cause, Cause::PeerFinished);
        assert_eq!(closed.detail.unread, "part");
    });
}

/// AC-21: a session that handles it is told first; what cannot be answered ends with that.
#[test]
fn ac_21_the_end_of_what_is_only_read_is_told_as_the_peers() {
    with_pool(|pool| async move {
        let (read, to_us) = std::io::pipe().unwrap();
        let (_, mut probe) = open_full(&pool, WatchFd::new(&read).unwrap().lines()).await;
        drop(to_us);
        let _asked = expect!(probe, PeerFinished);
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
    });
}

/// AC-21: on a pair what is left to say is said.
#[test]
fn ac_21_a_pair_whose_peer_has_finished_can_still_answer() {
    with_pool(|pool| async move {
        let (read, write, to_us, mut from_us) = pipes();
        let watch = WatchFd::read_write(&read, &write).unwrap().lines();
        drop((read, write));
        let (client, mut probe) = open_full(&pool, watch).await;
        drop(to_us);
        expect!(probe, PeerFinished).keep_open();
        client.send("answer").unwrap();
        client.close();
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.detail.unsent, 0);
        let mut all = String::new();
        from_us.read_to_string(&mut all).unwrap();
        assert_eq!(all, "answer");
    });
}

/// AC-21: there is no signal that kills us.
#[test]
fn ac_21_writing_to_nobody_is_an_error_of_that_channel() {
    with_pool(|pool| async move {
        let (read, write, _to_us, from_us) = pipes();
        let watch = WatchFd::read_write(&read, &write).unwrap().lines();
        drop((read, write));
        let (client, mut probe) = open(&pool, watch).await;
        drop(from_us);
        client.send("nobody hears this").unwrap();
        let closed = probe.expect_closed(ClosedReason::Error).await;
        let Cause::Io {
            operation, kind, ..
        } = closed.detail.cause
        else {
            panic!("{}", closed.detail);
        };
        assert_eq!(operation, IoOperation::Write);
        assert_eq!(kind, std::io::ErrorKind::BrokenPipe);
        assert_eq!(closed.detail.unsent, 17);
    });
}

/// Whoever leaves is noticed though nothing is read or written.
#[cfg(target_os = "linux")]
#[test]
fn ends_are_noticed_while_nothing_moves() {
    with_pool(|pool| async move {
        let (from_us, write) = std::io::pipe().unwrap();
        let (_, mut probe) = open(&pool, WatchFd::new(&write).unwrap()).await;
        drop(from_us);
        let closed = probe.expect_closed(ClosedReason::Error).await;
        let Cause::Io { operation, .. } = closed.detail.cause else {
            panic!("{}", closed.detail);
        };
        assert_eq!(operation, IoOperation::Write);

        let (read, mut to_us) = std::io::pipe().unwrap();
        let (client, mut probe) = open(&pool, WatchFd::new(&read).unwrap()).await;
        to_us.write_all(b"first\nsecond\n").unwrap();
        drop(to_us);
        probe.no_more(ms(50)).await;
        client.arm(RecvLine::once()).unwrap();
        probe.expect_line("first").await;
        client.arm(RecvLine::once()).unwrap();
        probe.expect_line("second").await;
        // Nothing is armed any more.
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
    });
}

/// What others may read is not read and thrown away.
#[test]
fn closing_leaves_the_rest_to_others() {
    with_pool(|pool| async move {
        let (mut read, mut to_us) = std::io::pipe().unwrap();
        let (client, mut probe) = open(&pool, WatchFd::new(&read).unwrap()).await;
        to_us.write_all(b"for the next one").unwrap();
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        until(|| client.addr().is_none()).await;
        drop(to_us);
        let mut rest = String::new();
        read.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "for the next one");
    });
}

/// AIO-01: what is queued when it is closed arrives, and then the end.
#[test]
fn closing_flushes() {
    with_pool(|pool| async move {
        let (mut from_us, write) = std::io::pipe().unwrap();
        let watch = WatchFd::new(&write).unwrap();
        drop(write);
        let (client, mut probe) = open(&pool, watch).await;
        client.send(pattern(super::MIB)).unwrap();
        client.close();
        let all = peer(move || {
            let mut all = Vec::new();
            from_us.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(all.await, pattern(super::MIB));
        probe.expect_closed(ClosedReason::ClosedByHost).await;
    });
}

/// Timeouts are those of every connection.
#[test]
fn a_silent_pipe_times_out() {
    with_pool(|pool| async move {
        let (read, to_us) = std::io::pipe().unwrap();
        let watch = WatchFd::new(&read).unwrap().lines().idle_timeout(ms(30));
        let (_, mut probe) = open(&pool, watch).await;
        let closed = probe.expect_closed(ClosedReason::Timeout).await;
        let Cause::Timeout { kind, .. } = closed.detail.cause else {
            panic!("{}", closed.detail);
        };
        assert_eq!(kind, TimeoutKind::Idle);
        drop(to_us);
    });
}

/// A pool knows its channels, and drains them.
#[test]
fn a_pool_lists_and_drains_them() {
    with_pool(|pool| async move {
        let (read, to_us) = std::io::pipe().unwrap();
        let (client, mut probe) = open(&pool, WatchFd::new(&read).unwrap().lines()).await;
        let listed = pool.connections().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (listed[0].id, listed[0].kind),
            (client.id(), ChannelKind::Pipe)
        );
        let report = pool.drain(Drain::within(ms(100))).await;
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.detail.cause, Cause::Drained, "{report:?}");
        drop(to_us);
    });
}

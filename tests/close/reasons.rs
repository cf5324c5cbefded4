//! Why a connection ended.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{Cause, IoOperation, TimeoutKind};
use switchboard_tests::*;

use super::{drain, local, opened_outbound};

/// XAS-14: a peer that finishes.
#[test]
fn xas_14_a_fin_is_closed_by_peer() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = serve(&pool, local().lines()).await;
        drop(stream);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 2);
        assert_eq!(closed.detail.cause, Cause::PeerFinished);
        assert_eq!(closed.detail.cut_short, None);
    });
}

/// XAS-14: a peer that resets; the system's error is kept beside the reason.
#[test]
fn xas_14_a_reset_is_an_error() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = serve(&pool, local().lines()).await;
        reset_on_close(&stream);
        drop(stream);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 0);
        let Cause::Io {
            operation, kind, ..
        } = closed.detail.cause
        else {
            panic!("{:?}", closed.detail);
        };
        assert_eq!(
            (operation, kind),
            (IoOperation::Read, ErrorKind::ConnectionReset)
        );
        let error = closed.detail.cause.io_error().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// XAS-14, AMB-11: a close of our own is told too.
#[test]
fn xas_14_a_close_of_our_own_is_closed_by_host() {
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        assert!(client.close());
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 1);
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        assert_eq!(peer(move || drain(&mut stream)).await, (0, Ok(())));
    });
}

/// XAS-14: time that is up.
#[test]
fn xas_14_an_expired_receive_is_a_timeout() {
    with_pool(|pool| async move {
        let timeout = Duration::from_millis(20);
        let listen = local().receive(RecvLine::once().timeout(timeout));
        let (_stream, _, mut trace) = serve(&pool, listen).await;
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 3);
        let (kind, after) = (TimeoutKind::Receive, timeout);
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
    });
}

/// XAS-14: a peer that breaks a rule.
#[test]
fn xas_14_a_broken_rule_is_an_error() {
    with_pool(|pool| async move {
        let (mut stream, _, mut trace) = serve(&pool, local().lines().max_line(4)).await;
        stream.write_all(b"fine\nwrong\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"fine");
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 0);
        assert!(matches!(closed.detail.cause, Cause::Frame(_)));
        assert_eq!(closed.detail.unread, "wrong\n");
    });
}

/// AC-08: the same three ends for a connection that we opened.
#[test]
fn ac_08_fin_reset_and_own_close_are_each_told_once_outbound() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = opened_outbound(&pool).await;
        drop(stream);
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
        trace.ended().await;

        let (stream, _, mut trace) = opened_outbound(&pool).await;
        reset_on_close(&stream);
        drop(stream);
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::Error);
        trace.ended().await;

        let (stream, client, mut trace) = opened_outbound(&pool).await;
        assert!(client.close());
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByHost);
        assert!(!client.close(), "it was closed already");
        drop(stream);
        trace.ended().await;
    });
}

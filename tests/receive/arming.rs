//! One receive after the other.

use std::io::Write;

use switchboard::message::*;
use switchboard::{ArmError, ConnectionOptions, Listen};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, OneByOne, has_read, ms, size, text, times};

/// XAS-30.
#[test]
fn xas_30_what_a_peer_sends_before_anything_is_armed_waits_for_it() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"early\nbird\n").unwrap();
        trace.no_more(ms(300)).await;
        assert_eq!(
            client.info().activity.bytes_in,
            0,
            "read without being asked"
        );
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "early");
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "bird");
    });
}

/// XAS-30: the first receive can be preset.
#[test]
fn xas_30_a_preset_receive_is_armed_before_the_first_byte() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).receive(RecvData::exact(size(4)));
        let (mut peer, client, mut trace) = serve(&pool, listen).await;
        peer.write_all(b"fourmore").unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "four");
        assert!(!client.info().activity.receiving);
        trace.no_more(ms(50)).await;
    });
}

/// XAS-36.
#[test]
fn xas_36_lines_of_one_segment_come_one_per_receive_and_in_order() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"one\ntwo\nthree\n").unwrap();
        for line in ["one", "two", "three"] {
            client.arm(RecvLine::once()).unwrap();
            assert_eq!(text(&mut trace).await, line);
            assert!(trace.so_far().is_empty(), "a receive completes once");
        }
    });
}

/// XAS-36.
#[test]
fn xas_36_the_next_receive_can_be_armed_in_the_handler_of_the_last() {
    with_pool(|pool| async move {
        let (lines, mut seen) = mpsc::unbounded_channel();
        let mut peer = serve_with(&pool, Listen::tcp(ANY), move |client| OneByOne {
            client,
            receive: RecvLine::once(),
            left: 3,
            lines: lines.clone(),
        })
        .await;
        peer.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
        for line in ["one", "two", "three"] {
            assert_eq!(seen.recv().await.unwrap(), line);
        }
    });
}

/// XAS-36: a receive can be for several frames.
#[test]
fn a_receive_for_n_frames_completes_n_times_and_no_more() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once().times(times(3))).unwrap();
        peer.write_all(b"1\n2\n").unwrap();
        assert_eq!(text(&mut trace).await, "1");
        assert_eq!(text(&mut trace).await, "2");
        assert!(client.info().activity.receiving);
        peer.write_all(b"3\n4\n5\n").unwrap();
        assert_eq!(text(&mut trace).await, "3");
        trace.no_more(ms(50)).await;
        assert!(!client.info().activity.receiving);
        client.arm(RecvLine::once().always()).unwrap();
        assert_eq!(text(&mut trace).await, "4");
        assert_eq!(text(&mut trace).await, "5");
    });
}

/// XAS-41: cancelling makes room for another receive.
#[test]
fn a_cancelled_receive_brings_nothing_and_leaves_every_byte() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        assert!(!client.cancel_recv(), "nothing is armed");
        client.arm(RecvLine::once().timeout(ms(100))).unwrap();
        peer.write_all(b"par").unwrap();
        has_read(&client, 3).await;
        assert!(client.cancel_recv());
        assert!(!client.cancel_recv());
        // Its deadline is gone with it.
        trace.no_more(ms(200)).await;
        client.arm(RecvData::available()).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "par");
    });
}

/// XAS-36, XAS-41: the same as messages to the connection's actor.
#[test]
fn receives_can_be_armed_and_cancelled_by_message() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let actor = client.addr().unwrap();
        assert_eq!(actor.send(RecvLine::once()).await.unwrap(), Ok(()));
        let second = actor.send(RecvData::full()).await.unwrap();
        assert_eq!(second, Err(ArmError::AlreadyReceiving));
        peer.write_all(b"line\ndata").unwrap();
        assert_eq!(text(&mut trace).await, "line");
        assert_eq!(actor.send(RecvData::full()).await.unwrap(), Ok(()));
        assert!(actor.send(CancelRecv {}).await.unwrap());
        assert_eq!(actor.send(RecvUntil::delimiter("t")).await.unwrap(), Ok(()));
        assert_eq!(expect!(trace, DataReceived).data, "da");
    });
}

/// XAS-41.
#[test]
fn xas_41_a_second_receive_is_refused_and_the_first_still_completes_once() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once()).unwrap();
        for second in [
            client.arm(RecvData::available()),
            client.arm(RecvLine::once()),
            client.arm(RecvMsg::once()),
            client.try_recv(1).map(|_| ()),
            client.set_interest(true, false),
        ] {
            assert_eq!(second, Err(ArmError::AlreadyReceiving));
        }
        peer.write_all(b"once\nrest").unwrap();
        assert_eq!(text(&mut trace).await, "once");
        trace.no_more(ms(50)).await;
        client.arm(RecvData::available()).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "rest");
    });
}

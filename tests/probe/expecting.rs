//! What a probe expects, and what it says when something else comes.

use std::io::Write;
use std::time::Duration;

use actix::prelude::System;
use bytes::Bytes;
use switchboard::message::*;
use switchboard::{
    ClosedReason, Connect, ConnectionOptions, Encoding, Line, LineEnding, TimeoutKind, Token,
};
use switchboard_tests::*;

use super::{SHORT, assert_says, failure, id, line, local, panic_of, run, told};

#[test]
fn every_expectation_passes_when_it_comes() {
    let totals = with_pool(|pool| async move {
        let mut probe = Probe::new();
        let mut peer = serve_with(&pool, local(), probe.session()).await;
        peer.write_all("first\nzweite Zeile: ä\n".as_bytes())
            .unwrap();
        let client = probe.expect_open().await;
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(probe.expect_line("first").await.client, client.id());
        client.arm(RecvLine::once()).unwrap();
        let line = probe.expect::<LineReceived>().await.line;
        assert_eq!(line.text().unwrap(), "zweite Zeile: ä");
        client.arm(RecvData::exact(3.try_into().unwrap())).unwrap();
        peer.write_all(b"\0\x01\xFF").unwrap();
        probe.expect_data(b"\0\x01\xFF").await;
        client.arm(RecvMsg::once()).unwrap();
        peer.write_all(b"\0\0\0\x04four").unwrap();
        probe.expect_message(b"four").await;
        client.send_with("x", 7).unwrap();
        assert_eq!(probe.expect_sent(7).await.bytes, 1);
        assert_eq!(read_exact(&mut peer, 1), b"x");
        assert!(probe.so_far().is_empty());
        probe.no_more(SHORT).await;
        drop(peer);
        let closed = probe.expect_closed(ClosedReason::ClosedByPeer).await;
        assert_eq!(closed.handle, client);
        probe.ended().await;
        probe.finish();
    });
    assert_eq!(totals.closed, [0, 0, 1, 0]);
}

#[test]
fn one_probe_sees_both_ends() {
    with_pool(|pool| async move {
        let mut probe = Probe::new();
        let server = pool.listen(local().lines(), probe.session()).await.unwrap();
        let connect = Connect::tcp(server.local_addr()).lines();
        let out = pool.connect(connect, probe.session()).await.unwrap();
        let connected = probe.of(out.id()).expect::<Connected>().await;
        assert_eq!(connected.handle, out);
        let inward = probe.expect_open().await;
        assert!(!inward.is_outbound());
        out.send("there\n").unwrap();
        inward.send("back\n").unwrap();
        // Whichever came first, the other one waits.
        probe.of(out.id()).expect_line("back").await;
        probe.of(inward.id()).expect_line("there").await;
        out.close();
        probe.of(out.id()).expect::<Closed>().await;
        let closed = probe.of(inward.id());
        let mut closed = closed.within(PATIENCE);
        closed.expect_closed(ClosedReason::ClosedByPeer).await;
        probe.ended().await;
        probe.finish();
    });
}

#[test]
fn sessions_leave_to_the_runtime_what_full_sessions_decide() {
    with_pool(|pool| async move {
        let mut probe = Probe::new();
        let peer = serve_with(&pool, local().lines(), probe.session()).await;
        probe.expect_open().await;
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
        probe.finish();

        let mut probe = Probe::new();
        let peer = serve_with(&pool, local().lines(), probe.full_session()).await;
        let client = probe.expect_open().await;
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        probe.expect::<PeerFinished>().await.keep_open();
        probe.no_more(SHORT).await;
        client.close();
        probe.expect::<Closed>().await;
        probe.finish();
    });
}

#[test]
fn a_connection_that_fails_is_told_that_alone() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        drop(listener);
        let mut probe = Probe::new();
        let connecting = pool.connect(Connect::tcp(address), probe.session());
        assert!(connecting.await.is_err());
        let failed = probe.expect::<ConnectFailed>().await;
        assert_eq!(failed.error.target, address.to_string());
        probe.ended().await;
        probe.finish();

        let client = failed.client.as_u64();
        let text = panic_of(|| {
            let probe = Probe::new();
            probe.record(failed);
            probe.record(line(client, "late"));
            probe.finish();
        });
        let shown = format!("  ConnectFailed: cannot connect to {address}: ");
        assert_says(&text, &["LineReceived came after ConnectFailed", &shown]);
    });
}

#[test]
fn another_event_fails_with_the_place_and_the_timeline() {
    let mut at = 0;
    let text = panic_of(|| {
        System::new().block_on(async {
            let pool = switchboard::Pool::builder().shards(0).start().unwrap();
            let mut probe = Probe::new();
            let server = pool.listen(local().lines(), probe.session()).await.unwrap();
            let mut peer = dial(server.local_addr());
            peer.write_all(b"hello\n").unwrap();
            probe.expect_open().await;
            at = line!() + 1;
            probe.expect_closed(ClosedReason::Timeout).await;
        });
    });
    assert_says(
        &text,
        &[
            &format!("tests/probe/expecting.rs:{at}:"),
            "expected Closed timeout, got LineReceived \"hello\" of client c0.",
            "timeline",
            "\n  +0.",
            " s  client c0.",
            "  Accepted from 127.0.0.1:",
            "\n  +0.",
            "  LineReceived \"hello\"\n",
        ],
    );
}

#[test]
fn each_expectation_says_what_it_expected() {
    let text = failure(async || told([line(3, "hullo")]).expect_line("hello").await);
    assert_says(
        &text,
        &[
            "expected LineReceived \"hello\", got LineReceived \"hullo\" of client c0.3\n",
            "\n  +0.000 s  client c0.3  LineReceived \"hullo\"\n",
        ],
    );
    let text = failure(async || told([line(3, "x")]).expect::<Sent>().await);
    assert_says(&text, &["expected Sent, got LineReceived \"x\""]);
    let text = failure(async || told([line(3, "x")]).expect_open().await);
    assert_says(&text, &["expected Accepted or Connected, got LineReceived"]);
    let data = || DataReceived::new(id(3), Bytes::from_static(b"\0ab"));
    let text = failure(async || told([data()]).expect_data(b"\0a").await);
    let parts = [
        r#"expected DataReceived b"\x00a", got"#,
        r#"client c0.3  DataReceived b"\x00ab""#,
    ];
    assert_says(&text, &parts);
    let message = || MessageReceived::new(id(3), Bytes::from_static(b"m"));
    let text = failure(async || told([message()]).expect_message(b"n").await);
    let parts = [
        "expected MessageReceived b\"n\", got",
        "MessageReceived b\"m\"\n",
    ];
    assert_says(&text, &parts);
    let sent = || Sent::new(id(3), Token(1), 12);
    let text = failure(async || told([sent()]).expect_sent(2).await);
    let parts = [
        "expected Sent token 2, got",
        "client c0.3  Sent token 1, 12 bytes\n",
    ];
    assert_says(&text, &parts);
    let idle = || Idle::new(id(3), TimeoutKind::IdleRead);
    let text = failure(async || told([idle()]).expect_closed(ClosedReason::Error).await);
    assert_says(&text, &["expected Closed error, got Idle idle read of"]);
    let text = failure(async || told([line(3, "x")]).no_more(SHORT).await);
    let parts = ["expected nothing for 30ms, got LineReceived \"x\" of client c0.3"];
    assert_says(&text, &parts);
    let text = failure(async || told([line(3, "x")]).ended().await);
    assert_says(&text, &["expected the end, got LineReceived \"x\""]);
}

#[test]
fn what_does_not_come_in_time_fails_with_the_patience() {
    let text = failure(async || told([] as [ClientEvent; 0]).expect::<Closed>().await);
    let parts = [
        "expected Closed, got nothing within 30ms\n",
        "nothing happened",
    ];
    assert_says(&text, &parts);
    let text = failure(async || Probe::new().next().await);
    assert_says(&text, &["expected an event, got nothing within 20s"]);
    let text = failure(async || {
        let mut probe = told([line(1, "of another one")]);
        let mut look = probe.of(id(2)).within(Duration::from_secs(3));
        look.expect::<LineReceived>().await
    });
    assert_says(
        &text,
        &[
            "expected LineReceived of client c0.2, got nothing within 3s",
            "client c0.1  LineReceived \"of another one\"",
        ],
    );
}

#[test]
fn the_clock_of_a_probe_can_be_stopped() {
    let text = failure(async || {
        let mut probe = told([line(1, "at once")]);
        tokio::time::advance(Duration::from_millis(61_234)).await;
        probe.record(line(1, "later"));
        probe.expect_line("at once").await;
        probe.no_more(SHORT).await;
    });
    let later = "\n  +61.234 s  client c0.1  LineReceived \"later\"";
    assert_says(&text, &["\n  +0.000 s", later]);
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn events_come_from_any_thread_and_wake_who_waits() {
    System::new().block_on(async {
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let other = std::thread::spawn(move || {
            // The probe most likely waits by now; it is right either way.
            std::thread::sleep(SHORT);
            recorder.record(line(1, "from afar"));
        });
        is_send(probe.expect_line("from afar")).await;
        is_send(probe);
        other.join().unwrap();
    });
}

#[test]
fn one_connection_can_be_looked_at_and_the_others_wait() {
    run(async {
        let mut probe = told([line(1, "a"), line(2, "b"), line(1, "c")]);
        probe.of(id(2)).expect_line("b").await;
        probe.of(id(2)).no_more(SHORT).await;
        assert!(probe.of(id(2)).so_far().is_empty());
        probe.expect_line("a").await;
        assert_eq!(probe.so_far().len(), 1);
        let text = panic_of(|| probe.finish());
        let parts = ["expected every connection to be closed, but open are [c0.1, c0.2]"];
        assert_says(&text, &parts);
    });
}

#[test]
fn long_payloads_and_long_timelines_are_cut() {
    let long = || {
        let body = Bytes::from("ä".repeat(3000));
        LineReceived::new(id(1), Line::new(body, LineEnding::Lf, Encoding::Utf8))
    };
    let text = failure(async || told([long()]).expect_line("short").await);
    let shown = format!("\"{}\"... (6000 bytes in all)", "ä".repeat(80));
    assert_says(&text, &["got LineReceived ", &shown, "timeline", &shown]);
    let text = failure(async || {
        let mut probe = told((0..5000).map(|_| line(1, "x")));
        probe.record(line(1, "last"));
        assert_eq!(probe.so_far().len(), 5001);
        probe.expect::<Closed>().await
    });
    let parts = [
        "(905 earlier events are left out)",
        "LineReceived \"last\"\n",
    ];
    assert_says(&text, &parts);
    assert_eq!(text.matches("client c0.1").count(), 4096);
}

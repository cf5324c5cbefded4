//! The order of events in the life of a connection.

use switchboard::ConnectionOptions;
use switchboard::message::*;
use switchboard_tests::*;

use super::{SHORT, assert_says, failure, line, local, panic_of};

/// What opens and closes a connection, as a pool has told it, to be told again in any order.
fn lifetime() -> (Accepted, Closed) {
    let mut pair = None;
    with_pool(|pool| {
        let pair = &mut pair;
        async move {
            let (_peer, client, mut probe) = serve(&pool, local().lines()).await;
            client.close();
            let closed = expect!(probe, Closed);
            let accepted = Accepted::new(client.id(), client, None, None);
            *pair = Some((accepted, closed));
        }
    });
    pair.unwrap()
}

#[test]
fn breaches_of_the_order_are_noticed_at_the_next_look() {
    const BROKEN: &str = "the order contract is broken for client c0.";
    // Nothing opened it.
    let text = failure(async || {
        let mut probe = Probe::new();
        probe.record(line(5, "x"));
        probe.expect_line("x").await
    });
    assert_says(
        &text,
        &[
            "tests/probe/lifetimes.rs:",
            BROKEN,
            "5: LineReceived came first, nothing opened it",
            "\n  +0.000 s  client c0.5  LineReceived \"x\"",
        ],
    );
    // It opens twice.
    let (accepted, closed) = lifetime();
    let again = Accepted::new(accepted.client, accepted.handle.clone(), None, None);
    let text = panic_of(|| {
        let mut probe = Probe::new();
        probe.record(accepted);
        assert_eq!(probe.so_far().len(), 1);
        probe.record(again);
        probe.so_far();
    });
    assert_says(&text, &[BROKEN, "Accepted came though it was open"]);
    // Something comes after the end.
    let client = closed.client.as_u64();
    let text = panic_of(|| {
        let probe = Probe::new().partial();
        probe.record(closed);
        probe.record(line(client, "late"));
        probe.finish();
    });
    assert_says(&text, &[BROKEN, "LineReceived came after Closed"]);
    // It ends twice.
    let (accepted, closed) = lifetime();
    let (detail, handle) = (closed.detail.clone(), closed.handle.clone());
    let again = Closed::new(closed.client, closed.reason, detail, handle);
    let text = failure(async || {
        let mut probe = Probe::new();
        probe.record(accepted);
        probe.record(closed);
        probe.record(again);
        probe.no_more(SHORT).await;
    });
    let parts = [
        BROKEN,
        "Closed came after Closed",
        "Closed closed by host: ",
    ];
    assert_says(&text, &parts);
}

#[test]
fn a_session_that_ends_without_closed_is_noticed() {
    let (accepted, _) = lifetime();
    let text = panic_of(|| {
        let mut probe = Probe::new();
        let session = probe.session()(accepted.handle.clone());
        probe.record(accepted);
        assert_eq!(probe.so_far().len(), 1);
        drop(session);
        probe.so_far();
    });
    let parts = [
        "its session ended without Closed",
        "(the session is gone)\n",
    ];
    assert_says(&text, &parts);
}

#[test]
fn a_session_that_stays_is_not_the_end() {
    let (accepted, _) = lifetime();
    let text = failure(async || {
        let mut probe = Probe::new();
        let _session = probe.session()(accepted.handle);
        probe.ended().await;
    });
    let why = "expected the end, but after 20s sessions live: 1";
    assert_says(&text, &[why]);
}

#[test]
fn finish_wants_every_connection_closed() {
    let (accepted, closed) = lifetime();
    let again = Accepted::new(accepted.client, accepted.handle.clone(), None, None);
    let text = panic_of(|| {
        let probe = Probe::new();
        probe.record(accepted);
        probe.finish();
    });
    let parts = [
        "expected every connection to be closed, but open are [c",
        "  Accepted\n",
    ];
    assert_says(&text, &parts);
    let probe = Probe::new();
    probe.record(again);
    probe.record(closed);
    probe.finish();
}

#[test]
fn a_dropped_probe_tells_a_breach_that_nobody_has_seen() {
    let text = panic_of(|| {
        let probe = Probe::new();
        probe.record(line(1, "x"));
    });
    assert_says(
        &text,
        &["LineReceived came first", "client c0.1  LineReceived \"x\""],
    );
    // Another panic is the one to be told, and a breach is told once.
    let text = panic_of(|| {
        let probe = Probe::new();
        probe.record(line(1, "x"));
        std::panic::panic_any("another one".to_owned());
    });
    assert_eq!(text, "another one");
    let mut probe = Probe::new();
    probe.record(line(1, "x"));
    panic_of(|| drop(probe.so_far()));
    drop(probe);
}

//! The conformance suite: which networks keep every promise, and that it catches those that do not.

mod broken;
mod tls;
#[cfg(unix)]
mod unix;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use switchboard::testkit::conformance::{Failure, Outcome, check, check_within};
use switchboard::testkit::{Faults, FaultyNet, Link, MemoryNet};
use switchboard::transport::{TcpNetwork, Transport};

use broken::{DropsLastByte, ForgetsReader, KeepsFirstWaker, ShutsBoth, TakesEverything, Wrapping};

const ANY: &str = "127.0.0.1:0";

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

#[test]
fn tcp_keeps_every_promise() {
    let report = run(check(TcpNetwork, ANY)).unwrap_or_else(|failure| panic!("{failure}"));
    for promise in &report.promises {
        assert_eq!(promise.outcome, Outcome::Kept, "{promise}");
    }
    assert!(report.promises.len() >= 22, "{report}");
}

#[test]
fn memory_keeps_every_promise() {
    let report = run(check(MemoryNet::new(), "10.0.0.1:0"));
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    for promise in &report.promises {
        assert_eq!(promise.outcome, Outcome::Kept, "{promise}");
    }
}

/// Slow, narrow, in pieces: the promises are the same.
#[test]
fn memory_keeps_every_promise_however_the_link_is() {
    let links = [
        Link::default().chunk(7000),
        Link::default().window(1500),
        Link::default().latency(Duration::from_millis(3)),
        Link::default()
            .latency(Duration::from_micros(1700))
            .bandwidth(10_000_000)
            .window(30_000)
            .chunk(1001),
    ];
    for link in links {
        let net = MemoryNet::new().with_link(link.clone());
        let outcome = run(check(net, "10.0.0.1:0"));
        outcome.unwrap_or_else(|failure| panic!("{link:?}: {failure}"));
    }
}

#[test]
fn tcp_keeps_every_promise_over_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // This machine has none.
    }
    run(check(TcpNetwork, "[::1]:0")).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn tcp_keeps_every_promise_inside_an_actix_system() {
    actix::System::new().block_on(async {
        check(TcpNetwork, ANY)
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
    });
}

#[test]
fn short_and_blocked_operations_break_no_promise() {
    let faults = Faults::none()
        .short_reads(3001)
        .short_writes(1009)
        .block_storm(2);
    let network = FaultyNet::new(TcpNetwork, faults.clone());
    run(check(network, ANY)).unwrap_or_else(|failure| panic!("{failure}"));
    let counts = faults.counts();
    assert!(counts.short_reads > 0, "{counts}");
    assert!(counts.short_writes > 0, "{counts}");
    assert!(counts.blocks > 0, "{counts}");
}

#[test]
fn random_faults_without_resets_break_no_promise() {
    let faults = Faults::random(7).short_reads(4000).short_writes(4000);
    let network = FaultyNet::new(TcpNetwork, faults.clone());
    run(check(network, ANY)).unwrap_or_else(|failure| panic!("{failure}\n{faults:?}"));
    assert!(faults.counts().delays > 0, "{}", faults.counts());
}

/// What the suite says about a network that breaks promises.
fn failure_of(wrap: fn(Box<dyn Transport>) -> Box<dyn Transport>) -> Failure {
    let network = Wrapping { wrap };
    // Long enough for the promises that are kept; those that hang are given up then.
    let bound = Duration::from_millis(1500);
    run(check_within(bound, network, ANY)).expect_err("it keeps every promise")
}

fn assert_broken(failure: &Failure, promise: &str) {
    assert!(
        failure.report.broken().any(|name| name == promise),
        "{failure}"
    );
    assert!(failure.to_string().contains(promise), "{failure}");
}

fn assert_kept(failure: &Failure, promise: &str) {
    let promises = &failure.report.promises;
    let found = promises.iter().find(|found| found.name == promise).unwrap();
    assert_eq!(found.outcome, Outcome::Kept, "{failure}");
}

#[test]
fn a_transport_that_drops_the_last_byte_is_caught() {
    let failure = failure_of(|inner| Box::new(DropsLastByte(inner)));
    assert_broken(&failure, "bytes_arrive_in_order_both_ways_at_once");
    assert_broken(&failure, "a_peer_that_does_not_read_holds_writes_back");
    assert_kept(&failure, "a_connect_to_nobody_is_refused");
}

#[test]
fn a_transport_that_keeps_the_first_waker_is_caught() {
    let failure = failure_of(|inner| {
        let waker = None;
        Box::new(KeepsFirstWaker { inner, waker })
    });
    assert_broken(&failure, "a_read_without_data_wakes_the_last_waker");
    assert_kept(&failure, "the_end_is_read_again_and_again");
}

#[test]
fn a_transport_with_one_waker_for_both_directions_is_caught() {
    let failure = failure_of(|inner| {
        let last = Arc::default();
        Box::new(ForgetsReader { inner, last })
    });
    assert_broken(&failure, "reads_and_writes_wake_their_own_tasks");
    assert_kept(&failure, "a_read_without_data_wakes_the_last_waker");
}

#[test]
fn a_transport_that_closes_both_directions_is_caught() {
    let failure = failure_of(|inner| Box::new(ShutsBoth(Some(inner))));
    assert_broken(&failure, "a_shutdown_ends_one_direction_only");
    assert_kept(&failure, "bytes_arrive_in_order_both_ways_at_once");
}

#[test]
fn a_transport_that_takes_everything_is_caught() {
    let failure = failure_of(|inner| Box::new(TakesEverything(inner)));
    assert_broken(&failure, "a_peer_that_does_not_read_holds_writes_back");
    assert_kept(&failure, "a_read_without_data_wakes_the_last_waker");
}

#[test]
fn a_network_that_names_the_wrong_failure_is_caught() {
    let faults = Faults::none().refuse_connect(io::ErrorKind::HostUnreachable);
    let failure = run(check(FaultyNet::new(TcpNetwork, faults), ANY)).unwrap_err();
    assert_broken(&failure, "a_connect_to_nobody_is_refused");
    assert_kept(&failure, "port_0_becomes_a_real_one");
}

/// An end is no reset: the suite says so, and breaks nothing over it.
#[test]
fn a_network_without_resets_is_told_apart() {
    let faults = Faults::none().eof_at(0);
    let bound = Duration::from_millis(500);
    let network = FaultyNet::new(TcpNetwork, faults);
    let failure = run(check_within(bound, network, ANY)).unwrap_err();
    assert_broken(&failure, "bytes_arrive_in_order_both_ways_at_once");
    let mut promises = failure.report.promises.iter();
    let reset = promises.find(|promise| promise.name == "a_reset_reaches_the_peer");
    assert!(
        matches!(reset.unwrap().outcome, Outcome::NotOffered(_)),
        "{failure}"
    );
}

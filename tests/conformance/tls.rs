//! The same promises with TLS over another network.

use std::time::Duration;

use switchboard::testkit::conformance::{Outcome, Report, check};
use switchboard::testkit::{Faults, FaultyNet, Link, MemoryNet};
use switchboard::tls::{TlsClient, TlsNetwork, TlsServer};
use switchboard::transport::{Network, TcpNetwork};
use switchboard_tests::certificates::Authority;

use super::{ANY, run};

/// TLS over a network whose hosts are these addresses. Without resumption: what a server sends for it
/// would be unread at clients that drop their end without reading, which makes a drop a reset.
fn over(inner: impl Network) -> TlsNetwork {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["127.0.0.1", "10.0.0.1"]).identity();
    let server = TlsServer::builder(identity).resumption(false).build();
    let client = TlsClient::builder(authority.roots()).build();
    TlsNetwork::new(inner, server.unwrap(), client.unwrap())
}

/// Every promise but one: a drop without a word is no end in order, so the peer is told of it.
#[track_caller]
fn assert_kept(report: &Report) {
    for promise in &report.promises {
        if promise.name == "a_drop_ends_after_all_data" {
            let told = matches!(&promise.outcome, Outcome::NotOffered(why) if why.contains("close_notify"));
            assert!(told, "{promise}");
        } else {
            assert_eq!(promise.outcome, Outcome::Kept, "{promise}");
        }
    }
}

#[test]
fn tls_over_tcp_keeps_the_promises() {
    let report = run(check(over(TcpNetwork), ANY)).unwrap_or_else(|failure| panic!("{failure}"));
    assert_kept(&report);
}

#[test]
fn tls_over_memory_keeps_the_promises() {
    let report = run(check(over(MemoryNet::new()), "10.0.0.1:0"));
    assert_kept(&report.unwrap_or_else(|failure| panic!("{failure}")));
}

#[test]
fn tls_keeps_the_promises_however_the_link_is() {
    let links = [
        Link::default().chunk(701),
        Link::default().window(1500),
        Link::default()
            .latency(Duration::from_micros(1700))
            .window(30_000)
            .chunk(1001),
    ];
    for link in links {
        let net = MemoryNet::new().with_link(link.clone());
        let outcome = run(check(over(net), "10.0.0.1:0"));
        assert_kept(&outcome.unwrap_or_else(|failure| panic!("{link:?}: {failure}")));
    }
}

#[test]
fn short_and_blocked_operations_below_tls_break_no_promise() {
    let faults = Faults::none()
        .short_reads(3001)
        .short_writes(1009)
        .block_storm(2);
    let network = over(FaultyNet::new(TcpNetwork, faults.clone()));
    assert_kept(&run(check(network, ANY)).unwrap_or_else(|failure| panic!("{failure}")));
    let counts = faults.counts();
    assert!(counts.short_reads > 0, "{counts}");
    assert!(counts.short_writes > 0, "{counts}");
    assert!(counts.blocks > 0, "{counts}");
}

#[test]
fn random_faults_below_and_above_tls_break_no_promise() {
    let below = Faults::random(7).short_reads(4000).short_writes(4000);
    let above = Faults::random(8).short_reads(4000).short_writes(4000);
    let network = over(FaultyNet::new(TcpNetwork, below.clone()));
    let network = FaultyNet::new(network, above.clone());
    assert_kept(&run(check(network, ANY)).unwrap_or_else(|failure| panic!("{failure}")));
    assert!(below.counts().delays > 0, "{}", below.counts());
    assert!(above.counts().delays > 0, "{}", above.counts());
}

//! The same promises on Unix sockets.

use switchboard::UnixName;
use switchboard::testkit::conformance::{Outcome, Report, check};
use switchboard::testkit::{Faults, FaultyNet, MemoryNet};
use switchboard::transport::TcpNetwork;

use super::run;

/// What Unix sockets do not have, and nothing else.
#[track_caller]
fn assert_kept(report: &Report) {
    for promise in &report.promises {
        let missing = match promise.name {
            "a_reset_reaches_the_peer" => "an end instead of a reset",
            "who_leaves_is_noticed_without_reading" if cfg!(target_os = "linux") => "no reset",
            "port_0_becomes_a_real_one" => "no ports",
            _ => {
                assert_eq!(promise.outcome, Outcome::Kept, "{promise}");
                continue;
            }
        };
        let told = matches!(&promise.outcome, Outcome::NotOffered(why) if why.contains(missing));
        assert!(told, "{promise}");
    }
    assert!(report.promises.len() >= 22, "{report}");
}

#[test]
fn unix_streams_keep_every_promise_that_they_make() {
    let path = std::env::temp_dir().join(format!("conformance-{}.sock", std::process::id()));
    let report = run(check(TcpNetwork, path.as_path()));
    assert_kept(&report.unwrap_or_else(|failure| panic!("{failure}")));
    assert!(!path.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_keep_the_same_promises() {
    let name = format!("switchboard-conformance-{}", std::process::id());
    let name = UnixName::Abstract(name.as_bytes().into());
    let report = run(check(TcpNetwork, name));
    assert_kept(&report.unwrap_or_else(|failure| panic!("{failure}")));
}

#[test]
fn short_operations_on_unix_streams_break_no_promise() {
    let path = std::env::temp_dir().join(format!("conformance-short-{}.sock", std::process::id()));
    let faults = Faults::none().short_reads(3001).short_writes(1009);
    let report = run(check(FaultyNet::new(TcpNetwork, faults), path));
    assert_kept(&report.unwrap_or_else(|failure| panic!("{failure}")));
}

/// A network without Unix sockets says so, and does not take the path for an address.
#[test]
fn a_network_without_unix_sockets_refuses_them() {
    let failure = run(check(MemoryNet::new(), std::path::Path::new("/a.sock"))).unwrap_err();
    assert!(
        failure.to_string().contains("has no Unix sockets"),
        "{failure}"
    );
}

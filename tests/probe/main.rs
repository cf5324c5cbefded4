//! The probe: what it accepts, how it fails, and what it asserts by itself.

mod expecting;
mod lifetimes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use switchboard::message::*;
use switchboard::{ClientId, Encoding, Line, LineEnding, Listen};
use switchboard_tests::*;

/// Shorter than any test, long enough for nothing to come.
const SHORT: Duration = Duration::from_millis(30);

fn local() -> Listen {
    Listen::tcp("127.0.0.1:0")
}

fn id(serial: u64) -> ClientId {
    ClientId::from_u64(serial)
}

fn line(client: u64, text: &'static str) -> LineReceived {
    let body = Bytes::from_static(text.as_bytes());
    let line = Line::new(body, LineEnding::Lf, Encoding::Utf8);
    LineReceived::new(id(client), line)
}

/// A probe of events made by hand, of which the order is nobody's business.
fn told<E: Into<ClientEvent>>(events: impl IntoIterator<Item = E>) -> Probe {
    let probe = Probe::new().partial().patience(SHORT);
    for event in events {
        probe.record(event);
    }
    probe
}

/// The text of the panic of `work`.
fn panic_of(work: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(work)).expect_err("it does not panic");
    *payload.downcast::<String>().expect("a text")
}

/// The panic's text of an expectation that is awaited.
fn failure<R>(work: impl AsyncFnOnce() -> R) -> String {
    panic_of(|| {
        run(async {
            work().await;
        });
    })
}

/// Runs without a network, on a clock that stands still unless everybody waits.
fn run<R>(work: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

/// Asserts that a message has these parts, in this order.
#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            panic!("no {part:?} (in its place) in: {text}");
        };
        rest = behind;
    }
}

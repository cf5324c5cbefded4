//! Peers that send urgent bytes without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{Client, ConnectionOptions, IntoSession, Listen, Pool, SessionContext, session};
use switchboard_tests::*;

use crate::peers::send_urgent;

const ANY: &str = "127.0.0.1:0";
const MANY: usize = 100_000;
/// What one process may need more after it.
const MORE: usize = 8 * 1024 * 1024;

/// Throws away what comes.
struct Sink;

impl Actor for Sink {
    type Context = SessionContext<Self>;
}

impl Handler<DataReceived> for Sink {
    type Result = ();

    fn handle(&mut self, _: DataReceived, _: &mut Self::Context) {}
}

session!(Sink);

/// The same, and is told.
struct Hearing;

impl Actor for Hearing {
    type Context = SessionContext<Self>;
}

impl Handler<DataReceived> for Hearing {
    type Result = ();

    fn handle(&mut self, _: DataReceived, _: &mut Self::Context) {}
}

impl Handler<UrgentReceived> for Hearing {
    type Result = ();

    fn handle(&mut self, _: UrgentReceived, _: &mut Self::Context) {}
}

session!(Hearing);

/// XAS-70.
#[test]
fn xas_70_a_flood_of_urgent_bytes_starves_nobody_and_grows_nothing() {
    if alone("flood::xas_70_a_flood_of_urgent_bytes_starves_nobody_and_grows_nothing") {
        flood(|_| Sink);
    }
}

/// AC-06.
#[test]
fn ac_06_a_flood_of_urgent_bytes_that_are_told_starves_nobody_and_grows_nothing() {
    if alone("flood::ac_06_a_flood_of_urgent_bytes_that_are_told_starves_nobody_and_grows_nothing")
    {
        flood(|_| Hearing);
    }
}

fn flood<S: IntoSession>(session: impl Fn(Client) -> S + Send + Sync + 'static) {
    with_pool(|pool: Pool| async move {
        let echo = |client| Echo { client };
        let mut other = serve_with(&pool, Listen::tcp(ANY).lines(), echo).await;
        let flooder = serve_with(&pool, Listen::tcp(ANY).data(), session).await;
        // Everything that is needed once is there.
        assert_eq!(exchange(&mut other, b"line\n"), b"line\n");
        send_urgent(&flooder, b'!');
        let before = resident();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let flooding = std::thread::spawn(move || {
            for _ in 0..MANY {
                send_urgent(&flooder, b'!');
            }
            is_over.store(true, SeqCst);
        });
        let (rounds, longest) = peer(move || {
            let (mut rounds, mut longest) = (0, Duration::ZERO);
            while !over.load(SeqCst) {
                let begun = Instant::now();
                assert_eq!(exchange(&mut other, b"line\n"), b"line\n");
                longest = longest.max(begun.elapsed());
                rounds += 1;
            }
            (rounds, longest)
        })
        .await;
        flooding.join().unwrap();
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        assert!(rounds > 100, "{rounds}");
        let more = resident().saturating_sub(before);
        assert!(more < MORE, "{more} bytes more");
    });
}

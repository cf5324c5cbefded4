//! Who comes, and who is gone again before it is accepted.

use std::io::Write;
use std::time::{Duration, Instant};

use switchboard::message::*;
use switchboard::{ClosedReason, Handlers, Listen};
use switchboard_tests::*;

use super::{ANY, greet, is_let_in, waits};

/// XAS-26, AC-10.
#[test]
fn xas_26_ac_10_without_a_handler_the_peer_sees_the_end_at_once() {
    let totals = with_pool(async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY), |_| Handlers::new())
            .await
            .unwrap();
        let address = server.local_addr();
        peer(move || {
            for attempt in 1.. {
                let mut peer = dial(address);
                let since = Instant::now();
                assert_eq!(read_all(&mut peer), b"");
                let took = since.elapsed();
                if took < Duration::from_millis(100) {
                    break;
                }
                // A busy machine may need another try.
                assert!(attempt < 5, "{took:?}");
            }
        })
        .await;
        let greeter = greet(&pool, Listen::tcp(ANY)).await;
        let address = greeter.local_addr();
        assert!(peer(move || is_let_in(&mut dial(address))).await);
    });
    assert!(totals.closed[ClosedReason::ClosedByHost as usize] >= 1);
}

/// XAS-30: nothing is read before something is armed, and nothing is lost.
#[test]
fn xas_30_what_comes_before_a_receive_is_armed_waits_for_it() {
    with_pool(async |pool| {
        let mut trace = Probe::new();
        let server = pool
            .listen(Listen::tcp(ANY), trace.session())
            .await
            .unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"early\nlate").unwrap();
        let accepted = expect!(trace, Accepted);
        assert_eq!(accepted.server, Some(server.id()));
        assert_eq!(accepted.peer_addr, Some(stream.local_addr().unwrap()));
        let client = accepted.handle;
        // The promise is about this time: nothing is armed in it.
        trace.no_more(Duration::from_millis(300)).await;
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(&*expect!(trace, LineReceived).line, b"early");
        trace.no_more(Duration::from_millis(20)).await;
        client.arm(RecvData::available()).unwrap();
        assert_eq!(&*expect!(trace, DataReceived).data, b"late");
        client.close();
        drop(stream);
        expect!(trace, Closed);
    });
}

/// AC-18, T-28.
#[test]
fn ac_18_a_peer_that_is_gone_before_it_is_accepted_harms_nobody() {
    with_pool(async |pool| {
        let server = greet(&pool, Listen::tcp(ANY).max_connections(1)).await;
        let address = server.local_addr();
        peer(move || {
            let mut first = dial(address);
            assert!(is_let_in(&mut first));
            for _ in 0..5 {
                let gone = dial(address);
                reset_on_close(&gone);
            }
            let mut last = dial(address);
            assert!(waits(&mut last));
            drop(first);
            assert!(is_let_in(&mut last));
            assert_eq!(exchange(&mut last, b"echo\n"), b"echo\n");
        })
        .await;
        assert!(server.is_listening());
    });
}

//! The same on real sockets, with windows short enough to wait for.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use switchboard::prelude::*;
use switchboard::{RateRule, TimeoutKind};
use switchboard_tests::*;

use super::timed_out;

const WINDOW: Duration = Duration::from_millis(200);

#[test]
fn a_slowloris_on_a_real_socket_is_ended_and_its_neighbour_goes_on() {
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0")
            .lines()
            .read_rate(RateRule::new(100, WINDOW));
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let address = server.local_addr();
        let lived = peer(move || {
            let mut neighbour = dial(address);
            let mut slow = dial(address);
            slow.set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            let begun = Instant::now();
            loop {
                // Twenty bytes in 200 ms would do; this is a byte in twenty.
                let _ = slow.write_all(b"x");
                match slow.read(&mut [0; 1]) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => break,
                    Ok(_) => panic!("nobody answers half a line"),
                }
                assert!(begun.elapsed() < PATIENCE, "it lives");
                assert_eq!(exchange(&mut neighbour, b"here\n"), b"here\n");
            }
            let lived = begun.elapsed();
            assert_eq!(exchange(&mut neighbour, b"here\n"), b"here\n");
            lived
        })
        .await;
        assert!(lived >= WINDOW - Duration::from_millis(20), "{lived:?}");
        assert!(lived < 2 * WINDOW + Duration::from_millis(500), "{lived:?}");
        until(|| server.info().closed[ClosedReason::Timeout as usize] == 1).await;
    });
}

#[test]
fn a_peer_on_a_real_socket_that_reads_nothing_is_reset_and_the_unsent_bytes_are_counted() {
    const SENT: usize = 15 * 1024 * 1024;
    with_pool(|pool| async move {
        let rule = RateRule::new(100_000, WINDOW);
        let listen = Listen::tcp("127.0.0.1:0").write_rate(rule);
        let (mut stream, client, mut trace) = serve_full(&pool, listen).await;
        client.send(vec![b'x'; SENT]).unwrap();
        expect!(trace, WritePaused);
        let closed = expect!(trace, Closed);
        timed_out(&closed, TimeoutKind::WriteRate, WINDOW);
        let detail = closed.detail;
        assert!(detail.unsent > 0);
        assert_eq!(detail.unsent as u64 + detail.bytes_out, SENT as u64);
        let told = peer(move || stream.read_to_end(&mut Vec::new())).await;
        let told = told.unwrap_err().kind();
        assert_eq!(told, std::io::ErrorKind::ConnectionReset);
    });
}

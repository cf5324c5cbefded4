//! Trap 8: whoever does not listen to back-pressure.

use bytes::Bytes;
use switchboard::SendRefusal;
use switchboard::prelude::*;
use switchboard_tests::*;

use super::{KIB, MIB, local};

/// Trap 8 (netty #7812, gnet's outbound buffer): 2,000 times 64 KiB to a peer that never reads. What
/// actix's own writer took of this was all of it.
#[test]
fn trap_08_who_ignores_back_pressure_is_refused_and_costs_no_more_than_the_queue() {
    if !alone(
        "pressure::trap_08_who_ignores_back_pressure_is_refused_and_costs_no_more_than_the_queue",
    ) {
        return;
    }
    with_pool(|pool| async move {
        const CAPACITY: usize = 4 * MIB;
        const ASKED: usize = 64 * KIB;
        let listen = local().data().write_capacity(CAPACITY);
        let (_stream, client, mut trace) = serve(&pool, listen).await;
        let before = resident();
        let (mut taken, mut refused) = (0, 0);
        for round in 0..2000 {
            match client.send(vec![b'x'; ASKED]) {
                Ok(()) => taken += 1,
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.payload.len(), ASKED, "it comes back");
                    let SendRefusal::Full {
                        queued,
                        capacity,
                        asked,
                    } = error.refusal
                    else {
                        panic!("{error}");
                    };
                    assert_eq!((capacity, asked), (CAPACITY, ASKED));
                    assert!(queued + ASKED > CAPACITY, "there was room");
                }
            }
            assert!(client.write_buffer_size() <= CAPACITY);
            if round % 50 == 0 {
                // Lets the connection write what the system takes.
                tokio::task::yield_now().await;
            }
        }
        assert!(refused > 1000, "{taken} were taken");
        let grown = resident().saturating_sub(before);
        assert!(grown < CAPACITY + 2 * MIB, "memory grew by {grown} bytes");
        client.abort();
        let detail = expect!(trace, Closed).detail;
        assert_eq!(
            detail.bytes_out + detail.unsent as u64,
            taken * ASKED as u64
        );
    });
}

/// Trap 8: peers that send all they can and read nothing, and sessions that answer everything.
#[test]
fn trap_08_a_flood_from_a_peer_that_never_reads_is_held_back() {
    if !alone("pressure::trap_08_a_flood_from_a_peer_that_never_reads_is_held_back") {
        return;
    }
    const PEERS: usize = 4;
    with_pool(|pool| async move {
        let server = pool.listen(local().data(), |client| NaiveEcho { client });
        let address = server.await.unwrap().local_addr();
        let script = Bytes::from(vec![b'x'; 64 * MIB]);
        let before = resident();
        let floods = (0..PEERS).map(|_| {
            let script = script.clone();
            actix_rt::spawn(peer(move || {
                let stream = dial(address);
                let taken = stuff(&stream, &script);
                (stream, taken)
            }))
        });
        let mut streams = Vec::new();
        for flood in floods.collect::<Vec<_>>() {
            let (stream, taken) = flood.await.unwrap();
            assert!(taken < script.len(), "it was never held back");
            streams.push(stream);
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < PEERS * MIB, "memory grew by {grown} bytes");
        for info in pool.connections().await.unwrap() {
            let queued = info.activity.write_buffer;
            assert!(queued < 256 * KIB, "{queued} bytes of answers are queued");
        }
        streams.iter().for_each(reset_on_close);
    });
}

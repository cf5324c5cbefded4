//! Slots, between servers and over time.

use std::io::Write;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{BufferSlots, RejectReason};
use switchboard_tests::*;

use super::{Fault, Fragile, local};

/// XAS-66: slots bound the connections of all listeners that share them.
#[test]
fn xas_66_two_servers_share_four_slots() {
    let slots = BufferSlots::new(4, 4096, true).unwrap();
    let shared = slots.clone();
    with_pool(|pool| async move {
        let mut events = watch(&pool);
        let listen = || {
            local()
                .lines()
                .slots(shared.clone())
                .at_limit(AtLimit::Reject)
        };
        let make = |client| Echo { client };
        let one = pool.listen(listen(), make).await.unwrap();
        let two = pool.listen(listen(), make).await.unwrap();
        let mut first = dial(one.local_addr());
        let mut second = dial(two.local_addr());
        assert_eq!(exchange(&mut first, b"1\n"), b"1\n");
        assert_eq!(exchange(&mut second, b"2\n"), b"2\n");
        assert_eq!(shared.available(), 0);
        for server in [&one, &two] {
            let mut third = dial(server.local_addr());
            assert_eq!(read_all(&mut third), b"");
            let rejected = next_pool_event(&mut events, |event| match event {
                PoolEvent::AcceptRejected {
                    server,
                    peer_addr,
                    reason: RejectReason::Slots,
                } => Some((*server, *peer_addr)),
                _ => None,
            });
            let peer_addr = third.local_addr().ok();
            assert_eq!(rejected.await, (server.id(), peer_addr));
        }
        // A place that the first listener gives back is one for the second.
        drop(first);
        until(|| shared.available() == 2).await;
        let mut third = dial(two.local_addr());
        assert_eq!(exchange(&mut third, b"3\n"), b"3\n");
        assert_eq!(shared.available(), 0);
        assert_eq!((one.info().rejected, two.info().rejected), (1, 1));
    });
    assert_eq!(slots.available(), 4, "every slot came back");
}

/// T-23: slots come back on every path, a panic included.
#[test]
fn t_23_slots_come_back_from_connections_that_fail() {
    let slots = BufferSlots::new(2, 256, false).unwrap();
    let shared = slots.clone();
    with_pool(|pool| async move {
        for fault in [Fault::Line, Fault::Started, Fault::Drop, Fault::Closed] {
            let make = move |client| Fragile { client, fault };
            let listen = local().lines().slots(shared.clone());
            let server = pool.listen(listen, make).await.unwrap();
            let mut stream = dial(server.local_addr());
            stream.write_all(b"panic\n").unwrap();
            assert_eq!(read_all(&mut stream), b"");
            drop(stream);
            until(|| shared.available() == 2).await;
        }
        let (mut stream, client, _trace) =
            serve(&pool, local().lines().slots(shared.clone())).await;
        // With the send slot away: lent out, and being sent.
        let mut slot = client.take_send_slot().unwrap();
        slot[..3].copy_from_slice(b"abc");
        slot.send(3, None).unwrap();
        assert_eq!(read_exact(&mut stream, 3), b"abc");
        let lent = client.take_send_slot().unwrap();
        client.abort();
        until(|| shared.available() == 2).await;
        drop(lent);
        assert_eq!(shared.available(), 2);
    });
    assert_eq!(slots.available(), 2);
}

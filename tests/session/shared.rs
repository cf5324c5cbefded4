//! One actor for many connections.

use std::io::Write;

use actix::WeakAddr;
use switchboard::prelude::*;
use switchboard_tests::*;

use super::{Desk, failure, local, rest, three};

/// T-06: the same for an address of a session.
#[test]
fn a_shared_session_that_dies_takes_its_connections_with_it() {
    let totals = with_pool(|pool| async move {
        let mut events = watch(&pool);
        let mut trace = Probe::new();
        let told = trace.recorder();
        let desk = Desk::new(told).start();
        let (_, mut peers, ids) = three(&pool, &mut trace, move |_| desk.clone()).await;
        peers[1].write_all(b"panic\n").unwrap();
        assert_eq!(rest(&peers[1]).await, b"");
        let told = failure(&mut events).await;
        assert_eq!((told.0, told.1), (ids[1], Some("LineReceived")));
        assert_eq!(told.2, "the desk falls over");
        for number in [0, 2] {
            peers[number].write_all(b"anybody?\n").unwrap();
            assert_eq!(rest(&peers[number]).await, b"");
        }
        // A connection for an actor that is gone is closed as it opens.
    });
    assert_eq!(totals.closed, [1, 2, 0, 0]);
}

/// An address that serves many: the events of all of them come to one actor, each with its id.
#[test]
fn one_address_serves_many_connections() {
    let totals = with_pool(|pool| async move {
        let mut trace = Probe::new();
        let told = trace.recorder();
        let desk = Desk::new(told).start();
        let address = desk.clone();
        let (_, peers, ids) = three(&pool, &mut trace, move |_| address.clone()).await;
        drop(peers);
        let mut closed: Vec<_> = [
            expect!(trace, Closed),
            expect!(trace, Closed),
            expect!(trace, Closed),
        ]
        .iter()
        .map(|event| event.client)
        .collect();
        closed.sort();
        assert_eq!(closed, ids);
        assert!(desk.connected(), "it is the user's, and stays");
    });
    assert_eq!(totals.closed, [0, 0, 3, 0]);
}

/// A dead address is nobody to give a connection to (XAS-26).
#[test]
fn a_connection_for_an_actor_that_is_gone_ends_at_once() {
    with_pool(|pool| async move {
        let trace = Probe::new();
        let told = trace.recorder();
        let desk = Desk::new(told).start();
        let gone: WeakAddr<Desk> = desk.downgrade();
        let address = desk.clone();
        let server = pool
            .listen(local().lines(), move |_| address.clone())
            .await
            .unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"stop\n").unwrap();
        assert_eq!(rest(&stream).await, b"");
        until(|| server.info().closed == [0, 1, 0, 0]).await;
        let late = dial(server.local_addr());
        assert_eq!(rest(&late).await, b"");
        until(|| server.info().closed == [0, 2, 0, 0]).await;
        assert!(!desk.connected() && gone.upgrade().is_none_or(|desk| !desk.connected()));
    });
}

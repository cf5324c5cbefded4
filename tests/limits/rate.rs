//! The rate of new connections.

use std::time::Duration;

use switchboard::prelude::*;
use switchboard::{AcceptRate, ServerLimits};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::{HERE, greet, simulate};

const MS: Duration = Duration::from_millis(1);

/// When each of these peers, which come at once, is greeted; in milliseconds.
async fn greeted(world: &switchboard::testkit::World, targets: &[&str]) -> Vec<u128> {
    let begun = Instant::now();
    let mut waiting = Vec::new();
    for target in targets {
        let mut peer = world.net().connect(target).await.unwrap();
        waiting.push(actix::spawn(async move {
            let mut greeting = [0; 6];
            peer.read_exact(&mut greeting).await.unwrap();
            (begun.elapsed(), peer)
        }));
    }
    let mut when = Vec::new();
    for waits in waiting {
        let (after, _peer) = waits.await.unwrap();
        when.push(after.as_millis());
    }
    when.sort_unstable();
    when
}

fn near(when: &[u128], expected: &[u128]) {
    assert_eq!(when.len(), expected.len());
    // Timers tick in milliseconds.
    let close = |(is, should): (&u128, &u128)| (*should..=should + 2).contains(is);
    assert!(
        when.iter().zip(expected).all(close),
        "{when:?}, not {expected:?}"
    );
}

#[test]
fn who_comes_faster_than_the_rate_waits_for_a_token() {
    simulate(async |world| {
        let pool = world.pool();
        let rate = AcceptRate::new(10, 2).unwrap();
        let listen = Listen::tcp(HERE)
            .accept_rate(rate)
            .at_limit(AtLimit::Reject);
        let server = greet(&pool, listen).await;
        near(&greeted(&world, &[HERE; 5]).await, &[0, 0, 100, 200, 300]);
        assert_eq!(server.info().rejected, 0);
        // A quiet time fills it up again, to the burst and no further.
        tokio::time::sleep(Duration::from_secs(60)).await;
        near(&greeted(&world, &[HERE; 3]).await, &[0, 0, 100]);
    });
}

#[test]
fn listeners_that_are_given_clones_share_the_rate() {
    simulate(async |world| {
        let pool = world.pool();
        let rate = AcceptRate::new(10, 1).unwrap();
        let there = "10.0.0.1:7001";
        for address in [HERE, there] {
            greet(&pool, Listen::tcp(address).accept_rate(rate.clone())).await;
        }
        let when = greeted(&world, &[HERE, there, HERE, there]).await;
        near(&when, &[0, 100, 200, 300]);
    });
}

#[test]
fn the_rate_can_be_changed_and_taken_off() {
    simulate(async |world| {
        let pool = world.pool();
        let slow = AcceptRate::new(1, 1).unwrap();
        let server = greet(&pool, Listen::tcp(HERE).accept_rate(slow)).await;
        near(&greeted(&world, &[HERE; 2]).await, &[0, 1000]);
        let change = async {
            tokio::time::sleep(100 * MS).await;
            let limits = ServerLimits::new().accept_rate(AcceptRate::new(100, 1).unwrap());
            server.set_limits(limits).unwrap();
        };
        let (when, ()) = tokio::join!(greeted(&world, &[HERE; 3]), change);
        near(&when, &[100, 110, 120]);
        let limits = ServerLimits::new().accept_rate(None);
        server.set_limits(limits).unwrap();
        near(&greeted(&world, &[HERE; 5]).await, &[0; 5]);
    });
}

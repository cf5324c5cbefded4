//! A connect that takes too long.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchboard::{Client, Connect, Pool};
use switchboard_tests::{PATIENCE, Probe, Stalled, expect, peer, stalled, with_pool};
use tokio::time::timeout;

/// Who connects from here is the last one to be accepted.
const LAST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

async fn too_late(pool: &Pool, address: SocketAddr) -> (Probe, Client) {
    let probe = Probe::new();
    let connecting = pool.connect(Connect::tcp(address), probe.session());
    let client = connecting.client().clone();
    let waited = timeout(Duration::from_millis(50), connecting).await;
    assert!(waited.is_err(), "it is answered");
    (probe, client)
}

/// UA-06: given up, it is never established, though the peer answers later; one for which only the wait is
/// over still is.
#[test]
fn ua_06_a_connect_that_took_too_long_is_really_given_up() {
    let totals = with_pool(async |pool| {
        let Stalled {
            address,
            listener,
            filling,
        } = stalled();
        let (mut given_up, client) = too_late(&pool, address).await;
        assert!(client.abort());
        let failed = expect!(given_up, ConnectFailed);
        assert_eq!(failed.error.kind, std::io::ErrorKind::Interrupted);

        // Begun later than the other, and so it asks again later than the other would.
        let (mut forgotten, other) = too_late(&pool, address).await;
        let accepting = std::thread::spawn(move || {
            let mut peers = Vec::new();
            loop {
                let (stream, from) = listener.accept().unwrap();
                peers.push(stream);
                if from.ip() == LAST {
                    return peers.len();
                }
            }
        });
        expect!(forgotten, Connected);
        given_up.no_more(Duration::from_millis(20)).await;
        assert!(client.is_closed() && !other.is_closed());
        let totals = pool.status().await.unwrap().totals;
        assert_eq!(
            (totals.connecting, totals.connected, totals.live),
            (0, 1, 1)
        );

        other.abort();
        let last = Connect::tcp(address).local_addr((LAST, 0).into());
        let session = Probe::new().session();
        let last = pool.connect(last, session).await.unwrap();
        let accepted = peer(|| accepting.join().unwrap());
        let accepted = timeout(PATIENCE, accepted).await.unwrap();
        // Those that filled it, the one that was forgotten, and the last one.
        assert_eq!(accepted, filling.len() + 2);
        last.abort();
    });
    assert_eq!(totals.connect_failed, 1);
}

//! Accepting that ends, by whatever closes the listener.

use switchboard::{ClosedReason, Drain};

use super::*;

/// What closes a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Acceptor,
    Handle,
    Drain,
    Stop,
}

#[test]
fn accepts_that_wait_are_told_that_the_listener_closes() {
    for by in [By::Acceptor, By::Handle, By::Drain, By::Stop] {
        with(Pool::builder().shards(2), async |pool| {
            let (acceptor, address) = open(&pool, local()).await;
            let mut waiting = [Box::pin(acceptor.accept()), Box::pin(acceptor.accept())];
            assert!(waiting.iter_mut().all(|waiting| look(waiting).is_pending()));
            match by {
                By::Acceptor => acceptor.close().await,
                By::Handle => acceptor.server().close().await,
                By::Drain => {
                    pool.drain(Drain::within(PATIENCE)).await;
                }
                By::Stop => {
                    pool.stop().await;
                }
            }
            for waiting in waiting {
                assert_eq!(within(waiting).await.unwrap_err(), AcceptError::Closed);
            }
            let late = within(acceptor.accept()).await;
            assert_eq!(late.unwrap_err(), AcceptError::Closed, "{by:?}");
            peer(move || TcpStream::connect(address).unwrap_err()).await;
            acceptor.close().await;
        });
    }
}

#[test]
fn connections_that_were_handed_out_stay_when_the_acceptor_is_closed_or_dropped() {
    for drops in [false, true] {
        with(Pool::builder().shards(2), async |pool| {
            let (acceptor, address) = open(&pool, local()).await;
            let server = acceptor.server().clone();
            let mut dialled = peer(move || dial(address)).await;
            let client = next(&acceptor).await;
            if drops {
                drop(acceptor);
                within(server.wait_closed()).await;
            } else {
                acceptor.close().await;
            }
            let live = client.clone();
            peer(move || {
                TcpStream::connect(address).unwrap_err();
                assert!(are_ends(&live, &mut dialled));
                live.close();
                assert!(is_ended(&mut dialled));
            })
            .await;
            within(server.wait_drained()).await;
        });
    }
}

/// Those of accepts that were given up are nobody's.
#[test]
fn connections_that_were_not_handed_out_are_closed_with_the_acceptor() {
    for drops in [false, true] {
        with(Pool::builder().shards(2), async |pool| {
            let (acceptor, address) = open(&pool, local()).await;
            let server = acceptor.server().clone();
            let mut asking = [Box::pin(acceptor.accept()), Box::pin(acceptor.accept())];
            assert!(asking.iter_mut().all(|asking| look(asking).is_pending()));
            let mut peers = peer(move || [dial(address), dial(address), dial(address)]).await;
            until(|| server.info().accepted == 2).await;
            drop(asking);
            if drops {
                drop(acceptor);
            } else {
                acceptor.close().await;
            }
            peer(move || assert!(peers.iter_mut().all(is_ended))).await;
            within(server.wait_drained()).await;
            let info = server.info();
            assert_eq!((info.accepted, info.live), (2, 0));
            assert_eq!(info.closed[ClosedReason::ClosedByHost as usize], 2);
        });
    }
}

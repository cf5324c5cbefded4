//! A session that waits for something holds up its own events only: whoever else uses the socket goes on.

use std::sync::Arc;

use actix::{AsyncContext, WrapFuture};
use switchboard::message::*;
use switchboard_tests::{Probe, expect, with_pool};
use tokio::sync::{Notify, Semaphore};

use super::*;

/// Told its first datagram it waits until it is let go; it may send while it waits.
struct Waits {
    udp: Udp,
    there: Arc<Notify>,
    go: Arc<Semaphore>,
    to: Option<std::net::SocketAddr>,
}

impl Actor for Waits {
    type Context = Context<Self>;
}

impl Handler<DatagramReceived> for Waits {
    type Result = ();

    fn handle(&mut self, _: DatagramReceived, ctx: &mut Self::Context) {
        let (there, go, udp, to) = (
            self.there.clone(),
            self.go.clone(),
            self.udp.clone(),
            self.to,
        );
        let waiting = async move {
            if let Some(to) = to {
                udp.send_to("from the wait", to).unwrap();
            }
            there.notify_one();
            // It is let go for good when the gate is closed.
            let _ = go.acquire().await;
        };
        ctx.wait(waiting.into_actor(self));
    }
}

session!(Waits);

struct Stalled {
    udp: Udp,
    peer: UdpSocket,
    go: Arc<Semaphore>,
}

/// A socket whose session waits.
async fn stalled(pool: &Pool, own: bool, sends: bool) -> Stalled {
    let (there, go, peer) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)), peer());
    let to = sends.then(|| peer.local_addr().unwrap());
    let (at, until) = (Arc::clone(&there), Arc::clone(&go));
    let make = move |udp| Waits {
        udp,
        there: at.clone(),
        go: until.clone(),
        to,
    };
    let udp = if own {
        pool.bind_udp(local(), make).await.unwrap()
    } else {
        pool.bind_udp(local(), move |udp| make(udp).start())
            .await
            .unwrap()
    };
    peer.send_to(b"stall", address(&udp)).unwrap();
    there.notified().await;
    Stalled { udp, peer, go }
}

/// XAS-60: a send is not held up by a session that waits, nor is one that it makes meanwhile.
#[test]
fn a_send_goes_out_while_the_session_waits() {
    with_pool(async |pool| {
        for own in [true, false] {
            let Stalled { udp, peer, go } = stalled(&pool, own, true).await;
            let peer = switchboard_tests::peer(move || {
                assert_eq!(received(&peer), b"from the wait");
                peer
            });
            let peer = peer.await;
            udp.send_to("from outside", peer.local_addr().unwrap())
                .unwrap();
            let peer = switchboard_tests::peer(move || {
                assert_eq!(received(&peer), b"from outside");
                peer
            });
            let peer = peer.await;
            // Something that waits for the session now, so that it has been called.
            peer.send_to(b"next", address(&udp)).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            udp.send_to("once more", peer.local_addr().unwrap())
                .unwrap();
            switchboard_tests::peer(move || assert_eq!(received(&peer), b"once more")).await;
            go.close();
            udp.abort();
        }
    });
}

/// UA-27: so is a send in sequence.
#[test]
fn a_send_in_sequence_goes_out_while_the_session_waits() {
    with_pool(async |pool| {
        let Stalled { udp, peer, go } = stalled(&pool, true, false).await;
        let to = peer.local_addr().unwrap();
        udp.send_to("queued", to).unwrap();
        let sent = udp.sent_to("hello", to, Some(PATIENCE)).await;
        assert_eq!(sent, Ok(5));
        assert_eq!(received(&peer), b"queued");
        assert_eq!(received(&peer), b"hello");
        go.close();
        udp.abort();
    });
}

/// UA-26: and so is a receive: the datagrams go to who asks.
#[test]
fn a_receive_is_served_while_the_session_waits() {
    with_pool(async |pool| {
        for own in [true, false] {
            let Stalled { udp, peer, go } = stalled(&pool, own, false).await;
            let to = address(&udp);
            for early in [true, false] {
                if early {
                    peer.send_to(b"hello", to).unwrap();
                }
                let other = udp.clone();
                let waiting = actix_rt::spawn(async move { other.recv(10, Some(PATIENCE)).await });
                tokio::time::sleep(Duration::from_millis(10)).await;
                if !early {
                    peer.send_to(b"hello", to).unwrap();
                }
                let data = waiting.await.unwrap().unwrap();
                assert_eq!(&*data.expect("nothing came"), b"hello");
            }
            go.close();
            udp.abort();
        }
    });
}

/// Sends within a handler's turn, and tells where it is.
struct Sends {
    udp: Udp,
    to: std::net::SocketAddr,
}

impl Actor for Sends {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Sends {
    type Result = ();

    fn handle(&mut self, _: DatagramReceived, _: &mut Self::Context) {
        self.udp.send_to("in its turn", self.to).unwrap();
        let (udp, to) = (self.udp.clone(), self.to);
        // Begins its look while the other one is queued.
        let mut sending = Box::pin(async move { udp.sent_to("in sequence", to, None).await });
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sending.as_mut().poll(&mut cx).is_pending());
        actix_rt::spawn(sending);
    }
}

session!(Sends);

/// UA-27: who waits behind the queue is called when others have emptied it.
#[test]
fn a_send_in_sequence_hears_that_the_queue_is_empty() {
    with_pool(async |pool| {
        let peer = peer();
        let to = peer.local_addr().unwrap();
        let udp = pool
            .bind_udp(local(), move |udp| Sends { udp, to })
            .await
            .unwrap();
        peer.send_to(b"go", address(&udp)).unwrap();
        let peer = switchboard_tests::peer(move || {
            assert_eq!(received(&peer), b"in its turn");
            assert_eq!(received(&peer), b"in sequence");
        });
        peer.await;
    });
}

/// A session that stops itself when it is told the end leaves nothing behind.
struct Stops;

impl Actor for Stops {
    type Context = SessionContext<Self>;
}

impl Handler<Closed> for Stops {
    type Result = ();

    fn handle(&mut self, _: Closed, ctx: &mut Self::Context) {
        actix::ActorContext::stop(ctx);
    }
}

session!(Stops);

#[test]
fn a_session_that_stops_at_the_end_leaves_no_actor() {
    with_pool(async |pool| {
        let udp = pool.bind_udp(local(), |_| Stops).await.unwrap();
        tokio::task::yield_now().await;
        udp.close();
        udp.wait_closed().await;
        switchboard_tests::until(|| udp.addr().is_none()).await;
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        udp.close();
        expect!(probe, Closed);
    });
}

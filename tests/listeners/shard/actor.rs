//! Shards whose actors panic, on threads that go on.

use std::io::Read;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;

use switchboard::transport::{Detached, TcpNetwork, Transport};
use switchboard::{ClosedReason, Connect};
use switchboard_tests::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

use super::{adds_up, greeted, lives, quick};

/// A transport that panics when it comes to another thread, which is in the shard's own actor.
struct PanicOnAttach(Box<dyn Transport>);

struct Panicking;

impl Detached for Panicking {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        panic!("panic on attach")
    }
}

impl Transport for PanicOnAttach {
    fn set_reset(&mut self) {
        self.0.set_reset();
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        Ok(Box::new(Panicking))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsyncRead for PanicOnAttach {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for PanicOnAttach {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// TCP with such transports, for the peers that come while it is on.
#[derive(Debug, Clone)]
struct Moving(Arc<AtomicBool>);

struct MovingListener(Box<dyn Listener>, Arc<AtomicBool>);

impl Network for Moving {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let listening = TcpNetwork.listen(target);
        let on = Arc::clone(&self.0);
        Box::pin(
            async move { Ok(Box::new(MovingListener(listening.await?, on)) as Box<dyn Listener>) },
        )
    }

    fn connect(&self, _: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        panic!("panic on connect")
    }
}

impl Listener for MovingListener {
    fn poll_accept(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<Incoming>> {
        let accepted = self.0.poll_accept(cx);
        accepted.map_ok(|incoming| {
            if !self.1.load(SeqCst) {
                return incoming;
            }
            Incoming {
                transport: Box::new(PanicOnAttach(incoming.transport)),
                ..incoming
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

/// The actor of a shard is started again without its connections: they notice nothing.
#[test]
fn a_shard_whose_actor_panics_keeps_its_thread_and_its_connections() {
    let on = Arc::new(AtomicBool::new(false));
    let builder = Pool::builder().network(Moving(Arc::clone(&on)));
    with(quick(builder.shards(2)), async |pool| {
        let mut events = watch(&pool);
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let address = server.local_addr();
        let mut peers = peer(move || (0..4).map(|_| greeted(address)).collect::<Vec<_>>()).await;
        on.store(true, SeqCst);
        let lost = peer(move || {
            // One of two goes to the other shard.
            let mut pair = [dial(address), dial(address)];
            pair.iter_mut()
                .filter_map(|peer| peer.read(&mut [0; 6]).ok())
                .filter(|count| *count == 0)
                .count()
        })
        .await;
        assert_eq!(lost, 1);
        on.store(false, SeqCst);
        let seen = events_until(&mut events, is_shard_restarted).await;
        let [
            ..,
            PoolEvent::ShardFailed { shard, text, .. },
            PoolEvent::ShardRestarted { shard: same },
        ] = &seen[..]
        else {
            panic!("{seen:?}");
        };
        assert_eq!((shard, &text[..]), (same, "panic on attach"));
        assert_ne!(*shard, server.id().shard());
        peer(move || {
            assert!(peers.iter_mut().all(lives));
            for _ in 0..4 {
                greeted(address);
            }
        })
        .await;
        assert!(adds_up(&pool).await);
        server.close().await;
        within(server.wait_drained()).await;
        assert_eq!(server.info().restarts, 0);

        // What a network does when it connects is the business of that connection only.
        let failing = pool.connect(Connect::tcp(address), |client| Echo { client });
        let error = failing.await.unwrap_err();
        assert!(error.to_string().contains("panic on connect"), "{error}");
    });
}

/// What stops a pool because shards fail too often still closes their connections in order.
#[test]
fn a_shard_whose_actor_panics_too_often_is_stopped_in_order() {
    for shards in [2, 3] {
        let on = Arc::new(AtomicBool::new(false));
        let builder = Pool::builder().network(Moving(Arc::clone(&on)));
        let builder = builder.shards(shards).intensity(0, Duration::from_secs(60));
        let totals = with(builder, async |pool| {
            let server = pool.listen(local(), greets("hello")).await.unwrap();
            let address = server.local_addr();
            let peers = peer(move || (0..6).map(|_| greeted(address)).collect::<Vec<_>>()).await;
            on.store(true, SeqCst);
            let mut last = peer(move || [dial(address), dial(address)]).await;
            within(pool.stopped()).await;
            peer(move || {
                for mut peer in peers {
                    assert_eq!(read_all(&mut peer), b"", "finished, not reset");
                }
                // One of them may have been greeted.
                for last in &mut last {
                    let _ = last.read(&mut [0; 6]);
                }
            })
            .await;
        });
        let by_host = totals.closed[ClosedReason::ClosedByHost as usize];
        assert_eq!(by_host, totals.accepted, "{totals}");
    }
}

//! What a handle and its pool tell and do.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    ArmError, Client, ClientId, ClosedReason, Connect, ConnectionOptions, Listen, Pool,
    SendRefusal, SessionContext,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::ANY;

/// Looks, from inside its `Closed` handler, whether the pool still knows its connection.
struct LooksWhenClosed {
    client: Client,
    seen: mpsc::UnboundedSender<(bool, bool)>,
}

impl Actor for LooksWhenClosed {
    type Context = SessionContext<Self>;
}

impl Handler<DataReceived> for LooksWhenClosed {
    type Result = ();

    fn handle(&mut self, _: DataReceived, _: &mut Self::Context) {}
}

impl Handler<Closed> for LooksWhenClosed {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) -> Self::Result {
        let (pool, seen) = (self.client.pool().clone(), self.seen.clone());
        AtomicResponse::new(Box::pin(
            async move {
                let listed = pool.connections().await.unwrap();
                let listed = listed.iter().any(|info| info.id == msg.client);
                let found = pool.connection(msg.client).await.is_some();
                seen.send((listed, found)).unwrap();
            }
            .into_actor(self),
        ))
    }
}

switchboard::session!(LooksWhenClosed);

/// XAS-05, XAS-06.
#[test]
fn xas_05_xas_06_the_pool_lists_and_finds_what_is_open_and_nothing_else() {
    with(Pool::builder().shards(2), async |pool| {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let server = pool
            .listen(Listen::tcp(ANY).data(), move |client| LooksWhenClosed {
                client,
                seen: sender.clone(),
            })
            .await
            .unwrap();
        let (outside, outside_addr) = listener();
        let mut trace = Probe::new();
        let outbound = pool.connect(Connect::tcp(outside_addr), trace.session());
        let outbound = outbound.await.unwrap();
        expect!(trace, Connected);
        let peers: Vec<_> = (0..3).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().live == 3).await;

        let list = pool.connections().await.unwrap();
        assert_eq!(list.len(), 4);
        assert!(list.is_sorted_by_key(|info| info.id));
        assert_eq!(pool.status().await.unwrap().servers, 1);
        for peer in &peers {
            let ours = peer.local_addr().unwrap();
            let info = list
                .iter()
                .find(|info| info.peer_addr == Some(ours))
                .unwrap();
            assert_eq!(info.server, Some(server.id()));
            assert_eq!(info.local_addr, Some(server.local_addr()));
            assert!(!info.outbound);
            let found = pool.connection(info.id).await.unwrap();
            assert_eq!(found.id(), info.id);
            assert_eq!(found.peer_addr(), Some(ours));
        }
        let out = list.iter().find(|info| info.outbound).unwrap();
        assert_eq!((out.id, out.server), (outbound.id(), None));
        assert!(
            pool.connection(ClientId::from_u64(u64::MAX))
                .await
                .is_none()
        );
        assert!(pool.connection(ClientId::from_u64(0)).await.is_none());

        drop(peers);
        for _ in 0..3 {
            let seen = tokio::time::timeout(PATIENCE, seen.recv()).await;
            assert_eq!(seen.unwrap(), Some((false, false)), "listed or found");
        }
        for info in list.iter().filter(|info| !info.outbound) {
            assert!(pool.connection(info.id).await.is_none());
        }
        let list = pool.connections().await.unwrap();
        assert_eq!(list.len(), 1);
        outbound.close();
        drop(outside);
        expect!(trace, Closed);
    });
}

/// Opens a second connection, to wherever the line says, through the pool of its own one.
struct Opener {
    client: Client,
}

impl Actor for Opener {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Opener {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let pool = self.client.pool();
        let target = str::from_utf8(&msg.line).unwrap();
        let second = pool.connect(Connect::tcp(target).lines(), |client| Echo { client });
        second.client().send("from the handler\n").unwrap();
    }
}

switchboard::session!(Opener);

/// XAS-16.
#[test]
fn xas_16_a_session_opens_a_second_connection_through_its_handle() {
    with_pool(async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY).lines(), |client| Opener { client })
            .await
            .unwrap();
        let address = server.local_addr();
        peer(move || {
            let (listener, target) = listener();
            let mut first = dial(address);
            writeln!(first, "{target}").unwrap();
            let (mut second, _) = listener.accept().unwrap();
            assert_eq!(read_exact(&mut second, 17), b"from the handler\n");
            assert_eq!(exchange(&mut second, b"back\n"), b"back\n");
        })
        .await;
    });
}

/// XAS-17.
#[test]
fn xas_17_port_zero_becomes_real_and_the_socket_can_be_looked_at() {
    with_pool(async |pool| {
        let mut trace = Probe::new();
        let server = pool
            .listen(Listen::tcp(ANY).lines(), trace.session())
            .await
            .unwrap();
        assert_ne!(server.local_addr().port(), 0);
        let stream = dial(server.local_addr());
        let client = expect!(trace, Accepted).handle;
        assert_eq!(client.local_addr(), Some(server.local_addr()));
        let before = client.with_socket(|socket| socket.keepalive().unwrap());
        assert_eq!(before.await, Some(false));
        let idle = Duration::from_secs(77);
        client
            .with_socket(move |socket| {
                let keepalive = socket2::TcpKeepalive::new().with_time(idle);
                socket.set_tcp_keepalive(&keepalive).unwrap();
            })
            .await
            .unwrap();
        let after = client.with_socket(|socket| {
            let idle = socket.tcp_keepalive_time().unwrap();
            (socket.keepalive().unwrap(), idle)
        });
        assert_eq!(after.await, Some((true, idle)));
        drop(stream);
        expect!(trace, Closed);
        assert_eq!(client.with_socket(|_| ()).await, None);
    });
}

/// XAS-23: one send to a closed socket kills the original's whole pool.
#[test]
fn xas_23_a_broadcast_to_open_and_closed_connections_reaches_the_open_ones() {
    with_pool(async |pool| {
        let mut trace = Probe::new();
        let server = pool
            .listen(Listen::tcp(ANY).lines(), trace.session())
            .await
            .unwrap();
        let mut peers = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..6 {
            peers.push(Some(dial(server.local_addr())));
            clients.push(expect!(trace, Accepted).handle);
        }
        for gone in [0, 2, 4] {
            peers[gone] = None;
            let closed = expect!(trace, Closed);
            assert_eq!(closed.handle, clients[gone]);
        }
        for round in ["one\n", "two\n", "three\n"] {
            for (index, client) in clients.iter().enumerate() {
                let sent = client.send(round);
                if index % 2 == 1 {
                    sent.unwrap();
                } else {
                    let error = sent.unwrap_err();
                    assert_eq!(error.refusal, SendRefusal::Closed);
                    assert_eq!(error.into_payload(), round);
                    assert!(client.is_closed() && !client.close() && !client.abort());
                    assert_eq!(client.arm(RecvLine::once()), Err(ArmError::Closed));
                    assert!(client.try_recv(1).is_err());
                    assert!(client.take_send_slot().is_err());
                    assert!(client.write_eof().is_err());
                }
            }
        }
        peer(move || {
            for mut peer in peers.into_iter().flatten() {
                assert_eq!(read_exact(&mut peer, 14), b"one\ntwo\nthree\n");
            }
        })
        .await;
    });
}

/// XAS-69: sends from eight threads arrive whole, in the order of each thread, up to the close.
#[test]
fn xas_69_eight_threads_send_and_close_the_same_handle() {
    for _ in 0..20 {
        with_pool(async |pool| {
            let mut trace = Probe::new();
            let server = pool
                .listen(Listen::tcp(ANY), trace.session())
                .await
                .unwrap();
            let mut stream = dial(server.local_addr());
            let client = expect!(trace, Accepted).handle;
            let reading = std::thread::spawn(move || read_all(&mut stream));
            let closes = AtomicUsize::new(0);
            let sent: Vec<usize> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8_usize)
                    .map(|thread| {
                        let (client, closes) = (client.clone(), &closes);
                        scope.spawn(move || {
                            for count in 0..500 {
                                if count == 100 + thread * 50 && client.close() {
                                    closes.fetch_add(1, Ordering::Relaxed);
                                }
                                if client.send(format!("{thread} {count}\n")).is_err() {
                                    return count;
                                }
                            }
                            500
                        })
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert_eq!(closes.into_inner(), 1, "one close is the first");
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::ClosedByHost);
            let read = peer(move || reading.join().unwrap()).await;
            let mut next = [0; 8];
            for line in String::from_utf8(read).unwrap().lines() {
                let (thread, count) = line.split_once(' ').unwrap();
                let thread: usize = thread.parse().unwrap();
                assert_eq!(count, next[thread].to_string(), "order of one thread");
                next[thread] += 1;
            }
            assert_eq!(next.as_slice(), sent, "all that was taken was sent");
            trace.no_more(Duration::from_millis(5)).await;
        });
    }
}

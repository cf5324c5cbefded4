//! Which shard a connection goes to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};
use switchboard::{ConnectionState, Placement, Server};

use super::*;

/// How many connections each shard has.
async fn spread(pool: &Pool, shards: usize) -> Vec<usize> {
    let mut spread = vec![0; shards];
    for info in pool.connections().await.unwrap() {
        if info.activity.state == ConnectionState::Open {
            spread[info.id.shard()] += 1;
        }
    }
    spread
}

async fn echo(pool: &Pool, listen: Listen) -> Server {
    pool.listen(listen.lines(), |client| Echo { client })
        .await
        .unwrap()
}

/// A peer that the server has accepted and answered.
fn join(server: &Server) -> TcpStream {
    let mut stream = dial(server.local_addr());
    assert_eq!(exchange(&mut stream, b"hello\n"), b"hello\n");
    stream
}

/// Waits until this is all that is left.
async fn left(pool: &Pool, connections: usize) {
    // One actor for each, and one for its session.
    while pool.status().await.unwrap().actors != 2 * connections {
        tokio::task::yield_now().await;
    }
}

#[test]
fn round_robin_is_even() {
    with(Pool::builder().shards(4), |pool| async move {
        let (one, other) = (echo(&pool, local()).await, echo(&pool, local()).await);
        let peers: Vec<_> = (0..12).map(|_| join(&one)).collect();
        assert_eq!(spread(&pool, 4).await, [3; 4]);
        // Each listener has a turn of its own.
        let more: Vec<_> = (0..4).map(|_| join(&other)).collect();
        assert_eq!(spread(&pool, 4).await, [4; 4]);
        drop((peers, more));
        all_gone(&pool).await;
    });
}

#[test]
fn least_connections_fills_the_emptiest() {
    let builder = Pool::builder()
        .shards(4)
        .placement(Placement::LeastConnections);
    with(builder, |pool| async move {
        let server = echo(&pool, local()).await;
        let mut peers: Vec<_> = (0..8).map(|_| Some(join(&server))).collect();
        assert_eq!(spread(&pool, 4).await, [2; 4]);
        let mut gone = HashMap::new();
        for info in pool.connections().await.unwrap() {
            let there = |stream: &TcpStream| stream.local_addr().ok() == info.peer_addr;
            let peer = peers
                .iter_mut()
                .find(|peer| peer.as_ref().is_some_and(there));
            // Both of shard 1, and one of shard 2.
            let count: &mut usize = gone.entry(info.id.shard()).or_default();
            if info.id.shard() == 1 || (info.id.shard() == 2 && *count == 0) {
                *count += 1;
                *peer.unwrap() = None;
            }
        }
        left(&pool, 5).await;
        assert_eq!(spread(&pool, 4).await, [2, 0, 1, 2]);
        peers.push(Some(join(&server)));
        assert_eq!(spread(&pool, 4).await, [2, 1, 1, 2]);
        peers.extend((0..2).map(|_| Some(join(&server))));
        assert_eq!(spread(&pool, 4).await, [2; 4]);
        // A listener may do otherwise: its turn is its own, the numbers of others are nothing to it.
        let plain = echo(&pool, local().placement(Placement::RoundRobin)).await;
        let mut more: Vec<_> = (0..4).map(|_| join(&plain)).collect();
        assert_eq!(spread(&pool, 4).await, [3; 4]);
        more.extend((0..8).map(|_| join(&server)));
        assert_eq!(spread(&pool, 4).await, [5; 4]);
        drop((peers, more));
        all_gone(&pool).await;
    });
}

/// Outbound connections count, and are placed, like others.
#[test]
fn outbound_connections_are_placed_by_the_same_policy() {
    for policy in [Placement::RoundRobin, Placement::LeastConnections] {
        let builder = Pool::builder().shards(3).placement(policy);
        with(builder, |pool| async move {
            let (there, address) = listener();
            let mut peers = Vec::new();
            let mut connect = async || {
                let connecting = pool.connect(Connect::tcp(address), |client| Echo { client });
                peers.push(there.accept().unwrap());
                connecting.await.unwrap()
            };
            let mut clients = Vec::new();
            for _ in 0..6 {
                clients.push(connect().await);
            }
            assert_eq!(spread(&pool, 3).await, [2; 3]);
            for client in &clients {
                if client.id().shard() == 2 {
                    client.abort();
                }
            }
            left(&pool, 4).await;
            for _ in 0..2 {
                connect().await;
            }
            let now = spread(&pool, 3).await;
            match policy {
                Placement::LeastConnections => assert_eq!(now, [2; 3]),
                _ => assert_eq!(now, [3, 3, 0]),
            }
        });
    }
}

/// A peer at this address of the loopback net.
fn join_from(address: IpAddr, server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(address, 0).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(exchange(&mut stream, b"hello\n"), b"hello\n");
    stream
}

#[test]
fn source_hash_keeps_a_peer_on_one_shard() {
    const PEERS: u8 = 32;
    with(Pool::builder().shards(4), |pool| async move {
        let hashing = || local().placement(Placement::SourceHash);
        let servers = [echo(&pool, hashing()).await, echo(&pool, hashing()).await];
        let mut peers = Vec::new();
        for round in 0..4 {
            for last in 1..=PEERS {
                let address = IpAddr::from([127, 0, 0, last]);
                let server = servers[round % 2].local_addr();
                peers.push(join_from(address, server));
            }
        }
        let mut shards: HashMap<IpAddr, usize> = HashMap::new();
        for info in pool.connections().await.unwrap() {
            let shard = info.id.shard();
            let before = shards.insert(info.peer_addr.unwrap().ip(), shard);
            assert!(before.is_none_or(|before| before == shard), "{info:?}");
        }
        assert_eq!(shards.len(), usize::from(PEERS));
        let used: HashSet<_> = shards.values().collect();
        assert!(used.len() > 1, "all on one shard");
        drop(peers);
        all_gone(&pool).await;
    });
}

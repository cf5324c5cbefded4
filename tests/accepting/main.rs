//! Promises about peers that are accepted one at a time, and about listeners that close with their handle.

mod asking;
mod ending;
mod guard;
mod limits;
mod surviving;
mod tls;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    AcceptError, Acceptor, AtLimit, BackoffConfig, Client, ClientId, ConnectionOptions, Listen,
    Pool, Server,
};
use switchboard_tests::*;
use tokio::time::timeout;

fn local() -> Listen {
    Listen::tcp("127.0.0.1:0")
}

/// A listener in pull mode, and its address.
async fn open(pool: &Pool, listen: Listen) -> (Acceptor, SocketAddr) {
    let acceptor = pool.open_listener(listen).await.unwrap();
    let address = acceptor.server().local_addr();
    (acceptor, address)
}

/// The next peer, which must come in time.
async fn next(acceptor: &Acceptor) -> Client {
    within(acceptor.accept()).await.unwrap()
}

/// Waits for what must come in time.
async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it takes too long")
}

/// Looks once.
fn look<T>(work: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    let mut cx = TaskContext::from_waker(Waker::noop());
    std::pin::Pin::new(work).poll(&mut cx)
}

/// Whether nothing comes for a moment, in which a peer that is served, or turned away, would hear of it.
fn waits(peer: &mut TcpStream) -> bool {
    let moment = Duration::from_millis(50);
    peer.set_read_timeout(Some(moment)).unwrap();
    let error = peer.read(&mut [0]).map_err(|error| error.kind());
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    error == Err(ErrorKind::WouldBlock)
}

/// Whether the peer sees the end.
fn is_ended(peer: &mut TcpStream) -> bool {
    match peer.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            true
        }
    }
}

/// Whether these are the two ends of one connection.
fn are_ends(client: &Client, peer: &mut TcpStream) -> bool {
    let same = client.peer_addr() == peer.local_addr().ok();
    peer.write_all(b"hello\n").unwrap();
    let line = block_on(client.recv_line()).unwrap();
    block_on(client.sent_line(&line)).unwrap();
    assert_eq!(read_exact(peer, 6), b"hello\n");
    same
}

/// Pauses before restarts that are exactly so long.
fn every(pause: Duration) -> BackoffConfig {
    let mut config = BackoffConfig::default();
    (config.min, config.max, config.jitter) = (pause, pause, 0.0);
    config
}

/// Runs a future on a thread that has no runtime, and no reactor.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = TaskContext::from_waker(&waker);
    let mut work = pin!(work);
    let begun = Instant::now();
    loop {
        if let Poll::Ready(value) = work.as_mut().poll(&mut cx) {
            return value;
        }
        let left = PATIENCE.checked_sub(begun.elapsed());
        std::thread::park_timeout(left.expect("it takes too long"));
    }
}

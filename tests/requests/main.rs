//! Requests: receives and sends whose answer comes to the caller, with or without a session.

mod beside;
mod ending;
mod kinds;
mod links;
mod receiving;
mod secured;
mod sending;
mod serving;
mod turns;

use std::net::TcpStream;
use std::time::Duration;

use switchboard::prelude::*;
use switchboard_tests::{listener, peer};

/// A request's timeout in these tests.
const SOON: Duration = Duration::from_millis(100);

/// A connection without a session, and its peer.
async fn open(pool: &Pool) -> (Client, TcpStream) {
    open_with(pool, |connect| connect).await
}

async fn open_with(pool: &Pool, options: impl FnOnce(Connect) -> Connect) -> (Client, TcpStream) {
    let (listener, address) = listener();
    let connecting = pool.open(options(Connect::tcp(address)));
    let stream = peer(move || listener.accept().unwrap().0).await;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    (connecting.await.unwrap(), stream)
}

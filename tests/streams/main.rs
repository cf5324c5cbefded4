//! Streams: connections that are read and written in sequence.

mod codecs;
mod feeding;
mod giving_up;
mod halves;
mod opening;
#[path = "../peers/programs.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod programs;
mod python;
mod reading;
mod serving;
mod tcp_client;
mod threads;
mod ways;
mod writing;

use std::net::TcpStream;
use std::time::Duration;

use switchboard::stream::{Reader, Writer, open_connection};
use switchboard::{Connect, Pool};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";
const MIB: usize = 1024 * 1024;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A stream with these options to a plain peer, and the peer.
async fn stream_with(
    pool: &Pool,
    options: impl FnOnce(Connect) -> Connect,
) -> (Reader, Writer, TcpStream) {
    let (listener, address) = listener();
    let connect = options(Connect::tcp(address));
    let (reader, writer) = open_connection(pool, connect).await.unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    (reader, writer, stream)
}

async fn stream(pool: &Pool) -> (Reader, Writer, TcpStream) {
    stream_with(pool, |connect| connect).await
}

/// A stream to a peer that reads nothing by itself, between small buffers of the system.
async fn narrow(pool: &Pool) -> (Reader, Writer, TcpStream) {
    use switchboard::ConnectionOptions;
    let (listener, address) = listener();
    let socket = socket2::SockRef::from(&listener);
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let connect = Connect::tcp(address).send_buffer_size(16 * 1024);
    let (reader, writer) = open_connection(pool, connect).await.unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (reader, writer, stream)
}

//! Unix stream sockets, and sockets that were opened elsewhere (AC-12, AMB-16, ACO-01).
#![cfg(unix)]

mod adopting;
mod files;
mod inherited;
mod lasting;
#[path = "../peers/programs.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod programs;
mod refusing;
mod socat;
mod streams;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use switchboard::{Client, ConnectionOptions, Listen, Pool, Server};
use switchboard_tests::{Echo, PATIENCE};

/// A plain blocking connection whose operations give up after [`PATIENCE`].
fn dial(path: impl AsRef<Path>) -> UnixStream {
    bounded(UnixStream::connect(path).unwrap())
}

fn bounded(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Writes and reads back the same number of bytes.
fn exchange(stream: &mut UnixStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// A listener that echoes lines.
async fn echo(pool: &Pool, listen: Listen) -> Server {
    let session = |client: Client| Echo { client };
    pool.listen(listen.lines(), session).await.unwrap()
}

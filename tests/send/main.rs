//! Sending: queued whole and in order, told when the system has taken it, refused when it cannot be.

mod ahead;
mod answers;
mod early;
mod queue;
mod senders;
mod stalled;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchboard::message::*;
use switchboard::{Client, ConnectionOptions, Listen};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";
const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A listener whose connections soon have nowhere to put what a peer does not read.
fn narrow() -> Listen {
    Listen::tcp(ANY).send_buffer_size(256 * KIB)
}

/// Sends the pattern, 64 KiB at a time, until the system takes no more of it, because the peer does
/// not read; says how many bytes were sent.
async fn clog(client: &Client) -> usize {
    let block = Bytes::from(pattern(251 * 256));
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    loop {
        while client.write_buffer_size() < 640 * KIB {
            client.send(&block).unwrap();
            sent += block.len();
        }
        let before = client.write_buffer_size();
        // The time that the system may need to move bytes on between its own buffers.
        tokio::time::sleep(ms(150)).await;
        if client.write_buffer_size() == before {
            return sent;
        }
        assert!(Instant::now() < deadline, "the system takes everything");
    }
}

/// Reads so many bytes beside the test and gives them with the stream.
async fn drain(mut stream: TcpStream, count: usize) -> (TcpStream, Vec<u8>) {
    peer(move || {
        let bytes = read_exact(&mut stream, count);
        (stream, bytes)
    })
    .await
}

/// The next event that is not about pauses.
async fn next_but_pauses(trace: &mut Probe) -> ClientEvent {
    loop {
        match trace.next().await {
            ClientEvent::WritePaused(_) | ClientEvent::WriteResumed(_) => {}
            other => return other,
        }
    }
}

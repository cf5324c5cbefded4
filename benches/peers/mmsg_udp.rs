//! `peer-mmsg-udp ADDR`: an echo of datagrams on tokio that takes and answers them in batches.
//!
//! `recvmmsg` and `sendmmsg` of up to 16 datagrams behind tokio's readiness: it shows what batches gain over
//! `tokio_udp_try.rs`, which makes a system call for each.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams of a batch.
const BATCH: usize = 16;
/// No datagram of the measured load is longer; one that is loses its end.
const DATAGRAM_BYTES: usize = 2_048;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let socket = UdpSocket::bind(address).await?;
    writeln!(io::stdout(), "listening on {}", socket.local_addr()?)?;
    let mut batch = Batch::new();
    loop {
        let receive = || batch.receive(&socket);
        socket.async_io(Interest::READABLE, receive).await?;
        let mut sent = 0;
        while sent < batch.filled.len() {
            let send = || batch.send(&socket, sent);
            sent += socket.async_io(Interest::WRITABLE, send).await?;
        }
    }
}

/// The datagrams of one `recvmmsg`.
struct Batch {
    buffers: Vec<[u8; DATAGRAM_BYTES]>,
    /// Length and sender of each.
    filled: Vec<(usize, Option<SockaddrStorage>)>,
    received: MultiHeaders<SockaddrStorage>,
    answers: MultiHeaders<SockaddrStorage>,
}

impl Batch {
    fn new() -> Self {
        Self {
            buffers: vec![[0; DATAGRAM_BYTES]; BATCH],
            filled: Vec::with_capacity(BATCH),
            received: MultiHeaders::preallocate(BATCH, None),
            answers: MultiHeaders::preallocate(BATCH, None),
        }
    }

    fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.filled.clear();
        let mut slices: [_; BATCH] = {
            let mut buffers = self.buffers.iter_mut();
            std::array::from_fn(|_| {
                [IoSliceMut::new(
                    buffers.next().expect("as many as a batch has"),
                )]
            })
        };
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.received,
            slices.iter_mut(),
            MsgFlags::empty(),
            None,
        )?;
        self.filled
            .extend(received.map(|datagram| (datagram.bytes, datagram.address)));
        Ok(())
    }

    /// Answers all datagrams from the one at `first`; says how many it could.
    fn send(&mut self, socket: &UdpSocket, first: usize) -> io::Result<usize> {
        let answers = self.filled.iter().zip(&self.buffers).skip(first);
        let slices: Vec<_> = answers
            .map(|((length, _), buffer)| [IoSlice::new(&buffer[..*length])])
            .collect();
        let addresses: Vec<_> = self.filled[first..].iter().map(|(_, from)| *from).collect();
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut self.answers,
            &slices,
            addresses,
            [],
            MsgFlags::empty(),
        )?;
        Ok(sent.count())
    }
}

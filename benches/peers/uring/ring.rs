//! The ring of both peers: it accepts, receives, sends and closes, and says what came of it.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;

use io_uring::types::{Fd, Fixed};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;
use rustix::net::listen;
use rustix::net::sockopt::set_tcp_nodelay;

use crate::buffers::{Buffers, Chunk, GROUP};

/// Requests that wait for the next call; what is more waits in a list.
const SUBMISSIONS: u32 = 4_096;
const COMPLETIONS: u32 = 16_384;
/// The most connections at once.
pub(crate) const SLOTS: u32 = 16_384;
/// As in tokio.
const BACKLOG: i32 = 1_024;

/// The place of a connection in the ring's table of files.
pub(crate) type Slot = u32;

/// What a request was, in the low bits of its number; the slot is in the others.
const KIND_BITS: u32 = 2;
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const CLOSE: u64 = 3;

/// What has happened to a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is there, and receives.
    Accepted,
    /// Bytes have come.
    Received(Chunk),
    /// Nothing more will come.
    Ended,
    /// A send took so many bytes, or failed.
    Sent(io::Result<usize>),
}

/// A ring with a listener.
pub(crate) struct Ring {
    pub(crate) uring: IoUring,
    pub(crate) buffers: Buffers,
    listener: TcpListener,
    /// Requests for which the queue had no room.
    waiting: VecDeque<squeue::Entry>,
}

impl Ring {
    /// Sets a ring up, and a listener that accepts connections into it.
    ///
    /// # Errors
    /// The address cannot be listened on, or the kernel refuses: too old, `kernel.io_uring_disabled`, a
    /// seccomp filter.
    pub(crate) fn listen(address: SocketAddr) -> io::Result<Self> {
        let refused = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("the kernel refuses io_uring: {error}"),
            )
        };
        let uring = set_up().map_err(refused)?;
        uring
            .submitter()
            .register_files_sparse(SLOTS)
            .map_err(refused)?;
        // One look-up of a descriptor less for each call.
        uring.submitter().register_ring_fd().map_err(refused)?;
        let buffers = Buffers::new(&uring).map_err(refused)?;
        let mut ring = Self {
            uring,
            buffers,
            listener: listener(address)?,
            waiting: VecDeque::new(),
        };
        ring.accept();
        Ok(ring)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Only a fault of the program's own.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Hands all requests to the kernel, lets it finish what it deferred, and waits until `least` completions
    /// are there: one system call.
    ///
    /// # Errors
    /// Only a fault of the program's own.
    pub(crate) fn enter(&mut self, least: u32) -> io::Result<()> {
        while !self.waiting.is_empty() {
            self.call(0)?;
            while let Some(request) = self.waiting.pop_front() {
                // SAFETY: as in `push`.
                if unsafe { self.uring.submission().push(&request) }.is_err() {
                    self.waiting.push_front(request);
                    break;
                }
            }
        }
        self.call(least)
    }

    fn call(&mut self, least: u32) -> io::Result<()> {
        let requests = self.uring.submission().len();
        let requests = u32::try_from(requests).expect("no more than the queue holds");
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: the requests are in the queue, and there is no argument.
        let entered = unsafe {
            self.uring
                .submitter()
                .enter::<()>(requests, least, flags, None)
        };
        match entered {
            Ok(_) => Ok(()),
            // Too many completions, or a signal: the next call goes on.
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INTR | Errno::BUSY | Errno::AGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Moves what is complete to `completions`.
    pub(crate) fn reap(&mut self, completions: &mut Vec<cqueue::Entry>) {
        completions.extend(self.uring.completion());
    }

    /// What a completion says, and of which connection.
    pub(crate) fn event(&mut self, completion: &cqueue::Entry) -> Option<(Slot, Event)> {
        let number = completion.user_data();
        let slot = Slot::try_from(number >> KIND_BITS).expect("numbers are made of slots");
        let more = cqueue::more(completion.flags());
        let result = outcome(completion.result());
        match number & ((1 << KIND_BITS) - 1) {
            ACCEPT => {
                if !more {
                    self.accept();
                }
                // One that fails has gone before it was accepted, or there is no room for it.
                let slot = result.ok()?;
                self.receive(slot);
                Some((slot, Event::Accepted))
            }
            RECEIVE => match (result, cqueue::buffer_select(completion.flags())) {
                (Ok(length), Some(buffer)) if length > 0 => {
                    if !more {
                        self.receive(slot);
                    }
                    // SAFETY: the completion is that of a receive, and each is looked at once.
                    let chunk = unsafe { Buffers::filled(buffer, length as usize) };
                    Some((slot, Event::Received(chunk)))
                }
                (Err(error), _) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    self.receive(slot);
                    None
                }
                // The end of the stream, or of the connection.
                _ => Some((slot, Event::Ended)),
            },
            SEND => Some((slot, Event::Sent(result.map(|length| length as usize)))),
            _ => None,
        }
    }

    /// Sends bytes; [`Event::Sent`] says how many went.
    ///
    /// # Safety
    /// The bytes stay as they are until then.
    pub(crate) unsafe fn send(&mut self, slot: Slot, bytes: *const [u8]) {
        // A longer one is sent in parts, as any that the socket does not take whole.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let request = opcode::Send::new(Fixed(slot), bytes.cast(), length);
        self.push(request.build(), SEND, slot);
    }

    /// Closes a connection for which nothing is under way.
    pub(crate) fn close(&mut self, slot: Slot) {
        self.push(opcode::Close::new(Fixed(slot)).build(), CLOSE, slot);
    }

    fn accept(&mut self) {
        let listener = Fd(self.listener.as_raw_fd());
        let request = opcode::AcceptMulti::new(listener).allocate_file_index(true);
        self.push(request.build(), ACCEPT, 0);
    }

    fn receive(&mut self, slot: Slot) {
        let request = opcode::RecvMulti::new(Fixed(slot), GROUP);
        self.push(request.build(), RECEIVE, slot);
    }

    fn push(&mut self, request: squeue::Entry, kind: u64, slot: Slot) {
        let request = request.user_data(u64::from(slot) << KIND_BITS | kind);
        // SAFETY: only a send has memory of the program's own, and that is for its caller to keep.
        if unsafe { self.uring.submission().push(&request) }.is_err() {
            self.waiting.push_back(request);
        }
    }
}

/// One thread makes all calls, and what the kernel still has to do for a completion waits for the next call of
/// that thread. The flag that something waits is for a loop that also waits for other things.
fn set_up() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_cqsize(COMPLETIONS)
        .setup_submit_all()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_defer_taskrun();
    builder.build(SUBMISSIONS)
}

/// A listener whose connections inherit `TCP_NODELAY`.
fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    set_tcp_nodelay(&listener, true)?;
    // Once more, with a longer queue.
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// A length, a slot, or a fault.
fn outcome(result: i32) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

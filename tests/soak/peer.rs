//! A peer: a plain end of a connection in memory, which writes what it is told to and counts.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use switchboard::testkit::{MemoryStream, World};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Lines of different lengths, so that a byte that is missing, doubled or out of place shows.
pub(super) fn pattern(position: u64) -> u8 {
    if (position * 2_654_435_761 / 7).is_multiple_of(61) {
        b'\n'
    } else {
        b'a' + u8::try_from((position * 31 + position / 26) % 26).unwrap_or_default()
    }
}

pub(super) struct Peer {
    world: World,
    stream: RefCell<Option<MemoryStream>>,
    pub(super) address: Cell<Option<SocketAddr>>,
    /// Bytes that the network has taken.
    pub(super) written: Cell<u64>,
    /// Bytes that are still to be written.
    left: Cell<usize>,
    finishes: Cell<bool>,
    reading: Cell<bool>,
    pub(super) came: RefCell<Vec<u8>>,
    pub(super) end: Cell<Option<End>>,
    /// Wakes the reading and the writing task.
    wakers: RefCell<Vec<Waker>>,
}

/// How a peer's connection ended, as it saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// We finished, in order.
    Finished,
    Reset,
    /// The peer itself broke off.
    Dropped,
}

impl Peer {
    pub(super) fn new(world: &World) -> Rc<Self> {
        Rc::new(Self {
            world: world.clone(),
            stream: RefCell::new(None),
            address: Cell::new(None),
            written: Cell::new(0),
            left: Cell::new(0),
            finishes: Cell::new(false),
            reading: Cell::new(true),
            came: RefCell::default(),
            end: Cell::new(None),
            wakers: RefCell::default(),
        })
    }

    pub(super) async fn connect_to(self: &Rc<Self>, address: &str) {
        if let Ok(stream) = self.world.net().connect(address).await {
            self.take(stream);
        }
    }

    pub(super) fn take(self: &Rc<Self>, stream: MemoryStream) {
        // The end that the pool's side sees as its peer.
        let address = match stream.local_addr().to_string().as_str() {
            super::FAR | super::FAR_AND_BACK => stream.peer_addr(),
            _ => stream.local_addr(),
        };
        self.address.set(Some(address));
        *self.stream.borrow_mut() = Some(stream);
        let (reader, writer) = (Rc::clone(self), Rc::clone(self));
        tokio::task::spawn_local(poll_fn(move |cx| reader.poll_reading(cx)));
        tokio::task::spawn_local(poll_fn(move |cx| writer.poll_writing(cx)));
    }

    pub(super) fn send(&self, bytes: usize) {
        if !self.finishes.get() {
            self.left.set(self.left.get() + bytes);
            self.wake();
        }
    }

    pub(super) fn set_reading(&self, on: bool) {
        self.reading.set(on);
        self.wake();
    }

    pub(super) fn finish(&self) {
        self.finishes.set(true);
        self.wake();
    }

    pub(super) fn reset(&self) {
        self.end_with(End::Dropped, true);
    }

    pub(super) fn drop_it(&self) {
        self.end_with(End::Dropped, false);
    }

    fn end_with(&self, end: End, reset: bool) {
        if let Some(stream) = self.stream.borrow_mut().take() {
            if self.end.get().is_none() {
                self.end.set(Some(end));
            }
            if reset {
                stream.reset();
            }
        }
        self.wake();
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll_reading(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.reading.get() {
                self.wakers.borrow_mut().push(cx.waker().clone());
                return Poll::Pending;
            }
            let mut piece = [0; 3000];
            let mut buffer = ReadBuf::new(&mut piece);
            let outcome = {
                let mut stream = self.stream.borrow_mut();
                let Some(stream) = &mut *stream else {
                    return Poll::Ready(());
                };
                Pin::new(stream).poll_read(cx, &mut buffer)
            };
            match outcome {
                Poll::Pending => {
                    self.wakers.borrow_mut().push(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.came.borrow_mut().extend_from_slice(buffer.filled());
                }
                Poll::Ready(outcome) => {
                    let end = if outcome.is_ok() {
                        End::Finished
                    } else {
                        End::Reset
                    };
                    if self.end.get().is_none() {
                        self.end.set(Some(end));
                    }
                    if end == End::Finished {
                        // As most programs do: what else there was to say is of no use.
                        self.finish();
                    }
                    return Poll::Ready(());
                }
            }
        }
    }

    fn poll_writing(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let outcome: Poll<io::Result<usize>> = {
                let mut stream = self.stream.borrow_mut();
                let Some(stream) = &mut *stream else {
                    return Poll::Ready(());
                };
                if self.left.get() > 0 {
                    let from = self.written.get();
                    let count = self.left.get().min(5000) as u64;
                    let bytes: Vec<u8> = (from..from + count).map(pattern).collect();
                    Pin::new(stream).poll_write(cx, &bytes)
                } else if self.finishes.get() {
                    let _ = Pin::new(stream).poll_shutdown(cx);
                    return Poll::Ready(());
                } else {
                    Poll::Pending
                }
            };
            match outcome {
                Poll::Pending => {
                    self.wakers.borrow_mut().push(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) => {
                    self.written.set(self.written.get() + count as u64);
                    self.left.set(self.left.get() - count);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
    }
}

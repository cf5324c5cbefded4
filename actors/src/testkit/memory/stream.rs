//! One end of a connection in memory.

use std::collections::btree_map::Entry;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::transport::{Detached, Hangup, Transport};

use super::pipe::{Found, Link, Pipe, Taken};
use super::{Used, lock};

/// One end of a connection in memory: what a test plays the peer with, and what carries the bytes
/// of the connections under test.
///
/// It behaves as TCP does: [`shutdown`](tokio::io::AsyncWriteExt::shutdown) finishes our direction,
/// dropping it finishes both, or resets if something that came was never read.
pub struct MemoryStream {
    wire: Arc<Mutex<Wire>>,
    /// The addresses of all ends on the network.
    used: Used,
    side: Side,
    local_addr: SocketAddr,
    peer_addr: SocketAddr,
    resets: bool,
    /// Wakes the reader at the hour of what comes next.
    alarm: Option<Pin<Box<Sleep>>>,
    /// What was told of the peer's end without reading.
    hangup: Option<Hangup>,
    /// Wakes a writer that has no room at the hour of a reset.
    write_alarm: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Here,
    There,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Here => Self::There,
            Self::There => Self::Here,
        }
    }
}

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    addresses: [IpAddr; 2],
    /// To each side.
    pipes: [Pipe; 2],
    gone: [bool; 2],
    /// Sides that were told of a reset: what they do next is on them.
    told: [bool; 2],
    finished: [bool; 2],
}

impl Wire {
    const fn to(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    /// Cuts or heals what goes from one host to another here; whom to wake then.
    pub(super) fn set_cut(&mut self, from: IpAddr, to: IpAddr, cut: bool) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for side in [Side::Here, Side::There] {
            let sender = self.addresses[side.other() as usize];
            if (sender, self.addresses[side as usize]) == (from, to) {
                let pipe = self.to(side);
                pipe.set_cut(cut);
                wakers.extend(pipe.reader.take());
                if !cut && self.gone[side as usize] && self.to(side).has_unread() {
                    // What arrives now finds nobody: the answer is a reset.
                    wakers.extend(self.to(side).writer.take());
                    let answer = self.to(side.other());
                    answer.reset(Instant::now());
                    wakers.extend(answer.reader.take());
                }
            }
        }
        wakers
    }
}

/// Two ends of a connection of this kind.
pub(super) fn pair(
    link: &Link,
    used: &Used,
    near: SocketAddr,
    far: SocketAddr,
) -> (MemoryStream, MemoryStream) {
    for address in [near, far] {
        *lock(used).entry(address).or_default() += 1;
    }
    let wire = Arc::new(Mutex::new(Wire {
        addresses: [near.ip(), far.ip()],
        pipes: [Pipe::new(link.clone()), Pipe::new(link.clone())],
        gone: [false; 2],
        told: [false; 2],
        finished: [false; 2],
    }));
    let end = |side, local_addr, peer_addr| MemoryStream {
        wire: Arc::clone(&wire),
        used: Arc::clone(used),
        side,
        local_addr,
        peer_addr,
        resets: false,
        alarm: None,
        hangup: None,
        write_alarm: None,
    };
    (end(Side::Here, near, far), end(Side::There, far, near))
}

impl MemoryStream {
    /// Our own address.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The peer's address.
    #[must_use]
    pub const fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// Breaks the connection: the peer's reads and writes fail once it learns of it.
    pub fn reset(mut self) {
        self.resets = true;
    }

    /// How many bytes we have sent that the peer has not read, those under way included.
    #[must_use]
    pub fn unread_by_peer(&self) -> usize {
        self.lock().pipes[self.side.other() as usize].held()
    }

    pub(super) fn wire(&self) -> Weak<Mutex<Wire>> {
        Arc::downgrade(&self.wire)
    }

    fn lock(&self) -> MutexGuard<'_, Wire> {
        lock(&self.wire)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, parts: &[&[u8]]) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let (side, other) = (self.side, self.side.other());
        let mut wire = lock(&self.wire);
        if wire.to(side).is_reset(now) {
            // After an end a reset is a broken pipe to who writes.
            let told = std::mem::replace(&mut wire.told[side as usize], true)
                || wire.to(side).has_ended(now);
            return Poll::Ready(Err(if told {
                io::ErrorKind::BrokenPipe.into()
            } else {
                io::ErrorKind::ConnectionReset.into()
            }));
        }
        if wire.finished[side as usize] {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if wire.gone[other as usize] && !wire.to(other).is_cut() {
            if wire.to(other).is_full() {
                // What it never read made its end a reset, which is under way.
                wire.to(other).writer = Some(cx.waker().clone());
                let due = wire.to(side).reset_due();
                drop(wire);
                if let Some(due) = due {
                    ready!(poll_alarm(&mut self.write_alarm, due, cx));
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            // Nobody is there to take it: the answer is a reset.
            wire.to(side).answer_with_reset(now);
            let waker = wire.to(side).reader.take();
            drop(wire);
            wake(waker);
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        let pipe = wire.to(other);
        let mut count = 0;
        for part in parts {
            match pipe.write(part, now) {
                Taken::Bytes(taken) => {
                    count += taken;
                    if taken < part.len() {
                        break;
                    }
                }
                Taken::Full => break,
            }
        }
        if count == 0 && parts.iter().any(|part| !part.is_empty()) {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let waker = pipe.reader.take();
        drop(wire);
        wake(waker);
        Poll::Ready(Ok(count))
    }
}

/// Waits for an hour, with an alarm that is kept from one poll to the next.
fn poll_alarm(alarm: &mut Option<Pin<Box<Sleep>>>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let sleep = alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
    if sleep.deadline() != due {
        sleep.as_mut().reset(due);
    }
    let done = sleep.as_mut().poll(cx);
    if done.is_ready() {
        *alarm = None;
    }
    done
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let mut wire = lock(&this.wire);
            let pipe = wire.to(this.side);
            let due = match pipe.read(buf, Instant::now()) {
                Found::Bytes => {
                    let waker = pipe.writer.take();
                    drop(wire);
                    wake(waker);
                    return Poll::Ready(Ok(()));
                }
                Found::End => return Poll::Ready(Ok(())),
                Found::Reset => {
                    wire.told[this.side as usize] = true;
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Found::Nothing => {
                    pipe.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Found::NotBefore(due) => {
                    // A reset may come before.
                    pipe.reader = Some(cx.waker().clone());
                    due
                }
            };
            drop(wire);
            ready!(poll_alarm(&mut this.alarm, due, cx));
        }
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, &[buf])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let parts: Vec<&[u8]> = bufs.iter().map(|part| &**part).collect();
        self.get_mut().poll_send(cx, &parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        let mut wire = self.lock();
        if wire.to(self.side).is_reset(now) {
            // As tokio's sockets do: there is nothing left to finish.
            return Poll::Ready(Ok(()));
        }
        wire.finished[self.side as usize] = true;
        let pipe = wire.to(self.side.other());
        pipe.finish(now);
        let waker = pipe.reader.take();
        drop(wire);
        wake(waker);
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut used = lock(&self.used);
        if let Entry::Occupied(mut ends) = used.entry(self.local_addr) {
            *ends.get_mut() -= 1;
            if *ends.get() == 0 {
                ends.remove();
            }
        }
        drop(used);
        let now = Instant::now();
        let mut wire = self.lock();
        wire.gone[self.side as usize] = true;
        let unread = wire.to(self.side).has_unread();
        let pipe = wire.to(self.side.other());
        if self.resets || unread {
            pipe.reset(now);
        } else {
            pipe.finish(now);
        }
        let reader = pipe.reader.take();
        // Whoever waits for room here learns that nobody reads any more.
        let writer = wire.to(self.side).writer.take();
        drop(wire);
        wake(reader);
        wake(writer);
    }
}

impl Transport for MemoryStream {
    fn set_reset(&mut self) {
        self.resets = true;
    }

    fn detach(mut self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        // They belong to this thread's runtime.
        self.alarm = None;
        self.write_alarm = None;
        Ok(Box::new(DetachedMemory(*self)))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        Some(self.local_addr)
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        loop {
            let now = Instant::now();
            let mut wire = lock(&self.wire);
            let pipe = wire.to(self.side);
            if pipe.has_ended(now) {
                let hangup = if pipe.has_unread() {
                    Hangup::Behind
                } else {
                    Hangup::Finished
                };
                if self.hangup.replace(hangup) != Some(hangup) {
                    return Poll::Ready(Ok(hangup));
                }
            }
            if pipe.is_reset(now) {
                wire.told[self.side as usize] = true;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            pipe.reader = Some(cx.waker().clone());
            let Some(due) = pipe.next_end(now) else {
                return Poll::Pending;
            };
            drop(wire);
            ready!(poll_alarm(&mut self.alarm, due, cx));
        }
    }

    fn peer_left(&self) -> bool {
        let now = Instant::now();
        let mut wire = self.lock();
        let pipe = wire.to(self.side);
        !pipe.is_cut() && (pipe.is_reset(now) || pipe.has_ended(now) && !pipe.has_unread())
    }
}

struct DetachedMemory(MemoryStream);

impl Detached for DetachedMemory {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(self.0))
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStream")
            .field("local_addr", &self.local_addr)
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}

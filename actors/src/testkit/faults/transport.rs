//! A connection with faults.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use switchboard_core::TlsInfo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::{ChannelKind, Detached, Hangup, Transport, UnixEnds};

use super::counts::Counts;
use super::lane::{Lane, Outcome};
use super::script::{Fault, Operation, Scripts};

/// The most bytes that are read ahead to be delayed, or read to be lost.
const HOLD: usize = 64 * 1024;
/// How many reads to be lost one poll does before others get their turn.
const LOSS_TURN: usize = 16;

/// What carries the bytes, as long as no fault has reset it.
enum Wire<T> {
    Up(T),
    Reset { local_addr: Option<SocketAddr> },
}

/// Everything about a connection that goes along to another thread.
struct Course {
    scripts: Scripts,
    counts: Arc<Counts>,
    read: Lane,
    write: Lane,
    finish: Lane,
    /// What was read and is delayed.
    held: Option<io::Result<Vec<u8>>>,
}

/// A connection with faults.
pub(super) struct FaultyTransport {
    wire: Wire<Box<dyn Transport>>,
    course: Course,
}

impl FaultyTransport {
    pub(super) fn new(inner: Box<dyn Transport>, scripts: Scripts, counts: Arc<Counts>) -> Self {
        Self {
            wire: Wire::Up(inner),
            course: Course {
                scripts,
                counts,
                read: Lane::new(),
                write: Lane::new(),
                finish: Lane::new(),
                held: None,
            },
        }
    }

    /// The error that a fault asks for. A reset takes the connection with it.
    fn fail(&mut self, fault: Fault) -> io::Error {
        let course = &mut self.course;
        if fault.is_reset() {
            if let Wire::Up(inner) = &mut self.wire {
                course.counts.resets.one();
                inner.set_reset();
                let local_addr = inner.local_addr();
                self.wire = Wire::Reset { local_addr };
            }
            course.held = None;
            for lane in [&mut course.read, &mut course.write, &mut course.finish] {
                lane.wake();
            }
        } else {
            course.counts.io_errors.one();
        }
        fault.error()
    }

    fn try_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..LOSS_TURN {
            let Self { wire, course } = self;
            let Wire::Up(inner) = wire else {
                return Poll::Ready(Err(Fault::RESET.error()));
            };
            let Course {
                scripts,
                counts,
                read: lane,
                held,
                ..
            } = course;
            let operation = Operation::Read {
                at: lane.at,
                len: buf.remaining(),
            };
            let decision = ready!(lane.poll_decide(scripts, operation, counts, cx));
            let most = buf.remaining().min(decision.most);
            match decision.outcome {
                Outcome::Fail(fault) => {
                    ready!(lane.poll_delay(decision.delay, cx));
                    lane.done(0);
                    return Poll::Ready(Err(self.fail(fault)));
                }
                Outcome::Eof => {
                    ready!(lane.poll_delay(decision.delay, cx));
                    lane.done(0);
                    counts.eofs.one();
                    return Poll::Ready(Ok(()));
                }
                Outcome::Lose => {
                    let lost = ready!(read_ahead(inner.as_mut(), cx, HOLD)).unwrap_or_default();
                    if lost.is_empty() {
                        // The peer's end is lost too.
                        lane.stall(counts);
                        return Poll::Pending;
                    }
                    counts.losses.one();
                    counts.lost_bytes.more(lost.len());
                    lane.done(lost.len());
                }
                Outcome::Corrupt => {
                    ready!(lane.poll_delay(decision.delay, cx));
                    let byte = ready!(read_ahead(inner.as_mut(), cx, 1));
                    lane.done(byte.as_ref().map_or(0, Vec::len));
                    let byte = byte?;
                    counts.corruptions.more(byte.len());
                    byte.iter().for_each(|byte| buf.put_slice(&[byte ^ 1]));
                    return Poll::Ready(Ok(()));
                }
                Outcome::Go if decision.delay.is_zero() => {
                    let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
                    let result = ready!(Pin::new(inner.as_mut()).poll_read(cx, &mut part));
                    let count = part.filled().len();
                    if count == decision.most && count < buf.remaining() {
                        counts.short_reads.one();
                    }
                    buf.advance(count);
                    lane.done(count);
                    return Poll::Ready(result);
                }
                Outcome::Go => {
                    if held.is_none() {
                        let most = most.min(HOLD);
                        *held = Some(ready!(read_ahead(inner.as_mut(), cx, most)));
                    }
                    ready!(lane.poll_delay(decision.delay, cx));
                    let Some(Ok(bytes)) = held else {
                        lane.done(0);
                        return Poll::Ready(held.take().map_or(Ok(()), |held| held.map(drop)));
                    };
                    // The reader may have less room than when the bytes came.
                    let count = bytes.len().min(buf.remaining());
                    if bytes.len() == decision.most && bytes.len() < buf.remaining() {
                        counts.short_reads.one();
                    }
                    buf.put_slice(&bytes[..count]);
                    bytes.drain(..count);
                    if bytes.is_empty() {
                        *held = None;
                        lane.done(count);
                    } else {
                        lane.at += count as u64;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn try_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        let Self { wire, course } = self;
        let Wire::Up(inner) = wire else {
            return Poll::Ready(Err(Fault::RESET.error()));
        };
        let Course {
            scripts,
            counts,
            write: lane,
            ..
        } = course;
        let operation = Operation::Write { at: lane.at, len };
        let decision = ready!(lane.poll_decide(scripts, operation, counts, cx));
        ready!(lane.poll_delay(decision.delay, cx));
        match decision.outcome {
            Outcome::Fail(fault) => {
                lane.done(0);
                Poll::Ready(Err(self.fail(fault)))
            }
            Outcome::Lose => {
                let count = len.min(decision.most);
                counts.losses.one();
                counts.lost_bytes.more(count);
                lane.done(count);
                Poll::Ready(Ok(count))
            }
            Outcome::Corrupt => {
                let first = bufs.iter().find_map(|buf| buf.first());
                let byte = [first.map_or(0, |byte| byte ^ 1)];
                let result = ready!(Pin::new(inner.as_mut()).poll_write(cx, &byte));
                let count = result.as_ref().map_or(0, |count| *count);
                counts.corruptions.more(count);
                lane.done(count);
                Poll::Ready(result)
            }
            Outcome::Go | Outcome::Eof => {
                let inner = Pin::new(inner.as_mut());
                let result = if decision.most >= len {
                    match bufs {
                        [buf] => ready!(inner.poll_write(cx, buf)),
                        bufs => ready!(inner.poll_write_vectored(cx, bufs)),
                    }
                } else {
                    let part = first(bufs, decision.most);
                    ready!(inner.poll_write_vectored(cx, &part))
                };
                let count = result.as_ref().map_or(0, |count| *count);
                if count == decision.most && count < len {
                    counts.short_writes.one();
                }
                lane.done(count);
                Poll::Ready(result)
            }
        }
    }

    fn try_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { wire, course } = self;
        let Wire::Up(inner) = wire else {
            return Poll::Ready(Err(Fault::RESET.error()));
        };
        let Course {
            scripts,
            counts,
            write,
            finish: lane,
            ..
        } = course;
        let operation = Operation::Shutdown { at: write.at };
        let decision = ready!(lane.poll_decide(scripts, operation, counts, cx));
        ready!(lane.poll_delay(decision.delay, cx));
        let result = match decision.outcome {
            Outcome::Fail(fault) => {
                lane.done(0);
                return Poll::Ready(Err(self.fail(fault)));
            }
            Outcome::Lose => {
                counts.losses.one();
                Ok(())
            }
            Outcome::Go | Outcome::Eof | Outcome::Corrupt => {
                ready!(Pin::new(inner.as_mut()).poll_shutdown(cx))
            }
        };
        lane.done(0);
        Poll::Ready(result)
    }
}

/// Reads into memory of our own, `most` bytes at most.
fn read_ahead(
    inner: &mut dyn Transport,
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<Vec<u8>>> {
    let mut bytes = vec![0; most];
    let mut part = ReadBuf::new(&mut bytes);
    let result = ready!(Pin::new(inner).poll_read(cx, &mut part));
    let count = part.filled().len();
    bytes.truncate(count);
    Poll::Ready(result.map(|()| bytes))
}

/// The first `most` bytes of them, without empty slices.
fn first<'a>(bufs: &'a [IoSlice<'_>], most: usize) -> Vec<IoSlice<'a>> {
    let mut left = most;
    let mut part = Vec::new();
    for buf in bufs {
        let count = buf.len().min(left);
        left -= count;
        if count > 0 {
            part.push(IoSlice::new(&buf[..count]));
        }
    }
    part
}

impl Transport for FaultyTransport {
    fn set_reset(&mut self) {
        if let Wire::Up(inner) = &mut self.wire {
            inner.set_reset();
        }
    }

    fn detach(mut self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        let course = &mut self.course;
        for lane in [&mut course.read, &mut course.write, &mut course.finish] {
            lane.detach();
        }
        let wire = match self.wire {
            Wire::Up(inner) => Wire::Up(inner.detach()?),
            Wire::Reset { local_addr } => Wire::Reset { local_addr },
        };
        let course = self.course;
        Ok(Box::new(DetachedFaulty { wire, course }))
    }

    fn kind(&self) -> ChannelKind {
        match &self.wire {
            Wire::Up(inner) => inner.kind(),
            Wire::Reset { .. } => ChannelKind::Network,
        }
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        match &self.wire {
            Wire::Up(inner) => inner.local_addr(),
            Wire::Reset { local_addr } => *local_addr,
        }
    }

    fn unix(&self) -> Option<Box<UnixEnds>> {
        match &self.wire {
            Wire::Up(inner) => inner.unix(),
            Wire::Reset { .. } => None,
        }
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        let passes = self.course.read.is_free() && self.course.held.is_none();
        let result = match &mut self.wire {
            // What is held up or cut off there does not come by another way either.
            _ if !passes => Poll::Pending,
            Wire::Up(inner) => inner.poll_hangup(cx),
            Wire::Reset { .. } => Poll::Ready(Err(Fault::RESET.error())),
        };
        if result.is_pending() {
            self.course.read.waits(cx.waker());
        }
        result
    }

    fn carries_urgent(&self) -> bool {
        match &self.wire {
            Wire::Up(inner) => inner.carries_urgent(),
            Wire::Reset { .. } => false,
        }
    }

    fn poll_urgent(&mut self, cx: &mut Context<'_>) -> Poll<u8> {
        match &mut self.wire {
            Wire::Up(inner) => inner.poll_urgent(cx),
            Wire::Reset { .. } => Poll::Pending,
        }
    }

    fn take_urgent(&mut self) -> Option<u8> {
        match &mut self.wire {
            Wire::Up(inner) => inner.take_urgent(),
            Wire::Reset { .. } => None,
        }
    }

    fn poll_send_urgent(&mut self, cx: &mut Context<'_>, byte: u8) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Up(inner) => inner.poll_send_urgent(cx, byte),
            Wire::Reset { .. } => Poll::Ready(Err(Fault::RESET.error())),
        }
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        match &self.wire {
            Wire::Up(inner) => inner.socket(),
            Wire::Reset { .. } => None,
        }
    }

    fn tls(&self) -> Option<&Arc<TlsInfo>> {
        match &self.wire {
            Wire::Up(inner) => inner.tls(),
            Wire::Reset { .. } => None,
        }
    }

    fn peer_left(&self) -> bool {
        match &self.wire {
            Wire::Up(inner) => inner.peer_left(),
            Wire::Reset { .. } => true,
        }
    }

    fn turn_away(self: Box<Self>, last_words: &[u8]) {
        if let Wire::Up(inner) = self.wire {
            inner.turn_away(last_words);
        }
    }
}

impl AsyncRead for FaultyTransport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = self.try_read(cx, buf);
        if result.is_pending() {
            self.course.read.waits(cx.waker());
        }
        result
    }
}

impl AsyncWrite for FaultyTransport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.try_write(cx, bufs);
        if result.is_pending() {
            self.course.write.waits(cx.waker());
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Up(inner) => inner.is_write_vectored(),
            Wire::Reset { .. } => false,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Up(inner) => Pin::new(inner.as_mut()).poll_flush(cx),
            Wire::Reset { .. } => Poll::Ready(Err(Fault::RESET.error())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.try_shutdown(cx);
        if result.is_pending() {
            self.course.finish.waits(cx.waker());
        }
        result
    }
}

/// A connection with faults on its way to another thread; what was done and what is to come go along.
struct DetachedFaulty {
    wire: Wire<Box<dyn Detached>>,
    course: Course,
}

impl Detached for DetachedFaulty {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        let wire = match self.wire {
            Wire::Up(inner) => Wire::Up(inner.attach()?),
            Wire::Reset { local_addr } => Wire::Reset { local_addr },
        };
        let course = self.course;
        Ok(Box::new(FaultyTransport { wire, course }))
    }
}

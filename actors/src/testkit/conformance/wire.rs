//! Transports polled by hand.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use switchboard_core::Address;
use tokio::io::ReadBuf;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::transport::{Connected, Incoming, Listener, Transport};
use crate::{Connect, Listen};

use super::{Bench, Judged, Outcome, ensure};

/// After so long without a wake a transport is taken to be still.
pub(super) const QUIET: Duration = Duration::from_millis(100);

/// More than a transport may take while its peer reads nothing.
const FLOOD: usize = 64 * 1024 * 1024;

/// Both ends of a connection, and the listener that it came through.
pub(super) struct Pair {
    pub(super) listener: Box<dyn Listener>,
    pub(super) near: Box<dyn Transport>,
    pub(super) far: Box<dyn Transport>,
    pub(super) near_peer: Option<Address>,
    pub(super) far_peer: Option<Address>,
    pub(super) far_local: Option<Address>,
}

impl Bench {
    pub(super) async fn listen(&self) -> Result<Box<dyn Listener>, Outcome> {
        Ok(self
            .network
            .listen(Listen::at(self.place.clone()).target)
            .await?)
    }

    pub(super) async fn connect(&self, address: Address) -> Result<Connected, Outcome> {
        Ok(self.network.connect(Connect::to(address).target).await?)
    }

    /// Whether a peer notices that a connection was reset: not where there is no such thing.
    pub(super) async fn has_resets(&self) -> Result<bool, Outcome> {
        let mut pair = self.pair().await?;
        pair.near.set_reset();
        drop(pair.near);
        Ok(read_all(pair.far.as_mut()).await.is_err())
    }

    /// A listener, and a connection through it.
    pub(super) async fn pair(&self) -> Result<Pair, Outcome> {
        let mut listener = self.listen().await?;
        let address = listener.address();
        let (connected, incoming) = tokio::try_join!(self.connect(address), async {
            Ok(accept(listener.as_mut()).await?)
        })?;
        let near_peer = connected.transport.unix().map(|ends| ends.peer.into());
        let (far_peer, far_local) = match incoming.transport.unix() {
            Some(ends) => (Some(ends.peer.into()), Some(ends.local.into())),
            None => (None, None),
        };
        Ok(Pair {
            listener,
            near: connected.transport,
            near_peer: near_peer.or(connected.peer_addr.map(Address::Inet)),
            far: incoming.transport,
            far_peer: far_peer.or(incoming.peer_addr.map(Address::Inet)),
            far_local: far_local.or(incoming.local_addr.map(Address::Inet)),
        })
    }
}

pub(super) async fn accept(listener: &mut dyn Listener) -> io::Result<Incoming> {
    poll_fn(|cx| listener.poll_accept(cx)).await
}

pub(super) fn poll_read(
    transport: &mut dyn Transport,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut part = ReadBuf::new(buffer);
    let result = Pin::new(transport).poll_read(cx, &mut part);
    result.map_ok(|()| part.filled().len())
}

pub(super) async fn read(transport: &mut dyn Transport, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| poll_read(transport, cx, buffer)).await
}

/// So many bytes; fewer if the peer ends before.
pub(super) async fn read_count(transport: &mut dyn Transport, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut at = 0;
    while at < count {
        match read(transport, &mut bytes[at..]).await? {
            0 => break,
            more => at += more,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

/// Reads the bytes that were taken, and more until a write that waits is done: a transport may have sent
/// some of it before it counts it as taken. Gives what that write took, and all that was read.
pub(super) async fn read_until_written(
    transport: &mut dyn Transport,
    taken: usize,
    write: impl Future<Output = io::Result<usize>>,
) -> io::Result<(usize, Vec<u8>)> {
    let mut write = pin!(write);
    let (mut written, mut bytes, mut buffer) = (None, Vec::new(), vec![0; 64 * 1024]);
    poll_fn(|cx| {
        loop {
            if written.is_none()
                && let Poll::Ready(count) = write.as_mut().poll(cx)?
            {
                written = Some(count);
            }
            let most = match (taken.checked_sub(bytes.len()), written) {
                (None | Some(0), Some(count)) => return Poll::Ready(Ok(count)),
                (None | Some(0), None) => buffer.len(),
                (Some(left), _) => left.min(buffer.len()),
            };
            match ready!(poll_read(transport, cx, &mut buffer[..most]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    })
    .await
    .map(|count| (count, bytes))
}

/// Everything until the peer's end.
pub(super) async fn read_all(transport: &mut dyn Transport) -> io::Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match read(transport, &mut buffer).await? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

pub(super) async fn write(transport: &mut dyn Transport, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| Pin::new(&mut *transport).poll_write(cx, bytes)).await
}

pub(super) async fn write_all(transport: &mut dyn Transport, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(transport, bytes).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// Writes all chunks, as many at once as the transport takes.
pub(super) async fn write_chunks(
    transport: &mut dyn Transport,
    chunks: &[&[u8]],
) -> io::Result<()> {
    let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let some = &left[..left.len().min(16)];
        let count = poll_fn(|cx| Pin::new(&mut *transport).poll_write_vectored(cx, some)).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, count);
    }
    Ok(())
}

pub(super) async fn shutdown(transport: &mut dyn Transport) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *transport).poll_shutdown(cx)).await
}

/// Writes `outgoing` and reads `count` bytes at the same time, in one task.
pub(super) async fn duplex(
    transport: &mut dyn Transport,
    outgoing: &[u8],
    count: usize,
) -> io::Result<Vec<u8>> {
    let mut incoming = vec![0; count];
    let (mut sent, mut got) = (0, 0);
    let mut ended = count == 0;
    poll_fn(|cx| {
        while sent < outgoing.len() {
            match Pin::new(&mut *transport).poll_write(cx, &outgoing[sent..]) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero)));
                }
                Poll::Ready(Ok(more)) => sent += more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        while !ended {
            match poll_read(transport, cx, &mut incoming[got..]) {
                Poll::Ready(Ok(0)) => ended = true,
                Poll::Ready(Ok(more)) => {
                    got += more;
                    ended = got == count;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if ended && sent == outgoing.len() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await?;
    incoming.truncate(got);
    Ok(incoming)
}

/// Writes from `block`, again and again, each time from where its pattern of 251 goes on, until nothing
/// more is taken for a while; how much was.
pub(super) async fn flood(
    writer: &Task,
    transport: &mut dyn Transport,
    block: &[u8],
) -> Result<usize, Outcome> {
    let mut taken = 0;
    loop {
        let rest = &block[taken % 251..];
        let write = writer.run_until_quiet(|cx| Pin::new(&mut *transport).poll_write(cx, rest));
        match write.await {
            None => return Ok(taken),
            Some(count) => taken += count?,
        }
        ensure(
            taken < FLOOD,
            format!("{FLOOD} bytes were taken while the peer reads nothing"),
        )?;
    }
}

/// A task of its own, as a transport sees one: a waker, and whether it was woken.
pub(super) struct Task {
    notify: Arc<Woken>,
    waker: Waker,
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Task {
    pub(super) fn new() -> Self {
        let notify = Arc::new(Woken(Notify::new()));
        let waker = Waker::from(Arc::clone(&notify));
        Self { notify, waker }
    }

    /// Polls once.
    pub(super) fn poll<T>(&self, work: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        work(&mut Context::from_waker(&self.waker))
    }

    /// Polls at first and whenever this task, and no other, is woken.
    pub(super) async fn run<T>(&self, mut work: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        loop {
            match self.poll(&mut work) {
                Poll::Ready(value) => return value,
                Poll::Pending => self.notify.0.notified().await,
            }
        }
    }

    /// Polls whenever this task is woken, for what an earlier poll waits for.
    pub(super) async fn resume<T>(&self, work: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        self.notify.0.notified().await;
        self.run(work).await
    }

    /// Polls at first and whenever it is woken, until nothing has woken it for a while.
    pub(super) async fn run_until_quiet<T>(
        &self,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        loop {
            match self.poll(&mut work) {
                Poll::Ready(value) => return Some(value),
                Poll::Pending => {
                    timeout(QUIET, self.notify.0.notified()).await.ok()?;
                }
            }
        }
    }
}

/// Compares bytes without printing them.
pub(super) fn same(got: &[u8], expected: &[u8]) -> Judged {
    if got == expected {
        return Ok(());
    }
    let different = got
        .iter()
        .zip(expected)
        .position(|(one, other)| one != other);
    match different {
        Some(at) => Err(format!("byte {at} of {} is another one", expected.len()).into()),
        None => ensure(
            false,
            format!("{} bytes came instead of {}", got.len(), expected.len()),
        ),
    }
}

/// So many bytes in which one that is missing, doubled or out of place shows.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    let mut bytes = (0..=250).collect::<Vec<u8>>().repeat(count / 251 + 1);
    bytes.truncate(count);
    bytes
}

/// A transport's own address, of whatever kind.
pub(super) fn own_address(transport: &dyn Transport) -> Option<Address> {
    match transport.unix() {
        Some(ends) => Some(ends.local.into()),
        None => transport.local_addr().map(Address::Inet),
    }
}

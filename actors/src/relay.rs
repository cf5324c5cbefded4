//! Relaying: two connections back to back.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use switchboard_core::{ClosedDetail, ConnectError, SendRefusal};

use crate::client::{Client, RecvError, SentError};

/// What a [`relay`] has moved, and how both connections ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Relayed {
    /// Bytes of A's that were queued on B. Those of them that B's system never took are counted in the
    /// [`unsent`](ClosedDetail::unsent) of `b`.
    pub a_to_b: u64,
    /// Bytes of B's that were queued on A.
    pub b_to_a: u64,
    /// How A ended. The side that the relay closed, since the other one was gone, ended with
    /// [`LocalClose`](crate::Cause::LocalClose).
    pub a: Result<Arc<ClosedDetail>, ConnectError>,
    /// How B ended.
    pub b: Result<Arc<ClosedDetail>, ConnectError>,
}

/// Connects two connections back to back: what comes from one is sent to the other, both ways at once, in order and
/// without a copy, until both have ended. For proxies.
///
/// - When one peer finishes, the other is told once it has all
///   ([`write_eof`](Client::write_eof)), and may still answer. A connection that cannot be half-closed, such as one
///   that speaks TLS, is closed after it has sent what is queued.
/// - A peer that does not take its bytes stops the other from being read: what waits for it is never more than
///   its connection's high mark (64 KiB unless [set](crate::ConnectionOptions::write_limits)) and what one read
///   brought. The other way goes on.
/// - When one connection ends, by a reset, an error, a timeout or a close by whomever, the other one is closed, too,
///   after it has sent all that had come, for which it has its own
///   [flush timeout](crate::ConnectionOptions::flush_timeout).
/// - Silence ends nothing: idle timeouts are options of the connections.
///
/// It only asks for receives, so neither connection may have a session that receives: such a one is closed
/// ([`ArmError::AlreadyReceiving`](crate::ArmError)), and so is one that goes one way only. The
/// future needs no particular runtime; it costs least on the thread of the connections. **Dropped, it
/// closes both connections**, after they have sent what is queued: nobody else would.
///
/// ```
/// # use switchboard::prelude::*;
/// use switchboard::relay;
///
/// # #[actix::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let pool = Pool::builder().start()?;
/// # let target = pool.serve(Listen::tcp("127.0.0.1:0"), |client| async move {
/// #     while let Ok(line) = client.recv_line().await { let _ = client.sent_line(&line).await; }
/// # }).await?.local_addr();
/// let proxy = pool.clone();
/// let server = pool
///     .serve(Listen::tcp("127.0.0.1:0"), move |client| {
///         let proxy = proxy.clone();
///         async move {
///             if let Ok(server) = proxy.open(Connect::tcp(target)).await {
///                 relay(&client, &server).await;
///             }
///         }
///     })
///     .await?;
/// # let client = pool.open(Connect::tcp(server.local_addr())).await?;
/// # client.sent("hello\n").await?;
/// # assert_eq!(client.recv_line().await?.as_bytes(), b"hello");
/// # pool.stop().await;
/// # Ok(())
/// # }
/// ```
pub async fn relay(a: &Client, b: &Client) -> Relayed {
    let _closing = Closing(a, b);
    let (there, back) = (Way::new(a, b), Way::new(b, a));
    let (mut a_to_b, mut b_to_a) = (0, 0);
    let (a, b) = tokio::join!(
        carry(&there, &back, &mut a_to_b),
        carry(&back, &there, &mut b_to_a)
    );
    Relayed {
        a_to_b,
        b_to_a,
        a,
        b,
    }
}

/// One way of a relay.
struct Way<'a> {
    from: &'a Client,
    to: &'a Client,
    /// Whether the end of its source was passed on as a half-close.
    finished: AtomicBool,
}

impl<'a> Way<'a> {
    const fn new(from: &'a Client, to: &'a Client) -> Self {
        Self {
            from,
            to,
            finished: AtomicBool::new(false),
        }
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

/// Closes both, whatever has become of the relay.
struct Closing<'a>(&'a Client, &'a Client);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.1.close();
    }
}

/// One way, and then until its source has ended: with that the other connection ends, unless both ways have finished
/// in order. Then each ends by itself, when its peer has taken what is queued, however slowly.
async fn carry(
    way: &Way<'_>,
    back: &Way<'_>,
    moved: &mut u64,
) -> Result<Arc<ClosedDetail>, ConnectError> {
    let (from, to) = (way.from, way.to);
    match pump(way, moved).await {
        Stopped::Finished => {
            if to.can_write_eof() && to.write_eof().is_ok() {
                way.finished.store(true, Ordering::Relaxed);
            } else {
                to.close();
            }
        }
        Stopped::Ended => {
            to.close();
        }
        // The other way may still bring what `to` had sent before it broke.
        Stopped::Broken => {}
    }
    let end = from.closed().await;
    if !(way.is_finished() && back.is_finished()) {
        to.close();
    }
    end
}

/// Why nothing more goes one way.
enum Stopped {
    /// The peer of the source has finished.
    Finished,
    /// The source has ended.
    Ended,
    /// Nothing can be sent any more.
    Broken,
}

async fn pump(way: &Way<'_>, moved: &mut u64) -> Stopped {
    let (from, to) = (way.from, way.to);
    loop {
        let (chunk, stopped) = match from.recv_available().await {
            Ok(chunk) => (chunk, None),
            Err(RecvError::Finished { partial }) => (partial, Some(Stopped::Finished)),
            Err(RecvError::Closed { partial, .. }) => (partial, Some(Stopped::Ended)),
            Err(_) => (Bytes::new(), Some(Stopped::Ended)),
        };
        let length = chunk.len();
        if length > 0 && queue(to, chunk).await.is_err() {
            return Stopped::Broken;
        }
        // A `usize` always fits.
        *moved += length as u64;
        if let Some(stopped) = stopped {
            return stopped;
        }
        if unless_ended(from, to.drained())
            .await
            .is_some_and(|drained| drained.is_err())
        {
            return Stopped::Broken;
        }
    }
}

/// Queues a chunk at once if there is room for it, as there is unless the capacity is close to the high mark.
async fn queue(to: &Client, chunk: Bytes) -> Result<(), SentError> {
    match to.send(chunk) {
        Ok(()) => Ok(()),
        Err(refused) if matches!(refused.refusal, SendRefusal::Full { .. }) => {
            to.sent(refused.payload).await
        }
        Err(refused) => Err(SentError::Refused {
            refusal: refused.refusal,
            sent: 0,
        }),
    }
}

/// Waits for `what`, but no longer than `client` lives: `None`.
async fn unless_ended<T>(client: &Client, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    // At once as a rule, without asking for the end.
    let first = std::future::poll_fn(|cx| Poll::Ready(what.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(done) => Some(done),
        Poll::Pending => tokio::select! {
            done = &mut what => Some(done),
            _ = client.closed() => None,
        },
    }
}

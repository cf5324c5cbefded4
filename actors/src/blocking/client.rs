//! A connection whose calls block.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{AsLine, ClosedDetail, Line, SendRefusal};

use crate::client::{Frame, Receiving, RecvError, Sending, SentError};

use super::runtime::Runtime;
use super::{ClosedError, wait};

/// A connection for plain threads. Cheap to clone, usable from any thread and from many at once: receives take
/// turns, and each gets its frame whole; sends are queued whole (but see [`sent`](Self::sent)).
///
/// Calls wait for ever, unless they are made by a handle that is limited to [so long](Self::within). Beside these calls
/// it can be read and written as a stream of bytes ([`Read`](std::io::Read), [`Write`](std::io::Write), for
/// `&Client` too).
///
/// When the last handle of a connection from [`connect`](super::connect) or
/// [`accept`](super::Listener::accept) is dropped, the connection closes, after it has sent what is queued; the
/// last one of all waits for that, 10 s at most ([abort](crate::Client::abort) it first if that is too long), and
/// until the pool has ended. Dropped on a thread that runs async code, it does not wait. One made from a
/// [`switchboard::Client`](crate::Client) leaves its connection alone.
#[derive(Clone)]
pub struct Client {
    client: crate::Client,
    timeout: Option<Duration>,
    /// `None`: somebody else's.
    _opened: Option<Arc<Opened>>,
}

/// A connection of the background pool.
struct Opened {
    client: crate::Client,
    /// Outlives the close.
    _runtime: Arc<Runtime>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.client.close();
    }
}

/// Handles.
impl Client {
    pub(super) fn opened(client: crate::Client, runtime: Arc<Runtime>) -> Self {
        let opened = Opened {
            client: client.clone(),
            _runtime: runtime,
        };
        Self {
            client,
            timeout: None,
            _opened: Some(Arc::new(opened)),
        }
    }

    /// A handle of the same connection, of which each call takes no longer than this, counted from the call, waiting
    /// for its turn included (ACO-12). The connection stays when a call is late, and so does what had come or was queued.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use switchboard::{Connect, Listen, RecvError, blocking};
    /// # let listener = blocking::listen(Listen::tcp("127.0.0.1:0"))?;
    /// # let client = blocking::connect(Connect::tcp(listener.local_addr()))?;
    /// let late = client.within(Duration::from_millis(50)).recv_line();
    /// assert!(matches!(late, Err(RecvError::TimedOut { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self.clone()
        }
    }

    /// The handle that everything else has, for what does not wait: addresses, counters, options,
    /// [`abort`](crate::Client::abort).
    #[must_use]
    pub const fn handle(&self) -> &crate::Client {
        &self.client
    }
}

/// Receiving. Every call fails with [`RecvError::InsideAsync`] where async code runs.
impl Client {
    /// A line, without its ending; see [`recv_line`](crate::Client::recv_line).
    ///
    /// # Errors
    /// When it does not come, whole, or not in time; the error has what had come.
    pub fn recv_line(&self) -> Result<Line, RecvError> {
        self.receive(self.client.recv_line())
    }

    /// Exactly so many bytes; see [`recv_exact`](crate::Client::recv_exact) (ACO-07).
    ///
    /// # Errors
    /// As [`recv_line`](Self::recv_line).
    pub fn recv_exact(&self, size: usize) -> Result<Bytes, RecvError> {
        self.receive(self.client.recv_exact(size))
    }

    /// At most so many bytes, at least one; see [`recv_up_to`](crate::Client::recv_up_to).
    ///
    /// # Errors
    /// As [`recv_line`](Self::recv_line).
    pub fn recv_up_to(&self, most: usize) -> Result<Bytes, RecvError> {
        self.receive(self.client.recv_up_to(most))
    }

    /// All that has come, at least one byte; see [`recv_available`](crate::Client::recv_available).
    ///
    /// # Errors
    /// As [`recv_line`](Self::recv_line).
    pub fn recv_available(&self) -> Result<Bytes, RecvError> {
        self.receive(self.client.recv_available())
    }

    /// Everything before this delimiter; see [`recv_until`](crate::Client::recv_until).
    ///
    /// # Errors
    /// As [`recv_line`](Self::recv_line).
    pub fn recv_until(&self, delimiter: impl Into<Bytes>) -> Result<Bytes, RecvError> {
        self.receive(self.client.recv_until(delimiter))
    }

    /// A message behind its 4-byte length; see [`recv_msg`](crate::Client::recv_msg).
    ///
    /// # Errors
    /// As [`recv_line`](Self::recv_line).
    pub fn recv_msg(&self) -> Result<Bytes, RecvError> {
        self.receive(self.client.recv_msg())
    }

    fn receive<T: Frame>(&self, receiving: Receiving<T>) -> Result<T, RecvError> {
        if wait::is_in_async() {
            return Err(RecvError::InsideAsync);
        }
        let Some(after) = self.timeout else {
            return wait::for_ever(receiving);
        };
        // Its own deadline says what has come.
        wait::at_most(receiving.timeout(after), Some(after)).unwrap_or_else(|| {
            let partial = Bytes::new();
            Err(RecvError::TimedOut { partial, after })
        })
    }
}

/// Sending. Every call fails with [`SentError::InsideAsync`] where async code runs, and has sent nothing then.
impl Client {
    /// Sends bytes, and waits until the system has taken them all; see [`sent`](crate::Client::sent) (ACO-06).
    ///
    /// # Errors
    /// When they are not taken, or not in time; the error says how many were.
    pub fn sent(&self, data: impl Into<Bytes>) -> Result<(), SentError> {
        self.send(self.client.sent(data))
    }

    /// The same for a line; see [`sent_line`](crate::Client::sent_line).
    ///
    /// # Errors
    /// As [`sent`](Self::sent).
    pub fn sent_line(&self, line: &(impl AsLine + ?Sized)) -> Result<(), SentError> {
        self.send(self.client.sent_line(line))
    }

    /// The same for a message behind its 4-byte length; see [`sent_msg`](crate::Client::sent_msg).
    ///
    /// # Errors
    /// As [`sent`](Self::sent).
    pub fn sent_msg(&self, message: impl Into<Bytes>) -> Result<(), SentError> {
        self.send(self.client.sent_msg(message))
    }

    /// Waits while writing is paused; see [`drained`](crate::Client::drained).
    ///
    /// # Errors
    /// When it can be written no more, or is still paused when time is up.
    pub fn drained(&self) -> Result<(), SentError> {
        self.wait_sending(self.client.drained())
    }

    /// Waits until the system has taken all that was queued before; see [`flushed`](crate::Client::flushed).
    ///
    /// # Errors
    /// When it can be written no more, or not all was taken when time is up.
    pub fn flushed(&self) -> Result<(), SentError> {
        self.wait_sending(self.client.flushed())
    }

    fn send(&self, sending: Sending) -> Result<(), SentError> {
        match self.timeout {
            // Its own deadline says what was sent.
            Some(after) => self.wait_sending(sending.timeout(after)),
            None => self.wait_sending(sending),
        }
    }

    fn wait_sending(
        &self,
        sending: impl Future<Output = Result<(), SentError>>,
    ) -> Result<(), SentError> {
        if wait::is_in_async() {
            return Err(SentError::InsideAsync);
        }
        wait::at_most(sending, self.timeout).unwrap_or_else(|| {
            let after = self.timeout.unwrap_or_default();
            Err(SentError::TimedOut { sent: 0, after })
        })
    }
}

/// Ending.
impl Client {
    /// Finishes the sending direction once everything queued is sent; see
    /// [`write_eof`](crate::Client::write_eof). Does not wait.
    ///
    /// # Errors
    /// When the connection is closed or speaks TLS.
    pub fn write_eof(&self) -> Result<(), SendRefusal> {
        self.client.write_eof()
    }

    /// Begins to close: what is queued is still sent. `false`: it was closing already. Does not wait:
    /// [`closed`](Self::closed) does.
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close(&self) -> bool {
        self.client.close()
    }

    /// Waits until the connection has ended, and says how; at once when it has (UA-15).
    ///
    /// # Errors
    /// When it never came to be, or has not ended in time.
    pub fn closed(&self) -> Result<Arc<ClosedDetail>, ClosedError> {
        if wait::is_in_async() {
            return Err(ClosedError::InsideAsync);
        }
        match wait::at_most(self.client.closed(), self.timeout) {
            Some(ended) => Ok(ended?),
            None => Err(ClosedError::TimedOut {
                after: self.timeout.unwrap_or_default(),
            }),
        }
    }
}

impl From<crate::Client> for Client {
    /// For a connection of another pool, which stays with it.
    fn from(client: crate::Client) -> Self {
        Self {
            client,
            timeout: None,
            _opened: None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.client.id())
            .field("peer", &self.client.peer())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

//! Datagrams in sequence, for those who have no session: each call waits for what it asked for.

use std::io;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Address, DatagramError, DatagramRefusal, Destination, IoOperation, Now};
use tokio::time::{sleep, timeout};

use crate::client::clock;

use super::fault::{Fault, fault};
use super::shared::{Core, SocketShared, wake_if_needed};
use super::{Socket, Udp, resolve};

/// A datagram that could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendToError {
    /// It was not taken.
    #[error(transparent)]
    Refused(#[from] DatagramRefusal),
    /// The system, or the name's resolver, refused it.
    #[error(transparent)]
    Failed(#[from] DatagramError),
    /// It could not be sent in time, and was not.
    #[error("the datagram could not be sent in time")]
    TimedOut,
}

/// Why no datagram could be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvFromError {
    /// A raw socket receives from the address that it is connected to, and is not connected (UA-38).
    #[error("the socket is not connected")]
    NotConnected,
    /// It is closed.
    #[error("the socket is closed")]
    Closed,
}

impl Udp {
    /// The next datagram and who sent it; `None` when none came in time (UA-26, ACO-11). What is longer than
    /// `most` bytes is cut. It comes before the session, if there is one, gets another datagram. `None` as
    /// `wait` waits for ever.
    ///
    /// # Errors
    /// When it is closed, also meanwhile (UA-28).
    pub async fn recv_from(
        &self,
        most: usize,
        wait: Option<Duration>,
    ) -> Result<Option<(Bytes, Address)>, RecvFromError> {
        let receiving = self.socket.next_datagram();
        let received = match wait {
            None => receiving.await?,
            Some(wait) => match timeout(wait, receiving).await {
                Ok(received) => received?,
                Err(_) => return Ok(None),
            },
        };
        let (mut data, from) = received;
        data.truncate(most);
        Ok(Some((data, from)))
    }

    /// The next datagram; see [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// When it is closed, also meanwhile.
    pub async fn recv(
        &self,
        most: usize,
        wait: Option<Duration>,
    ) -> Result<Option<Bytes>, RecvFromError> {
        let received = self.recv_from(most, wait).await?;
        Ok(received.map(|(data, _)| data))
    }

    /// Sends a datagram and waits until the system has it, which is behind those that are queued; says how
    /// many bytes it had (UA-27). `None` as `wait` waits for ever.
    ///
    /// # Errors
    /// When the system refuses it, the name has no address, it is closed, or the time is up; it is not sent
    /// then.
    pub async fn sent_to(
        &self,
        data: impl Into<Bytes>,
        to: impl Into<Destination>,
        wait: Option<Duration>,
    ) -> Result<usize, SendToError> {
        self.send_and_wait(data.into(), Some(to.into()), wait).await
    }

    /// The same, to the peer that it is connected to.
    ///
    /// # Errors
    /// As [`sent_to`](Self::sent_to), and when it is not connected.
    pub async fn sent(
        &self,
        data: impl Into<Bytes>,
        wait: Option<Duration>,
    ) -> Result<usize, SendToError> {
        self.send_and_wait(data.into(), None, wait).await
    }

    async fn send_and_wait(
        &self,
        data: Bytes,
        to: Option<Destination>,
        wait: Option<Duration>,
    ) -> Result<usize, SendToError> {
        let sending = self.socket.send_in_turn(&data, to);
        match wait {
            None => sending.await,
            Some(wait) => timeout(wait, sending)
                .await
                .unwrap_or(Err(SendToError::TimedOut)),
        }
    }
}

impl Socket {
    async fn next_datagram(&self) -> Result<(Bytes, Address), RecvFromError> {
        let shared = &self.0;
        let _waiting = Waiting::receiver(shared);
        loop {
            // Made before the look, it does not miss what comes after it.
            let arrived = shared.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            arrived.as_mut().enable();
            if let Poll::Ready(outcome) = shared.try_receive() {
                return outcome;
            }
            arrived.await;
        }
    }

    /// Sends when nothing is queued any more.
    async fn send_in_turn(
        &self,
        data: &Bytes,
        to: Option<Destination>,
    ) -> Result<usize, SendToError> {
        let shared = &self.0;
        let to = match to {
            None => None,
            Some(Destination::Address(address)) => Some(address),
            Some(Destination::Name(name)) => {
                let found = resolve::one(&name, shared.kind, shared.lock().is_v6());
                Some(
                    found
                        .await
                        .map_err(|error| DatagramError::Unresolved { kind: error.kind() })?,
                )
            }
        };
        let _waiting = Waiting::sender(shared);
        let mut pause = PAUSES.0;
        loop {
            let progress = shared.progress.notified();
            let mut progress = std::pin::pin!(progress);
            progress.as_mut().enable();
            match shared.try_send(data, to.as_ref()) {
                // Nobody says when there is room again.
                Poll::Ready(outcome) if has_no_room(&outcome) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => progress.await,
            }
        }
    }
}

/// How long a system, or a receiver, without room is left alone, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Whether it may be sent later: the queue of a Unix socket's receiver is full, or the system has no memory.
fn has_no_room(outcome: &Result<usize, SendToError>) -> bool {
    let Err(SendToError::Failed(DatagramError::Io {
        errno: Some(errno), ..
    })) = outcome
    else {
        return false;
    };
    matches!(
        fault(&io::Error::from_raw_os_error(*errno)),
        Fault::NoRoom | Fault::ReceiverFull
    )
}

impl SocketShared {
    fn try_receive(&self) -> Poll<Result<(Bytes, Address), RecvFromError>> {
        let mut core = self.lock();
        if let Some(received) = core.machine.take_datagram() {
            return Poll::Ready(Ok((received.data, received.from)));
        }
        if core.is_ending() || core.link.is_none() {
            return Poll::Ready(Err(RecvFromError::Closed));
        }
        wake_if_needed(core);
        Poll::Pending
    }

    fn try_send(&self, data: &Bytes, to: Option<&Address>) -> Poll<Result<usize, SendToError>> {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        let to = core.machine.direct(to)?;
        if core.machine.has_ready() {
            core.queue_watched = true;
            wake_if_needed(core);
            return Poll::Pending;
        }
        let outcome = core.send_directly(data, to, &mut now);
        wake_if_needed(core);
        outcome
    }
}

impl Core {
    fn send_directly(
        &mut self,
        data: &Bytes,
        to: Option<&Address>,
        now: &mut Now,
    ) -> Poll<Result<usize, SendToError>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(Err(DatagramRefusal::Closed.into()));
        };
        // The actor is woken when there is room, and tells those who wait.
        let driver = self.driver.as_ref().unwrap_or(Waker::noop());
        let mut cx = Context::from_waker(driver);
        let mut retried = false;
        loop {
            let error = match ready!(link.poll_send(&mut cx, data, to)) {
                Ok(()) => {
                    self.machine.handle_sent_directly(data.len(), now);
                    return Poll::Ready(Ok(data.len()));
                }
                Err(error) => error,
            };
            // What a connected socket says first may be about an earlier datagram.
            if retried || to.is_some() || fault(&error) != Fault::Passing {
                return Poll::Ready(Err(DatagramError::io(&error).into()));
            }
            retried = true;
            self.machine.handle_error(IoOperation::Write, &error);
        }
    }
}

/// Somebody who waits, as long as this is there.
struct Waiting<'a> {
    shared: &'a SocketShared,
    receives: bool,
}

impl<'a> Waiting<'a> {
    fn receiver(shared: &'a SocketShared) -> Self {
        let mut core = shared.lock();
        core.receivers += 1;
        let receivers = core.receivers;
        core.machine.expect_one(receivers);
        drop(core);
        Self {
            shared,
            receives: true,
        }
    }

    fn sender(shared: &'a SocketShared) -> Self {
        shared.lock().senders += 1;
        Self {
            shared,
            receives: false,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut core = self.shared.lock();
        if self.receives {
            core.receivers -= 1;
            let receivers = core.receivers;
            core.machine.expect_one(receivers);
            wake_if_needed(core);
        } else {
            core.senders -= 1;
        }
    }
}

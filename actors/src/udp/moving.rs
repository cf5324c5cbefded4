//! How datagrams move between a socket and its machine.

use std::task::{Context as TaskContext, Poll, Waker};

use switchboard_core::{DatagramError, IoOperation, Now};
use tokio::io::ReadBuf;

use crate::transport::datagram::{payload, with_scratch};

use super::fault::{Fault, fault};
use super::shared::{Core, Reader, SocketShared};

/// After so many errors of receiving others have their turn.
const MOST_ERRORS: usize = 16;
/// A socket that only fails, and not for what a network says, is given up after so many errors.
const MOST_FAILURES: u32 = 1_000;

impl Core {
    /// Whether a datagram may be received now.
    #[inline]
    pub(super) fn wants_datagram(&self) -> bool {
        (self.reads || self.receivers > 0) && self.machine.wants_datagram()
    }

    /// Receives on behalf of the session, which the socket wakes from then on. While others wait too it
    /// wakes the actor, since the session may be busy with something else.
    pub(super) fn read_for_session(
        &mut self,
        session: &Waker,
        now: &mut Now,
        shared: &SocketShared,
    ) {
        let driver = self.driver.clone().filter(|_| self.receivers > 0);
        let (waker, reader) = match &driver {
            Some(driver) => (driver, Reader::Actor),
            None => (session, Reader::Session),
        };
        let waits = self.read(&mut TaskContext::from_waker(waker), now, shared);
        self.reader = if waits { reader } else { Reader::Nobody };
    }

    /// Receives what there is and is wished for. `true`: the socket wakes this context when there is more.
    pub(super) fn read(
        &mut self,
        cx: &mut TaskContext<'_>,
        now: &mut Now,
        shared: &SocketShared,
    ) -> bool {
        let size = shared.config.recv_size;
        let mut arrived = 0;
        let mut errors = 0;
        let waits = with_scratch(size, |scratch| {
            loop {
                if errors == MOST_ERRORS || !self.wants_datagram() {
                    return false;
                }
                let Some(link) = &mut self.link else {
                    return false;
                };
                let mut datagram = ReadBuf::new(scratch);
                match link.poll_recv(cx, &mut datagram) {
                    Poll::Pending => {
                        self.failures = 0;
                        return true;
                    }
                    Poll::Ready(Ok(from)) => {
                        let mut data = datagram.filled();
                        let truncated = data.len() > size;
                        data = &data[..data.len().min(size)];
                        if shared.strips_header {
                            data = super::raw::without_header(data);
                        }
                        let data = payload(data);
                        self.machine.handle_datagram(from, data, truncated, now);
                        self.failures = 0;
                        arrived += 1;
                    }
                    Poll::Ready(Err(error)) => {
                        errors += 1;
                        let fault = fault(&error);
                        self.failures += u32::from(fault != Fault::Passing);
                        if fault == Fault::Fatal || self.failures > MOST_FAILURES {
                            self.machine.handle_fatal(IoOperation::Read, &error);
                            return false;
                        }
                        self.machine.handle_error(IoOperation::Read, &error);
                    }
                }
            }
        });
        self.arrived += arrived.min(self.receivers);
        waits
    }

    /// Sends what may go.
    pub(super) fn write(&mut self, now: &mut Now) {
        let Self {
            machine,
            link: Some(link),
            driver: Some(driver),
            retried,
            ..
        } = self
        else {
            return;
        };
        let mut cx = TaskContext::from_waker(driver);
        while let Some(outgoing) = machine.poll_send() {
            let connected = outgoing.to.is_none();
            let error = match link.poll_send(&mut cx, outgoing.data, outgoing.to) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    *retried = false;
                    machine.handle_sent(now);
                    continue;
                }
                Poll::Ready(Err(error)) => error,
            };
            match fault(&error) {
                // What a connected socket says first may be about an earlier datagram.
                Fault::Passing if connected && !*retried => {
                    *retried = true;
                    machine.handle_error(IoOperation::Write, &error);
                }
                Fault::NoRoom => {
                    machine.handle_no_room(now);
                    return;
                }
                Fault::ReceiverFull => {
                    let error = DatagramError::io(&error);
                    machine.handle_receiver_full(error, now);
                }
                Fault::Fatal => {
                    machine.handle_fatal(IoOperation::Write, &error);
                    return;
                }
                Fault::Passing | Fault::Refused => {
                    *retried = false;
                    machine.handle_send_failed(DatagramError::io(&error), now);
                }
            }
        }
    }
}

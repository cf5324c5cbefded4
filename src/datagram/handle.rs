//! What the socket and the clock did.

use std::io;

use bytes::Bytes;

use crate::address::Address;
use crate::connection::Interests;
use crate::now::Now;
use crate::reason::{Cause, IoOperation, TimeoutKind};

use super::inbound::Received;
use super::outbox::Queued;
use super::state::State;
use super::{DatagramError, DatagramEvent, Datagrams, shortage};

impl Datagrams {
    /// A datagram came, perhaps an empty one, which ends nothing (XAS-59, T-22).
    pub fn handle_datagram(&mut self, from: Address, data: Bytes, truncated: bool, now: &mut Now) {
        self.read_budget = self.read_budget.saturating_sub(1);
        if self.is_over() {
            return;
        }
        self.counts.received += 1;
        self.counts.truncated += u64::from(truncated);
        self.bytes_in += data.len() as u64;
        self.touch(now);
        self.inbound.push(Received {
            from,
            data,
            truncated,
        });
    }

    /// The system reported an error that is about the socket or an earlier datagram, such as one of ICMP
    /// (AIO-38). The socket lives on, and so does the head of the queue, which is to be tried again
    /// (akka #26903, T-22). It takes from the budget of its direction.
    pub fn handle_error(&mut self, operation: IoOperation, error: &io::Error) {
        let budget = match operation {
            IoOperation::Read => &mut self.read_budget,
            IoOperation::Write | IoOperation::Open | IoOperation::Handshake => {
                &mut self.write_budget
            }
        };
        *budget = budget.saturating_sub(1);
        if self.is_over() {
            return;
        }
        self.counts.errors += 1;
        if self.interests.contains(Interests::UDP_ERROR) {
            // What does not fit was counted.
            let _ = self.notices.push_error(operation, error);
        }
    }

    /// The socket itself is of no use any more: it is over.
    pub fn handle_fatal(&mut self, operation: IoOperation, error: &io::Error) {
        let cause = Cause::io(operation, error);
        match self.state {
            State::Adopting | State::Open => self.end(cause),
            State::Closing(_) => self.conclude(Some(cause)),
            State::Over { .. } => {}
        }
    }

    /// The system took the head of the queue.
    pub fn handle_sent(&mut self, now: &mut Now) {
        let Some(Queued { data, token, to }) = self.outbox.pop() else {
            return;
        };
        if !self.stuck.is_idle()
            && let Some(to) = &to
        {
            self.stuck.had_room(to);
        }
        let bytes = data.len();
        self.write_budget = self.write_budget.saturating_sub(1);
        self.outbox.settle(bytes, token);
        self.shortage.end();
        self.counts.sent += 1;
        self.bytes_out += bytes as u64;
        self.touch(now);
        if let Some(token) = token {
            self.notify(DatagramEvent::Sent { token, bytes });
        }
        self.spent.push(data);
        self.settled();
    }

    /// The system took a datagram that was not queued (see [`direct`](Self::direct)).
    pub fn handle_sent_directly(&mut self, bytes: usize, now: &mut Now) {
        self.counts.sent += 1;
        self.bytes_out += bytes as u64;
        self.touch(now);
    }

    /// The system refused the head of the queue (XAS-61); those behind it go on.
    pub fn handle_send_failed(&mut self, error: DatagramError, _now: &mut Now) {
        self.write_budget = self.write_budget.saturating_sub(1);
        self.shortage.next_head();
        self.fail_head(error);
    }

    /// The system had no room for the head of the queue (`ENOBUFS`): it is tried again after a pause, of
    /// 10 ms at first and 500 ms at most, and fails after about 10 s (cpython #156698).
    pub fn handle_no_room(&mut self, now: &mut Now) {
        if self.outbox.is_empty() {
            return;
        }
        if !self.shortage.begin_pause(now.get()) {
            self.fail_head(shortage::no_room());
        }
    }

    /// The receiver of the head of the queue had no room, which only Unix sockets tell: what is for it waits
    /// aside and is tried again after a pause, of 10 ms at first and 500 ms at most; when it has had no room
    /// for 10 s, all of that fails with this error. What is for others goes on meanwhile.
    pub fn handle_receiver_full(&mut self, error: DatagramError, now: &mut Now) {
        let Some(to) = self.outbox.head().and_then(|head| head.to.clone()) else {
            self.handle_no_room(now);
            return;
        };
        let stays = self.stuck.put_aside(&to, now.get());
        for queued in self.outbox.take_for(&to) {
            if stays {
                self.stuck.push(queued);
            } else {
                let Queued { data, to, token } = queued;
                self.fail(data, Queued::destination(to), token, error);
            }
        }
        if !stays {
            self.settled();
        }
    }

    /// The moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: &mut Now) {
        let at = now.get();
        if self.shortage.until().is_some_and(|until| until <= at) {
            self.shortage.end_pause();
        }
        if self.stuck.until().is_some_and(|until| until <= at) {
            let again = self.stuck.release();
            self.outbox.put_first(again);
        }
        if self.deadline_at.is_some_and(|deadline| deadline <= at) {
            self.deadline_at = None;
            if let State::Closing(closing) = &self.state {
                let after = closing.deadline;
                let kind = TimeoutKind::Flush;
                self.conclude(Some(Cause::Timeout { kind, after }));
            } else {
                let after = self.config.adoption_timeout;
                let kind = TimeoutKind::Adoption;
                self.begin_close(Cause::Timeout { kind, after }, None, now);
            }
        }
        if self.idle_at.is_some_and(|idle| idle <= at) {
            self.idle_at = None;
            let after = self.config.idle_timeout.unwrap_or_default();
            let kind = TimeoutKind::Idle;
            self.begin_close(Cause::Timeout { kind, after }, None, now);
        }
    }

    /// A datagram moved.
    pub(super) fn touch(&mut self, now: &mut Now) {
        if let Some(after) = self.config.idle_timeout
            && matches!(self.state, State::Adopting | State::Open)
        {
            self.idle_at = now.get().checked_add(after);
        }
    }

    fn fail_head(&mut self, error: DatagramError) {
        if let Some(Queued { data, to, token }) = self.outbox.pop() {
            self.fail(data, Queued::destination(to), token, error);
            self.settled();
        }
    }
}

//! A socket as its session and its shard see it.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use switchboard_core::connection::{Permit, Standing};
use switchboard_core::datagram::DatagramEvent;
use switchboard_core::{Cause, ClientId, Now};

use crate::client::{ClientInfo, Idleness, Issuer, clock, thread_ends};
use crate::failure;
use crate::handle::Handle;
use crate::message::{
    Adopted, ClientEvent, Closed, DatagramFailed, DatagramReceived, Draining, Sent, UdpError,
    WritePaused, WriteResumed,
};
use crate::session::Session;
use crate::shard::Channel;
use crate::transport::ChannelKind;
use crate::turn::{Seated, Source, Turn};

use super::shared::{Next, Reader, Socket, SocketShared, wake};
use super::{Raw, Udp};

/// The session of this seat failed or ended; the socket closes, or gets another one.
pub(super) fn session_gone(shared: &SocketShared, seat: u32, mut cause: Cause) {
    if cause == Cause::SessionStopped && thread_ends() {
        // It did not end by itself.
        cause = Cause::RuntimeFailed;
    }
    let mut now = Now::ask(clock);
    let mut core = shared.lock();
    if seat != core.seat {
        return;
    }
    let unseen = matches!(cause, Cause::SessionPanicked { .. })
        && !std::mem::replace(&mut core.session_failed, true);
    let panic = unseen.then(|| cause.clone());
    core.in_flight = false;
    core.turn = None;
    let restarted = core.machine.handle_session_gone(cause, &mut now);
    let session = if restarted {
        core.seat += 1;
        core.session_failed = false;
        // The socket may wake who is gone: the actor has to look for itself.
        core.reader = Reader::Nobody;
        core.session.take()
    } else {
        core.session_gone = true;
        core.reader = Reader::Nobody;
        None
    };
    wake(core);
    drop(session);
    if let Some(cause) = panic {
        failure::report(&shared.pool, shared.id, cause, restarted);
    }
}

/// The typed message for what the machine told.
#[inline(never)]
pub(super) fn client_event(event: DatagramEvent, socket: &Socket) -> ClientEvent {
    let client = socket.id();
    match event {
        DatagramEvent::Received {
            from,
            data,
            truncated,
        } => ClientEvent::DatagramReceived(DatagramReceived::new(client, from, data, truncated)),
        DatagramEvent::Sent { token, bytes } => ClientEvent::Sent(Sent::new(client, token, bytes)),
        DatagramEvent::Failed {
            token,
            to,
            data,
            error,
        } => ClientEvent::DatagramFailed(DatagramFailed::new(client, token, to, data, error)),
        DatagramEvent::Error {
            operation,
            kind,
            errno,
            count,
        } => ClientEvent::UdpError(UdpError::new(client, operation, kind, errno, count)),
        DatagramEvent::WritePaused => ClientEvent::WritePaused(WritePaused::new(client)),
        DatagramEvent::WriteResumed => ClientEvent::WriteResumed(WriteResumed::new(client)),
        DatagramEvent::Draining(deadline) => ClientEvent::Draining(Draining::new(client, deadline)),
        DatagramEvent::Adopted { unread, restarts } => ClientEvent::Adopted(Adopted::new(
            client,
            handle(socket.clone()),
            unread,
            restarts,
        )),
        DatagramEvent::Closed(detail) => ClientEvent::Closed(Closed::new(
            client,
            detail.cause.reason(),
            detail,
            handle(socket.clone()),
        )),
    }
}

/// The public handle of a socket.
fn handle(socket: Socket) -> Handle {
    if socket.0.kind == ChannelKind::Raw {
        Handle::Raw(Raw::new(socket))
    } else {
        Handle::Udp(Udp::new(socket))
    }
}

impl Source for Socket {
    type Called = Next;

    fn seat(&self) -> u32 {
        self.0.lock().seat
    }

    fn session_gone(&self, seat: u32, cause: Cause) {
        session_gone(&self.0, seat, cause);
    }

    #[inline]
    fn call(&self, waker: &Waker, called: &mut Option<Next>) -> bool {
        self.0
            .call_session(waker)
            .map(|first| *called = first)
            .is_some()
    }

    fn begin_turn(&self) {
        self.0.begin_turn();
    }

    #[inline]
    fn take_turn<S: Session>(
        &self,
        seat: &mut Seated<'_, S>,
        called: &mut Option<Next>,
        over: &mut bool,
    ) -> Turn {
        let mut next = called.take();
        loop {
            match next {
                None => {}
                Some((
                    DatagramEvent::Received {
                        from,
                        data,
                        truncated,
                    },
                    permit,
                )) => {
                    let event = DatagramReceived::new(self.id(), from, data, truncated);
                    seat.handle(ClientEvent::DatagramReceived(event), permit);
                }
                Some((event, permit)) => {
                    *over |= matches!(event, DatagramEvent::Closed(_));
                    seat.handle(client_event(event, self), permit);
                }
            }
            if !seat.goes_on() {
                break;
            }
            next = self.0.next_event(std::mem::take(&mut seat.back));
            if next.is_none() {
                return Turn::Done;
            }
        }
        // Others come first, or the handler waits for something and what follows must wait for it too.
        self.0.interrupt_turn(seat.back);
        Turn::Later
    }
}

impl Issuer for SocketShared {
    fn session_gone(&self, seat: u32, cause: Cause) {
        session_gone(self, seat, cause);
    }

    fn ticket_back(&self, seat: u32, permit: Permit) {
        Self::ticket_back(self, seat, permit);
    }
}

impl Channel for SocketShared {
    fn id(&self) -> ClientId {
        self.id
    }

    fn handle(self: Arc<Self>) -> Handle {
        handle(Socket(self))
    }

    fn info(self: Arc<Self>) -> ClientInfo {
        Socket(self).info()
    }

    fn has_ended(&self) -> bool {
        self.lock().machine.is_over()
    }

    fn idleness(&self) -> Option<Idleness> {
        let core = self.lock();
        let busy = core.in_flight || core.tickets > 0 || core.machine.is_busy();
        core.machine
            .is_open()
            .then(|| Idleness::new(busy, core.moved))
    }

    fn drain(&self, left: Duration) -> Standing {
        self.command(|machine, _| machine.handle_draining(left))
    }

    fn close(&self, cause: Cause, flush: Duration) {
        self.command(|machine, now| machine.close(cause, true, Some(flush), now));
    }

    fn close_within(&self, cause: Cause, flush: Duration) {
        self.command(|machine, now| machine.close_within(cause, flush, now));
    }

    fn abort(&self, cause: Cause) {
        self.command(|machine, _| machine.abort(cause));
    }
}

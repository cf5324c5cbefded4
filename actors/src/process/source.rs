//! A process as its session and its shard see it.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use switchboard_core::connection::{Permit, Standing};
use switchboard_core::process::ProcessEvent;
use switchboard_core::{Cause, ClientId};

use crate::client::{Client, ClientInfo, Idleness, Issuer};
use crate::handle::Handle;
use crate::message::{ClientEvent, Closed, Draining, ProcessExited};
use crate::session::Session;
use crate::shard::Channel;
use crate::turn::{Seated, Source, Turn};

use super::Process;
use super::shared::{ProcessShared, wake_if_needed};

/// The typed message for what the machine told.
pub(super) fn client_event(event: ProcessEvent, process: &Process) -> ClientEvent {
    let client = process.id();
    match event {
        ProcessEvent::Exited { code } => {
            ClientEvent::ProcessExited(ProcessExited::new(client, code))
        }
        ProcessEvent::Draining(deadline) => ClientEvent::Draining(Draining::new(client, deadline)),
        ProcessEvent::Closed(detail) => ClientEvent::Closed(Closed::new(
            client,
            detail.cause.reason(),
            detail,
            Handle::Process(process.clone()),
        )),
    }
}

impl Source for Process {
    type Called = ();

    fn seat(&self) -> u32 {
        // It never gets another session.
        0
    }

    fn session_gone(&self, _: u32, cause: Cause) {
        self.shared.session_gone(cause);
    }

    fn call(&self, waker: &Waker, _: &mut Option<()>) -> bool {
        let mut core = self.shared.lock();
        match &core.session {
            Some(session) if session.will_wake(waker) => {}
            _ => core.session = Some(waker.clone()),
        }
        if !core.in_flight && core.has_event() {
            core.in_flight = true;
        }
        core.in_flight
    }

    fn begin_turn(&self) {}

    fn parts(&self) -> Vec<Client> {
        self.pipes().cloned().collect()
    }

    fn take_turn<S: Session>(
        &self,
        seat: &mut Seated<'_, S>,
        _: &mut Option<()>,
        over: &mut bool,
    ) -> Turn {
        while seat.goes_on() {
            let Some(event) = self.shared.next_event() else {
                return Turn::Done;
            };
            *over |= matches!(event, ProcessEvent::Closed(_));
            seat.handle(client_event(event, self), Permit::NONE);
        }
        Turn::Later
    }
}

impl Issuer for ProcessShared {
    fn session_gone(&self, _: u32, cause: Cause) {
        Self::session_gone(self, cause);
    }

    fn ticket_back(&self, _: u32, _: Permit) {
        let mut core = self.lock();
        core.tickets = core.tickets.saturating_sub(1);
        wake_if_needed(core);
    }
}

impl Channel for ProcessShared {
    fn id(&self) -> ClientId {
        self.id
    }

    fn handle(self: Arc<Self>) -> Handle {
        Handle::Process(Process { shared: self })
    }

    fn info(self: Arc<Self>) -> ClientInfo {
        Process { shared: self }.info()
    }

    fn has_ended(&self) -> bool {
        self.lock().machine.is_over()
    }

    fn idleness(&self) -> Option<Idleness> {
        let core = self.lock();
        let busy = core.in_flight || core.tickets > 0;
        core.machine.is_open().then(|| Idleness::new(busy, 0))
    }

    fn drain(&self, left: Duration) -> Standing {
        self.command(|machine, _| machine.handle_draining(left))
    }

    fn close(&self, cause: Cause, flush: Duration) {
        self.command(|machine, now| machine.close(cause, Some(flush), now));
    }

    fn close_within(&self, cause: Cause, flush: Duration) {
        self.command(|machine, now| machine.close(cause, Some(flush), now));
    }

    fn abort(&self, cause: Cause) {
        self.command(|machine, _| machine.abort(cause));
    }
}

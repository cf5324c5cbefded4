//! How the session of a process is told that there are events.

use std::sync::{Arc, MutexGuard};

use switchboard_core::Cause;
use switchboard_core::connection::Permit;

use crate::client::{Issuer, Ticket};
use crate::session::Outlet;
use crate::turn::Burst;

use super::shared::{Core, ProcessShared};
use super::{Process, source};

/// Lets the session know that there are events, unless it is at them already.
pub(super) fn tell(outlet: &Outlet, shared: &Arc<ProcessShared>, mut core: MutexGuard<'_, Core>) {
    let process = || Process {
        shared: Arc::clone(shared),
    };
    match outlet {
        Outlet::Own | Outlet::Awaited => {
            if !core.in_flight && core.has_event() {
                core.in_flight = true;
                let session = core.session.clone();
                drop(core);
                shared.pool.pass();
                if let Some(session) = session {
                    session.wake();
                }
            }
        }
        Outlet::Shared(recipient) => {
            if !core.in_flight && core.has_event() {
                core.in_flight = true;
                drop(core);
                shared.pool.pass();
                recipient.do_send(Burst::of_process(process()));
            }
        }
        Outlet::Handlers(handlers) => {
            let mut events = Vec::new();
            while let Some(event) = core.poll_event() {
                let mut event = source::client_event(event, &process());
                let issuer = Arc::clone(shared) as Arc<dyn Issuer>;
                event.set_ticket(Ticket::issue((issuer, 0), Permit::NONE, &event, handlers));
                core.tickets += 1;
                events.push(event);
            }
            drop(core);
            let mut there = true;
            for event in events {
                there &= handlers.deliver(event);
            }
            if !there {
                shared.session_gone(Cause::SessionStopped);
            }
        }
        Outlet::None | Outlet::Sequence => while core.poll_event().is_some() {},
    }
}

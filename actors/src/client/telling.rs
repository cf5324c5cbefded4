//! How a connection's session gets to know of its events.

use std::sync::Arc;

use parking_lot::MutexGuard;
use switchboard_core::{Cause, Now};

use crate::session::Outlet;
use crate::turn::Burst;

use super::shared::{Core, wake};
use super::ticket::{Issuer, Ticket};
use super::turn::SharedEvent;
use super::{ClientActor, Shared};

impl ClientActor {
    /// Lets the session know that there are events, unless it is at them already.
    pub(super) fn tell<'a>(
        &mut self,
        shared: &'a Shared,
        mut core: MutexGuard<'a, Core>,
        now: &mut Now,
    ) {
        if core.session_gone && !matches!(self.outlet, Outlet::Handlers(_)) {
            // Letting go of a mailbox may drop messages, which needs the lock.
            drop(core);
            self.outlet = Outlet::None;
            core = shared.lock();
        }
        match &self.outlet {
            Outlet::Own => {
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
            Outlet::Awaited => {
                if core.is_session_made() {
                    self.outlet = Outlet::Own;
                    self.tell(shared, core, now);
                } else if core.is_session_too_late() {
                    core.session_gone = true;
                    self.tell(shared, core, now);
                }
            }
            Outlet::Shared(recipient) => {
                if !core.in_flight && core.has_event() {
                    core.in_flight = true;
                    let seat = core.seat;
                    drop(core);
                    shared.pool.pass();
                    // One burst at most is ever in the mailbox.
                    recipient.do_send(Burst::of_client(self.client.clone(), seat));
                }
            }
            Outlet::Handlers(handlers) => {
                let seat = core.seat;
                let mut ends = false;
                let mut events = Vec::new();
                while let Some((event, permit)) = core.poll_event(now) {
                    let Some(mut event) = shared.told_as(event, &self.client, &mut ends) else {
                        core.machine.give_back(permit, now);
                        continue;
                    };
                    event.set_ticket(Ticket::issue(
                        (Arc::clone(&self.client.shared) as Arc<dyn Issuer>, seat),
                        permit,
                        &event,
                        handlers,
                    ));
                    core.tickets += 1;
                    events.push(event);
                }
                drop(core);
                let mut there = true;
                for event in events {
                    there &= handlers.deliver(event);
                }
                if !there {
                    shared.session_gone(seat, Cause::SessionStopped);
                }
                if ends {
                    shared.pipe_told();
                }
            }
            Outlet::Sequence => {
                let mut closes = false;
                while let Some((event, permit)) = core.poll_event(now) {
                    core.machine.give_back(permit, now);
                    if matches!(event, SharedEvent::PeerFinished) && core.machine.tls().is_some() {
                        // TLS cannot go on one way (AIO-37).
                        core.machine.close_after_peer(now);
                        closes = true;
                    }
                }
                if closes {
                    // What follows from it is done in the next look.
                    wake(core);
                }
            }
            Outlet::None => {
                let mut ends = false;
                while let Some((event, permit)) = core.poll_event(now) {
                    core.machine.give_back(permit, now);
                    ends |= shared.ends_pipe(&event);
                    drop(event);
                }
                drop(core);
                if ends {
                    shared.pipe_told();
                }
            }
        }
    }
}

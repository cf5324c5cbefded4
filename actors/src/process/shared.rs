//! What a process's handle, its actor, its pipes and its session share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

use actix::WeakAddr;
use switchboard_core::process::{PIPES, ProcessEvent, ProcessMachine};
use switchboard_core::{Cause, ClientId, ClosedDetail, Now};
use tokio::sync::Notify;

use crate::client::{Client, clock, thread_ends};
use crate::failure;
use crate::pool::Pool;
use crate::session::Outlet;
use crate::states::States;

use super::ProcessActor;
use super::child::Target;
use super::telling::tell;

/// A child process, as seen from all sides.
pub(crate) struct ProcessShared {
    pub(super) id: ClientId,
    pub(super) pool: Pool,
    pub(super) target: Target,
    pub(super) opened: Instant,
    pub(super) actor: OnceLock<WeakAddr<ProcessActor>>,
    pub(crate) states: States,
    /// Its pipes, by number; set once, before its session is there.
    pub(super) pipes: OnceLock<[Option<Client>; PIPES]>,
    /// It ended, or all is over: for those who wait.
    pub(super) changed: Notify,
    core: Mutex<Core>,
}

/// Everything behind the lock, which is held for bounded work only.
pub(super) struct Core {
    pub(super) machine: ProcessMachine,
    pub(super) session_gone: bool,
    pub(super) session_failed: bool,
    pub(super) session: Option<Waker>,
    pub(super) driver: Option<Waker>,
    pub(super) in_flight: bool,
    pub(super) tickets: u32,
    pub(super) driver_sleeps: Option<Instant>,
    /// Whether the actor has taken it off its registry, so that its end may be told.
    pub(super) released: bool,
    /// To whom the last of its pipes has to tell the end, since its actor is gone.
    pub(super) left_to: Outlet,
}

impl ProcessShared {
    pub(super) fn new(
        id: ClientId,
        pool: Pool,
        target: Target,
        machine: ProcessMachine,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            pool,
            target,
            opened: clock(),
            actor: OnceLock::new(),
            states: States::default(),
            pipes: OnceLock::new(),
            changed: Notify::new(),
            core: Mutex::new(Core {
                machine,
                session_gone: false,
                session_failed: false,
                session: None,
                driver: None,
                in_flight: false,
                tickets: 0,
                driver_sleeps: None,
                released: false,
                left_to: Outlet::None,
            }),
        })
    }

    /// Nothing of ours panics while it holds the lock; a poisoned one is still whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command on the machine and wakes the actor if it has to do something about it.
    pub(super) fn command<R>(&self, run: impl FnOnce(&mut ProcessMachine, &mut Now) -> R) -> R {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        let result = run(&mut core.machine, &mut now);
        wake_if_needed(core);
        result
    }

    /// The pipe with this number, if it leads here.
    pub(super) fn pipe(&self, fd: i32) -> Option<&Client> {
        let fd = usize::try_from(fd).ok()?;
        self.pipes.get()?.get(fd)?.as_ref()
    }

    /// All of them.
    pub(super) fn pipes(&self) -> impl Iterator<Item = &Client> {
        self.pipes.get().into_iter().flatten().flatten()
    }

    /// A pipe is closed, and the session was told.
    pub(super) fn pipe_told(self: &Arc<Self>, fd: i32, detail: &ClosedDetail) {
        let Ok(fd) = usize::try_from(fd) else {
            return;
        };
        let mut core = self.lock();
        core.machine.handle_pipe_told(fd, detail);
        if core.machine.is_over() && !matches!(core.left_to, Outlet::None) {
            let outlet = std::mem::take(&mut core.left_to);
            tell(&outlet, self, core);
        } else {
            wake_if_needed(core);
        }
    }

    /// The session failed or ended: it is closed.
    pub(super) fn session_gone(&self, mut cause: Cause) {
        if cause == Cause::SessionStopped && thread_ends() {
            // It did not end by itself.
            cause = Cause::RuntimeFailed;
        }
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        let unseen = matches!(cause, Cause::SessionPanicked { .. })
            && !std::mem::replace(&mut core.session_failed, true);
        let panic = unseen.then(|| cause.clone());
        core.in_flight = false;
        if !std::mem::replace(&mut core.session_gone, true) {
            core.machine.handle_session_gone(cause, &mut now);
        }
        let left_to = std::mem::take(&mut core.left_to);
        if !matches!(left_to, Outlet::None) {
            // Its actor is gone as well: nobody is left who would tell, or be told.
            core.machine.handle_lost_pipes();
        }
        let session = core.session.take();
        wake(core);
        drop((session, left_to));
        if let Some(cause) = panic {
            failure::report(&self.pool, self.id, cause, false);
        }
    }

    pub(super) fn next_event(&self) -> Option<ProcessEvent> {
        let mut core = self.lock();
        let event = core.poll_event();
        if event.is_none() {
            core.in_flight = false;
            wake_if_needed(core);
        }
        event
    }
}

impl Core {
    /// Takes the next event, unless it is the last one and the process is still registered.
    pub(super) fn poll_event(&mut self) -> Option<ProcessEvent> {
        if !self.has_event() {
            return None;
        }
        self.machine.poll_event()
    }

    /// Whether there is something that may be told now.
    pub(super) fn has_event(&self) -> bool {
        self.machine.has_event() && (self.released || !self.machine.is_over())
    }

    /// Whether the end was told and handled.
    pub(super) const fn is_done(&self) -> bool {
        self.machine.is_told() && !self.in_flight && self.tickets == 0
    }

    /// Whether the actor has to look at it.
    fn driver_needed(&self) -> bool {
        self.machine.has_action()
            || (self.machine.is_over() && !self.released)
            || (self.released && self.is_done())
            || (!self.in_flight && self.has_event())
            || self.machine.poll_timeout().is_some_and(|deadline| {
                self.driver_sleeps
                    .is_none_or(|sleeping| deadline < sleeping)
            })
    }
}

/// Unlocks, then wakes the actor if it has to look.
pub(super) fn wake_if_needed(core: MutexGuard<'_, Core>) {
    if core.driver_needed() {
        wake(core);
    }
}

/// Unlocks, then wakes the actor.
pub(super) fn wake(core: MutexGuard<'_, Core>) {
    let driver = core.driver.clone();
    drop(core);
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl fmt::Debug for ProcessShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessShared")
            .field("id", &self.id)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

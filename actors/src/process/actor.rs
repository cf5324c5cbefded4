//! `ProcessActor`: waits for one child process, signals it, and tells its session.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, MutexGuard};
use std::task::{Context as TaskContext, Poll};

use actix::{Actor, ActorContext, ActorFuture, AsyncContext, Context, Handler, MessageResult};
use switchboard_core::process::Action;
use switchboard_core::{Cause, Now};
use tracing::Span;

use crate::client::clock;
use crate::deadline::Deadline;
use crate::placement::Share;
use crate::places::Passes;
use crate::session::Outlet;
use crate::shard::{Member, Registered, ShardLocal};
use crate::supervisor::{Exit, start_guarded};
use crate::telemetry;

use super::Process;
use super::child::{Child, signal};
use super::command::ProcessCommand;
use super::shared::{Core, ProcessShared};
use super::telling::tell;

/// Waits for one child process, signals it, and tells its session (AIO-17..24). Its pipes are connections
/// with actors of their own.
///
/// It is started and supervised by the pool. Commands can be sent to it as messages; [`Process`] has the same
/// as methods.
pub struct ProcessActor {
    process: Process,
    local: Rc<ShardLocal>,
    outlet: Outlet,
    child: Child,
    deadline: Deadline,
    /// Given back when the actor ends, whatever happens.
    _passes: Passes,
    _share: Share,
}

/// Everything a process's actor starts with.
pub(super) struct Launch {
    pub(super) process: Process,
    pub(super) child: Child,
    pub(super) outlet: Outlet,
    pub(super) passes: Passes,
    pub(super) share: Share,
    pub(super) span: Span,
}

impl ProcessActor {
    /// Starts the actor of a process on this thread.
    pub(super) fn launch(launch: Launch, local: &Rc<ShardLocal>, member: Member) {
        let shared = Arc::clone(&launch.process.shared);
        local.register(Arc::clone(&shared) as Registered);
        let actor = Self {
            process: launch.process,
            local: Rc::clone(local),
            outlet: launch.outlet,
            child: launch.child,
            deadline: Deadline::default(),
            _passes: launch.passes,
            _share: launch.share,
        };
        let weak = Arc::downgrade(&shared);
        let address = start_guarded(
            actor,
            launch.span,
            |ctx| {
                ctx.spawn(Driver);
            },
            move |exit| {
                if let Exit::Panicked(text) = exit {
                    telemetry::actor_panicked("ProcessActor", &text);
                }
                drop(member);
            },
        );
        if let Some(shared) = weak.upgrade() {
            let _ = shared.actor.set(address.downgrade());
        }
        if local.is_stopping() {
            shared.command(|machine, now| machine.close(Cause::PoolStopped, None, now));
        }
        local.turn_away(&*shared);
    }

    /// One look at everything; `Ready` when nothing is left to do for this process.
    fn drive(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut now = Now::ask(clock);
        let shared = Arc::clone(&self.process.shared);
        let mut core = shared.lock();
        match &core.driver {
            Some(driver) if driver.will_wake(cx.waker()) => {}
            _ => core.driver = Some(cx.waker().clone()),
        }
        // Under the lock, and so are signals: none goes to whoever gets the number next.
        if let Poll::Ready(code) = self.child.poll_exit(cx) {
            core.machine.handle_exit(code);
            telemetry::process_exited(shared.id, code);
        }
        if core
            .machine
            .poll_timeout()
            .is_some_and(|at| at <= now.get())
        {
            core.machine.handle_timeout(&mut now);
        }
        let mut close = None;
        while let Some(action) = core.machine.poll_action() {
            match action {
                Action::Terminate => self.send(libc::SIGTERM),
                Action::Kill => self.send(libc::SIGKILL),
                pipes @ (Action::ClosePipes { .. } | Action::AbortPipes) => close = Some(pipes),
            }
        }
        if let Some(action) = close {
            let cause = core.machine.detail().cause;
            drop(core);
            for pipe in shared.pipes() {
                if let Action::ClosePipes { within } = action {
                    // Their own time for it, unless there is less.
                    pipe.close_because(cause.clone(), true, None);
                    pipe.shared.close_within(cause.clone(), within);
                } else {
                    pipe.abort_because(cause.clone());
                }
            }
            core = shared.lock();
        }
        let over = core.machine.is_over();
        if over && !core.released {
            self.local
                .release_channel(shared.id, &core.machine.detail());
            core.released = true;
        }
        if core.machine.returncode().is_some() {
            shared.changed.notify_waiters();
        }
        let deadline = core.machine.poll_timeout();
        self.deadline.keep(deadline, &mut core.driver_sleeps, cx);
        self.tell(&shared, core);
        if over && shared.lock().is_done() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Signals the process, which has not been taken off the system's table.
    fn send(&self, number: i32) {
        // It may have ended, and then there is nothing to do.
        let _ = signal(self.process.shared.target, number);
    }

    /// Lets the session know that there are events, unless it is at them already.
    fn tell<'a>(&mut self, shared: &'a Arc<ProcessShared>, mut core: MutexGuard<'a, Core>) {
        if core.session_gone && !matches!(self.outlet, Outlet::Handlers(_)) {
            // Letting go of a mailbox may drop messages, which needs the lock.
            drop(core);
            self.outlet = Outlet::None;
            core = shared.lock();
        }
        tell(&self.outlet, shared, core);
    }
}

impl Actor for ProcessActor {
    type Context = Context<Self>;
}

/// The one future of a process's actor.
struct Driver;

impl ActorFuture<ProcessActor> for Driver {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut ProcessActor,
        ctx: &mut Context<ProcessActor>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let done = actor.drive(cx);
        if done.is_ready() {
            ctx.stop();
        }
        done
    }
}

impl<C> Handler<C> for ProcessActor
where
    C: ProcessCommand + 'static,
    C::Result: 'static,
{
    type Result = MessageResult<C>;

    fn handle(&mut self, command: C, _: &mut Self::Context) -> Self::Result {
        MessageResult(command.run(&self.process))
    }
}

impl Drop for ProcessActor {
    /// An actor that ends before its process (its thread stops, or it failed) ends the process. Its end is
    /// told still, after those of its pipes, whose actors end with this one.
    fn drop(&mut self) {
        let shared = Arc::clone(&self.process.shared);
        let mut core = shared.lock();
        let driver = core.driver.take();
        if !core.machine.is_over() {
            core.machine.abort(Cause::RuntimeFailed);
            core.machine.handle_exit(-libc::SIGKILL);
        }
        if !core.released {
            self.local
                .release_channel(shared.id, &core.machine.detail());
            core.released = true;
        }
        let outlet = std::mem::take(&mut self.outlet);
        if core.session_gone && !matches!(outlet, Outlet::Handlers(_)) {
            core.machine.handle_lost_pipes();
        }
        if !core.machine.is_over() {
            core.left_to = outlet.of_pipe();
        }
        shared.changed.notify_waiters();
        tell(&outlet, &shared, core);
        for pipe in shared.pipes() {
            pipe.abort_because(Cause::RuntimeFailed);
        }
        drop(driver);
    }
}

impl std::fmt::Debug for ProcessActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessActor")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

//! Child processes: [`Process`], the handle of one, and `ProcessActor`, which waits for it.
//!
//! The order is fixed: what its pipes bring as it comes, [`PipeClosed`](crate::message::PipeClosed) once for
//! each of them, [`ProcessExited`](crate::message::ProcessExited) once, in whatever order they happen, and
//! [`Closed`](crate::message::Closed) last, when it has ended and all of its pipes are closed (AIO-23). A
//! process that its own children outlive may have exited long before its pipes close.

mod actor;
mod child;
mod command;
mod opening;
mod pipe;
mod shared;
mod source;
mod telling;
mod tended;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use switchboard_core::{AsLine, Cause, ClientId, Payload, SendError, SendRefusal, Token};

use crate::client::{Client, ClientInfo, clock};
use crate::pool::Pool;
use crate::states::{States, keeps_states};
use crate::transport::ChannelKind;

pub use actor::ProcessActor;
pub use command::{Kill, ProcessCommand, Signal, Terminate};
pub use opening::SpawnError;
pub(crate) use pipe::PipeOf;
use shared::ProcessShared;

/// The handle of a child process. Cheap to clone, usable from any thread; dropping every handle does not end
/// it.
#[derive(Clone)]
pub struct Process {
    shared: Arc<ProcessShared>,
}

/// A signal that could not be sent (AIO-19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// It has ended.
    #[error("the process has ended")]
    NoSuchProcess,
    /// There is no signal with this number. Those of real time are not known here.
    #[error("there is no signal {0}")]
    UnknownSignal(i32),
    /// The system refused it.
    #[error("cannot send the signal: {0}")]
    Refused(std::io::ErrorKind),
}

/// Getters.
impl Process {
    /// Its id, which is like that of a connection.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.shared.id
    }

    /// The pool that it belongs to.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// The system's number of the process (AIO-17).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.shared.target.pid.get()
    }

    /// Its exit code, or minus the number of the signal that ended it; `None` while it runs (AIO-17).
    #[must_use]
    pub fn returncode(&self) -> Option<i32> {
        self.shared.lock().machine.returncode()
    }

    /// The pipe with this number in the process, as a connection: 0 to send to, with limits, pausing and
    /// `write_eof` as ever, 1 and 2 to pause their reading or to arm other receives. `None`: it is no pipe that
    /// leads here (AIO-18). Its events are told as those of the process. To ask for a receive of an output in sequence,
    /// cancel the one that is always armed first ([`Client::cancel_recv`]).
    #[must_use]
    pub fn pipe(&self, fd: i32) -> Option<Client> {
        self.shared.pipe(fd).cloned()
    }

    /// What it is and does: bytes of all its pipes together.
    #[must_use]
    pub fn info(&self) -> ClientInfo {
        let state = self.shared.lock().machine.state();
        let mut activity = switchboard_core::connection::Snapshot::empty(state);
        for pipe in self.shared.pipes() {
            activity.add(&pipe.info().activity);
        }
        ClientInfo {
            id: self.id(),
            kind: ChannelKind::Process,
            server: None,
            outbound: false,
            local_addr: None,
            peer_addr: None,
            local: None,
            peer: None,
            peer_credentials: None,
            age: clock().saturating_duration_since(self.shared.opened),
            tls: None,
            activity,
        }
    }

    /// Whether it is over, or being brought to its end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !self.shared.lock().machine.is_open()
    }

    /// The actor, for commands as messages; `None` before it has started and after it has ended.
    #[must_use]
    pub fn addr(&self) -> Option<Addr<ProcessActor>> {
        self.shared.actor.get()?.upgrade()
    }

    /// Resolves when it ends, with its exit code or minus the number of the signal; its pipes may be open
    /// still.
    pub async fn wait(&self) -> i32 {
        self.until(|shared| shared.lock().machine.returncode())
            .await
    }

    /// Resolves when it has ended and all of its pipes are closed, with its exit code or minus the number of
    /// the signal.
    pub async fn wait_closed(&self) -> i32 {
        self.until(|shared| {
            let core = shared.lock();
            core.machine.returncode().filter(|_| core.released)
        })
        .await
    }

    async fn until<R>(&self, look: impl Fn(&ProcessShared) -> Option<R>) -> R {
        loop {
            // Made before the look, it does not miss what comes after it.
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look(&self.shared) {
                return found;
            }
            changed.await;
        }
    }

    pub(crate) fn states(&self) -> &States {
        &self.shared.states
    }

    /// Its pipes that lead here.
    pub(crate) fn pipes(&self) -> impl Iterator<Item = &Client> {
        self.shared.pipes()
    }
}

keeps_states!(Process);

/// Sending to its input. Never blocks: bytes are queued, or refused and handed back.
impl Process {
    /// Queues bytes for its input; see [`Client::send`].
    ///
    /// # Errors
    /// See [`SendRefusal`]; [`Closed`](SendRefusal::Closed) if its input is no pipe that leads here. The
    /// payload comes back.
    pub fn send<P: Payload>(&self, payload: P) -> Result<(), SendError<P>> {
        match self.shared.pipe(0) {
            Some(pipe) => pipe.send(payload),
            None => Err(no_input(payload)),
        }
    }

    /// The same, and asks for [`Sent`](crate::message::Sent) with this number.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with<P: Payload>(
        &self,
        payload: P,
        token: impl Into<Token>,
    ) -> Result<(), SendError<P>> {
        match self.shared.pipe(0) {
            Some(pipe) => pipe.send_with(payload, token),
            None => Err(no_input(payload)),
        }
    }

    /// Queues a line for its input; see [`Client::send_line`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_line(&self, line: &(impl AsLine + ?Sized)) -> Result<(), SendRefusal> {
        let pipe = self.shared.pipe(0).ok_or(SendRefusal::Closed)?;
        pipe.send_line(line)
    }

    /// Finishes its input when all that is queued is sent: it reads an end.
    ///
    /// # Errors
    /// When it is closed, finished already, or no pipe that leads here.
    pub fn write_eof(&self) -> Result<(), SendRefusal> {
        let pipe = self.shared.pipe(0).ok_or(SendRefusal::Closed)?;
        pipe.write_eof()
    }
}

/// Ending.
impl Process {
    /// Sends a signal, such as 10 for SIGUSR1; to its whole group if it
    /// [leads one](crate::SpawnProcess::process_group).
    ///
    /// # Errors
    /// When it has ended, the signal is unknown, or the system refuses.
    pub fn signal(&self, number: i32) -> Result<(), SignalError> {
        // Under the lock under which it is waited for: the number is nobody else's meanwhile.
        let core = self.shared.lock();
        if core.machine.returncode().is_some() {
            return Err(SignalError::NoSuchProcess);
        }
        let sent = child::signal(self.shared.target, number);
        drop(core);
        sent.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => SignalError::UnknownSignal(number),
            kind if error.raw_os_error() != Some(libc::ESRCH) => SignalError::Refused(kind),
            _ => SignalError::NoSuchProcess,
        })
    }

    /// Asks it to end (SIGTERM) and does nothing else (AMB-13).
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub fn terminate(&self) -> Result<(), SignalError> {
        self.signal(libc::SIGTERM)
    }

    /// Ends it (SIGKILL) and does nothing else.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub fn kill(&self) -> Result<(), SignalError> {
        self.signal(libc::SIGKILL)
    }

    /// Closes its pipes, its input after what is queued is sent, asks it to end (SIGTERM), and ends it
    /// (SIGKILL) when it has not ended within its [grace](crate::SpawnProcess::grace) (AIO-20). Neither takes
    /// what is queued longer than that, also when somebody else holds its input. `false`: that
    /// was under way already.
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close(&self) -> bool {
        self.close_within(None)
    }

    /// The same, with another grace.
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close_within(&self, grace: Option<Duration>) -> bool {
        self.shared
            .command(|machine, now| machine.close(Cause::LocalClose, grace, now))
    }

    /// Ends it (SIGKILL) and its pipes at once.
    #[allow(
        clippy::must_use_candidate,
        reason = "aborting is the point, the answer a courtesy"
    )]
    pub fn abort(&self) -> bool {
        self.shared
            .command(|machine, _| machine.abort(Cause::LocalAbort))
    }
}

const fn no_input<P>(payload: P) -> SendError<P> {
    SendError {
        refusal: SendRefusal::Closed,
        payload,
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id())
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Process {
    /// Two handles are equal if they stand for the same process.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Process {}

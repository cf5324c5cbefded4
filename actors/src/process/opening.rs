//! How a pool starts child processes.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Handler, Message, MessageResult};
use switchboard_core::process::ProcessMachine;
use switchboard_core::{Cause, Connection, Interests, Now};
use tracing::Span;

use crate::client::{Client, ClientActor, Link, Origin, Shared, clock};
use crate::error::PoolStopped;
use crate::message::{RecvData, RecvLine};
use crate::options::SpawnProcess;
use crate::placement::Share;
use crate::places::Passes;
use crate::pool::{Place, Pool};
use crate::session::{Holder, IntoSession, Outlet, Seat, make_session};
use crate::shard::{Member, ShardActor, ShardLocal};
use crate::telemetry;
use crate::transport;

use super::Process;
use super::actor::{Launch, ProcessActor};
use super::child::{self, Started};
use super::pipe::PipeOf;
use super::shared::ProcessShared;

/// A child process that could not be started (AIO-24).
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}: {source}")]
#[non_exhaustive]
pub struct SpawnError {
    /// The program as it was written.
    pub program: String,
    /// Why: [`NotFound`](io::ErrorKind::NotFound) for a program that is missing,
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for one that may not be run,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for options that cannot work, and more.
    pub source: io::Error,
}

impl SpawnError {
    fn new(program: &str, source: io::Error) -> Self {
        Self {
            program: program.to_owned(),
            source,
        }
    }
}

/// Makes the session of a process and attaches it.
pub(super) type ProcessFactory =
    Arc<dyn Fn(&Process, Member, &Span) -> Result<(Interests, Outlet), Cause> + Send + Sync>;

/// Starting child processes.
impl Pool {
    /// Starts a child process (AIO-17..24). Its session from `session` is told
    /// [`PipeLine`](crate::message::PipeLine) or [`PipeData`](crate::message::PipeData), what became of what it
    /// sends, [`PipeClosed`](crate::message::PipeClosed), [`ProcessExited`](crate::message::ProcessExited), and
    /// [`Closed`](crate::message::Closed) last. Like a connection it is listed, counted against the pool's
    /// limit, drained and stopped; and whatever happens to its session or its thread, it is ended and waited
    /// for. A call that is given up midway may have started it: it is its session's then.
    ///
    /// # Errors
    /// Names the program: it is missing or may not be run, options that cannot work, a draining or stopped pool
    /// or one that is full.
    pub async fn spawn<F, S>(&self, spawn: SpawnProcess, session: F) -> Result<Process, SpawnError>
    where
        F: FnOnce(Process) -> S + Send + 'static,
        S: IntoSession,
    {
        let session = Mutex::new(Some(session));
        let once: ProcessFactory = Arc::new(move |process, member, span| {
            let session = session
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let session = session.ok_or(Cause::NoSession)?;
            let made = make_session(|| session(process.clone()))?;
            Ok(attach(made, process, member, span))
        });
        self.spawn_with(spawn, once).await
    }

    pub(super) async fn spawn_with(
        &self,
        spawn: SpawnProcess,
        factory: ProcessFactory,
    ) -> Result<Process, SpawnError> {
        let target = spawn.target();
        let refused = |error| SpawnError::new(&target, error);
        if let Err(why) = spawn.validate() {
            return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let Place {
            shard,
            passes,
            share,
        } = self.find_place().await.map_err(refused)?;
        let start = StartProcess {
            spawn,
            factory,
            pool: self.clone(),
            passes,
            share,
        };
        let started = self.ask_shard(&shard, start).await.map_err(refused)?;
        started.map_err(refused)
    }
}

pub(super) fn factory<F, S>(session: F) -> ProcessFactory
where
    F: Fn(Process) -> S + Send + Sync + 'static,
    S: IntoSession,
{
    Arc::new(move |process, member, span| {
        let made = make_session(|| session(process.clone()))?;
        Ok(attach(made, process, member, span))
    })
}

fn attach(
    session: impl IntoSession,
    process: &Process,
    member: Member,
    span: &Span,
) -> (Interests, Outlet) {
    session.attach(Seat {
        holder: Holder::Process(process),
        member,
        span,
    })
}

/// Starts a process on this shard.
#[derive(Message)]
#[rtype(result = "io::Result<Process>")]
struct StartProcess {
    spawn: SpawnProcess,
    factory: ProcessFactory,
    pool: Pool,
    passes: Passes,
    share: Share,
}

impl Handler<StartProcess> for ShardActor {
    type Result = MessageResult<StartProcess>;

    fn handle(&mut self, start: StartProcess, _: &mut Self::Context) -> Self::Result {
        MessageResult(begin(start, self.local()))
    }
}

fn begin(start: StartProcess, local: &Rc<ShardLocal>) -> io::Result<Process> {
    let StartProcess {
        spawn,
        factory,
        pool,
        passes,
        share,
    } = start;
    if local.is_stopping() {
        return Err(io::Error::new(io::ErrorKind::NotConnected, PoolStopped));
    }
    let Started {
        child,
        target,
        pipes,
    } = child::start(&spawn)?;
    let there = [0, 1, 2].map(|fd: usize| pipes[fd].is_some());
    let machine = ProcessMachine::new(there, spawn.grace);
    let shared = ProcessShared::new(local.next_id(), pool, target, machine);
    let process = Process { shared };
    let mut links = Vec::new();
    let mut clients = [None, None, None];
    for (fd, descriptor) in (0..).zip(pipes) {
        let Some(descriptor) = descriptor else {
            continue;
        };
        // A failure ends the child, which nobody has.
        let (client, link) = open_pipe(&process, fd, descriptor, &spawn, local)?;
        links.push((client.clone(), link));
        if let Some(place) = usize::try_from(fd).ok().and_then(|fd| clients.get_mut(fd)) {
            *place = Some(client);
        }
    }
    let _ = process.shared.pipes.set(clients);
    let span = telemetry::process_span(process.pool().span(), &process);
    local.opened(process.id());
    let member = local.crew.join();
    let outlet = match factory(&process, local.crew.join(), &span) {
        Ok((_, Outlet::None)) => {
            process.shared.session_gone(Cause::NoSession);
            Outlet::None
        }
        Ok((interests, outlet)) => {
            process.shared.lock().machine.adopt(interests);
            for (client, _) in &links {
                settle(client, interests, &spawn);
            }
            outlet
        }
        Err(cause) => {
            process.shared.session_gone(cause);
            Outlet::None
        }
    };
    for (client, link) in links {
        let launch = crate::client::Launch {
            client,
            link,
            outlet: outlet.of_pipe(),
            entry: None,
            factory: None,
            dialler: None,
            outcome: None,
            lease: None,
            passes: Passes::default(),
            share: local.take_share(),
            span: span.clone(),
        };
        ClientActor::launch(launch, Rc::clone(local));
    }
    let launch = Launch {
        process: process.clone(),
        child,
        outlet,
        passes,
        share,
        span,
    };
    ProcessActor::launch(launch, local, member);
    Ok(process)
}

/// A connection over one of its pipes.
fn open_pipe(
    process: &Process,
    fd: i32,
    descriptor: OwnedFd,
    spawn: &SpawnProcess,
    local: &ShardLocal,
) -> io::Result<(Client, Link)> {
    let (transport, access) = transport::open_pipe(descriptor)?;
    let mut config = spawn.config.clone();
    config.first_receive = None;
    let machine = Connection::accepted(Arc::new(config))
        .with_access(access)
        .without_lingering();
    let origin = Origin::Pipe(Box::new(PipeOf::new(&process.shared, fd)));
    let shared = Shared::new(local.next_id(), process.pool().clone(), origin, machine);
    shared.lock().set_kind(transport.kind());
    Ok((Client::new(shared), Link::Up(transport)))
}

/// The session takes its pipe: from here on it is read, as the session takes it.
fn settle(client: &Client, of_session: Interests, spawn: &SpawnProcess) {
    let Some(pipe) = &client.shared.pipe_of else {
        return;
    };
    let mut now = Now::ask(clock);
    let mut core = client.shared.lock();
    let interests = pipe.interests(of_session);
    core.machine.set_interests(interests);
    if let Err(error) = core.machine.adopt(&mut now) {
        telemetry::not_adopted(client, &error);
    }
    if pipe.is_input() {
        return;
    }
    let receive = spawn.first_receive().cloned().or_else(|| {
        if interests.contains(Interests::LINE) {
            Some(RecvLine::once().always().into())
        } else {
            let data = || RecvData::available().always().into();
            interests.contains(Interests::DATA).then(data)
        }
    });
    if let Some(receive) = receive
        && let Err(error) = core.machine.arm(&receive, &mut now)
    {
        telemetry::not_adopted(client, &error);
    }
}

//! Child processes as supervised children.

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};

use crate::options::SpawnProcess;
use crate::pool::Pool;
use crate::session::IntoSession;
use crate::supervisor::{ChildSpec, Failure};

use super::Process;
use super::opening::{ProcessFactory, factory};

impl ChildSpec {
    /// A child process that is started again as its supervisor says: a permanent one whenever it has ended, a
    /// transient one when it ended with another code than 0, by a signal, or could not be started. To stop it
    /// is to [close](Process::close) it: its own grace should be shorter than this child's.
    pub fn process<F, S>(
        name: impl Into<String>,
        pool: &Pool,
        spawn: SpawnProcess,
        session: F,
    ) -> Self
    where
        F: Fn(Process) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        let (pool, factory) = (pool.clone(), factory(session));
        Self::failing(name, move |failure| Tended {
            pool: pool.clone(),
            spawn: spawn.clone(),
            factory: factory.clone(),
            process: None,
            failure,
        })
    }
}

/// Stands for the process under its supervisor.
struct Tended {
    pool: Pool,
    spawn: SpawnProcess,
    factory: ProcessFactory,
    process: Option<Process>,
    /// Says that, and how, it failed.
    failure: Failure,
}

impl Actor for Tended {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (pool, spawn) = (self.pool.clone(), self.spawn.clone());
        let factory = self.factory.clone();
        let starting = async move { pool.spawn_with(spawn, factory).await };
        ctx.wait(
            starting
                .into_actor(self)
                .map(|started, tended, ctx| match started {
                    Ok(process) => tended.tend(process, ctx),
                    Err(error) => tended.fail(error.to_string(), ctx),
                }),
        );
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> actix::Running {
        let Some(process) = self.process.as_ref().filter(|process| !is_over(process)) else {
            return actix::Running::Stop;
        };
        process.close();
        let process = process.clone();
        let ended = async move { process.wait_closed().await };
        ctx.wait(ended.into_actor(self).map(|_, _, ctx| ctx.stop()));
        actix::Running::Continue
    }
}

impl Tended {
    fn tend(&mut self, process: Process, ctx: &mut Context<Self>) {
        let ended = process.clone();
        let ended = async move { ended.wait_closed().await };
        self.process = Some(process);
        ctx.spawn(ended.into_actor(self).map(|code, tended, ctx| {
            if code == 0 {
                ctx.stop();
            } else {
                tended.fail(format!("the process ended with code {code}"), ctx);
            }
        }));
    }

    fn fail(&self, text: String, ctx: &mut Context<Self>) {
        *self.failure.borrow_mut() = Some(text);
        ctx.stop();
    }
}

fn is_over(process: &Process) -> bool {
    process.shared.lock().machine.is_over()
}

impl Drop for Tended {
    /// Dropped before its time, it takes the process with it.
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.abort();
        }
    }
}

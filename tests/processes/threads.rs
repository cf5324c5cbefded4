//! A shard's thread that ends, and its processes with it.

use std::time::Duration;

use actix_rt::Arbiter;
use switchboard::message::ClientEvent;
use switchboard::prelude::*;
use switchboard::{BackoffConfig, Cause, Process, SpawnProcess};
use switchboard_tests::*;

use super::{STUBBORN, all, end, end_of, exit_of, is_reaped, spawned, witness};

/// Ends its own thread when its child says so.
struct Assassin;

impl Actor for Assassin {
    type Context = SessionContext<Self>;
}

impl Handler<PipeLine> for Assassin {
    type Result = ();

    fn handle(&mut self, _: PipeLine, _: &mut Self::Context) {
        Arbiter::current().stop();
    }
}

session!(Assassin);

/// Records on a thread that lives on.
struct Survivor(Recorder);

impl Actor for Survivor {
    type Context = Context<Self>;
}

macro_rules! survives {
    ($($event:ident)*) => {
        $(impl Handler<$event> for Survivor {
            type Result = ();

            fn handle(&mut self, event: $event, _: &mut Self::Context) {
                self.0.record(event);
            }
        })*
    };
}

survives! { PipeLine PipeClosed ProcessExited Closed }

session!(Survivor);

fn quick() -> BackoffConfig {
    let mut config = BackoffConfig::default();
    (config.min, config.max) = (Duration::from_millis(20), Duration::from_millis(20));
    config
}

/// And whoever is elsewhere is told everything, in order.
#[test]
fn a_thread_that_ends_takes_its_processes_along() {
    for handlers in [false, true] {
        let builder = Pool::builder().shards(1).backoff(quick());
        let totals = with(builder, async |pool| {
            let mut events = watch(&pool);
            let mut probe = Probe::new().partial();
            let survivor = Survivor(probe.recorder()).start();
            let mut victims: Vec<Process> = Vec::new();
            for _ in 0..8 {
                let survivor = survivor.clone();
                let spawn = SpawnProcess::shell(STUBBORN);
                let victim = if handlers {
                    let session = move |_| {
                        Handlers::new()
                            .pipe_line(survivor.clone().recipient())
                            .pipe_closed(survivor.clone().recipient())
                            .process_exited(survivor.clone().recipient())
                            .closed(survivor.recipient())
                    };
                    pool.spawn(spawn, session).await
                } else {
                    pool.spawn(spawn, move |_| survivor).await
                };
                victims.push(victim.unwrap());
            }
            for victim in &victims {
                expect!(probe.of(victim.id()), PipeLine);
            }
            // One whose own session dies with it.
            let own = pool.spawn(SpawnProcess::shell(STUBBORN), witness().0);
            let own = own.await.unwrap();
            let killer = SpawnProcess::shell("echo now; exec sleep 60");
            let killer = pool.spawn(killer, |_| Assassin).await.unwrap();
            next_pool_event(&mut events, |event| {
                matches!(event, PoolEvent::ShardRestarted { .. }).then_some(())
            })
            .await;
            for victim in &victims {
                let mut told = Vec::new();
                while !matches!(told.last(), Some(ClientEvent::Closed(_))) {
                    told.push(probe.of(victim.id()).next().await);
                }
                assert_eq!(end(&told).detail.cause, Cause::RuntimeFailed);
                assert_eq!(exit_of(&told), -9);
                for fd in 0..3 {
                    end_of(&told, fd);
                }
            }
            for process in victims.iter().chain([&own, &killer]) {
                assert_eq!(process.wait_closed().await, -9);
                assert!(process.is_closed());
                until(|| is_reaped(process.pid())).await;
            }
            let (again, mut probe) = spawned(&pool, SpawnProcess::new("true")).await;
            all(&mut probe).await;
            assert_eq!(again.returncode(), Some(0));
        });
        assert_eq!(totals.opened, 11);
    }
}

/// Stands at its first line, until it may go on.
struct Standing {
    recorder: Recorder,
    door: Option<std::sync::mpsc::Receiver<()>>,
}

impl Actor for Standing {
    type Context = Context<Self>;
}

macro_rules! stands {
    ($($event:ident)*) => {
        $(impl Handler<$event> for Standing {
            type Result = ();

            fn handle(&mut self, event: $event, _: &mut Self::Context) {
                self.recorder.record(event);
                if let Some(door) = self.door.take() {
                    // What the test is about; bounded, should the test fail before it opens.
                    let _ = door.recv_timeout(PATIENCE);
                }
            }
        })*
    };
}

stands! { PipeLine PipeClosed ProcessExited Closed }

session!(Standing);

/// AIO-23: also when its session hears of it long after the thread is gone.
#[test]
fn the_end_comes_after_the_pipes_when_the_thread_is_gone() {
    with(Pool::builder().shards(1).backoff(quick()), async |pool| {
        let mut events = watch(&pool);
        let mut probe = Probe::new().partial();
        let (recorder, arbiter) = (probe.recorder(), Arbiter::new());
        let (open, door) = std::sync::mpsc::channel();
        let session = Standing::start_in_arbiter(&arbiter.handle(), move |_| Standing {
            recorder,
            door: Some(door),
        });
        let spawn = SpawnProcess::shell("exec 3<&0; sleep 3 <&3 & echo up; read line; exit 4");
        let process = pool.spawn(spawn, |_| session).await.unwrap();
        expect!(probe, PipeLine);
        process.send("go\n").unwrap();
        assert_eq!(process.wait().await, 4);
        let killer = SpawnProcess::shell("echo now; exec sleep 60");
        pool.spawn(killer, |_| Assassin).await.unwrap();
        next_pool_event(&mut events, |event| {
            matches!(event, PoolEvent::ShardRestarted { .. }).then_some(())
        })
        .await;
        open.send(()).unwrap();
        let told = all(&mut probe).await;
        assert_eq!(exit_of(&told), 4);
        for fd in 0..3 {
            end_of(&told, fd);
        }
        assert_eq!(end(&told).detail.cause, Cause::RuntimeFailed);
        arbiter.stop();
    });
}

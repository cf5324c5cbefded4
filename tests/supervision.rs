//! Supervisors: who is started again, when, with whom, and what happens when that does not help.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use switchboard::testkit::{Simulation, World};
use switchboard::{
    BackoffConfig, ChildSpec, OnEscalation, Pool, PoolEvent, Restart, Strategy, Supervise,
    SuperviseError, Supervisor,
};
use switchboard_tests::{next_pool_event, watch};
use tokio::time::sleep;

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What children do, in order: `+a` is a start, `-a` an end, be it in order, by a panic or dropped.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A child that does as it is told.
struct Child {
    name: &'static str,
    diary: Diary,
    /// How long it takes to end.
    lingers: Duration,
}

impl Actor for Child {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.diary.note(format!("+{}", self.name));
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        if self.lingers.is_zero() {
            return Running::Stop;
        }
        let lingers = std::mem::take(&mut self.lingers);
        ctx.run_later(lingers, |_, ctx| ctx.stop());
        Running::Continue
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.diary.note(format!("-{}", self.name));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
enum Do {
    Panic,
    Stop,
}

impl Handler<Do> for Child {
    type Result = ();

    fn handle(&mut self, order: Do, ctx: &mut Self::Context) {
        match order {
            // A panic of which the hook makes no noise.
            Do::Panic => std::panic::resume_unwind(Box::new("as it was told")),
            Do::Stop => ctx.stop(),
        }
    }
}

fn child(name: &'static str, diary: &Diary) -> ChildSpec {
    let diary = diary.clone();
    ChildSpec::actor(name, move || Child {
        name,
        diary: diary.clone(),
        lingers: Duration::ZERO,
    })
}

/// Pauses without chance: 100 ms, 200 ms, 400 ms.
fn steady() -> BackoffConfig {
    let mut pauses = BackoffConfig::default();
    pauses.jitter = 0.0;
    pauses
}

async fn supervise(world: &World, supervise: Supervise) -> (Pool, Supervisor) {
    let pool = world.pool();
    let supervisor = pool.supervise(supervise.backoff(steady())).await.unwrap();
    // The children have their turn.
    sleep(millis(1)).await;
    (pool, supervisor)
}

fn tell(supervisor: &Supervisor, name: &str, order: Do) {
    supervisor.addr::<Child>(name).unwrap().do_send(order);
}

#[test]
fn a_child_that_panics_is_made_anew_after_a_pause_and_the_others_stay() {
    Simulation::seeded(1).run(|world| async move {
        let diary = Diary::default();
        let children = Supervise::new("house")
            .child(child("a", &diary))
            .child(child("b", &diary));
        let (pool, supervisor) = supervise(&world, children).await;
        let mut events = watch(&pool);
        assert_eq!(diary.take(), ["+a", "+b"]);
        let first = supervisor.addr::<Child>("a").unwrap();
        for (restarts, pause) in [(1, millis(100)), (2, millis(200)), (3, millis(400))] {
            let begun = world.elapsed();
            tell(&supervisor, "a", Do::Panic);
            let (name, told, text) = next_pool_event(&mut events, |event| match event {
                PoolEvent::ChildFailed {
                    child,
                    restart_in,
                    text,
                    ..
                } => Some((child.clone(), *restart_in, text.clone())),
                _ => None,
            })
            .await;
            assert_eq!((name.as_str(), told), ("a", Some(pause)));
            assert_eq!(text, "as it was told");
            assert!(supervisor.addr::<Child>("a").is_none(), "not yet");
            let count = next_pool_event(&mut events, |event| match event {
                PoolEvent::ChildRestarted { restarts, .. } => Some(*restarts),
                _ => None,
            })
            .await;
            assert_eq!(count, restarts);
            let waited = world.elapsed() - begun;
            assert!(waited >= pause && waited < pause + millis(5), "{waited:?}");
        }
        sleep(millis(1)).await;
        assert_eq!(diary.take(), ["-a", "+a"].repeat(3));
        assert!(!first.connected());
        let status = supervisor.status().await;
        assert_eq!((status[0].restarts, status[1].restarts), (3, 0));
        assert!(status.iter().all(|child| child.running));
        assert_eq!(status[0].last_panic.as_deref(), Some("as it was told"));
        pool.stop().await;
        assert_eq!(diary.take(), ["-b", "-a"], "in the reverse order");
        assert!(!supervisor.is_running());
        assert!(supervisor.status().await.is_empty());
    });
}

#[test]
fn permanent_transient_and_temporary_children_differ_in_what_ends_them() {
    Simulation::seeded(1).run(|world| async move {
        let diary = Diary::default();
        let children = Supervise::new("house")
            .child(child("permanent", &diary))
            .child(child("transient", &diary).restart(Restart::Transient))
            .child(child("temporary", &diary).restart(Restart::Temporary));
        let (pool, supervisor) = supervise(&world, children).await;
        let running = async |supervisor: &Supervisor| {
            sleep(millis(500)).await;
            let status = supervisor.status().await;
            status.iter().map(|child| child.running).collect::<Vec<_>>()
        };
        for name in ["permanent", "transient"] {
            tell(&supervisor, name, Do::Panic);
        }
        assert_eq!(running(&supervisor).await, [true, true, true]);
        tell(&supervisor, "temporary", Do::Panic);
        assert_eq!(running(&supervisor).await, [true, true, false]);
        for name in ["permanent", "transient"] {
            tell(&supervisor, name, Do::Stop);
        }
        assert_eq!(running(&supervisor).await, [true, false, false]);
        assert!(supervisor.addr::<Child>("transient").is_none());
        pool.stop().await;
    });
}

#[test]
fn strategies_choose_who_is_started_again_with_it() {
    let cases: [(Strategy, &[&str]); 3] = [
        (Strategy::OneForOne, &["-b", "+b"]),
        (Strategy::RestForOne, &["-b", "-d", "-c", "+b", "+c", "+d"]),
        (
            Strategy::OneForAll,
            &["-b", "-d", "-c", "-a", "+a", "+b", "+c", "+d"],
        ),
    ];
    for (strategy, expected) in cases {
        Simulation::seeded(1).run(|world| async move {
            let diary = Diary::default();
            let mut house = Supervise::new("house").strategy(strategy);
            for name in ["a", "b", "c", "d"] {
                house = house.child(child(name, &diary));
            }
            let (pool, supervisor) = supervise(&world, house).await;
            diary.take();
            tell(&supervisor, "b", Do::Panic);
            sleep(millis(99)).await;
            let ends = expected.iter().filter(|what| what.starts_with('-')).count();
            assert_eq!(
                diary.take(),
                expected[..ends],
                "{strategy:?}, before the pause is over"
            );
            sleep(millis(10)).await;
            assert_eq!(diary.take(), expected[ends..], "{strategy:?}");
            pool.stop().await;
        });
    }
}

/// Who was stopped with another one that waits for its pause is not forgotten.
#[test]
fn a_failure_during_the_pause_of_another_one_brings_all_of_them_back() {
    for strategy in [Strategy::RestForOne, Strategy::OneForAll] {
        Simulation::seeded(1).run(|world| async move {
            let diary = Diary::default();
            let mut house = Supervise::new("house").strategy(strategy);
            for name in ["a", "b", "c", "d"] {
                house = house.child(child(name, &diary));
            }
            let (pool, supervisor) = supervise(&world, house).await;
            tell(&supervisor, "b", Do::Panic);
            sleep(millis(50)).await;
            for name in ["a", "c"] {
                // Where all were stopped with b, nobody is left to fail.
                if let Some(address) = supervisor.addr::<Child>(name) {
                    address.do_send(Do::Panic);
                }
            }
            sleep(millis(500)).await;
            let status = supervisor.status().await;
            let running = status.iter().all(|child| child.running);
            assert!(running, "{strategy:?}: {status:?}");
            pool.stop().await;
        });
    }
}

#[test]
fn over_the_intensity_everything_stops_and_the_pool_with_it() {
    Simulation::seeded(1).run(|world| async move {
        let diary = Diary::default();
        let house = Supervise::new("house")
            .child(child("a", &diary))
            .child(child("b", &diary))
            .intensity(2, Duration::from_secs(60));
        let (pool, supervisor) = supervise(&world, house).await;
        let mut events = watch(&pool);
        for _ in 0..2 {
            tell(&supervisor, "b", Do::Panic);
            sleep(millis(500)).await;
        }
        assert!(pool.is_running());
        tell(&supervisor, "b", Do::Panic);
        let name = next_pool_event(&mut events, |event| match event {
            PoolEvent::Escalated { supervisor } => Some(supervisor.clone()),
            _ => None,
        })
        .await;
        assert_eq!(name, "house");
        pool.stopped().await;
        assert_eq!(
            diary.take(),
            ["+a", "+b", "-b", "+b", "-b", "+b", "-b", "-a"]
        );
        assert!(!supervisor.is_running());
        let refused = pool.supervise(Supervise::new("late")).await.unwrap_err();
        assert!(matches!(refused, SuperviseError::Stopped(_)), "{refused}");
    });
}

#[test]
fn a_supervisor_may_end_without_the_pool() {
    Simulation::seeded(1).run(|world| async move {
        let diary = Diary::default();
        let house = Supervise::new("house")
            .child(child("a", &diary))
            .intensity(0, Duration::from_secs(1))
            .on_escalation(OnEscalation::StopChildren);
        let (pool, supervisor) = supervise(&world, house).await;
        tell(&supervisor, "a", Do::Stop);
        sleep(millis(10)).await;
        assert!(!supervisor.is_running());
        assert!(pool.is_running());
        pool.stop().await;
    });
}

/// A storm of failures is bounded by pauses and intensity: OTP PR 1287 and actix's own supervisor spin.
#[test]
fn a_child_that_cannot_start_is_tried_a_bounded_number_of_times() {
    Simulation::seeded(1).run(|world| async move {
        let tries = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tries);
        let broken = ChildSpec::actor("broken", move || -> Child {
            count.fetch_add(1, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("cannot be made"))
        });
        let house = Supervise::new("house")
            .child(broken)
            .intensity(20, Duration::from_secs(3600));
        let (pool, supervisor) = supervise(&world, house).await;
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(tries.load(Ordering::Relaxed), 4, "after 0.1, 0.3 and 0.7 s");
        let status = supervisor.status().await;
        assert_eq!(status[0].last_panic.as_deref(), Some("cannot be made"));
        pool.stopped().await;
        assert_eq!(tries.load(Ordering::Relaxed), 21);
    });
}

#[test]
fn a_child_that_does_not_stop_in_its_grace_is_dropped() {
    Simulation::seeded(1).run(|world| async move {
        let diary = Diary::default();
        let slow = |name, lingers: Duration| {
            let diary = diary.clone();
            ChildSpec::actor(name, move || Child {
                name,
                diary: diary.clone(),
                lingers,
            })
            .grace(millis(300))
        };
        let house = Supervise::new("house")
            .child(slow("slow", millis(200)))
            .child(slow("stuck", Duration::from_secs(3600)));
        let (_pool, supervisor) = supervise(&world, house).await;
        diary.take();
        let begun = world.elapsed();
        supervisor.stop().await;
        let took = world.elapsed() - begun;
        assert!(took >= millis(500) && took < millis(520), "{took:?}");
        assert_eq!(diary.take(), ["-stuck", "-slow"], "dropped, it ends too");
        supervisor.stop().await;
    });
}

/// A stop without grace has none for supervised children either, also when it comes behind another one.
#[test]
fn a_stop_without_grace_waits_for_no_child() {
    for hurries_later in [false, true] {
        Simulation::seeded(1).run(|world| async move {
            let diary = Diary::default();
            let theirs = diary.clone();
            let stuck = ChildSpec::actor("stuck", move || Child {
                name: "stuck",
                diary: theirs.clone(),
                lingers: Duration::from_secs(3600),
            });
            let house = Supervise::new("house").child(stuck.grace(Duration::from_secs(3600)));
            let (pool, _) = supervise(&world, house).await;
            diary.take();
            let begun = world.elapsed();
            if hurries_later {
                drop(pool.stop());
                sleep(Duration::from_secs(5)).await;
                assert!(pool.stop_report().is_none(), "the child has its grace");
            }
            pool.stop_within(Duration::ZERO).await;
            let took = world.elapsed() - begun;
            assert!(took < Duration::from_secs(6), "{took:?}");
            assert_eq!(diary.take(), ["-stuck"]);
        });
    }
}

#[test]
fn specifications_that_cannot_work_are_refused() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let diary = Diary::default();
        let twins = Supervise::new("x")
            .child(child("a", &diary))
            .child(child("a", &diary));
        let error = pool.supervise(twins).await.unwrap_err();
        assert_eq!(error.to_string(), "two children are named \"a\"");
        let mut pauses = BackoffConfig::default();
        pauses.factor = 0.0;
        let error = pool
            .supervise(Supervise::new("x").backoff(pauses))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("grow by 0"), "{error}");
        pool.stop().await;
    });
}

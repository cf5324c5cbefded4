//! What a guarded actor may do wrong, and what becomes of it.

use std::future::Future;
use std::panic::panic_any;
use std::time::Duration;

use actix::{ActorContext, ActorFutureExt, AsyncContext, Handler, Message, WrapFuture};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an actor panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Nowhere,
    Started,
    Handler,
    Payload,
    Later,
    Spawned,
    Wait,
    Stopping,
    Stopped,
    Drop,
    HandlerAndStopped,
    HandlerAndDrop,
}

struct Panics {
    at: At,
    stopped: mpsc::UnboundedSender<At>,
}

impl Panics {
    fn here(&self, at: At) {
        assert!(self.at != at, "in {at:?}");
    }
}

impl Actor for Panics {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.here(At::Started);
        match self.at {
            At::Later => {
                ctx.run_later(Duration::from_millis(1), |actor, _| actor.here(At::Later));
            }
            At::Spawned => {
                let work = async {}.into_actor(self);
                ctx.spawn(work.map(|(), actor, _| actor.here(At::Spawned)));
            }
            At::Wait => {
                let work = async {}.into_actor(self);
                ctx.wait(work.map(|(), actor, _| actor.here(At::Wait)));
            }
            _ => {}
        }
    }

    fn stopping(&mut self, _: &mut Self::Context) -> actix::Running {
        self.here(At::Stopping);
        actix::Running::Stop
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let _ = self.stopped.send(self.at);
        self.here(At::Stopped);
        assert!(self.at != At::HandlerAndStopped, "once more");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.here(At::Drop);
        assert!(self.at != At::HandlerAndDrop, "once more");
    }
}

/// The payload of a panic that panics when it is dropped.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a payload was dropped");
    }
}

#[derive(Message)]
#[rtype(result = "u8")]
struct Poke;

impl Handler<Poke> for Panics {
    type Result = u8;

    fn handle(&mut self, _: Poke, _: &mut Self::Context) -> u8 {
        self.here(At::Handler);
        if self.at == At::Payload {
            panic_any(PanicsWhenDropped);
        }
        assert!(
            !matches!(self.at, At::HandlerAndStopped | At::HandlerAndDrop),
            "in Handler"
        );
        7
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct End;

impl Handler<End> for Panics {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// An actor under guard, seen from outside.
struct Watched {
    address: Addr<Panics>,
    exits: mpsc::UnboundedReceiver<Exit>,
    stopped: mpsc::UnboundedReceiver<At>,
}

impl Watched {
    fn start(at: At) -> Self {
        let (exit, exits) = mpsc::unbounded_channel();
        let (stop, stopped) = mpsc::unbounded_channel();
        let actor = Panics { at, stopped: stop };
        let address = start_guarded(
            actor,
            Span::none(),
            |_| {},
            move |how| exit.send(how).unwrap(),
        );
        Self {
            address,
            exits,
            stopped,
        }
    }

    /// The one exit that is told: the channel ends behind it.
    async fn exit(&mut self) -> Exit {
        let exit = self.exits.recv().await.expect("the exit is not told");
        assert_eq!(self.exits.recv().await, None, "told twice");
        exit
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let test = async {
        tokio::time::timeout(PATIENCE, test)
            .await
            .expect("the test takes too long");
    };
    LocalSet::new().block_on(&runtime, test);
}

fn panicked(text: &str) -> Exit {
    Exit::Panicked(text.into())
}

/// AC-09, T-05: wherever it happens, the panic is told once, with its text, and a sibling on the
/// same thread goes on.
#[test]
fn a_panic_ends_its_own_actor_and_is_told_once_with_its_text() {
    run(async {
        let sibling = Watched::start(At::Nowhere);
        for at in [
            At::Started,
            At::Handler,
            At::Later,
            At::Spawned,
            At::Wait,
            At::Stopping,
            At::Stopped,
            At::Drop,
        ] {
            let mut watched = Watched::start(at);
            watched.address.do_send(Poke);
            if matches!(at, At::Stopping | At::Stopped | At::Drop) {
                watched.address.do_send(End);
            }
            assert_eq!(watched.exit().await, panicked(&format!("in {at:?}")));
            assert!(!watched.address.connected(), "{at:?}");
            assert_eq!(sibling.address.send(Poke).await.unwrap(), 7, "{at:?}");
        }
    });
}

#[test]
fn an_orderly_stop_is_told_once_as_normal() {
    run(async {
        let mut watched = Watched::start(At::Nowhere);
        assert_eq!(watched.address.send(Poke).await.unwrap(), 7);
        watched.address.do_send(End);
        assert_eq!(watched.exit().await, Exit::Normal);
        assert_eq!(watched.stopped.recv().await, Some(At::Nowhere));
    });
}

#[test]
fn an_actor_that_nobody_can_reach_any_more_ends_normally() {
    run(async {
        let Watched {
            address, mut exits, ..
        } = Watched::start(At::Nowhere);
        address.do_send(Poke);
        drop(address);
        assert_eq!(exits.recv().await, Some(Exit::Normal));
    });
}

/// The hooks of an actor that panicked still run, once, and may panic too.
#[test]
fn a_second_panic_while_the_actor_is_dropped_is_only_a_value() {
    run(async {
        for at in [At::HandlerAndStopped, At::HandlerAndDrop] {
            let mut watched = Watched::start(at);
            let answer = watched.address.send(Poke).await;
            assert!(answer.is_err(), "whoever asked is told that it is gone");
            assert_eq!(watched.exit().await, panicked("in Handler"), "{at:?}");
            assert_eq!(watched.stopped.recv().await, Some(at));
            assert_eq!(watched.stopped.recv().await, None, "stopped ran twice");
        }
    });
}

#[test]
fn a_payload_that_panics_when_dropped_is_never_dropped() {
    run(async {
        let mut watched = Watched::start(At::Payload);
        watched.address.do_send(Poke);
        assert_eq!(watched.exit().await, panicked("a panic without a text"));
    });
}

#[test]
fn a_text_made_at_run_time_is_found_too() {
    let payload = std::panic::catch_unwind(|| panic_any(String::from("made"))).unwrap_err();
    assert_eq!(text_of(&*payload).as_deref(), Some("made"));
    assert_eq!(panic_text(payload), "made");
}

/// What waits in the mailbox of an actor that panicked is dropped, and whoever waits for it is told.
#[test]
fn messages_behind_the_fatal_one_are_answered_with_an_error() {
    run(async {
        let mut watched = Watched::start(At::Handler);
        let fatal = watched.address.send(Poke);
        let behind = watched.address.send(End);
        let (fatal, behind) = tokio::join!(fatal, behind);
        assert!(fatal.is_err() && behind.is_err());
        assert_eq!(watched.exit().await, panicked("in Handler"));
    });
}

/// A thread that ends takes its actors with it: `stopped` runs, and the exit is told as normal.
#[test]
fn dropping_the_local_set_is_a_normal_exit() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let set = LocalSet::new();
    let mut watched = set.block_on(&runtime, async {
        let watched = Watched::start(At::Nowhere);
        assert_eq!(watched.address.send(Poke).await.unwrap(), 7);
        watched
    });
    drop(set);
    assert_eq!(watched.stopped.try_recv(), Ok(At::Nowhere));
    assert_eq!(watched.exits.try_recv(), Ok(Exit::Normal));
    assert!(watched.exits.try_recv().is_err());
    assert!(!watched.address.connected());
}

#[test]
fn a_local_set_is_dropped_in_spite_of_actors_that_panic_then() {
    for at in [At::Stopped, At::Drop] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let set = LocalSet::new();
        let (mut bad, mut good) = set.block_on(&runtime, async {
            let pair = (Watched::start(at), Watched::start(At::Nowhere));
            assert_eq!(pair.0.address.send(Poke).await.unwrap(), 7);
            assert_eq!(pair.1.address.send(Poke).await.unwrap(), 7);
            pair
        });
        drop(set);
        assert_eq!(bad.exits.try_recv(), Ok(panicked(&format!("in {at:?}"))));
        assert_eq!(good.exits.try_recv(), Ok(Exit::Normal));
    }
}

//! A session in its own context does what it would do in actix's: the same scripts are played in both.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use actix::{Addr, Context, Handler, Message, WrapFuture};
use tokio::sync::oneshot;

use crate::context::run::*;

/// What a session does, in a handler or a future.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Spawns a future that ends when its gate opens.
    Spawn,
    SpawnReady,
    /// Waits until a gate opens.
    Wait,
    WaitReady,
    /// Cancels the future that was spawned last.
    Cancel,
    /// A spawned future cancels itself.
    CancelSelf,
    /// Sends itself a message by its address.
    Send,
    Notify,
    KeepAddress,
    DropAddress,
    Stop,
    Terminate,
}

const ACTS: [Act; 12] = [
    Act::Spawn,
    Act::SpawnReady,
    Act::Wait,
    Act::WaitReady,
    Act::Cancel,
    Act::CancelSelf,
    Act::Send,
    Act::Notify,
    Act::KeepAddress,
    Act::DropAddress,
    Act::Stop,
    Act::Terminate,
];

/// What happens to a session.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// An event makes it act.
    Event(Act),
    /// The same in a future that it spawns or waits for.
    EventSpawns(Act),
    EventWaits(Act),
    /// A message from elsewhere, if its address is known there, makes it act.
    Message(Act),
    OpenGate,
    /// There will be no more events.
    EndOfEvents,
    /// There will be no more events, and that stops it.
    LastEvent,
}

fn steps(acts: &[Act]) -> Vec<Step> {
    let mut steps = vec![Step::OpenGate, Step::EndOfEvents, Step::LastEvent];
    for &act in acts {
        steps.extend([
            Step::Event(act),
            Step::EventSpawns(act),
            Step::EventWaits(act),
            Step::Message(act),
        ]);
    }
    steps
}

/// What a session and its events share with whoever plays the script.
struct Stage<S: Actor> {
    log: Vec<String>,
    events: VecDeque<Event>,
    reader: Option<Waker>,
    gates: VecDeque<(usize, oneshot::Sender<()>)>,
    numbers: usize,
    handle: SpawnHandle,
    address: Option<Addr<S>>,
    /// How often it does not want to stop.
    refusals: usize,
}

type Shared<S> = Rc<RefCell<Stage<S>>>;

#[derive(Debug, Clone, Copy)]
enum Event {
    Act(Act),
    Spawns(Act),
    Waits(Act),
    End,
    Last,
}

/// Comes by the mailbox or to itself.
#[derive(Message)]
#[rtype(result = "()")]
struct Told(Option<Act>, usize);

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A session that acts, in one context or the other.
macro_rules! player {
    ($name:ident, $context:ident) => {
        mod $name {
            use super::*;

            pub(super) struct Player {
                stage: Shared<Player>,
            }

            type Ctx = $context<Player>;

            impl Player {
                fn log(&self, what: impl Debug) {
                    self.stage.borrow_mut().log.push(format!("{what:?}"));
                }

                fn number(&self) -> usize {
                    let mut stage = self.stage.borrow_mut();
                    stage.numbers += 1;
                    stage.numbers
                }

                fn gate(&self) -> (usize, oneshot::Receiver<()>) {
                    let number = self.number();
                    let (open, gate) = oneshot::channel();
                    self.stage.borrow_mut().gates.push_back((number, open));
                    (number, gate)
                }

                fn act(&mut self, act: Act, ctx: &mut Ctx) {
                    self.log((act, ctx.state(), ctx.waiting()));
                    match act {
                        Act::Spawn | Act::Wait => {
                            let (number, gate) = self.gate();
                            let stage = Rc::clone(&self.stage);
                            let future = async move {
                                let _ = gate.await;
                                let done = format!("{act:?} {number} is done");
                                stage.borrow_mut().log.push(done);
                            };
                            let future = future.into_actor(self);
                            if matches!(act, Act::Wait) {
                                ctx.wait(future);
                            } else {
                                self.stage.borrow_mut().handle = ctx.spawn(future);
                            }
                        }
                        Act::SpawnReady | Act::WaitReady => {
                            let number = self.number();
                            let stage = Rc::clone(&self.stage);
                            let future = async move {
                                stage.borrow_mut().log.push(format!("{act:?} {number}"));
                            };
                            let future = future.into_actor(self);
                            if matches!(act, Act::WaitReady) {
                                ctx.wait(future);
                            } else {
                                self.stage.borrow_mut().handle = ctx.spawn(future);
                            }
                        }
                        Act::Cancel => {
                            let handle = self.stage.borrow().handle;
                            let cancelled = ctx.cancel_future(handle);
                            self.log(cancelled);
                        }
                        // Only what was spawned has a handle of its own in both.
                        Act::CancelSelf => {}
                        Act::Send => {
                            let number = self.number();
                            ctx.address().do_send(Told(None, number));
                        }
                        Act::Notify => {
                            let number = self.number();
                            ctx.notify(Told(None, number));
                        }
                        Act::KeepAddress => {
                            let address = ctx.address();
                            self.log(address.connected());
                            self.stage.borrow_mut().address = Some(address);
                        }
                        Act::DropAddress => {
                            let address = self.stage.borrow_mut().address.take();
                            drop(address);
                        }
                        Act::Stop => ctx.stop(),
                        Act::Terminate => ctx.terminate(),
                    }
                }
            }

            impl Actor for Player {
                type Context = Ctx;

                fn started(&mut self, ctx: &mut Ctx) {
                    self.log(("started", ctx.waiting()));
                }

                fn stopping(&mut self, ctx: &mut Ctx) -> Running {
                    self.log(("stopping", ctx.state(), ctx.waiting()));
                    let mut stage = self.stage.borrow_mut();
                    if stage.refusals > 0 {
                        stage.refusals -= 1;
                        return Running::Continue;
                    }
                    Running::Stop
                }

                fn stopped(&mut self, ctx: &mut Ctx) {
                    self.log(("stopped", ctx.state(), ctx.waiting()));
                }
            }

            impl Handler<Told> for Player {
                type Result = ();

                fn handle(&mut self, Told(act, number): Told, ctx: &mut Ctx) {
                    self.log(("told", number, ctx.state()));
                    if let Some(act) = act {
                        self.act(act, ctx);
                    }
                }
            }

            /// Does once what it is to do; whether it was spawned.
            struct Does(Option<Act>, bool);

            impl ActorFuture<Player> for Does {
                type Output = ();

                fn poll(
                    mut self: Pin<&mut Self>,
                    player: &mut Player,
                    ctx: &mut Ctx,
                    _: &mut TaskContext<'_>,
                ) -> Poll<()> {
                    if let Some(act) = self.0.take() {
                        player.act(act, ctx);
                        if matches!(act, Act::CancelSelf) && self.1 {
                            ctx.cancel_future(ctx.handle());
                            return Poll::Pending;
                        }
                    }
                    Poll::Ready(())
                }
            }

            /// What stands for the events of a connection.
            struct Events;

            impl ActorFuture<Player> for Events {
                type Output = ();

                fn poll(
                    self: Pin<&mut Self>,
                    player: &mut Player,
                    ctx: &mut Ctx,
                    cx: &mut TaskContext<'_>,
                ) -> Poll<()> {
                    loop {
                        if ctx.waiting() {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        player.stage.borrow_mut().reader = Some(cx.waker().clone());
                        let event = player.stage.borrow_mut().events.pop_front();
                        match event {
                            None => return Poll::Pending,
                            Some(Event::Act(act)) => player.act(act, ctx),
                            Some(Event::Spawns(act)) => {
                                player.stage.borrow_mut().handle = ctx.spawn(Does(Some(act), true));
                            }
                            Some(Event::Waits(act)) => ctx.wait(Does(Some(act), false)),
                            Some(Event::End) => return Poll::Ready(()),
                            Some(Event::Last) => {
                                ctx.stop();
                                return Poll::Ready(());
                            }
                        }
                    }
                }
            }

            /// What happens step by step, and at last when it is dropped, each in no order.
            pub(super) fn play(script: &[Step], refusals: usize) -> Vec<Vec<String>> {
                let stage = Rc::new(RefCell::new(Stage {
                    log: Vec::new(),
                    events: VecDeque::new(),
                    reader: None,
                    gates: VecDeque::new(),
                    numbers: 0,
                    handle: SpawnHandle::default(),
                    address: None,
                    refusals,
                }));
                let player = Player {
                    stage: Rc::clone(&stage),
                };
                let woken = Arc::new(Woken(AtomicBool::new(true)));
                let waker = Waker::from(Arc::clone(&woken));
                let mut future = Some(super::$name(player, Events));
                let mut seen = Vec::new();
                let mut run = |seen: &mut Vec<Vec<String>>| {
                    let mut polls = 0;
                    while woken.0.swap(false, Ordering::Relaxed)
                        && let Some(running) = &mut future
                    {
                        polls += 1;
                        if polls > 50 {
                            break;
                        }
                        let mut cx = TaskContext::from_waker(&waker);
                        if Pin::new(running).poll(&mut cx).is_ready() {
                            future = None;
                            stage.borrow_mut().log.push("over".into());
                        }
                    }
                    let mut log = std::mem::take(&mut stage.borrow_mut().log);
                    log.sort();
                    seen.push(log);
                };
                run(&mut seen);
                for (number, step) in script.iter().enumerate() {
                    let tell = |event| {
                        stage.borrow_mut().events.push_back(event);
                        let reader = stage.borrow_mut().reader.take();
                        if let Some(reader) = reader {
                            reader.wake();
                        }
                    };
                    match *step {
                        Step::Event(act) => tell(Event::Act(act)),
                        Step::EventSpawns(act) => tell(Event::Spawns(act)),
                        Step::EventWaits(act) => tell(Event::Waits(act)),
                        Step::EndOfEvents => tell(Event::End),
                        Step::LastEvent => tell(Event::Last),
                        Step::Message(act) => {
                            let address = stage.borrow().address.clone();
                            if let Some(address) = address {
                                address.do_send(Told(Some(act), 1000 + number));
                            }
                        }
                        Step::OpenGate => {
                            let gate = stage.borrow_mut().gates.pop_front();
                            if let Some((_, open)) = gate {
                                let _ = open.send(());
                            }
                        }
                    }
                    run(&mut seen);
                }
                drop(future);
                let mut log = std::mem::take(&mut stage.borrow_mut().log);
                log.sort();
                seen.push(log);
                // Whoever has its address may be part of a circle.
                stage.borrow_mut().address = None;
                seen
            }
        }
    };
}

player!(ours, SessionContext);
player!(actixs, Context);

fn ours<E>(player: ours::Player, events: E) -> SessionFuture<ours::Player, E>
where
    E: ActorFuture<ours::Player, Output = ()> + Unpin + 'static,
{
    SessionFuture::new(player, SessionContext::new(), events)
}

fn actixs<E>(player: actixs::Player, events: E) -> impl Future<Output = ()> + Unpin
where
    E: ActorFuture<actixs::Player, Output = ()> + Unpin + 'static,
{
    let mut ctx = Context::new();
    ctx.spawn(events);
    ctx.into_future(player)
}

fn compare(script: &[Step], refusals: usize) {
    let (ours, theirs) = (ours::play(script, refusals), actixs::play(script, refusals));
    assert_eq!(ours, theirs, "{script:?}, {refusals} refusals");
}

#[test]
fn three_steps_of_any_kind_are_as_with_actix() {
    let steps = steps(&ACTS);
    for first in &steps {
        for second in &steps {
            for third in &steps {
                compare(&[*first, *second, *third], 0);
            }
        }
    }
}

/// Here what was spawned is polled in the order in which it was spawned, and what was cancelled never again; with
/// actix in any order, and perhaps once more. So what happens is the same, but not when.
#[test]
fn many_steps_bring_the_same_as_with_actix() {
    let acts = [
        Act::Spawn,
        Act::SpawnReady,
        Act::Wait,
        Act::WaitReady,
        Act::CancelSelf,
        Act::Send,
        Act::Notify,
    ];
    let mut steps = steps(&acts);
    steps.retain(|step| !matches!(step, Step::EndOfEvents | Step::LastEvent));
    let last = [
        Step::LastEvent,
        Step::Event(Act::Stop),
        Step::Event(Act::Terminate),
    ];
    // Any numbers will do that differ.
    let mut seed = 8_u64;
    let mut below = |limit: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % limit
    };
    for _ in 0..20_000 {
        let length = 4 + below(9);
        let mut script = vec![Step::Event(Act::KeepAddress)];
        script.extend((0..length).map(|_| steps[below(steps.len())]));
        script.resize(2 * length + 2, Step::OpenGate);
        script.push(last[below(last.len())]);
        let refusals = below(3);
        let (ours, theirs) = (
            ours::play(&script, refusals),
            actixs::play(&script, refusals),
        );
        assert_eq!(what(ours), what(theirs), "{script:?}, {refusals} refusals");
    }
}

/// What has happened, without when, which and in what state.
fn what(seen: Vec<Vec<String>>) -> Vec<String> {
    let without = |entry: String| {
        let mut parts = entry.split(|c: char| c == ',' || c.is_ascii_digit());
        parts.next().unwrap_or_default().to_owned()
    };
    let mut all: Vec<String> = seen.into_iter().flatten().map(without).collect();
    all.sort();
    all
}

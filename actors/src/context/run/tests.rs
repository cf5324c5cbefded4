//! What a session's own context does of itself.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use actix::{ActorFutureExt, Handler, Message};

use super::*;

mod as_with_actix;

#[derive(Message)]
#[rtype(result = "()")]
struct Told;

#[test]
fn whoever_panics_at_a_message_still_has_its_address_when_it_is_stopped() {
    struct Fails(Rc<RefCell<Vec<bool>>>);
    impl Actor for Fails {
        type Context = SessionContext<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            let address = ctx.address();
            self.0.borrow_mut().push(address.connected());
            address.do_send(Told);
        }

        fn stopped(&mut self, ctx: &mut Self::Context) {
            self.0.borrow_mut().push(ctx.address().connected());
        }
    }
    impl Handler<Told> for Fails {
        type Result = ();

        fn handle(&mut self, _: Told, _: &mut Self::Context) {
            panic!("at a message");
        }
    }
    let told = Rc::new(RefCell::new(Vec::new()));
    let session = Fails(Rc::clone(&told));
    let events = actix::fut::wrap_future(std::future::pending());
    let mut future = SessionFuture::new(session, SessionContext::new(), events);
    let mut cx = TaskContext::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(&mut cx)));
    assert!(polled.is_err());
    drop(future);
    assert_eq!(*told.borrow(), [true, true]);
}

/// A session that runs what it is told to.
struct Runs;

impl Actor for Runs {
    type Context = SessionContext<Self>;
}

type RunsContext = SessionContext<Runs>;

/// A future of one closure.
struct Polls<F>(F);

impl<F> ActorFuture<Runs> for Polls<F>
where
    F: FnMut(&mut Runs, &mut RunsContext) -> Poll<()> + Unpin,
{
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        session: &mut Runs,
        ctx: &mut RunsContext,
        _: &mut TaskContext<'_>,
    ) -> Poll<()> {
        (self.0)(session, ctx)
    }
}

/// Polls a session whose first event is `act`, and again `times` times.
fn run(act: impl FnOnce(&mut Runs, &mut RunsContext) + Unpin + 'static, times: usize) {
    let mut act = Some(act);
    let events = Polls(move |session: &mut Runs, ctx: &mut RunsContext| {
        if let Some(act) = act.take() {
            act(session, ctx);
        }
        Poll::Pending
    });
    let mut future = SessionFuture::new(Runs, SessionContext::new(), events);
    let mut cx = TaskContext::from_waker(Waker::noop());
    for _ in 0..=times {
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
    }
}

#[test]
fn what_was_cancelled_is_dropped_and_never_polled_again() {
    let polls = Rc::new(RefCell::new(Vec::new()));
    let polled = Rc::clone(&polls);
    run(
        move |_, ctx| {
            let count = |number: usize| {
                let polled = Rc::clone(&polled);
                Polls(move |_: &mut Runs, _: &mut RunsContext| {
                    polled.borrow_mut().push(number);
                    Poll::Pending
                })
            };
            ctx.spawn(count(1));
            let second = ctx.spawn(count(2));
            let third = ctx.spawn(count(3));
            // Those before and after it, from within, and one that nobody has.
            let cancels = move |_: &mut Runs, ctx: &mut RunsContext| {
                ctx.cancel_future(second);
                ctx.cancel_future(ctx.handle().next().next());
                Poll::Ready(())
            };
            ctx.spawn(Polls(cancels));
            ctx.spawn(count(5));
            assert!(ctx.cancel_future(third));
        },
        2,
    );
    assert_eq!(*polls.borrow(), [1, 2, 5, 1, 5, 1, 5]);
    assert_eq!(Rc::strong_count(&polls), 1);
}

#[test]
fn each_of_what_was_spawned_is_polled_in_order_though_each_makes_it_wait() {
    let polls = Rc::new(RefCell::new(Vec::new()));
    let polled = Rc::clone(&polls);
    run(
        move |_, ctx| {
            for number in 0..4 {
                let polled = Rc::clone(&polled);
                let waits = move |_: &mut Runs, ctx: &mut RunsContext| {
                    polled.borrow_mut().push(number);
                    if polled.borrow().len() <= 8 {
                        ctx.wait(actix::fut::ready(()));
                    }
                    Poll::Pending
                };
                ctx.spawn(Polls(waits));
            }
        },
        0,
    );
    assert_eq!(polls.borrow()[..8], [0, 1, 2, 3, 0, 1, 2, 3]);
}

/// Whoever minds waits until there is room; actix lets one more in for each sender.
#[test]
fn a_mailbox_holds_as_many_as_is_said() {
    for told_before in [true, false] {
        run(
            move |_, ctx| {
                let set = |ctx: &mut RunsContext| ctx.set_mailbox_capacity(3);
                if told_before {
                    set(ctx);
                }
                let address = ctx.address();
                if !told_before {
                    set(ctx);
                }
                let sent = (0..).take_while(|_| address.try_send(Told).is_ok());
                assert_eq!(sent.count(), 3);
            },
            0,
        );
    }
}

impl Handler<Told> for Runs {
    type Result = ();

    fn handle(&mut self, _: Told, _: &mut RunsContext) {}
}

/// A future that does not end, and says when it is dropped.
struct Stays(Rc<RefCell<Vec<&'static str>>>);

impl Drop for Stays {
    fn drop(&mut self) {
        self.0.borrow_mut().push("dropped");
    }
}

impl ActorFuture<Runs> for Stays {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Runs,
        _: &mut RunsContext,
        _: &mut TaskContext<'_>,
    ) -> Poll<()> {
        Poll::Pending
    }
}

/// Lets a session have five rounds in which everything that `part` is makes it wait; how often it had an event.
fn events_beside(part: fn(&mut RunsContext)) -> usize {
    let events = Rc::new(RefCell::new(0));
    let counted = Rc::clone(&events);
    let polled = Polls(move |_: &mut Runs, ctx: &mut RunsContext| {
        let mut count = counted.borrow_mut();
        *count += 1;
        if *count == 1 {
            part(ctx);
        }
        // What an `AtomicResponse` does.
        ctx.wait(actix::fut::ready(()));
        if *count == 5 {
            ctx.terminate();
        }
        Poll::Pending
    });
    let mut future = SessionFuture::new(Runs, SessionContext::new(), polled);
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(Pin::new(&mut future).poll(&mut cx).is_ready());
    *events.borrow()
}

#[test]
fn whatever_makes_it_wait_over_and_over_keeps_no_event_from_it() {
    let spawned = |ctx: &mut RunsContext| {
        ctx.spawn(Polls(|_: &mut Runs, ctx: &mut RunsContext| {
            ctx.wait(actix::fut::ready(()));
            Poll::Pending
        }));
    };
    assert_eq!(events_beside(spawned), 5);
    let messages = |ctx: &mut RunsContext| {
        for _ in 0..1_000 {
            ctx.address().do_send(Waits);
        }
    };
    assert_eq!(events_beside(messages), 5);
}

#[derive(Message)]
#[rtype(result = "()")]
struct Waits;

impl Handler<Waits> for Runs {
    type Result = ();

    fn handle(&mut self, _: Waits, ctx: &mut RunsContext) {
        ctx.wait(actix::fut::ready(()));
    }
}

/// Else the one would never be woken if it needs what the other does.
#[test]
fn what_is_waited_for_while_it_waits_comes_first() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let tell = Rc::clone(&told);
    run(
        move |_, ctx| {
            let mut polls = 0;
            ctx.wait(Polls(move |_: &mut Runs, ctx: &mut RunsContext| {
                polls += 1;
                tell.borrow_mut().push(polls);
                if polls == 2 {
                    return Poll::Ready(());
                }
                let tell = Rc::clone(&tell);
                ctx.wait(Polls(move |_: &mut Runs, _: &mut RunsContext| {
                    tell.borrow_mut().push(10);
                    Poll::Ready(())
                }));
                Poll::Pending
            }));
        },
        0,
    );
    assert_eq!(*told.borrow(), [1, 10, 2]);
}

#[test]
fn what_an_event_cancels_after_a_wait_is_dropped_at_once() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let stays = Stays(Rc::clone(&told));
    run(
        move |_, ctx| {
            let handle = ctx.spawn(stays);
            ctx.wait(
                actix::fut::ready(()).map(move |(), _: &mut Runs, ctx: &mut RunsContext| {
                    ctx.cancel_future(handle);
                }),
            );
        },
        0,
    );
    assert_eq!(*told.borrow(), ["dropped"]);
}

/// Else what is beside it would be dropped while the panic goes on, where another panic aborts the process.
#[test]
fn what_is_beside_a_future_that_panics_outlives_the_panic() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let (before, after) = (Stays(Rc::clone(&told)), Stays(Rc::clone(&told)));
    let mut spawns = Some((before, after));
    let events = Polls(move |_: &mut Runs, ctx: &mut RunsContext| {
        if let Some((before, after)) = spawns.take() {
            ctx.spawn(before);
            ctx.spawn(Polls(|_: &mut Runs, _: &mut RunsContext| {
                panic!("in a future")
            }));
            ctx.spawn(after);
        }
        Poll::Pending
    });
    let mut future = SessionFuture::new(Runs, SessionContext::new(), events);
    let mut cx = TaskContext::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(&mut cx)));
    assert!(polled.is_err());
    assert!(told.borrow().is_empty());
    drop(future);
    assert_eq!(*told.borrow(), ["dropped", "dropped"]);
}

/// How a session ends that says no the first times that it is asked.
#[test]
fn what_it_does_when_it_does_not_want_to_stop_yet_counts() {
    struct Refuses(Rc<RefCell<Vec<&'static str>>>);
    impl Actor for Refuses {
        type Context = SessionContext<Self>;

        fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
            let mut told = self.0.borrow_mut();
            told.push("stopping");
            match told.len() {
                1 => ctx.address().do_send(Told),
                3 => ctx.terminate(),
                _ => {}
            }
            Running::Continue
        }

        fn stopped(&mut self, _: &mut Self::Context) {
            self.0.borrow_mut().push("stopped");
        }
    }
    impl Handler<Told> for Refuses {
        type Result = ();

        fn handle(&mut self, _: Told, ctx: &mut Self::Context) {
            self.0.borrow_mut().push("told");
            ctx.stop();
        }
    }
    let told = Rc::new(RefCell::new(Vec::new()));
    let session = Refuses(Rc::clone(&told));
    let events = actix::fut::ready(());
    let mut future = SessionFuture::new(session, SessionContext::new(), events);
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(Pin::new(&mut future).poll(&mut cx).is_ready());
    assert_eq!(*told.borrow(), ["stopping", "told", "stopping", "stopped"]);
}

#[test]
fn whoever_panics_when_it_starts_is_not_told_that_it_stops() {
    struct Fails(Rc<RefCell<Vec<&'static str>>>);
    impl Actor for Fails {
        type Context = SessionContext<Self>;

        fn started(&mut self, _: &mut Self::Context) {
            panic!("when it starts");
        }

        fn stopped(&mut self, _: &mut Self::Context) {
            self.0.borrow_mut().push("stopped");
        }
    }
    let told = Rc::new(RefCell::new(Vec::new()));
    let events = actix::fut::wrap_future(std::future::pending());
    let session = Fails(Rc::clone(&told));
    let mut future = SessionFuture::new(session, SessionContext::new(), events);
    let mut cx = TaskContext::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(&mut cx)));
    assert!(polled.is_err());
    drop(future);
    assert!(told.borrow().is_empty());
}

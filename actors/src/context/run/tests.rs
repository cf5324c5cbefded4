//! What a session's own context does of itself.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use actix::{AsyncContext, Handler, Message};

use super::*;

mod as_with_actix;

#[derive(Message)]
#[rtype(result = "()")]
struct Told;

/// What it is asked for stays the same where the mailbox is gone.
#[test]
fn the_address_of_whoever_panicked_at_a_message_is_that_of_nobody() {
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
    assert_eq!(*told.borrow(), [true, false]);
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

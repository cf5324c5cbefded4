use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;
use std::time::{Duration, Instant};

use switchboard_core::Connection;
use switchboard_core::config::ConnectionConfig;

use super::*;
use crate::client::Origin;
use crate::pool::Pool;

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test with what makes connections that nobody runs.
fn with_connections<T: Future<Output = ()>>(test: impl FnOnce(Rc<dyn Fn() -> Client>) -> T) {
    actix_rt::System::new().block_on(async move {
        let pool = Pool::builder().shards(1).start().unwrap();
        let ids = switchboard_core::IdSource::new(0);
        let of = pool.clone();
        let make = move || {
            let machine = Connection::accepted(Arc::new(ConnectionConfig::default()));
            Client::new(Shared::new(
                ids.client(),
                of.clone(),
                Origin::Outbound,
                machine,
            ))
        };
        test(Rc::new(make)).await;
        pool.stop().await;
    });
}

/// What is seen of the two, in order.
type Log = Rc<RefCell<Vec<&'static str>>>;

/// A future that does as it is told, as those see it that tell it.
#[derive(Default)]
struct Strings {
    waker: RefCell<Option<Waker>>,
    /// Whether it ends the next time.
    ends: Cell<bool>,
    /// Done in its next poll.
    next: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Strings {
    fn waker(&self) -> Waker {
        self.waker.borrow().clone().expect("it was polled")
    }

    fn next(&self, next: impl FnOnce() + 'static) {
        *self.next.borrow_mut() = Some(Box::new(next));
    }
}

/// A future on strings.
struct Puppet {
    polled: &'static str,
    dropped: &'static str,
    strings: Rc<Strings>,
    log: Log,
}

impl Future for Puppet {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.log.borrow_mut().push(self.polled);
        *self.strings.waker.borrow_mut() = Some(cx.waker().clone());
        let next = self.strings.next.take();
        if let Some(next) = next {
            next();
        }
        if self.strings.ends.get() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.log.borrow_mut().push(self.dropped);
    }
}

/// How often the task was woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pair on strings, and the task that it would have.
struct Stage {
    pair: Pair<Puppet>,
    session: Rc<Strings>,
    actor: Rc<Strings>,
    log: Log,
    task: Arc<Task>,
}

impl Stage {
    fn new(client: &Client) -> Self {
        let log = Log::default();
        let puppet = |polled, dropped| {
            let strings = Rc::<Strings>::default();
            let puppet = Puppet {
                polled,
                dropped,
                strings: Rc::clone(&strings),
                log: Rc::clone(&log),
            };
            (puppet, strings)
        };
        let (of_session, session) = puppet("session", "session dropped");
        let (of_actor, actor) = puppet("actor", "actor dropped");
        let shared = Arc::clone(&client.shared);
        Self {
            pair: Pair::new(of_actor, Box::new(of_session), shared),
            session,
            actor,
            log,
            task: Arc::default(),
        }
    }

    /// One that has begun, and waits.
    fn begun(client: &Client) -> Self {
        let mut stage = Self::new(client);
        assert!(stage.poll().is_pending());
        stage.seen();
        assert!(!stage.is_woken());
        stage
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.task));
        Pin::new(&mut self.pair).poll(&mut Context::from_waker(&waker))
    }

    /// What was seen since the last look.
    fn seen(&self) -> Vec<&'static str> {
        self.log.take()
    }

    /// Whether the task was woken since the last look.
    fn is_woken(&self) -> bool {
        self.task.0.swap(0, Ordering::Relaxed) > 0
    }

    /// Polls as the runtime does, until nothing wakes the task; how it stands then.
    fn run(&mut self) -> Poll<()> {
        let mut stand = Poll::Pending;
        let mut polls = 0;
        while self.is_woken() {
            stand = self.poll();
            polls += 1;
            assert!(polls < 10, "it wakes itself for ever");
        }
        stand
    }
}

#[test]
fn at_the_beginning_the_session_is_first_and_later_who_was_woken() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let mut stage = Stage::new(&make());
        assert!(stage.poll().is_pending());
        assert_eq!(stage.seen(), ["session", "actor"]);
        stage.session.waker().wake();
        assert!(stage.run().is_pending());
        assert_eq!(stage.seen(), ["session"], "the actor was not woken");
        stage.actor.waker().wake();
        assert!(stage.run().is_pending());
        assert_eq!(stage.seen(), ["actor", "session"]);
        stage.session.waker().wake();
        assert!(stage.run().is_pending());
        assert_eq!(stage.seen(), ["session"], "one wake, one poll");
    });
}

#[test]
fn the_actor_lives_on_without_its_session() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let mut stage = Stage::begun(&make());
        let earlier = stage.actor.waker();
        stage.session.ends.set(true);
        stage.session.waker().wake();
        assert!(stage.run().is_pending());
        assert_eq!(stage.seen(), ["session", "session dropped", "actor"]);
        // It is woken by the waker that others still have, and by the one that it has now.
        earlier.wake();
        assert!(stage.run().is_pending());
        assert_eq!(stage.seen(), ["actor"]);
        stage.actor.ends.set(true);
        stage.actor.waker().wake();
        assert!(stage.run().is_ready());
        assert_eq!(stage.seen(), ["actor", "actor dropped"]);
    });
}

#[test]
fn the_session_lives_on_without_its_actor() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let mut stage = Stage::begun(&make());
        let earlier = stage.actor.waker();
        stage.actor.ends.set(true);
        earlier.wake_by_ref();
        assert!(stage.run().is_pending());
        assert_eq!(stage.seen(), ["actor", "actor dropped", "session"]);
        // Who wakes the actor that is gone does no harm.
        earlier.wake();
        assert!(stage.run().is_pending());
        assert_eq!(stage.seen(), ["session"]);
        stage.session.ends.set(true);
        stage.session.waker().wake();
        assert!(stage.run().is_ready());
        assert_eq!(stage.seen(), ["session", "session dropped"]);
    });
}

#[test]
fn both_may_end_in_one_poll() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let mut stage = Stage::new(&make());
        stage.session.ends.set(true);
        stage.actor.ends.set(true);
        assert!(stage.poll().is_ready());
        let seen = ["session", "session dropped", "actor", "actor dropped"];
        assert_eq!(stage.seen(), seen);
    });
}

#[test]
fn a_wake_that_comes_while_one_of_them_is_polled_is_not_lost() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let client = make();
        // Who is polled, who is woken meanwhile, and who has to be polled after it.
        for (polled, woken) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
            let mut stage = Stage::begun(&client);
            let both = [Rc::clone(&stage.session), Rc::clone(&stage.actor)];
            let called = both[woken].waker();
            both[polled].next(move || called.wake());
            both[polled].waker().wake();
            assert!(stage.run().is_pending());
            let seen = stage.seen();
            let names = ["session", "actor"];
            let first = seen.iter().position(|name| *name == names[polled]);
            let after = &seen[first.expect("it was woken") + 1..];
            assert!(after.contains(&names[woken]), "{polled} {woken}: {seen:?}");
        }
        // At the very beginning too, when the actor has no waker yet.
        let mut stage = Stage::new(&client);
        let shared = Arc::clone(&client.shared);
        stage.session.next(move || Waker::from(shared).wake());
        assert!(stage.poll().is_pending());
        assert!(stage.run().is_pending());
        assert!(stage.seen().contains(&"actor"));
    });
}

#[test]
fn no_wake_from_another_thread_is_lost() {
    /// What the other thread has said, and how much of it was heard.
    struct Heard(
        Arc<AtomicUsize>,
        Arc<AtomicUsize>,
        Option<std::sync::mpsc::Sender<Waker>>,
    );

    impl Future for Heard {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if let Some(hands_out) = self.2.take() {
                hands_out.send(cx.waker().clone()).unwrap();
            }
            self.1
                .store(self.0.load(Ordering::SeqCst), Ordering::SeqCst);
            Poll::Pending
        }
    }

    struct Parked(thread::Thread, AtomicBool);

    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }

    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        const SAID: usize = 20_000;
        let both = [(); 2].map(|()| {
            let (said, heard) = (Arc::default(), Arc::default());
            let (sender, waker) = std::sync::mpsc::channel();
            let future = Heard(Arc::clone(&said), Arc::clone(&heard), Some(sender));
            let speaking = thread::spawn(move || {
                let waker: Waker = waker.recv_timeout(PATIENCE).unwrap();
                let since = Instant::now();
                for number in 1..=SAID {
                    said.store(number, Ordering::SeqCst);
                    waker.wake_by_ref();
                    // The next one only when this one was heard.
                    while heard.load(Ordering::SeqCst) < number {
                        assert!(since.elapsed() < PATIENCE, "{number} was not heard");
                        thread::yield_now();
                    }
                }
            });
            (future, speaking)
        });
        let [(session, of_session), (actor, of_actor)] = both;
        let shared = Arc::clone(&make().shared);
        let mut pair = Pair::new(actor, Box::new(session), shared);
        let parked = Arc::new(Parked(thread::current(), AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&parked));
        while !(of_session.is_finished() && of_actor.is_finished()) {
            if parked.1.swap(false, Ordering::Acquire) {
                let polled = Pin::new(&mut pair).poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
            } else {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
        of_session.join().unwrap();
        of_actor.join().unwrap();
    });
}

#[test]
fn a_pair_that_is_dropped_drops_the_session_first_and_holds_nothing() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let client = make();
        let Stage {
            pair,
            actor,
            log,
            task,
            ..
        } = Stage::begun(&client);
        let late = actor.waker();
        actor.waker.take();
        drop(pair);
        assert_eq!(log.take(), ["session dropped", "actor dropped"]);
        assert_eq!(Arc::strong_count(&task), 1, "the bell still hangs");
        late.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
        assert_eq!(Arc::strong_count(&client.shared), 1, "a cycle");
    });
}

/// Runs in which task?
fn task_into(numbers: &Rc<RefCell<Vec<tokio::task::Id>>>) -> Box<dyn Future<Output = ()> + Unpin> {
    let numbers = Rc::clone(numbers);
    Box::new(Box::pin(async move {
        numbers.borrow_mut().push(tokio::task::id());
    }))
}

#[test]
fn only_a_session_that_is_made_in_time_shares_the_task_of_its_actor() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let (client, other) = (make(), make());
        let shared = || Arc::clone(&client.shared);
        for case in ["in time", "late", "not awaited", "of another"] {
            let tasks = Rc::default();
            if case != "not awaited" {
                client.await_companion();
            }
            if case == "of another" {
                other.run_session(task_into(&tasks));
            } else if case != "late" {
                client.run_session(task_into(&tasks));
            }
            run(task_into(&tasks), shared());
            if case == "late" {
                // As one that a worker makes, or a successor.
                client.run_session(task_into(&tasks));
            }
            let since = Instant::now();
            while tasks.borrow().len() < 2 {
                assert!(since.elapsed() < PATIENCE, "{case}: they do not run");
                tokio::task::yield_now().await;
            }
            let tasks = tasks.borrow();
            assert_eq!(tasks[0] == tasks[1], case == "in time", "{case}");
        }
    });
}

/// What was made for a connection that never began is let go of when the next one begins.
#[test]
fn a_session_whose_actor_never_began_is_not_run_with_another() {
    with_connections(async |make: Rc<dyn Fn() -> Client>| {
        let (never, next) = (make(), make());
        let stage = Stage::new(&never);
        let (log, Stage { mut pair, .. }) = (Rc::clone(&stage.log), stage);
        never.await_companion();
        never.run_session(pair.session.take().unwrap());
        next.await_companion();
        assert_eq!(log.take(), ["session dropped"]);
        let tasks = Rc::default();
        run(task_into(&tasks), Arc::clone(&next.shared));
        let since = Instant::now();
        while tasks.borrow().is_empty() {
            assert!(since.elapsed() < PATIENCE, "it does not run");
            tokio::task::yield_now().await;
        }
        assert_eq!(log.take(), [""; 0]);
    });
}

//! The [`Gate`]: never more inside than its limit, and nobody waits for a wake-up that is lost.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::Notify;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::check;
use crate::gate::{Gate, GatePass};

struct Told(Notify);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Waits as the docs of [`Gate`] say. A lost wake-up is a thread that waits for ever, which is a
/// deadlock to `loom`. (Its `park` is not used: a lock that is let go makes it forget an `unpark`.)
fn enter(gate: &Gate) -> GatePass {
    let told = Arc::new(Told(Notify::new()));
    let waker = Waker::from(Arc::clone(&told));
    loop {
        if let Some(pass) = gate.try_enter() {
            return pass;
        }
        gate.register(&waker);
        told.0.wait();
    }
}

/// How many are inside, counted by those who are.
#[derive(Clone)]
struct Inside {
    number: loom::sync::Arc<AtomicUsize>,
    limit: usize,
}

impl Inside {
    fn new(limit: usize) -> Self {
        let number = loom::sync::Arc::new(AtomicUsize::new(0));
        Self { number, limit }
    }

    fn visit(&self, pass: GatePass) {
        assert!(self.number.fetch_add(1, Relaxed) < self.limit);
        self.number.fetch_sub(1, Relaxed);
        drop(pass);
    }
}

fn in_threads(count: usize, run: impl Fn() + Clone + 'static) {
    let others: Vec<_> = (1..count).map(|_| thread::spawn(run.clone())).collect();
    run();
    for other in others {
        other.join().unwrap();
    }
}

/// Threads that ask once: the limit is exact, and all passes come back.
fn never_more_than(limit: usize, threads: usize, preemptions: Option<usize>) {
    check(preemptions, move || {
        let (gate, inside) = (Gate::new(limit), Inside::new(limit));
        let visitor = gate.clone();
        in_threads(threads, move || {
            if let Some(pass) = visitor.try_enter() {
                inside.visit(pass);
            }
        });
        assert_eq!(gate.live(), 0);
    });
}

#[test]
fn two_threads_never_exceed_a_limit_of_one() {
    never_more_than(1, 2, None);
}

#[test]
fn three_threads_never_exceed_a_limit_of_two() {
    never_more_than(2, 3, Some(4));
}

/// Threads that wait until they were inside.
fn everybody_gets_in(limit: usize, threads: usize, preemptions: Option<usize>) {
    check(preemptions, move || {
        let (gate, inside) = (Gate::new(limit), Inside::new(limit));
        let visitor = gate.clone();
        in_threads(threads, move || inside.visit(enter(&visitor)));
        assert_eq!(gate.live(), 0);
    });
}

#[test]
fn who_finds_it_full_is_woken() {
    everybody_gets_in(1, 2, None);
}

#[test]
fn two_who_find_it_full_are_both_woken() {
    everybody_gets_in(1, 3, Some(3));
}

#[test]
fn a_pass_that_another_thread_drops_wakes() {
    check(None, || {
        let gate = Gate::new(1);
        let pass = gate.try_enter();
        assert!(pass.is_some());
        let other = thread::spawn(move || drop(pass));
        drop(enter(&gate));
        other.join().unwrap();
        assert_eq!(gate.live(), 0);
    });
}

#[test]
fn a_higher_limit_wakes() {
    check(None, || {
        let gate = Gate::new(1);
        let pass = gate.try_enter();
        let raised = gate.clone();
        let other = thread::spawn(move || raised.set_limit(2));
        drop(enter(&gate));
        other.join().unwrap();
        drop(pass);
        assert_eq!((gate.live(), gate.limit()), (0, 2));
    });
}

/// The limit that lets somebody in is the limit at that moment.
#[test]
fn nobody_enters_after_the_limit_was_lowered() {
    check(None, || {
        let gate = Gate::new(2);
        let pass = gate.try_enter();
        let entering = gate.clone();
        let other = thread::spawn(move || entering.try_enter());
        gate.set_limit(1);
        let inside = gate.live();
        let second = other.join().unwrap();
        assert_eq!(gate.live(), inside);
        drop((pass, second));
        assert_eq!((gate.live(), gate.limit()), (0, 1));
    });
}

//! [`BufferSlots`]: never more out than there are, and all come back.

use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::check;
use crate::slots::BufferSlots;

fn never_more_than(count: usize, threads: u8, keep_alloc: bool, preemptions: Option<usize>) {
    check(preemptions, move || {
        let slots = BufferSlots::new(count, BufferSlots::MIN_SIZE, keep_alloc).unwrap();
        let out = loom::sync::Arc::new(AtomicUsize::new(0));
        let run = {
            let slots = slots.clone();
            move |id: u8| {
                let Some(mut slot) = slots.try_take() else {
                    return;
                };
                assert!(out.fetch_add(1, Relaxed) < count);
                assert!(slot.buffer().is_empty() && slot.buffer().capacity() >= slot.size());
                slot.buffer().extend_from_slice(&[id]);
                out.fetch_sub(1, Relaxed);
            }
        };
        let others: Vec<_> = (1..threads)
            .map(|id| {
                let run = run.clone();
                thread::spawn(move || run(id))
            })
            .collect();
        run(0);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(slots.available(), count);
    });
}

#[test]
fn xas_66_two_threads_share_one_slot() {
    never_more_than(1, 2, true, None);
    never_more_than(1, 2, false, None);
}

#[test]
fn xas_66_three_threads_share_two_slots() {
    never_more_than(2, 3, true, Some(4));
}

#[test]
fn a_slot_that_another_thread_drops_comes_back() {
    check(None, || {
        let slots = BufferSlots::new(1, BufferSlots::MIN_SIZE, true).unwrap();
        let slot = slots.try_take();
        assert!(slot.is_some());
        let other = thread::spawn(move || drop(slot));
        let early = slots.try_take();
        other.join().unwrap();
        assert_eq!(slots.available(), usize::from(early.is_none()));
        drop(early);
        assert_eq!(slots.available(), 1);
    });
}

//! What is promised not to allocate, counted at the allocator.

use std::alloc::{GlobalAlloc, Layout, System as SystemAllocator};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard::{BufferSlots, Client, Listen, SendSlot, SlotError};
use switchboard_tests::*;

/// Counts what the whole process allocates, on every thread.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static ALLOCATED_BYTES: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { SystemAllocator.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One test at a time: they all count the same.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// The send slot, as soon as it is free. Waiting allocates nothing, which a timer might.
fn free_slot(client: &Client) -> SendSlot {
    loop {
        match client.take_send_slot() {
            Ok(slot) => return slot,
            Err(SlotError::Busy) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// XAS-53: a slot that is filled in place and sent costs no allocation anywhere on its way.
#[test]
fn xas_53_sending_the_slot_allocates_nothing() {
    const SENDS: usize = 1_000;
    const SIZE: usize = 4096;
    let _turn = turn();
    with_pool(|pool| async move {
        let (mut stream, client, _trace) = serve(&pool, Listen::tcp("127.0.0.1:0")).await;
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; SIZE];
            for n in 0..2 * SENDS {
                stream.read_exact(&mut buffer).unwrap();
                assert!(
                    buffer
                        .iter()
                        .all(|byte| usize::from(*byte) == n % SENDS % 251)
                );
            }
            stream
        });
        let send = move || {
            for n in 0..SENDS {
                let mut slot = free_slot(&client);
                slot.fill(u8::try_from(n % 251).unwrap());
                slot.send(None, None).unwrap();
            }
            drop(free_slot(&client));
        };
        let counted = peer(move || {
            // The first round makes the slot and whatever else stays.
            send();
            let before = allocations();
            send();
            allocations() - before
        })
        .await;
        // The harness may allocate a little meanwhile.
        assert!(counted < 10, "{counted} allocations in {SENDS} sends");
        drop(reader.join().unwrap());
    });
}

/// XAS-65.
#[test]
fn xas_65_slots_that_keep_their_memory_allocate_it_once() {
    const SIZE: usize = 1 << 20;
    let _turn = turn();
    let slots = BufferSlots::new(4, SIZE, true).unwrap();
    let take_all = || {
        let mut taken = [(); 4].map(|()| slots.try_take().unwrap());
        for slot in &mut taken {
            slot.buffer().extend_from_slice(b"used");
        }
    };
    let live = LIVE_BYTES.load(Ordering::Relaxed);
    take_all();
    let kept = LIVE_BYTES.load(Ordering::Relaxed) - live;
    // The harness may have freed a little meanwhile.
    assert!(
        (4 * SIZE - 4096..5 * SIZE).contains(&kept),
        "{kept} bytes are kept"
    );
    let before = ALLOCATED_BYTES.load(Ordering::Relaxed);
    for _ in 0..100 {
        take_all();
    }
    let allocated = ALLOCATED_BYTES.load(Ordering::Relaxed) - before;
    // The harness may have allocated a little meanwhile.
    assert!(allocated < SIZE, "{allocated} bytes were allocated anew");
}

/// XAS-65.
#[test]
fn xas_65_slots_that_do_not_keep_their_memory_free_it() {
    const SIZE: usize = 1 << 20;
    let _turn = turn();
    let slots = BufferSlots::new(4, SIZE, false).unwrap();
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    for _ in 0..10 {
        let taken = [(); 4].map(|()| slots.try_take().unwrap());
        let live = LIVE_BYTES.load(Ordering::Relaxed).saturating_sub(before);
        // The harness may have freed a little meanwhile.
        assert!(live > 3 * SIZE, "only {live} bytes for four slots");
        drop(taken);
        let live = LIVE_BYTES.load(Ordering::Relaxed).saturating_sub(before);
        assert!(live < SIZE, "{live} bytes stay");
    }
}

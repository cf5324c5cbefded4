use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use switchboard_core::connection::Interests;
use switchboard_core::{ConnectionConfig, IdSource};

use super::*;
use crate::client::{Origin, clock};
use crate::pool::Pool;

/// Runs a test with connections in use that nobody runs.
fn with_connections(test: impl FnOnce(&dyn Fn() -> Arc<Shared>)) {
    actix_rt::System::new().block_on(async move {
        let pool = Pool::builder().shards(1).start().unwrap();
        let ids = IdSource::new(0);
        test(&|| {
            let mut config = ConnectionConfig::default();
            config.line_ending = LineEnding::CrLf;
            (config.write_high, config.write_low) = (100, 10);
            let mut machine = Connection::accepted(Arc::new(config));
            machine.set_interests(Interests::ALL);
            machine.adopt(&mut Now::ask(clock)).unwrap();
            Shared::new(ids.client(), pool.clone(), Origin::Outbound, machine)
        });
        pool.stop().await;
    });
}

/// The session begins a turn on this thread, as if the connection lived here.
fn begin(shared: &Shared) {
    let mut core = shared.lock();
    core.turn_at_home = true;
    core.begin_noting(shared);
}

/// What is queued, which whoever looks brings about.
fn queued(shared: &Shared) -> usize {
    shared.lock().machine.write_buffer_size()
}

fn queued_elsewhere(shared: &Arc<Shared>) -> usize {
    let shared = Arc::clone(shared);
    thread::spawn(move || queued(&shared)).join().unwrap()
}

#[test]
fn what_is_noted_is_queued_when_somebody_looks() {
    with_connections(|make| {
        let shared = make();
        assert!(!shared.note(b"x"), "it is not in its turn");
        begin(&shared);
        assert!(shared.note(b"12345") && shared.note_line(b"6", None));
        assert!(shared.note_line(b"7", Some(LineEnding::None)));
        assert_eq!(queued(&shared), 9);
        assert!(!shared.note(b"x"), "it has to look at the connection again");
        begin(&shared);
        assert!(!shared.note(b""), "it is to be refused");
        assert!(!shared.note_line(b"", Some(LineEnding::None)));
        assert!(shared.note_line(b"", None), "a line of its ending");
        assert_eq!(queued(&shared), 11);
        let core = shared.lock();
        let bytes = core.machine.poll_transmit_whole().unwrap();
        assert_eq!(bytes, b"123456\r\n7\r\n");
    });
}

#[test]
fn no_more_is_noted_than_there_is_room_for() {
    with_connections(|make| {
        let shared = make();
        begin(&shared);
        assert!(!shared.note(&[b'x'; 101]));
        assert!(shared.note(&[b'x'; 60]));
        assert!(!shared.note(&[b'x'; 41]));
        assert!(!shared.note_line(&[b'x'; 39], None), "its ending counts");
        assert!(shared.note_line(&[b'x'; 38], None));
        assert!(!shared.note(b"x"));
        assert_eq!(queued(&shared), 100);
        begin(&shared);
        assert!(!shared.note(b"x"), "there is none left");
        let mut core = shared.lock();
        core.machine.set_write_limits(Some(100_000), None).unwrap();
        drop(core);
        begin(&shared);
        assert!(!shared.note(&[b'x'; SHORT + 1]), "it is not short");
        let mut noted = 0;
        while shared.note(&[b'x'; SHORT]) {
            noted += SHORT;
        }
        assert_eq!(noted, PAD);
        assert_eq!(queued(&shared), 100 + PAD);
    });
}

#[test]
fn whoever_hears_that_another_thread_was_there_looks_again() {
    with_connections(|make| {
        let shared = make();
        begin(&shared);
        assert!(shared.note(b"123"));
        assert_eq!(queued_elsewhere(&shared), 3);
        assert!(!shared.note(b"x"));
        assert_eq!(queued_elsewhere(&shared), 3, "nothing is moved twice");
        begin(&shared);
        assert!(shared.note(b"45"));
        assert_eq!(queued_elsewhere(&shared), 5);
        assert_eq!(queued(&shared), 5);
    });
}

#[test]
fn one_connection_at_a_time_has_the_pad_of_a_thread() {
    with_connections(|make| {
        let (outer, inner) = (make(), make());
        begin(&outer);
        assert!(outer.note(b"1"));
        begin(&inner);
        assert!(!inner.note(b"x"), "the outer turn has it");
        assert!(outer.note(b"2"), "and keeps it");
        assert_eq!((queued(&inner), queued(&outer)), (0, 2));
        begin(&inner);
        assert!(inner.note(b"abc") && !outer.note(b"x"));
        assert_eq!((queued(&inner), queued(&outer)), (3, 2));
    });
}

/// A tool that watches memory sees here who touches what.
#[test]
fn a_pad_is_noted_on_by_one_thread_and_emptied_by_another() {
    const ROUNDS: u32 = if cfg!(miri) { 3 } else { 300 };
    const EACH: usize = 8;
    let pad = Arc::new(Pad::new());
    let got = Arc::new(Mutex::new(Vec::new()));
    let (there, sink) = (Arc::clone(&pad), Arc::clone(&got));
    let done = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&done);
    let emptying = thread::spawn(move || {
        while !ends.load(Ordering::Acquire) {
            let mut sink = sink.lock().unwrap();
            sink.extend_from_slice(there.take());
            there.stale.store(true, Ordering::Relaxed);
            drop(sink);
            thread::yield_now();
        }
    });
    let mut number = 0_u64;
    for _ in 0..ROUNDS {
        for _ in 0..PAD / EACH {
            let bytes = number.to_be_bytes();
            pad.note(&bytes[..3], &bytes[3..]);
            number += 1;
        }
        let mut sink = got.lock().unwrap();
        sink.extend_from_slice(pad.take());
        pad.clear();
    }
    done.store(true, Ordering::Release);
    emptying.join().unwrap();
    let got = got.lock().unwrap();
    let numbers = got.chunks_exact(EACH).zip(0_u64..);
    for (bytes, expected) in numbers {
        assert_eq!(bytes, expected.to_be_bytes());
    }
    assert_eq!(got.len() as u64, number * EACH as u64);
}

/// Where the pad of a thread lies that has come and gone.
fn pad_of_a_thread(in_use: bool) -> usize {
    let thread = thread::spawn(move || {
        MINE.with(|mine| {
            let pad = mine.pad();
            assert_eq!(pad.noted.load(Ordering::Relaxed), 0, "it is not clear");
            if in_use {
                // Never looked at.
                mine.user.set(ptr::dangling());
            }
            ptr::from_ref(pad).addr()
        })
    });
    thread.join().unwrap()
}

#[test]
fn threads_that_come_and_go_use_the_same_pads() {
    let pads: HashSet<_> = (0..64).map(|_| pad_of_a_thread(false)).collect();
    // Other tests beside take some of them.
    assert!(pads.len() < 32, "{} pads", pads.len());
    // What may still be looked at is not given away.
    let kept = pad_of_a_thread(true);
    assert!(
        !free_pads()
            .iter()
            .any(|pad| ptr::from_ref(*pad).addr() == kept)
    );
}

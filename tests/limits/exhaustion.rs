//! When the system has no descriptors left.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use switchboard::prelude::*;
use switchboard_tests::*;

use super::network::Rigged;
use super::{END, HERE, Seen, dial_from, greet, logged, sees};

#[test]
fn who_has_waited_through_a_pause_is_answered_and_no_more_than_so_many_in_each() {
    let log = logged(async |world| {
        let network = Rigged::new(world.net().clone());
        let rig = network.rig.clone();
        let pool = Pool::builder().shards(0).network(network).start().unwrap();
        let mut events = watch(&pool);
        let server = greet(&pool, Listen::tcp(HERE)).await;
        rig.starved.store(true, SeqCst);
        let (begun, mut due) = (world.elapsed(), 0);
        let mut peers = VecDeque::new();
        for _ in 0..150 {
            peers.push_back(dial_from(world.net(), "10.1.0.1").await);
        }
        // The first pause is for nothing but hope.
        for (pause, shed) in [(100, 0), (200, 64), (400, 64), (800, 22), (1000, 0)] {
            let told = next_pool_event(&mut events, |event| match event {
                PoolEvent::AcceptPaused { pause, shed, .. } => Some((pause.as_millis(), *shed)),
                _ => None,
            });
            assert_eq!(told.await, (pause, shed));
            let passed = (world.elapsed() - begun).as_millis();
            assert!((due..due + 10).contains(&passed), "{passed} ms, not {due}");
            due += pause;
            for mut answered in peers.drain(..usize::try_from(shed).unwrap()) {
                assert_eq!(sees(&mut answered).await, END);
            }
        }
        let info = server.info();
        assert_eq!((info.shed, info.accepted, info.rejected), (150, 0, 0));
        rig.starved.store(false, SeqCst);
        let mut next = dial_from(world.net(), "10.1.0.1").await;
        super::settle().await;
        assert_eq!(sees(&mut next).await, Seen::LetIn);
    });
    assert_eq!(
        log.matches("peers shed").count(),
        3,
        "one line for each pause"
    );
}

/// Trap 1, XAS-27: by the system's own exhaustion, in a process of its own.
#[test]
fn trap_01_exhaustion_neither_spins_nor_kills() {
    const TEST: &str = "exhaustion::trap_01_exhaustion_neither_spins_nor_kills";
    if is_rerun() {
        starve();
        return;
    }
    let mut command = rerun(TEST, Some(64));
    let mut child = Reaped(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut number_after = |start: &str| loop {
        let line = lines.next().expect("the child ended early").unwrap();
        if let Some(rest) = line.strip_prefix(start) {
            return rest.to_owned();
        }
    };
    let address: SocketAddr = number_after("listening ").parse().unwrap();
    let mut peers: Vec<_> = (0..150).map(|_| dial(address)).collect();
    let before = cpu_ticks(child.0.id());
    let begun = Instant::now();
    // Everybody is let in or gets an answer, though nobody leaves.
    peers.retain_mut(is_let_in);
    assert!((20..64).contains(&peers.len()), "{} are in", peers.len());
    assert!(number_after("shed ").parse::<u64>().unwrap() > 0);
    // A while in which a spinning process would burn a whole core, and in which others come in vain.
    while begun.elapsed() < Duration::from_secs(3) {
        drop(dial(address));
        std::thread::sleep(Duration::from_millis(50));
    }
    let burnt = (cpu_ticks(child.0.id()) - before) as f64 / 100.0;
    let share = burnt / begun.elapsed().as_secs_f64();
    assert!(
        share < 0.2,
        "{share} of a core while nobody can be accepted"
    );
    for peer in &mut peers {
        assert_eq!(exchange(peer, b"alive\n"), b"alive\n");
    }

    let freed = Instant::now();
    peers.truncate(5);
    while !is_let_in(&mut dial(address)) {
        assert!(
            freed.elapsed() < Duration::from_secs(5),
            "it never recovers"
        );
    }
    let mut late: Vec<_> = (0..10).map(|_| dial(address)).collect();
    for peer in &mut late {
        assert!(is_let_in(peer));
        assert_eq!(exchange(peer, b"echo\n"), b"echo\n");
    }
    assert!(child.0.try_wait().unwrap().is_none(), "it still runs");
}

/// Whether the peer is greeted, or sees the end.
fn is_let_in(peer: &mut TcpStream) -> bool {
    let mut greeting = Vec::new();
    // A peer may see its end as a reset, which is an answer too.
    match peer.take(6).read_to_end(&mut greeting) {
        Ok(_) => greeting == b"hello\n",
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            false
        }
    }
}

/// The starving process, until it is killed.
fn starve() {
    with_pool(async |pool| {
        let mut events = watch(&pool);
        let server = greet(&pool, Listen::tcp("127.0.0.1:0")).await;
        println!("\nlistening {}", server.local_addr());
        while let Some(event) = events.recv().await {
            if let PoolEvent::AcceptPaused { shed: 1.., .. } = event {
                println!("\nshed {}", server.info().shed);
            }
        }
    });
}

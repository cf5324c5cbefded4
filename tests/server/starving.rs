//! A process without descriptors.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{Client, ConnectionOptions, Listen, SessionContext};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, is_let_in, waits};

/// XAS-27: the original spins.
#[test]
fn xas_27_without_descriptors_accepting_pauses_and_recovers() {
    const TEST: &str = "starving::xas_27_without_descriptors_accepting_pauses_and_recovers";
    if is_rerun() {
        starve();
        return;
    }
    let mut child = Reaped(
        rerun(TEST, Some(64))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut line_with = |start: &str| loop {
        let line = lines.next().expect("the child ended early").unwrap();
        if let Some(rest) = line.strip_prefix(start) {
            return rest.to_owned();
        }
    };
    let address: SocketAddr = line_with("listening ").parse().unwrap();
    let mut peers: Vec<_> = (0..100).map(|_| dial(address)).collect();
    line_with("paused");
    assert!(is_let_in(&mut peers[0]));
    assert!(waits(&mut peers[99]));
    let before = cpu_ticks(child.0.id());
    // A while in which a spinning process would burn a whole core.
    std::thread::sleep(Duration::from_secs(1));
    let burnt = cpu_ticks(child.0.id()) - before;
    assert!(burnt < 20, "{burnt} hundredths of a core while paused");
    assert_eq!(exchange(&mut peers[0], b"alive\n"), b"alive\n");

    // Those that came first hold the descriptors.
    let freed = Instant::now();
    drop(peers.drain(..75));
    for peer in &mut peers {
        assert!(is_let_in(peer) || panic!("a waiting peer was let go"));
        assert_eq!(exchange(peer, b"echo\n"), b"echo\n");
    }
    let took = freed.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    peers[0].write_all(b"quit\n").unwrap();
    let counts = line_with("pauses ");
    let (pauses, events) = counts.split_once(" events ").unwrap();
    assert_eq!(pauses, events, "one event for each pause");
    let pauses: u32 = pauses.parse().unwrap();
    assert!((1..=30).contains(&pauses), "{pauses} pauses");
    drop(peers);
    assert!(child.wait().success());
}

/// The starving process: as many peers as there are descriptors, until one says quit.
fn starve() {
    with_pool(async |pool| {
        let mut events = watch(&pool);
        let (quit, mut quitting) = mpsc::unbounded_channel();
        let server = pool
            .listen(
                Listen::tcp(ANY).lines().spare_descriptor(false),
                move |client| Quitter {
                    client,
                    quit: quit.clone(),
                },
            )
            .await
            .unwrap();
        println!("\nlistening {}", server.local_addr());
        let mut seen = 0;
        let is_pause = |event: &PoolEvent| matches!(event, PoolEvent::AcceptPaused { .. });
        loop {
            tokio::select! {
                event = events.recv() => if is_pause(&event.unwrap()) {
                    seen += 1;
                    println!("\npaused");
                },
                _ = quitting.recv() => break,
            }
        }
        until(|| {
            while let Ok(event) = events.try_recv() {
                seen += u64::from(is_pause(&event));
            }
            seen == server.info().pauses
        })
        .await;
        println!("\npauses {} events {seen}", server.info().pauses);
    });
}

/// Greets, echoes, and passes on a wish to quit.
struct Quitter {
    client: Client,
    quit: mpsc::UnboundedSender<()>,
}

impl Actor for Quitter {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Quitter {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        let _ = msg.handle.send("hello\n");
    }
}

impl Handler<LineReceived> for Quitter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        if &*msg.line == b"quit" {
            let _ = self.quit.send(());
        }
        let _ = self.client.send_line(&msg.line);
    }
}

switchboard::session!(Quitter);

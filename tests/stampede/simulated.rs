//! In virtual time, over a network that breaks connections too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{LeakCheck, MemoryStream, Rates, Simulation, World};
use switchboard::{Client, ConnectionOptions, Listen, SessionContext};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

const HOST: &str = "10.0.0.1:7000";

/// Echoes, unless it is told to end in one way or another.
struct Mortal {
    client: Client,
    panics: Arc<AtomicUsize>,
}

impl Actor for Mortal {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Mortal {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, ctx: &mut Self::Context) {
        match &msg.line[..] {
            b"panic" => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                // A panic of which the hook makes no noise.
                std::panic::resume_unwind(Box::new("as it was told"));
            }
            b"stop" => ctx.stop(),
            b"abort" => drop(self.client.abort()),
            b"close" => drop(self.client.close()),
            line => drop(self.client.send_line(&line)),
        }
    }
}

switchboard::session!(Mortal);

async fn trample(world: World) {
    let pool = world.pool();
    let leaks = LeakCheck::begin().only_shown().pool(&pool).net(world.net());
    let panics = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&panics);
    let listen = Listen::tcp(HOST).lines().max_connections(100);
    let server = pool
        .listen(listen, move |client| Mortal {
            client,
            panics: Arc::clone(&count),
        })
        .await
        .unwrap();
    let mut herd: Vec<MemoryStream> = Vec::new();
    while world.elapsed() < Duration::from_secs(10) {
        while herd.len() < 100 {
            herd.push(world.net().connect(HOST).await.unwrap());
        }
        let victim = world.draw(|rng| rng.usize(..100));
        let mut peer = herd.swap_remove(victim);
        let fate = world.draw(|rng| rng.usize(..7));
        let order = [
            &b"panic\n"[..],
            b"stop\n",
            b"abort\n",
            b"close\n",
            b"half a li",
            b"",
            b"",
        ][fate];
        // The network may have broken it already.
        let _ = peer.write_all(order).await;
        if fate < 4 {
            // Its own order ends it: whoever waits for the end sees it.
            let _ = peer.read_to_end(&mut Vec::new()).await;
        } else if fate == 5 {
            peer.reset();
        }
        sleep(Duration::from_millis(world.draw(|rng| rng.u64(..5)))).await;
    }
    drop(herd);
    assert!(panics.load(Ordering::Relaxed) > 50, "too few panics");
    let mut served = 0;
    for _ in 0..100 {
        let mut peer = world.net().connect(HOST).await.unwrap();
        let mut answer = [0; 6];
        let exchange = async {
            peer.write_all(b"alive\n").await?;
            peer.read_exact(&mut answer).await
        };
        // The network still breaks some.
        served += u32::from(exchange.await.is_ok() && &answer == b"alive\n");
    }
    assert!(served > 80, "only {served} of 100 are served");
    let status = pool.status().await.unwrap();
    assert!(status.totals.closed_in_all() > 1000, "{}", status.totals);
    server.close().await;
    leaks.settle().await;
    let totals = pool.stop().await;
    assert_eq!(totals.accepted, totals.closed_in_all());
}

#[test]
fn after_a_stampede_everyone_is_served_and_nothing_is_left() {
    for seed in 0..4 {
        let reset = if seed % 2 == 0 { 0 } else { 3 };
        let rates = Rates {
            reset,
            ..Rates::default()
        };
        Simulation::seeded(seed).faults(rates).run(trample);
    }
}

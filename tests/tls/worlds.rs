//! Worlds in which a seed decides what the network does to TLS, and when.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::{Link, Rates, Rng, Simulation, World};
use switchboard::tls::{TlsClient, TlsServer};
use switchboard_tests::*;
use tokio::time::sleep;

use super::pair;

const PEERS: usize = 8;

fn link(rng: &mut Rng) -> Link {
    Link::default()
        .window(1 << rng.u32(8..17))
        .chunk(1 << rng.u32(3..15))
        .latency(Duration::from_millis(rng.u64(0..50)))
}

/// One peer: lines, perhaps TLS in the midst of them, and one end or another.
async fn play(
    world: World,
    pool: Pool,
    upgrades: bool,
    tls: TlsClient,
    near: Probe,
    number: usize,
) {
    let draw = |most: u64| world.draw(|rng| rng.u64(0..most));
    let pause = async |most| sleep(Duration::from_millis(draw(most))).await;
    let address = if upgrades { "10.0.0.1:1" } else { "10.0.0.1:2" };
    let mut connect = Connect::tcp(address).idle_timeout(Duration::from_secs(20));
    if !upgrades {
        connect = connect.tls(tls.clone()).server_name("localhost");
    }
    pause(200).await;
    let Ok(client) = pool.connect(connect, near.full_session()).await else {
        return;
    };
    let mut line = 0;
    let say = |line: &mut u32, count| {
        for _ in 0..count {
            let _ = client.send_line(&format!("{number} {line}"));
            *line += 1;
        }
    };
    if upgrades {
        // The other side upgrades when it has this line.
        let _ = client.send_line("STARTTLS");
        pause(20).await;
        let _ = client.start_tls(StartTls::client(tls, "localhost"));
    }
    for _ in 0..draw(6) {
        say(&mut line, draw(40));
        pause(100).await;
    }
    match draw(5) {
        0 => drop(client.abort()),
        1 => drop(client.close_with(false, None)),
        // Its idle timeout ends it, or the pool.
        2 => {}
        _ => drop(client.close()),
    }
}

/// Upgrades at its first line, and takes all that follow.
struct Doorkeeper {
    client: Client,
    tls: TlsServer,
    probe: switchboard::testkit::Recorder,
}

impl Actor for Doorkeeper {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Doorkeeper {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        self.probe.record(msg);
        let _ = self.client.arm(RecvLine::once());
    }
}

impl Handler<LineReceived> for Doorkeeper {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        if &*msg.line == b"STARTTLS" {
            let tls = StartTls::server(self.tls.clone());
            if self.client.start_tls(tls).is_err() {
                self.client.close();
            }
            let _ = self.client.arm(RecvLine::once().always());
        }
        self.probe.record(msg);
    }
}

macro_rules! recorded {
    ($($event:ident),*) => {$(
        impl Handler<$event> for Doorkeeper {
            type Result = ();

            fn handle(&mut self, msg: $event, _: &mut Self::Context) {
                self.probe.record(msg);
            }
        }
    )*};
}

recorded!(TlsStarted, Closed);

session!(Doorkeeper);

/// Whatever happens to the bytes: every connection is told one end, lines come in order and only
/// protected where they were to be, nothing is left, and the counters add up.
#[test]
fn whatever_the_network_does_each_connection_ends_once_and_hears_only_what_was_protected() {
    let (mut secured, mut cut) = (0, 0);
    for seed in 0..60 {
        let link = link(&mut Rng::with_seed(seed));
        let rates = if seed % 3 == 0 {
            Rates::default()
        } else {
            Rates {
                stall: 1,
                ..Rates::harsh()
            }
        };
        let world = Simulation::seeded(seed).link(link).faults(rates);
        let (some_secured, some_cut) = world.run(|world| async move {
            let (server, client) = pair();
            let far = Probe::new().partial().patience(Duration::from_secs(3600));
            let pool = world.pool();
            let (tls, probe) = (server.clone(), far.recorder());
            let keeper = move |client| Doorkeeper {
                client,
                tls: tls.clone(),
                probe: probe.clone(),
            };
            let idle = Duration::from_secs(30);
            let plain = Listen::tcp("10.0.0.1:1").idle_timeout(idle);
            pool.listen(plain, keeper).await.unwrap();
            let tls = Listen::tcp("10.0.0.1:2")
                .lines()
                .idle_timeout(idle)
                .tls(server);
            pool.listen(tls, far.full_session()).await.unwrap();
            let mut plays = Vec::new();
            for number in 0..PEERS {
                let near = Probe::new().partial();
                let (world, pool, tls) = (world.clone(), pool.clone(), client.clone());
                let play = play(world, pool, number % 2 == 0, tls, near, number);
                plays.push(tokio::task::spawn_local(play));
            }
            for play in plays {
                play.await.unwrap();
            }
            let time = world.draw(|rng| rng.u64(0..40_000));
            sleep(Duration::from_millis(time)).await;
            let totals = pool.stop().await;
            assert_eq!(totals.live, 0);
            assert_eq!(totals.accepted + totals.connected, totals.closed_in_all());
            check(far, totals.accepted).await
        });
        secured += some_secured;
        cut += some_cut;
    }
    assert!(secured > 100 && cut > 20, "{secured} secured, {cut} cut");
}

/// How many got as far as TLS, and how many were cut on their way there.
async fn check(mut far: Probe, accepted: u64) -> (usize, usize) {
    let (mut ended, mut secured) = (HashSet::new(), HashSet::new());
    let mut lines: HashMap<ClientId, u32> = HashMap::new();
    while (ended.len() as u64) < accepted {
        match far.next().await {
            ClientEvent::TlsStarted(event) => assert!(secured.insert(event.client)),
            ClientEvent::LineReceived(event) if &*event.line == b"STARTTLS" => {
                assert!(!secured.contains(&event.client));
            }
            ClientEvent::LineReceived(event) => {
                assert!(secured.contains(&event.client), "a plain line");
                let text = event.line.text().unwrap();
                let (_, number) = text.split_once(' ').unwrap();
                let next = lines.entry(event.client).or_default();
                assert_eq!(number, next.to_string(), "out of order");
                *next += 1;
            }
            ClientEvent::Closed(event) => {
                assert!(ended.insert(event.client), "it ended twice");
                let known = event.detail.tls.is_some();
                // An end may come before the session hears of TLS.
                assert!(known || !secured.contains(&event.client));
            }
            _ => {}
        }
    }
    far.no_more(Duration::from_secs(60)).await;
    (secured.len(), ended.len() - secured.len())
}

//! Sessions that panic on connections that stay: who takes over, what is kept, and when it is enough.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{LeakCheck, MemoryStream, Rates, Simulation, World};
use switchboard::{
    Client, Connect, ConnectPhase, ConnectionOptions, CrashPolicy, Listen, Pool, PoolEvent,
    SessionContext, Token,
};
use switchboard_tests::{
    dial, exchange, next_pool_event, peer, read_all, read_exact, watch, with, with_pool,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HOST: &str = "10.0.0.1:7000";

const THRICE: CrashPolicy = CrashPolicy::Restart {
    max: 3,
    within: Duration::from_secs(60),
};

/// What all the sessions of a test were told.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Panics without any noise of the hook.
fn crash() -> ! {
    std::panic::resume_unwind(Box::new("as it was told"))
}

/// Echoes lines, and panics when one says so.
struct Fragile {
    client: Client,
    diary: Diary,
}

impl Actor for Fragile {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.diary.note("accepted");
    }
}

impl Handler<Connected> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        self.diary.note("connected");
    }
}

impl Handler<Adopted> for Fragile {
    type Result = ();

    fn handle(&mut self, msg: Adopted, _: &mut Self::Context) {
        assert_eq!(msg.handle, self.client);
        let (unread, restarts) = (msg.unread, msg.restarts);
        self.diary
            .note(format!("adopted {unread} unread, {restarts} restarts"));
    }
}

impl Handler<LineReceived> for Fragile {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, ctx: &mut Self::Context) {
        match &msg.line[..] {
            b"panic" => crash(),
            b"panic later" => ctx.notify(Crash),
            b"panic at the end" => {
                self.client.close();
                crash()
            }
            b"notice" => {
                self.client.send_with("noticed\n", 7).unwrap();
                crash()
            }
            line => drop(self.client.send_line(&line)),
        }
    }
}

impl Handler<Sent> for Fragile {
    type Result = ();

    fn handle(&mut self, msg: Sent, _: &mut Self::Context) {
        assert_eq!(msg.token, Token(7));
        self.diary.note("sent");
    }
}

impl Handler<Closed> for Fragile {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.diary.note(format!("closed: {}", msg.detail));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Crash;

impl Handler<Crash> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        crash()
    }
}

switchboard::session!(Fragile);

/// A server of fragile sessions, and one peer of it.
async fn serve(world: &World, policy: CrashPolicy) -> (Pool, Diary, MemoryStream) {
    let (pool, diary) = (world.pool(), Diary::default());
    let theirs = diary.clone();
    let fragile = move |client| Fragile {
        client,
        diary: theirs.clone(),
    };
    let listen = Listen::tcp(HOST).lines().on_crash(policy);
    pool.listen(listen, fragile).await.unwrap();
    let peer = world.net().connect(HOST).await.unwrap();
    (pool, diary, peer)
}

async fn expect_bytes(peer: &mut MemoryStream, bytes: &str) {
    let mut came = vec![0; bytes.len()];
    peer.read_exact(&mut came).await.unwrap();
    assert_eq!(String::from_utf8(came).unwrap(), bytes);
}

#[test]
fn another_session_takes_over_and_the_peer_notices_nothing() {
    Simulation::seeded(1).run(|world| async move {
        let (pool, diary, mut peer) = serve(&world, THRICE).await;
        let leaks = LeakCheck::begin().only_shown().pool(&pool).net(world.net());
        peer.write_all(b"a\nb\npanic\nc\nd\nhalf").await.unwrap();
        expect_bytes(&mut peer, "a\nb\nc\nd\n").await;
        peer.write_all(b" a line\n").await.unwrap();
        expect_bytes(&mut peer, "half a line\n").await;
        // "c\nd\nhalf" was received and not handled when the session panicked.
        assert_eq!(diary.take(), ["accepted", "adopted 8 unread, 1 restarts"]);
        drop(peer);
        leaks.settle().await;
        assert_eq!(diary.take(), ["closed: peer finished"]);
        let totals = pool.stop().await;
        assert_eq!((totals.accepted, totals.closed_in_all()), (1, 1));
    });
}

#[test]
fn a_poison_message_is_bounded_and_what_it_hides_is_handed_back() {
    Simulation::seeded(2).run(|world| async move {
        let (pool, diary, mut peer) = serve(&world, THRICE).await;
        let mut events = watch(&pool);
        peer.write_all(b"panic\npanic\npanic\npanic\nnever\n")
            .await
            .unwrap();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0, "closed in order");
        for restarted in [true, true, true, false] {
            let told = next_pool_event(&mut events, |event| match event {
                PoolEvent::SessionFailed {
                    event, restarted, ..
                } => Some((*event, *restarted)),
                _ => None,
            });
            assert_eq!(told.await, (Some("LineReceived"), restarted));
        }
        // Nobody is left to be told the end.
        assert_eq!(
            diary.take(),
            [
                "accepted",
                "adopted 24 unread, 1 restarts",
                "adopted 18 unread, 2 restarts",
                "adopted 12 unread, 3 restarts",
            ]
        );
        let totals = pool.stop().await;
        assert_eq!(totals.closed, [1, 0, 0, 0]);
    });
}

#[test]
fn panics_that_are_far_apart_are_forgiven() {
    Simulation::seeded(3).run(|world| async move {
        let (_pool, _, mut peer) = serve(&world, THRICE).await;
        for _ in 0..20 {
            peer.write_all(b"panic\nalive\n").await.unwrap();
            expect_bytes(&mut peer, "alive\n").await;
            // Virtual time: a third of the period, and a little more.
            tokio::time::sleep(Duration::from_secs(21)).await;
        }
    });
}

#[test]
fn notices_of_what_the_old_session_sent_come_to_the_new_one() {
    Simulation::seeded(4).run(|world| async move {
        let (_pool, diary, mut peer) = serve(&world, THRICE).await;
        peer.write_all(b"notice\nmore\n").await.unwrap();
        expect_bytes(&mut peer, "noticed\nmore\n").await;
        assert_eq!(
            diary.take(),
            ["accepted", "adopted 5 unread, 1 restarts", "sent"]
        );
    });
}

#[test]
fn a_panic_outside_of_events_and_one_in_the_factory_are_treated_alike() {
    Simulation::seeded(5).run(|world| async move {
        let (pool, diary) = (world.pool(), Diary::default());
        let (theirs, made) = (diary.clone(), Arc::new(Mutex::new(0)));
        let fragile = move |client| {
            let number = {
                let mut made = made.lock().unwrap();
                *made += 1;
                *made
            };
            // The first one and the third one cannot be made.
            if number == 1 || number == 3 {
                crash();
            }
            let diary = theirs.clone();
            Fragile { client, diary }
        };
        let listen = Listen::tcp(HOST).lines().on_crash(THRICE);
        pool.listen(listen, fragile).await.unwrap();
        let mut peer = world.net().connect(HOST).await.unwrap();
        peer.write_all(b"panic later\n").await.unwrap();
        peer.write_all(b"alive\n").await.unwrap();
        expect_bytes(&mut peer, "alive\n").await;
        let told = diary.take();
        assert_eq!(
            told[0], "accepted",
            "the first session to be there hears it"
        );
        assert!(told[1].starts_with("adopted") && told[1].ends_with("3 restarts"));
        assert_eq!(told.len(), 2);
    });
}

#[test]
fn a_connection_that_closes_already_goes_on_closing() {
    Simulation::seeded(6).run(|world| async move {
        let (_pool, diary, mut peer) = serve(&world, THRICE).await;
        peer.write_all(b"last\npanic at the end\nnever\n")
            .await
            .unwrap();
        let mut told = String::new();
        peer.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "last\n");
        assert_eq!(diary.take(), ["accepted"]);
    });
}

#[test]
fn a_session_that_stops_by_itself_has_no_successor() {
    struct Quitter;
    impl Actor for Quitter {
        type Context = SessionContext<Self>;
    }
    impl Handler<LineReceived> for Quitter {
        type Result = ();
        fn handle(&mut self, _: LineReceived, ctx: &mut Self::Context) {
            ctx.stop();
        }
    }
    switchboard::session!(Quitter);

    Simulation::seeded(7).run(|world| async move {
        let pool = world.pool();
        let listen = Listen::tcp(HOST).lines().on_crash(THRICE);
        pool.listen(listen, |_| Quitter).await.unwrap();
        let mut peer = world.net().connect(HOST).await.unwrap();
        peer.write_all(b"go\n").await.unwrap();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        let closed = pool.stop().await.closed;
        assert_eq!(closed, [0, 1, 0, 0], "closed by host");
    });
}

/// Whatever the network does to the pieces: every line is handled by one session, once, in order.
#[test]
fn no_line_is_lost_or_told_twice_however_often_sessions_panic() {
    const ALWAYS: CrashPolicy = CrashPolicy::Restart {
        max: 1_000,
        within: Duration::from_secs(1),
    };
    for seed in 0..40 {
        let rates = Rates {
            reset: 0,
            ..Rates::default()
        };
        Simulation::seeded(seed)
            .faults(rates)
            .run(|world| async move {
                let (_pool, _, mut peer) = serve(&world, ALWAYS).await;
                let (mut sent, mut wanted) = (String::new(), String::new());
                for number in 0..200 {
                    if world.draw(|rng| rng.u8(..4)) == 0 {
                        sent.push_str("panic\n");
                    }
                    let line = format!("line {number}\n");
                    sent.push_str(&line);
                    wanted.push_str(&line);
                }
                peer.write_all(sent.as_bytes()).await.unwrap();
                peer.shutdown().await.unwrap();
                let mut told = String::new();
                peer.read_to_string(&mut told).await.unwrap();
                assert_eq!(told, wanted);
            });
    }
}

#[test]
fn an_outbound_connection_needs_a_factory_that_can_be_called_again() {
    Simulation::seeded(8).run(|world| async move {
        let (pool, diary) = (world.pool(), Diary::default());
        let mut listener = world.net().listen(HOST).unwrap();
        let connect = || Connect::tcp(HOST).lines().on_crash(THRICE);
        let theirs = diary.clone();
        let fragile = move |client| {
            let diary = theirs.clone();
            Fragile { client, diary }
        };
        let refused = pool.connect(connect(), fragile.clone()).await.unwrap_err();
        assert_eq!(refused.phase, ConnectPhase::Options);
        assert!(refused.to_string().contains("connect_supervised"));

        let client = pool.connect_supervised(connect(), fragile).await.unwrap();
        let mut peer = listener.accept().await;
        peer.write_all(b"panic\nalive\n").await.unwrap();
        expect_bytes(&mut peer, "alive\n").await;
        assert_eq!(diary.take(), ["connected", "adopted 6 unread, 1 restarts"]);
        assert!(!client.is_closed());
    });
}

#[test]
fn a_real_peer_keeps_its_connection_and_its_neighbours_theirs() {
    let totals = with_pool(|pool| async move {
        let diary = Diary::default();
        let theirs = diary.clone();
        let listen = Listen::tcp("127.0.0.1:0").lines().on_crash(THRICE);
        let fragile = move |client| Fragile {
            client,
            diary: theirs.clone(),
        };
        let server = pool.listen(listen, fragile).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            let (mut one, mut other) = (dial(address), dial(address));
            assert_eq!(exchange(&mut other, b"before\n"), b"before\n");
            std::io::Write::write_all(&mut one, b"panic\n").unwrap();
            assert_eq!(exchange(&mut one, b"still here\n"), b"still here\n");
            assert_eq!(exchange(&mut other, b"after\n"), b"after\n");
            for _ in 0..3 {
                std::io::Write::write_all(&mut one, b"panic\n").unwrap();
            }
            assert_eq!(read_all(&mut one), b"", "the fourth panic is one too many");
            assert_eq!(exchange(&mut other, b"after all\n"), b"after all\n");
        })
        .await;
    });
    assert_eq!((totals.accepted, totals.closed[0]), (2, 1));
}

#[test]
fn without_a_policy_the_connection_closes_and_the_report_says_so() {
    Simulation::seeded(9).run(|world| async move {
        let (pool, _, mut peer) = serve(&world, CrashPolicy::Close).await;
        let mut events = watch(&pool);
        peer.write_all(b"panic\n").await.unwrap();
        let told = next_pool_event(&mut events, |event| match event {
            PoolEvent::SessionFailed {
                text, restarted, ..
            } => Some((text.clone(), *restarted)),
            _ => None,
        });
        assert_eq!(told.await, ("as it was told".to_owned(), false));
        assert_eq!(pool.stop().await.closed[0], 1);
    });
}

#[test]
fn what_a_session_left_half_said_can_be_kept_from_the_peer() {
    Simulation::seeded(10).run(|world| async move {
        let (pool, _, mut peer) = serve(&world, CrashPolicy::Abort).await;
        peer.write_all(b"notice\nmore\n").await.unwrap();
        // What was queued in the handler that panicked is not sent.
        let told = peer.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(told.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(pool.stop().await.closed[0], 1);
    });
}

#[test]
fn on_a_worker_too_another_session_takes_over() {
    let builder = Pool::builder().shards(1).workers(2);
    let diary = Diary::default();
    let theirs = diary.clone();
    let totals = with(builder, |pool| async move {
        let listen = Listen::tcp("127.0.0.1:0").lines().on_crash(THRICE);
        let fragile = move |client| Fragile {
            client,
            diary: theirs.clone(),
        };
        let server = pool.listen(listen, fragile).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            let mut stream = dial(address);
            for number in 0..3 {
                let line = format!("panic\nalive {number}\n");
                std::io::Write::write_all(&mut stream, line.as_bytes()).unwrap();
                let alive = read_exact(&mut stream, "alive 0\n".len());
                assert_eq!(alive, format!("alive {number}\n").into_bytes());
            }
            std::io::Write::write_all(&mut stream, b"panic\n").unwrap();
            assert_eq!(read_all(&mut stream), b"");
        })
        .await;
    });
    assert_eq!((totals.accepted, totals.closed[0]), (1, 1));
    let told = diary.take();
    let adopted = told.iter().filter(|line| line.starts_with("adopted"));
    assert_eq!((adopted.count(), told.len()), (3, 4));
}

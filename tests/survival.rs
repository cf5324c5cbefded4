//! Sessions that panic and links that break, on one connection: what the one does to the other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{LeakCheck, MemoryListener, Simulation, World};
use switchboard::{
    Client, Connect, ConnectionOptions, CrashPolicy, Listen, Pool, ReconnectConfig, SessionContext,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

const HOST: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

const THRICE: CrashPolicy = CrashPolicy::Restart {
    max: 3,
    within: Duration::from_secs(600),
};

/// A pause of so many seconds before each attempt.
fn again(seconds: u32) -> ReconnectConfig {
    let mut again = ReconnectConfig::default();
    again.backoff.min = seconds * SECOND;
    again.backoff.max = seconds * SECOND;
    again.backoff.jitter = 0.0;
    again
}

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

/// What a session does at which event, once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Panic,
    Stop,
}

type Plan = Arc<Mutex<Option<(&'static str, Deed)>>>;

/// Does once what it is told to, and can close its connection when it is dropped.
#[derive(Clone)]
struct Subject {
    client: Client,
    diary: Diary,
    plan: Plan,
    closes: bool,
}

impl Actor for Subject {
    type Context = SessionContext<Self>;
}

impl Drop for Subject {
    fn drop(&mut self) {
        if self.closes {
            self.client.close();
        }
    }
}

impl Subject {
    fn told(&self, event: &'static str, words: String, ctx: &mut SessionContext<Self>) {
        self.diary.note(words);
        let planned = {
            let mut plan = self.plan.lock().unwrap();
            plan.take_if(|(at, _)| *at == event).map(|(_, deed)| deed)
        };
        match planned {
            Some(Deed::Stop) => ctx.stop(),
            Some(Deed::Panic) => std::panic::resume_unwind(Box::new("as it was told")),
            None => {}
        }
    }
}

macro_rules! told {
    ($($event:ident $msg:ident $words:expr;)*) => {
        $(impl Handler<$event> for Subject {
            type Result = ();

            fn handle(&mut self, $msg: $event, ctx: &mut Self::Context) {
                self.told(stringify!($event), $words, ctx);
            }
        })*
    };
}

told! {
    Accepted _msg "accepted".into();
    Connected _msg "connected".into();
    Adopted msg format!("adopted, {} unread", msg.unread);
    LineReceived msg format!("line {}", String::from_utf8_lossy(&msg.line));
    PeerFinished _msg "peer finished".into();
    WritePaused _msg "paused".into();
    WriteResumed _msg "resumed".into();
    Disconnected msg format!("disconnected: {}", msg.detail.cause);
    Reconnecting msg format!("reconnecting in {:?}", msg.delay);
    Closed msg format!("closed: {}", msg.detail.cause);
}

switchboard::session!(Subject);

/// An outbound connection whose sessions and links can be replaced.
struct Scene {
    pool: Pool,
    diary: Diary,
    client: Client,
    listener: MemoryListener,
}

async fn connect(world: &World, options: Connect, plan: Option<(&'static str, Deed)>) -> Scene {
    let (pool, diary) = (world.pool(), Diary::default());
    let listener = world.net().listen(HOST).unwrap();
    let (theirs, plan) = (diary.clone(), Arc::new(Mutex::new(plan)));
    let session = move |client| Subject {
        client,
        diary: theirs.clone(),
        plan: Arc::clone(&plan),
        closes: false,
    };
    let connecting = pool.connect_supervised(options.lines().on_crash(THRICE), session);
    let client = connecting.await.unwrap();
    Scene {
        pool,
        diary,
        client,
        listener,
    }
}

fn supervised(seconds: u32) -> Connect {
    Connect::tcp(HOST).reconnect(again(seconds))
}

/// The time that a session has to take a connection is no bound for an attempt to connect.
#[test]
fn a_session_that_panics_between_two_links_leaves_the_next_one_all_its_time() {
    for event in ["Disconnected", "Reconnecting"] {
        Simulation::seeded(1).run(|world| async move {
            let plan = Some((event, Deed::Panic));
            let mut scene = connect(&world, supervised(60), plan).await;
            drop(scene.listener.accept().await);
            let mut second = scene.listener.accept().await;
            second.write_all(b"hello\n").await.unwrap();
            sleep(SECOND).await;
            let told = [
                "connected",
                "peer finished",
                "disconnected: peer finished",
                "reconnecting in 60s",
                "connected",
                "line hello",
            ];
            assert_eq!(scene.diary.take(), told);
            scene.pool.stop().await;
        });
    }
}

#[test]
fn a_connection_that_is_closed_before_its_next_session_is_there_is_told_the_end() {
    Simulation::seeded(2).run(|world| async move {
        let (pool, diary) = (world.pool(), Diary::default());
        let leaks = LeakCheck::begin().only_shown().pool(&pool).net(world.net());
        let (theirs, plan) = (
            diary.clone(),
            Arc::new(Mutex::new(Some(("LineReceived", Deed::Panic)))),
        );
        let session = move |client| Subject {
            client,
            diary: theirs.clone(),
            plan: Arc::clone(&plan),
            closes: true,
        };
        let listen = Listen::tcp(HOST).lines().on_crash(THRICE);
        pool.listen(listen, session).await.unwrap();
        let mut peer = world.net().connect(HOST).await.unwrap();
        peer.write_all(b"a\nb\n").await.unwrap();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        drop(peer);
        leaks.settle().await;
        assert_eq!(diary.take(), ["accepted", "line a", "closed: closed here"]);
        assert_eq!(pool.stop().await.closed, [0, 1, 0, 0]);
    });
}

#[test]
fn no_link_is_made_for_a_session_that_has_ended() {
    Simulation::seeded(3).run(|world| async move {
        let plan = Some(("PeerFinished", Deed::Stop));
        let mut scene = connect(&world, supervised(1), plan).await;
        let leaks = LeakCheck::begin().only_shown().pool(&scene.pool);
        drop(scene.listener.accept().await);
        leaks.settle().await;
        assert_eq!(world.elapsed().as_secs(), 0);
        assert!(scene.client.is_closed());
        assert_eq!(scene.diary.take(), ["connected", "peer finished"]);
        let totals = scene.pool.stop().await;
        assert_eq!((totals.connected, totals.closed), (1, [0, 0, 1, 0]));
    });
}

#[test]
fn a_session_that_panics_as_the_link_ends_has_a_successor_with_the_next_link() {
    Simulation::seeded(4).run(|world| async move {
        let plan = Some(("PeerFinished", Deed::Panic));
        let mut scene = connect(&world, supervised(1), plan).await;
        drop(scene.listener.accept().await);
        let mut second = scene.listener.accept().await;
        second.write_all(b"hello\n").await.unwrap();
        sleep(SECOND).await;
        let told = [
            "connected",
            "peer finished",
            "disconnected: peer finished",
            "reconnecting in 1s",
            "connected",
            "line hello",
        ];
        assert_eq!(scene.diary.take(), told);
        assert_eq!(scene.pool.stop().await.closed, [0, 1, 1, 0]);
    });
}

/// What this side decides stays decided, also when the link is ending already.
#[test]
fn a_close_of_a_link_that_is_ending_is_the_end_of_the_connection() {
    for aborts in [false, true] {
        Simulation::seeded(5).run(|world| async move {
            let mut scene = connect(&world, supervised(1), None).await;
            let mut peer = scene.listener.accept().await;
            scene.client.send(vec![b'x'; 1 << 20]).unwrap();
            peer.shutdown().await.unwrap();
            // The answer to the peer's end is to close, but the peer does not read.
            sleep(SECOND).await;
            let _ = scene.diary.take();
            if aborts {
                scene.client.abort();
            } else {
                scene.client.close();
            }
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest).await;
            assert_eq!(rest.len() == 1 << 20, !aborts);
            sleep(10 * SECOND).await;
            assert!(scene.client.is_closed());
            assert_eq!(scene.diary.take().last().unwrap(), "closed: peer finished");
            assert_eq!(scene.pool.stop().await.connected, 1);
        });
    }
}

/// AIO-09: a pause is told once, and then its end, over all links.
#[test]
fn pauses_and_resumes_alternate_over_links_and_attempts_that_fail() {
    Simulation::seeded(6).run(|world| async move {
        let options = supervised(1).write_limits(100, 10);
        let Scene {
            pool,
            diary,
            client,
            mut listener,
        } = connect(&world, options, None).await;
        let first = listener.accept().await;
        client.send(vec![b'x'; 1 << 20]).unwrap();
        sleep(SECOND).await;
        drop(listener);
        first.reset();
        sleep(SECOND / 2).await;
        client.send(vec![b'x'; 1000]).unwrap();
        sleep(3 * SECOND).await;
        let mut listener = world.net().listen(HOST).unwrap();
        let mut second = listener.accept().await;
        second.read_exact(&mut [0; 1000]).await.unwrap();
        sleep(SECOND).await;
        let told = diary.take();
        let levels: Vec<_> = told
            .iter()
            .filter(|told| !told.starts_with("reconnecting"))
            .collect();
        assert_eq!(
            levels,
            [
                "connected",
                "paused",
                "resumed",
                "disconnected: read failed: connection reset",
                "connected",
                "paused",
                "resumed"
            ]
        );
        pool.stop().await;
    });
}

/// Hears of levels and of notices, and not of links.
struct Sender {
    diary: Diary,
}

impl Actor for Sender {
    type Context = SessionContext<Self>;
}

impl Handler<Connected> for Sender {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        self.diary.note("connected");
    }
}

impl Handler<Sent> for Sender {
    type Result = ();

    fn handle(&mut self, msg: Sent, _: &mut Self::Context) {
        self.diary.note(format!("sent {:?}", msg.token));
    }
}

impl Handler<WritePaused> for Sender {
    type Result = ();

    fn handle(&mut self, _: WritePaused, _: &mut Self::Context) {
        self.diary.note("paused");
    }
}

impl Handler<WriteResumed> for Sender {
    type Result = ();

    fn handle(&mut self, _: WriteResumed, _: &mut Self::Context) {
        self.diary.note("resumed");
    }
}

switchboard::session!(Sender);

#[test]
fn a_session_that_does_not_hear_of_links_hears_that_writing_goes_on() {
    Simulation::seeded(7).run(|world| async move {
        let (pool, diary) = (world.pool(), Diary::default());
        let mut listener = world.net().listen(HOST).unwrap();
        let theirs = diary.clone();
        let connecting = pool.connect(supervised(1), move |_| Sender { diary: theirs });
        let client = connecting.await.unwrap();
        let first = listener.accept().await;
        client.send(vec![b'x'; 1 << 20]).unwrap();
        sleep(SECOND).await;
        first.reset();
        let mut second = listener.accept().await;
        client.send_with("more", 1).unwrap();
        second.read_exact(&mut [0; 4]).await.unwrap();
        sleep(SECOND).await;
        let told = [
            "connected",
            "paused",
            "resumed",
            "connected",
            "sent Token(1)",
        ];
        assert_eq!(diary.take(), told);
        pool.stop().await;
    });
}

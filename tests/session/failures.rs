//! Whom the pool tells that a session panicked.

use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{Simulation, World};
use switchboard::{
    Client, Connect, ConnectionOptions, CrashPolicy, GetFailureHandler, HandlerFailed, Listen,
    Pool, SessionContext, SetFailureHandler, session,
};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

const HOST: &str = "10.0.0.1:7000";

/// Panics in the handler of one kind of event; what it does before makes such an event come.
struct Trap {
    client: Client,
    /// The event's name.
    at: &'static str,
}

impl Actor for Trap {
    type Context = SessionContext<Self>;
}

impl Trap {
    fn told(&self, event: &str) {
        if event == self.at {
            // A panic of which the hook makes no noise.
            std::panic::resume_unwind(Box::new("trapped"));
        }
    }

    fn prepare(&self) {
        let outcome = match self.at {
            "Sent" => self.client.send_with("hello\n", 1).is_ok(),
            "WritePaused" | "WriteResumed" => {
                self.client.set_write_limits(Some(0), None).is_ok()
                    && self.client.send("hello\n").is_ok()
            }
            "Readable" => self.client.set_interest(true, false).is_ok(),
            "Writable" => self.client.set_interest(false, true).is_ok(),
            _ => true,
        };
        assert!(outcome, "cannot prepare {}", self.at);
    }
}

macro_rules! traps {
    ($($event:ident),*) => {$(
        impl Handler<$event> for Trap {
            type Result = ();

            fn handle(&mut self, _: $event, _: &mut Self::Context) {
                let event = stringify!($event);
                if event == "Accepted" {
                    self.prepare();
                }
                self.told(event);
            }
        }
    )*};
}

traps!(
    Accepted,
    Connected,
    ConnectFailed,
    LineReceived,
    DataReceived,
    MessageReceived,
    Sent,
    WritePaused,
    WriteResumed,
    PeerFinished,
    Idle,
    Readable,
    Writable,
    Adopted,
    Closed
);
session!(Trap);

/// Passes on what the pool tells it.
struct Ward(mpsc::UnboundedSender<HandlerFailed>);

impl Actor for Ward {
    type Context = Context<Self>;
}

impl Handler<HandlerFailed> for Ward {
    type Result = ();

    fn handle(&mut self, failed: HandlerFailed, _: &mut Self::Context) {
        let _ = self.0.send(failed);
    }
}

fn ward(pool: &Pool) -> mpsc::UnboundedReceiver<HandlerFailed> {
    let (tell, told) = mpsc::unbounded_channel();
    pool.set_failure_handler(Some(Ward(tell).start().recipient()));
    told
}

/// Makes an event of this kind come to an accepted connection.
async fn provoke(world: &World, pool: &Pool, at: &'static str) {
    let listen = Listen::tcp(HOST).idle_report(Duration::from_secs(1));
    let listen = match at {
        "DataReceived" => listen.data(),
        "MessageReceived" => listen.messages(),
        "Readable" => listen,
        _ => listen.lines(),
    };
    pool.listen(listen, move |client| Trap { client, at })
        .await
        .unwrap();
    let mut peer = world.net().connect(HOST).await.unwrap();
    match at {
        "LineReceived" | "DataReceived" | "Readable" => peer.write_all(b"hello\n").await.unwrap(),
        "MessageReceived" => peer.write_all(b"\0\0\0\x05hello").await.unwrap(),
        "PeerFinished" => peer.shutdown().await.unwrap(),
        "Closed" => peer.reset(),
        // Time for the rest to come by itself.
        _ => tokio::time::sleep(Duration::from_secs(2)).await,
    }
}

/// UA-24, AC-09: whatever it is that panics, the handler is told which connection, which event, and why.
#[test]
fn ua_24_a_panic_in_each_kind_of_handler_names_connection_and_event() {
    for at in [
        "Accepted",
        "LineReceived",
        "DataReceived",
        "MessageReceived",
        "Sent",
        "WritePaused",
        "WriteResumed",
        "PeerFinished",
        "Idle",
        "Readable",
        "Writable",
        "Closed",
    ] {
        Simulation::seeded(1).run(|world| async move {
            let pool = world.pool();
            let mut told = ward(&pool);
            provoke(&world, &pool, at).await;
            let failed = told.recv().await.unwrap();
            assert_eq!((failed.event, &*failed.text), (Some(at), "trapped"));
            assert!(!failed.restarted);
            let line = failed.to_string();
            assert!(line.contains(&failed.client.to_string()), "{line}");
            assert!(line.ends_with(&format!("{at}: trapped")), "{line}");
            pool.stop().await;
            assert!(told.try_recv().is_err(), "{at}: told once");
        });
    }
}

/// AC-09: the same for connections of our own; one that is refused is not a failure of a handler.
#[test]
fn ac_09_a_refused_connect_is_connect_failed_and_nothing_else() {
    Simulation::seeded(2).run(|world| async move {
        let pool = world.pool();
        let mut told = ward(&pool);
        for at in ["ConnectFailed", "Connected", "nothing"] {
            let listener = (at == "Connected").then(|| world.net().listen(HOST).unwrap());
            let outcome = pool
                .connect(Connect::tcp(HOST), move |client| Trap { client, at })
                .await;
            assert_eq!(outcome.is_ok(), listener.is_some());
            if at == "nothing" {
                break;
            }
            assert_eq!(told.recv().await.unwrap().event, Some(at));
        }
        pool.stop().await;
        assert!(told.try_recv().is_err());
    });
}

/// UA-24: a session that is replaced is told apart, and so is a panic in the one that takes over.
#[test]
fn a_session_that_is_replaced_is_reported_each_time() {
    Simulation::seeded(3).run(|world| async move {
        let pool = world.pool();
        let mut told = ward(&pool);
        let policy = CrashPolicy::Restart {
            max: 1,
            within: Duration::from_secs(1),
        };
        let made = std::sync::atomic::AtomicUsize::new(0);
        let trap = move |client| {
            let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let at = ["LineReceived", "Adopted"][number];
            Trap { client, at }
        };
        let listen = Listen::tcp(HOST).lines().on_crash(policy);
        pool.listen(listen, trap).await.unwrap();
        let mut peer = world.net().connect(HOST).await.unwrap();
        peer.write_all(b"hello\n").await.unwrap();
        for (event, restarted) in [("LineReceived", true), ("Adopted", false)] {
            let failed = told.recv().await.unwrap();
            assert_eq!((failed.event, failed.restarted), (Some(event), restarted));
        }
    });
}

/// UA-24: unset is `None`, and then it is the log that is told (see `telemetry`).
#[test]
fn the_failure_handler_can_be_asked_for_and_unset_also_by_message() {
    Simulation::seeded(4).run(|world| async move {
        let pool = world.pool();
        assert!(pool.failure_handler().is_none());
        let mut told = ward(&pool);
        let set = pool.failure_handler().unwrap();
        assert!(pool.addr().send(GetFailureHandler).await.unwrap() == Some(set.clone()));
        pool.addr().send(SetFailureHandler(None)).await.unwrap();
        assert!(pool.failure_handler().is_none());
        provoke(&world, &pool, "LineReceived").await;
        pool.stop().await;
        drop(set);
        assert!(told.recv().await.is_none(), "nothing was told");
    });
}

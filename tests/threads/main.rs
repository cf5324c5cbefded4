//! Several threads: where connections are placed, and sessions that block on workers.

mod commands;
mod ending;
mod failing;
mod placement;
mod stopping;
mod workers;

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use actix_rt::Arbiter;
use switchboard::prelude::*;
use switchboard::testkit::LeakCheck;
use switchboard_tests::*;

fn local() -> Listen {
    Listen::tcp("127.0.0.1:0")
}

/// A door that handlers wait at, blocking their threads, until the test opens it.
#[derive(Clone)]
struct Door {
    opened: Arc<Mutex<Receiver<()>>>,
    reached: Sender<()>,
}

/// The test's side of a [`Door`].
struct Doorman {
    open: Sender<()>,
    reached: Receiver<()>,
}

fn door() -> (Door, Doorman) {
    let (open, opened) = channel();
    let (reaching, reached) = channel();
    let door = Door {
        opened: Arc::new(Mutex::new(opened)),
        reached: reaching,
    };
    (door, Doorman { open, reached })
}

impl Door {
    /// Blocks until the door is opened for one.
    fn wait(&self) {
        self.reached.send(()).unwrap();
        // What the test is about; bounded, should the test fail before it opens.
        let _ = self.opened.lock().unwrap().recv_timeout(PATIENCE);
    }
}

impl Doorman {
    /// Waits until a handler stands before the door.
    async fn someone(self) -> Self {
        peer(move || {
            self.reached.recv_timeout(PATIENCE).unwrap();
            self
        })
        .await
    }

    fn open(&self) {
        self.open.send(()).unwrap();
    }
}

/// What sessions of one test share.
#[derive(Clone)]
struct Shop {
    door: Door,
    threads: Arc<Mutex<HashSet<ThreadId>>>,
}

fn shop() -> (Shop, Doorman) {
    let (door, doorman) = door();
    let threads = Arc::default();
    (Shop { door, threads }, doorman)
}

impl Shop {
    fn threads(&self) -> usize {
        self.threads.lock().unwrap().len()
    }
}

/// Does what a line says, then sends the line back: `sleep <ms>`, `wait` (at the door, after it has said
/// so to its peer), `panic`, `stop` (its thread's arbiter), `halt` (stop, then wait); anything else is only
/// sent back.
struct Servant {
    client: Client,
    shop: Shop,
}

impl Shop {
    fn servant(&self) -> impl Fn(Client) -> Servant + Send + Sync + 'static + use<> {
        let shop = self.clone();
        move |client| Servant {
            client,
            shop: shop.clone(),
        }
    }
}

impl Actor for Servant {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Servant {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let thread = std::thread::current().id();
        self.shop.threads.lock().unwrap().insert(thread);
        let line = event.line.text().unwrap();
        match line.split_once(' ').unwrap_or((&*line, "")) {
            ("sleep", time) => {
                // The work that blocks.
                std::thread::sleep(Duration::from_millis(time.parse().unwrap()));
            }
            ("wait", _) => {
                self.client.send("waiting\n").unwrap();
                self.shop.door.wait();
            }
            ("panic", _) => panic!("as it was told"),
            ("halt", _) => {
                Arbiter::current().stop();
                self.shop.door.wait();
                return;
            }
            ("stop", _) => {
                Arbiter::current().stop();
                return;
            }
            _ => {}
        }
        // A peer that is gone needs no answer.
        let _ = self.client.send_line(&event.line);
    }
}

session!(Servant);

/// Nothing is left of any connection, and the workers are idle.
async fn all_gone(pool: &Pool) {
    LeakCheck::begin().only_shown().pool(pool).settle().await;
    let status = pool.status().await.unwrap();
    assert!(
        status.workers.iter().all(|worker| worker.sessions == 0),
        "{status:?}"
    );
    let totals = status.totals;
    assert_eq!(totals.accepted + totals.connected, totals.closed_in_all());
}

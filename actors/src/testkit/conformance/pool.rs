//! A pool over the network.

use actix::{Actor, Handler};
use tokio::sync::mpsc;

use crate::message::{Closed, Connected, LineReceived};
use crate::{Client, Connect, ConnectionOptions, Listen, SessionContext};

use super::wire::{duplex, read_all, same, shutdown};
use super::{Bench, Judged, Outcome, ensure};

/// How many transports talk to the pool.
const PEERS: u64 = 8;
/// How many lines each sends.
const LINES: usize = 50;

pub(super) async fn a_pool_echoes_and_its_counters_add_up(bench: Bench) -> Judged {
    let broken = |error: &dyn std::fmt::Display| Outcome::Broken(error.to_string());
    let pool = (bench.builder)()
        .shards(0)
        .start()
        .map_err(|error| broken(&error))?;
    let listen = Listen::at(bench.place.clone()).lines();
    let server = pool.listen(listen, |client| Echo { client }).await?;
    for number in 0..PEERS {
        let mut near = bench.connect(server.address()).await?.transport;
        let lines = format!("line {number}\n").repeat(LINES);
        let echoed = duplex(near.as_mut(), lines.as_bytes(), lines.len()).await?;
        same(&echoed, lines.as_bytes())?;
        shutdown(near.as_mut()).await?;
        same(&read_all(near.as_mut()).await?, b"")?;
    }
    let (told, mut tells) = mpsc::unbounded_channel();
    let connect = Connect::to(server.address()).lines();
    pool.connect(connect, move |client| Caller { client, told })
        .await?;
    for expected in ["connected", "hello", "closed"] {
        let event = tells.recv().await.unwrap_or_default();
        ensure(
            event == expected,
            format!("a session was told {event:?} instead of {expected:?}"),
        )?;
    }
    let totals = pool.stop().await;
    ensure(
        totals.accepted == PEERS + 1 && totals.connected == 1 && totals.live == 0,
        format!("the counters are: {totals}"),
    )?;
    ensure(
        totals.closed_in_all() == totals.accepted + totals.connected,
        format!("the counters do not add up: {totals}"),
    )
}

/// Sends every line back.
struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        // A peer that is gone needs no answer.
        let _ = self.client.send_line(&msg.line);
    }
}

crate::session!(Echo);

/// Says hello, waits for the answer, closes, and tells what happened.
struct Caller {
    client: Client,
    told: mpsc::UnboundedSender<String>,
}

impl Caller {
    fn tell(&self, event: String) {
        // A scenario that has failed no longer listens.
        let _ = self.told.send(event);
    }
}

impl Actor for Caller {
    type Context = SessionContext<Self>;
}

impl Handler<Connected> for Caller {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        self.tell("connected".into());
        // A connection that is lost by now tells its end.
        let _ = self.client.send_line("hello");
    }
}

impl Handler<LineReceived> for Caller {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.tell(String::from_utf8_lossy(&msg.line).into_owned());
        self.client.close();
    }
}

impl Handler<Closed> for Caller {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        self.tell("closed".into());
    }
}

crate::session!(Caller);

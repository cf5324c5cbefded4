//! A pool that drains: sessions are told and finish, the rest is closed in time, and every connection is
//! in the report, once. And a pool that keeps to a memory budget.
//!
//! Time is virtual where a simulation runs: there a sleep only lets it pass. Sleeps of sessions and peers
//! are their slowness, which is what is tested.

mod close;
mod commands;
mod memory;
mod pace;
mod signals;
mod tell;
mod trap;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::{MemoryStream, Simulation, World};
use switchboard::{Cause, ClosedDetail, DrainReport};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

const ADDRESS: &str = "10.0.0.1:1";

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn lines() -> Listen {
    Listen::tcp(ADDRESS).lines()
}

async fn dial(world: &World) -> MemoryStream {
    world.net().connect(ADDRESS).await.unwrap()
}

/// Everything that is live when a drain begins is in exactly one count of its report.
fn assert_sums(report: &DrainReport) {
    let counts = [
        report.finished,
        report.given_up,
        report.untold,
        report.paced,
        report.overdue,
        report.aborted,
    ];
    assert_eq!(counts.iter().sum::<u64>(), report.live, "{report}");
    assert_eq!((report.totals.live, report.totals.connecting), (0, 0));
    let totals = &report.totals;
    assert_eq!(totals.accepted + totals.connected, totals.closed_in_all());
}

/// When the peers of a test saw their ends, and the number of each.
type Ends = Rc<RefCell<Vec<(usize, Duration)>>>;

/// A peer that reads until its end, and then closes too.
fn watch_end(world: &World, number: usize, mut peer: MemoryStream, ends: &Ends) {
    let (world, ends) = (world.clone(), Rc::clone(ends));
    actix_rt::spawn(async move {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = peer.read_to_end(&mut rest).await;
        ends.borrow_mut().push((number, world.elapsed()));
    });
}

/// Says good-bye and closes when it hears of a drain.
struct Polite {
    client: Client,
    told: mpsc::UnboundedSender<Duration>,
}

impl Actor for Polite {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Polite {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        self.client.send_line(&event.line).unwrap();
    }
}

impl Handler<Draining> for Polite {
    type Result = ();

    fn handle(&mut self, event: Draining, _: &mut Self::Context) {
        self.told.send(event.deadline).unwrap();
        self.client.send("bye\n").unwrap();
        self.client.close();
    }
}

session!(Polite);

/// Tells its end, and nothing else.
struct Last {
    ends: mpsc::UnboundedSender<(ClientId, ClosedDetail)>,
}

impl Actor for Last {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Last {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {}
}

impl Handler<Closed> for Last {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        // Some tests do not look.
        let _ = self.ends.send((event.client, *event.detail));
    }
}

session!(Last);

fn last() -> (
    impl Fn(Client) -> Last + Send + Sync + 'static,
    mpsc::UnboundedReceiver<(ClientId, ClosedDetail)>,
) {
    let (ends, told) = mpsc::unbounded_channel();
    let make = move |_| Last { ends: ends.clone() };
    (make, told)
}

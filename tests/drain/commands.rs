//! Draining and stopping while a drain is under way.

use std::io::ErrorKind;

use switchboard_tests::{Probe, expect};
use tokio::io::AsyncWriteExt;

use super::*;

/// A connection that wants nothing, a second ago.
async fn one_connection(world: &World, pool: &Pool) -> Ends {
    let (make, _) = last();
    pool.listen(lines(), make).await.unwrap();
    let ends = Ends::default();
    watch_end(world, 0, dial(world).await, &ends);
    // Of the simulation's time: so its beginning is told from that of a drain.
    tokio::time::sleep(seconds(1)).await;
    ends
}

/// A second drain awaits the first, whatever it asks for; nobody has to await either.
#[test]
fn a_second_drain_awaits_the_first_and_dropping_one_changes_nothing() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let ends = one_connection(&world, &pool).await;
        drop(pool.drain(Drain::within(seconds(5))));
        // A while of the simulation's time, in which the first one goes on by itself.
        tokio::time::sleep(seconds(1)).await;
        let report = pool.drain(Drain::within(Duration::ZERO)).await;
        assert_eq!(ends.borrow()[0].1, seconds(6));
        assert_eq!((report.live, report.overdue), (1, 1));
        // Also when all is over, and as a message.
        assert_eq!(pool.drain(Drain::within(seconds(9))).await, report);
        assert!(pool.addr().send(Drain::within(seconds(9))).await.is_err());
        assert_eq!(pool.stop().await, report.totals);
    });
}

/// The message does the same as the method.
#[test]
fn a_drain_is_a_message_to_the_root() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let ends = one_connection(&world, &pool).await;
        let report = pool.addr().send(Drain::within(seconds(5))).await.unwrap();
        assert_sums(&report);
        assert_eq!(report.overdue, 1);
        assert_eq!(ends.borrow()[0].1, seconds(6));
    });
}

/// A stop cuts a drain short; what is left is closed now, and counted with the drain.
#[test]
fn a_stop_shortens_a_drain() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        pool.listen(lines(), trace.session()).await.unwrap();
        let mut peer = dial(&world).await;
        let client = expect!(trace, Accepted).handle;
        client.send(vec![7; 100_000]).unwrap();
        let report = pool.drain(Drain::within(seconds(3600)).pace(1));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let stopping = pool.stop();
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len(), 100_000, "a stop flushes");
        drop(peer);
        assert_eq!(expect!(trace, Closed).detail.cause, Cause::PoolStopped);
        let (report, totals) = (report.await, stopping.await);
        assert_sums(&report);
        assert_eq!((report.live, report.overdue), (1, 1));
        assert_eq!(report.totals, totals);
        assert!(world.elapsed() < seconds(2), "{:?}", world.elapsed());
    });
}

/// Zero grace: at once, before and after the deadline.
#[test]
fn a_stop_without_grace_aborts_a_drain() {
    for begun in [1, 11] {
        Simulation::seeded(1).run(|world| async move {
            let pool = world.pool();
            let mut trace = Probe::new();
            pool.listen(lines(), trace.session()).await.unwrap();
            let mut peer = dial(&world).await;
            let client = expect!(trace, Accepted).handle;
            client.send(vec![7; 100_000]).unwrap();
            let report = pool.drain(Drain::within(seconds(10)));
            tokio::time::sleep(seconds(begun)).await;
            let totals = pool.stop_within(Duration::ZERO).await;
            let report = report.await;
            assert_sums(&report);
            assert_eq!((report.live, report.aborted), (1, 1), "{report}");
            assert_eq!(report.totals, totals);
            assert_eq!(world.elapsed(), seconds(begun));
            let end = peer.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::ConnectionReset);
            expect!(trace, Closed);
            trace.ended().await;
        });
    }
}

/// Drains when a line tells it to, from inside the handler.
struct Trigger {
    client: Client,
    report: mpsc::UnboundedSender<DrainReport>,
}

impl Actor for Trigger {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Trigger {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) -> Self::Result {
        let draining = self.client.pool().drain(Drain::within(seconds(5)));
        let report = self.report.clone();
        let waiting = async move { report.send(draining.await).unwrap() };
        // Awaits in the handler itself the end of what it is a part of.
        AtomicResponse::new(Box::pin(waiting.into_actor(self)))
    }
}

impl Handler<Draining> for Trigger {
    type Result = ();

    fn handle(&mut self, _: Draining, _: &mut Self::Context) {
        unreachable!("it is in its handler");
    }
}

session!(Trigger);

/// A handler that awaits the drain that it has begun holds it up for no longer than a session can.
#[test]
fn a_drain_awaited_inside_a_handler_ends() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let (report, mut told) = mpsc::unbounded_channel();
        let make = move |client| Trigger {
            client,
            report: report.clone(),
        };
        pool.listen(lines(), make).await.unwrap();
        let mut peer = dial(&world).await;
        peer.write_all(b"drain\n").await.unwrap();
        peer.read_to_end(&mut Vec::new()).await.unwrap();
        drop(peer);
        let report = told.recv().await.unwrap();
        assert_sums(&report);
        assert_eq!((report.live, report.overdue), (1, 1));
        assert!(world.elapsed() < seconds(15), "{:?}", world.elapsed());
    });
}

//! Trap 13 of the runtimes before this one: a drain that hangs, stampedes, or is itself the outage.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::IpAddr;

use switchboard_tests::{Probe, expect};
use tokio::io::AsyncWriteExt;

use super::*;

const CROWD: usize = 200;
const PACE: u32 = 10;

/// Never comes out of its handler.
struct Stuck;

impl Actor for Stuck {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Stuck {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(pending::<()>().into_actor(self)))
    }
}

impl Handler<Draining> for Stuck {
    type Result = ();

    fn handle(&mut self, _: Draining, _: &mut Self::Context) {
        unreachable!("it is in its handler");
    }
}

session!(Stuck);

/// Begins the drain when it is told a line, and closes when it hears of it.
struct Caller {
    client: Client,
    report: mpsc::UnboundedSender<DrainReport>,
}

impl Actor for Caller {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Caller {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        let drain = Drain::within(seconds(15)).pace(PACE).flush(seconds(3));
        let (draining, report) = (self.client.pool().drain(drain), self.report.clone());
        actix_rt::spawn(async move { report.send(draining.await).unwrap() });
    }
}

impl Handler<Draining> for Caller {
    type Result = ();

    fn handle(&mut self, _: Draining, _: &mut Self::Context) {
        self.client.close();
    }
}

session!(Caller);

/// Trap 13 (cpython #104344, cowboy #915, firezone #11493, subrouter #125).
#[test]
fn trap_13_a_drain_neither_hangs_nor_stampedes_nor_is_an_outage_itself() {
    Simulation::seeded(13).run(|world| async move {
        let pool = world.pool();
        let at = |port: u16| Listen::tcp(format!("10.0.0.1:{port}")).lines();
        let to = |port: u16| format!("10.0.0.1:{port}");
        let net = world.net();
        // A session that never closes.
        let mut stays = Probe::new();
        pool.listen(at(2), stays.full_session()).await.unwrap();
        let stayer = net.connect(to(2)).await.unwrap();
        expect!(stays, Accepted);
        // A peer that does not read.
        let deaf = net.connect(to(2)).await.unwrap();
        let client = expect!(stays, Accepted).handle;
        client.send(vec![7; 1 << 20]).unwrap();
        expect!(stays, WritePaused);
        // A session that does not come out of its handler.
        pool.listen(at(3), |_| Stuck).await.unwrap();
        let mut stuck = net.connect(to(3)).await.unwrap();
        stuck.write_all(b"x\n").await.unwrap();
        // A connection that nobody wants.
        pool.listen(at(4), |_| Handlers::new()).await.unwrap();
        let mut unwanted = net.connect(to(4)).await.unwrap();
        // An attempt to connect that would take for ever.
        let silent: IpAddr = "10.0.0.9".parse().unwrap();
        net.set_silent(silent, true);
        let waits = Connect::tcp("10.0.0.9:1").timeout(seconds(86_400));
        let attempt = pool.connect(waits.lines(), Probe::new().session());
        // Many who hear nothing of it.
        let (make, mut told) = last();
        pool.listen(lines(), make).await.unwrap();
        let ends = Ends::default();
        for number in 0..CROWD {
            watch_end(&world, number, dial(&world).await, &ends);
        }
        let (report, mut reports) = mpsc::unbounded_channel();
        let make = move |client| Caller {
            client,
            report: report.clone(),
        };
        pool.listen(at(5), make).await.unwrap();
        let mut caller = net.connect(to(5)).await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(unwanted.read_to_end(&mut Vec::new()).await.unwrap(), 0);

        caller.write_all(b"now\n").await.unwrap();
        let begun = world.elapsed();
        attempt.await.unwrap_err();
        let refused = net.connect(ADDRESS).await;
        refused.expect_err("the port must be closed");
        assert_eq!(world.elapsed(), begun, "at once");
        assert_eq!(expect!(stays, Draining).deadline, seconds(15));
        let report = reports.recv().await.unwrap();

        // It does not hang: deadline, flush, and what a stop waits for sessions that do not end.
        let took = world.elapsed() - begun;
        assert!(took < seconds(15 + 3 + 5), "{took:?}");
        assert_sums(&report);
        // 200 in the crowd, the stayer, the deaf one's, the stuck one's, the caller's, and the attempt.
        assert_eq!(report.live, CROWD as u64 + 5);
        assert_eq!((report.given_up, report.finished), (1, 1), "{report}");
        // It does not stampede: so many per second and not one more.
        let mut each_second = BTreeMap::<u64, u32>::new();
        for (_, at) in ends
            .borrow()
            .iter()
            .filter(|(_, at)| *at < begun + seconds(15))
        {
            let since = at.saturating_sub(begun + Duration::from_millis(1));
            *each_second.entry(since.as_secs()).or_default() += 1;
        }
        assert!(
            each_second.values().all(|ended| *ended <= PACE),
            "{each_second:?}"
        );
        assert!(
            each_second.values().sum::<u32>() >= 14 * PACE,
            "{each_second:?}"
        );
        // Everybody got an end, and the crowd an orderly one.
        assert_eq!(ends.borrow().len(), CROWD);
        let mut closed = 0;
        while let Ok((_, detail)) = told.try_recv() {
            assert_eq!((detail.cause, detail.unsent), (Cause::Drained, 0));
            closed += 1;
        }
        assert_eq!(closed, CROWD);
        assert_eq!(report.aborted, 1, "whoever does not read");
        drop((stayer, deaf, stuck, caller));
    });
}

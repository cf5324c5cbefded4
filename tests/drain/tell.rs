//! What sessions are told.

use switchboard_tests::{Echo, Probe, expect};
use tokio::io::AsyncWriteExt;

use super::*;

/// A session that handles `Draining` finishes, and the drain is over as soon as all have.
#[test]
fn a_session_is_told_how_much_time_is_left_and_may_finish_before_it() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let (told, mut heard) = mpsc::unbounded_channel();
        let make = move |client| Polite {
            client,
            told: told.clone(),
        };
        pool.listen(lines(), make).await.unwrap();
        let mut peers = [dial(&world).await, dial(&world).await];
        tokio::time::sleep(seconds(1)).await;

        let report = pool.drain(Drain::within(seconds(60)));
        for peer in &mut peers {
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"bye\n");
        }
        drop(peers);
        let report = report.await;
        assert_sums(&report);
        assert_eq!((report.live, report.finished), (2, 2));
        for _ in 0..2 {
            assert_eq!(heard.recv().await, Some(seconds(60)));
        }
        assert!(heard.try_recv().is_err(), "told once per connection");
        assert!(world.elapsed() < seconds(3), "{:?}", world.elapsed());
    });
}

/// It comes in its turn: behind the lines that are with the session, before those that wait.
#[test]
fn draining_comes_in_order_once_and_before_the_end() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        pool.listen(lines(), trace.full_session()).await.unwrap();
        let mut peer = dial(&world).await;
        peer.write_all(b"before\n").await.unwrap();
        let client = expect!(trace, Accepted).handle;
        trace.of(client.id()).expect_line("before").await;

        let report = pool.drain(Drain::within(seconds(5)));
        assert_eq!(expect!(trace, Draining).deadline, seconds(5));
        peer.write_all(b"after\n").await.unwrap();
        trace.of(client.id()).expect_line("after").await;
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.cause, Cause::Drained);
        assert_eq!(closed.reason, ClosedReason::ClosedByHost);
        assert_eq!(world.elapsed(), seconds(5));
        drop(peer);
        let report = report.await;
        assert_sums(&report);
        assert_eq!(report.overdue, 1);
        trace.ended().await;
    });
}

/// One actor for all connections is told for each, and one of `Handlers` if it has asked.
#[test]
fn shared_sessions_and_handlers_are_told_for_every_connection() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let (told, mut heard) = mpsc::unbounded_channel();
        let desk = Desk { told }.start();
        let one = desk.clone();
        pool.listen(lines(), move |_| one.clone()).await.unwrap();
        let handlers = Handlers::new()
            .line(desk.clone().recipient())
            .draining(desk.recipient());
        let other = Listen::tcp("10.0.0.1:2").lines();
        pool.listen(other, move |_| handlers.clone()).await.unwrap();
        let mut peers = Vec::new();
        for address in [ADDRESS, ADDRESS, "10.0.0.1:2"] {
            peers.push(world.net().connect(address).await.unwrap());
        }
        tokio::time::sleep(seconds(1)).await;
        let report = pool.drain(Drain::within(seconds(5)));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(heard.recv().await.unwrap());
        }
        clients.sort_unstable();
        clients.dedup();
        assert_eq!(clients.len(), 3);
        drop(peers);
        assert_eq!(report.await.finished, 3, "the peers have left");
    });
}

struct Desk {
    told: mpsc::UnboundedSender<ClientId>,
}

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Desk {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {}
}

impl Handler<Draining> for Desk {
    type Result = ();

    fn handle(&mut self, event: Draining, _: &mut Self::Context) {
        self.told.send(event.client).unwrap();
    }
}

session!(Desk);

/// A drain by a signal does not wait for those whom nobody has told.
#[test]
fn untold_connections_are_closed_at_once_when_asked_for_and_their_output_is_sent() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        pool.listen(lines(), |client| Echo { client })
            .await
            .unwrap();
        let mut idle = dial(&world).await;
        let mut slow = dial(&world).await;
        let text = [&[b'x'; 9_999][..], b"\n"].concat().repeat(20);
        slow.write_all(&text[..100_000]).await.unwrap();
        tokio::time::sleep(seconds(1)).await;

        let drain = Drain::within(seconds(60)).close_untold(true);
        let report = pool.drain(drain);
        idle.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(world.elapsed(), seconds(1));
        // Longer than a flush may take at the deadline: it has until the deadline.
        tokio::time::sleep(seconds(30)).await;
        let mut echoed = Vec::new();
        slow.read_to_end(&mut echoed).await.unwrap();
        assert!(echoed == text[..100_000], "{} bytes", echoed.len());
        drop((idle, slow));
        let report = report.await;
        assert_sums(&report);
        assert_eq!((report.live, report.untold), (2, 2));
        assert!(world.elapsed() < seconds(33), "{:?}", world.elapsed());
    });
}

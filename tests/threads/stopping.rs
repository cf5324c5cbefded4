//! Stopping a pool that has workers.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use switchboard::Cause;
use switchboard::message::*;

use super::*;

/// XAS-11: every session on every worker is told its end, and no thread is left.
#[test]
fn a_stop_waits_for_the_sessions_on_workers_and_ends_their_threads() {
    if !alone("stopping::a_stop_waits_for_the_sessions_on_workers_and_ends_their_threads") {
        return;
    }
    let (told, seen) = channel();
    let before = arbiters();
    let totals = with(Pool::builder().shards(2).workers(3), |pool| async move {
        let make = move |_| Last(told.clone());
        let server = pool.listen(local().lines(), make).await.unwrap();
        let peers: Vec<_> = (0..12).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().accepted == 12).await;
        while pool.status().await.unwrap().actors < 24 {
            tokio::task::yield_now().await;
        }
        pool.stop().await;
        drop(peers);
    });
    assert_eq!(totals.closed, [0, 12, 0, 0]);
    let causes: Vec<_> = seen.try_iter().collect();
    let made = causes.len();
    // One that the stop overtook was not made.
    assert!((1..=12).contains(&made), "{made}");
    assert!(causes.iter().all(|cause| *cause == Cause::PoolStopped));
    assert_eq!(arbiters(), before);
}

/// Passes on why its connection closed.
pub(super) struct Last(pub(super) Sender<Cause>);

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
        self.0.send(event.detail.cause).unwrap();
    }
}

session!(Last);

/// A connection whose session a worker is making: the factory stands before the door. The peer's end, our
/// handle, the door, and what the session will pass on.
pub(super) async fn in_the_making(pool: &Pool) -> (TcpStream, Client, Doorman, Receiver<Cause>) {
    let (door, doorman) = door();
    let (told, seen) = channel();
    let (handles, handle) = channel();
    let make = move |client| {
        handles.send(client).unwrap();
        door.wait();
        Last(told.clone())
    };
    let server = pool.listen(local().lines(), make).await.unwrap();
    let stream = dial(server.local_addr());
    let doorman = doorman.someone().await;
    (stream, handle.try_recv().unwrap(), doorman, seen)
}

/// The threads of arbiters in this process, by the name that actix gives them.
fn arbiters() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let named = tasks.filter(|task| {
        let name = task.as_ref().unwrap().path().join("comm");
        // A thread may end while we look.
        std::fs::read_to_string(name).is_ok_and(|name| name.starts_with("actix-rt|"))
    });
    named.count()
}

/// A handler that does not return cannot keep a stop from its end; when it does return, its thread ends.
#[test]
fn a_stop_is_bounded_however_long_a_handler_blocks() {
    if !alone("stopping::a_stop_is_bounded_however_long_a_handler_blocks") {
        return;
    }
    let before = arbiters();
    let (shop, doorman) = shop();
    let doorman = Arc::new(Mutex::new(Some(doorman)));
    let keeper = Arc::clone(&doorman);
    let totals = with(Pool::builder().shards(1).workers(2), |pool| async move {
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut blocked = dial(server.local_addr());
        blocked.write_all(b"wait\n").unwrap();
        let doorman = keeper.lock().unwrap().take().unwrap();
        let doorman = doorman.someone().await;
        keeper.lock().unwrap().replace(doorman);
        // Two wait behind it for their sessions, or have them on the other worker.
        let behind: Vec<_> = (0..3).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().accepted == 4).await;
        let start = Instant::now();
        let totals = pool.stop_within(Duration::from_millis(100)).await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(6), "{took:?}");
        assert_eq!(totals.live, 0);
        peer(move || assert_eq!(read_all(&mut blocked), b"waiting\n")).await;
        drop(behind);
    });
    assert_eq!(totals.closed, [0, 4, 0, 0]);
    assert_eq!(arbiters(), before + 1, "the blocked one is left behind");
    doorman.lock().unwrap().as_ref().unwrap().open();
    let start = Instant::now();
    while arbiters() > before {
        assert!(start.elapsed() < PATIENCE, "its thread does not end");
        // Asks again shortly whether the thread has ended.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The stop comes from inside a handler on a worker (XAS-11).
#[test]
fn xas_11_a_handler_on_a_worker_stops_the_pool() {
    let (told, seen) = channel();
    let totals = with(Pool::builder().shards(2).workers(2), |pool| async move {
        let make = move |client: Client| Stopper {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut streams: Vec<_> = (0..4).map(|_| dial(server.local_addr())).collect();
        for stream in &mut streams {
            assert_eq!(exchange(stream, b"hello\n"), b"hello\n");
        }
        streams[2].write_all(b"now\n").unwrap();
        let start = Instant::now();
        pool.stopped().await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        drop(streams);
    });
    assert_eq!(totals.closed, [0, 4, 0, 0]);
    assert_eq!(seen.try_iter().count(), 4);
}

struct Stopper {
    client: Client,
    told: Sender<ClientId>,
}

impl Actor for Stopper {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Stopper {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        if event.line.as_bytes() == b"now" {
            drop(self.client.pool().stop());
        } else {
            self.client.send_line(&event.line).unwrap();
        }
    }
}

impl Handler<Closed> for Stopper {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        self.told.send(event.client).unwrap();
    }
}

session!(Stopper);

//! Many threads command one connection.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use switchboard::ConnectionState;
use switchboard::message::*;

use super::*;

const THREADS: usize = 8;

/// Checks that numbered lines come in order, and counts them.
struct Counting {
    next: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Actor for Counting {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Counting {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        assert_eq!(event.line.text().unwrap(), next.to_string());
    }
}

impl Handler<Closed> for Counting {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

session!(Counting);

/// XAS-69: eight threads give every kind of command to one connection while its session is at work on
/// another thread, and then all of them end it, each in its own way. No line is lost or out of order, no
/// send is torn, one of the ends is the first, and the session is told one end.
#[test]
fn xas_69_eight_threads_command_and_end_one_connection_at_one_time() {
    const LINES: usize = 20_000;
    for (shards, workers) in [(1, 0), (1, 1), (2, 2)] {
        let builder = Pool::builder().shards(shards).workers(workers);
        let (next, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counting, told) = (Arc::clone(&next), Arc::clone(&closed));
        let totals = with(builder, |pool| async move {
            let (handles, handle) = channel();
            let seen = Arc::clone(&counting);
            let make = move |client| {
                handles.send(client).unwrap();
                Counting {
                    next: Arc::clone(&seen),
                    closed: Arc::clone(&told),
                }
            };
            let server = pool.listen(local().lines(), make).await.unwrap();
            let mut stream = dial(server.local_addr());
            let client: Client = peer(move || handle.recv_timeout(PATIENCE).unwrap()).await;
            // From its first line on its session is there, and receives lines for ever.
            stream.write_all(b"0\n").unwrap();
            until(|| counting.load(Ordering::Relaxed) == 1).await;
            let mut reader = stream.try_clone().unwrap();
            let reading = std::thread::spawn(move || {
                let mut got = Vec::new();
                // It may end with a reset.
                let _ = std::io::Read::read_to_end(&mut reader, &mut got);
                got
            });
            let done = Arc::new(AtomicBool::new(false));
            let together = Arc::new(Gathering::of(THREADS));
            let commanding: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (client, done) = (client.clone(), Arc::clone(&done));
                    let together = Arc::clone(&together);
                    std::thread::spawn(move || {
                        command(&client, thread, &done);
                        together.wait();
                        end(&client, thread)
                    })
                })
                .collect();
            let writing = std::thread::spawn(move || {
                let lines: String = (1..LINES).map(|n| format!("{n}\n")).collect();
                stream.write_all(lines.as_bytes()).unwrap();
                stream
            });
            until(|| counting.load(Ordering::Relaxed) == LINES).await;
            done.store(true, Ordering::Relaxed);
            let ends = peer(move || {
                let ends = commanding.into_iter().map(|thread| thread.join().unwrap());
                ends.filter(|first| *first).count()
            });
            // Two of the ends are `abort`, which also ends what another one only closes.
            let ends = ends.await;
            assert!((1..=2).contains(&ends), "{ends} ends were the first");
            drop(writing.join().unwrap());
            let got = String::from_utf8(peer(move || reading.join().unwrap()).await).unwrap();
            let whole = got.rfind('\n').map_or(0, |end| end + 1);
            for record in got[..whole].lines() {
                let (thread, rest) = record.split_once(' ').unwrap();
                let thread: usize = thread.parse().unwrap();
                assert_eq!(rest, "x".repeat(thread * 20), "a send was torn");
            }
            all_gone(&pool).await;
        });
        assert_eq!(next.load(Ordering::Relaxed), LINES);
        assert_eq!(closed.load(Ordering::Relaxed), 1);
        assert_eq!(totals.closed_in_all(), 1);
    }
}

/// Commands until `done`.
fn command(client: &Client, thread: usize, done: &AtomicBool) {
    let record = format!("{thread} {}\n", "x".repeat(thread * 20));
    while !done.load(Ordering::Relaxed) {
        match thread {
            0 => {
                client.pause_reading();
                client.resume_reading();
            }
            1 => assert_ne!(client.info().activity.state, ConnectionState::Closed),
            2 => client.set_write_limits(Some(64 * 1024), None).unwrap(),
            3 => {
                // The one that is armed for ever stays.
                assert!(client.arm(RecvLine::once()).is_err());
                assert!(client.try_recv(1).is_err());
            }
            _ => {}
        }
        if client.write_buffer_size() < 1024 * 1024 {
            client.send(record.clone()).unwrap();
        }
    }
}

/// Ends the connection. Whether this end was one that had something to do.
fn end(client: &Client, thread: usize) -> bool {
    if thread.is_multiple_of(4) {
        client.abort()
    } else {
        client.close()
    }
}

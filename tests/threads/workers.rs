//! Sessions on workers: who waits for whom, and what stays as it is without them.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix::Actor as _;
use switchboard::message::*;
use switchboard::{Cause, ConnectPhase, StartError};

use super::stopping::in_the_making;
use super::*;

/// XAS-03: eight handlers that sleep at one time take as long as one, on eight workers; what each
/// connection gets back is in order.
#[test]
fn xas_03_handlers_that_sleep_do_so_at_one_time_and_in_order_inside_each_connection() {
    const PEERS: usize = 8;
    let sleeps = |workers| {
        let (shop, _doorman) = shop();
        let took = Arc::new(Mutex::new(Duration::ZERO));
        let taken = Arc::clone(&took);
        let kept = shop.clone();
        with(
            Pool::builder().shards(1).workers(workers),
            |pool| async move {
                let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
                let address = server.local_addr();
                let start = Instant::now();
                let talk = move |number: usize| {
                    let mut stream = dial(address);
                    let lines = format!("first {number}\nsleep 200\nlast {number}\n");
                    assert_eq!(exchange(&mut stream, lines.as_bytes()), lines.as_bytes());
                };
                let peers: Vec<_> = (0..PEERS)
                    .map(|number| std::thread::spawn(move || talk(number)))
                    .collect();
                peer(|| peers.into_iter().for_each(|peer| peer.join().unwrap())).await;
                *taken.lock().unwrap() = start.elapsed();
                all_gone(&pool).await;
            },
        );
        let took = *took.lock().unwrap();
        (took, kept.threads())
    };
    let (took, threads) = sleeps(PEERS);
    // 200 ms, and what a busy machine adds; one after the other they take 1.6 s.
    assert!(took < Duration::from_millis(1200), "{took:?}");
    assert_eq!(threads, PEERS, "each on a worker of its own");
    let (took, threads) = sleeps(0);
    assert!(
        took >= Duration::from_millis(1600),
        "without workers they wait for each other"
    );
    assert_eq!(threads, 1);
}

/// Writes all lines while it reads what comes back, and compares.
fn talk(address: SocketAddr, lines: u32) {
    let mut stream = dial(address);
    let mut writer = stream.try_clone().unwrap();
    let sent: String = (0..lines).map(|n| format!("line {n}\n")).collect();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || {
        for piece in sent.as_bytes().chunks(777) {
            writer.write_all(piece).unwrap();
        }
    });
    let got = read_exact(&mut stream, expected.len());
    writing.join().unwrap();
    assert!(got == expected.as_bytes(), "the answers are out of order");
}

/// XAS-09: the same results on any number of shards and workers, in order inside each connection, and on
/// all the threads that there are.
#[test]
fn xas_09_results_and_order_are_the_same_on_any_number_of_threads() {
    const PEERS: usize = 8;
    for (shards, workers) in [
        (1, 0),
        (2, 0),
        (4, 0),
        (1, 1),
        (1, 4),
        (2, 4),
        (4, 2),
        (0, 2),
    ] {
        let (shop, _doorman) = shop();
        let kept = shop.clone();
        let builder = Pool::builder().shards(shards).workers(workers);
        let totals = with(builder, |pool| async move {
            let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
            let address = server.local_addr();
            // All are there before the first leaves, so that they are spread evenly.
            let there = Arc::new(Gathering::of(PEERS));
            let peers: Vec<_> = (0..PEERS)
                .map(|_| {
                    let there = Arc::clone(&there);
                    std::thread::spawn(move || {
                        let first = dial(address);
                        there.wait();
                        talk(address, 500);
                        drop(first);
                    })
                })
                .collect();
            peer(|| peers.into_iter().for_each(|peer| peer.join().unwrap())).await;
            all_gone(&pool).await;
        });
        assert_eq!(totals.closed, [0, 0, 2 * PEERS as u64, 0]);
        let most = if workers > 0 { workers } else { shards };
        let used = kept.threads();
        assert!(used <= most, "{used} threads of {most}");
        assert!(most == 1 || used > 1, "{shards} shards, {workers} workers");
    }
}

/// XAS-10: while a handler blocks, the bytes of its own connection move on, and everybody else is served:
/// a session on another worker, one without a worker, and who comes in.
#[test]
fn xas_10_a_handler_that_blocks_stalls_nobody_else() {
    let (shop, doorman) = shop();
    with(Pool::builder().shards(1).workers(2), |pool| async move {
        let listen = local().lines();
        let server = pool.listen(listen.clone(), shop.servant()).await.unwrap();
        let plain = listen.on_workers(false);
        let plain = pool.listen(plain, |client| Echo { client }).await.unwrap();
        let mut blocked = dial(server.local_addr());
        blocked.write_all(b"wait\n").unwrap();
        let doorman = doorman.someone().await;
        let (there, here) = (server.local_addr(), plain.local_addr());
        let mut blocked = peer(move || {
            // What it has sent before it blocked is written by the shard.
            assert_eq!(read_exact(&mut blocked, 8), b"waiting\n");
            let mut other = dial(there);
            let mut without = dial(here);
            for _ in 0..100 {
                assert_eq!(exchange(&mut other, b"hello\n"), b"hello\n");
                assert_eq!(exchange(&mut without, b"hello\n"), b"hello\n");
            }
            blocked
        })
        .await;
        // The answers above came before the handler was done, which it is only now.
        blocked.set_nonblocking(true).unwrap();
        let nothing = std::io::Read::read(&mut blocked, &mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        blocked.set_nonblocking(false).unwrap();
        doorman.open();
        peer(move || assert_eq!(read_exact(&mut blocked, 5), b"wait\n")).await;
        all_gone(&pool).await;
    });
}

/// The session goes to the worker with the fewest, and each is told where the pool is looked at.
#[test]
fn the_worker_with_the_fewest_sessions_gets_the_next_one() {
    let (shop, _doorman) = shop();
    with(Pool::builder().shards(2).workers(3), |pool| async move {
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let address = server.local_addr();
        let open = || {
            let mut stream = dial(address);
            assert_eq!(exchange(&mut stream, b"here\n"), b"here\n");
            stream
        };
        let sessions = async || {
            let status = pool.status().await.unwrap();
            let workers = status.workers.iter();
            workers.map(|worker| worker.sessions).collect::<Vec<_>>()
        };
        let mut peers: Vec<_> = (0..6).map(|_| Some(open())).collect();
        assert_eq!(sessions().await, [2, 2, 2]);
        // They were opened one after the other: the second and the fifth are on the second worker.
        (peers[1], peers[4]) = (None, None);
        until(|| server.info().live == 4).await;
        while sessions().await != [2, 0, 2] {
            tokio::task::yield_now().await;
        }
        peers.extend((0..2).map(|_| Some(open())));
        assert_eq!(sessions().await, [2, 2, 2]);
        drop(peers);
        all_gone(&pool).await;
    });
}

/// Says on which thread it lives.
struct Whereabouts {
    client: Client,
    made_on: ThreadId,
    told: Sender<(ThreadId, ThreadId)>,
}

impl Actor for Whereabouts {
    type Context = SessionContext<Self>;
}

impl Whereabouts {
    fn tell(&self) {
        let told = (self.made_on, std::thread::current().id());
        self.told.send(told).unwrap();
    }
}

impl Handler<Connected> for Whereabouts {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        self.client.send("second\n").unwrap();
        self.tell();
    }
}

impl Handler<ConnectFailed> for Whereabouts {
    type Result = ();

    fn handle(&mut self, event: ConnectFailed, _: &mut Self::Context) {
        assert_eq!(event.error.phase, ConnectPhase::Connect);
        self.tell();
    }
}

session!(Whereabouts);

/// XAS-35, XAS-34: an outbound connection's session lives on a worker too, and is told what became of it
/// even when that is known before the worker has made the session.
#[test]
fn an_outbound_session_on_a_worker_is_told_the_outcome() {
    let (shop, doorman) = shop();
    with(Pool::builder().shards(1).workers(1), |pool| async move {
        let (told, seen) = channel();
        let make = |told: &Sender<_>| {
            let told = told.clone();
            move |client| Whereabouts {
                client,
                made_on: std::thread::current().id(),
                told,
            }
        };
        let (there, address) = listener();
        let connecting = pool.connect(Connect::tcp(address), make(&told));
        connecting.client().send("first\n").unwrap();
        let client = connecting.await.unwrap();
        let mut stream = there.accept().unwrap().0;
        assert_eq!(read_exact(&mut stream, 13), b"first\nsecond\n");
        let (made_on, handled_on) = seen.recv_timeout(PATIENCE).unwrap();
        assert_eq!(made_on, handled_on);
        assert_ne!(made_on, std::thread::current().id());

        // The only worker is blocked while the attempt fails.
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut blocked = dial(server.local_addr());
        blocked.write_all(b"wait\n").unwrap();
        let doorman = doorman.someone().await;
        drop(there);
        let failed = pool.connect(Connect::tcp(address), make(&told)).await;
        assert_eq!(failed.unwrap_err().kind, ErrorKind::ConnectionRefused);
        assert!(seen.try_recv().is_err());
        doorman.open();
        peer(move || assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), (made_on, made_on))).await;
        // Nothing is armed there, so that its peer's end would not be read.
        client.abort();
        drop((blocked, stream));
        all_gone(&pool).await;
    });
}

/// What lives elsewhere already stays there; to ask for what cannot be is an error that names it.
#[test]
fn only_sessions_of_their_own_connection_go_to_workers() {
    let options = |listen: Listen| listen.lines().on_workers(true);
    with(Pool::builder().shards(1).workers(1), |pool| async move {
        let here = std::thread::current().id();
        let (shop, _doorman) = shop();
        let (_there, listening) = listener();
        let client = pool.connect(Connect::tcp(listening), |client| Echo { client });
        let client = client.await.unwrap();
        let shared = shop.servant()(client).start();
        let kept = shared.clone();
        let server = pool.listen(local().lines(), move |_| shared.clone());
        let mut stream = dial(server.await.unwrap().local_addr());
        stream.write_all(b"hello\n").unwrap();
        until(|| shop.threads() == 1).await;
        assert!(shop.threads.lock().unwrap().contains(&here));
        let error = pool.listen(options(local()), move |_| kept.clone()).await;
        let error = error.unwrap_err().source.to_string();
        assert!(error.contains("lives elsewhere"), "{error}");
    });
    with_pool(|pool| async move {
        let make = |client| Echo { client };
        let error = pool.listen(options(local()), make).await.unwrap_err();
        assert!(error.source.to_string().contains("no workers"), "{error}");
        let connect = Connect::tcp("127.0.0.1:1").on_workers(true);
        let error = pool.connect(connect, make).await.unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Options);
        let status = pool.status().await.unwrap();
        assert_eq!(status.workers, []);
        let many = Pool::builder().workers(5000).start();
        let (asked, most) = (5000, 4096);
        assert!(matches!(
            many.unwrap_err(),
            StartError::TooManyWorkers { asked: a, most: m } if (a, m) == (asked, most)
        ));
    });
}

/// A connection whose session is not made in time closes, and its factory is not called any more.
#[test]
fn a_session_that_comes_too_late_is_not_made() {
    let (shop, doorman) = shop();
    let totals = with(Pool::builder().shards(1).workers(1), |pool| async move {
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut blocked = dial(server.local_addr());
        blocked.write_all(b"wait\n").unwrap();
        let doorman = doorman.someone().await;
        let made = Arc::new(AtomicUsize::new(0));
        let mut listen = local().lines();
        listen.config_mut().adoption_timeout = Duration::from_millis(50);
        let making = Arc::clone(&made);
        let late = pool.listen(listen, move |client| {
            making.fetch_add(1, Ordering::Relaxed);
            Echo { client }
        });
        let late = late.await.unwrap();
        let mut stream = dial(late.local_addr());
        stream.write_all(b"unread\n").unwrap();
        // It ends while the worker is blocked: with a reset, since it was never read.
        let end = peer(move || std::io::Read::read(&mut stream, &mut [0])).await;
        assert!(matches!(&end, Ok(0)) || end.is_err(), "{end:?}");
        until(|| late.info().closed[ClosedReason::Timeout as usize] == 1).await;
        doorman.open();
        peer(move || assert_eq!(read_exact(&mut blocked, 13), b"waiting\nwait\n")).await;
        let mut fresh: TcpStream = dial(late.local_addr());
        peer(move || assert_eq!(exchange(&mut fresh, b"on time\n"), b"on time\n")).await;
        assert_eq!(made.load(Ordering::Relaxed), 1);
        all_gone(&pool).await;
    });
    assert_eq!(totals.closed, [0, 0, 2, 1]);
}

/// A factory that is at work is waited for: its session is told the end that came meanwhile.
#[test]
fn a_connection_that_closes_while_its_session_is_made_still_tells_the_end() {
    with(Pool::builder().shards(1).workers(1), |pool| async move {
        let (mut stream, client, doorman, seen) = in_the_making(&pool).await;
        assert!(client.close());
        // The peer's side ends at once, the session is told when it is there.
        assert_eq!(peer(move || read_all(&mut stream)).await, b"");
        assert!(seen.try_recv().is_err());
        doorman.open();
        let cause = peer(move || seen.recv_timeout(PATIENCE).unwrap()).await;
        assert_eq!(cause, Cause::LocalClose);
        all_gone(&pool).await;
    });
}

//! Who has the turn, and who is woken when: sessions, threads and executors beside one another.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use switchboard::prelude::*;
use switchboard::{ArmError, ConnectionOptions, RecvError};
use switchboard_tests::{Echo, PATIENCE, exchange, listener, peer, read_exact, with, with_pool};

use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;

use super::{SOON, open};

/// What is preset for the session is the session's, though somebody asks before it is there.
#[test]
fn a_preset_receive_is_not_lost_to_one_who_asks_early() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let connecting = pool.connect(Connect::tcp(address).lines(), |client| Echo { client });
        let client = connecting.client().clone();
        let asked = actix::spawn(client.recv_line());
        tokio::task::yield_now().await;
        let stream = peer(move || listener.accept().unwrap().0).await;
        connecting.await.unwrap();
        let refused = tokio::time::timeout(PATIENCE / 4, asked).await;
        assert_eq!(
            refused.expect("nobody answers").unwrap().unwrap_err(),
            RecvError::Refused(ArmError::AlreadyReceiving)
        );
        peer(move || {
            let mut stream = stream;
            stream.set_read_timeout(Some(PATIENCE / 4)).unwrap();
            assert_eq!(exchange(&mut stream, b"one\n"), b"one\n");
        })
        .await;
    });
}

#[test]
fn a_factory_that_asks_does_not_take_what_is_preset() {
    with_pool(async |pool| {
        let server = pool
            .listen(Listen::tcp("127.0.0.1:0").lines(), |client: Client| {
                actix::spawn(client.recv_line());
                let mut once = Box::pin(client.recv_line());
                let mut cx = Context::from_waker(Waker::noop());
                let _ = once.as_mut().poll(&mut cx);
                std::mem::forget(once);
                Echo { client }
            })
            .await
            .unwrap();
        let address = server.local_addr();
        peer(move || {
            let mut stream = switchboard_tests::dial(address);
            stream.set_read_timeout(Some(PATIENCE / 4)).unwrap();
            assert_eq!(exchange(&mut stream, b"one\n"), b"one\n");
        })
        .await;
    });
}

/// Each line is asked for by a future that is dropped and made again while bytes dribble in.
#[test]
fn a_line_that_is_asked_for_again_and_again_comes_once() {
    for shards in [1, 2] {
        with(Pool::builder().shards(shards), async |pool| {
            let (client, mut stream) = open(&pool).await;
            let writing = std::thread::spawn(move || {
                for number in 0..2000 {
                    let line = format!("line {number}\n");
                    let (front, back) = line.split_at(number % line.len());
                    stream.write_all(front.as_bytes()).unwrap();
                    stream.write_all(back.as_bytes()).unwrap();
                }
                stream
            });
            let mut next = 0;
            let mut tick = tokio::time::interval(Duration::from_millis(1));
            while next < 2000 {
                tokio::select! {
                    biased;
                    _ = tick.tick() => {}
                    _ = tokio::task::yield_now() => {}
                    line = client.recv_line() => {
                        let line = line.unwrap();
                        assert_eq!(line.text().unwrap(), format!("line {next}"));
                        next += 1;
                    }
                }
            }
            drop(peer(move || writing.join().unwrap()).await);
        });
    }
}

/// Many threads ask, give up and ask again; some futures move from one thread to the other between two
/// looks. Every line goes to exactly one, and nobody waits for ever.
#[test]
fn every_line_goes_to_one_of_many_threads() {
    const LINES: usize = 4000;
    with(Pool::builder().shards(2), async |pool| {
        let (client, mut stream) = open(&pool).await;
        let writing = std::thread::spawn(move || {
            for number in 0..LINES {
                stream.write_all(format!("{number}\n").as_bytes()).unwrap();
                if number % 64 == 0 {
                    std::thread::yield_now();
                }
            }
            stream
        });
        let taken = Arc::new(AtomicUsize::new(0));
        let ask = |client: Client, taken: Arc<AtomicUsize>, kind: usize, far: Handle| async move {
            let mut mine = Vec::new();
            while taken.load(Ordering::SeqCst) < LINES {
                let wait = Duration::from_micros(200 * kind as u64);
                let line = match kind {
                    0 => client.recv_line().timeout(SOON).await.ok(),
                    1 | 2 => client.recv_line().timeout(wait).await.ok(),
                    3 | 4 => timeout(wait, client.recv_line())
                        .await
                        .ok()
                        .and_then(Result::ok),
                    _ => {
                        let mut asked = client.recv_line();
                        if let Poll::Ready(line) = futures_util::poll!(&mut asked) {
                            line.ok()
                        } else {
                            // Another thread goes on with it.
                            let asked = far.spawn(timeout(SOON, asked));
                            asked.await.unwrap().ok().and_then(Result::ok)
                        }
                    }
                };
                if let Some(line) = line {
                    taken.fetch_add(1, Ordering::SeqCst);
                    mine.push(line.text().unwrap().parse::<usize>().unwrap());
                }
            }
            mine
        };
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        let (over, is_over) = tokio::sync::oneshot::channel::<()>();
        let far = runtime();
        let elsewhere = far.handle().clone();
        let far = std::thread::spawn(move || drop(far.block_on(is_over)));
        let threads: Vec<_> = (0..6)
            .map(|kind| {
                let asking = ask(client.clone(), Arc::clone(&taken), kind, elsewhere.clone());
                tokio::task::spawn_blocking(move || runtime().block_on(asking))
            })
            .collect();
        let at_home = actix::spawn(ask(client.clone(), Arc::clone(&taken), 5, elsewhere));
        let mut all = Vec::new();
        let began = Instant::now();
        for mine in join_all(threads).await {
            let mine = mine.unwrap();
            assert!(mine.is_sorted(), "out of order");
            all.extend(mine);
        }
        all.extend(at_home.await.unwrap());
        assert!(began.elapsed() < PATIENCE);
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..LINES), "{} lines", all.len());
        drop(peer(move || writing.join().unwrap()).await);
        drop(over);
        far.join().unwrap();
    });
}

/// A waker is somebody else's code: it may look at the connection when it is let go of.
#[test]
fn a_waker_that_looks_at_the_connection_does_not_stop_it() {
    struct Looks(Client);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Looks {
        fn drop(&mut self) {
            let _ = self.0.info();
        }
    }
    with_pool(async |pool| {
        let (client, _stream) = open(&pool).await;
        let asking = client.clone();
        let thread = std::thread::spawn(move || {
            let poll = |future: &mut (dyn Future<Output = ()> + Unpin)| {
                let waker = Waker::from(Arc::new(Looks(asking.clone())));
                let _ = std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker));
            };
            let asked = asking.clone();
            let mut line = Box::pin(async move { drop(asked.recv_line().await) });
            let asked = asking.clone();
            let mut end = Box::pin(async move { drop(asked.closed().await) });
            let asked = asking.clone();
            let mut room = Box::pin(async move { drop(asked.sent(vec![0; 12 << 20]).await) });
            for _ in 0..3 {
                poll(&mut line);
                poll(&mut end);
                poll(&mut room);
            }
            drop((line, end, room));
        });
        let began = Instant::now();
        while !thread.is_finished() {
            assert!(began.elapsed() < PATIENCE / 4, "it is stuck");
            std::thread::sleep(Duration::from_millis(5));
        }
        thread.join().unwrap();
    });
}

/// A thousand wait at once, in one direction or the other, and none costs what all of them do.
#[test]
fn a_thousand_wait_at_once() {
    const MANY: usize = 1000;
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let lines: Vec<_> = (0..MANY)
            .map(|_| actix::spawn(client.recv_line()))
            .collect();
        tokio::task::yield_now().await;
        let began = Instant::now();
        stream.write_all(&b"line\n".repeat(MANY)).unwrap();
        for line in join_all(lines).await {
            assert_eq!(line.unwrap().unwrap().as_bytes(), b"line");
        }
        let receiving = began.elapsed();
        client.send(vec![0; 8 << 20]).unwrap();
        let sends: Vec<_> = (0..MANY)
            .map(|_| actix::spawn(client.sent("line")))
            .collect();
        tokio::task::yield_now().await;
        let began = Instant::now();
        let all = (8 << 20) + 4 * MANY;
        let reading = std::thread::spawn(move || read_exact(&mut stream, all).len());
        for sent in join_all(sends).await {
            sent.unwrap().unwrap();
        }
        let sending = began.elapsed();
        assert_eq!(peer(move || reading.join().unwrap()).await, all);
        println!("{receiving:?} for the lines, {sending:?} for the sends");
        assert!(receiving < Duration::from_secs(5) && sending < Duration::from_secs(5));
    });
}

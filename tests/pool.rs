//! Promises about the pool as a whole: its scale, its handles, its stop, its threads.
//!
//! XAS-13: what the original asks users not to call (adding, removing and notifying sockets) cannot
//! be called here. Those messages are private to the crate, and their types are not exported.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    ArmError, Cause, Client, ClientId, ClosedReason, Connect, ConnectionOptions, Listen, Pool,
    SendRefusal, Server, default_pool,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

const ANY: &str = "127.0.0.1:0";

async fn echo_server(pool: &Pool) -> Server {
    pool.listen(Listen::tcp(ANY).lines(), |client| Echo { client })
        .await
        .unwrap()
}

/// XAS-01: one socket more than `select` can watch silences the original for ever.
#[test]
fn xas_01_five_thousand_peers_at_once_each_get_their_line_back() {
    const PEERS: usize = 5_000;
    const FILES: u64 = 2 * PEERS as u64 + 200;
    if !is_rerun() {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        let hard: u64 = line
            .split_whitespace()
            .nth(4)
            .unwrap()
            .parse()
            .unwrap_or(u64::MAX);
        if hard < FILES {
            eprintln!("SKIPPED: {FILES} open files are needed, the hard limit is {hard}");
            return;
        }
        let test = "xas_01_five_thousand_peers_at_once_each_get_their_line_back";
        let mut child = Reaped(rerun(test, Some(FILES)).spawn().unwrap());
        assert!(child.wait().success());
        return;
    }
    let totals = with(Pool::builder().shards(2), async |pool| {
        let listen = Listen::tcp(ANY).lines().backlog(4096);
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let address = server.local_addr();
        let before = resident_bytes();
        let (everybody_in, go) = (Arc::new(Barrier::new(5)), Arc::new(Barrier::new(5)));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (everybody_in, go) = (Arc::clone(&everybody_in), Arc::clone(&go));
                std::thread::spawn(move || {
                    let mut peers: Vec<_> = (0..PEERS / 4).map(|_| dial(address)).collect();
                    everybody_in.wait();
                    go.wait();
                    for (index, peer) in peers.iter_mut().enumerate() {
                        writeln!(peer, "line {index} of {thread}").unwrap();
                    }
                    for (index, peer) in peers.iter_mut().enumerate() {
                        let line = format!("line {index} of {thread}\n");
                        assert_eq!(read_exact(peer, line.len()), line.as_bytes());
                    }
                })
            })
            .collect();
        peer(move || everybody_in.wait()).await;
        until(|| server.info().live == PEERS as u64).await;
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let threads_now: usize = field(&status, "Threads:").parse().unwrap();
        assert!(threads_now < 40, "{threads_now} threads for {PEERS} peers");
        let each = resident_bytes().saturating_sub(before) / PEERS;
        println!("resident memory: {each} bytes per idle connection");
        assert!(each < 32 * 1024, "{each} bytes per idle connection");
        peer(move || {
            go.wait();
            for thread in threads {
                thread.join().unwrap();
            }
        })
        .await;
    });
    assert_eq!(totals.accepted, PEERS as u64);
    assert_eq!(totals.closed_in_all(), PEERS as u64);
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap()
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    field(&status, "VmRSS:").parse::<usize>().unwrap() * 1024
}

/// XAS-02. Only a floor that a slow machine passes too; how fast it is, the benchmarks tell.
#[test]
fn xas_02_a_thousand_lines_go_round_within_seconds() {
    with_pool(async |pool| {
        let server = echo_server(&pool).await;
        let address = server.local_addr();
        let took = peer(move || {
            let mut peer = dial(address);
            let since = Instant::now();
            for _ in 0..1_000 {
                let line = b"a line of thirty-two bytes, all\n";
                assert_eq!(exchange(&mut peer, line), line);
            }
            since.elapsed()
        })
        .await;
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

/// XAS-04: the original takes a UDP port of the host for each pool, and the 31st finds none.
#[test]
fn xas_04_forty_pools_open_no_udp_port() {
    if !is_rerun() {
        let test = "xas_04_forty_pools_open_no_udp_port";
        let mut child = Reaped(rerun(test, None).spawn().unwrap());
        assert!(child.wait().success());
        return;
    }
    System::new().block_on(async {
        let mut pools = Vec::new();
        for _ in 0..40 {
            let pool = Pool::builder().shards(1).start().unwrap();
            let server = echo_server(&pool).await;
            pools.push((pool, server));
        }
        let addresses: Vec<_> = pools
            .iter()
            .map(|(_, server)| server.local_addr())
            .collect();
        peer(move || {
            for address in addresses {
                assert_eq!(exchange(&mut dial(address), b"hello\n"), b"hello\n");
            }
        })
        .await;
        let mine: HashSet<String> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .filter_map(|target| {
                let target = target.to_string_lossy().into_owned();
                Some(
                    target
                        .strip_prefix("socket:[")?
                        .strip_suffix(']')?
                        .to_owned(),
                )
            })
            .collect();
        assert!(mine.len() >= 40, "the listeners themselves are found");
        for table in ["/proc/net/udp", "/proc/net/udp6"] {
            // A machine without IPv6 has no second table.
            let table = std::fs::read_to_string(table).unwrap_or_default();
            for row in table.lines().skip(1) {
                let inode = row.split_whitespace().nth(9).unwrap();
                assert!(!mine.contains(inode), "a UDP socket: {row}");
            }
        }
        for (pool, _) in pools {
            pool.stop().await;
        }
    });
}

/// Looks, from inside its `Closed` handler, whether the pool still knows its connection.
struct LooksWhenClosed {
    client: Client,
    seen: mpsc::UnboundedSender<(bool, bool)>,
}

impl Actor for LooksWhenClosed {
    type Context = Context<Self>;
}

impl Handler<DataReceived> for LooksWhenClosed {
    type Result = ();

    fn handle(&mut self, _: DataReceived, _: &mut Self::Context) {}
}

impl Handler<Closed> for LooksWhenClosed {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) -> Self::Result {
        let (pool, seen) = (self.client.pool().clone(), self.seen.clone());
        AtomicResponse::new(Box::pin(
            async move {
                let listed = pool.connections().await.unwrap();
                let listed = listed.iter().any(|info| info.id == msg.client);
                let found = pool.connection(msg.client).await.is_some();
                seen.send((listed, found)).unwrap();
            }
            .into_actor(self),
        ))
    }
}

switchboard::session!(LooksWhenClosed);

/// XAS-05, XAS-06.
#[test]
fn xas_05_xas_06_the_pool_lists_and_finds_what_is_open_and_nothing_else() {
    with(Pool::builder().shards(2), async |pool| {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let server = pool
            .listen(Listen::tcp(ANY).data(), move |client| LooksWhenClosed {
                client,
                seen: sender.clone(),
            })
            .await
            .unwrap();
        let (outside, outside_addr) = listener();
        let mut trace = Probe::new();
        let outbound = pool.connect(Connect::tcp(outside_addr), trace.session());
        let outbound = outbound.await.unwrap();
        expect!(trace, Connected);
        let peers: Vec<_> = (0..3).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().live == 3).await;

        let list = pool.connections().await.unwrap();
        assert_eq!(list.len(), 4);
        assert!(list.is_sorted_by_key(|info| info.id));
        assert_eq!(pool.status().await.unwrap().servers, 1);
        for peer in &peers {
            let ours = peer.local_addr().unwrap();
            let info = list
                .iter()
                .find(|info| info.peer_addr == Some(ours))
                .unwrap();
            assert_eq!(info.server, Some(server.id()));
            assert_eq!(info.local_addr, Some(server.local_addr()));
            assert!(!info.outbound);
            let found = pool.connection(info.id).await.unwrap();
            assert_eq!(found.id(), info.id);
            assert_eq!(found.peer_addr(), Some(ours));
        }
        let out = list.iter().find(|info| info.outbound).unwrap();
        assert_eq!((out.id, out.server), (outbound.id(), None));
        assert!(
            pool.connection(ClientId::from_u64(u64::MAX))
                .await
                .is_none()
        );
        assert!(pool.connection(ClientId::from_u64(0)).await.is_none());

        drop(peers);
        for _ in 0..3 {
            let seen = tokio::time::timeout(PATIENCE, seen.recv()).await;
            assert_eq!(seen.unwrap(), Some((false, false)), "listed or found");
        }
        for info in list.iter().filter(|info| !info.outbound) {
            assert!(pool.connection(info.id).await.is_none());
        }
        let list = pool.connections().await.unwrap();
        assert_eq!(list.len(), 1);
        outbound.close();
        drop(outside);
        expect!(trace, Closed);
    });
}

/// Prints its end.
struct Printer {
    _client: Client,
}

impl Actor for Printer {
    type Context = Context<Self>;
}

impl Handler<Closed> for Printer {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        println!("\nclosed {} {:?}", msg.client, msg.reason);
    }
}

switchboard::session!(Printer);

/// XAS-07: the blocking form, in a process of its own.
#[test]
fn xas_07_an_interrupt_stops_the_process_in_order() {
    interrupted(
        "xas_07_an_interrupt_stops_the_process_in_order",
        async || (),
    );
}

/// XAS-07.
#[test]
fn xas_07_an_interrupt_ends_the_programs_own_work_too() {
    let test = "xas_07_an_interrupt_ends_the_programs_own_work_too";
    interrupted(test, async || std::future::pending().await);
}

fn interrupted(test: &str, afterwards: impl AsyncFnOnce()) {
    if is_rerun() {
        let totals = Pool::builder()
            .shards(2)
            .run(async |pool| {
                let server = pool
                    .listen(Listen::tcp(ANY), |client| Printer { _client: client })
                    .await?;
                println!("\nlistening {}", server.local_addr());
                until(|| server.info().live == 5).await;
                println!("\nready");
                afterwards().await;
                Ok(())
            })
            .unwrap();
        assert_eq!(totals.closed[ClosedReason::ClosedByHost as usize], 5);
        return;
    }
    let mut child = Reaped(rerun(test, None).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut line_with = |start: &str| {
        loop {
            let line = lines.next().expect("the child ended early").unwrap();
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    };
    let address: SocketAddr = line_with("listening ").parse().unwrap();
    let mut peers: Vec<_> = (0..5).map(|_| dial(address)).collect();
    line_with("ready");
    let interrupted = Instant::now();
    let pid = child.0.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(kill.success());
    for peer in &mut peers {
        assert_eq!(read_all(peer), b"");
    }
    drop(peers);
    assert!(child.wait().success(), "it exits with 0");
    let took = interrupted.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let closed: Vec<String> = lines
        .map(Result::unwrap)
        .filter(|line| line.starts_with("closed "))
        .collect();
    assert!(closed.iter().all(|line| line.ends_with("ClosedByHost")));
    let once: HashSet<_> = closed.iter().collect();
    assert_eq!((closed.len(), once.len()), (5, 5), "{closed:?}");
}

/// XAS-08.
#[test]
fn xas_08_a_background_pool_is_ready_when_the_call_returns() {
    let background = Pool::builder().shards(1).background().unwrap();
    let pool = background.pool().clone();
    let server = background
        .block_on(async move { echo_server(&pool).await })
        .unwrap();
    let mut peer = dial(server.local_addr());
    assert_eq!(exchange(&mut peer, b"at once\n"), b"at once\n");
    let stopping = std::thread::spawn(move || background.stop());
    assert_eq!(read_all(&mut peer), b"");
    drop(peer);
    let totals = stopping.join().unwrap();
    assert_eq!((totals.accepted, totals.live), (1, 0));
    assert!(TcpStream::connect(server.local_addr()).is_err());
}

/// Stops its own pool on a line.
struct Stopper {
    client: Client,
    events: mpsc::UnboundedSender<(ClientId, Cause)>,
    stopped: mpsc::UnboundedSender<Duration>,
}

impl Actor for Stopper {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Stopper {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        let since = Instant::now();
        let stopping = self.client.pool().stop();
        let stopped = self.stopped.clone();
        // On a thread that outlives the pool's own.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(stopping);
            stopped.send(since.elapsed()).unwrap();
        });
    }
}

impl Handler<Closed> for Stopper {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.events.send((msg.client, msg.detail.cause)).unwrap();
    }
}

switchboard::session!(Stopper);

/// XAS-11: called there, the original's stop deadlocks for ever. XAS-12 on the way.
#[test]
fn xas_11_xas_12_a_stop_from_inside_a_handler_ends_everything_once() {
    with(Pool::builder().shards(2), async |pool| {
        assert!(pool.is_running());
        assert!(pool.status().await.unwrap().running);
        let (events, mut closed) = mpsc::unbounded_channel();
        let (stopped, mut done) = mpsc::unbounded_channel();
        let server = pool
            .listen(Listen::tcp(ANY).lines(), move |client| Stopper {
                client,
                events: events.clone(),
                stopped: stopped.clone(),
            })
            .await
            .unwrap();
        let mut peers: Vec<_> = (0..20).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().live == 20).await;
        peers[7].write_all(b"stop\n").unwrap();
        // Peers that never finish by themselves until they see the end.
        let waiting = peer(move || {
            for peer in &mut peers {
                assert_eq!(read_all(peer), b"");
            }
        });
        let took = tokio::time::timeout(PATIENCE, done.recv());
        let (took, ()) = tokio::join!(took, waiting);
        let took = took.unwrap().unwrap();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(!pool.is_running());
        assert!(pool.status().await.is_err());
        assert_eq!(pool.stop_report().unwrap().closed, [0, 20, 0, 0]);
        let mut seen = HashSet::new();
        while let Ok((client, cause)) = closed.try_recv() {
            assert_eq!(cause, Cause::PoolStopped);
            assert!(seen.insert(client), "{client} was closed twice");
        }
        assert_eq!(seen.len(), 20);
        assert!(TcpStream::connect(server.local_addr()).is_err());
        assert!(!server.is_listening());
        let refused = pool.listen(Listen::tcp(ANY), |client| Echo { client });
        assert!(refused.await.is_err());
        let refused = pool.connect(Connect::tcp(server.local_addr()), |client| Echo { client });
        assert!(refused.await.is_err());
    });
}

/// XAS-07: a pool can be started again and again, as its threads are its own.
#[test]
fn xas_07_a_stopped_pool_can_be_followed_by_another() {
    for _ in 0..3 {
        with_pool(async |pool| {
            let address = echo_server(&pool).await.local_addr();
            peer(move || assert_eq!(exchange(&mut dial(address), b"x\n"), b"x\n")).await;
        });
    }
}

/// Opens a second connection, to wherever the line says, through the pool of its own one.
struct Opener {
    client: Client,
}

impl Actor for Opener {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Opener {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let pool = self.client.pool();
        let target = str::from_utf8(&msg.line).unwrap();
        let second = pool.connect(Connect::tcp(target).lines(), |client| Echo { client });
        second.client().send("from the handler\n").unwrap();
    }
}

switchboard::session!(Opener);

/// XAS-16.
#[test]
fn xas_16_a_session_opens_a_second_connection_through_its_handle() {
    with_pool(async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY).lines(), |client| Opener { client })
            .await
            .unwrap();
        let address = server.local_addr();
        peer(move || {
            let (listener, target) = listener();
            let mut first = dial(address);
            writeln!(first, "{target}").unwrap();
            let (mut second, _) = listener.accept().unwrap();
            assert_eq!(read_exact(&mut second, 17), b"from the handler\n");
            assert_eq!(exchange(&mut second, b"back\n"), b"back\n");
        })
        .await;
    });
}

/// XAS-17.
#[test]
fn xas_17_port_zero_becomes_real_and_the_socket_can_be_looked_at() {
    with_pool(async |pool| {
        let mut trace = Probe::new();
        let server = pool
            .listen(Listen::tcp(ANY).lines(), trace.session())
            .await
            .unwrap();
        assert_ne!(server.local_addr().port(), 0);
        let stream = dial(server.local_addr());
        let client = expect!(trace, Accepted).handle;
        assert_eq!(client.local_addr(), Some(server.local_addr()));
        let before = client.with_socket(|socket| socket.keepalive().unwrap());
        assert_eq!(before.await, Some(false));
        let idle = Duration::from_secs(77);
        client
            .with_socket(move |socket| {
                let keepalive = socket2::TcpKeepalive::new().with_time(idle);
                socket.set_tcp_keepalive(&keepalive).unwrap();
            })
            .await
            .unwrap();
        let after = client.with_socket(|socket| {
            let idle = socket.tcp_keepalive_time().unwrap();
            (socket.keepalive().unwrap(), idle)
        });
        assert_eq!(after.await, Some((true, idle)));
        drop(stream);
        expect!(trace, Closed);
        assert_eq!(client.with_socket(|_| ()).await, None);
    });
}

/// XAS-18: the original's ids are descriptors, used again at once.
#[test]
fn xas_18_ten_thousand_connections_have_ten_thousand_ids() {
    const THREADS: usize = 4;
    const CYCLES: usize = 10_000;
    let ids = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&ids);
    let totals = with(Pool::builder().shards(2), async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY), move |client| {
                let fresh = seen.lock().unwrap().insert(client.id());
                assert!(fresh, "{} was used before", client.id());
                client.close();
                Echo { client }
            })
            .await
            .unwrap();
        let address = server.local_addr();
        let peers: Vec<_> = (0..THREADS)
            .map(|_| {
                peer(move || {
                    for _ in 0..CYCLES / THREADS {
                        let mut peer = dial(address);
                        assert_eq!(read_all(&mut peer), b"");
                        // Leaves no port in TIME_WAIT behind.
                        reset_on_close(&peer);
                    }
                })
            })
            .map(actix_rt::spawn)
            .collect();
        for peer in peers {
            peer.await.unwrap();
        }
        until(|| server.info().live == 0).await;
    });
    assert_eq!(ids.lock().unwrap().len(), CYCLES);
    assert_eq!(totals.accepted, CYCLES as u64);
}

/// XAS-23: one send to a closed socket kills the original's whole pool.
#[test]
fn xas_23_a_broadcast_to_open_and_closed_connections_reaches_the_open_ones() {
    with_pool(async |pool| {
        let mut trace = Probe::new();
        let server = pool
            .listen(Listen::tcp(ANY).lines(), trace.session())
            .await
            .unwrap();
        let mut peers = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..6 {
            peers.push(Some(dial(server.local_addr())));
            clients.push(expect!(trace, Accepted).handle);
        }
        for gone in [0, 2, 4] {
            peers[gone] = None;
            let closed = expect!(trace, Closed);
            assert_eq!(closed.handle, clients[gone]);
        }
        for round in ["one\n", "two\n", "three\n"] {
            for (index, client) in clients.iter().enumerate() {
                let sent = client.send(round);
                if index % 2 == 1 {
                    sent.unwrap();
                } else {
                    let error = sent.unwrap_err();
                    assert_eq!(error.refusal, SendRefusal::Closed);
                    assert_eq!(error.into_payload(), round);
                    assert!(client.is_closed() && !client.close() && !client.abort());
                    assert_eq!(client.arm(RecvLine::once()), Err(ArmError::Closed));
                    assert!(client.try_recv(1).is_err());
                    assert!(client.take_send_slot().is_err());
                    assert!(client.write_eof().is_err());
                }
            }
        }
        peer(move || {
            for mut peer in peers.into_iter().flatten() {
                assert_eq!(read_exact(&mut peer, 14), b"one\ntwo\nthree\n");
            }
        })
        .await;
    });
}

/// XAS-69: sends from eight threads arrive whole, in the order of each thread, up to the close.
#[test]
fn xas_69_eight_threads_send_and_close_the_same_handle() {
    for _ in 0..20 {
        with_pool(async |pool| {
            let mut trace = Probe::new();
            let server = pool
                .listen(Listen::tcp(ANY), trace.session())
                .await
                .unwrap();
            let mut stream = dial(server.local_addr());
            let client = expect!(trace, Accepted).handle;
            let reading = std::thread::spawn(move || read_all(&mut stream));
            let closes = AtomicUsize::new(0);
            let sent: Vec<usize> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8_usize)
                    .map(|thread| {
                        let (client, closes) = (client.clone(), &closes);
                        scope.spawn(move || {
                            for count in 0..500 {
                                if count == 100 + thread * 50 && client.close() {
                                    closes.fetch_add(1, Ordering::Relaxed);
                                }
                                if client.send(format!("{thread} {count}\n")).is_err() {
                                    return count;
                                }
                            }
                            500
                        })
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert_eq!(closes.into_inner(), 1, "one close is the first");
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::ClosedByHost);
            let read = peer(move || reading.join().unwrap()).await;
            let mut next = [0; 8];
            for line in String::from_utf8(read).unwrap().lines() {
                let (thread, count) = line.split_once(' ').unwrap();
                let thread: usize = thread.parse().unwrap();
                assert_eq!(count, next[thread].to_string(), "order of one thread");
                next[thread] += 1;
            }
            assert_eq!(next.as_slice(), sent, "all that was taken was sent");
            trace.no_more(Duration::from_millis(5)).await;
        });
    }
}

/// AC-01.
#[test]
fn ac_01_running_ends_when_idle_or_after_so_many_passes() {
    with_pool(async |pool| {
        pool.run_until_idle().await.unwrap();
        let passes = pool.run_passes(3, PATIENCE).await.unwrap();
        assert_eq!(passes, 0, "an empty pool returns at once");

        let server = echo_server(&pool).await;
        let address = server.local_addr();
        let dialled = peer(move || dial(address));
        let (passes, stream) = tokio::join!(pool.run_passes(1, PATIENCE), dialled);
        assert_eq!(passes.unwrap(), 1, "the peer was accepted");
        until(|| server.info().live == 1).await;

        let since = Instant::now();
        let nothing = pool.run_passes(2, Duration::from_millis(50)).await.unwrap();
        let took = since.elapsed();
        assert_eq!(nothing, 0, "nothing happens, twice");
        assert!(took >= Duration::from_millis(100), "{took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");

        let idle = pool.run_until_idle();
        tokio::pin!(idle);
        // The peer is still there, so it goes on for as long as it is looked at.
        let early = tokio::time::timeout(Duration::from_millis(50), &mut idle);
        assert!(early.await.is_err());
        drop(stream);
        tokio::time::timeout(PATIENCE, idle).await.unwrap().unwrap();
        assert_eq!(server.info().live, 0);
    });
}

/// AC-02.
#[test]
fn ac_02_stopping_one_pool_leaves_the_other() {
    with_pool(async |pool| {
        let other = Pool::builder().shards(1).name("other").start().unwrap();
        let (ours, theirs) = (echo_server(&pool).await, echo_server(&other).await);
        let mut stays = dial(ours.local_addr());
        let mut goes = dial(theirs.local_addr());
        until(|| ours.info().live == 1 && theirs.info().live == 1).await;
        let ended = peer(move || read_all(&mut goes));
        let (totals, ended) = tokio::join!(other.stop(), ended);
        assert_eq!((totals.accepted, ended), (1, Vec::new()));
        assert!(!other.is_running() && pool.is_running());
        peer(move || assert_eq!(exchange(&mut stays, b"still here\n"), b"still here\n")).await;
    });
}

/// AC-02.
#[test]
fn ac_02_each_thread_has_one_default_pool_that_comes_back_after_a_stop() {
    let name = || {
        System::new().block_on(async {
            let pool = default_pool().unwrap();
            let address = echo_server(&pool).await.local_addr();
            let same = default_pool().unwrap();
            let servers = same.status().await.unwrap().servers;
            assert_eq!(servers, 1, "it is the same pool");
            peer(move || assert_eq!(exchange(&mut dial(address), b"x\n"), b"x\n")).await;
            pool.stop().await;
            let next = default_pool().unwrap();
            assert!(next.is_running() && !pool.is_running());
            assert_eq!(next.status().await.unwrap().servers, 0);
            next.stop().await;
        });
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(name), scope.spawn(name)];
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

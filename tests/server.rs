//! Promises about listeners: what they say when they cannot open, whom they let in, what they
//! survive.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    AtLimit, BufferSlots, Cause, Client, ClosedReason, ConnectionOptions, Handlers, Listen,
    ListenError, ListenPhase, Pool, Server,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

const ANY: &str = "127.0.0.1:0";

/// Greets, so that a peer sees that it was let in, and echoes lines.
struct Greeter {
    client: Client,
    /// How many are in, and the most that ever were.
    inside: Option<Arc<(AtomicUsize, AtomicUsize)>>,
}

impl Actor for Greeter {
    type Context = Context<Self>;
}

impl Handler<Accepted> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        // A peer that is gone already needs no greeting.
        let _ = msg.handle.send("hello\n");
    }
}

impl Handler<LineReceived> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let _ = self.client.send_line(&msg.line);
    }
}

impl Handler<Closed> for Greeter {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        if let Some(inside) = &self.inside {
            inside.0.fetch_sub(1, SeqCst);
        }
    }
}

switchboard::session!(Greeter);

async fn greet(pool: &Pool, listen: Listen) -> Server {
    pool.listen(listen.lines(), |client| Greeter {
        client,
        inside: None,
    })
    .await
    .unwrap()
}

async fn refused(pool: &Pool, listen: Listen) -> ListenError {
    pool.listen(listen, |client| Echo { client })
        .await
        .unwrap_err()
}

/// Whether the peer was let in: it is greeted, or sees the end.
fn is_let_in(peer: &mut TcpStream) -> bool {
    let mut greeting = [0; 6];
    match peer.read(&mut greeting).unwrap() {
        0 => false,
        count => {
            peer.read_exact(&mut greeting[count..]).unwrap();
            assert_eq!(&greeting, b"hello\n");
            true
        }
    }
}

/// Whether nothing comes for a moment, in which a peer that is let in would be greeted.
fn waits(peer: &mut TcpStream) -> bool {
    peer.set_read_timeout(Some(Duration::from_millis(30)))
        .unwrap();
    let error = peer.read(&mut [0]).map_err(|error| error.kind());
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    error == Err(std::io::ErrorKind::WouldBlock)
}

fn is_rejected(event: &PoolEvent) -> Option<Option<SocketAddr>> {
    match event {
        PoolEvent::AcceptRejected { peer_addr, .. } => Some(*peer_addr),
        _ => None,
    }
}

/// XAS-24.
#[test]
fn xas_24_what_cannot_be_opened_names_the_address_and_the_phase() {
    with_pool(async |pool| {
        let (taken, address) = listener();
        let error = refused(&pool, Listen::tcp(address)).await;
        assert_eq!(error.phase, ListenPhase::Bind);
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        assert_eq!(error.target, address.to_string());
        let text = error.to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains("binding failed"), "{text}");
        drop(taken);

        for bad in ["127.0.0.1", "nowhere.invalid:0", "", "127.0.0.1:99999"] {
            let error = refused(&pool, Listen::tcp(bad)).await;
            assert_eq!(error.phase, ListenPhase::Resolve, "{bad:?}: {error}");
            assert_eq!(error.target, bad);
        }
        // An address of nobody here (TEST-NET-1).
        let error = refused(&pool, Listen::tcp("192.0.2.1:0")).await;
        assert_eq!(error.phase, ListenPhase::Bind, "{error}");

        let error = refused(&pool, Listen::tcp(ANY).recv_buffer(255)).await;
        assert_eq!(error.phase, ListenPhase::Options);
        assert!(error.to_string().contains("recv_buffer"), "{error}");
        let error = refused(&pool, Listen::tcp(ANY).messages()).await;
        assert_eq!(error.phase, ListenPhase::Options);
        assert!(error.to_string().contains("MessageReceived"), "{error}");
        assert_eq!(pool.status().await.unwrap().servers, 0);
    });
}

/// XAS-24: the listener can be named; XAS-29: both addresses are known.
#[test]
fn xas_24_xas_29_port_zero_is_asked_for_and_a_real_one_is_told() {
    with_pool(async |pool| {
        for requested in [ANY, "localhost:0"] {
            let server = greet(&pool, Listen::tcp(requested)).await;
            assert_eq!(server.requested(), requested);
            let info = server.info();
            assert_eq!(info.requested, requested);
            assert_eq!(info.local_addr, server.local_addr());
            assert_eq!(info.id, server.id());
            assert_ne!(info.local_addr.port(), 0);
            let address = server.local_addr();
            assert!(peer(move || is_let_in(&mut dial(address))).await);
        }
    });
}

/// The listening socket's backlog, as the system's own tool tells it.
fn backlog_of(address: SocketAddr) -> Option<u32> {
    let filter = format!("sport = :{}", address.port());
    let shown = Command::new("ss").args(["-ltnH", &filter]).output().ok()?;
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.split_whitespace().nth(2)?.parse().ok()
}

/// XAS-24, AC-16.
#[test]
fn xas_24_ac_16_the_backlog_is_the_one_asked_for_and_at_least_one() {
    with_pool(async |pool| {
        let error = refused(&pool, Listen::tcp(ANY).backlog(0)).await;
        assert_eq!(error.phase, ListenPhase::Options);
        assert!(error.to_string().contains("backlog"), "{error}");
        for (listen, backlog) in [
            (Listen::tcp(ANY), 256),
            (Listen::tcp(ANY).backlog(1), 1),
            (Listen::tcp(ANY).backlog(77), 77),
        ] {
            let server = greet(&pool, listen).await;
            let address = server.local_addr();
            match peer(move || backlog_of(address)).await {
                Some(shown) => assert_eq!(shown, backlog),
                None => eprintln!("SKIPPED: `ss` shows no backlog here"),
            }
        }
    });
}

/// AC-12, XAS-24.
#[test]
fn ac_12_ipv4_and_ipv6_peers_are_served() {
    with_pool(async |pool| {
        for address in [ANY, "[::1]:0"] {
            if TcpListener::bind(address).is_err() {
                eprintln!("SKIPPED: {address} cannot be had here");
                continue;
            }
            let server = greet(&pool, Listen::tcp(address)).await;
            let target = server.local_addr();
            assert_eq!(target.is_ipv6(), address.starts_with('['));
            peer(move || {
                let mut peer = dial(target);
                assert!(is_let_in(&mut peer));
                assert_eq!(exchange(&mut peer, b"echo\n"), b"echo\n");
            })
            .await;
        }
        if TcpListener::bind("[::]:0").is_ok() {
            for only_v6 in [true, false] {
                let server = greet(&pool, Listen::tcp("[::]:0").only_v6(only_v6)).await;
                let port = server.local_addr().port();
                let over_v4 = TcpStream::connect(("127.0.0.1", port));
                assert_eq!(over_v4.is_ok(), !only_v6);
                let over_v6 = peer(move || is_let_in(&mut dial(([0_u16; 8], port).into())));
                assert!(over_v6.await);
            }
        }
    });
}

/// XAS-25: the original closes who finds no slot without a word.
#[test]
fn xas_25_peers_beyond_the_slots_are_rejected_and_told_of() {
    const PLACES: usize = 4;
    with(Pool::builder().shards(2), async |pool| {
        let mut events = watch(&pool);
        let slots = BufferSlots::new(2 * PLACES, 4096, true).unwrap();
        let listen = Listen::tcp(ANY)
            .slots(slots.clone())
            .at_limit(AtLimit::Reject);
        let server = greet(&pool, listen).await;
        let address = server.local_addr();
        let mut peers = peer(move || {
            let mut peers: Vec<_> = (0..PLACES + 3).map(|_| dial(address)).collect();
            for (index, peer) in peers.iter_mut().enumerate() {
                assert_eq!(is_let_in(peer), index < PLACES, "peer {index}");
            }
            peers
        })
        .await;
        for rejected in peers.drain(PLACES..) {
            let told = next_pool_event(&mut events, is_rejected).await;
            assert_eq!(told, Some(rejected.local_addr().unwrap()));
        }
        let info = server.info();
        assert_eq!((info.accepted, info.live, info.rejected), (4, 4, 3));
        assert_eq!(slots.available(), 0);

        drop(peers.pop());
        until(|| slots.available() == 2).await;
        let mut next = dial(address);
        assert!(peer(move || is_let_in(&mut next)).await);
        peers.clear();
        until(|| slots.available() == 2 * PLACES).await;
    });
}

/// XAS-25, the other policy.
#[test]
fn xas_25_peers_beyond_the_slots_wait_until_one_is_free() {
    const PLACES: usize = 4;
    with(Pool::builder().shards(2), async |pool| {
        let slots = BufferSlots::new(2 * PLACES, 4096, true).unwrap();
        let listen = Listen::tcp(ANY).slots(slots.clone());
        let server = greet(&pool, listen).await;
        let address = server.local_addr();
        peer(move || {
            let mut peers: Vec<_> = (0..PLACES + 3).map(|_| dial(address)).collect();
            for peer in &mut peers[..PLACES] {
                assert!(is_let_in(peer));
            }
            for next in 0..3 {
                assert!(waits(&mut peers[PLACES]), "there is no slot for it yet");
                drop(peers.remove(0));
                assert!(is_let_in(&mut peers[PLACES - 1]), "{next}");
            }
        })
        .await;
        let info = server.info();
        assert_eq!((info.accepted, info.rejected), (7, 0));
        until(|| slots.available() == 2 * PLACES).await;
    });
}

/// XAS-26, AC-10.
#[test]
fn xas_26_ac_10_without_a_handler_the_peer_sees_the_end_at_once() {
    let totals = with_pool(async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY), |_| Handlers::new())
            .await
            .unwrap();
        let address = server.local_addr();
        peer(move || {
            for attempt in 1.. {
                let mut peer = dial(address);
                let since = Instant::now();
                assert_eq!(read_all(&mut peer), b"");
                let took = since.elapsed();
                if took < Duration::from_millis(100) {
                    break;
                }
                // A busy machine may need another try.
                assert!(attempt < 5, "{took:?}");
            }
        })
        .await;
        let greeter = greet(&pool, Listen::tcp(ANY)).await;
        let address = greeter.local_addr();
        assert!(peer(move || is_let_in(&mut dial(address))).await);
    });
    assert!(totals.closed[ClosedReason::ClosedByHost as usize] >= 1);
}

/// XAS-27: the original spins.
#[test]
fn xas_27_without_descriptors_accepting_pauses_and_recovers() {
    const TEST: &str = "xas_27_without_descriptors_accepting_pauses_and_recovers";
    if is_rerun() {
        starve();
        return;
    }
    let mut child = Reaped(
        rerun(TEST, Some(64))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut line_with = |start: &str| loop {
        let line = lines.next().expect("the child ended early").unwrap();
        if let Some(rest) = line.strip_prefix(start) {
            return rest.to_owned();
        }
    };
    let address: SocketAddr = line_with("listening ").parse().unwrap();
    let mut peers: Vec<_> = (0..100).map(|_| dial(address)).collect();
    line_with("paused");
    assert!(is_let_in(&mut peers[0]));
    assert!(waits(&mut peers[99]));
    let before = cpu_ticks(child.0.id());
    // A while in which a spinning process would burn a whole core.
    std::thread::sleep(Duration::from_secs(1));
    let burnt = cpu_ticks(child.0.id()) - before;
    assert!(burnt < 20, "{burnt} hundredths of a core while paused");
    assert_eq!(exchange(&mut peers[0], b"alive\n"), b"alive\n");

    // Those that came first hold the descriptors.
    let freed = Instant::now();
    drop(peers.drain(..75));
    for peer in &mut peers {
        assert!(is_let_in(peer) || panic!("a waiting peer was let go"));
        assert_eq!(exchange(peer, b"echo\n"), b"echo\n");
    }
    let took = freed.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    peers[0].write_all(b"quit\n").unwrap();
    let counts = line_with("pauses ");
    let (pauses, events) = counts.split_once(" events ").unwrap();
    assert_eq!(pauses, events, "one event for each pause");
    let pauses: u32 = pauses.parse().unwrap();
    assert!((1..=30).contains(&pauses), "{pauses} pauses");
    drop(peers);
    assert!(child.wait().success());
}

/// The starving process: as many peers as there are descriptors, until one says quit.
fn starve() {
    with_pool(async |pool| {
        let mut events = watch(&pool);
        let (quit, mut quitting) = mpsc::unbounded_channel();
        let server = pool
            .listen(
                Listen::tcp(ANY).lines().spare_descriptor(false),
                move |client| Quitter {
                    client,
                    quit: quit.clone(),
                },
            )
            .await
            .unwrap();
        println!("\nlistening {}", server.local_addr());
        let mut seen = 0;
        let is_pause = |event: &PoolEvent| matches!(event, PoolEvent::AcceptPaused { .. });
        loop {
            tokio::select! {
                event = events.recv() => if is_pause(&event.unwrap()) {
                    seen += 1;
                    println!("\npaused");
                },
                _ = quitting.recv() => break,
            }
        }
        until(|| {
            while let Ok(event) = events.try_recv() {
                seen += u64::from(is_pause(&event));
            }
            seen == server.info().pauses
        })
        .await;
        println!("\npauses {} events {seen}", server.info().pauses);
    });
}

/// Greets, echoes, and passes on a wish to quit.
struct Quitter {
    client: Client,
    quit: mpsc::UnboundedSender<()>,
}

impl Actor for Quitter {
    type Context = Context<Self>;
}

impl Handler<Accepted> for Quitter {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        let _ = msg.handle.send("hello\n");
    }
}

impl Handler<LineReceived> for Quitter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        if &*msg.line == b"quit" {
            let _ = self.quit.send(());
        }
        let _ = self.client.send_line(&msg.line);
    }
}

switchboard::session!(Quitter);

/// XAS-28, AIO-61.
#[test]
fn xas_28_closing_a_server_leaves_its_connections() {
    with(Pool::builder().shards(2), async |pool| {
        let mut events = watch(&pool);
        let server = greet(&pool, Listen::tcp(ANY)).await;
        let address = server.local_addr();
        let mut old = peer(move || {
            let mut peers = [dial(address), dial(address)];
            assert!(peers.iter_mut().all(is_let_in));
            peers
        })
        .await;
        server.close().await;
        assert!(!server.is_listening());
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let (id, reason) = next_pool_event(&mut events, |event| match event {
            PoolEvent::ServerClosed { server, reason } => Some((*server, *reason)),
            _ => None,
        })
        .await;
        assert_eq!((id, reason), (server.id(), ClosedReason::ClosedByHost));
        assert_eq!(pool.status().await.unwrap().servers, 0);
        assert_eq!(server.info().live, 2);
        peer(move || {
            for peer in &mut old {
                assert_eq!(exchange(peer, b"still here\n"), b"still here\n");
            }
        })
        .await;
        until(|| server.info().live == 0).await;
        assert_eq!(server.info().closed, [0, 0, 2, 0]);
        server.close().await;
    });
}

/// XAS-30: nothing is read before something is armed, and nothing is lost.
#[test]
fn xas_30_what_comes_before_a_receive_is_armed_waits_for_it() {
    with_pool(async |pool| {
        let mut trace = Probe::new();
        let server = pool
            .listen(Listen::tcp(ANY), trace.session())
            .await
            .unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"early\nlate").unwrap();
        let accepted = expect!(trace, Accepted);
        assert_eq!(accepted.server, Some(server.id()));
        assert_eq!(accepted.peer_addr, Some(stream.local_addr().unwrap()));
        let client = accepted.handle;
        // The promise is about this time: nothing is armed in it.
        trace.no_more(Duration::from_millis(300)).await;
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(&*expect!(trace, LineReceived).line, b"early");
        trace.no_more(Duration::from_millis(20)).await;
        client.arm(RecvData::available()).unwrap();
        assert_eq!(&*expect!(trace, DataReceived).data, b"late");
        client.close();
        drop(stream);
        expect!(trace, Closed);
    });
}

/// Greeters that count how many of them there are.
async fn counted(pool: &Pool, listen: Listen) -> (Server, Arc<(AtomicUsize, AtomicUsize)>) {
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counts = Arc::clone(&inside);
    let server = pool
        .listen(listen.lines(), move |client| {
            let now = counts.0.fetch_add(1, SeqCst) + 1;
            counts.1.fetch_max(now, SeqCst);
            let inside = Some(Arc::clone(&counts));
            Greeter { client, inside }
        })
        .await
        .unwrap();
    (server, inside)
}

const STAMPEDE: usize = 300;
const LIMIT: usize = 10;

/// Both places where the limit can be: with the listener, with the pool.
fn with_limits(test: impl AsyncFn(Pool, Listen)) {
    let listen = Listen::tcp(ANY).backlog(STAMPEDE as u32);
    let limited = listen.clone().max_connections(LIMIT);
    let pool = || Pool::builder().shards(2);
    with(pool(), async |pool| test(pool, limited).await);
    with(pool().max_connections(LIMIT), async |pool| {
        test(pool, listen).await;
    });
}

/// A limit is exact, whoever runs into it.
#[test]
fn of_a_stampede_exactly_so_many_are_let_in_and_the_others_are_rejected() {
    with_limits(async |pool, listen| {
        let mut events = watch(&pool);
        let (server, inside) = counted(&pool, listen.at_limit(AtLimit::Reject)).await;
        let address = server.local_addr();
        let let_in = peer(move || {
            let threads: Vec<_> = (0..6)
                .map(|_| {
                    std::thread::spawn(move || {
                        let peers = (0..STAMPEDE / 6).map(|_| dial(address));
                        let mut peers: Vec<_> = peers.collect();
                        peers.retain_mut(is_let_in);
                        peers
                    })
                })
                .collect();
            let let_in = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            let_in.collect::<Vec<_>>()
        })
        .await;
        assert_eq!(let_in.len(), LIMIT);
        assert_eq!(inside.1.load(SeqCst), LIMIT);
        let info = server.info();
        assert_eq!((info.accepted, info.live), (LIMIT as u64, LIMIT as u64));
        assert_eq!(info.rejected, (STAMPEDE - LIMIT) as u64);
        for _ in 0..STAMPEDE - LIMIT {
            next_pool_event(&mut events, is_rejected).await;
        }
        drop(let_in);
        until(|| inside.0.load(SeqCst) == 0).await;
    });
}

/// A limit of the pool is exact between listeners too: one that merely looks for its next peer takes
/// nobody's place.
#[test]
fn two_listeners_with_two_places_never_reject_two_peers() {
    with(Pool::builder().shards(2).max_connections(2), async |pool| {
        let listen = || Listen::tcp(ANY).at_limit(AtLimit::Reject);
        let servers = [greet(&pool, listen()).await, greet(&pool, listen()).await];
        for round in 0..300 {
            let dialling = servers.clone().map(|server| {
                let address = server.local_addr();
                actix_rt::spawn(peer(move || {
                    let mut peer = dial(address);
                    (is_let_in(&mut peer), peer)
                }))
            });
            for dialled in dialling {
                let (let_in, peer) = dialled.await.unwrap();
                assert!(let_in, "in round {round}");
                reset_on_close(&peer);
            }
            // A place is free when the connection's actor has ended, of which nobody is told.
            let live = async || pool.connections().await.unwrap().len();
            while live().await > 0 {}
            // The actor ends in the turn after it was taken off the list.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// The other policy: all are served, so many at a time.
#[test]
fn of_a_stampede_all_are_served_and_never_more_than_so_many_at_once() {
    with_limits(async |pool, listen| {
        let (server, inside) = counted(&pool, listen.at_limit(AtLimit::Wait)).await;
        let address = server.local_addr();
        peer(move || {
            let threads: Vec<_> = (0..30)
                .map(|_| {
                    std::thread::spawn(move || {
                        for _ in 0..STAMPEDE / 30 {
                            let mut peer = dial(address);
                            assert!(is_let_in(&mut peer));
                            assert_eq!(exchange(&mut peer, b"echo\n"), b"echo\n");
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        })
        .await;
        assert_eq!(inside.1.load(SeqCst), LIMIT, "the limit was used and kept");
        let info = server.info();
        assert_eq!((info.accepted, info.rejected), (STAMPEDE as u64, 0));
        until(|| server.info().live == 0).await;
    });
}

/// A limit can be moved while peers wait.
#[test]
fn a_raised_limit_lets_waiting_peers_in_at_once() {
    with_pool(async |pool| {
        let server = greet(&pool, Listen::tcp(ANY).max_connections(1)).await;
        let address = server.local_addr();
        let mut peers = peer(move || {
            let mut peers = [dial(address), dial(address), dial(address)];
            assert!(is_let_in(&mut peers[0]));
            assert!(waits(&mut peers[1]));
            peers
        })
        .await;
        server.set_max_connections(2);
        peer(move || {
            assert!(is_let_in(&mut peers[1]));
            assert!(waits(&mut peers[2]));
        })
        .await;
        until(|| server.info().live == 0).await;
    });
}

/// AC-17: the address of a listener that left connections in TIME_WAIT behind.
#[test]
fn ac_17_an_address_in_time_wait_can_be_taken_unless_that_is_switched_off() {
    with_pool(async |pool| {
        // The side that finishes first keeps the port.
        let server = pool
            .listen(Listen::tcp(ANY), |_| Handlers::new())
            .await
            .unwrap();
        let address = server.local_addr();
        peer(move || assert_eq!(read_all(&mut dial(address)), b"")).await;
        until(|| server.info().live == 0).await;
        server.close().await;

        let strict = Listen::tcp(address).reuse_addr(false);
        let error = refused(&pool, strict).await;
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        let again = greet(&pool, Listen::tcp(address)).await;
        assert_eq!(again.local_addr(), address);
        assert!(peer(move || is_let_in(&mut dial(address))).await);
    });
}

/// AC-18, T-28.
#[test]
fn ac_18_a_peer_that_is_gone_before_it_is_accepted_harms_nobody() {
    with_pool(async |pool| {
        let server = greet(&pool, Listen::tcp(ANY).max_connections(1)).await;
        let address = server.local_addr();
        peer(move || {
            let mut first = dial(address);
            assert!(is_let_in(&mut first));
            for _ in 0..5 {
                let gone = dial(address);
                reset_on_close(&gone);
            }
            let mut last = dial(address);
            assert!(waits(&mut last));
            drop(first);
            assert!(is_let_in(&mut last));
            assert_eq!(exchange(&mut last, b"echo\n"), b"echo\n");
        })
        .await;
        assert!(server.is_listening());
    });
}

/// AIO-46, on accepted connections; and the other options that they inherit.
#[test]
fn aio_46_accepted_connections_have_the_listeners_socket_options() {
    with_pool(async |pool| {
        let plain = Listen::tcp(ANY).lines();
        let tuned = Listen::tcp(ANY)
            .lines()
            .nodelay(false)
            .keepalive(Duration::from_secs(33))
            .recv_buffer_size(10_000)
            .send_buffer_size(12_000);
        let mut seen = Vec::new();
        for listen in [plain, tuned] {
            let mut trace = Probe::new();
            let session = trace.session();
            let server = pool.listen(listen, session).await.unwrap();
            let stream = dial(server.local_addr());
            let client = expect!(trace, Accepted).handle;
            let options = client.with_socket(|socket| {
                (
                    socket.tcp_nodelay().unwrap(),
                    socket.keepalive().unwrap(),
                    socket.tcp_keepalive_time().unwrap(),
                    socket.recv_buffer_size().unwrap(),
                    socket.send_buffer_size().unwrap(),
                )
            });
            seen.push(options.await.unwrap());
            drop(stream);
            expect!(trace, Closed);
        }
        assert_eq!((seen[0].0, seen[0].1), (true, false));
        let (nodelay, keepalive, idle, recv, send) = seen[1];
        assert_eq!((nodelay, keepalive), (false, true));
        assert_eq!(idle, Duration::from_secs(33));
        // The system doubles what it is asked for.
        assert!((10_000..=20_000).contains(&recv), "{recv}");
        assert!((12_000..=24_000).contains(&send), "{send}");
    });
}

/// ACO-01.
#[test]
fn aco_01_a_listener_that_exists_already_is_taken_over() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let mut early = dial(address);
        early.write_all(b"early\n").unwrap();
        let server = greet(&pool, Listen::adopt(listener)).await;
        assert_eq!(server.local_addr(), address);
        peer(move || {
            assert!(is_let_in(&mut early));
            assert_eq!(read_exact(&mut early, 6), b"early\n");
            assert!(is_let_in(&mut dial(address)));
        })
        .await;
        server.close().await;
        assert!(
            TcpStream::connect(address).is_err(),
            "nothing keeps it open"
        );
    });
}

/// The pool's stop tells a listener's sessions why (XAS-11).
#[test]
fn a_session_that_is_stopped_with_its_pool_is_told_so() {
    let mut trace = Probe::new();
    with_pool(async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY), trace.session())
            .await
            .unwrap();
        let stream = dial(server.local_addr());
        expect!(trace, Accepted);
        pool.stop().await;
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.cause, Cause::PoolStopped);
        drop(stream);
    });
}

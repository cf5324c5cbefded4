//! A thread ends while connections and their sessions run on it: each peer sees the end, what was sent is sent or
//! counted, and nothing panics or hangs.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use actix_rt::{ArbiterHandle, System};
use switchboard::message::*;
use switchboard::{BackoffConfig, Cause, ClosedDetail, CrashPolicy, PoolBuilder};

use super::*;

/// Runs a test in a process of its own, in which nothing may panic; what a session does on purpose makes no noise.
fn quietly(test: &str, run: impl FnOnce()) {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    if !alone(test) {
        return;
    }
    let shows = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        shows(info);
    }));
    run();
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

/// Shards whose threads start again soon, however often they end.
fn enduring(shards: usize) -> PoolBuilder {
    let mut pause = BackoffConfig::default();
    (pause.min, pause.max) = (Duration::from_millis(5), Duration::from_millis(5));
    let often = Duration::from_secs(60);
    Pool::builder()
        .shards(shards)
        .intensity(1_000, often)
        .backoff(pause)
}

/// Does this with every line, in its turn.
type Act = dyn Fn(&Client, &str, &mut SessionContext<Acting>) + Send + Sync;

/// A session that does as the test says.
struct Acting {
    client: Client,
    act: Arc<Act>,
}

impl Actor for Acting {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Acting {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        let act = Arc::clone(&self.act);
        act(&self.client, &event.line.text().unwrap(), ctx);
    }
}

session!(Acting);

/// Where sessions listen that do this with every line, and their handles as they come.
async fn acting(
    pool: &Pool,
    listen: Listen,
    act: impl Fn(&Client, &str, &mut SessionContext<Acting>) + Send + Sync + 'static,
) -> (SocketAddr, Receiver<Client>) {
    let (handles, handle) = channel();
    let act: Arc<Act> = Arc::new(act);
    let make = move |client: Client| {
        let _ = handles.send(client.clone());
        let act = Arc::clone(&act);
        Acting { client, act }
    };
    let server = pool.listen(listen.lines(), make).await.unwrap();
    (server.local_addr(), handle)
}

/// Ten lines, which are 50 bytes.
fn send_ten(client: &Client) {
    (0..10).for_each(|_| client.send_line("line").unwrap());
}

/// What comes until the end, of whatever kind it is; but it comes.
fn until_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    if let Err(error) = stream.read_to_end(&mut got) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    got
}

/// Says a line to a session of its own; what comes until the end, and how the connection ended.
async fn fatal(
    (address, handle): (SocketAddr, Receiver<Client>),
    line: &'static [u8],
) -> (Vec<u8>, Arc<ClosedDetail>) {
    let (got, client) = peer(move || {
        let mut stream = dial(address);
        stream.write_all(line).unwrap();
        let got = until_end(&mut stream);
        (got, handle.recv_timeout(PATIENCE).unwrap())
    })
    .await;
    let closed = tokio::time::timeout(PATIENCE, client.closed()).await;
    (got, closed.expect("it never ends").unwrap())
}

async fn back_again(events: &mut tokio::sync::mpsc::UnboundedReceiver<PoolEvent>) {
    next_pool_event(events, |event| {
        matches!(event, PoolEvent::ShardRestarted { .. }).then_some(())
    })
    .await;
}

/// The handler itself ends it: its turn goes on to its end, and what it has sent goes out.
#[test]
fn what_a_handler_sends_that_ends_its_thread_goes_out() {
    type Does = fn(&Client);
    let turns: [(Does, usize); 4] = [
        (
            |client| {
                send_ten(client);
                Arbiter::current().stop();
            },
            50,
        ),
        (
            |client| {
                Arbiter::current().stop();
                send_ten(client);
            },
            50,
        ),
        (
            |client| {
                send_ten(client);
                Arbiter::current().stop();
                client.send(vec![b'x'; 9_000]).unwrap();
                send_ten(client);
            },
            9_100,
        ),
        (
            |client| {
                Arbiter::current().stop();
                send_ten(client);
                client.close();
            },
            50,
        ),
    ];
    quietly(
        "ending::what_a_handler_sends_that_ends_its_thread_goes_out",
        || {
            with(enduring(1), async |pool| {
                let mut events = watch(&pool);
                for (number, (does, bytes)) in turns.into_iter().enumerate() {
                    let door = acting(&pool, local(), move |client, _, _| does(client)).await;
                    let (got, detail) = fatal(door, b"go\n").await;
                    assert_eq!(got.len(), bytes, "{number}");
                    assert_eq!((detail.bytes_out, detail.unsent), (bytes as u64, 0));
                    back_again(&mut events).await;
                }
            });
        },
    );
}

/// Others end it while a handler is at work.
#[test]
fn what_a_handler_sends_while_others_end_its_thread_goes_out() {
    quietly(
        "ending::what_a_handler_sends_while_others_end_its_thread_goes_out",
        || {
            with(enduring(1), async |pool| {
                let mut events = watch(&pool);
                for _ in 0..20 {
                    let (gives, given) = channel::<ArbiterHandle>();
                    let (door, doorman) = door();
                    let sessions = acting(&pool, local(), move |client, _, _| {
                        send_ten(client);
                        gives.send(Arbiter::current()).unwrap();
                        door.wait();
                        send_ten(client);
                    })
                    .await;
                    let ending = thread::spawn(move || {
                        let thread = given.recv_timeout(PATIENCE).unwrap();
                        assert!(thread.stop());
                        doorman.open();
                        doorman
                    });
                    let (got, detail) = fatal(sessions, b"go\n").await;
                    assert_eq!(got, b"line\n".repeat(20));
                    assert_eq!((detail.bytes_out, detail.unsent), (100, 0));
                    peer(|| ending.join().unwrap()).await;
                    back_again(&mut events).await;
                }
            });
        },
    );
}

/// Whichever policy the panic meets, there is one end, and the accounts are right.
#[test]
fn a_handler_that_ends_its_thread_and_panics_is_one_end() {
    let within = Duration::from_secs(60);
    let policies = [
        CrashPolicy::Close,
        CrashPolicy::Abort,
        CrashPolicy::Restart { max: 9, within },
    ];
    quietly(
        "ending::a_handler_that_ends_its_thread_and_panics_is_one_end",
        || {
            for policy in policies {
                let totals = with(enduring(1), async |pool| {
                    let mut events = watch(&pool);
                    let listen = local().on_crash(policy);
                    let sessions = acting(&pool, listen, |client, _, _| {
                        send_ten(client);
                        Arbiter::current().stop();
                        send_ten(client);
                        resume_unwind(Box::new("as it was told"));
                    })
                    .await;
                    let (got, detail) = fatal(sessions, b"go\n").await;
                    assert!(b"line\n".repeat(20).starts_with(&got));
                    assert_eq!(detail.bytes_out, got.len() as u64);
                    assert_eq!(detail.unsent, 100 - got.len());
                    if policy == CrashPolicy::Abort {
                        assert_eq!(got, b"");
                    }
                    back_again(&mut events).await;
                });
                assert_eq!((totals.accepted, totals.closed), (1, [1, 0, 0, 0]));
            }
        },
    );
}

/// Whatever the connections of a thread and their sessions are at when it ends.
#[test]
fn whatever_connections_are_at_their_peers_see_the_end_of_their_thread() {
    quietly(
        "ending::whatever_connections_are_at_their_peers_see_the_end_of_their_thread",
        || {
            with(enduring(1), async |pool| {
                let mut events = watch(&pool);
                let listen = local().send_buffer_size(32 * 1024);
                let (address, handles) = acting(&pool, listen, |client, line, ctx| {
                    send_ten(client);
                    match line {
                        // It never goes on, and what comes stays where it is.
                        "wait" => ctx.wait(actix::fut::wrap_future(std::future::pending())),
                        // The one ends, and the other has much to send still.
                        "session" => {
                            client.send(vec![b'x'; 1 << 20]).unwrap();
                            ctx.stop();
                        }
                        "connection" => {
                            client.send(vec![b'x'; 1 << 20]).unwrap();
                            client.close();
                        }
                        "full" => client.send(vec![b'x'; 1 << 20]).unwrap(),
                        "die" => {
                            Arbiter::current().stop();
                        }
                        _ => {}
                    }
                })
                .await;
                let states: [&[u8]; 7] = [
                    b"",
                    b"idle\n",
                    b"half a li",
                    b"wait\nnever\n",
                    b"session\n",
                    b"connection\n",
                    b"full\n",
                ];
                let begun = states.map(|state| {
                    move || {
                        let mut stream = dial(address);
                        stream.write_all(state).unwrap();
                        if state.ends_with(b"\n") {
                            assert_eq!(read_exact(&mut stream, 50), b"line\n".repeat(10));
                        }
                        stream
                    }
                });
                let streams = peer(move || begun.map(|begin| begin())).await;
                let clients: Vec<Client> = peer(move || {
                    let next = |_| handles.recv_timeout(PATIENCE).unwrap();
                    (0..states.len()).map(next).collect()
                })
                .await;
                // Somebody elsewhere waits for something of each.
                let ends = clients.iter().map(Client::closed);
                let ends = futures_util::future::join_all(ends);
                let killing = peer(move || {
                    let mut killer = dial(address);
                    killer.write_all(b"die\n").unwrap();
                    assert_eq!(until_end(&mut killer), b"line\n".repeat(10));
                    streams.map(|mut stream| until_end(&mut stream).len())
                });
                let both = futures_util::future::join(ends, killing);
                let both = tokio::time::timeout(PATIENCE, both).await;
                let (ends, rests) = both.expect("something hangs");
                for ((end, rest), state) in ends.into_iter().zip(rests).zip(states) {
                    let end = end.unwrap();
                    let state = String::from_utf8_lossy(state);
                    let cause = match &*state {
                        "session\n" => Cause::SessionStopped,
                        "connection\n" => Cause::LocalClose,
                        _ => Cause::RuntimeFailed,
                    };
                    assert_eq!(end.cause, cause, "{state}");
                    if cause != Cause::RuntimeFailed {
                        assert_eq!(end.cut_short, Some(Cause::RuntimeFailed), "{state}");
                    }
                    assert_eq!(end.bytes_in, state.len() as u64, "{state}");
                    let accepted = match &*state {
                        "" | "half a li" => 0,
                        "idle\n" | "wait\nnever\n" => 50,
                        _ => 50 + (1 << 20),
                    };
                    assert_eq!(end.bytes_out + end.unsent as u64, accepted, "{state}");
                    assert!(rest as u64 <= end.bytes_out, "{state}");
                }
                for client in clients {
                    assert!(client.is_closed() && client.send("late").is_err());
                }
                back_again(&mut events).await;
            });
        },
    );
}

/// Nobody stops the pool: the system goes, of which the thread is or which it outlives.
#[test]
fn a_system_that_goes_takes_connections_in_their_turns_along() {
    quietly(
        "ending::a_system_that_goes_takes_connections_in_their_turns_along",
        || {
            for (shards, stops) in [(0, true), (0, false), (1, true), (1, false)] {
                let (opened, address) = channel();
                let (ends, end) = channel::<()>();
                let running = thread::spawn(move || {
                    let system = System::new();
                    system.block_on(async move {
                        let pool = Pool::builder().shards(shards).start().unwrap();
                        let (address, _handles) = acting(&pool, local(), |client, line, _| {
                            send_ten(client);
                            if line == "stop" {
                                System::current().stop();
                                send_ten(client);
                            }
                        })
                        .await;
                        opened.send(address).unwrap();
                        if !stops {
                            peer(move || end.recv_timeout(PATIENCE).unwrap()).await;
                        }
                    });
                    if stops {
                        system.run().unwrap();
                    }
                });
                let address = address.recv_timeout(PATIENCE).unwrap();
                let mut streams: Vec<_> = (0..4).map(|_| dial(address)).collect();
                for stream in &mut streams {
                    stream.write_all(b"go\n").unwrap();
                    assert_eq!(read_exact(stream, 50), b"line\n".repeat(10));
                }
                let last = if stops {
                    streams[0].write_all(b"stop\n").unwrap();
                    100
                } else {
                    ends.send(()).unwrap();
                    0
                };
                assert_eq!(until_end(&mut streams[0]).len(), last, "{shards} {stops}");
                for stream in &mut streams[1..] {
                    assert_eq!(until_end(stream), b"");
                }
                running.join().unwrap();
            }
        },
    );
}

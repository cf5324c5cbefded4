//! `Closed` comes once and last, whatever happens and however often.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::sync::mpsc as tokio_mpsc;

use super::{Counted, drain, in_turn, local, stretch};

/// A small generator, so that every run does the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % sides
    }
}

/// A session that does something at random with each event.
struct Whim {
    client: Client,
    dice: Dice,
    events: tokio_mpsc::UnboundedSender<Told>,
}

/// What a [`Whim`] has seen.
#[derive(Debug)]
enum Told {
    Opened(ClientId),
    Data(ClientId, Bytes),
    Finished(ClientId),
    Other(ClientId),
    /// The peer reset it before it was established.
    Failed(ClientId),
    /// The session itself was about to end the connection.
    Acted,
    Closed(ClientId),
}

impl Whim {
    fn tell(&self, told: Told) {
        let _ = self.events.send(told);
    }

    fn act(&mut self) {
        match self.dice.roll(40) {
            0 => {
                self.tell(Told::Acted);
                let _ = self.client.send_with("last words", 1_u64);
                self.client.close();
                self.client.close();
            }
            1 => {
                self.tell(Told::Acted);
                self.client.abort();
            }
            2 => {
                self.tell(Told::Acted);
                let _ = self.client.write_eof();
            }
            3 => {
                self.client.pause_reading();
                self.client.resume_reading();
            }
            4 => {
                self.tell(Told::Acted);
                self.client
                    .close_with(false, Some(Duration::from_millis(50)));
            }
            _ => {}
        }
    }
}

impl Actor for Whim {
    type Context = SessionContext<Self>;
}

macro_rules! whims {
    ($($event:ident => |$this:ident, $message:ident| $told:expr;)*) => {$(
        impl Handler<$event> for Whim {
            type Result = ();

            fn handle(&mut self, $message: $event, _: &mut Self::Context) {
                let $this = self;
                let told = $told;
                $this.tell(told);
                $this.act();
            }
        }
    )*};
}

whims! {
    Accepted => |this, event| Told::Opened(event.client);
    Connected => |this, event| Told::Opened(event.client);
    ConnectFailed => |this, event| Told::Failed(event.client);
    DataReceived => |this, event| {
        let _ = this.client.send(event.data.clone());
        Told::Data(event.client, event.data)
    };
    PeerFinished => |this, event| {
        let id = event.client;
        if this.dice.roll(2) == 0 {
            event.keep_open();
            let _ = this.client.send_with("you have finished", 2_u64);
            let _ = this.client.write_eof();
        }
        Told::Finished(id)
    };
    Sent => |this, event| Told::Other(event.client);
    WritePaused => |this, event| Told::Other(event.client);
    WriteResumed => |this, event| Told::Other(event.client);
    Closed => |this, event| Told::Closed(event.client);
}

session!(Whim);

/// Sends random pieces, reads now and then, and ends in one of several ways.
fn whimsical_peer(mut stream: TcpStream, mut dice: Dice) {
    let mut sent = 0;
    for _ in 0..dice.roll(6) {
        let size = dice.roll(20_000) as usize + 1;
        // A connection that is closed on the other side takes no more; the rest is not sent.
        let Ok(()) = stream.write_all(&stretch(sent..sent + size)) else {
            break;
        };
        sent += size;
        if dice.roll(2) == 0 {
            stream.set_nonblocking(true).unwrap();
            let _ = stream.read(&mut [0; 10_000]);
            stream.set_nonblocking(false).unwrap();
        }
    }
    match dice.roll(3) {
        0 => {
            // The other side may be gone already.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = drain(&mut stream);
        }
        // Bytes that are unread make it a reset.
        1 => drop(stream),
        _ => reset_on_close(&stream),
    }
}

/// AIO-35, T-04: whatever peers and sessions do, the opening event comes first and once, `Closed` last
/// and once, and the bytes between them in order and without a gap.
#[test]
fn aio_35_opened_first_closed_last_and_once_whatever_happens() {
    const PEERS: u64 = 400;
    let _turn = in_turn();
    let (events, mut told) = tokio_mpsc::unbounded_channel();
    let seen = &mut told;
    with(Pool::builder().shards(2), |pool| async move {
        let inbound = events.clone();
        let make = move |client: Client| Whim {
            dice: Dice(client.id().as_u64() * 2 + 0x9E37_79B9),
            client,
            events: inbound.clone(),
        };
        let listen = local().data().linger_timeout(Duration::from_millis(200));
        let server = pool.listen(listen, make).await.unwrap();
        let address = server.local_addr();
        let (listener, outbound) = listener();
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let listener = listener.try_clone().unwrap();
                std::thread::spawn(move || {
                    for round in 0..PEERS / 4 {
                        let dice = Dice((thread << 32) + round * 7919 + 0x2545_F491);
                        let stream = if round % 4 == 0 {
                            listener.accept().unwrap().0
                        } else {
                            dial(address)
                        };
                        stream.set_read_timeout(Some(PATIENCE)).unwrap();
                        stream.set_write_timeout(Some(PATIENCE)).unwrap();
                        whimsical_peer(stream, dice);
                    }
                })
            })
            .collect();
        for seed in 0..PEERS / 4 {
            let events = events.clone();
            let connect = Connect::tcp(outbound)
                .data()
                .linger_timeout(Duration::from_millis(200));
            drop(pool.connect(connect, move |client| Whim {
                client,
                dice: Dice(seed * 31 + 0x1234_5678),
                events,
            }));
        }
        peer(|| {
            for thread in threads {
                thread.join().unwrap();
            }
        })
        .await;

        let mut open: HashMap<ClientId, usize> = HashMap::new();
        let mut over = HashSet::new();
        while (over.len() as u64) < PEERS {
            let next = tokio::time::timeout(PATIENCE, seen.recv());
            match next.await.expect("no event in time").unwrap() {
                Told::Opened(id) => assert_eq!(open.insert(id, 0), None, "opened twice"),
                Told::Data(id, data) => {
                    let got = open.get_mut(&id).expect("data outside of a connection");
                    assert!(!data.is_empty());
                    assert!(data == stretch(*got..*got + data.len()), "a gap");
                    *got += data.len();
                }
                Told::Finished(id) | Told::Other(id) => {
                    assert!(open.contains_key(&id), "an event outside of a connection");
                }
                // Also from within `Closed`, where it must do nothing.
                Told::Acted => {}
                Told::Failed(id) => {
                    assert!(!open.contains_key(&id), "failed, but opened");
                    assert!(over.insert(id), "failed twice");
                }
                Told::Closed(id) => {
                    assert!(open.remove(&id).is_some(), "closed, but not open");
                    assert!(over.insert(id), "closed twice");
                }
            }
        }
        assert!(open.is_empty());
    });
    // What a session does with its last event may still be told of itself, nothing else.
    while let Ok(late) = told.try_recv() {
        assert!(matches!(late, Told::Acted), "{late:?} after the end");
    }
}

/// AIO-35: where neither side interferes, every byte of a peer that finishes is delivered first, and
/// a reset is an error.
#[test]
fn aio_35_a_fin_is_told_behind_every_byte_and_a_reset_is_never_taken_for_it() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        for round in 0..40_u64 {
            let finishes = round % 2 == 0;
            let (mut stream, client, mut trace) = serve(&pool, local().data()).await;
            let sent = peer(move || {
                let mut dice = Dice(round * 104_729 + 0x5DEE_CE66);
                let mut sent = 0;
                for _ in 0..dice.roll(5) {
                    let size = dice.roll(30_000) as usize + 1;
                    stream.write_all(&stretch(sent..sent + size)).unwrap();
                    sent += size;
                }
                if !finishes {
                    reset_on_close(&stream);
                }
                sent
            })
            .await;
            let mut got = 0;
            let closed = loop {
                match trace.next().await {
                    ClientEvent::DataReceived(event) => {
                        assert!(event.data == stretch(got..got + event.data.len()));
                        got += event.data.len();
                    }
                    ClientEvent::Closed(closed) => break closed,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(closed.detail.bytes_in, got as u64);
            assert_eq!(client.info().activity.bytes_in, got as u64);
            if finishes {
                assert_eq!(got, sent);
                assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
            } else {
                assert_eq!(closed.reason, ClosedReason::Error);
            }
            trace.ended().await;
        }
    });
}

/// How many files this process may have open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(1024)
}

/// XAS-19, T-04: 10,000 connections, as many at a time as the system lets us have.
#[test]
fn ten_thousand_connections_are_each_closed_once() {
    const CONNECTIONS: usize = 10_000;
    let _turn = in_turn();
    // Both ends of a connection are files of this process.
    let wave = (open_files().saturating_sub(400) / 2).clamp(100, 2_500);
    let (ends, mut told) = tokio_mpsc::unbounded_channel();
    let seen = &mut told;
    let totals = with(Pool::builder().shards(2), |pool| async move {
        let make = move |client| Counted {
            client,
            ends: ends.clone(),
        };
        let listen = local().lines().backlog(4096);
        let server = pool.listen(listen, make).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            let mut left = CONNECTIONS;
            while left > 0 {
                let count = wave.min(left);
                left -= count;
                let mut streams: Vec<_> = (0..count).map(|_| dial(address)).collect();
                for (number, stream) in streams.iter_mut().enumerate() {
                    stream
                        .write_all(
                            format!(
                                "line {number}
"
                            )
                            .as_bytes(),
                        )
                        .unwrap();
                }
                for (number, stream) in streams.iter_mut().enumerate() {
                    let line = format!(
                        "line {number}
"
                    );
                    assert_eq!(read_exact(stream, line.len()), line.as_bytes());
                }
            }
        })
        .await;
        let mut closed = HashSet::new();
        for _ in 0..CONNECTIONS {
            let next = tokio::time::timeout(PATIENCE, seen.recv());
            let (id, reason) = next.await.expect("a Closed is missing").unwrap();
            assert!(closed.insert(id), "{id} was closed twice");
            assert_eq!(reason, ClosedReason::ClosedByPeer);
        }
        let info = server.info();
        assert_eq!(info.accepted, CONNECTIONS as u64);
        assert_eq!((info.live, info.rejected, info.faults), (0, 0, 0));
    });
    assert!(told.try_recv().is_err(), "a Closed too many");
    assert_eq!(totals.closed, [0, 0, CONNECTIONS as u64, 0]);
}

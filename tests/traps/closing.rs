//! Traps 5, 6 and 12: what becomes of queued bytes when a connection ends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::{Link, MemoryStream, Simulation, World};
use switchboard::{Cause, SendRefusal, TimeoutKind};
use switchboard_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::{KIB, MIB, local, seconds};

const HOST: &str = "10.0.0.1:7000";
const PEER: &str = "10.0.0.2";

/// What a peer does while the other side closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// Neither reads nor finishes.
    Deaf,
    /// Takes a byte a second.
    Trickles,
    /// Sends all the time and reads nothing.
    Talks,
    /// Is cut off: nothing arrives, in either direction.
    Unreachable,
    /// Reads everything and never finishes.
    Stays,
}

impl Peer {
    async fn play(self, world: World, mut stream: MemoryStream) {
        let (mut byte, mut rest) = ([0; 1], Vec::new());
        match self {
            Self::Deaf => sleep(seconds(3600)).await,
            Self::Trickles => {
                while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                    sleep(seconds(1)).await;
                }
            }
            Self::Talks => {
                while stream.write_all(&[b'x'; KIB]).await.is_ok() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            Self::Unreachable => {
                let (us, them) = (HOST[..8].parse().unwrap(), PEER.parse().unwrap());
                world.net().set_cut(us, them, true);
                world.net().set_cut(them, us, true);
                sleep(seconds(3600)).await;
            }
            Self::Stays => {
                let _ = stream.read_to_end(&mut rest).await;
                sleep(seconds(3600)).await;
            }
        }
    }
}

/// Trap 5 (Pekko, lori #304): a close has an end that the peer does not decide.
#[test]
fn trap_05_a_close_ends_in_time_whatever_the_peer_does() {
    const QUEUED: usize = MIB;
    let (flush, linger) = (seconds(30), seconds(2));
    for behaviour in [
        Peer::Deaf,
        Peer::Trickles,
        Peer::Talks,
        Peer::Unreachable,
        Peer::Stays,
    ] {
        let link = Link::default().window(4 * KIB);
        Simulation::seeded(5).link(link).run(|world| async move {
            let pool = world.pool();
            let mut trace = Probe::new().patience(seconds(3600));
            let listen = Listen::tcp(HOST).data();
            let listen = listen.flush_timeout(flush).linger_timeout(linger);
            pool.listen(listen, trace.full_session()).await.unwrap();
            let stream = world
                .net()
                .connect_from(PEER.parse().unwrap(), HOST)
                .await
                .unwrap();
            let client = expect!(trace, Accepted).handle;
            tokio::task::spawn_local(behaviour.play(world.clone(), stream));
            sleep(seconds(1)).await;
            client.send_with(pattern(QUEUED), 1_u64).unwrap();

            let begun = Instant::now();
            assert!(client.close());
            let closed = loop {
                if let ClientEvent::Closed(closed) = trace.next().await {
                    break closed;
                }
            };
            let took = begun.elapsed();
            let detail = closed.detail;
            assert_eq!(detail.cause, Cause::LocalClose, "{behaviour:?}");
            assert_eq!(detail.unsent as u64 + detail.bytes_out, QUEUED as u64);
            if behaviour == Peer::Stays {
                assert_eq!((detail.unsent, detail.cut_short), (0, None));
                assert!(took < flush, "{took:?}");
            } else {
                let (kind, after) = (TimeoutKind::Flush, flush);
                assert_eq!(detail.cut_short, Some(Cause::Timeout { kind, after }));
                assert_eq!(detail.unsent_tokens, [Token(1)], "{behaviour:?}");
                assert!(took < flush + seconds(1), "{behaviour:?}: {took:?}");
            }
            // Our end is let go of, too.
            sleep(linger).await;
            assert_eq!(pool.status().await.unwrap().totals.live, 0);
            assert!(world.net().open_ends() <= 1, "{behaviour:?}");
        });
    }
}

/// Trap 6 (OTP PR #1377, trio #412): a system resets a socket that is closed with input unread, and a
/// reset destroys what the peer has not read yet.
#[test]
fn trap_06_a_close_with_unread_input_delivers_every_last_byte() {
    with_pool(|pool| async move {
        for size in [100, 64 * KIB, 8 * MIB] {
            // Nothing is armed: what the peer has sent stays in the kernel.
            let listen = local().linger_timeout(Duration::from_millis(100));
            let (mut stream, client, mut trace) = serve(&pool, listen).await;
            let taken = stuff(&stream, &vec![b'x'; 256 * KIB]);
            assert!(taken > 0);
            client.send(Bytes::from(pattern(size))).unwrap();
            assert!(client.close());
            let reading = peer(move || {
                let (mut got, mut piece) = (Vec::new(), vec![0; 128 * KIB]);
                loop {
                    // The peer's pace: when our end is let go of, megabytes are still on their way.
                    thread::sleep(Duration::from_millis(20));
                    match stream.read(&mut piece).expect("the end was a reset") {
                        0 => return got,
                        count => got.extend_from_slice(&piece[..count]),
                    }
                }
            });
            let got = reading.await;
            assert!(got == pattern(size), "{} of {size} bytes", got.len());
            assert_eq!(expect!(trace, Closed).detail.unsent, 0);
        }
    });
}

/// How a peer ends a connection after it has read so much.
fn leave(mut stream: TcpStream, round: usize) {
    let mut some = vec![0; round % 7 * 3000];
    let _ = stream.read(&mut some);
    match round % 3 {
        // With bytes unread, which makes it a reset.
        0 => drop(stream),
        1 => reset_on_close(&stream),
        _ => {
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    }
}

/// Trap 12 (akka PR #32905, eclair PR #174): two threads send while the peer leaves. Every send that was
/// taken is told as `Sent` or counted in `Closed`, never both, never neither.
#[test]
fn trap_12_a_write_that_races_the_peers_close_is_sent_or_counted() {
    const ROUNDS: usize = 150;
    const SENDS: u64 = 300;
    with_pool(|pool| async move {
        let (mut cut, mut orderly) = (0, 0);
        for round in 0..ROUNDS {
            let listen = local().data().send_buffer_size(16 * KIB);
            let (mut stream, client, mut trace) = serve(&pool, listen).await;
            let senders = [0, 1_u64].map(|thread| {
                let client = client.clone();
                thread::spawn(move || {
                    let mut taken = Vec::new();
                    // A peer that has only finished still takes all of it.
                    for number in 0..SENDS {
                        let (token, size) = (number * 2 + thread, 1 + number as usize * 37 % 5000);
                        match client.send_with(vec![b'x'; size], token) {
                            Ok(()) => taken.push((token, size)),
                            Err(error) if error.is_full() => thread::yield_now(),
                            Err(error) => {
                                assert_eq!(error.refusal, SendRefusal::Closed);
                                assert_eq!(error.payload.len(), size, "it comes back");
                                break;
                            }
                        }
                    }
                    taken
                })
            });
            stream.write_all(b"x").unwrap();
            let leaving = thread::spawn(move || leave(stream, round));
            let (mut told, mut sent) = (Vec::new(), 0);
            let detail = loop {
                match trace.next().await {
                    ClientEvent::Sent(event) => {
                        told.push(event.token.0);
                        sent += event.bytes;
                    }
                    ClientEvent::Closed(closed) => break closed.detail,
                    ClientEvent::DataReceived(_) => {}
                    other => panic!("{other:?}"),
                }
            };
            let (taken, counted) = peer(move || {
                leaving.join().unwrap();
                let taken = senders.map(|sender| sender.join().unwrap());
                (taken.concat(), detail)
            })
            .await;
            cut += usize::from(!counted.unsent_tokens.is_empty());
            orderly += usize::from(counted.unsent == 0);
            told.extend(counted.unsent_tokens.iter().map(|token| token.0));
            let bytes: usize = taken.iter().map(|(_, size)| size).sum();
            assert_eq!(counted.bytes_out + counted.unsent as u64, bytes as u64);
            assert!(sent <= bytes);
            for thread in [0, 1] {
                let of = |token: &u64| token % 2 == thread;
                let expected: Vec<_> = taken.iter().map(|(token, _)| *token).filter(of).collect();
                let answered: Vec<_> = told.iter().copied().filter(of).collect();
                assert_eq!(answered, expected, "round {round}: each once, in order");
            }
        }
        assert!(cut > ROUNDS / 3 && orderly > ROUNDS / 6, "{cut}, {orderly}");
    });
}

//! What has come behind an urgent byte that nobody handles.
//!
//! The system ends a read at such a byte. What is behind it has come already, so that nothing else wakes the
//! reader.

use std::io::Write;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::time::Duration;

use actix::prelude::*;
use socket2::SockRef;
use switchboard::message::*;
use switchboard::{
    ClosedReason, Connect, ConnectionOptions, Listen, Pool, ReconnectConfig, SessionContext,
    session,
};
use switchboard_tests::*;

use crate::peers::send_urgent;

const ANY: &str = "127.0.0.1:0";

/// Records everything else.
pub(crate) struct Deaf(pub(crate) Recorder);

impl Actor for Deaf {
    type Context = SessionContext<Self>;
}

macro_rules! records {
    ($($event:ident)*) => { $(
        impl Handler<$event> for Deaf {
            type Result = ();

            fn handle(&mut self, event: $event, _: &mut Self::Context) {
                self.0.record(event);
            }
        }
    )* };
}

records! { Accepted Connected Disconnected LineReceived DataReceived Closed }

session!(Deaf);

async fn serve_deaf(pool: &Pool, listen: Listen) -> (TcpStream, switchboard::Client, Probe) {
    let mut probe = Probe::new().partial();
    let recorder = probe.recorder();
    let peer = serve_with(pool, listen, move |_| Deaf(recorder.clone())).await;
    let client = expect!(probe, Accepted).handle;
    (peer, client, probe)
}

fn burst(peer: &mut TcpStream) {
    peer.write_all(b"ab").unwrap();
    send_urgent(peer, b'!');
    peer.write_all(b"cd\n").unwrap();
}

/// XAS-70, on the thread that accepts, on others, and for sessions that a worker has.
#[test]
fn xas_70_what_is_behind_an_urgent_byte_that_nobody_handles_is_read_at_once() {
    for builder in [
        Pool::builder().shards(1),
        Pool::builder().shards(0),
        Pool::builder().shards(1).workers(1),
        Pool::builder().shards(3),
    ] {
        with(builder, |pool| async move {
            let echo = |client| Echo { client };
            let listen = Listen::tcp(ANY).lines();
            let server = pool.listen(listen, echo).await.unwrap();
            let address = server.local_addr();
            peer(move || {
                let mut peers: Vec<_> = (0..6).map(|_| dial(address)).collect();
                for _ in 0..50 {
                    for stream in &mut peers {
                        burst(stream);
                        assert_eq!(read_exact(stream, 5), b"abcd\n");
                        assert_eq!(exchange(stream, b"ef\n"), b"ef\n");
                    }
                }
            })
            .await;
        });
    }
}

/// XAS-70: without lines, and bit by bit.
#[test]
fn xas_70_data_behind_an_urgent_byte_is_read_at_once() {
    with_pool(|pool| async move {
        let (mut peer, _client, mut probe) = serve_deaf(&pool, Listen::tcp(ANY).data()).await;
        for _ in 0..100 {
            burst(&mut peer);
            let mut data = Vec::new();
            while data.len() < 5 {
                data.extend_from_slice(&expect!(probe, DataReceived).data);
            }
            assert_eq!(data, b"abcd\n");
        }
    });
    with_pool(|pool| async move {
        let (mut peer, client, mut probe) = serve_deaf(&pool, Listen::tcp(ANY)).await;
        let most = NonZeroUsize::new(1).unwrap();
        for _ in 0..100 {
            burst(&mut peer);
            for byte in b"abcd\n" {
                client.arm(RecvData::up_to(most)).unwrap();
                assert_eq!(&expect!(probe, DataReceived).data[..], [*byte]);
            }
        }
    });
}

/// XAS-70: several times while nobody reads.
#[test]
fn xas_70_a_paused_session_finds_all_when_it_goes_on() {
    with_pool(|pool| async move {
        let (mut peer, client, mut probe) = serve_deaf(&pool, Listen::tcp(ANY).lines()).await;
        for _ in 0..20 {
            client.pause_reading();
            burst(&mut peer);
            // Lets the urgent byte be noticed while reading is paused.
            tokio::time::sleep(Duration::from_millis(10)).await;
            client.resume_reading();
            probe.expect_line("abcd").await;
        }
        for _ in 0..20 {
            client.pause_reading();
            for _ in 0..3 {
                burst(&mut peer);
                // As above.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            client.resume_reading();
            // The system leaves those in the stream that were not read past when the next one came.
            for _ in 0..3 {
                let mut line = expect!(probe, LineReceived).line.to_vec();
                line.retain(u8::is_ascii_alphabetic);
                assert_eq!(line, b"abcd");
            }
        }
    });
}

/// XAS-70: each link is a new socket.
#[test]
fn xas_70_an_outbound_connection_reads_on_with_each_link() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let mut again = ReconnectConfig::default();
        again.backoff.min = Duration::from_millis(1);
        let connect = Connect::tcp(address).lines().reconnect(again);
        let client = pool.connect(connect, move |_| Deaf(recorder.clone()));
        let client = client.await.unwrap();
        for _ in 0..3 {
            let mut peer = listener.accept().unwrap().0;
            let _ = expect!(probe, Connected);
            for _ in 0..20 {
                burst(&mut peer);
                probe.expect_line("abcd").await;
            }
            drop(peer);
            let _ = expect!(probe, Disconnected);
        }
        client.abort();
        let _ = expect!(probe, Closed);
    });
}

/// XAS-70: who had the socket before has taken the byte, and its place is still there.
#[test]
fn xas_70_an_adopted_connection_reads_past_a_byte_that_was_taken() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        let stream = dial(address);
        let mut peer = listener.accept().unwrap().0;
        burst(&mut peer);
        until(|| {
            let mut byte = [std::mem::MaybeUninit::uninit()];
            SockRef::from(&stream).recv_out_of_band(&mut byte).is_ok()
        })
        .await;
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let second = stream.try_clone().unwrap();
        let connect = Connect::adopt(stream).lines();
        let client = pool.connect(connect, move |_| Deaf(recorder.clone()));
        let client = client.await.unwrap();
        let _ = expect!(probe, Connected);
        probe.expect_line("abcd").await;
        for _ in 0..20 {
            burst(&mut peer);
            probe.expect_line("abcd").await;
        }
        client.close();
        drop(peer);
        let _ = expect!(probe, Closed);
        // Its socket was still there.
        drop(second);
    });
}

/// AC-06, XAS-70: many megabytes, for a session that handles them and one that does not.
#[test]
fn ac_06_ten_megabytes_around_urgent_bytes_are_exact() {
    const SIZE: usize = 10 * 1024 * 1024;
    for hears in [false, true] {
        with_pool(|pool| async move {
            let listen = Listen::tcp(ANY).data();
            let (mut stream, _client, mut probe) = match hears {
                true => serve(&pool, listen).await,
                false => serve_deaf(&pool, listen).await,
            };
            let letters: Vec<u8> = (b'a'..=b'z').cycle().take(SIZE).collect();
            let sent = letters.clone();
            let writer = std::thread::spawn(move || {
                for part in sent.chunks(100_000) {
                    stream.write_all(part).unwrap();
                    send_urgent(&stream, b'!');
                }
            });
            let mut came = Vec::<u8>::with_capacity(SIZE);
            let mut urgent = 0;
            loop {
                match probe.next().await {
                    ClientEvent::DataReceived(event) => {
                        // The system has left those there that were not read past in time.
                        came.extend(event.data.iter().filter(|byte| **byte != b'!'));
                    }
                    ClientEvent::UrgentReceived(_) => urgent += 1,
                    ClientEvent::Closed(event) => {
                        assert_eq!(event.reason, ClosedReason::ClosedByPeer);
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            writer.join().unwrap();
            assert!(came == letters, "{} bytes came", came.len());
            assert_eq!(hears, urgent > 0);
        });
    }
}

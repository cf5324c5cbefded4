//! Peers that are slow on purpose, and peers that are slow because they are: only the first are ended.

mod sockets;

use std::time::Duration;

use switchboard::message::*;
use switchboard::testkit::{Link, MemoryStream, Simulation, World};
use switchboard::{
    Cause, Client, ClosedReason, ConnectionOptions, Listen, Pool, RateRule, TimeoutKind, Token,
};
use switchboard_tests::{Echo, Probe, expect, pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

const HOST: &str = "10.0.0.1:7000";
const KIB: usize = 1024;
/// Longer than any of this takes in the time of a world.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn local() -> Listen {
    Listen::tcp(HOST)
}

/// A recorder behind a listener in memory, and a peer that has connected to it.
async fn served(world: &World, listen: Listen) -> (Pool, MemoryStream, Client, Probe) {
    let pool = world.pool();
    let mut trace = Probe::new().patience(PATIENCE);
    let server = pool.listen(listen, trace.full_session()).await.unwrap();
    let peer = world.net().connect(server.local_addr()).await.unwrap();
    let handle = expect!(trace, Accepted).handle;
    (pool, peer, handle, trace)
}

fn timed_out(closed: &Closed, kind: TimeoutKind, after: Duration) {
    assert_eq!(closed.reason, ClosedReason::Timeout);
    assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
}

/// Sends a byte of a line every ten seconds until the connection ends; says when that was.
async fn slowloris(world: World) -> Duration {
    let mut stream = world.net().connect(HOST).await.unwrap();
    let begun = Instant::now();
    let mut nothing = [0; 1];
    loop {
        // What is written after the end meets nobody.
        let _ = stream.write_all(b"x").await;
        tokio::select! {
            read = stream.read(&mut nothing) => {
                assert!(matches!(read, Ok(0) | Err(_)), "nobody answers half a line");
                return begun.elapsed();
            }
            () = sleep(seconds(10)) => {}
        }
    }
}

#[test]
fn a_byte_every_ten_seconds_is_ended_and_its_neighbours_go_on() {
    const SLOW: usize = 50;
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let server = pool
            .listen(local().lines(), |client| Echo { client })
            .await
            .unwrap();
        let mut neighbour = world.net().connect(HOST).await.unwrap();
        let slow: Vec<_> = (0..SLOW)
            .map(|_| tokio::task::spawn_local(slowloris(world.clone())))
            .collect();
        for round in 0..300 {
            // Every other line comes in two pieces.
            neighbour.write_all(b"still ").await.unwrap();
            if round % 2 == 1 {
                sleep(seconds(1)).await;
            }
            neighbour.write_all(b"here\n").await.unwrap();
            let mut answer = [0; 11];
            neighbour.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"still here\n");
            sleep(seconds(1)).await;
        }
        for peer in slow {
            let lived = peer.await.unwrap();
            assert!(lived >= seconds(60) && lived <= seconds(120), "{lived:?}");
        }
        drop((neighbour, server));
        let totals = pool.stop().await;
        let timeouts = totals.closed[ClosedReason::Timeout as usize];
        assert_eq!(timeouts, SLOW as u64);
    });
}

/// Four times as fast as it must be, and five times as long as a window.
#[test]
fn a_reader_that_takes_a_kibibyte_a_second_gets_everything() {
    const SENT: usize = 300 * KIB;
    let link = Link::default().window(4 * KIB);
    Simulation::seeded(1).link(link).run(|world| async move {
        let (pool, mut peer, client, mut trace) = served(&world, local()).await;
        client.send(pattern(SENT)).unwrap();
        expect!(trace, WritePaused);
        let mut got = Vec::new();
        while got.len() < SENT {
            let mut piece = [0; KIB];
            let count = peer.read(&mut piece).await.unwrap();
            got.extend_from_slice(&piece[..count]);
            sleep(seconds(1)).await;
        }
        assert_eq!(got, pattern(SENT));
        expect!(trace, WriteResumed);
        sleep(seconds(3600)).await;
        trace.no_more(seconds(1)).await;
        pool.stop().await;
    });
}

#[test]
fn a_reader_that_takes_nothing_is_reset_and_what_it_did_not_take_is_counted() {
    let link = Link::default().window(4 * KIB);
    Simulation::seeded(1).link(link).run(|world| async move {
        let (pool, mut peer, client, mut trace) = served(&world, local()).await;
        sleep(seconds(1000)).await;
        let begun = Instant::now();
        client.send_with(pattern(3 * KIB), 1_u64).unwrap();
        trace.expect_sent(1_u64).await;
        client.send_with(pattern(9 * KIB), 2_u64).unwrap();
        let closed = expect!(trace, Closed);
        timed_out(&closed, TimeoutKind::WriteRate, seconds(600));
        assert_eq!(closed.detail.bytes_out, 4 * KIB as u64);
        assert_eq!(closed.detail.unsent, 8 * KIB);
        assert_eq!(closed.detail.unsent_tokens, [Token(2)]);
        assert_eq!(
            begun.elapsed().as_secs(),
            600,
            "nothing waits for the flush"
        );
        let told = peer.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(told.kind(), std::io::ErrorKind::ConnectionReset);
        pool.stop().await;
    });
}

/// A peer that waits for its answer is not slow, and a peer that reads nothing of nothing neither.
#[test]
fn silence_between_frames_is_nobodys_fault() {
    Simulation::seeded(1).run(|world| async move {
        let (pool, mut peer, client, mut trace) = served(&world, local().lines()).await;
        for _ in 0..10 {
            sleep(seconds(3600)).await;
            peer.write_all(b"a line\n").await.unwrap();
            expect!(trace, LineReceived);
            client.send("an answer\n").unwrap();
            assert_eq!(peer.read(&mut [0; 64]).await.unwrap(), 10);
        }
        pool.stop().await;
    });
}

#[test]
fn a_session_that_paused_reading_blames_nobody() {
    Simulation::seeded(1).run(|world| async move {
        let (pool, mut peer, client, mut trace) = served(&world, local().lines()).await;
        peer.write_all(b"be").await.unwrap();
        sleep(seconds(1)).await;
        client.pause_reading();
        sleep(seconds(3600)).await;
        client.resume_reading();
        sleep(seconds(59)).await;
        peer.write_all(b"gun\n").await.unwrap();
        trace.expect_line("begun").await;
        // Paused before anything came, and the time counts from the resumption all the same.
        client.pause_reading();
        peer.write_all(b"never").await.unwrap();
        sleep(seconds(3600)).await;
        client.resume_reading();
        let begun = Instant::now();
        let closed = expect!(trace, Closed);
        timed_out(&closed, TimeoutKind::ReadRate, seconds(60));
        assert_eq!(begun.elapsed().as_secs(), 60);
        assert_eq!(closed.detail.unread, "never");
        pool.stop().await;
    });
}

/// A hundred kilobytes at 300 bytes a second, a byte at a time, where 240 are asked for.
#[test]
fn a_long_message_at_a_fair_rate_takes_as_long_as_it_takes() {
    const SIZE: u32 = 100_000;
    let link = Link::default().bandwidth(300).chunk(1).window(300);
    Simulation::seeded(1).link(link).run(|world| async move {
        let (pool, mut peer, _client, mut trace) = served(&world, local().messages()).await;
        let body = pattern(SIZE as usize);
        peer.write_all(&SIZE.to_be_bytes()).await.unwrap();
        peer.write_all(&body).await.unwrap();
        let message = expect!(trace, MessageReceived).message;
        assert_eq!(message, body);
        assert!(world.elapsed() > seconds(5 * 60), "{:?}", world.elapsed());
        pool.stop().await;
    });
}

#[test]
fn a_line_that_never_ends_meets_the_deadline_of_its_frame_whatever_its_rate() {
    Simulation::seeded(1).run(|world| async move {
        let listen = local().lines().max_line(64 * 1024 * KIB);
        let (pool, mut peer, _client, mut trace) = served(&world, listen).await;
        let begun = Instant::now();
        let sending = async {
            while peer.write_all(&[b'x'; KIB]).await.is_ok() {
                sleep(seconds(1)).await;
            }
        };
        let ending = async { (expect!(trace, Closed), begun.elapsed()) };
        let ((closed, lived), ()) = tokio::join!(ending, sending);
        timed_out(&closed, TimeoutKind::Frame, seconds(600));
        assert_eq!(lived.as_secs(), 600);
        assert_eq!(closed.detail.unread.len() as u64, closed.detail.bytes_in);
        pool.stop().await;
    });
}

#[test]
fn a_connection_at_the_end_of_its_life_is_closed_with_everything_flushed() {
    let link = Link::default().window(2 * KIB);
    Simulation::seeded(1).link(link).run(|world| async move {
        let listen = local().lines().max_lifetime(seconds(3600));
        let (pool, mut peer, client, mut trace) = served(&world, listen).await;
        for _ in 0..59 {
            sleep(seconds(60)).await;
            peer.write_all(b"busy\n").await.unwrap();
            expect!(trace, LineReceived);
        }
        sleep(seconds(59)).await;
        client.send_with(pattern(20 * KIB), 1_u64).unwrap();
        sleep(seconds(2)).await;
        assert!(client.send("too late").is_err());
        let mut got = Vec::new();
        while got.len() < 20 * KIB {
            let mut piece = [0; KIB];
            let count = peer.read(&mut piece).await.unwrap();
            got.extend_from_slice(&piece[..count]);
            sleep(seconds(1)).await;
        }
        assert_eq!(got, pattern(20 * KIB));
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0, "in good order");
        trace.expect_sent(1_u64).await;
        let closed = expect!(trace, Closed);
        timed_out(&closed, TimeoutKind::Lifetime, seconds(3600));
        assert_eq!(closed.detail.unsent, 0);
        pool.stop().await;
    });
}

#[test]
fn none_turns_each_of_them_off() {
    let link = Link::default().window(KIB);
    Simulation::seeded(1).link(link).run(|world| async move {
        let listen = local()
            .lines()
            .read_rate(None)
            .write_rate(None)
            .frame_timeout(None)
            .max_lifetime(None);
        let (pool, mut peer, client, mut trace) = served(&world, listen).await;
        client.send(pattern(2 * KIB)).unwrap();
        peer.write_all(b"be").await.unwrap();
        sleep(seconds(24 * 3600)).await;
        peer.write_all(b"gun\n").await.unwrap();
        trace.expect_line("begun").await;
        let mut got = vec![0; 2 * KIB];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(got, pattern(2 * KIB));
        pool.stop().await;
    });
}

#[test]
fn idleness_of_one_direction_can_be_reported_too() {
    Simulation::seeded(1).run(|world| async move {
        let listen = local()
            .lines()
            .idle_read_report(seconds(10))
            .idle_write_report(seconds(15));
        let (pool, _peer, _client, mut trace) = served(&world, listen).await;
        for kind in [
            TimeoutKind::IdleRead,
            TimeoutKind::IdleWrite,
            TimeoutKind::IdleRead,
        ] {
            assert_eq!(expect!(trace, Idle).kind, kind);
        }
        pool.stop().await;
    });
}

#[test]
fn a_rate_or_a_time_of_nothing_is_refused_by_name() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        for (listen, name) in [
            (
                local().read_rate(RateRule::new(0, seconds(1))),
                "read_rate.bytes",
            ),
            (
                local().write_rate(RateRule::new(1, Duration::ZERO)),
                "write_rate.window",
            ),
            (local().frame_timeout(Duration::ZERO), "frame_timeout"),
            (local().max_lifetime(Duration::ZERO), "max_lifetime"),
        ] {
            let refused = pool.listen(listen, |client| Echo { client }).await;
            let text = refused.map(drop).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
        pool.stop().await;
    });
}

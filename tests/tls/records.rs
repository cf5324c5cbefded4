//! T-14: what records do to reading. Credit, marks and counters are about plaintext.

use std::time::Duration;

use switchboard::Token;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::{Link, Simulation, World};
use switchboard_tests::*;
use tokio::time::sleep;

use super::pair;

const HOST: &str = "10.0.0.1:7000";

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Both ends of a protected connection in memory; nothing is armed at either.
async fn linked(world: &World, listen: Listen, connect: Connect) -> (Ends, Probe, Probe) {
    let (server, client) = pair();
    let (mut near, mut far) = (Probe::new(), Probe::new());
    let pool = world.pool();
    pool.listen(listen.tls(server), far.full_session())
        .await
        .unwrap();
    let connect = connect.tls(client).server_name("localhost");
    let near_end = pool.connect(connect, near.full_session()).await.unwrap();
    expect!(near, Connected);
    expect!(near, TlsStarted);
    let far_end = expect!(far, Accepted).handle;
    expect!(far, TlsStarted);
    let ends = Ends {
        near: near_end,
        far: far_end,
    };
    (ends, near, far)
}

struct Ends {
    near: Client,
    far: Client,
}

fn in_memory<F: Future<Output = ()>>(link: Link, test: impl FnOnce(World) -> F) {
    Simulation::seeded(14).link(link).run(test);
}

/// T-14: several records come with one readiness, and what was not asked for waits inside of the TLS layer
/// while the socket is silent.
#[test]
fn t_14_what_came_together_is_there_bit_by_bit_while_the_socket_is_silent() {
    const SIZE: usize = 200_000;
    in_memory(Link::default().window(1024 * 1024), async |world| {
        let (listen, connect) = (Listen::tcp(HOST), Connect::tcp(HOST));
        let (ends, _near, mut far) = linked(&world, listen, connect).await;
        ends.near.send(pattern(SIZE)).unwrap();
        sleep(seconds(1)).await;
        assert_eq!(ends.near.write_buffer_size(), 0, "all of it is there");
        let mut got = Vec::new();
        for _ in 0..SIZE / 1_000 {
            let exact = RecvData::exact(1_000.try_into().unwrap());
            ends.far.arm(exact).unwrap();
            got.extend_from_slice(&expect!(far, DataReceived).data);
        }
        assert!(got == pattern(SIZE));
        far.no_more(seconds(1)).await;
    });
}

/// XAS-51: a close that does not flush sends what is in records already, and that is not unsent.
#[test]
fn xas_51_what_a_close_without_flush_has_sealed_is_sent_and_counted() {
    const SIZE: usize = 50_000;
    in_memory(Link::default().window(3_000), async |world| {
        let (listen, connect) = (Listen::tcp(HOST), Connect::tcp(HOST));
        let (ends, mut near, mut far) = linked(&world, listen, connect).await;
        for token in 0..5_u64 {
            ends.near.send_with(pattern(SIZE / 5), token).unwrap();
        }
        sleep(seconds(1)).await;
        ends.near.close_with(false, None);
        ends.far.arm(RecvData::available().always()).unwrap();
        let mut got = 0;
        while let ClientEvent::DataReceived(data) = far.next().await {
            got += data.data.len();
        }
        let sent = got / (SIZE / 5);
        assert!(sent > 0, "a write was under way");
        for token in 0..sent {
            near.expect_sent(token as u64).await;
        }
        let detail = expect!(near, Closed).detail;
        assert_eq!((detail.bytes_out, detail.unsent), (got as u64, SIZE - got));
        assert_eq!(detail.unsent_tokens.len(), 5 - sent);
    });
}

/// T-14: a line in many records, many lines in one, and a line that waits behind the one that was armed.
#[test]
fn t_14_lines_do_not_depend_on_the_records() {
    in_memory(Link::default().window(700), async |world| {
        let (listen, connect) = (Listen::tcp(HOST).max_line(100_000), Connect::tcp(HOST));
        let (ends, _near, mut far) = linked(&world, listen, connect).await;
        let long = "x".repeat(40_000);
        ends.near
            .send(format!("{long}\none\ntwo\nthree\n").as_str())
            .unwrap();
        for expected in [&*long, "one", "two", "three"] {
            ends.far.arm(RecvLine::once()).unwrap();
            assert_eq!(&*expect!(far, LineReceived).line, expected.as_bytes());
            far.no_more(seconds(5)).await;
        }
    });
}

/// T-14: a session that handles nothing stops the peer, and both sides' marks and counters are those of the
/// plaintext.
#[test]
fn t_14_back_pressure_and_counters_are_those_of_the_plaintext() {
    in_memory(Link::default().window(4 * 1024), async |world| {
        const SIZE: usize = 300_000;
        let (listen, connect) = (Listen::tcp(HOST).data(), Connect::tcp(HOST));
        let connect = connect.write_limits(64 * 1024, 16 * 1024);
        let (ends, mut near, mut far) = linked(&world, listen, connect).await;
        ends.far.pause_reading();
        ends.near.send_with(pattern(SIZE), 1_u64).unwrap();
        expect!(near, WritePaused);
        near.no_more(seconds(60)).await;
        let stuck = ends.near.write_buffer_size();
        assert!(stuck > SIZE - 64 * 1024, "{stuck} bytes wait");
        far.no_more(seconds(1)).await;
        ends.far.resume_reading();
        let mut got = Vec::new();
        while got.len() < SIZE {
            got.extend_from_slice(&expect!(far, DataReceived).data);
        }
        assert!(got == pattern(SIZE));
        expect!(near, WriteResumed);
        assert_eq!(expect!(near, Sent).token, Token(1));
        let activity = ends.far.info().activity;
        assert_eq!((activity.bytes_in, activity.bytes_out), (SIZE as u64, 0));
        assert_eq!(ends.near.info().activity.bytes_out, SIZE as u64);
        near.no_more(seconds(1)).await;
        far.no_more(seconds(1)).await;
    });
}

/// AIO-07: the marks of a connection that speaks TLS are those of any other.
#[test]
fn aio_07_the_marks_are_the_same_with_tls() {
    in_memory(Link::default(), async |world| {
        let (listen, connect) = (Listen::tcp(HOST), Connect::tcp(HOST));
        let (ends, _near, _far) = linked(&world, listen, connect).await;
        let limits = ends.far.info().activity.write_limits;
        assert_eq!(limits, (64 * 1024, 16 * 1024));
    });
}

/// A peer that is slow moves bytes all the same, however few records are complete.
#[test]
fn t_14_a_record_that_is_under_way_is_no_idleness() {
    let link = Link::default()
        .window(512)
        .latency(Duration::from_millis(400));
    in_memory(link, async |world| {
        let listen = Listen::tcp(HOST).data().idle_timeout(seconds(2));
        let connect = Connect::tcp(HOST).idle_timeout(seconds(2));
        let (ends, mut near, mut far) = linked(&world, listen, connect).await;
        ends.near.send_with(pattern(16_000), 1_u64).unwrap();
        let mut got = 0;
        while got < 16_000 {
            got += expect!(far, DataReceived).data.len();
        }
        assert!(world.elapsed() > seconds(5), "{:?}", world.elapsed());
        assert_eq!(expect!(near, Sent).token, Token(1));
    });
}

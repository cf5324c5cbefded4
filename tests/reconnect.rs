//! Outbound connections that are established again: what is told, what is kept, and when it is given up.

use std::io::Read;
use std::time::Duration;

use switchboard::message::*;
use switchboard::testkit::{LeakCheck, Rates, Simulation};
use switchboard::{
    Cause, ClosePhase, ClosedReason, Connect, ConnectPhase, ConnectionOptions, Listen,
    ReconnectConfig,
};
use switchboard_tests::{Probe, expect, listener, peer, reset_on_close, with_pool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

const HOST: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

/// Pauses of 1, 2 and then 4 seconds, 10 attempts, and what lasts for a minute is stable.
fn again() -> ReconnectConfig {
    let mut again = ReconnectConfig::default();
    again.backoff.min = SECOND;
    again.backoff.max = 4 * SECOND;
    again.backoff.jitter = 0.0;
    again.backoff.stable = 60 * SECOND;
    again.max_attempts = Some(10);
    again
}

#[test]
fn a_lost_link_is_told_and_another_one_takes_its_place() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut listener = world.net().listen(HOST).unwrap();
        let mut probe = Probe::new();
        let connect = Connect::tcp(HOST).lines().reconnect(again());
        let client = pool.connect(connect, probe.session()).await.unwrap();
        let mut first = listener.accept().await;
        let open = expect!(probe, Connected);
        let first_port = open.local_addr;
        first.write_all(b"one\nhal").await.unwrap();
        probe.expect_line("one").await;
        drop(first);
        let lost = expect!(probe, Disconnected);
        assert_eq!(lost.reason, ClosedReason::ClosedByPeer);
        assert_eq!(
            &lost.detail.unread[..],
            b"hal",
            "a line of two links is none"
        );
        let next = expect!(probe, Reconnecting);
        assert_eq!((next.attempt, next.delay), (2, SECOND));
        assert_eq!(client.peer_addr(), None);
        // What is sent meanwhile goes out over the next link.
        client.send_with("queued\n", 5).unwrap();

        let mut second = listener.accept().await;
        assert!(world.elapsed() >= SECOND);
        let open = expect!(probe, Connected);
        assert_ne!(open.local_addr, first_port);
        let mut came = [0; 7];
        second.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"queued\n");
        probe.expect_sent(5).await;
        second.write_all(b"f a line\n").await.unwrap();
        probe.expect_line("f a line").await;

        client.close();
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        let totals = pool.stop().await;
        assert_eq!((totals.connected, totals.closed), (2, [0, 1, 1, 0]));
        probe.finish();
    });
}

#[test]
fn what_could_not_be_sent_is_counted_and_its_slot_is_free_again() {
    Simulation::seeded(2).run(|world| async move {
        let pool = world.pool();
        let mut listener = world.net().listen(HOST).unwrap();
        let mut probe = Probe::new();
        let connect = Connect::tcp(HOST).lines().reconnect(again());
        let client = pool.connect(connect, probe.full_session()).await.unwrap();
        let first = listener.accept().await;
        expect!(probe, Connected);
        // More than the window of the link takes.
        client.send_with(vec![0; 1 << 20], 1).unwrap();
        client
            .take_send_slot()
            .unwrap()
            .send(100, Some(2.into()))
            .unwrap();
        expect!(probe, WritePaused);
        sleep(SECOND).await;
        first.reset();
        expect!(probe, WriteResumed);
        let lost = expect!(probe, Disconnected);
        assert_eq!(lost.reason, ClosedReason::Error);
        let unsent = lost.detail.unsent;
        assert!(unsent > 100 && unsent < (1 << 20) + 100, "{unsent}");
        assert_eq!(lost.detail.unsent_tokens, [1.into(), 2.into()]);
        expect!(probe, Reconnecting);
        let mut second = listener.accept().await;
        expect!(probe, Connected);
        let slot = client.take_send_slot().unwrap();
        slot.send(10, Some(3.into())).unwrap();
        let mut came = [0; 10];
        second.read_exact(&mut came).await.unwrap();
        probe.expect_sent(3).await;
        pool.stop().await;
    });
}

#[test]
fn attempts_that_fail_pause_longer_and_end_when_they_are_used_up() {
    Simulation::seeded(3).run(|world| async move {
        let pool = world.pool();
        let leaks = LeakCheck::begin().only_shown().pool(&pool).net(world.net());
        let mut probe = Probe::new();
        let connect = Connect::tcp(HOST).lines().reconnect(again());
        let connecting = pool.connect(connect, probe.session());
        let pauses = [1, 2, 4, 4, 4, 4, 4, 4, 4];
        for (attempt, seconds) in (2..).zip(pauses) {
            let next = expect!(probe, Reconnecting);
            assert_eq!((next.attempt, next.delay), (attempt, seconds * SECOND));
        }
        let failed = expect!(probe, ConnectFailed);
        assert_eq!(failed.error.phase, ConnectPhase::Connect);
        assert_eq!(connecting.await.unwrap_err(), *failed.error);
        assert_eq!(world.elapsed().as_secs(), 31);
        leaks.settle().await;
        assert_eq!(pool.stop().await.connect_failed, 1);
    });
}

#[test]
fn a_link_that_was_there_ends_with_closed_when_no_other_comes() {
    Simulation::seeded(4).run(|world| async move {
        let pool = world.pool();
        let mut listener = world.net().listen(HOST).unwrap();
        let mut probe = Probe::new();
        let connect = Connect::tcp(HOST).lines().reconnect(again());
        let client = pool.connect(connect, probe.session()).await.unwrap();
        drop(listener.accept().await);
        drop(listener);
        expect!(probe, Connected);
        expect!(probe, Disconnected);
        for attempt in 2..=10 {
            assert_eq!(expect!(probe, Reconnecting).attempt, attempt);
            if attempt == 5 {
                client.send_with("never\n", 9).unwrap();
            }
        }
        let closed = probe.expect_closed(ClosedReason::Error).await;
        let Cause::ReconnectFailed { attempts, kind, .. } = closed.detail.cause else {
            panic!("{}", closed.detail);
        };
        assert_eq!(
            (attempts, kind),
            (10, std::io::ErrorKind::ConnectionRefused)
        );
        assert_eq!(closed.detail.phase, ClosePhase::Reconnecting);
        assert_eq!(closed.detail.unsent, 6);
        assert_eq!(closed.detail.unsent_tokens, [9.into()]);
        let totals = pool.stop().await;
        assert_eq!((totals.connected, totals.closed_in_all()), (1, 1));
        assert_eq!(totals.connect_failed, 1);
    });
}

#[test]
fn only_a_stable_link_begins_everything_anew() {
    Simulation::seeded(5).run(|world| async move {
        let pool = world.pool();
        let mut listener = world.net().listen(HOST).unwrap();
        let mut probe = Probe::new();
        let connect = Connect::tcp(HOST).lines().reconnect(again());
        let _client = pool.connect(connect, probe.session()).await.unwrap();
        for (lasts, attempt, pause) in [(59, 2, 1), (10, 3, 2), (61, 1, 1), (1, 2, 2)] {
            let peer = listener.accept().await;
            expect!(probe, Connected);
            sleep(lasts * SECOND).await;
            drop(peer);
            expect!(probe, Disconnected);
            let next = expect!(probe, Reconnecting);
            assert_eq!((next.attempt, next.delay), (attempt, pause * SECOND));
        }
        pool.stop().await;
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.detail.cause, Cause::PoolStopped);
    });
}

#[test]
fn what_this_side_decides_stays_decided() {
    Simulation::seeded(6).run(|world| async move {
        let pool = world.pool();
        let mut listener = world.net().listen(HOST).unwrap();
        for aborts in [false, true] {
            // With a link, and without one.
            for links in [true, false] {
                let mut probe = Probe::new();
                let connect = Connect::tcp(HOST).lines().reconnect(again());
                let client = pool.connect(connect, probe.session()).await.unwrap();
                let mut peer = Some(listener.accept().await);
                expect!(probe, Connected);
                if !links {
                    peer = None;
                    expect!(probe, Disconnected);
                    expect!(probe, Reconnecting);
                }
                let asked = if aborts {
                    client.abort()
                } else {
                    client.close()
                };
                assert!(asked);
                let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
                let cause = [Cause::LocalClose, Cause::LocalAbort];
                assert_eq!(closed.detail.cause, cause[usize::from(aborts)]);
                probe.no_more(10 * SECOND).await;
                drop(peer);
                probe.finish();
            }
        }
        pool.stop().await;
    });
}

#[test]
fn an_end_by_timeout_or_by_a_broken_rule_is_mended_too() {
    Simulation::seeded(7).run(|world| async move {
        let pool = world.pool();
        let mut listener = world.net().listen(HOST).unwrap();
        let mut probe = Probe::new();
        let connect = Connect::tcp(HOST)
            .lines()
            .max_line(10)
            .idle_timeout(10 * SECOND)
            .reconnect(again());
        let _client = pool.connect(connect, probe.session()).await.unwrap();
        let _silent = listener.accept().await;
        expect!(probe, Connected);
        assert_eq!(expect!(probe, Disconnected).reason, ClosedReason::Timeout);
        expect!(probe, Reconnecting);
        let mut rude = listener.accept().await;
        expect!(probe, Connected);
        rude.write_all(b"much too long for a line").await.unwrap();
        assert_eq!(expect!(probe, Disconnected).reason, ClosedReason::Error);
        expect!(probe, Reconnecting);
        let _third = listener.accept().await;
        expect!(probe, Connected);
        pool.stop().await;
    });
}

#[test]
fn options_that_cannot_be_are_refused() {
    Simulation::seeded(8).run(|world| async move {
        let pool = world.pool();
        let mut nothing = again();
        nothing.max_attempts = Some(0);
        let mut backwards = again();
        backwards.backoff.min = 5 * SECOND;
        for (config, named) in [(nothing, "max_attempts"), (backwards, "pauses")] {
            let connect = Connect::tcp(HOST).reconnect(config);
            let error = pool.connect(connect, Probe::new().session()).await;
            let error = error.unwrap_err();
            assert_eq!(error.phase, ConnectPhase::Options);
            assert!(error.to_string().contains(named), "{error}");
        }
        let mut listen = Listen::tcp(HOST);
        listen.config_mut().reconnect = Some(again());
        let error = pool.listen(listen, Probe::new().session()).await;
        assert!(error.unwrap_err().to_string().contains("reconnect"));
    });
}

/// A network that breaks connections all the time, and a peer that counts: whatever was told as sent and
/// not as unsent has left, the books of the pool balance, and it ends.
#[test]
fn the_books_balance_however_often_the_link_breaks() {
    for seed in 0..30 {
        let rates = Rates {
            reset: 20,
            ..Rates::default()
        };
        Simulation::seeded(seed)
            .faults(rates)
            .run(|world| async move {
                let pool = world.pool();
                let mut listener = world.net().listen(HOST).unwrap();
                actix::spawn(async move {
                    loop {
                        let mut peer = listener.accept().await;
                        actix::spawn(async move {
                            let mut buffer = [0; 512];
                            while let Ok(count @ 1..) = peer.read(&mut buffer).await {
                                if peer.write_all(&buffer[..count]).await.is_err() {
                                    return;
                                }
                            }
                        });
                    }
                });
                let probe = Probe::new();
                let mut config = again();
                config.max_attempts = None;
                config.seed = Some(world.draw(|rng| rng.u64(..)));
                let connect = Connect::tcp(HOST).lines().reconnect(config);
                let client = pool.connect(connect, probe.session()).await;
                let Ok(client) = client else { return };
                for number in 0..100_u64 {
                    let _ = client.send_with(format!("line {number}\n"), number);
                    sleep(Duration::from_millis(world.draw(|rng| rng.u64(..400)))).await;
                }
                let totals = pool.stop().await;
                let ended = totals.closed_in_all();
                assert_eq!(totals.connected, ended, "{totals}");
                let mut probe = probe;
                let (mut links, mut losses, mut resolved) = (0, 0, 0);
                for event in probe.so_far() {
                    match event {
                        ClientEvent::Connected(_) => links += 1,
                        ClientEvent::Sent(_) => resolved += 1,
                        ClientEvent::Disconnected(lost) => {
                            losses += 1;
                            resolved += lost.detail.unsent_tokens.len();
                        }
                        ClientEvent::Closed(closed) => {
                            resolved += closed.detail.unsent_tokens.len()
                        }
                        _ => {}
                    }
                }
                assert_eq!(resolved, 100, "each send is sent or counted as unsent");
                assert_eq!(totals.connected, links);
                assert!(losses >= 1 || links == 1);
            });
    }
}

#[test]
fn a_real_server_that_goes_and_comes_back_is_found_again() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        let mut probe = Probe::new();
        let mut config = again();
        config.backoff.min = Duration::from_millis(10);
        let connect = Connect::tcp(address).lines().reconnect(config);
        let client = pool.connect(connect, probe.session()).await.unwrap();
        expect!(probe, Connected);
        let listener = peer(move || {
            let (stream, _) = listener.accept().unwrap();
            reset_on_close(&stream);
            listener
        })
        .await;
        assert_eq!(expect!(probe, Disconnected).reason, ClosedReason::Error);
        expect!(probe, Reconnecting);
        expect!(probe, Connected);
        client.send("over the second link\n").unwrap();
        peer(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut came = [0; 21];
            stream.read_exact(&mut came).unwrap();
            assert_eq!(&came, b"over the second link\n");
        })
        .await;
        client.close();
        loop {
            if let ClientEvent::Closed(_) = probe.next().await {
                break;
            }
        }
    });
}

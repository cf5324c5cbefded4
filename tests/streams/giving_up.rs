//! Waits that are given up, at whatever moment: no byte is lost or doubled, and no connection is left.

use std::io::Write;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::FutureExt;
use switchboard::ConnectionOptions;
use switchboard::stream::{StreamError, TcpClient};
use switchboard_tests::{Stalled, stalled};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// More than the high mark and the narrow buffers hold together.
const MUCH: usize = 4 * 64 * 1024;

/// Waits for at most a moment of random length, often none at all.
async fn moment<T>(work: impl Future<Output = T>) -> Option<T> {
    match fastrand::u64(0..4) {
        0 => work.now_or_never(),
        1 => {
            let mut work = pin!(work);
            for _ in 0..fastrand::usize(1..4) {
                if let Some(done) = (&mut work).now_or_never() {
                    return Some(done);
                }
                tokio::task::yield_now().await;
            }
            None
        }
        _ => timeout(
            std::time::Duration::from_micros(fastrand::u64(1..900)),
            work,
        )
        .await
        .ok(),
    }
}

#[test]
fn ua_06_ua_12_an_open_that_is_given_up_never_connects() {
    let totals = with_pool(async |pool| {
        let Stalled {
            address,
            listener,
            filling,
        } = stalled();
        let opening = open_connection(&pool, Connect::tcp(address));
        assert!(timeout(ms(50), opening).await.is_err(), "it is answered");
        let mut client = TcpClient::new(&pool, Connect::tcp(address));
        assert!(timeout(ms(50), client.connect()).await.is_err());
        let failed = async {
            while pool.status().await.unwrap().totals.connect_failed < 2 {
                tokio::task::yield_now().await;
            }
        };
        // Long before the connect itself would time out.
        timeout(ms(2000), failed).await.expect("it still connects");
        drop((listener, filling));
    });
    assert_eq!((totals.connected, totals.connect_failed), (0, 2));
}

#[test]
fn ua_12_a_connect_that_stalls_ends_in_time() {
    with_pool(async |pool| {
        let nobody = stalled();
        let address = nobody.address;
        let connect = Connect::tcp(address).timeout(ms(60));
        let error = open_connection(&pool, connect).await.unwrap_err();
        assert_eq!(error.kind, std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_read_that_is_given_up_leaves_its_turn_to_others() {
    with_pool(async |pool| {
        let (mut reader, writer, mut peer) = stream(&pool).await;
        assert!(timeout(ms(20), reader.read(5)).await.is_err());
        assert!(
            timeout(ms(20), reader.read_into(&mut [0; 5]))
                .await
                .is_err()
        );
        peer.write_all(b"abcde").unwrap();
        let asked = timeout(PATIENCE, writer.client().recv_exact(3)).await;
        assert_eq!(asked.expect("it waits behind nobody").unwrap(), "abc");
        assert_eq!(reader.read_exact(2).await.unwrap(), "de");
    });
}

/// One read of any kind, given up after a moment.
async fn some_read(reader: &mut Reader, got: &mut Vec<u8>) {
    match fastrand::u8(0..9) {
        0 => got.extend(
            moment(reader.read(9))
                .await
                .transpose()
                .unwrap()
                .unwrap_or_default(),
        ),
        1 => got.extend(
            moment(reader.read_exact(700))
                .await
                .transpose()
                .unwrap()
                .unwrap_or_default(),
        ),
        2 => got.extend(
            moment(reader.read_line())
                .await
                .transpose()
                .unwrap()
                .unwrap_or_default(),
        ),
        3 => {
            let until = moment(reader.read_until("\x07\x08")).await;
            got.extend(until.transpose().unwrap().unwrap_or_default());
        }
        4 => {
            let mut target = [0; 333];
            let count = moment(reader.read_into(&mut target))
                .await
                .transpose()
                .unwrap();
            got.extend(&target[..count.unwrap_or(0)]);
        }
        5 => {
            let mut target = [0; 333];
            let count = moment(AsyncReadExt::read(reader, &mut target))
                .await
                .transpose()
                .unwrap();
            got.extend(&target[..count.unwrap_or(0)]);
        }
        6 => {
            let there = moment(reader.fill_buf())
                .await
                .transpose()
                .unwrap()
                .unwrap_or_default();
            let count = there.len().min(100);
            got.extend(&there[..count]);
            reader.consume(count);
        }
        7 => {
            let over = moment(reader.read_to_end(100)).await;
            assert!(matches!(
                over,
                None | Some(Err(StreamError::TooMuch { .. }))
            ));
        }
        _ => {
            let client = reader.client().unwrap().clone();
            if reader.buffered() == 0 {
                let other = moment(client.recv_up_to(50)).await;
                got.extend(other.transpose().unwrap().unwrap_or_default());
            }
        }
    }
}

#[test]
fn reads_of_every_kind_that_are_given_up_all_the_time_lose_nothing() {
    const TOTAL: usize = 200_000;
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        let writing = std::thread::spawn(move || {
            for part in pattern(TOTAL).chunks(1501) {
                peer.write_all(part).unwrap();
                if fastrand::u8(0..8) == 0 {
                    // A pause, in which reads are given up.
                    std::thread::sleep(ms(1));
                }
            }
            peer
        });
        let mut got = Vec::new();
        // The last reads wait for what never comes; they would have to end short.
        while got.len() < TOTAL - 1000 {
            some_read(&mut reader, &mut got).await;
        }
        let rest = TOTAL - got.len();
        got.extend(reader.read_exact(rest).await.unwrap());
        assert!(
            got == pattern(TOTAL),
            "bytes are lost, doubled or out of place"
        );
        writing.join().unwrap();
    });
}

#[test]
fn waits_of_a_writer_that_are_given_up_all_the_time_lose_nothing() {
    const TOTAL: usize = MIB;
    with_pool(async |pool| {
        for buffered in [false, true] {
            let (_reader, mut writer, mut peer) = narrow(&pool).await;
            if buffered {
                writer = writer.buffered();
            }
            let reading = std::thread::spawn(move || read_all(&mut peer));
            let data = Bytes::from(pattern(TOTAL));
            let mut at = 0;
            while at < TOTAL {
                let part = data.slice(at..TOTAL.min(at + fastrand::usize(1..20_000)));
                match fastrand::u8(0..5) {
                    0 => {
                        writer.write(part.clone()).unwrap();
                        at += part.len();
                    }
                    1 => _ = moment(writer.drain()).await.transpose().unwrap(),
                    2 => _ = moment(writer.flush()).await.transpose().unwrap(),
                    3 => {
                        _ = moment(AsyncWriteExt::flush(&mut writer))
                            .await
                            .transpose()
                            .unwrap()
                    }
                    _ => {
                        let taken = moment(AsyncWriteExt::write(&mut writer, &part)).await;
                        at += taken.transpose().unwrap().unwrap_or(0);
                    }
                }
            }
            let _ = moment(writer.drain()).await;
            writer.close();
            assert!(
                reading.join().unwrap() == data,
                "bytes are lost, doubled or out of place"
            );
        }
    });
}

#[test]
fn a_flush_that_was_given_up_does_not_answer_for_what_was_written_behind_it() {
    with_pool(async |pool| {
        let (_reader, mut writer, mut peer) = narrow(&pool).await;
        writer.write(pattern(MUCH)).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut writer).poll_flush(&mut cx).is_pending());
        writer.write(pattern(4 * MUCH)).unwrap();
        let client = writer.client().clone();
        while client.write_buffer_size() > 4 * MUCH {
            peer = super::peer(move || {
                read_exact(&mut peer, 4096);
                peer
            })
            .await;
        }
        assert!(client.write_buffer_size() > 0);
        let flushed = Pin::new(&mut writer).poll_flush(&mut cx);
        assert!(flushed.is_pending(), "it answers for less than was written");
        client.abort();
    });
}

#[test]
fn what_a_buffered_writer_took_is_sent_by_close_after_a_drain_was_given_up() {
    const CAPACITY: usize = 300_000;
    with_pool(async |pool| {
        let (listener, address) = listener();
        socket2::SockRef::from(&listener)
            .set_recv_buffer_size(16 * 1024)
            .unwrap();
        let connect = Connect::tcp(address)
            .send_buffer_size(16 * 1024)
            .write_capacity(CAPACITY);
        let (_reader, writer) = open_connection(&pool, connect).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut writer = writer.buffered();
        let mut written = 0;
        writer.write(pattern(CAPACITY)).unwrap();
        written += CAPACITY;
        assert!(timeout(ms(50), writer.drain()).await.is_err());
        while let Ok(()) = writer.write(pattern(251)) {
            written += 251;
        }
        writer.close();
        let got = super::peer(move || read_all(&mut peer)).await;
        assert_eq!(got.len(), written, "what was taken is lost");
    });
}

#[test]
fn a_receive_of_tcp_client_that_is_given_up_loses_nothing() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let mut client = TcpClient::new(&pool, Connect::tcp(address));
        client.connect().await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let writing = std::thread::spawn(move || {
            for part in pattern(20_000).chunks(99) {
                peer.write_all(part).unwrap();
                std::thread::yield_now();
            }
        });
        let mut got = Vec::new();
        while got.len() < 20_000 {
            let most = [None, Some(fastrand::usize(1..300))][fastrand::usize(0..2)];
            if let Some(bytes) = moment(client.recv(most)).await {
                got.extend(bytes.unwrap().expect("the peer has not finished"));
            }
        }
        assert_eq!(got, pattern(20_000));
        writing.join().unwrap();
    });
}

#[test]
fn a_send_of_tcp_client_that_is_given_up_says_what_it_took() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        socket2::SockRef::from(&listener)
            .set_recv_buffer_size(16 * 1024)
            .unwrap();
        let mut client = TcpClient::new(&pool, Connect::tcp(address).send_buffer_size(16 * 1024));
        client.connect().await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let reading = std::thread::spawn(move || read_all(&mut peer));
        let mut data = Bytes::from(pattern(MIB));
        while !data.is_empty() {
            let sent = moment(client.send(data.clone(), 3)).await;
            assert!(!matches!(sent, Some(Err(_))));
            let _ = data.split_to(client.taken());
        }
        client.close();
        assert!(
            reading.join().unwrap() == pattern(MIB),
            "bytes are lost or doubled"
        );
    });
}

#[test]
fn a_shutdown_is_not_well_done_when_bytes_are_lost() {
    with_pool(async |pool| {
        let (_reader, mut writer, _peer) = narrow(&pool).await;
        writer.write(pattern(MUCH)).unwrap();
        writer.client().abort();
        assert!(writer.shutdown().await.is_err());
        writer.wait_closed().await.unwrap();
        assert!(writer.shutdown().await.is_err());

        let (_reader, mut writer, mut peer) = narrow(&pool).await;
        writer.write(pattern(MUCH)).unwrap();
        writer.close();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut writer).poll_shutdown(&mut cx).is_pending());
        let reading = std::thread::spawn(move || read_all(&mut peer));
        writer.shutdown().await.unwrap();
        assert_eq!(reading.join().unwrap().len(), MUCH);
        assert_eq!(writer.shutdown().now_or_never().unwrap().ok(), Some(()));
        let polled = Pin::new(&mut writer).poll_write(&mut cx, b"x");
        assert!(matches!(polled, Poll::Ready(Err(_))));
    });
}

//! Writing to a plain peer.

use std::io::{ErrorKind, Read, Write};

use futures_util::FutureExt;
use switchboard::{ConnectionOptions, ExtraInfo, SendRefusal, SentError};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::*;

/// More than the high mark and the narrow buffers hold together.
const MUCH: usize = 4 * 64 * 1024;

#[test]
fn aio_25_each_method_of_a_writer_does_what_its_name_says() {
    with_pool(async |pool| {
        let (mut reader, mut writer, mut peer) = stream(&pool).await;
        writer.write("one ").unwrap();
        writer.write_lines(["two ", "", "three"]).unwrap();
        writer.write("").unwrap();
        writer.drain().await.unwrap();
        assert_eq!(read_exact(&mut peer, 13), b"one two three");
        let Some(ExtraInfo::Address(name)) = writer.extra_info("peername") else {
            panic!("the peer has a name");
        };
        assert_eq!(name.to_string(), peer.local_addr().unwrap().to_string());
        assert!(writer.extra_info("no such thing").is_none());
        assert_eq!(writer.client(), reader.client().unwrap());
        assert!(writer.can_write_eof());
        writer.write_eof().unwrap();
        assert_eq!(read_all(&mut peer), b"");
        let refused = writer.write("more").unwrap_err();
        assert_eq!(refused.refusal, SendRefusal::WriteClosed);
        peer.write_all(b"still").unwrap();
        assert_eq!(reader.read(9).await.unwrap(), "still");
        assert!(!writer.is_closing());
        writer.close();
        assert!(writer.is_closing());
        drop(peer);
        writer.wait_closed().await.unwrap();
    });
}

#[test]
fn aio_26_drain_is_done_at_once_below_the_high_mark() {
    with_pool(async |pool| {
        let (_reader, mut writer, _peer) = narrow(&pool).await;
        stall(&mut writer).await;
        writer.write(pattern(1024)).unwrap();
        let drained = writer.drain().now_or_never();
        drained.expect("it waits").unwrap();
        assert!(writer.client().write_buffer_size() > 1024);
        writer.client().abort();
    });
}

#[test]
fn aio_27_drain_waits_for_the_low_mark_and_not_for_nothing() {
    with_pool(async |pool| {
        let (_reader, mut writer, mut peer) = narrow(&pool).await;
        writer.write(pattern(MUCH)).unwrap();
        assert!(timeout(ms(100), writer.drain()).await.is_err());
        let reading = std::thread::spawn(move || {
            let got = read_exact(&mut peer, MUCH);
            (peer, got)
        });
        writer.drain().await.unwrap();
        assert!(writer.client().write_buffer_size() <= 16 * 1024);
        writer.flush().await.unwrap();
        let (_peer, got) = reading.join().unwrap();
        assert_eq!(got, pattern(MUCH));
    });
}

#[test]
fn aio_27_drain_fails_when_the_connection_is_lost() {
    with_pool(async |pool| {
        let (_reader, mut writer, _peer) = narrow(&pool).await;
        writer.write(pattern(MUCH)).unwrap();
        let client = writer.client().clone();
        let (drained, ()) = tokio::join!(writer.drain(), async {
            tokio::task::yield_now().await;
            client.abort();
        });
        assert!(matches!(drained, Err(SentError::Closed { .. })));
    });
}

#[test]
fn aio_28_flush_waits_for_the_peer_where_drain_does_not() {
    with_pool(async |pool| {
        let (_reader, mut writer, mut peer) = narrow(&pool).await;
        stall(&mut writer).await;
        writer.write("last").unwrap();
        let queued = writer.client().write_buffer_size();
        assert!(queued > 0);
        timeout(PATIENCE, writer.drain()).await.unwrap().unwrap();
        assert!(timeout(ms(100), writer.flush()).await.is_err());
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        writer.flush().await.unwrap();
        writer.close();
        assert!(reading.join().unwrap().ends_with(b"last"));
    });
}

/// Fills the system's buffers, so that what is written then waits in ours, below the high mark.
async fn stall(writer: &mut Writer) {
    loop {
        writer.write(pattern(8 * 1024)).unwrap();
        if timeout(ms(100), writer.flush()).await.is_err() {
            return;
        }
    }
}

#[test]
fn ua_20_amb_09_a_buffered_writer_sends_nothing_before_drain_and_drain_sends_all() {
    with_pool(async |pool| {
        let (_reader, writer, mut peer) = stream(&pool).await;
        let mut writer = writer.buffered();
        writer.write("one ").unwrap();
        writer.write_lines(["two ", "three"]).unwrap();
        peer.set_read_timeout(Some(ms(200))).unwrap();
        let nothing = peer.read(&mut [0; 16]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        writer.drain().await.unwrap();
        assert_eq!(writer.client().write_buffer_size(), 0);
        assert_eq!(read_exact(&mut peer, 13), b"one two three");
        writer.write("four").unwrap();
        writer.close();
        assert_eq!(read_all(&mut peer), b"four");
    });
}

#[test]
fn ua_20_a_buffered_writer_drains_more_than_the_peer_takes_at_once() {
    with_pool(async |pool| {
        let (_reader, writer, mut peer) = narrow(&pool).await;
        let mut writer = writer.buffered();
        writer.write(pattern(MUCH)).unwrap();
        assert!(timeout(ms(100), writer.drain()).await.is_err());
        let reading = std::thread::spawn(move || read_all(&mut peer));
        writer.drain().await.unwrap();
        assert_eq!(writer.client().write_buffer_size(), 0);
        writer.close();
        assert_eq!(reading.join().unwrap(), pattern(MUCH));
    });
}

#[test]
fn ua_15_wait_closed_comes_behind_the_peers_end_and_again() {
    with_pool(async |pool| {
        let (_reader, mut writer, mut peer) = stream(&pool).await;
        let reading = std::thread::spawn(move || read_all(&mut peer));
        writer.write("bye").unwrap();
        writer.close();
        let detail = writer.wait_closed().await.unwrap();
        assert_eq!(detail.unsent, 0);
        assert_eq!(reading.join().unwrap(), b"bye");
        writer.wait_closed().await.unwrap();
        writer.close();
        assert_eq!(writer.write("x").unwrap_err().refusal, SendRefusal::Closed);
        writer.write("").unwrap();
    });
}

#[test]
fn a_write_over_the_capacity_comes_back_whole_and_write_all_sends_it() {
    with_pool(async |pool| {
        let small = |connect: Connect| connect.write_capacity(100_000);
        for buffered in [false, true] {
            let (_reader, mut writer, mut peer) = stream_with(&pool, small).await;
            if buffered {
                writer = writer.buffered();
            }
            let reading = std::thread::spawn(move || read_all(&mut peer));
            writer.write("head").unwrap();
            let refused = writer.write(pattern(MIB)).unwrap_err();
            assert!(refused.is_full());
            assert_eq!(refused.payload, pattern(MIB));
            writer.write_all(refused.payload).await.unwrap();
            writer.write_eof().unwrap();
            let got = reading.join().unwrap();
            assert_eq!(got.len(), MIB + 4);
            assert!(got.ends_with(&pattern(MIB)));
        }
    });
}

#[test]
fn write_all_hands_back_what_a_lost_connection_does_not_take() {
    with_pool(async |pool| {
        let (_reader, mut writer, _peer) = narrow(&pool).await;
        let client = writer.client().clone();
        let (written, ()) = tokio::join!(writer.write_all(pattern(MIB)), async {
            until(|| client.info().activity.bytes_out > 0).await;
            client.abort();
        });
        let refused = written.unwrap_err();
        assert_eq!(refused.refusal, SendRefusal::Closed);
        assert!(pattern(MIB).ends_with(&refused.payload) && refused.payload.len() < MIB);
    });
}

#[test]
fn the_connection_closes_when_both_halves_are_dropped() {
    with_pool(async |pool| {
        let (reader, mut writer, mut peer) = stream(&pool).await;
        writer.write("bye").unwrap();
        let client = writer.client().clone();
        drop(writer);
        assert!(!client.is_closed());
        drop(reader);
        assert!(client.is_closed());
        assert_eq!(read_all(&mut peer), b"bye");
        drop(peer);
        assert_eq!(client.closed().await.unwrap().unsent, 0);
    });
}

#[test]
fn tokios_trait_writes_waits_flushes_and_finishes() {
    with_pool(async |pool| {
        for buffered in [false, true] {
            let (mut reader, mut writer, mut peer) = narrow(&pool).await;
            if buffered {
                writer = writer.buffered();
            }
            let mut other = peer.try_clone().unwrap();
            let reading = std::thread::spawn(move || read_all(&mut peer));
            AsyncWriteExt::write_all(&mut writer, &pattern(MIB))
                .await
                .unwrap();
            AsyncWriteExt::flush(&mut writer).await.unwrap();
            assert_eq!(writer.client().write_buffer_size(), 0);
            AsyncWriteExt::write_all(&mut writer, b"end").await.unwrap();
            writer.shutdown().await.unwrap();
            writer.shutdown().await.unwrap();
            let got = reading.join().unwrap();
            assert_eq!(got.len(), MIB + 3);
            assert!(got.starts_with(&pattern(MIB)) && got.ends_with(b"end"));
            let error = AsyncWriteExt::write_all(&mut writer, b"x")
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            other.write_all(b"still").unwrap();
            assert_eq!(reader.read(9).await.unwrap(), "still");
        }
    });
}

#[test]
fn a_write_of_tokios_trait_waits_while_writing_is_paused() {
    with_pool(async |pool| {
        let (_reader, mut writer, mut peer) = narrow(&pool).await;
        writer.write(pattern(MUCH)).unwrap();
        let paused = timeout(ms(100), AsyncWriteExt::write(&mut writer, b"x")).await;
        assert!(paused.is_err());
        let reading = std::thread::spawn(move || read_all(&mut peer));
        assert_eq!(AsyncWriteExt::write(&mut writer, b"x").await.unwrap(), 1);
        writer.close();
        assert_eq!(reading.join().unwrap().len(), MUCH + 1);
    });
}

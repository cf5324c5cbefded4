//! Reading from a plain peer.

use std::io::Write;
use std::net::Shutdown;

use switchboard::stream::StreamError;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use super::*;

#[test]
fn ua_16_read_gives_what_is_there_then_the_end() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        peer.write_all(b"0123456789").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.read(4).await.unwrap(), "0123");
        assert_eq!(reader.read(100).await.unwrap(), "456789");
        assert_eq!(reader.read(100).await.unwrap(), "");
        assert_eq!(reader.read(100).await.unwrap(), "");
        assert!(reader.at_eof());
    });
}

#[test]
fn ua_17_read_into_says_how_many_and_0_at_the_end() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        peer.write_all(b"abc").unwrap();
        let mut target = [0; 8];
        assert_eq!(reader.read_into(&mut target).await.unwrap(), 3);
        assert_eq!(&target[..3], b"abc");
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.read_into(&mut target).await.unwrap(), 0);
    });
}

#[test]
fn ua_18_aio_33_an_exact_read_that_is_cut_short_hands_over_the_rest() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        assert_eq!(reader.read_exact(0).await.unwrap(), "");
        peer.write_all(b"abc").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let error = reader.read_exact(5).await.unwrap_err();
        assert_eq!(error.partial(), b"abc");
        assert_eq!(error.io_kind(), std::io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn ua_19_lines_keep_their_lf_and_the_last_needs_none() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        peer.write_all(b"a\nb").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.read_line().await.unwrap(), "a\n");
        assert_eq!(reader.read_line().await.unwrap(), "b");
        assert_eq!(reader.read_line().await.unwrap(), "");
    });
}

#[test]
fn aio_31_a_mebibyte_is_read_to_the_end_and_not_more_than_allowed() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut stream) = stream(&pool).await;
        let writing = std::thread::spawn(move || stream.write_all(&pattern(MIB)));
        let error = reader.read_to_end(MIB / 2).await.unwrap_err();
        assert!(matches!(error, StreamError::TooMuch { max, .. } if max == MIB / 2));
        assert_eq!(reader.read(0).await.unwrap(), "");
        assert_eq!(reader.read_to_end(MIB).await.unwrap(), pattern(MIB));
        writing.join().unwrap().unwrap();
    });
}

#[test]
fn aio_32_after_a_line_over_the_limit_the_next_is_read() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        reader.set_limit(4);
        peer.write_all(b"0123456789\nok\n").unwrap();
        let error = reader.read_line().await.unwrap_err();
        assert!(matches!(error, StreamError::LineTooLong { limit: 4, .. }));
        assert_eq!(reader.read_line().await.unwrap(), "ok\n");
    });
}

#[test]
fn a_reset_is_told_behind_what_came_before_it() {
    with_pool(async |pool| {
        let (mut reader, writer, mut peer) = stream(&pool).await;
        peer.write_all(b"one\ntw").unwrap();
        assert_eq!(reader.read(1).await.unwrap(), "o");
        reset_on_close(&peer);
        drop(peer);
        assert_eq!(reader.read_line().await.unwrap(), "ne\n");
        let error = reader.read_line().await.unwrap_err();
        assert_eq!(error.io_kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(reader.read(9).await.unwrap(), "tw");
        assert!(matches!(reader.read(9).await, Err(StreamError::Closed(_))));
        assert!(writer.is_closing() && !reader.at_eof());
    });
}

#[test]
fn reading_after_the_own_close_is_an_error() {
    with_pool(async |pool| {
        let (mut reader, mut writer, _peer) = stream(&pool).await;
        writer.close();
        let error = reader.read(1).await.unwrap_err();
        assert!(matches!(
            error,
            StreamError::Closed(switchboard::Cause::LocalClose)
        ));
    });
}

#[test]
fn aio_29_a_peer_that_nobody_reads_from_is_held_back() {
    const TOTAL: usize = 10 * MIB;
    with_pool(async |pool| {
        let (mut reader, _writer, mut stream) = stream(&pool).await;
        let writing = std::thread::spawn(move || stream.write_all(&pattern(TOTAL)));
        let client = reader.client().unwrap().clone();
        let (mut got, mut most) = (Vec::with_capacity(TOTAL), 0);
        while got.len() < TOTAL {
            let part = reader.read(1000).await.unwrap();
            got.extend_from_slice(&part);
            let came = usize::try_from(client.info().activity.bytes_in).unwrap();
            most = most.max(came - got.len());
        }
        assert_eq!(got, pattern(TOTAL));
        assert!(most <= 3 * reader.limit(), "{most} bytes were held");
        writing.join().unwrap().unwrap();
    });
}

#[test]
fn tokios_traits_read_the_same_bytes() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        peer.write_all(b"one\ntwo\nrest").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut reader, &mut line)
            .await
            .unwrap();
        assert_eq!(line, "one\n");
        assert_eq!(reader.read_line().await.unwrap(), "two\n");
        let mut rest = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut rest)
            .await
            .unwrap();
        assert_eq!(rest, b"rest");
    });
}

#[test]
fn a_read_that_is_given_up_loses_nothing() {
    with_pool(async |pool| {
        let (mut reader, _writer, mut peer) = stream(&pool).await;
        peer.write_all(b"abc").unwrap();
        let waiting = tokio::time::timeout(ms(50), reader.read_exact(5)).await;
        assert!(waiting.is_err());
        peer.write_all(b"de").unwrap();
        assert_eq!(reader.read_exact(5).await.unwrap(), "abcde");
    });
}

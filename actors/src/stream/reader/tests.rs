//! Reading without a network.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::super::{FeedError, Feeder, Reader, StreamError};

/// Polls once, as somebody whom nobody wakes.
fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match poll(future) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn fed(chunks: &[&'static str], limit: usize) -> (Feeder, Reader) {
    let (feeder, reader) = Reader::feeder(limit);
    for chunk in chunks {
        feeder.feed(*chunk).unwrap();
    }
    (feeder, reader)
}

fn finished(chunks: &[&'static str], limit: usize) -> Reader {
    let (feeder, reader) = fed(chunks, limit);
    feeder.feed_eof();
    reader
}

#[test]
fn aio_30_a_reader_needs_no_network() {
    let (feeder, mut reader) = fed(&["ab"], 64);
    assert!(poll(reader.read_line()).is_pending());
    feeder.feed("c\nd").unwrap();
    assert_eq!(now(reader.read_line()).unwrap(), "abc\n");
    feeder.feed_eof();
    assert!(!reader.at_eof());
    assert_eq!(now(reader.read_line()).unwrap(), "d");
    assert!(reader.at_eof());
    assert_eq!(now(reader.read_line()).unwrap(), "");
    let refused = feeder.feed("more");
    assert_eq!(refused, Err(FeedError::Ended(Bytes::from("more"))));
}

#[test]
fn aio_30_an_error_comes_behind_what_was_fed_before_it() {
    let (feeder, mut reader) = fed(&["ab"], 64);
    feeder.set_error("broken");
    assert_eq!(now(reader.read(64)).unwrap(), "ab");
    for _ in 0..2 {
        let error = now(reader.read(64)).unwrap_err();
        assert!(matches!(error, StreamError::Fed(_)));
        assert_eq!(error.to_string(), "broken");
    }
    assert!(reader.error().is_some() && !reader.at_eof());
}

#[test]
fn a_feeder_that_is_dropped_is_no_clean_end() {
    let (feeder, mut reader) = fed(&["ab"], 64);
    drop(feeder);
    assert_eq!(now(reader.read(64)).unwrap(), "ab");
    let error = now(reader.read(64)).unwrap_err();
    assert!(matches!(error, StreamError::FeederGone));
}

#[test]
fn what_nobody_reads_comes_back_to_the_feeder() {
    let (feeder, reader) = Reader::feeder(64);
    drop(reader);
    let refused = feeder.feed("ab");
    assert_eq!(refused, Err(FeedError::ReaderGone(Bytes::from("ab"))));
}

#[test]
fn aio_29_a_feeder_is_paused_over_twice_the_limit_and_resumed_below() {
    let (mut feeder, mut reader) = fed(&["0123", "4567"], 4);
    assert!(!feeder.is_paused());
    feeder.feed("8").unwrap();
    assert!(feeder.is_paused());
    assert!(poll(feeder.resumed()).is_pending());
    assert_eq!(now(reader.read(1)).unwrap(), "0");
    assert!(!feeder.is_paused());
    now(feeder.resumed());
}

#[test]
fn aio_29_a_read_asks_for_no_more_than_it_needs() {
    let (_feeder, mut reader) = fed(&["one\n", "two\n", "three"], 64);
    assert_eq!(now(reader.read_line()).unwrap(), "one\n");
    assert_eq!(reader.buffered(), 0);
    assert_eq!(now(reader.read(1)).unwrap(), "t");
    assert_eq!(reader.buffered(), 3);
}

#[test]
fn ua_16_read_gives_what_is_there_then_the_end() {
    let mut reader = finished(&["0123456789"], 64);
    assert_eq!(now(reader.read(4)).unwrap(), "0123");
    assert_eq!(now(reader.read(100)).unwrap(), "456789");
    assert_eq!(now(reader.read(100)).unwrap(), "");
}

#[test]
fn ua_17_read_into_says_how_many_and_0_at_the_end() {
    let mut reader = finished(&["abcde"], 64);
    let mut target = [0; 4];
    assert_eq!(now(reader.read_into(&mut [])).unwrap(), 0);
    assert_eq!(now(reader.read_into(&mut target)).unwrap(), 4);
    assert_eq!(&target, b"abcd");
    assert_eq!(now(reader.read_into(&mut target)).unwrap(), 1);
    assert_eq!(now(reader.read_into(&mut target)).unwrap(), 0);
}

#[test]
fn ua_18_aio_33_an_exact_read_that_is_cut_short_hands_over_the_rest() {
    let mut reader = finished(&["ab", "c"], 64);
    assert_eq!(now(reader.read_exact(0)).unwrap(), "");
    let error = now(reader.read_exact(5)).unwrap_err();
    assert_eq!(error.partial(), b"abc");
    assert_eq!(error.io_kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn aio_31_reading_to_the_end_is_bounded_and_reading_nothing_never_waits() {
    let (feeder, mut reader) = Reader::feeder(64);
    assert_eq!(now(reader.read(0)).unwrap(), "");
    feeder.feed("abcde").unwrap();
    let error = now(reader.read_to_end(4)).unwrap_err();
    assert!(matches!(error, StreamError::TooMuch { max: 4, length: 5 }));
    assert!(poll(reader.read_to_end(8)).is_pending());
    feeder.feed_eof();
    assert_eq!(now(reader.read_to_end(8)).unwrap(), "abcde");
    assert_eq!(now(reader.read_to_end(8)).unwrap(), "");
}

#[test]
fn aio_32_after_a_line_over_the_limit_the_next_is_read() {
    let mut reader = finished(&["0123456789\nok\n"], 4);
    let error = now(reader.read_line()).unwrap_err();
    let (limit, dropped) = (4, 11);
    assert!(
        matches!(error, StreamError::LineTooLong { limit: l, dropped: d } if (l, d) == (limit, dropped))
    );
    assert_eq!(now(reader.read_line()).unwrap(), "ok\n");
    assert_eq!(now(reader.read_line()).unwrap(), "");
}

#[test]
fn what_is_too_long_before_a_delimiter_stays_for_other_reads() {
    let mut reader = finished(&["abcdef--gh"], 4);
    let error = now(reader.read_until("--")).unwrap_err();
    assert!(matches!(
        error,
        StreamError::TooLong {
            limit: 4,
            length: 6
        }
    ));
    reader.set_limit(6);
    assert_eq!(now(reader.read_until("--")).unwrap(), "abcdef--");
    assert_eq!(now(reader.read_until("--")).unwrap_err().partial(), b"gh");
    let error = now(reader.read_until("")).unwrap_err();
    assert!(matches!(error, StreamError::EmptyDelimiter));
}

#[test]
fn a_read_that_is_dropped_has_taken_nothing() {
    let (feeder, mut reader) = fed(&["abc"], 64);
    assert!(poll(reader.read_exact(5)).is_pending());
    assert!(poll(reader.read_line()).is_pending());
    feeder.feed("de").unwrap();
    assert_eq!(now(reader.read_exact(5)).unwrap(), "abcde");
}

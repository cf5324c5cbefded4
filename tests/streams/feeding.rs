//! A reader without a connection, fed by another thread as an adapter for another source would.

use futures_util::poll;
use switchboard::stream::{FeedError, StreamError};
use tokio::io::AsyncReadExt;

use super::*;

/// Lets a future have so long and no longer.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

#[actix::test]
async fn aio_30_a_reader_is_fed_by_hand_from_another_thread() {
    const TOTAL: usize = MIB;
    let (feeder, mut reader) = Reader::feeder(1024);
    assert!(reader.client().is_none());
    // A reader that waits is woken from there.
    let (go, gone) = std::sync::mpsc::channel();
    let feeding = std::thread::spawn(move || {
        gone.recv_timeout(PATIENCE).unwrap();
        feeder.feed("one\ntw").unwrap();
        feeder.feed("o\n").unwrap();
        for part in pattern(TOTAL).chunks(1000) {
            feeder.feed(part.to_vec()).unwrap();
        }
        feeder.feed_eof();
        // The first end holds.
        feeder.set_error("too late");
        assert!(matches!(feeder.feed("more"), Err(FeedError::Ended(more)) if more == "more"));
    });
    let mut line = Box::pin(reader.read_line());
    assert!(poll!(&mut line).is_pending());
    go.send(()).unwrap();
    assert_eq!(soon(&mut line).await.unwrap(), "one\n");
    drop(line);
    assert_eq!(soon(reader.read_line()).await.unwrap(), "two\n");
    let mut all = Vec::new();
    soon(AsyncReadExt::read_to_end(&mut reader, &mut all))
        .await
        .unwrap();
    assert!(all == pattern(TOTAL));
    assert!(reader.at_eof() && reader.error().is_none());
    feeding.join().unwrap();

    let (feeder, mut reader) = Reader::feeder(64);
    feeder.feed("before").unwrap();
    feeder.set_error("the source broke");
    assert_eq!(soon(reader.read_exact(6)).await.unwrap(), "before");
    let error = soon(reader.read(1)).await.unwrap_err();
    assert!(matches!(&error, StreamError::Fed(why) if why.to_string() == "the source broke"));
    assert!(reader.error().is_some() && !reader.at_eof());
}

//! The two halves apart: on threads of their own, one of them gone, and on top of them what tokio has.

use std::io::{IoSlice, Write};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt};
use switchboard::stream::{StreamError, TcpClient, join, start_server};
use switchboard::{Cause, Listen};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::*;

/// Runs a future on a thread without a runtime.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let mut work = pin!(work);
    let since = std::time::Instant::now();
    loop {
        if let Poll::Ready(value) = work.as_mut().poll(&mut cx) {
            return value;
        }
        let left = PATIENCE.checked_sub(since.elapsed());
        std::thread::park_timeout(left.expect("it takes too long"));
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_halves_work_on_two_threads_without_a_runtime() {
    with_pool(async |pool| {
        let (mut reader, mut writer, peer) = narrow(&pool).await;
        let mut back = peer.try_clone().unwrap();
        let echo = std::thread::spawn(move || std::io::copy(&mut &peer, &mut back).unwrap());
        let writing = std::thread::spawn(move || {
            block_on(async {
                for part in pattern(MIB).chunks(7000) {
                    writer.write(Bytes::copy_from_slice(part)).unwrap();
                    writer.drain().await.unwrap();
                }
                writer.flush().await.unwrap();
                writer
            })
        });
        let reading = std::thread::spawn(move || {
            block_on(async { (reader.read_exact(MIB).await.unwrap(), reader) })
        });
        let ((got, _reader), mut writer) =
            super::peer(move || (reading.join().unwrap(), writing.join().unwrap())).await;
        assert!(got == pattern(MIB));
        writer.write_eof().unwrap();
        assert_eq!(super::peer(move || echo.join().unwrap()).await, MIB as u64);
    });
}

#[test]
fn tcp_client_sends_and_receives_without_a_runtime() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let mut client = TcpClient::new(&pool, Connect::tcp(address));
        client.connect().await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let alone = std::thread::spawn(move || {
            block_on(async {
                let sent = client.send("hello", 3).await.unwrap();
                peer.write_all(b"back").unwrap();
                assert_eq!(read_exact(&mut peer, 5), b"hello");
                assert_eq!(client.recv(None).await.unwrap().unwrap(), "back");
                sent
            })
        });
        assert!(super::peer(move || alone.join().unwrap()).await);
    });
}

#[test]
fn without_its_reader_a_stream_still_writes_all() {
    with_pool(async |pool| {
        let (reader, mut writer, mut peer) = stream(&pool).await;
        peer.write_all(b"nobody reads this").unwrap();
        drop(reader);
        writer.write(pattern(MIB)).unwrap();
        writer.close();
        let got = super::peer(move || read_all(&mut peer)).await;
        assert!(got == pattern(MIB));
    });
}

#[test]
fn without_its_writer_a_stream_is_not_finished_and_still_reads() {
    with_pool(async |pool| {
        let (mut reader, writer, mut peer) = stream(&pool).await;
        drop(writer);
        peer.set_read_timeout(Some(ms(50))).unwrap();
        let nothing = std::io::Read::read(&mut peer, &mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
        peer.write_all(b"abc").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.read_to_end(9).await.unwrap(), "abc");
    });
}

#[test]
fn ua_15_two_tasks_wait_for_the_end_also_before_it_begins() {
    with_pool(async |pool| {
        let (_reader, mut writer, mut peer) = stream(&pool).await;
        let client = writer.client().clone();
        let waiting = tokio::task::spawn_local(async move { client.closed().await.unwrap() });
        assert!(timeout(ms(20), writer.wait_closed()).await.is_err());
        writer.close();
        let reading = super::peer(move || read_all(&mut peer));
        let (one, other, _) = tokio::join!(writer.wait_closed(), waiting, reading);
        assert_eq!(one.unwrap().cause, Cause::LocalClose);
        assert_eq!(other.unwrap().cause, Cause::LocalClose);
    });
}

#[test]
fn what_came_before_the_own_close_is_read_behind_it() {
    with_pool(async |pool| {
        let (mut reader, mut writer, mut peer) = stream(&pool).await;
        peer.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), "one\n");
        writer.close();
        assert_eq!(reader.read_line().await.unwrap(), "two\n");
        let error = reader.read_line().await.unwrap_err();
        assert!(matches!(error, StreamError::Closed(Cause::LocalClose)));
    });
}

#[test]
fn a_read_that_waits_ends_when_its_own_side_closes() {
    with_pool(async |pool| {
        let (mut reader, mut writer, _peer) = stream(&pool).await;
        let waiting = tokio::task::spawn_local(async move { reader.read(1).await });
        tokio::task::yield_now().await;
        writer.close();
        let error = timeout(PATIENCE, waiting)
            .await
            .unwrap()
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, StreamError::Closed(Cause::LocalClose)));
    });
}

#[test]
fn write_eof_twice_is_once_and_after_close_it_is_refused() {
    with_pool(async |pool| {
        for buffered in [false, true] {
            let (_reader, mut writer, mut peer) = stream(&pool).await;
            if buffered {
                writer = writer.buffered();
            }
            writer.write("last").unwrap();
            writer.write_eof().unwrap();
            writer.write_eof().unwrap();
            assert!(writer.write("x").is_err());
            assert!(writer.write_lines(["x"]).is_err());
            writer.drain().await.unwrap();
            writer.flush().await.unwrap();
            assert_eq!(read_all(&mut peer), b"last");
            writer.close();
            assert!(writer.write_eof().is_err());
        }
    });
}

#[test]
fn the_last_waker_of_a_read_is_the_one_that_is_woken() {
    with_pool(async |pool| {
        let (mut reader, writer, mut peer) = stream(&pool).await;
        let counts: [Arc<Count>; 2] = Default::default();
        let mut poll = |count: &Arc<Count>| {
            let waker = Waker::from(Arc::clone(count));
            let mut room = [0; 9];
            let mut room = ReadBuf::new(&mut room);
            let polled =
                Pin::new(&mut reader).poll_read(&mut Context::from_waker(&waker), &mut room);
            polled.map(|read| read.map(|()| room.filled().len()).unwrap())
        };
        assert!(poll(&counts[0]).is_pending());
        assert!(poll(&counts[1]).is_pending());
        peer.write_all(b"abc").unwrap();
        until(|| counts[1].0.load(Ordering::SeqCst) > 0).await;
        assert_eq!(poll(&counts[1]), Poll::Ready(3));
        drop(writer);
    });
}

#[test]
fn the_last_waker_of_a_write_is_the_one_that_is_woken() {
    with_pool(async |pool| {
        let (_reader, mut writer, mut peer) = narrow(&pool).await;
        writer.write(pattern(MIB)).unwrap();
        let counts: [Arc<Count>; 4] = Default::default();
        let [a, b, c, d] = &counts;
        for (number, count) in [a, b, c, d].into_iter().enumerate() {
            let waker = Waker::from(Arc::clone(count));
            let mut cx = Context::from_waker(&waker);
            let pending = if number < 2 {
                Pin::new(&mut writer).poll_write(&mut cx, b"x").is_pending()
            } else {
                Pin::new(&mut writer).poll_flush(&mut cx).is_pending()
            };
            assert!(pending);
        }
        let reading = std::thread::spawn(move || read_all(&mut peer));
        until(|| {
            [b, d]
                .iter()
                .all(|count| count.0.load(Ordering::SeqCst) > 0)
        })
        .await;
        writer.close();
        assert_eq!(reading.join().unwrap().len(), MIB);
    });
}

#[test]
fn tokios_split_buffers_and_vectored_writes_run_on_a_stream() {
    with_pool(async |pool| {
        let (reader, writer, peer) = stream(&pool).await;
        let mut back = peer.try_clone().unwrap();
        let echo = std::thread::spawn(move || {
            std::io::copy(&mut &peer, &mut back).unwrap();
            back.shutdown(Shutdown::Write).unwrap();
        });
        let (reading, mut writing) = tokio::io::split(join(reader, writer));
        let parts: Vec<_> = pattern(3000).chunks(1000).map(<[u8]>::to_vec).collect();
        let mut at = 0;
        while at < 3000 {
            let rest: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            let rest = rest.concat();
            let (first, second) = rest[at..].split_at((3000 - at) / 2);
            let slices = [IoSlice::new(b""), IoSlice::new(first), IoSlice::new(second)];
            at += writing.write_vectored(&slices).await.unwrap();
        }
        writing.write_all(b"\nline\n").await.unwrap();
        let mut reading = BufReader::new(reading);
        let mut got = vec![0; 3000];
        reading.read_exact(&mut got).await.unwrap();
        assert_eq!(got, pattern(3000));
        let mut lines = String::new();
        reading.read_line(&mut lines).await.unwrap();
        reading.read_line(&mut lines).await.unwrap();
        assert_eq!(lines, "\nline\n");
        writing.shutdown().await.unwrap();
        assert_eq!(reading.read_line(&mut lines).await.unwrap(), 0);
        super::peer(move || echo.join().unwrap()).await;
    });
}

#[test]
fn tokios_copy_goes_both_ways_and_passes_half_closes_on() {
    with_pool(async |pool| {
        let (one, one_writer, mut left) = narrow(&pool).await;
        let (other, other_writer, mut right) = narrow(&pool).await;
        let copying = tokio::task::spawn_local(async move {
            let (mut one, mut other) = (join(one, one_writer), join(other, other_writer));
            tokio::io::copy_bidirectional(&mut one, &mut other)
                .await
                .unwrap()
        });
        let peers = super::peer(move || {
            let mut from_left = left.try_clone().unwrap();
            let sending = std::thread::spawn(move || {
                from_left.write_all(&pattern(MIB)).unwrap();
                from_left.shutdown(Shutdown::Write).unwrap();
            });
            let got = read_all(&mut right);
            // The other way is still open.
            right.write_all(b"the answer").unwrap();
            right.shutdown(Shutdown::Write).unwrap();
            sending.join().unwrap();
            assert_eq!(read_all(&mut left), b"the answer");
            got
        });
        assert!(peers.await == pattern(MIB));
        assert_eq!(copying.await.unwrap(), (MIB as u64, 10));
    });
}

#[test]
fn frames_for_a_peer_that_does_not_read_are_held_back() {
    with_pool(async |pool| {
        let (reader, writer, mut peer) = narrow(&pool).await;
        let client = writer.client().clone();
        let mut frames = Framed::new(join(reader, writer), LengthDelimitedCodec::new());
        let frame = Bytes::from(pattern(10_000));
        let mut taken = 0;
        while let Ok(sent) = timeout(ms(50), frames.feed(frame.clone())).await {
            sent.unwrap();
            taken += 1;
            assert!(taken < 1000, "nothing holds it back");
        }
        assert!(client.write_buffer_size() <= 2 * 64 * 1024 + 10_004);
        let reading = std::thread::spawn(move || read_all(&mut peer));
        SinkExt::<Bytes>::close(&mut frames).await.unwrap();
        assert_eq!(reading.join().unwrap().len(), taken * 10_004);
    });
}

#[test]
fn aio_29_a_hundred_megabytes_pass_through_little_memory() {
    const BLOCK: usize = 1_000_000;
    if !alone("halves::aio_29_a_hundred_megabytes_pass_through_little_memory") {
        return;
    }
    with_pool(async |pool| {
        let (mut reader, _writer, mut stream) = stream(&pool).await;
        let block = pattern(BLOCK);
        let sending = block.clone();
        let writing = std::thread::spawn(move || {
            for _ in 0..100 {
                stream.write_all(&sending).unwrap();
            }
        });
        reader.read_exact(BLOCK).await.unwrap();
        let (before, mut most) = (resident(), 0);
        for _ in 1..100 {
            let mut at = 0;
            while at < BLOCK {
                let part = reader.read((BLOCK - at).min(50_000)).await.unwrap();
                assert!(part == block[at..at + part.len()]);
                at += part.len();
            }
            most = most.max(resident());
        }
        let grown = most.saturating_sub(before);
        assert!(grown < 4 * MIB, "it grew by {grown} bytes");
        writing.join().unwrap();
    });
}

#[test]
fn what_a_task_has_queued_when_it_ends_is_sent() {
    with_pool(async |pool| {
        let server = start_server(&pool, Listen::tcp(ANY), async |_, mut writer: Writer| {
            writer.write(pattern(4 * MIB)).unwrap();
        })
        .await
        .unwrap();
        let mut stream = dial(server.local_addr());
        let got = super::peer(move || read_all(&mut stream)).await;
        assert!(got == pattern(4 * MIB));
    });
}

#[test]
fn halves_that_are_kept_elsewhere_end_with_the_pool() {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let mut kept = Vec::new();
    with_pool(async |pool| {
        let (halves, mut passed) = mpsc::unbounded_channel();
        let server = start_server(&pool, Listen::tcp(ANY), move |reader, writer| {
            halves.send((reader, writer)).unwrap();
        })
        .await
        .unwrap();
        let _streams = [dial(server.local_addr()), dial(server.local_addr())];
        kept.push(passed.recv().await.unwrap());
        let (mut reader, writer) = passed.recv().await.unwrap();
        std::thread::spawn(move || {
            let end = block_on(reader.read(1));
            ends.send((end, writer)).unwrap();
        });
    });
    let (end, mut writer) = ended.blocking_recv().unwrap();
    assert!(end.is_ok_and(|bytes| bytes.is_empty()) || writer.is_closing());
    assert!(writer.write("x").is_err());
    let (mut reader, mut writer) = kept.pop().unwrap();
    block_on(async {
        let read = reader.read(1).now_or_never().expect("it waits");
        assert!(read.is_ok_and(|bytes| bytes.is_empty()) || writer.is_closing());
        assert!(writer.write("x").is_err());
        writer
            .drain()
            .now_or_never()
            .expect("it waits")
            .unwrap_err();
        writer
            .wait_closed()
            .now_or_never()
            .expect("it waits")
            .unwrap();
    });
}

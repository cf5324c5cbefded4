//! Faulty transports, polled by hand.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;

use crate::Listen;
use crate::transport::{Network, TcpNetwork, Transport};

use super::{FaultCounts, Faults, FaultyNet, Rates};

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

/// A transport with these faults, and its peer.
async fn opened(faults: &Faults) -> (Box<dyn Transport>, TcpStream) {
    let network = FaultyNet::new(TcpNetwork, faults.clone());
    let listen = Listen::tcp("127.0.0.1:0");
    let mut listener = network.listen(listen.target).await.unwrap();
    let peer = TcpStream::connect(listener.local_addr()).unwrap();
    let incoming = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    (incoming.transport, peer)
}

fn poll_read(
    transport: &mut dyn Transport,
    cx: &mut Context<'_>,
    bytes: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(bytes);
    let result = Pin::new(transport).poll_read(cx, &mut buf);
    result.map_ok(|()| buf.filled().len())
}

async fn read(transport: &mut dyn Transport, bytes: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| poll_read(transport, cx, bytes)).await
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_reset_in_one_direction_wakes_the_task_of_the_other() {
    run(async {
        let (mut transport, _peer) = opened(&Faults::none().reset_at_write(0)).await;
        let transport = transport.as_mut();
        let reader = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&reader));
        let mut reading = Context::from_waker(&waker);
        assert!(poll_read(transport, &mut reading, &mut [0]).is_pending());
        let mut writing = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut *transport).poll_write(&mut writing, b"x");
        assert!(matches!(written, Poll::Ready(Err(error)) if is_reset(&error)));
        assert_eq!(reader.0.load(Ordering::SeqCst), 1);
        let result = poll_read(transport, &mut reading, &mut [0]);
        assert!(matches!(result, Poll::Ready(Err(error)) if is_reset(&error)));
        assert!(transport.local_addr().is_some() && transport.socket().is_none());
    });
}

fn is_reset(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionReset
}

#[test]
fn a_short_write_counts_over_all_slices() {
    run(async {
        let (mut transport, mut peer) = opened(&Faults::none().short_writes(5)).await;
        let slices = [b"ab".as_slice(), b"", b"cd", b"efgh"].map(IoSlice::new);
        let count =
            poll_fn(|cx| Pin::new(transport.as_mut()).poll_write_vectored(cx, &slices)).await;
        assert_eq!(count.unwrap(), 5);
        drop(transport);
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abcde");
    });
}

/// Both directions wait at the same time, each with a sleep of its own.
#[test]
fn a_delay_wakes_the_task_of_its_own_direction() {
    const DELAY: Duration = Duration::from_millis(40);
    let faults = Faults::none().delay_reads(DELAY).delay_writes(DELAY);
    run(async {
        let (mut transport, mut peer) = opened(&faults).await;
        let transport = transport.as_mut();
        peer.write_all(b"x").unwrap();
        let (reader, writer) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        let wakers = [&reader, &writer].map(|task| Waker::from(Arc::clone(task)));
        let [mut reading, mut writing] = wakers.each_ref().map(Context::from_waker);
        reader.0.store(1, Ordering::SeqCst);
        writer.0.store(1, Ordering::SeqCst);
        let began = Instant::now();
        let mut left = [true, true];
        while left != [false, false] {
            // Each is polled at first and when its own task is woken.
            if left[0] && reader.0.swap(0, Ordering::SeqCst) > 0 {
                left[0] = poll_read(transport, &mut reading, &mut [0]).is_pending();
            }
            if left[1] && writer.0.swap(0, Ordering::SeqCst) > 0 {
                let write = Pin::new(&mut *transport).poll_write(&mut writing, b"y");
                left[1] = write.is_pending();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{left:?}");
            // Gives the runtime its turn to wake them.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
    });
    assert_eq!(faults.counts().delays, 2);
}

/// The plan, the position and what is held go along.
#[test]
fn faults_move_along_to_another_thread() {
    let faults = Faults::none()
        .short_reads(4)
        .delay_reads(Duration::from_millis(20))
        .reset_at_read(6);
    let (detached, _peer) = run(async {
        let (mut transport, mut peer) = opened(&faults).await;
        peer.write_all(b"abcdefgh").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(read(transport.as_mut(), &mut bytes).await.unwrap(), 4);
        assert_eq!(&bytes[..4], b"abcd");
        // The next bytes are held when it moves.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(poll_read(transport.as_mut(), &mut cx, &mut bytes).is_pending());
        (transport.detach().unwrap(), peer)
    });
    let moved = std::thread::spawn(move || {
        run(async {
            let mut transport = detached.attach().unwrap();
            let mut bytes = [0; 8];
            assert_eq!(read(transport.as_mut(), &mut bytes).await.unwrap(), 2);
            assert_eq!(&bytes[..2], b"ef");
            let error = read(transport.as_mut(), &mut bytes).await.unwrap_err();
            assert!(is_reset(&error));
        });
    });
    moved.join().unwrap();
}

/// What 200 reads come to, and what was done to them.
fn reads_with(seed: u64) -> (Vec<Result<usize, ErrorKind>>, FaultCounts) {
    let rates = Rates {
        eof: 100,
        stall: 0,
        reset: 0,
        accept_error: 0,
        ..Rates::harsh()
    };
    // Nobody connects before it is accepted, so only what is read is left to chance.
    let faults = Faults::none().at_random(
        seed,
        Rates {
            accept_error: 0,
            ..rates
        },
    );
    run(async {
        let (mut transport, mut peer) = opened(&faults).await;
        // More than is read, so that no read has to wait for it.
        peer.write_all(&[0; 64 * 1024]).unwrap();
        let mut results = Vec::new();
        for _ in 0..200 {
            let result = read(transport.as_mut(), &mut [0; 100]).await;
            results.push(result.map_err(|error| error.kind()));
        }
        (results, faults.counts())
    })
}

#[test]
fn the_same_seed_makes_the_same_faults() {
    let first = reads_with(5);
    assert_eq!(first, reads_with(5));
    assert_ne!(first.0, reads_with(6).0);
    assert!(first.1.total() > 0, "{}", first.1);
}

/// One bit of one byte, in its place, whatever the size of the reads and writes around it.
#[test]
fn a_corrupted_byte_is_the_only_one_that_changes() {
    let faults = Faults::none().corrupt_read(3).corrupt_write(1);
    run(async {
        let (mut transport, mut peer) = opened(&faults).await;
        peer.write_all(b"abcdefgh").unwrap();
        let mut got = Vec::new();
        while got.len() < 8 {
            let mut bytes = [0; 5];
            let count = read(transport.as_mut(), &mut bytes).await.unwrap();
            got.extend_from_slice(&bytes[..count]);
        }
        assert_eq!(got, b"abceefgh");
        let mut left = &b"1234"[..];
        while !left.is_empty() {
            let slices = [IoSlice::new(left)];
            let write = poll_fn(|cx| Pin::new(transport.as_mut()).poll_write_vectored(cx, &slices));
            left = &left[write.await.unwrap()..];
        }
        let mut sent = [0; 4];
        peer.read_exact(&mut sent).unwrap();
        assert_eq!(&sent, b"1334");
    });
    assert_eq!(faults.counts().corruptions, 2, "{}", faults.counts());
}

//! The conformance suite: which networks keep every promise, and that it catches those that do not.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use switchboard::testkit::conformance::{Failure, Outcome, check, check_within};
use switchboard::testkit::{Faults, FaultyNet, Link, MemoryNet};
use switchboard::transport::{
    Connected, Detached, Incoming, Listener, LocalFuture, Network, TcpNetwork, Transport,
};
use switchboard::{ConnectError, ConnectTarget, ListenError, ListenTarget};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ANY: &str = "127.0.0.1:0";

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

#[test]
fn tcp_keeps_every_promise() {
    let report = run(check(TcpNetwork, ANY)).unwrap_or_else(|failure| panic!("{failure}"));
    for promise in &report.promises {
        assert_eq!(promise.outcome, Outcome::Kept, "{promise}");
    }
    assert!(report.promises.len() >= 22, "{report}");
}

#[test]
fn memory_keeps_every_promise() {
    let report = run(check(MemoryNet::new(), "10.0.0.1:0"));
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    for promise in &report.promises {
        assert_eq!(promise.outcome, Outcome::Kept, "{promise}");
    }
}

/// Slow, narrow, in pieces: the promises are the same.
#[test]
fn memory_keeps_every_promise_however_the_link_is() {
    let links = [
        Link::default().chunk(7000),
        Link::default().window(1500),
        Link::default().latency(Duration::from_millis(3)),
        Link::default()
            .latency(Duration::from_micros(1700))
            .bandwidth(10_000_000)
            .window(30_000)
            .chunk(1001),
    ];
    for link in links {
        let net = MemoryNet::new().with_link(link.clone());
        let outcome = run(check(net, "10.0.0.1:0"));
        outcome.unwrap_or_else(|failure| panic!("{link:?}: {failure}"));
    }
}

#[test]
fn tcp_keeps_every_promise_over_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // This machine has none.
    }
    run(check(TcpNetwork, "[::1]:0")).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn tcp_keeps_every_promise_inside_an_actix_system() {
    actix::System::new().block_on(async {
        check(TcpNetwork, ANY)
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
    });
}

#[test]
fn short_and_blocked_operations_break_no_promise() {
    let faults = Faults::none()
        .short_reads(3001)
        .short_writes(1009)
        .block_storm(2);
    let network = FaultyNet::new(TcpNetwork, faults.clone());
    run(check(network, ANY)).unwrap_or_else(|failure| panic!("{failure}"));
    let counts = faults.counts();
    assert!(counts.short_reads > 0, "{counts}");
    assert!(counts.short_writes > 0, "{counts}");
    assert!(counts.blocks > 0, "{counts}");
}

#[test]
fn random_faults_without_resets_break_no_promise() {
    let faults = Faults::random(7).short_reads(4000).short_writes(4000);
    let network = FaultyNet::new(TcpNetwork, faults.clone());
    run(check(network, ANY)).unwrap_or_else(|failure| panic!("{failure}\n{faults:?}"));
    assert!(faults.counts().delays > 0, "{}", faults.counts());
}

/// What the suite says about a network that breaks promises.
fn failure_of(wrap: fn(Box<dyn Transport>) -> Box<dyn Transport>) -> Failure {
    let network = Wrapping { wrap };
    // Long enough for the promises that are kept; those that hang are given up then.
    let bound = Duration::from_millis(1500);
    run(check_within(bound, network, ANY)).expect_err("it keeps every promise")
}

fn assert_broken(failure: &Failure, promise: &str) {
    assert!(
        failure.report.broken().any(|name| name == promise),
        "{failure}"
    );
    assert!(failure.to_string().contains(promise), "{failure}");
}

fn assert_kept(failure: &Failure, promise: &str) {
    let promises = &failure.report.promises;
    let found = promises.iter().find(|found| found.name == promise).unwrap();
    assert_eq!(found.outcome, Outcome::Kept, "{failure}");
}

#[test]
fn a_transport_that_drops_the_last_byte_is_caught() {
    let failure = failure_of(|inner| Box::new(DropsLastByte(inner)));
    assert_broken(&failure, "bytes_arrive_in_order_both_ways_at_once");
    assert_broken(&failure, "a_peer_that_does_not_read_holds_writes_back");
    assert_kept(&failure, "a_connect_to_nobody_is_refused");
}

#[test]
fn a_transport_that_keeps_the_first_waker_is_caught() {
    let failure = failure_of(|inner| {
        let waker = None;
        Box::new(KeepsFirstWaker { inner, waker })
    });
    assert_broken(&failure, "a_read_without_data_wakes_the_last_waker");
    assert_kept(&failure, "the_end_is_read_again_and_again");
}

#[test]
fn a_transport_with_one_waker_for_both_directions_is_caught() {
    let failure = failure_of(|inner| {
        let last = Arc::default();
        Box::new(ForgetsReader { inner, last })
    });
    assert_broken(&failure, "reads_and_writes_wake_their_own_tasks");
    assert_kept(&failure, "a_read_without_data_wakes_the_last_waker");
}

#[test]
fn a_transport_that_closes_both_directions_is_caught() {
    let failure = failure_of(|inner| Box::new(ShutsBoth(Some(inner))));
    assert_broken(&failure, "a_shutdown_ends_one_direction_only");
    assert_kept(&failure, "bytes_arrive_in_order_both_ways_at_once");
}

#[test]
fn a_transport_that_takes_everything_is_caught() {
    let failure = failure_of(|inner| Box::new(TakesEverything(inner)));
    assert_broken(&failure, "a_peer_that_does_not_read_holds_writes_back");
    assert_kept(&failure, "a_read_without_data_wakes_the_last_waker");
}

#[test]
fn a_network_that_names_the_wrong_failure_is_caught() {
    let faults = Faults::none().refuse_connect(io::ErrorKind::HostUnreachable);
    let failure = run(check(FaultyNet::new(TcpNetwork, faults), ANY)).unwrap_err();
    assert_broken(&failure, "a_connect_to_nobody_is_refused");
    assert_kept(&failure, "port_0_becomes_a_real_one");
}

/// An end is no reset: the suite says so, and breaks nothing over it.
#[test]
fn a_network_without_resets_is_told_apart() {
    let faults = Faults::none().eof_at(0);
    let bound = Duration::from_millis(500);
    let network = FaultyNet::new(TcpNetwork, faults);
    let failure = run(check_within(bound, network, ANY)).unwrap_err();
    assert_broken(&failure, "bytes_arrive_in_order_both_ways_at_once");
    let mut promises = failure.report.promises.iter();
    let reset = promises.find(|promise| promise.name == "a_reset_reaches_the_peer");
    assert!(
        matches!(reset.unwrap().outcome, Outcome::NotOffered(_)),
        "{failure}"
    );
}

/// TCP with another transport around each of its own.
#[derive(Clone, Debug)]
struct Wrapping {
    wrap: fn(Box<dyn Transport>) -> Box<dyn Transport>,
}

impl Network for Wrapping {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let wrap = self.wrap;
        Box::pin(async move {
            let inner = TcpNetwork.listen(target).await?;
            Ok(Box::new(WrappingListener { inner, wrap }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        let wrap = self.wrap;
        Box::pin(async move {
            let connected = TcpNetwork.connect(target).await?;
            Ok(Connected {
                transport: wrap(connected.transport),
                ..connected
            })
        })
    }
}

struct WrappingListener {
    inner: Box<dyn Listener>,
    wrap: fn(Box<dyn Transport>) -> Box<dyn Transport>,
}

impl Listener for WrappingListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.inner.poll_accept(cx).map_ok(|incoming| Incoming {
            transport: (self.wrap)(incoming.transport),
            ..incoming
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

/// What broken transports do like the one inside. They do not move.
macro_rules! transport {
    ($name:ident, $inner:tt) => {
        impl Transport for $name {
            fn set_reset(&mut self) {
                self.$inner.set_reset();
            }

            fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
                Err(io::ErrorKind::Unsupported.into())
            }

            fn local_addr(&self) -> Option<SocketAddr> {
                self.$inner.local_addr()
            }
        }
    };
}

macro_rules! reads_like {
    ($name:ident, $inner:tt) => {
        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_read(cx, buf)
            }
        }
    };
}

macro_rules! writes_like {
    ($name:ident, $inner:tt) => {
        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$inner).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}

/// Says that it has written the last byte of each write, which it has not.
struct DropsLastByte(Box<dyn Transport>);

transport!(DropsLastByte, 0);
reads_like!(DropsLastByte, 0);

impl AsyncWrite for DropsLastByte {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = buf.len().saturating_sub(1);
        match Pin::new(&mut self.0).poll_write(cx, &buf[..most]) {
            Poll::Ready(Ok(count)) if count == most => Poll::Ready(Ok(buf.len())),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Wakes whoever read first, whoever reads now.
struct KeepsFirstWaker {
    inner: Box<dyn Transport>,
    waker: Option<Waker>,
}

transport!(KeepsFirstWaker, inner);
writes_like!(KeepsFirstWaker, inner);

impl AsyncRead for KeepsFirstWaker {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let waker = self.waker.get_or_insert_with(|| cx.waker().clone()).clone();
        Pin::new(&mut self.inner).poll_read(&mut Context::from_waker(&waker), buf)
    }
}

/// Has one place for a waker, which a write takes from a read and a read from a write.
struct ForgetsReader {
    inner: Box<dyn Transport>,
    last: Arc<LastWaker>,
}

#[derive(Default)]
struct LastWaker(std::sync::Mutex<Option<Waker>>);

impl std::task::Wake for LastWaker {
    fn wake(self: Arc<Self>) {
        if let Some(waker) = self.0.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl ForgetsReader {
    fn through<T>(
        &mut self,
        cx: &Context<'_>,
        work: impl FnOnce(Pin<&mut Box<dyn Transport>>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        *self.last.0.lock().unwrap() = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(&self.last));
        work(Pin::new(&mut self.inner), &mut Context::from_waker(&waker))
    }
}

transport!(ForgetsReader, inner);

impl AsyncRead for ForgetsReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.through(cx, |inner, cx| inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for ForgetsReader {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.through(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.through(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.through(cx, |inner, cx| inner.poll_shutdown(cx))
    }
}

/// Lets go of everything when one direction is finished.
struct ShutsBoth(Option<Box<dyn Transport>>);

impl Transport for ShutsBoth {
    fn set_reset(&mut self) {
        if let Some(inner) = &mut self.0 {
            inner.set_reset();
        }
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.0.as_ref()?.local_addr()
    }
}

impl AsyncRead for ShutsBoth {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(inner) => Pin::new(inner).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for ShutsBoth {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(inner) => Pin::new(inner).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// Takes every byte, whether or not anybody reads; what the system does not take is gone.
struct TakesEverything(Box<dyn Transport>);

transport!(TakesEverything, 0);
reads_like!(TakesEverything, 0);

impl AsyncWrite for TakesEverything {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.0).poll_write_vectored(cx, bufs) {
            Poll::Pending => Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum())),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

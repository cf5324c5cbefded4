//! Listeners on Unix sockets that are suspended, restarted, drained.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::LeakCheck;
use switchboard::transport::{Network, TcpNetwork};
use switchboard::{
    BackoffConfig, Client, Connect, ConnectionOptions, Drain, Listen, ListenTarget, Pool,
    SessionContext, Suspend,
};
use switchboard_tests::{Probe, alone, expect, next_pool_event, peer, watch, with, with_pool};
use tokio::task::LocalSet;

use super::programs::Directory;
use super::{dial, echo, exchange};

/// Suspended with its port closed it has no file; resumed it has one again.
#[test]
fn a_suspended_listener_gives_its_file_back() {
    let directory = Directory::new();
    let path = directory.path("suspended.sock");
    with_pool(async |pool| {
        let server = echo(&pool, Listen::unix(&path).permissions(0o600)).await;
        let mut stream = dial(&path);
        assert_eq!(exchange(&mut stream, b"first\n"), b"first\n");
        server.suspend(Suspend::ClosePort).await.unwrap();
        assert!(!path.exists());
        assert_eq!(exchange(&mut stream, b"still\n"), b"still\n");
        server.resume().await.unwrap();
        assert_eq!(exchange(&mut dial(&path), b"again\n"), b"again\n");
        assert_eq!(server.address().path(), Some(path.as_path()));

        server.suspend(Suspend::StopAccepting).await.unwrap();
        let mut waits = dial(&path);
        server.resume().await.unwrap();
        assert_eq!(exchange(&mut waits, b"late\n"), b"late\n");
    });
}

/// The file is there for as long as anybody holds the listener.
#[test]
fn the_file_outlives_all_holds_but_the_last() {
    let directory = Directory::new();
    let path = directory.path("holds.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    LocalSet::new().block_on(&runtime.unwrap(), async {
        let listener = TcpNetwork
            .listen(ListenTarget::new(path.as_path()))
            .await
            .unwrap();
        let second = listener.duplicate().unwrap();
        drop(listener);
        let _waits = dial(&path);
        let mut listener = second.attach().unwrap();
        let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
        accepted.unwrap();
        drop(listener);
        assert!(!path.exists());
    });
}

/// Echoes lines, and stops its own thread when it is told `die`.
struct Assassin {
    client: Client,
}

impl Actor for Assassin {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Assassin {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        if &msg.line[..] == b"die" {
            actix_rt::Arbiter::current().stop();
        } else {
            let _ = self.client.send_line(&msg.line);
        }
    }
}

switchboard::session!(Assassin);

/// The socket is the same one before and after: nobody who connects meanwhile is refused.
#[test]
fn a_listener_survives_the_thread_of_its_shard() {
    let directory = Directory::new();
    let path = directory.path("shard.sock");
    let mut pause = BackoffConfig::default();
    (pause.min, pause.max) = (Duration::from_millis(50), Duration::from_millis(50));
    with(Pool::builder().shards(1).backoff(pause), async |pool| {
        let mut events = watch(&pool);
        let listen = Listen::unix(&path).lines();
        pool.listen(listen, |client| Assassin { client })
            .await
            .unwrap();
        let mut victim = dial(&path);
        std::io::Write::write_all(&mut victim, b"die\n").unwrap();
        next_pool_event(&mut events, |event| {
            matches!(event, PoolEvent::ShardFailed { .. }).then_some(())
        })
        .await;
        let mut waits = dial(&path);
        let answer = peer(move || exchange(&mut waits, b"back\n")).await;
        assert_eq!(answer, b"back\n");
    });
    assert!(!path.exists());
}

/// A drained pool has no listener and no connection left, on Unix sockets too.
#[test]
fn a_drain_ends_listener_and_connections() {
    let directory = Directory::new();
    let path = directory.path("drain.sock");
    with_pool(async |pool| {
        echo(&pool, Listen::unix(&path)).await;
        let mut stream: UnixStream = dial(&path);
        assert_eq!(exchange(&mut stream, b"a\n"), b"a\n");
        let reading = peer(move || stream.read(&mut [0; 8]).unwrap());
        let drain = pool.drain(Drain::within(Duration::from_millis(100)));
        let (report, end) = tokio::join!(drain, reading);
        assert_eq!(report.live, 1, "{report:?}");
        assert_eq!(end, 0);
        assert!(!path.exists());
        let refused = pool
            .listen(Listen::unix(&path), Probe::new().session())
            .await;
        assert_eq!(refused.unwrap_err().source.kind(), ErrorKind::NotConnected);
    });
}

/// In a process of its own: descriptors are everybody's.
#[test]
fn no_descriptor_is_left() {
    if !alone("lasting::no_descriptor_is_left") {
        return;
    }
    let directory = Directory::new();
    let path = directory.path("leaks.sock");
    let runtime = actix::System::new();
    runtime.block_on(async {
        let mut leaks = None;
        for _ in 0..3 {
            let pool = Pool::builder().shards(1).start().unwrap();
            let server = echo(&pool, Listen::unix(&path)).await;
            let _ = pool
                .listen(Listen::unix(&path), Probe::new().session())
                .await
                .unwrap_err();
            let mut probe = Probe::new();
            let connect = Connect::unix(&path).lines();
            let client = pool.connect(connect, probe.session()).await.unwrap();
            expect!(probe, Connected);
            client.send_line("a").unwrap();
            expect!(probe, LineReceived);
            client.close();
            expect!(probe, Closed);
            server.suspend(Suspend::ClosePort).await.unwrap();
            server.resume().await.unwrap();
            pool.stop().await;
            // Behind the first round, which has started the thread that tokio keeps for blocking work.
            leaks.get_or_insert_with(LeakCheck::begin);
        }
        leaks.unwrap().settle().await;
    });
}

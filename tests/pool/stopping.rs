//! How a pool stops.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    Cause, Client, ClientId, ClosedReason, Connect, ConnectionOptions, Listen, Pool, SessionContext,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, echo_server};

/// Prints its end.
struct Printer {
    _client: Client,
}

impl Actor for Printer {
    type Context = SessionContext<Self>;
}

impl Handler<Closed> for Printer {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        println!("\nclosed {} {:?}", msg.client, msg.reason);
    }
}

switchboard::session!(Printer);

/// XAS-07: the blocking form, in a process of its own.
#[test]
fn xas_07_an_interrupt_stops_the_process_in_order() {
    interrupted(
        "stopping::xas_07_an_interrupt_stops_the_process_in_order",
        async || (),
    );
}

/// XAS-07.
#[test]
fn xas_07_an_interrupt_ends_the_programs_own_work_too() {
    let test = "stopping::xas_07_an_interrupt_ends_the_programs_own_work_too";
    interrupted(test, async || std::future::pending().await);
}

fn interrupted(test: &str, afterwards: impl AsyncFnOnce()) {
    if is_rerun() {
        let totals = Pool::builder()
            .shards(2)
            .run(async |pool| {
                let server = pool
                    .listen(Listen::tcp(ANY), |client| Printer { _client: client })
                    .await?;
                println!("\nlistening {}", server.local_addr());
                until(|| server.info().live == 5).await;
                println!("\nready");
                afterwards().await;
                Ok(())
            })
            .unwrap();
        assert_eq!(totals.closed[ClosedReason::ClosedByHost as usize], 5);
        return;
    }
    let mut child = Reaped(rerun(test, None).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut line_with = |start: &str| {
        loop {
            let line = lines.next().expect("the child ended early").unwrap();
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    };
    let address: SocketAddr = line_with("listening ").parse().unwrap();
    let mut peers: Vec<_> = (0..5).map(|_| dial(address)).collect();
    line_with("ready");
    let interrupted = Instant::now();
    let pid = child.0.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(kill.success());
    for peer in &mut peers {
        assert_eq!(read_all(peer), b"");
    }
    drop(peers);
    assert!(child.wait().success(), "it exits with 0");
    let took = interrupted.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let closed: Vec<String> = lines
        .map(Result::unwrap)
        .filter(|line| line.starts_with("closed "))
        .collect();
    assert!(closed.iter().all(|line| line.ends_with("ClosedByHost")));
    let once: HashSet<_> = closed.iter().collect();
    assert_eq!((closed.len(), once.len()), (5, 5), "{closed:?}");
}

/// Stops its own pool on a line.
struct Stopper {
    client: Client,
    events: mpsc::UnboundedSender<(ClientId, Cause)>,
    stopped: mpsc::UnboundedSender<Duration>,
}

impl Actor for Stopper {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Stopper {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        let since = Instant::now();
        let stopping = self.client.pool().stop();
        let stopped = self.stopped.clone();
        // On a thread that outlives the pool's own.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(stopping);
            stopped.send(since.elapsed()).unwrap();
        });
    }
}

impl Handler<Closed> for Stopper {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.events.send((msg.client, msg.detail.cause)).unwrap();
    }
}

switchboard::session!(Stopper);

/// XAS-11: called there, the original's stop deadlocks for ever. XAS-12 on the way.
#[test]
fn xas_11_xas_12_a_stop_from_inside_a_handler_ends_everything_once() {
    with(Pool::builder().shards(2), async |pool| {
        assert!(pool.is_running());
        assert!(pool.status().await.unwrap().running);
        let (events, mut closed) = mpsc::unbounded_channel();
        let (stopped, mut done) = mpsc::unbounded_channel();
        let server = pool
            .listen(Listen::tcp(ANY).lines(), move |client| Stopper {
                client,
                events: events.clone(),
                stopped: stopped.clone(),
            })
            .await
            .unwrap();
        let mut peers: Vec<_> = (0..20).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().live == 20).await;
        peers[7].write_all(b"stop\n").unwrap();
        // Peers that never finish by themselves until they see the end.
        let waiting = peer(move || {
            for peer in &mut peers {
                assert_eq!(read_all(peer), b"");
            }
        });
        let took = tokio::time::timeout(PATIENCE, done.recv());
        let (took, ()) = tokio::join!(took, waiting);
        let took = took.unwrap().unwrap();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(!pool.is_running());
        assert!(pool.status().await.is_err());
        assert_eq!(pool.stop_report().unwrap().closed, [0, 20, 0, 0]);
        let mut seen = HashSet::new();
        while let Ok((client, cause)) = closed.try_recv() {
            assert_eq!(cause, Cause::PoolStopped);
            assert!(seen.insert(client), "{client} was closed twice");
        }
        assert_eq!(seen.len(), 20);
        assert!(TcpStream::connect(server.local_addr()).is_err());
        assert!(!server.is_listening());
        let refused = pool.listen(Listen::tcp(ANY), |client| Echo { client });
        assert!(refused.await.is_err());
        let refused = pool.connect(Connect::tcp(server.local_addr()), |client| Echo { client });
        assert!(refused.await.is_err());
    });
}

/// XAS-07: a pool can be started again and again, as its threads are its own.
#[test]
fn xas_07_a_stopped_pool_can_be_followed_by_another() {
    for _ in 0..3 {
        with_pool(async |pool| {
            let address = echo_server(&pool).await.local_addr();
            peer(move || assert_eq!(exchange(&mut dial(address), b"x\n"), b"x\n")).await;
        });
    }
}

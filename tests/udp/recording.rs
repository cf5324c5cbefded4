//! Sessions that record what they are told, and what the tests of sockets share.

use std::future::Future;
use std::time::{Duration, Instant};

use switchboard::PoolBuilder;
use switchboard::prelude::*;
use switchboard::testkit::{LeakCheck, Recorder};

use super::PATIENCE;

/// Records everything.
pub struct Recording {
    pub recorder: Recorder,
}

impl Actor for Recording {
    type Context = Context<Self>;
}

macro_rules! records {
    ($($event:ident)*) => {
        $(impl Handler<$event> for Recording {
            type Result = ();

            fn handle(&mut self, msg: $event, _: &mut Self::Context) {
                self.recorder.record(msg);
            }
        })*
        session!(Recording);
    };
}

records!(DatagramReceived DatagramFailed UdpError Sent WritePaused WriteResumed Closed);

/// Runs a test with a pool; when it has stopped, nothing is left.
pub fn run<F, T>(builder: PoolBuilder, test: F)
where
    F: FnOnce(Pool) -> T,
    T: Future<Output = ()>,
{
    actix::System::new().block_on(async move {
        let pool = builder.start().unwrap();
        tokio::time::timeout(PATIENCE * 4, test(pool.clone()))
            .await
            .expect("the test takes too long");
        let totals = tokio::time::timeout(PATIENCE, pool.stop())
            .await
            .expect("the pool does not stop");
        assert_eq!((totals.live, totals.opened), (0, totals.closed_in_all()));
    });
}

/// The same with one shard.
pub fn run_simply<F, T>(test: F)
where
    F: FnOnce(Pool) -> T,
    T: Future<Output = ()>,
{
    run(Pool::builder().shards(1), test);
}

/// The same in a process of its own, whose descriptors are back to where they were.
pub fn run_without_leaks<F, T>(name: &str, test: F)
where
    F: FnOnce(Pool) -> T,
    T: Future<Output = ()>,
{
    if !switchboard_tests::alone(name) {
        return;
    }
    actix::System::new().block_on(async move {
        let pool = Pool::builder().shards(0).start().unwrap();
        // What the runtime opens with the first socket of each kind stays open.
        let first = pool.open_udp(BindUdp::new("127.0.0.1:0")).await.unwrap();
        first.close();
        first.wait_closed().await;
        beside(|| ()).await;
        // More threads for what blocks end when they had nothing to do for 10 s.
        let leaks = LeakCheck::begin().pool(&pool).patience(PATIENCE * 6);
        tokio::time::timeout(PATIENCE * 4, test(pool.clone()))
            .await
            .expect("the test takes too long");
        leaks.settle().await;
        pool.stop().await;
    });
}

/// Runs blocking peer code beside the system.
pub async fn beside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Waits until something holds, of which nobody is told.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

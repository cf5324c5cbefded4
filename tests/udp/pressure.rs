//! Sessions that are slow, and sockets that are flooded.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{AtomicResponse, WrapFuture};
use switchboard::message::*;
use switchboard_tests::{Probe, Recorder, dial, until, with_pool};
use tokio::sync::Semaphore;

use super::*;

/// Handles one datagram for each permit, and makes those behind it wait.
struct Slow {
    permits: Arc<Semaphore>,
    recorder: Recorder,
}

impl Actor for Slow {
    type Context = Context<Self>;
}

impl Handler<DatagramReceived> for Slow {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) -> Self::Result {
        self.recorder.record(msg);
        let permits = Arc::clone(&self.permits);
        let waiting = async move { permits.acquire_owned().await.unwrap().forget() };
        AtomicResponse::new(Box::pin(waiting.into_actor(self)))
    }
}

session!(Slow);

/// What a stalled session does not take waits, bounded, with the system, which counts what it drops; what
/// is delivered is in order.
#[test]
fn a_stalled_session_leaves_the_rest_to_the_kernel() {
    with_pool(async |pool| {
        for own in [true, false] {
            let mut probe = Probe::new().partial();
            let permits = Arc::new(Semaphore::new(0));
            let bind = local()
                .recv_limits(4, 1 << 20)
                .recv_size(1_500)
                .recv_buffer_size(16 * 1024);
            let (held, recorder) = (Arc::clone(&permits), probe.recorder());
            let make = move || Slow {
                permits: Arc::clone(&held),
                recorder: recorder.clone(),
            };
            let udp = if own {
                pool.bind_udp(bind, move |_| make()).await.unwrap()
            } else {
                let session = make().start();
                pool.bind_udp(bind, move |_| session.clone()).await.unwrap()
            };
            let peer = peer();
            let to = address(&udp);
            for number in 0..500_u32 {
                let mut data = vec![0; 1_000];
                data[..4].copy_from_slice(&number.to_be_bytes());
                peer.send_to(&data, to).unwrap();
            }
            let first = probe.expect::<DatagramReceived>().await;
            assert_eq!(first.data[..4], [0; 4]);
            until(|| udp.kernel_drops().unwrap() > 0).await;
            probe.no_more(Duration::from_millis(50)).await;
            let info = udp.info();
            assert!(info.activity.unread <= 4_000, "{info:?}");
            assert!(udp.counts().received <= 5);
            let dropped = udp.kernel_drops().unwrap();
            permits.add_permits(10_000);
            let mut last = 0;
            let left = 500 - dropped;
            for _ in 1..left {
                let got = probe.expect::<DatagramReceived>().await;
                let number = u32::from_be_bytes(got.data[..4].try_into().unwrap());
                assert!(number > last);
                last = number;
            }
            until(|| udp.counts().received == left).await;
            udp.abort();
        }
    });
}

/// A flooded socket does not starve a connection of the same shard, nor does reading starve sending.
#[test]
fn a_flooded_socket_starves_nobody() {
    with_pool(async |pool| {
        let udp = pool.bind_udp(local(), |udp| Echo { udp }).await.unwrap();
        let to = address(&udp);
        let server = pool
            .listen(Listen::tcp("127.0.0.1:0").lines(), |client| {
                switchboard_tests::Echo { client }
            })
            .await
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let flooding = Arc::clone(&stop);
        let flood = std::thread::spawn(move || {
            let peer = peer();
            while !flooding.load(Ordering::Relaxed) {
                let _ = peer.send_to(&[0; 512], to);
            }
            // Its port is its own until nothing is sent to it any more.
            peer
        });
        let tcp = server.local_addr();
        let rounds = switchboard_tests::peer(move || {
            let mut stream = dial(tcp);
            for _ in 0..200 {
                stream.write_all(b"ping\n").unwrap();
                stream.read_exact(&mut [0; 5]).unwrap();
            }
        });
        rounds.await;
        stop.store(true, Ordering::Relaxed);
        let _peer = switchboard_tests::peer(move || flood.join().unwrap()).await;
        assert!(udp.counts().received > 200, "{:?}", udp.counts());
        udp.abort();
        udp.wait_closed().await;
        server.close().await;
    });
}

//! What those cost who wait for urgent bytes.

use switchboard::testkit::LeakCheck;
use switchboard::{ConnectionOptions, Listen};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";
const MANY: usize = 200;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// AC-06: each has the descriptor that it has anyway, whether its session handles them or not.
#[test]
fn ac_06_waiting_for_urgent_bytes_costs_no_descriptor() {
    if !alone("idle::ac_06_waiting_for_urgent_bytes_costs_no_descriptor") {
        return;
    }
    with_pool(|pool| async move {
        let mut probe = Probe::new();
        let hears = pool.listen(Listen::tcp(ANY).lines(), probe.session());
        let hears = hears.await.unwrap().local_addr();
        let echo = pool.listen(Listen::tcp(ANY).lines(), |client| Echo { client });
        let echo = echo.await.unwrap().local_addr();
        let leaks = LeakCheck::begin().pool(&pool);
        let before = descriptors();
        let deaf: Vec<_> = (0..MANY).map(|_| dial(echo)).collect();
        until(|| descriptors() == before + 2 * MANY).await;
        drop(deaf);
        until(|| descriptors() == before).await;
        let peers: Vec<_> = (0..MANY).map(|_| dial(hears)).collect();
        for _ in 0..MANY {
            let _ = expect!(probe, Accepted);
        }
        until(|| descriptors() == before + 2 * MANY).await;
        drop(peers);
        for _ in 0..MANY {
            let _ = expect!(probe, Closed);
        }
        leaks.settle().await;
    });
}

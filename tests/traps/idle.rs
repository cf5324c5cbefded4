//! Trap 7: what is idle and what is not.

use switchboard::prelude::*;
use switchboard::testkit::{Link, Simulation};
use switchboard::{Cause, TimeoutKind};
use switchboard_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::{KIB, MIB, seconds};

const HOST: &str = "10.0.0.1:7000";
const SIZE: usize = 300 * KIB;

/// Trap 7 (netty #6150, #8912): one long message each way, of which no part is a whole send or a whole
/// frame for five minutes. When nothing moves any more the same timeout does its work.
#[test]
fn trap_07_a_transfer_that_moves_is_not_idle_however_long_it_takes() {
    type Rule = fn(Listen) -> Listen;
    let rules: [(Rule, TimeoutKind, &[bool]); 3] = [
        (
            |it| it.idle_timeout(seconds(10)),
            TimeoutKind::Idle,
            &[true, false],
        ),
        (
            |it| it.idle_write_timeout(seconds(10)),
            TimeoutKind::IdleWrite,
            &[true],
        ),
        (
            |it| it.idle_read_timeout(seconds(10)),
            TimeoutKind::IdleRead,
            &[false],
        ),
    ];
    let link = Link::default().window(4 * KIB).bandwidth(1024);
    for (rule, kind, directions) in rules {
        for outwards in directions.iter().copied() {
            Simulation::seeded(7)
                .link(link.clone())
                .run(|world| async move {
                    let pool = world.pool();
                    let mut trace = Probe::new().patience(seconds(3600));
                    let listen = rule(Listen::tcp(HOST).lines().max_line(MIB));
                    pool.listen(listen, trace.session()).await.unwrap();
                    let mut stream = world.net().connect(HOST).await.unwrap();
                    let client = expect!(trace, Accepted).handle;
                    let begun = Instant::now();
                    if outwards {
                        client.send_with(vec![b'x'; SIZE], 1_u64).unwrap();
                        stream.read_exact(&mut vec![0; SIZE]).await.unwrap();
                        trace.expect_sent(1_u64).await;
                    } else {
                        stream.write_all(&vec![b'x'; SIZE]).await.unwrap();
                        stream.write_all(b"\n").await.unwrap();
                        assert_eq!(expect!(trace, LineReceived).line.len(), SIZE);
                    }
                    assert!(begun.elapsed() > seconds(290), "{:?}", begun.elapsed());
                    let moved = Instant::now();
                    let closed = expect!(trace, Closed);
                    let after = seconds(10);
                    assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
                    assert!(moved.elapsed() <= after, "{:?}", moved.elapsed());
                    pool.stop().await;
                });
        }
    }
}

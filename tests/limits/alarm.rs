//! Alarms.

use switchboard::Alarm;
use switchboard::prelude::*;
use switchboard_tests::watch;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{HERE, greet, settle, simulate, visit};

fn told(events: &mut UnboundedReceiver<PoolEvent>) -> Vec<(bool, usize)> {
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            PoolEvent::AlarmRaised { live, .. } => told.push((true, live)),
            PoolEvent::AlarmCleared { live, .. } => told.push((false, live)),
            _ => {}
        }
    }
    told
}

#[test]
fn an_alarm_is_told_once_per_crossing_of_its_band() {
    simulate(async |world| {
        let (pool, net) = (world.pool(), world.net());
        let mut events = watch(&pool);
        let alarm = Alarm { high: 4, low: 2 };
        let server = greet(&pool, Listen::tcp(HERE).alarm(alarm)).await;
        let mut peers = Vec::new();
        for (up, expected) in [
            (3, vec![]),
            (1, vec![(true, 4)]),
            (2, vec![]),
            (-3, vec![]),
            (2, vec![]),
            (-3, vec![(false, 2)]),
            (1, vec![]),
            (1, vec![(true, 4)]),
        ] {
            for _ in 0..up {
                peers.push(visit(net, "10.1.0.1").await.0);
            }
            for _ in up..0 {
                peers.pop();
            }
            settle().await;
            assert_eq!(told(&mut events), expected, "{} are in", peers.len());
        }
        assert!(server.info().alarm_raised);
        server.close().await;
        peers.clear();
        settle().await;
        assert_eq!(told(&mut events), [(false, 2)], "also after the listener");
        assert!(!server.info().alarm_raised);
    });
}

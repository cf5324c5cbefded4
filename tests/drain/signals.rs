//! A signal begins a drain.
#![cfg(unix)]

use std::process::Command;
use std::time::Instant;

use switchboard_tests::{Echo, alone, dial, peer, read_all};

use super::*;

/// XAS-07: sessions that handle `Draining` get the time until the deadline, the others are closed at
/// once, and the pool ends when all have.
#[test]
fn xas_07_a_signal_drains_and_waits_for_nobody_who_was_not_told() {
    if !alone("signals::xas_07_a_signal_drains_and_waits_for_nobody_who_was_not_told") {
        return;
    }
    let begun = Instant::now();
    let (told, mut heard) = mpsc::unbounded_channel();
    let builder = Pool::builder()
        .shards(1)
        .drain_on_signal(Drain::within(seconds(3600)).close_untold(true));
    let totals = builder.run(async move |pool| {
        let any = || Listen::tcp("127.0.0.1:0").lines();
        let make = move |client| Polite {
            client,
            told: told.clone(),
        };
        let polite = pool.listen(any(), make).await?;
        let deaf = pool.listen(any(), |client| Echo { client }).await?;
        let mut told = dial(polite.local_addr());
        let mut untold = dial(deaf.local_addr());
        while pool.status().await?.totals.live < 2 {
            tokio::task::yield_now().await;
        }
        actix_rt::spawn(peer(move || {
            assert_eq!(read_all(&mut told), b"bye\n");
            assert_eq!(read_all(&mut untold), b"");
        }));
        let own = std::process::id().to_string();
        let kill = Command::new("kill").args(["-TERM", &own]).status();
        assert!(kill.unwrap().success());
        Ok(())
    });
    assert_eq!(totals.unwrap().closed, [0, 2, 0, 0]);
    let left = heard.try_recv().unwrap();
    assert!(left > seconds(3590) && left <= seconds(3600), "{left:?}");
    assert!(begun.elapsed() < seconds(10), "{:?}", begun.elapsed());
}

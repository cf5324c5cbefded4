//! How to test a session without a network and without waiting: a login that has 10 seconds, and a
//! peer that breaks off in the middle of a line. Virtual time jumps, so this takes no time at all.
//!
//! ```sh
//! cargo run --features testkit --example session_test
//! ```

use std::time::Duration;

use switchboard::prelude::*;
use switchboard::testkit::{Rates, Simulation, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is tested: asks for a name within 10 seconds, then greets.
struct Login {
    client: Client,
}

impl Actor for Login {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Login {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        let _ = self.client.send("name? ");
        let _ = self
            .client
            .arm(RecvLine::once().timeout(Duration::from_secs(10)));
    }
}

impl Handler<LineReceived> for Login {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let name = String::from_utf8_lossy(&msg.line);
        let _ = self.client.send(format!("hello, {name}\n"));
        self.client.close();
    }
}

session!(Login);

/// Plays one peer against the session: what it sends, whether it then breaks off; what it is told, and how
/// the connection ended by our own counters.
async fn talk(world: World, sends: &str, breaks_off: bool) -> (String, String) {
    let pool = world.pool();
    let login = |client| Login { client };
    pool.listen(Listen::tcp("10.0.0.1:7000"), login)
        .await
        .unwrap();
    let mut peer = world.net().connect("10.0.0.1:7000").await.unwrap();
    let mut told = vec![0; "name? ".len()];
    peer.read_exact(&mut told).await.unwrap();
    peer.write_all(sends.as_bytes()).await.unwrap();
    if breaks_off {
        peer.reset();
        // The session has its turn.
        tokio::time::sleep(Duration::from_millis(100)).await;
    } else {
        peer.read_to_end(&mut told).await.unwrap();
    }
    let totals = pool.stop().await;
    (String::from_utf8(told).unwrap(), totals.to_string())
}

fn main() {
    // The same test in twenty worlds: short reads, blocked writes, delays, as each seed wants them.
    for seed in 0..20 {
        let world = Simulation::seeded(seed).faults(Rates::default());

        let (told, ended) = world.run(|world| talk(world, "Ada\n", false));
        assert_eq!(told, "name? hello, Ada\n");
        assert!(ended.contains("closed by host: 1"), "{ended}");

        // Half a line, and then nothing: after 10 seconds of virtual time it is over.
        let (told, ended) = world.run(|world| talk(world, "Ad", false));
        assert_eq!(told, "name? ");
        assert!(ended.contains("timeout: 1"), "{ended}");

        // A reset in mid-line.
        let (_, ended) = world.run(|world| talk(world, "Ad", true));
        assert!(ended.contains("error: 1"), "{ended}");
    }
    println!("60 conversations as expected");
}

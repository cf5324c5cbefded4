//! Unix sockets against a program that we did not write.

use std::process::Command;

use switchboard::{Connect, ConnectionOptions, Listen};
use switchboard_tests::{Probe, expect, peer as beside, until, with_pool};

use super::echo;
use super::programs::{Directory, Program, peer};

#[test]
fn socat_is_served() {
    let Some(socat) = peer("socat") else {
        return;
    };
    let directory = Directory::new();
    let path = directory.path("served.sock");
    with_pool(async |pool| {
        echo(&pool, Listen::unix(&path)).await;
        let there = format!("UNIX-CONNECT:{}", path.display());
        beside(move || {
            let mut client = Program::start(Command::new(socat).args(["-t5", "-", &there]));
            client.say("over there\n");
            client.wait_for("over there\n");
            client.end().succeeded();
        })
        .await;
    });
}

#[test]
fn socat_is_connected_to() {
    let Some(socat) = peer("socat") else {
        return;
    };
    let directory = Directory::new();
    let path = directory.path("listens.sock");
    let here = format!("UNIX-LISTEN:{}", path.display());
    let server = Program::start(Command::new(socat).args([&here, "EXEC:cat"]));
    with_pool(async |pool| {
        // It tells nobody when it listens.
        until(|| path.exists()).await;
        let mut probe = Probe::new();
        let connect = Connect::unix(&path).lines();
        let client = pool.connect(connect, probe.session()).await.unwrap();
        expect!(probe, Connected);
        client.send_line("there and back").unwrap();
        assert_eq!(&expect!(probe, LineReceived).line[..], b"there and back");
        assert_ne!(
            client.peer_credentials().unwrap().pid,
            i32::try_from(std::process::id()).ok()
        );
        client.close();
        expect!(probe, Closed);
        server.end().succeeded();
    });
}

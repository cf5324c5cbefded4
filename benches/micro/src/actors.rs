//! A whole server, its peer beside it: actors over the network in memory, on one thread, in a time that
//! stands still. So nothing depends on when something happens, and the counts repeat.

use std::cell::RefCell;
use std::rc::Rc;

use actix::prelude::*;
use actix_rt::SystemRunner;
use switchboard::message::LineReceived;
use switchboard::stream::{self, Reader, Writer};
use switchboard::testkit::{MemoryNet, MemoryStream};
use switchboard::{Client, ConnectionOptions, Listen, Pool, SessionContext, session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Body, LINE, Rounds, TOGETHER};

/// The loops of this group.
pub const BODIES: &[Body] = &[
    Body {
        name: "actors/ping-pong",
        round: "a line of 64 bytes there and back, two actors on the connection",
        rounds: 2_000,
        setup: || exchange(actors, 1),
    },
    Body {
        name: "actors/pipelined",
        round: "64 lines that come together, there and back, likewise",
        rounds: 500,
        setup: || exchange(actors, TOGETHER),
    },
    Body {
        name: "actors/life",
        round: "a connection accepted, a line there and back, both ends, likewise",
        rounds: 500,
        setup: || lives(actors),
    },
    Body {
        name: "actors/request",
        round: "a line there and back, received by `recv_line` in a loop",
        rounds: 2_000,
        setup: || exchange(requests, 1),
    },
    Body {
        name: "actors/stream",
        round: "a line of 64 bytes there and back, the server a task with a stream",
        rounds: 2_000,
        setup: || exchange(streams, 1),
    },
    Body {
        name: "actors/stream-pipelined",
        round: "64 lines that come together, there and back, likewise",
        rounds: 500,
        setup: || exchange(streams, TOGETHER),
    },
    Body {
        name: "actors/stream-life",
        round: "a connection accepted, a line there and back, both ends, likewise",
        rounds: 500,
        setup: || lives(streams),
    },
];

const ADDRESS: &str = "10.0.0.1:7000";

struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        // Refused only when the connection is closing.
        let _ = self.client.send_line(&msg.line);
    }
}

session!(Echo);

async fn actors(pool: &Pool) {
    let listen = Listen::tcp(ADDRESS).lines();
    let served = pool.listen(listen, |client| Echo { client }).await;
    served.expect("nobody else has the address");
}

async fn requests(pool: &Pool) {
    let serve = async |client: Client| {
        while let Ok(line) = client.recv_line().await {
            if client.send_line(&line).is_err() {
                break;
            }
        }
    };
    let served = pool.serve(Listen::tcp(ADDRESS), serve).await;
    served.expect("nobody else has the address");
}

async fn echo(mut reader: Reader, mut writer: Writer) {
    while let Ok(line) = reader.read_line().await {
        if line.is_empty() || writer.write(line).is_err() || writer.drain().await.is_err() {
            break;
        }
    }
}

async fn streams(pool: &Pool) {
    let served = stream::start_server(pool, Listen::tcp(ADDRESS), echo).await;
    served.expect("nobody else has the address");
}

/// A pool that serves, and the network that it is on.
fn world(serve: impl AsyncFnOnce(&Pool)) -> (SystemRunner, MemoryNet) {
    let system = System::with_tokio_rt(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let builder = builder.enable_time().start_paused(true);
        builder.build().expect("a runtime needs only memory")
    });
    let net = MemoryNet::new();
    system.block_on(async {
        let pool = Pool::builder().shards(0).network(net.clone()).start();
        serve(&pool.expect("the settings are the defaults")).await;
    });
    (system, net)
}

/// One connection, over which a round sends so many lines and waits for all of them.
fn exchange(serve: impl AsyncFnOnce(&Pool), together: usize) -> Rounds {
    let (system, net) = world(serve);
    let peer = system.block_on(connect(&net));
    let peer = Rc::new(RefCell::new(peer));
    let burst = LINE.repeat(together);
    let mut answer = vec![0; burst.len()];
    Box::new(move |rounds| {
        let mut peer = peer.borrow_mut();
        system.block_on(async {
            for _ in 0..rounds {
                talk(&mut peer, &burst, &mut answer).await;
            }
        });
    })
}

/// A connection for each round.
fn lives(serve: impl AsyncFnOnce(&Pool)) -> Rounds {
    let (system, net) = world(serve);
    let mut answer = [0; LINE.len()];
    Box::new(move |rounds| {
        system.block_on(async {
            for _ in 0..rounds {
                let mut peer = connect(&net).await;
                talk(&mut peer, &LINE, &mut answer).await;
                peer.shutdown().await.expect("it is open");
                let end = peer.read(&mut answer).await;
                assert!(matches!(end, Ok(0)), "the server's end comes last");
            }
        });
    })
}

async fn connect(net: &MemoryNet) -> MemoryStream {
    net.connect(ADDRESS).await.expect("the server listens")
}

async fn talk(peer: &mut MemoryStream, lines: &[u8], answer: &mut [u8]) {
    peer.write_all(lines).await.expect("the server reads");
    peer.read_exact(answer).await.expect("the server answers");
    assert_eq!(lines, answer);
}

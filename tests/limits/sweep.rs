//! Peers that have left while they waited.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::io::AsyncWriteExt;

use super::{HERE, Seen, dial_from, greet, logged, sees, settle, visit};

#[test]
fn who_left_while_it_waited_takes_no_place_and_gets_no_session() {
    let log = logged(async |world| {
        let (pool, net) = (world.pool(), world.net());
        let server = greet(&pool, Listen::tcp(HERE).max_connections(1)).await;
        let (first, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, Seen::LetIn);
        for round in 0..6 {
            let peer = dial_from(net, "10.1.0.2").await;
            if round % 2 == 0 {
                peer.reset();
            }
        }
        // Who has said something before it finished may want an answer.
        let mut said = dial_from(net, "10.1.0.3").await;
        said.write_all(b"last words\n").await.unwrap();
        said.shutdown().await.unwrap();
        let mut waits = dial_from(net, "10.1.0.4").await;
        settle().await;
        drop(first);
        let answered = Seen::End(b"hello\nlast words\n".to_vec());
        assert_eq!(sees(&mut said).await, answered);
        drop(said);
        assert_eq!(sees(&mut waits).await, Seen::LetIn);
        let info = server.info();
        assert_eq!((info.accepted, info.gone, info.rejected), (3, 6, 0));

        // Who comes while nobody has to wait becomes a connection, also with its end behind it.
        drop(waits);
        settle().await;
        let mut quick = dial_from(net, "10.1.0.5").await;
        quick.shutdown().await.unwrap();
        settle().await;
        let info = server.info();
        assert_eq!((info.accepted, info.gone), (4, 6));
    });
    assert_eq!(log.matches("peer gone").count(), 6);
}

/// By the system's own sockets.
#[test]
fn a_socket_whose_peer_has_left_is_known_without_reading() {
    with_pool(async |pool| {
        let server = greet(&pool, Listen::tcp("127.0.0.1:0").max_connections(1)).await;
        let address = server.local_addr();
        peer(move || {
            let let_in = |peer: &mut TcpStream| read_exact(peer, 6) == b"hello\n";
            let mut first = dial(address);
            assert!(let_in(&mut first));
            for round in 0..6 {
                let gone = dial(address);
                if round % 2 == 0 {
                    reset_on_close(&gone);
                }
            }
            let mut said = dial(address);
            said.write_all(b"last words\n").unwrap();
            said.shutdown(Shutdown::Write).unwrap();
            let mut waits = dial(address);
            drop(first);
            assert!(let_in(&mut said));
            drop(said);
            assert!(let_in(&mut waits));
        })
        .await;
        let info = server.info();
        assert_eq!((info.accepted, info.gone), (3, 6));
    });
}

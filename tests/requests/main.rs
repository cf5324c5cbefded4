//! Requests: receives and sends whose answer comes to the caller (issue rows ACO-04..07, 12, 14).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::{RecvError, SentError};

async fn pair(pool: &Pool) -> (Client, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let client = pool.open(Connect::tcp(address)).await.expect("connects");
    let (peer, _) = listener.accept().expect("a peer");
    peer.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    (client, peer)
}

fn pool() -> Pool {
    Pool::builder().shards(1).start().expect("starts")
}

/// ACO-14.
#[actix::test]
async fn aco_14_a_connection_is_used_in_sequence_without_any_actor() {
    let pool = pool();
    let (client, mut peer) = pair(&pool).await;
    client.sent("hello\n").await.expect("sent");
    let mut hello = [0; 6];
    peer.read_exact(&mut hello).expect("hello");
    peer.write_all(b"one\r\ntwo\nabc\0\0\0\x02hi")
        .expect("written");
    assert_eq!(client.recv_line().await.expect("a line").as_bytes(), b"one");
    assert_eq!(client.recv_line().await.expect("a line").as_bytes(), b"two");
    assert_eq!(client.recv_exact(3).await.expect("three"), "abc");
    assert_eq!(client.recv_msg().await.expect("a message"), "hi");
    peer.write_all(b"rest").expect("written");
    peer.shutdown(Shutdown::Write).expect("finished");
    let Err(RecvError::Finished { partial }) = client.recv_line().await else {
        panic!("no line came");
    };
    assert_eq!(partial, "rest");
    let again = client.recv_line().await;
    assert_eq!(again.expect_err("the end").partial(), b"");
    client.sent("still open").await.expect("sent");
    client.close();
    let mut rest = String::new();
    peer.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "still open");
    let detail = client.closed().await.expect("closed");
    assert_eq!(detail.unsent, 0);
    assert!(matches!(
        client.recv_line().await,
        Err(RecvError::Closed { .. })
    ));
    assert!(matches!(
        client.sent("x").await,
        Err(SentError::Closed { sent: 0, .. })
    ));
    pool.stop().await;
}

/// ACO-12.
#[actix::test]
async fn aco_12_a_receive_that_takes_too_long_leaves_what_has_come() {
    let pool = pool();
    let (client, mut peer) = pair(&pool).await;
    peer.write_all(b"abc").expect("written");
    let began = std::time::Instant::now();
    let after = Duration::from_millis(100);
    let late = client.recv_exact(5).timeout(after).await;
    assert!(began.elapsed() >= after);
    let Err(RecvError::TimedOut { partial, .. }) = late else {
        panic!("{late:?}");
    };
    assert_eq!(partial, "abc");
    peer.write_all(b"de").expect("written");
    assert_eq!(client.recv_exact(5).await.expect("five"), "abcde");
    pool.stop().await;
}

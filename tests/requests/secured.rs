//! Requests over TLS, and across its beginning.

use std::time::Duration;

use switchboard::message::StartTls;
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{
    Cause, Client, Connect, ConnectionOptions, Listen, Pool, RecvError, SentError, StartTlsError,
};
use switchboard_tests::certificates::Authority;
use switchboard_tests::{PATIENCE, with_pool};
use tokio::sync::mpsc;

use super::SOON;

fn pair() -> (TlsServer, TlsClient) {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["localhost", "127.0.0.1"]).identity();
    (
        TlsServer::builder(identity).build().unwrap(),
        TlsClient::builder(authority.roots()).build().unwrap(),
    )
}

/// Both ends of a connection, neither with a session. The listener's tasks live as long as the receiver.
async fn both(
    pool: &Pool,
    listen: Listen,
    connect: impl FnOnce(Connect) -> Connect,
) -> (Client, Client) {
    let (sender, mut clients) = mpsc::unbounded_channel();
    let serve = move |client: Client| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(client.clone());
            let _ = client.closed().await;
        }
    };
    let server = pool.serve(listen, serve).await.unwrap();
    let near = pool
        .open(connect(Connect::tcp(server.local_addr())))
        .await
        .unwrap();
    (near, clients.recv().await.unwrap())
}

#[test]
fn xas_55_an_upgrade_is_refused_while_somebody_asks_and_goes_on_afterwards() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (near, far) = both(&pool, Listen::tcp("127.0.0.1:0"), |connect| connect).await;
        let mut asked = Box::pin(far.recv_line());
        assert!(futures_util::poll!(asked.as_mut()).is_pending());
        let refused = far.start_tls(StartTls::server(server.clone())).unwrap_err();
        assert!(matches!(refused, StartTlsError::Receiving), "{refused:?}");
        near.sent("starttls\n").await.unwrap();
        assert_eq!(asked.await.unwrap().as_bytes(), b"starttls");
        far.start_tls(StartTls::server(server)).unwrap();
        // What is asked meanwhile is asked of the protected connection.
        let early = actix::spawn(far.recv_line());
        let saying = {
            let far = far.clone();
            actix::spawn(async move { far.sent("protected\n").await })
        };
        tokio::time::sleep(SOON / 4).await;
        near.start_tls(StartTls::client(client, "localhost"))
            .unwrap();
        assert_eq!(near.recv_line().await.unwrap().as_bytes(), b"protected");
        near.sent("secret\n").await.unwrap();
        assert_eq!(early.await.unwrap().unwrap().as_bytes(), b"secret");
        saying.await.unwrap().unwrap();
        assert!(near.info().tls.is_some() && far.info().tls.is_some());
        near.close();
    });
}

#[test]
fn a_handshake_that_fails_is_told_to_who_asks_meanwhile() {
    with_pool(async |pool| {
        let (_, client) = pair();
        let (near, far) = both(&pool, Listen::tcp("127.0.0.1:0"), |connect| connect).await;
        near.start_tls(StartTls::client(client, "localhost"))
            .unwrap();
        let asked = actix::spawn(near.recv_line());
        let sending = actix::spawn(near.sent("never in plain\n"));
        far.sent("this is no handshake\n").await.unwrap();
        let asked = tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap()
            .unwrap();
        assert!(
            matches!(
                &asked,
                Err(RecvError::Closed {
                    cause: Cause::Tls(_),
                    ..
                })
            ),
            "{asked:?}"
        );
        let sent = tokio::time::timeout(PATIENCE, sending)
            .await
            .unwrap()
            .unwrap();
        assert!(
            matches!(
                &sent,
                Err(SentError::Closed {
                    cause: Cause::Tls(_),
                    sent: 0
                })
            ),
            "{sent:?}"
        );
        assert!(matches!(near.closed().await.unwrap().cause, Cause::Tls(_)));
    });
}

/// What is said to be sent and what is said to be unsent is all that there was, however it ends.
#[test]
fn what_was_sent_and_what_was_not_add_up_over_tls() {
    const ALL: usize = 12 << 20;
    for end in 0..3 {
        with_pool(async |pool| {
            let (server, client) = pair();
            let listen = Listen::tcp("127.0.0.1:0").tls(server);
            let (near, far) = both(&pool, listen, |connect| {
                let quick = connect.flush_timeout(Duration::from_millis(200));
                quick.tls(client).server_name("localhost")
            })
            .await;
            let sending = actix::spawn(near.sent(vec![7; ALL]));
            let small = actix::spawn(near.sent("x"));
            tokio::time::sleep(SOON).await;
            match end {
                0 => drop(far.abort()),
                1 => drop(near.close_with(false, None)),
                _ => drop(near.abort()),
            }
            let large = tokio::time::timeout(PATIENCE, sending)
                .await
                .unwrap()
                .unwrap();
            let small = tokio::time::timeout(PATIENCE, small)
                .await
                .unwrap()
                .unwrap();
            let detail = near.closed().await.unwrap();
            let (large, small) = (large.unwrap_err(), small.unwrap_err());
            assert!(matches!(&large, SentError::Closed { cause, .. } if *cause == detail.cause));
            assert_eq!(small.sent(), 0);
            assert_eq!(large.sent() as u64, detail.bytes_out, "{end}");
            assert_eq!(large.sent() + detail.unsent, ALL + 1, "{end}");
        });
    }
}

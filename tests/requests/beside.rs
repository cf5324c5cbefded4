//! Requests beside a session.

use std::io::Write;

use actix::prelude::*;
use switchboard::prelude::*;
use switchboard::{ArmError, CrashPolicy, RecvError};
use switchboard_tests::{PATIENCE, dial, exchange, peer, read_exact, serve_with, with_pool};
use tokio::sync::mpsc;

/// Asks for a password while it handles a line, and hears every other line by its handler.
struct Login {
    client: Client,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Login {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Login {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) -> Self::Result {
        let client = self.client.clone();
        let line = msg.line.text().unwrap().into_owned();
        let asking = async move {
            if line == "login" {
                client.sent("password? ").await.unwrap();
                let password = client.recv_line().await.unwrap();
                format!("login with {}", password.text().unwrap())
            } else {
                line
            }
        };
        AtomicResponse::new(Box::pin(asking.into_actor(self).map(|text, session, _| {
            let _ = session.told.send(text);
            let _ = session.client.arm(RecvLine::once());
        })))
    }
}

session!(Login);

#[test]
fn a_session_asks_in_the_middle_of_a_handler() {
    with_pool(async |pool| {
        let (told, mut hears) = mpsc::unbounded_channel();
        let listen = Listen::tcp("127.0.0.1:0").receive(RecvLine::once());
        let mut stream = serve_with(&pool, listen, move |client: Client| {
            let told = told.clone();
            Login { client, told }
        })
        .await;
        let stream = peer(move || {
            stream.write_all(b"one\nlogin\n").unwrap();
            assert_eq!(read_exact(&mut stream, 10), b"password? ");
            stream.write_all(b"secret\ntwo\n").unwrap();
            stream
        })
        .await;
        for wanted in ["one", "login with secret", "two"] {
            assert_eq!(hears.recv().await.unwrap(), wanted);
        }
        drop(stream);
    });
}

struct Lines(Client);

impl Actor for Lines {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Lines {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        assert!(msg.line.as_bytes() != b"panic", "told to");
        let _ = self.0.send_line(&msg.line);
    }
}

session!(Lines);

#[test]
fn what_a_session_has_armed_goes_to_the_session() {
    with_pool(async |pool| {
        let (sender, mut clients) = mpsc::unbounded_channel();
        let mut stream = serve_with(
            &pool,
            Listen::tcp("127.0.0.1:0").lines(),
            move |client: Client| {
                sender.send(client.clone()).unwrap();
                Lines(client)
            },
        )
        .await;
        let client = clients.recv().await.unwrap();
        let mut stream = peer(move || {
            assert_eq!(exchange(&mut stream, b"one\n"), b"one\n");
            stream
        })
        .await;
        let refused = client.recv_line().await.unwrap_err();
        assert_eq!(refused, RecvError::Refused(ArmError::AlreadyReceiving));
        client.sent("beside\n").await.unwrap();
        peer(move || {
            assert_eq!(read_exact(&mut stream, 7), b"beside\n");
            assert_eq!(exchange(&mut stream, b"two\n"), b"two\n");
        })
        .await;
        let detail = tokio::time::timeout(PATIENCE, client.closed()).await;
        assert!(detail.unwrap().is_ok());
    });
}

#[test]
fn what_is_asked_meets_a_session_that_is_replaced() {
    with_pool(async |pool| {
        let (sender, mut clients) = mpsc::unbounded_channel();
        let once = Listen::tcp("127.0.0.1:0").receive(RecvLine::once());
        let listen = once.on_crash(CrashPolicy::Restart {
            max: 3,
            within: PATIENCE,
        });
        let server = pool
            .listen(listen, move |client: Client| {
                sender.send(client.clone()).unwrap();
                Lines(client)
            })
            .await
            .unwrap();
        let address = server.local_addr();
        let mut stream = peer(move || dial(address)).await;
        let client = clients.recv().await.unwrap();
        stream.write_all(b"panic\n").unwrap();
        // The successor has armed one line, too; then it is free to ask.
        assert_eq!(clients.recv().await.unwrap(), client);
        let stream = peer(move || {
            assert_eq!(exchange(&mut stream, b"echo\n"), b"echo\n");
            stream
        })
        .await;
        let mut stream = stream;
        stream.write_all(b"asked\n").unwrap();
        assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"asked");
        drop(stream);
    });
}

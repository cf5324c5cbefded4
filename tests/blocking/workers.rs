//! Blocking calls in a session that lives on a worker.

use std::io::Write;

use actix::prelude::*;
use switchboard::blocking;
use switchboard::prelude::*;
use switchboard_tests::{dial, peer, read_exact, with};

/// Asks for a second line, and blocks its thread until it is there.
struct Login(Client);

impl Actor for Login {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Login {
    type Result = ();

    fn handle(&mut self, name: LineReceived, _: &mut Self::Context) {
        let client = blocking::Client::from(self.0.clone());
        client.sent("password? ").unwrap();
        let password = client.recv_line().unwrap();
        let (name, password) = (name.line.text().unwrap(), password.text().unwrap());
        client.sent_line(&format!("{name} {password}")).unwrap();
    }
}

session!(Login);

/// ACO-02.
#[test]
fn aco_02_a_session_on_a_worker_may_block() {
    with(Pool::builder().shards(1).workers(1), async |pool| {
        let listen = Listen::tcp("127.0.0.1:0").receive(RecvLine::once());
        let server = pool.listen(listen, Login).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            let mut stream = dial(address);
            stream.write_all(b"ada\n").unwrap();
            assert_eq!(read_exact(&mut stream, 10), b"password? ");
            stream.write_all(b"secret\n").unwrap();
            assert_eq!(read_exact(&mut stream, 11), b"ada secret\n");
        })
        .await;
    });
}

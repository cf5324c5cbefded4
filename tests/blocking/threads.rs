//! Many threads on one handle.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::thread;

use actix::prelude::*;
use bytes::Bytes;
use switchboard::message::MessageReceived;
use switchboard::{Client, Connect, ConnectionOptions, Listen, Pool, SessionContext, blocking};
use switchboard_tests::{PATIENCE, Reaped};

use super::python;

const THREADS: usize = 8;
const EACH: usize = 250;

struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<MessageReceived> for Echo {
    type Result = ();

    fn handle(&mut self, received: MessageReceived, _: &mut Self::Context) {
        // A peer that is gone needs no answer.
        let _ = self.client.send_msg(received.message, None);
    }
}

switchboard::session!(Echo);

/// A message that no other is like, of a length of its own.
fn message(thread: usize, number: usize) -> Bytes {
    let mut text = format!("{thread} {number} ");
    let size = (thread * 131 + number * 977) % 9000;
    text.extend(std::iter::repeat_n('x', size));
    text.into()
}

/// Eight threads send and receive on one handle, to a peer that sends every message back: each comes whole,
/// and once, to whichever thread.
fn all_talk_on(client: &blocking::Client) {
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || {
                let mut came = Vec::new();
                for number in 0..EACH {
                    client.sent_msg(message(thread, number)).unwrap();
                    came.push(client.recv_msg().unwrap());
                }
                came
            })
        })
        .collect();
    let came: Vec<Bytes> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    let each = |thread| (0..EACH).map(move |number| message(thread, number));
    let sent: BTreeSet<Bytes> = (0..THREADS).flat_map(each).collect();
    assert_eq!(came.len(), sent.len());
    assert!(
        came.into_iter().collect::<BTreeSet<_>>() == sent,
        "a message is missing, cut or doubled"
    );
}

/// ACO-02.
#[test]
fn aco_02_eight_threads_use_one_handle_at_once_with_an_actor_at_the_other_end() {
    let background = Pool::builder().shards(1).background().unwrap();
    let listen = Listen::tcp("127.0.0.1:0").messages();
    let listening = background.pool().listen(listen, |client| Echo { client });
    let server = background.block_on(listening).unwrap().unwrap();
    let client = blocking::connect(Connect::tcp(server.local_addr())).unwrap();
    all_talk_on(&client.within(PATIENCE));
    drop(client);
    let _ = background.stop();
}

/// ACO-02.
#[test]
fn aco_02_eight_threads_use_one_handle_at_once_with_python_at_the_other_end() {
    const SERVER: &str = r#"
import socket, struct
def exactly(s, n):
    got = b""
    while len(got) < n:
        part = s.recv(n - len(got))
        if not part: return None
        got += part
    return got
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
s, _ = listener.accept()
s.settimeout(20)
while (head := exactly(s, 4)) is not None:
    s.sendall(head + exactly(s, struct.unpack(">I", head)[0]))
"#;
    let Some(mut child) = python(SERVER, &[]) else {
        return;
    };
    let mut port = String::new();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut child = Reaped(child);
    said.read_line(&mut port).unwrap();
    let client = blocking::connect(Connect::tcp(format!("127.0.0.1:{}", port.trim()))).unwrap();
    all_talk_on(&client.within(PATIENCE));
    drop(client);
    assert!(child.wait().success());
}

/// The handle of a connection of any pool can be used by threads, too.
#[test]
fn threads_use_the_connection_of_an_actors_pool() {
    let background = Pool::builder().shards(1).background().unwrap();
    let listen = Listen::tcp("127.0.0.1:0").messages();
    let listening = background.pool().listen(listen, |client| Echo { client });
    let server = background.block_on(listening).unwrap().unwrap();
    let opening = background.pool().open(Connect::tcp(server.local_addr()));
    let client = background.block_on(opening).unwrap().unwrap();
    all_talk_on(&blocking::Client::from(client.clone()).within(PATIENCE));
    assert!(!client.is_closed(), "it is not the blocking handle's");
    let _ = background.stop();
}

//! Requests of channels that are no TCP connections, and beside sessions that are elsewhere.
#![cfg(unix)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{
    ArmError, Cause, ClosedDetail, RecvError, SendRefusal, SentError, SpawnProcess, WatchFd,
};
use switchboard_tests::{PATIENCE, dial, peer, with, with_pool};
use tokio::sync::mpsc;

use super::SOON;

/// Hears of the end and of nothing else.
struct Quiet(mpsc::UnboundedSender<ClosedDetail>);

impl Actor for Quiet {
    type Context = SessionContext<Self>;
}

impl Handler<Closed> for Quiet {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        let _ = self.0.send((*msg.detail).clone());
    }
}

session!(Quiet);

#[test]
fn ac_12_a_unix_socket_is_used_in_sequence() {
    let path = std::env::temp_dir().join(format!("switchboard-requests-{}", std::process::id()));
    with_pool(async |pool| {
        let serve = async |client: Client| {
            while let Ok(line) = client.recv_line().await {
                client.sent_line(&line).await.unwrap();
            }
        };
        let server = pool.serve(Listen::unix(&path), serve).await.unwrap();
        let client = pool.open(Connect::unix(&path)).await.unwrap();
        for line in ["one\n", "two\n"] {
            client.sent(line).await.unwrap();
            assert_eq!(
                client.recv_line().await.unwrap().as_bytes(),
                &line.as_bytes()[..3]
            );
        }
        client.close();
        server.close().await;
    });
    let _ = std::fs::remove_file(path);
}

#[test]
fn ac_04_a_watched_descriptor_is_used_in_sequence_beside_its_session() {
    with_pool(async |pool| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (told, mut ends) = mpsc::unbounded_channel();
        let client = pool.watch_fd(WatchFd::new(ours).unwrap(), |_| Quiet(told));
        let client = client.await.unwrap();
        theirs.write_all(b"line\npart").unwrap();
        assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"line");
        client.sent("answer").await.unwrap();
        let mut answer = [0; 6];
        theirs.read_exact(&mut answer).unwrap();
        drop(theirs);
        let end = client.recv_line().await.unwrap_err();
        assert_eq!(
            end,
            RecvError::Finished {
                partial: "part".into()
            }
        );
        let end = ends.recv().await.unwrap();
        assert_eq!(
            (&end.cause, &end.unread[..]),
            (&Cause::PeerFinished, &b""[..])
        );
        assert_eq!(client.closed().await.unwrap().cause, Cause::PeerFinished);
    });
}

#[test]
fn ac_21_what_goes_the_other_way_only_is_refused() {
    with_pool(async |pool| {
        let (read, mut to_us) = std::io::pipe().unwrap();
        let (mut from_us, write) = std::io::pipe().unwrap();
        let (told, _ends) = mpsc::unbounded_channel();
        let quiet = told.clone();
        let reads = pool
            .watch_fd(WatchFd::new(read).unwrap(), |_| Quiet(quiet))
            .await
            .unwrap();
        let writes = pool
            .watch_fd(WatchFd::new(write).unwrap(), |_| Quiet(told))
            .await
            .unwrap();
        to_us.write_all(b"in\n").unwrap();
        assert_eq!(reads.recv_line().await.unwrap().as_bytes(), b"in");
        writes.sent("out").await.unwrap();
        let mut out = [0; 3];
        from_us.read_exact(&mut out).unwrap();
        let refused = writes.recv_line().await.unwrap_err();
        assert_eq!(refused, RecvError::Refused(ArmError::WriteOnly));
        let refused = reads.sent("x").await.unwrap_err();
        let refusal = SendRefusal::ReadOnly;
        assert_eq!(refused, SentError::Refused { refusal, sent: 0 });
    });
}

#[test]
fn aio_18_the_pipes_of_a_process_are_used_in_sequence() {
    with_pool(async |pool| {
        let (told, mut ends) = mpsc::unbounded_channel();
        let process = pool
            .spawn(SpawnProcess::new("cat"), move |_| Quiet(told.clone()))
            .await
            .unwrap();
        let (input, output) = (process.pipe(0).unwrap(), process.pipe(1).unwrap());
        // What nobody handles would be thrown away.
        let refused = output.recv_line().await.unwrap_err();
        assert_eq!(refused, RecvError::Refused(ArmError::AlreadyReceiving));
        assert!(output.cancel_recv());
        input.sent("one\ntwo").await.unwrap();
        let line = tokio::time::timeout(PATIENCE / 4, output.recv_line()).await;
        let line = line.expect("nobody answers").unwrap();
        assert_eq!(line.as_bytes(), b"one");
        let waiting = actix::spawn(output.recv_line());
        tokio::task::yield_now().await;
        process.write_eof().unwrap();
        let end = waiting.await.unwrap().unwrap_err();
        assert_eq!(end.partial(), b"two");
        for pipe in [input, output] {
            let end = tokio::time::timeout(PATIENCE / 4, pipe.closed()).await;
            end.expect("the pipe does not end").unwrap();
        }
        ends.recv().await.unwrap();
    });
}

#[test]
fn what_the_session_of_a_process_receives_is_refused_to_others() {
    with_pool(async |pool| {
        let probe = switchboard_tests::Probe::new();
        let process = pool
            .spawn(SpawnProcess::new("cat"), probe.full_session_for())
            .await
            .unwrap();
        let output = process.pipe(1).unwrap();
        let refused = output.recv_line().await.unwrap_err();
        assert_eq!(refused, RecvError::Refused(ArmError::AlreadyReceiving));
        process.kill().unwrap();
        output.closed().await.unwrap();
        drop(probe);
    });
}

/// Asks when it is told to, from the worker that it lives on.
struct Asker {
    client: Client,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Asker {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for _ in 0..100 {
            let (client, told) = (self.client.clone(), self.told.clone());
            let asking = async move {
                let line = client.recv_line().await.unwrap();
                let line = line.text().unwrap().into_owned();
                client.sent(format!("{line}\n")).await.unwrap();
                told.send(line).unwrap();
            };
            ctx.spawn(asking.into_actor(self));
        }
    }
}

impl Handler<Closed> for Asker {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {}
}

impl Handler<WritePaused> for Asker {
    type Result = ();

    fn handle(&mut self, _: WritePaused, _: &mut Self::Context) {}
}

session!(Asker);

/// A session on a worker and a task on another thread ask the same connection in turns, and give up.
#[test]
fn requests_of_a_session_on_a_worker_stand_in_the_same_queue() {
    with(Pool::builder().shards(1).workers(1), async |pool| {
        let (told, mut lines) = mpsc::unbounded_channel();
        let (sender, mut clients) = mpsc::unbounded_channel();
        let server = pool
            .listen(Listen::tcp("127.0.0.1:0"), move |client: Client| {
                sender.send(client.clone()).unwrap();
                let told = told.clone();
                Asker { client, told }
            })
            .await
            .unwrap();
        let address = server.local_addr();
        let mut stream = peer(move || dial(address)).await;
        let client = clients.recv().await.unwrap();
        let writing = std::thread::spawn(move || {
            for number in 0..200 {
                let line = format!("{number:03}\n");
                stream.write_all(&line.as_bytes()[..2]).unwrap();
                std::thread::sleep(Duration::from_micros(200));
                stream.write_all(&line.as_bytes()[2..]).unwrap();
            }
            stream
        });
        let mut all = Vec::new();
        while all.len() < 200 {
            tokio::select! {
                line = lines.recv(), if all.len() < 200 => all.push(line.unwrap()),
                line = client.recv_line() => all.push(line.unwrap().text().unwrap().into_owned()),
                () = tokio::time::sleep(Duration::from_micros(300)) => {}
            }
        }
        all.sort_unstable();
        let wanted: Vec<_> = (0..200).map(|number| format!("{number:03}")).collect();
        assert_eq!(all, wanted);
        let mut stream = peer(move || writing.join().unwrap()).await;
        client.close();
        let mut echoed = Vec::new();
        stream.read_to_end(&mut echoed).unwrap();
        assert_eq!(echoed.len(), 4 * 100);
        tokio::time::timeout(PATIENCE, client.closed())
            .await
            .unwrap()
            .unwrap();
        tokio::time::sleep(SOON / 10).await;
    });
}

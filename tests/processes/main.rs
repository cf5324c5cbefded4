//! Child processes, with children that we did not write: `sh`, `cat`, `sleep`.
#![cfg(unix)]

mod codes;
mod ending;
mod pipes;
mod pool;
mod pressure;
mod sessions;
mod starting;
mod supervised;
mod surviving;
mod telling;
mod threads;
mod turns;

use switchboard::message::ClientEvent;
use switchboard::prelude::*;
use switchboard::{ClosedDetail, Process, SpawnProcess};
use switchboard_tests::{Probe, expect};
use tokio::sync::mpsc;

/// A line of shell that says `up` and then does not end when it is asked to.
pub const STUBBORN: &str = "trap '' TERM; echo up; while :; do sleep 0.05; done";

/// Writes down what it is told, in words.
pub struct Witness {
    pub process: Process,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Witness {
    type Context = SessionContext<Self>;
}

macro_rules! witnesses {
    ($($event:ident: |$msg:ident| $words:expr,)*) => {
        $(impl Handler<$event> for Witness {
            type Result = ();

            fn handle(&mut self, $msg: $event, _: &mut Self::Context) {
                assert_eq!($msg.client, self.process.id());
                let _ = self.told.send($words);
            }
        })*
    };
}

witnesses! {
    PipeLine: |msg| format!("{}: {}", msg.fd, String::from_utf8_lossy(&msg.line)),
    PipeClosed: |msg| format!("closed {}", msg.fd),
    ProcessExited: |msg| format!("exited {}", msg.code),
    Sent: |msg| format!("sent {}", msg.token.0),
    WritePaused: |_msg| "paused".to_owned(),
    WriteResumed: |_msg| "resumed".to_owned(),
    Draining: |_msg| "draining".to_owned(),
    Closed: |msg| format!("end: {}", msg.reason),
}

session!(Witness);

/// A witness's factory, and what it is told.
pub fn witness() -> (
    impl Fn(Process) -> Witness + Clone + Send + Sync,
    mpsc::UnboundedReceiver<String>,
) {
    let (told, words) = mpsc::unbounded_channel();
    let made = move |process| Witness {
        process,
        told: told.clone(),
    };
    (made, words)
}

/// All that is told until the end.
pub async fn story(mut words: mpsc::UnboundedReceiver<String>) -> Vec<String> {
    let mut story = Vec::new();
    while let Some(word) = words.recv().await {
        let is_end = word.starts_with("end");
        story.push(word);
        if is_end {
            break;
        }
    }
    story
}

/// A process with a session that records all that it is told.
pub async fn spawned(pool: &Pool, spawn: SpawnProcess) -> (Process, Probe) {
    let probe = Probe::new();
    let process = pool.spawn(spawn, probe.full_session_for()).await;
    (process.unwrap(), probe)
}

/// The same for one that this line of shell starts, which has said `up` first.
pub async fn up(pool: &Pool, line: &str) -> (Process, Probe) {
    up_as(pool, SpawnProcess::shell(line)).await
}

/// The same with options.
pub async fn up_as(pool: &Pool, spawn: SpawnProcess) -> (Process, Probe) {
    let (process, mut probe) = spawned(pool, spawn).await;
    assert_eq!(expect!(probe, PipeLine).line.as_ref(), b"up");
    (process, probe)
}

/// All that is told until the end, which comes last.
pub async fn all(probe: &mut Probe) -> Vec<ClientEvent> {
    let mut events = Vec::new();
    loop {
        let event = probe.next().await;
        let over = matches!(event, ClientEvent::Closed(_));
        events.push(event);
        if over {
            assert!(probe.so_far().is_empty(), "the end comes last");
            return events;
        }
    }
}

/// The lines of one pipe.
pub fn lines(events: &[ClientEvent], of: i32) -> Vec<String> {
    let line = |event: &ClientEvent| match event {
        ClientEvent::PipeLine(line) if line.fd == of => {
            Some(String::from_utf8_lossy(&line.line).into_owned())
        }
        _ => None,
    };
    events.iter().filter_map(line).collect()
}

/// How one pipe closed, which is told once.
pub fn end_of(events: &[ClientEvent], of: i32) -> &ClosedDetail {
    let mut ends = events.iter().filter_map(|event| match event {
        ClientEvent::PipeClosed(closed) if closed.fd == of => Some(&*closed.detail),
        _ => None,
    });
    let end = ends.next().expect("the end of a pipe is not told");
    assert!(ends.next().is_none(), "the end of a pipe is told twice");
    end
}

/// How the process exited, which is told once.
pub fn exit_of(events: &[ClientEvent]) -> i32 {
    let mut exits = events.iter().filter_map(|event| match event {
        ClientEvent::ProcessExited(exited) => Some(exited.code),
        _ => None,
    });
    let exit = exits.next().expect("the exit is not told");
    assert!(exits.next().is_none(), "the exit is told twice");
    exit
}

/// How it ended.
pub fn end(events: &[ClientEvent]) -> &Closed {
    match events.last() {
        Some(ClientEvent::Closed(closed)) => closed,
        other => panic!("{other:?} is not the end"),
    }
}

/// What the system's table says about a process: the letter of its state and its parent.
pub fn entry(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether nothing of this child of ours is left, not even a zombie.
pub fn is_reaped(pid: u32) -> bool {
    entry(pid).is_none_or(|(_, parent)| parent != std::process::id())
}

/// Whether a process runs no more, whose parent need not be ours.
pub fn is_dead(pid: u32) -> bool {
    entry(pid).is_none_or(|(state, _)| state == 'Z')
}

/// All of our children that are in the system's table; for a test that is alone in its program.
pub fn children() -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let ours = |pid: &u32| entry(*pid).is_some_and(|(_, parent)| parent == std::process::id());
    pids.filter(ours).collect()
}

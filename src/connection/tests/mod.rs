//! The machine on a wire that is all script: no socket, no clock.

mod closing;
mod ending;
mod notices;
mod property;
mod receiving;
mod sending;
mod shaping;
mod timing;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{Connection, Event, Interests, Permit, ReadWish};
use crate::config::ConnectionConfig;
use crate::error::{ArmError, ConnectError, ConnectPhase};
use crate::id::Token;
use crate::now::Now;
use crate::reason::{Cause, ClosedDetail};
use crate::receive::{OnTimeout, Receive, ReceiveKind, Repeat};

/// A machine that always comes to rest does so within so many rounds.
const ROUNDS: usize = 10_000;

/// What the peer did, as the socket shows it. When there is nothing, reading would block.
#[derive(Debug, Clone)]
enum Incoming {
    Bytes(Vec<u8>),
    Eof,
    Error(io::ErrorKind),
}

/// A connection, the script of its socket, its session's notebook, and a clock moved by hand.
struct Wire {
    machine: Connection,
    time: Instant,
    incoming: VecDeque<Incoming>,
    /// So many more bytes does the socket take before writing would block.
    room: usize,
    /// So many of them at once.
    gulp: usize,
    write_error: Option<io::ErrorKind>,
    /// What the socket took.
    taken: Vec<u8>,
    /// Whether the sending direction was finished.
    finished: bool,
    /// Whether the session takes events.
    awake: bool,
    /// Whether the session gives credit back as soon as it has an event.
    generous: bool,
    /// Credit that is with the session.
    permits: Vec<Permit>,
    /// Frames, as they were delivered.
    events: Vec<Event>,
    /// Everything that was told, in words, since somebody last looked.
    trace: Vec<String>,
    ended: Option<Event>,
}

impl Wire {
    fn new(machine: Connection) -> Self {
        Self {
            machine,
            time: Instant::now(),
            incoming: VecDeque::new(),
            room: usize::MAX,
            gulp: usize::MAX,
            write_error: None,
            taken: Vec::new(),
            finished: false,
            awake: true,
            generous: true,
            permits: Vec::new(),
            events: Vec::new(),
            trace: Vec::new(),
            ended: None,
        }
    }

    /// An accepted connection with a session that handles everything, not yet adopted.
    fn accepted(config: ConnectionConfig) -> Self {
        let mut wire = Self::new(Connection::accepted(Arc::new(config)));
        wire.machine.set_interests(Interests::ALL);
        wire
    }

    /// An outbound connection that is being established.
    fn connecting(config: ConnectionConfig) -> Self {
        let mut wire = Self::new(Connection::connecting(Arc::new(config)));
        wire.machine.set_interests(Interests::ALL);
        wire
    }

    /// A connection in use, `Opened` already told.
    fn open(config: ConnectionConfig) -> Self {
        Self::open_for(Interests::ALL, config)
    }

    /// A connection in use by a session with these interests.
    fn open_for(interests: Interests, config: ConnectionConfig) -> Self {
        let mut wire = Self::accepted(config);
        wire.machine.set_interests(interests);
        wire.adopt();
        wire.told();
        wire
    }

    fn adopt(&mut self) {
        self.machine.adopt(&mut self.now()).unwrap();
        self.drive();
    }

    fn now(&self) -> Now {
        Now::at(self.time)
    }

    /// Does what a driver does, until nothing is left to do at this moment.
    fn drive(&mut self) {
        for _ in 0..ROUNDS {
            if !self.round() {
                return;
            }
        }
        panic!("no rest after {ROUNDS} rounds: {:?}", self.machine);
    }

    /// One round by the book. Whether anything came of it.
    fn round(&mut self) -> bool {
        let mut now = self.now();
        self.machine.begin_round();
        if self
            .machine
            .poll_timeout()
            .is_some_and(|at| at <= self.time)
        {
            self.machine.handle_timeout(&mut now);
            let next = self.machine.poll_timeout();
            assert!(
                next.is_none_or(|at| at > self.time),
                "a deadline in the past"
            );
        }
        if self.machine.is_cancelled() {
            let error = io::ErrorKind::Interrupted.into();
            let error = ConnectError::new("peer:1", ConnectPhase::Connect, &error);
            self.machine.handle_connect_failed(error);
        }
        let moved = self.write(&mut now) | self.read(&mut now);
        let told = self.awake && self.tell(&mut now);
        let snapshot = self.machine.snapshot();
        assert!(snapshot.write_buffer <= self.machine.config().write_capacity);
        if self.machine.is_over().is_some() {
            assert_eq!(self.machine.poll_timeout(), None, "over, yet a deadline");
            assert_eq!(self.machine.read_wish(), ReadWish::Nothing);
        }
        moved || told
    }

    fn write(&mut self, now: &mut Now) -> bool {
        let mut moved = false;
        loop {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = self.machine.poll_transmit(&mut slices);
            let offered: Vec<u8> = slices[..count]
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            if offered.is_empty() {
                break;
            }
            if let Some(kind) = self.write_error {
                self.machine.handle_write_error(&kind.into(), now);
                return true;
            }
            let count = offered.len().min(self.room).min(self.gulp);
            if count == 0 {
                return moved;
            }
            self.room -= count;
            self.taken.extend_from_slice(&offered[..count]);
            self.machine.handle_written(count, now);
            moved = true;
        }
        if self.machine.wants_finish() {
            self.finished = true;
            self.machine.handle_finished(now);
            assert!(!self.machine.wants_finish());
            moved = true;
        }
        moved
    }

    fn read(&mut self, now: &mut Now) -> bool {
        let mut moved = false;
        while self.machine.read_wish() != ReadWish::Nothing {
            match self.incoming.pop_front() {
                Some(Incoming::Bytes(bytes)) => {
                    let mut data = BytesMut::from(&bytes[..]);
                    self.machine.handle_data(&mut data, now);
                    assert!(data.is_empty(), "all of it is taken");
                }
                Some(Incoming::Eof) => {
                    self.incoming.push_front(Incoming::Eof);
                    self.machine.handle_eof(now);
                    assert_eq!(self.machine.read_wish(), ReadWish::Nothing);
                }
                Some(Incoming::Error(kind)) => {
                    self.incoming.push_front(Incoming::Eof);
                    self.machine.handle_read_error(&kind.into(), now);
                }
                None => {
                    self.machine.handle_read_blocked(now);
                    break;
                }
            }
            moved = true;
        }
        moved
    }

    /// Lets the session take everything. Levels of readiness mode count for nothing: they are told in
    /// every round.
    fn tell(&mut self, now: &mut Now) -> bool {
        let mut told = false;
        while self.machine.has_event() {
            let (event, permit) = self.machine.poll_event(now).expect("`has_event` said so");
            assert!(self.ended.is_none(), "{event:?} after the end");
            told |= !matches!(event, Event::Readable | Event::Writable);
            self.trace.push(in_words(&event));
            if self.generous {
                self.machine.give_back(permit);
            } else if !permit.is_none() {
                self.permits.push(permit);
            }
            match event {
                Event::Closed(_) | Event::ConnectFailed(_) => self.ended = Some(event),
                event => self.events.push(event),
            }
        }
        assert!(
            self.machine.poll_event(now).is_none(),
            "`has_event` denied it"
        );
        told
    }

    /// Lets time pass, deadline by deadline.
    fn wait(&mut self, time: Duration) {
        let end = self.time + time;
        for _ in 0..ROUNDS {
            match self.machine.poll_timeout() {
                Some(at) if at <= end => {
                    self.time = self.time.max(at);
                    self.drive();
                }
                _ => {
                    self.time = end;
                    self.drive();
                    return;
                }
            }
        }
        panic!("deadline after deadline: {:?}", self.machine);
    }

    /// The peer sends, in one segment.
    fn peer_sends(&mut self, bytes: impl AsRef<[u8]>) {
        self.incoming
            .push_back(Incoming::Bytes(bytes.as_ref().to_vec()));
        self.drive();
    }

    /// The peer finishes sending.
    fn peer_finishes(&mut self) {
        self.incoming.push_back(Incoming::Eof);
        self.drive();
    }

    /// The connection is reset: reading fails once everything that came was read.
    fn peer_resets(&mut self) {
        self.incoming
            .push_back(Incoming::Error(io::ErrorKind::ConnectionReset));
        self.drive();
    }

    /// Writing fails from now on.
    fn writing_breaks(&mut self) {
        self.write_error = Some(io::ErrorKind::BrokenPipe);
    }

    /// The socket takes so many more bytes.
    fn takes(&mut self, count: usize) {
        self.room = count;
        self.drive();
    }

    fn arm(&mut self, receive: &Receive) -> Result<(), ArmError> {
        let armed = self.machine.arm(receive, &mut self.now());
        self.drive();
        armed
    }

    /// Arms a receive that must succeed.
    fn receive(&mut self, receive: &Receive) {
        self.arm(receive).unwrap();
    }

    fn send(&mut self, bytes: &str) {
        self.machine.send(bytes, None).unwrap();
        self.drive();
    }

    fn send_tracked(&mut self, bytes: &str, token: u64) {
        self.machine.send(bytes, Some(Token(token))).unwrap();
        self.drive();
    }

    fn close(&mut self) -> bool {
        let was_open = self
            .machine
            .close(Cause::LocalClose, true, None, &mut self.now());
        self.drive();
        was_open
    }

    fn abort(&mut self) -> bool {
        let was_open = self.machine.abort(Cause::LocalAbort);
        self.drive();
        was_open
    }

    /// The session gives all credit back.
    fn give_back(&mut self) -> bool {
        let all = self.permits.drain(..).fold(Permit::NONE, Permit::join);
        let resumed = self.machine.give_back(all);
        self.drive();
        resumed
    }

    /// What was told since the last look.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    /// The report, if it was told.
    fn closed(&self) -> &ClosedDetail {
        match &self.ended {
            Some(Event::Closed(detail)) => detail,
            other => panic!("not closed but {other:?}, state {:?}", self.machine.state()),
        }
    }
}

fn in_words(event: &Event) -> String {
    let text = String::from_utf8_lossy;
    match event {
        Event::Opened => "opened".into(),
        Event::Line(line) => format!("line {}", text(line)),
        Event::Data(data) => format!("data {}", text(data)),
        Event::Message(message) => format!("message {}", text(message)),
        Event::Sent { token, bytes } => format!("sent {}: {bytes} bytes", token.0),
        Event::WritePaused => "write paused".into(),
        Event::WriteResumed => "write resumed".into(),
        Event::PeerFinished => "peer finished".into(),
        Event::Idle(kind) => format!("idle: {kind}"),
        Event::Readable => "readable".into(),
        Event::Writable => "writable".into(),
        Event::Closed(detail) => format!("closed: {detail}"),
        Event::ConnectFailed(error) => format!("connect failed: {:?}", error.kind),
    }
}

const NOTHING: [&str; 0] = [];

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn size(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).unwrap()
}

const LINE: ReceiveKind = ReceiveKind::Line {
    rule: None,
    encoding: None,
    max: None,
};

const MESSAGE: ReceiveKind = ReceiveKind::Message { max: None };

const fn exact(bytes: usize) -> ReceiveKind {
    ReceiveKind::Exact(size(bytes))
}

const fn until(delimiter: &'static str) -> ReceiveKind {
    ReceiveKind::Until {
        delimiter: Bytes::from_static(delimiter.as_bytes()),
        max: None,
    }
}

/// A kind, so many times.
fn times(count: u32, kind: ReceiveKind) -> Receive {
    Receive {
        repeat: Repeat::Times(NonZeroU32::new(count).unwrap()),
        ..Receive::once(kind)
    }
}

/// With a deadline.
fn within(after: Duration, receive: Receive) -> Receive {
    Receive {
        timeout: Some(after),
        ..receive
    }
}

/// With a deadline that is only told.
fn report_after(after: Duration, receive: Receive) -> Receive {
    Receive {
        on_timeout: OnTimeout::Report,
        ..within(after, receive)
    }
}

/// The defaults, except what `change` changes.
fn config(change: impl FnOnce(&mut ConnectionConfig)) -> ConnectionConfig {
    let mut config = ConnectionConfig::default();
    change(&mut config);
    config
}

/// Every interest but these.
fn all_but(left_out: Interests) -> Interests {
    EVERY_INTEREST
        .into_iter()
        .fold(Interests::NONE, |kept, one| {
            kept.with_if(one, !left_out.contains(one))
        })
}

const EVERY_INTEREST: [Interests; 13] = [
    Interests::OPENED,
    Interests::LINE,
    Interests::DATA,
    Interests::MESSAGE,
    Interests::SENT,
    Interests::WRITE_PAUSED,
    Interests::WRITE_RESUMED,
    Interests::PEER_FINISHED,
    Interests::IDLE,
    Interests::READABLE,
    Interests::WRITABLE,
    Interests::CLOSED,
    Interests::CONNECT_FAILED,
];

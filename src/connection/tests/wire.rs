//! The driver by the book, on a socket that is all script.

use std::collections::VecDeque;

use super::*;

/// A machine that always comes to rest does so within so many rounds.
pub(super) const ROUNDS: usize = 10_000;

/// What the peer did, as the socket shows it. When there is nothing, reading would block.
#[derive(Debug, Clone)]
pub(super) enum Incoming {
    Bytes(Vec<u8>),
    Eof,
    Error(io::ErrorKind),
    /// The end of a stream that is protected, without a word.
    Truncated,
}

/// A connection, the script of its socket, its session's notebook, and a clock moved by hand.
pub(super) struct Wire {
    pub(super) machine: Connection,
    pub(super) time: Instant,
    pub(super) incoming: VecDeque<Incoming>,
    /// So many more bytes does the socket take before writing would block.
    pub(super) room: usize,
    /// So many of them at once.
    pub(super) gulp: usize,
    pub(super) write_error: Option<io::ErrorKind>,
    /// What came while the connection was in use.
    pub(super) came: Vec<u8>,
    /// What the socket took.
    pub(super) taken: Vec<u8>,
    /// At which places the bytes stand that it took as urgent ones.
    pub(super) urgent: Vec<usize>,
    /// Whether the sending direction was finished.
    pub(super) finished: bool,
    /// Whether a handshake has the link.
    pub(super) shaking: bool,
    /// So many bytes had been taken when it began.
    pub(super) plain: usize,
    /// Whether the session takes events.
    pub(super) awake: bool,
    /// Whether the next read is offered to the session at once; every other one is.
    pub(super) offers: bool,
    /// Whether the session gives credit back as soon as it has an event.
    pub(super) generous: bool,
    /// Frames that the session begins with when it can have several at once; 0 for one by one.
    pub(super) at_once: usize,
    /// Whether it is then busy with them, and not yet done with the last one.
    pub(super) busy: bool,
    /// What it is busy with, and how many of them it has begun with.
    pub(super) held: Option<(Batch, usize)>,
    /// Credit that is with the session.
    pub(super) permits: Vec<Permit>,
    /// Frames, as they were delivered.
    pub(super) events: Vec<Event>,
    /// Everything that was told, in words, since somebody last looked.
    pub(super) trace: Vec<String>,
    pub(super) ended: Option<Event>,
}

impl Wire {
    pub(super) fn new(machine: Connection) -> Self {
        Self {
            machine,
            time: Instant::now(),
            incoming: VecDeque::new(),
            room: usize::MAX,
            gulp: usize::MAX,
            write_error: None,
            came: Vec::new(),
            taken: Vec::new(),
            urgent: Vec::new(),
            finished: false,
            shaking: false,
            plain: 0,
            awake: true,
            offers: false,
            generous: true,
            at_once: 0,
            busy: false,
            held: None,
            permits: Vec::new(),
            events: Vec::new(),
            trace: Vec::new(),
            ended: None,
        }
    }

    /// An accepted connection with a session that handles everything, not yet adopted.
    pub(super) fn accepted(config: ConnectionConfig) -> Self {
        let mut wire = Self::new(Connection::accepted(Arc::new(config)));
        wire.machine.set_interests(Interests::ALL);
        wire
    }

    /// An accepted connection that begins with a handshake.
    pub(super) fn shaking(within: Duration, config: ConnectionConfig) -> Self {
        let mut wire = Self::accepted(config.clone());
        let machine = Connection::accepted(Arc::new(config));
        wire.machine = machine.with_handshake(within, &mut wire.now());
        wire.machine.set_interests(Interests::ALL);
        wire.shaking = true;
        wire
    }

    /// An outbound connection that is being established.
    pub(super) fn connecting(config: ConnectionConfig) -> Self {
        let mut wire = Self::new(Connection::connecting(Arc::new(config)));
        wire.machine.set_interests(Interests::ALL);
        wire
    }

    /// A connection in use, `Opened` already told.
    pub(super) fn open(config: ConnectionConfig) -> Self {
        Self::open_for(Interests::ALL, config)
    }

    /// A connection in use by a session with these interests.
    pub(super) fn open_for(interests: Interests, config: ConnectionConfig) -> Self {
        let mut wire = Self::accepted(config);
        wire.machine.set_interests(interests);
        wire.adopt();
        wire.told();
        wire
    }

    pub(super) fn adopt(&mut self) {
        self.machine.adopt(&mut self.now()).unwrap();
        self.drive();
    }

    pub(super) fn now(&self) -> Now {
        Now::at(self.time)
    }

    /// Does what a driver does, until nothing is left to do at this moment.
    pub(super) fn drive(&mut self) {
        for _ in 0..ROUNDS {
            if !self.round() {
                return;
            }
        }
        panic!("no rest after {ROUNDS} rounds: {:?}", self.machine);
    }

    /// One round by the book. Whether anything came of it.
    pub(super) fn round(&mut self) -> bool {
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
        let moved = self.write(&mut now) | self.shake() | self.read(&mut now);
        let told = self.awake && self.tell(&mut now);
        let snapshot = self.machine.snapshot();
        assert!(snapshot.write_buffer <= self.machine.config().write_capacity);
        if self.machine.is_over().is_some() {
            assert_eq!(self.machine.poll_timeout(), None, "over, yet a deadline");
            assert_eq!(self.machine.read_wish(), ReadWish::Nothing);
            assert!(!self.machine.wants_handshake());
            self.shaking = false;
        }
        moved || told
    }

    fn write(&mut self, now: &mut Now) -> bool {
        let mut moved = false;
        loop {
            let mut slices = [IoSlice::new(&[]); 4];
            let mut offered = self.machine.poll_transmit(&mut slices);
            let urgent = (offered == 0)
                .then(|| self.machine.poll_transmit_urgent())
                .flatten()
                .map(|byte| [byte]);
            if let Some(byte) = &urgent {
                slices[0] = IoSlice::new(byte);
                offered = 1;
            }
            if offered == 0 {
                break;
            }
            assert!(!self.shaking, "bytes leave during the handshake");
            if let Some(kind) = self.write_error {
                self.machine.handle_write_error(&kind.into(), now);
                return true;
            }
            let most = self.room.min(self.gulp);
            let mut count = 0;
            for slice in &slices[..offered] {
                let part = &slice[..slice.len().min(most - count)];
                self.taken.extend_from_slice(part);
                count += part.len();
            }
            if count == 0 {
                let before = self.machine.state();
                self.machine.handle_write_blocked(now);
                return moved || before != self.machine.state();
            }
            if urgent.is_some() {
                self.urgent.push(self.taken.len() - 1);
            }
            self.room -= count;
            self.machine.handle_written(count, now);
            moved = true;
        }
        if self.machine.wants_finish() {
            assert!(!self.shaking && !self.machine.wants_handshake());
            assert!(!self.finished, "finished twice");
            self.finished = true;
            self.machine.handle_finished(now);
            assert!(!self.machine.wants_finish());
            moved = true;
        }
        moved
    }

    /// Begins a handshake that is due.
    fn shake(&mut self) -> bool {
        if !self.machine.wants_handshake() {
            return false;
        }
        assert!(!self.shaking, "one at a time");
        assert_eq!(self.machine.frames_out(), 0, "a plain frame may be handled");
        assert_eq!(self.machine.snapshot().unread, 0, "plain bytes are kept");
        self.shaking = true;
        self.plain = self.taken.len();
        self.machine.handle_handshake_begun();
        assert!(self.machine.is_securing() && !self.machine.wants_handshake());
        true
    }

    fn read(&mut self, now: &mut Now) -> bool {
        let mut moved = false;
        while self.machine.read_wish() != ReadWish::Nothing {
            assert!(!self.shaking, "bytes are read during the handshake");
            match self.incoming.pop_front() {
                Some(Incoming::Bytes(bytes)) => {
                    if self.is_in_use() {
                        self.came.extend_from_slice(&bytes);
                    }
                    let mut data = BytesMut::from(&bytes[..]);
                    self.offers = !self.offers;
                    if self.awake
                        && self.offers
                        && self.machine.is_quiet()
                        && let Some((line, permit)) =
                            self.machine.handle_line_at_once(&mut data, now)
                    {
                        self.note(Event::Line(line), permit);
                    } else {
                        self.machine.handle_data(&mut data, now);
                    }
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
                Some(Incoming::Truncated) => {
                    self.incoming.push_front(Incoming::Eof);
                    self.machine
                        .handle_read_error(&TlsError::Truncated.into(), now);
                }
                None => {
                    let before = self.machine.state();
                    self.machine.handle_read_blocked(now);
                    return moved || before != self.machine.state();
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
        while self.held.is_none() {
            if self.at_once > 0
                && let Some(batch) = self.machine.poll_batch(now)
            {
                assert!(!batch.is_empty() && self.machine.poll_batch(now).is_none());
                self.held = Some((batch, 0));
                self.begin_frames(self.at_once);
                if !self.busy {
                    self.recall();
                }
                told = true;
                continue;
            }
            if !self.machine.has_event() {
                assert!(self.machine.poll_event(now).is_none());
                break;
            }
            let (event, permit) = self.machine.poll_event(now).expect("`has_event` said so");
            told |= !matches!(event, Event::Readable | Event::Writable);
            self.note(event, permit);
        }
        told
    }

    /// The session begins with so many more of the frames that it has.
    fn begin_frames(&mut self, most: usize) {
        let Some((batch, mut begun)) = self.held.take() else {
            return;
        };
        for _ in 0..most {
            let Some((event, permit)) = frame(&batch, begun) else {
                break;
            };
            begun += 1;
            self.note(event, permit);
        }
        self.held = Some((batch, begun));
    }

    /// The session is done with what it has begun with; the rest comes back.
    pub(super) fn recall(&mut self) {
        if let Some((_, begun)) = self.held.take() {
            self.machine.end_batch(begun, &mut self.now());
            assert!(!self.machine.has_batch());
        }
    }

    /// The session goes through all frames that it has.
    pub(super) fn go_on(&mut self) {
        self.begin_frames(usize::MAX);
        self.recall();
        self.drive();
    }

    fn note(&mut self, event: Event, permit: Permit) {
        assert!(self.ended.is_none(), "{event:?} after the end");
        self.trace.push(in_words(&event));
        if self.generous {
            self.machine.give_back(permit, &mut self.now());
        } else if !permit.is_none() {
            self.permits.push(permit);
        }
        match event {
            Event::Closed(_) | Event::ConnectFailed(_) => self.ended = Some(event),
            event => self.events.push(event),
        }
    }

    fn is_in_use(&self) -> bool {
        let state = self.machine.state();
        matches!(state, ConnectionState::Open | ConnectionState::HalfClosed)
    }

    /// What was told since the last look.
    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    /// The report, if it was told.
    pub(super) fn closed(&self) -> &ClosedDetail {
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
        Event::Urgent(byte) => format!("urgent {}", text(&[*byte])),
        Event::Adopted { unread, restarts } => {
            format!("adopted: {unread} bytes unread, {restarts} restarts")
        }
        Event::TlsStarted(tls) => format!("tls started: {tls}"),
        Event::Draining(deadline) => format!("draining: {deadline:?}"),
        Event::Disconnected(detail) => format!("disconnected: {detail}"),
        Event::Reconnecting { attempt, delay } => format!("reconnecting: {attempt} in {delay:?}"),
        Event::Closed(detail) => format!("closed: {detail}"),
        Event::ConnectFailed(error) => format!("connect failed: {:?}", error.kind),
    }
}

/// The frame at this position of a batch.
pub(super) fn frame(batch: &Batch, position: usize) -> Option<(Event, Permit)> {
    match batch.kind() {
        FrameKind::Line => {
            let (line, permit) = batch.line(position)?;
            Some((Event::Line(line), permit))
        }
        FrameKind::Data => {
            let (data, permit) = batch.body(position)?;
            Some((Event::Data(data), permit))
        }
        FrameKind::Message => {
            let (message, permit) = batch.body(position)?;
            Some((Event::Message(message), permit))
        }
    }
}

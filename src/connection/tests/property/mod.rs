//! Promises that hold whatever happens in whatever order.

mod checks;
mod naive;
mod workload;

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::connection::{Requested, WatchId, Watched};
use crate::error::{SendRefusal, SlotError};

use workload::{Finale, How, Outcome, Step, Workload, pieces, steady_kinds, workloads};

/// A connection under a workload, and beside it what must be true.
struct Witness {
    wire: Wire,
    interests: Interests,
    adopted: bool,
    session_gone: bool,
    /// So many of the bytes that came were delivered.
    cursor: usize,
    /// The receive that was armed last, and how often it completed.
    armed: Option<(Receive, u32)>,
    /// What is asked for beside the session.
    asked: Option<ReceiveKind>,
    /// The bytes of accepted sends.
    accepted: Vec<u8>,
    /// Who waits for which of them.
    watches: Vec<(WatchId, Range<usize>)>,
    /// Which of them are urgent, by their places.
    urgent: Vec<usize>,
    /// Accepted sends that want a notice, in order.
    tracked: Vec<Tracked>,
    /// So many of them were told to be sent.
    sent: usize,
    paused: bool,
    peer_finished: bool,
    security: Security,
    /// So many events were looked at.
    seen: usize,
}

/// What must be true of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Plain,
    /// Asked for: so many accepted bytes may leave in plain.
    Asked {
        plain: usize,
    },
    /// So many frames were delivered since.
    Secured {
        frames: usize,
    },
}

#[derive(Debug, Clone, Copy)]
struct Tracked {
    token: Token,
    bytes: usize,
    /// Where in the stream it ends.
    end: usize,
}

impl Witness {
    fn new(workload: &Workload) -> Self {
        let config = workload.config.clone();
        let mut wire = if workload.outbound {
            Wire::connecting(config)
        } else if let Some(within) = workload.secure {
            Wire::shaking(within, config)
        } else {
            Wire::accepted(config)
        };
        wire.machine.set_interests(workload.interests);
        wire.machine.set_carries_urgent(true);
        if !wire.shaking {
            wire.machine.handle_unadopted(&mut wire.now());
        }
        wire.generous = false;
        Self {
            wire,
            interests: workload.interests,
            adopted: false,
            session_gone: false,
            cursor: 0,
            armed: None,
            asked: None,
            accepted: Vec::new(),
            watches: Vec::new(),
            urgent: Vec::new(),
            tracked: Vec::new(),
            sent: 0,
            paused: false,
            peer_finished: false,
            security: match workload.secure {
                Some(_) => Security::Asked { plain: 0 },
                None => Security::Plain,
            },
            seen: 0,
        }
    }

    fn run(&mut self, step: Step) {
        let mut now = self.wire.now();
        if step.is_command() {
            self.wire.recall();
        }
        let machine = &mut self.wire.machine;
        match step {
            // A session comes behind the handshake.
            Step::Adopt if machine.state() == ConnectionState::Adopting && self.wire.shaking => {}
            Step::Adopt => self.adopt(),
            Step::Connected => {
                machine.handle_connected(None);
                machine.handle_unadopted(&mut now);
            }
            Step::Arm(receive) => {
                if machine.arm(&receive, &mut now).is_ok() {
                    self.armed = Some((receive, 0));
                }
            }
            Step::CancelReceive => {
                machine.cancel_receive();
            }
            Step::TryReceive(most) => self.try_receive(most),
            Step::Request(kind) => {
                let asked = Receive::once(kind.clone());
                if machine.request(&asked, &mut now).is_ok() {
                    self.asked = Some(kind);
                }
            }
            Step::Fetch => self.fetch(),
            Step::CancelRequest => {
                machine.cancel_request(&mut now);
            }
            Step::Watch(count) if machine.may_receive() => {
                let end = self.accepted.len();
                let start = end.saturating_sub(count);
                let watch = machine.watch_queued(end - start);
                self.watches.push((watch, start..end));
            }
            Step::Watch(_) => {}
            Step::Send { how, body, token } => self.send(how, body, token),
            Step::TrySend(body) => self.try_send(&body),
            Step::SetWriteLimits(high, low) => {
                let _ = machine.set_write_limits(high, low);
            }
            Step::PauseReading => machine.pause_reading(),
            Step::ResumeReading => machine.resume_reading(&mut now),
            Step::SetReadiness(readable, writable) => {
                let _ = machine.set_readiness(readable, writable, &mut now);
            }
            Step::GiveBack => {
                self.wire.give_back();
            }
            Step::WriteEof => {
                let _ = machine.write_eof();
            }
            Step::Close { flush, deadline } => {
                machine.close(Cause::LocalClose, flush, deadline, &mut now);
            }
            Step::CloseAfterPeer => machine.close_after_peer(&mut now),
            Step::Abort => {
                machine.abort(Cause::LocalAbort);
            }
            Step::SessionGone => {
                machine.handle_session_gone(Cause::SessionStopped, &mut now);
                self.session_gone = true;
            }
            Step::Incoming(piece) => self.wire.incoming.push_back(piece),
            Step::StartTls { within, elsewhere } => self.start_tls(within, elsewhere),
            Step::Handshake(outcome) => self.end_handshake(outcome),
            // The handshake would have to notice it.
            Step::NoticeEof if machine.is_securing() => {}
            Step::NoticeEof => {
                self.wire.incoming = [Incoming::Eof].into();
                machine.handle_eof(&mut now);
            }
            Step::Room(count) => self.wire.room = count,
            Step::Gulp(count) => self.wire.gulp = count,
            Step::BreakWriting => self.wire.writing_breaks(),
            Step::Awake(awake) => self.wire.awake = awake,
            Step::AtOnce { begun, busy } => {
                self.wire.at_once = begun;
                self.wire.busy = busy;
            }
            Step::GoOn => self.wire.go_on(),
            Step::Wait(time) => self.wire.wait(time),
        }
        self.wire.drive();
        self.look();
    }

    fn adopt(&mut self) {
        let mut now = self.wire.now();
        let machine = &mut self.wire.machine;
        let adopts = machine.state() == ConnectionState::Adopting;
        let armed_before = machine.snapshot().receiving;
        let outcome = machine.adopt(&mut now);
        if adopts {
            self.adopted = true;
            let first = self.wire.machine.config().first_receive.clone();
            if let (Some(first), Ok(()), false) = (first, outcome, armed_before) {
                self.armed = Some((first, 0));
            }
        }
    }

    fn start_tls(&mut self, within: Duration, elsewhere: bool) {
        let mut now = self.wire.now();
        let machine = &mut self.wire.machine;
        let begun = self.wire.held.as_ref().map_or(0, |(_, begun)| *begun);
        let pending = machine.batch_len().saturating_sub(begun);
        let held = machine.held();
        match machine.start_tls(within, pending, &mut now) {
            Ok(early) => {
                assert_eq!(self.security, Security::Plain);
                assert!(elsewhere || pending == 0);
                assert_eq!(self.wire.came[self.cursor..], early, "nothing is kept back");
                self.cursor = self.wire.came.len();
                let plain = self.accepted.len();
                self.security = Security::Asked { plain };
            }
            Err(StartTlsError::Plaintext { data }) => {
                assert_eq!(self.wire.came[self.cursor..], data, "all of it");
                assert!(!data.is_empty());
                self.cursor = self.wire.came.len();
            }
            Err(_) => assert_eq!(machine.held(), held, "nothing has changed"),
        }
    }

    fn end_handshake(&mut self, outcome: Outcome) {
        if !self.wire.shaking {
            return;
        }
        match outcome {
            Outcome::Secured => {
                let came = self.wire.came.len();
                assert_eq!(self.cursor, came, "plain bytes wait to be delivered");
                self.security = Security::Secured { frames: 0 };
                self.wire.secured();
                self.wire.machine.handle_unadopted(&mut self.wire.now());
            }
            Outcome::Failed { linked } => self.wire.handshake_fails(TlsError::NotTls, linked),
            Outcome::Left => self.wire.handshake_fails(TlsError::HandshakeEof, true),
        }
    }

    fn try_receive(&mut self, most: usize) {
        let mut now = self.wire.now();
        if let Ok(Some(bytes)) = self.wire.machine.try_receive(most, &mut now) {
            assert!(bytes.len() <= most && !bytes.is_empty());
            assert!(self.wire.came[self.cursor..].starts_with(&bytes));
            self.cursor += bytes.len();
        }
    }

    fn fetch(&mut self) {
        let mut now = self.wire.now();
        match self.wire.machine.poll_request(&mut now) {
            Some(Requested::Frame(event)) => {
                let kind = self.asked.take().expect("it was asked for");
                self.cursor += naive::taken(&kind, &event, &self.wire.came[self.cursor..]);
            }
            Some(Requested::Finished(rest)) => {
                assert!(self.asked.take().is_some(), "it was asked for");
                assert_eq!(self.wire.came[self.cursor..], rest);
                self.cursor = self.wire.came.len();
            }
            None => {}
        }
    }

    fn send(&mut self, how: How, body: Vec<u8>, token: Option<u64>) {
        let token = token.map(Token);
        let machine = &mut self.wire.machine;
        let closed = matches!(
            machine.state(),
            ConnectionState::Closing | ConnectionState::Closed
        );
        let mut stream = body.clone();
        let refusal = match how {
            How::Borrowed => machine.send(&body[..], token).err().map(|error| {
                assert_eq!(error.payload, body);
                error.refusal
            }),
            How::Owned => machine.send(body.clone(), token).err().map(|error| {
                assert_eq!(error.payload, body);
                error.refusal
            }),
            How::Line => {
                stream.push(b'\n');
                machine.send_line(&body[..], token).err()
            }
            How::Message => {
                let length = u32::try_from(body.len()).unwrap();
                stream.splice(0..0, length.to_be_bytes());
                machine
                    .send_message(body.clone(), token)
                    .err()
                    .map(|error| {
                        assert_eq!(error.payload, body);
                        error.refusal
                    })
            }
            How::Many => {
                let parts: Vec<_> = body.chunks(5_000).map(Bytes::copy_from_slice).collect();
                machine.send_many(parts.clone(), token).err().map(|error| {
                    assert_eq!(error.payload, parts);
                    error.refusal
                })
            }
            How::Urgent => {
                stream = vec![b'!'];
                machine.send_urgent(b'!', token).err()
            }
            How::Slot => {
                let Ok(mut slot) = machine.take_slot() else {
                    return;
                };
                stream.truncate(slot.len());
                slot[..stream.len()].copy_from_slice(&stream);
                match machine.send_slot(slot, stream.len(), token) {
                    Ok(_) => None,
                    Err((error, slot)) => {
                        machine.return_slot(slot);
                        match error {
                            SlotError::Refused(refusal) => Some(refusal),
                            SlotError::BadSize { .. } => Some(SendRefusal::Empty),
                            SlotError::Busy => panic!("it was lent to us"),
                        }
                    }
                }
            }
        };
        match refusal {
            None => {
                assert!(!closed, "nothing is accepted any more");
                if matches!(how, How::Urgent) {
                    self.urgent.push(self.accepted.len());
                }
                self.accepted.extend_from_slice(&stream);
                self.tracked.extend(token.map(|token| Tracked {
                    token,
                    bytes: stream.len(),
                    end: self.accepted.len(),
                }));
            }
            Some(SendRefusal::Closed) => assert!(closed || self.wire.write_error.is_some()),
            Some(SendRefusal::MessageTooLong { .. }) => {}
            Some(refusal) => assert!(!closed, "{refusal}"),
        }
    }

    fn try_send(&mut self, body: &[u8]) {
        let machine = &mut self.wire.machine;
        if let Ok((count, _)) = machine.try_send(body) {
            let (high, _) = machine.snapshot().write_limits;
            assert!(count == 0 || machine.write_buffer_size() <= high.max(1));
            self.accepted.extend_from_slice(&body[..count]);
        }
    }

    /// Ends it, if it has not ended; it must then come to its end by itself as time goes by.
    fn finish(&mut self, finale: Finale, room: usize) {
        self.run(Step::CancelRequest);
        self.run(Step::Awake(true));
        self.wire.busy = false;
        self.run(Step::GoOn);
        self.wire.incoming.clear();
        self.run(Step::Room(room));
        self.run(Step::Handshake(Outcome::Secured));
        match finale {
            Finale::Close => self.run(Step::Close {
                flush: true,
                deadline: None,
            }),
            Finale::Abort => self.run(Step::Abort),
            Finale::SessionGone => self.run(Step::SessionGone),
            Finale::Eof => {
                self.run(Step::Connected);
                self.run(Step::Adopt);
                self.run(Step::NoticeEof);
            }
        }
        for _ in 0..100 {
            if self.wire.machine.is_over().is_some() {
                break;
            }
            let next = self.wire.machine.poll_timeout();
            let next = next.unwrap_or_else(|| panic!("stuck: {:?}", self.wire.machine));
            self.run(Step::Wait(next - self.wire.time));
            // What was not heard while TLS was under way is heard when it is in use.
            if matches!(finale, Finale::Eof) {
                self.run(Step::NoticeEof);
            }
        }
        assert!(self.wire.ended.is_some() && self.wire.machine.is_told());
        self.check_watches();
    }

    /// Nothing changes after the end. The wire itself sees to it that nothing is told.
    fn stay_over(&mut self) {
        let (taken, time) = (self.wire.taken.len(), seconds(1_000));
        let mut now = self.wire.now();
        let machine = &mut self.wire.machine;
        let closed = SendRefusal::Closed;
        assert_eq!(machine.send("x", None).unwrap_err().refusal, closed);
        assert_eq!(machine.send_line("x", None), Err(closed));
        assert_eq!(machine.send_message("x", None).unwrap_err().refusal, closed);
        let parts = vec![Bytes::from("x")];
        assert_eq!(machine.send_many(parts, None).unwrap_err().refusal, closed);
        assert_eq!(machine.try_send(b"x"), Err(closed));
        assert_eq!(machine.take_slot(), Err(SlotError::Refused(closed)));
        assert_eq!(machine.write_eof(), Err(closed));
        let receive = Receive::once(LINE);
        assert_eq!(machine.arm(&receive, &mut now), Err(ArmError::Closed));
        assert_eq!(machine.try_receive(1, &mut now), Err(ArmError::Closed));
        let tls = machine.start_tls(time, 0, &mut now);
        assert_eq!(tls, Err(StartTlsError::Closed));
        assert!(!machine.close(Cause::LocalClose, true, None, &mut now));
        assert!(!machine.abort(Cause::LocalAbort));
        self.run(Step::SetWriteLimits(Some(0), None));
        self.run(Step::SetWriteLimits(Some(1_000_000), None));
        self.run(Step::ResumeReading);
        self.run(Step::GiveBack);
        self.run(Step::CloseAfterPeer);
        self.run(Step::Adopt);
        self.run(Step::SetReadiness(true, true));
        self.run(Step::Wait(time));
        assert_eq!(self.wire.taken.len(), taken);
    }
}

/// How a stream stops.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Eof,
    Reset,
    BrokenPipe,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// AIO-35, XAS-19, XAS-48, XAS-50, AIO-10, AIO-12: whatever happens in whatever order, no byte
    /// and no notice is lost or told twice, `Opened` comes first, the end comes once and last, and
    /// it does come.
    #[test]
    fn every_life_is_told_completely_and_ends_once(workload in workloads()) {
        let mut witness = Witness::new(&workload);
        if !workload.outbound && workload.steps.len() % 4 > 0 {
            witness.run(Step::Adopt);
        }
        for step in workload.steps {
            witness.run(step);
        }
        witness.finish(workload.finale, workload.room);
        witness.stay_over();
    }

    /// XAS-36, XAS-43, ACO-08, ACO-09, AC-26: however the bytes come and the session takes its time,
    /// every complete frame is delivered before the end, and the rest is unread.
    #[test]
    fn frames_are_those_of_a_naive_splitter_whatever_ends_the_stream(
        kind in steady_kinds(),
        pieces in prop::collection::vec((pieces(), any::<bool>()), 0..20),
        read_credit in 1_usize..4,
        read_window in 1_usize..100,
        at_once in 0_usize..4,
        stop in prop::sample::select(vec![Stop::Eof, Stop::Reset, Stop::BrokenPipe]),
    ) {
        let settings = config(|config| {
            config.read_credit = read_credit;
            config.read_window = read_window;
            config.max_line = 1 << 20;
            config.max_message = usize::try_from(u32::MAX).unwrap();
        });
        let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), settings);
        wire.generous = false;
        wire.at_once = at_once;
        wire.receive(&Receive::always(kind.clone()));
        let stream: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
        for (piece, awake) in pieces {
            wire.awake = awake;
            wire.peer_sends(piece);
        }
        match stop {
            Stop::Eof => wire.peer_finishes(),
            Stop::Reset => wire.peer_resets(),
            Stop::BrokenPipe => {
                wire.writing_breaks();
                wire.send("anybody there?");
            }
        }
        wire.awake = true;
        wire.drive();
        while !wire.permits.is_empty() {
            wire.give_back();
        }
        let (mut rest, mut expected) = (&stream[..], Vec::new());
        while let Some((body, end)) = naive::frame(&kind, rest) {
            expected.push(body);
            rest = &rest[end..];
        }
        let delivered: Vec<_> = wire.events.iter().filter_map(naive::body).collect();
        prop_assert_eq!(delivered, expected);
        prop_assert_eq!(&wire.closed().unread[..], rest);
    }
}

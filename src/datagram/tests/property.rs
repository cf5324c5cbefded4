//! Promises that hold whatever happens in whatever order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Send { size: usize, named: bool },
    Ask,
    Resolved { which: usize, found: bool },
    Transmit(usize),
    Refused,
    NoRoom,
    Arrive(Vec<usize>),
    OneShot(usize),
    TakeOne,
    Events(usize),
    GiveBack,
    Pause(bool),
    Limits(usize, usize),
    Error(bool),
    Crash,
    Successor,
    Wait(u64),
    Close { flush: bool },
    Abort,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..60, prop::bool::weighted(0.3))
            .prop_map(|(size, named)| Step::Send { size, named }),
        2 => Just(Step::Ask),
        3 => (0_usize..4, any::<bool>()).prop_map(|(which, found)| Step::Resolved { which, found }),
        5 => (0_usize..6).prop_map(Step::Transmit),
        1 => Just(Step::Refused),
        1 => Just(Step::NoRoom),
        4 => prop::collection::vec(0_usize..300, 0..8).prop_map(Step::Arrive),
        1 => (0_usize..3).prop_map(Step::OneShot),
        1 => Just(Step::TakeOne),
        4 => (0_usize..8).prop_map(Step::Events),
        3 => Just(Step::GiveBack),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => (0_usize..100, 0_usize..100).prop_map(|(high, low)| Step::Limits(high, low)),
        1 => any::<bool>().prop_map(Step::Error),
        1 => Just(Step::Crash),
        1 => Just(Step::Successor),
        2 => (0_u64..700).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(|flush| Step::Close { flush }),
    ];
    let last = prop_oneof![
        any::<bool>().prop_map(|flush| Step::Close { flush }),
        Just(Step::Abort)
    ];
    (prop::collection::vec(step, 0..120), last).prop_map(|(mut steps, last)| {
        steps.push(last);
        steps
    })
}

/// A machine under a workload, and beside it what must be true.
struct Witness {
    bench: Bench,
    /// Accepted datagrams that are ready, in order: token and size.
    ready: VecDeque<(u64, usize)>,
    /// Those that wait for a name.
    named: Vec<(u64, usize)>,
    asked: Vec<(Lookup, u64)>,
    outcomes: Vec<Option<&'static str>>,
    /// Outcomes in the order in which they came to be, to be told in that order.
    expected: VecDeque<String>,
    came: usize,
    /// Datagrams that wait, by number.
    waiting: VecDeque<usize>,
    permits: VecDeque<Permit>,
    marks: (usize, usize),
    paused: bool,
    told_paused: bool,
    closed: bool,
}

impl Witness {
    fn new() -> Self {
        let bench = Bench::open(|config| {
            config.recv_size = 256;
            config.recv_datagrams = 5;
            config.recv_bytes = 700;
            config.send_datagrams = 12;
            config.send_bytes = 200;
            config.write_high = 80;
            config.write_low = 20;
            config.budget = 4;
            config.max_notices = 16;
            config.crash = CrashPolicy::Restart {
                max: 100,
                within: Duration::from_secs(1),
            };
        });
        Self {
            bench,
            ready: VecDeque::new(),
            named: Vec::new(),
            asked: Vec::new(),
            outcomes: Vec::new(),
            expected: VecDeque::new(),
            came: 0,
            waiting: VecDeque::new(),
            permits: VecDeque::new(),
            marks: (80, 20),
            paused: false,
            told_paused: false,
            closed: false,
        }
    }

    fn size(&self) -> usize {
        let ready: usize = self.ready.iter().map(|(_, size)| size).sum();
        ready + self.named.iter().map(|(_, size)| size).sum::<usize>()
    }

    fn outcome(&mut self, token: u64, outcome: &'static str) {
        let place = usize::try_from(token).unwrap();
        assert_eq!(self.outcomes[place], None, "one outcome");
        self.outcomes[place] = Some(outcome);
        self.expected.push_back(format!("{outcome} {token}"));
    }

    fn level(&mut self) {
        let size = self.size();
        if !self.bench.machine.is_over() {
            self.paused = if self.paused {
                size > self.marks.1
            } else {
                size > self.marks.0
            };
        }
    }

    fn run(&mut self, step: Step) {
        let mut now = self.bench.now();
        match step {
            Step::Send { size, named } => self.send(size, named),
            Step::Ask => {
                if let Some((lookup, name)) = self.bench.machine.poll_resolve() {
                    self.asked.push((lookup, name.parse().unwrap()));
                }
            }
            Step::Resolved { which, found } => self.resolved(which, found),
            Step::Transmit(count) => {
                self.bench.machine.begin_round();
                for done in 0..count {
                    let Some(outgoing) = self.bench.machine.poll_send() else {
                        break;
                    };
                    assert!(done < 4, "within the budget");
                    let (token, size) = self.ready.pop_front().expect("it was ready");
                    assert_eq!(outgoing.data.len(), size);
                    self.outcome(token, "sent");
                    self.bench.machine.handle_sent(&mut now);
                }
            }
            Step::Refused => {
                self.bench.machine.begin_round();
                if self.bench.machine.poll_send().is_some() {
                    let (token, _) = self.ready.pop_front().unwrap();
                    self.outcome(token, "failed");
                    let error = DatagramError::io(&io::Error::from_raw_os_error(90));
                    self.bench.machine.handle_send_failed(error, &mut now);
                }
            }
            Step::NoRoom => {
                self.bench.machine.begin_round();
                if self.bench.machine.poll_send().is_some() {
                    let queued = self.bench.machine.queued();
                    self.bench.machine.handle_no_room(&mut now);
                    if self.bench.machine.queued() < queued {
                        let (token, _) = self.ready.pop_front().unwrap();
                        self.outcome(token, "failed");
                    }
                }
            }
            Step::Arrive(sizes) => self.arrive(&sizes),
            Step::OneShot(count) => self.bench.machine.expect_one(count),
            Step::TakeOne => {
                if let Some(received) = self.bench.machine.take_datagram() {
                    let number = self.waiting.pop_front().unwrap();
                    assert_eq!(received.from, address(u16::try_from(number).unwrap()));
                }
            }
            Step::Events(count) => {
                for _ in 0..count {
                    self.event();
                }
            }
            Step::GiveBack => {
                if let Some(permit) = self.permits.pop_front() {
                    self.bench.machine.give_back(permit, &mut now);
                }
            }
            Step::Pause(true) => self.bench.machine.pause_reading(),
            Step::Pause(false) => self.bench.machine.resume_reading(),
            Step::Limits(high, low) => {
                let outcome = self.bench.machine.set_write_limits(Some(high), Some(low));
                assert_eq!(outcome.is_ok(), high >= low);
                if outcome.is_ok() {
                    self.marks = (high, low);
                }
            }
            Step::Error(same) => {
                let error = io::Error::from_raw_os_error(if same { 111 } else { 1 });
                self.bench.machine.handle_error(IoOperation::Read, &error);
            }
            Step::Crash if self.bench.machine.is_open() && !self.bench.machine.is_vacant() => {
                let cause = Cause::SessionPanicked {
                    event: None,
                    text: String::new(),
                };
                assert!(self.bench.machine.handle_session_gone(cause, &mut now));
                // The next one starts from nothing.
                self.permits.clear();
                self.told_paused = false;
            }
            Step::Crash => {}
            Step::Successor => self
                .bench
                .machine
                .handle_successor(Interests::ALL, &mut now),
            Step::Wait(millis) => {
                self.bench.wait(Duration::from_millis(millis));
            }
            Step::Close { flush } => {
                let cause = Cause::LocalClose;
                self.bench.machine.close(cause, flush, None, &mut now);
            }
            Step::Abort => {
                self.bench.machine.abort(Cause::LocalAbort);
            }
        }
        if self.bench.machine.is_over() {
            self.all_dropped();
        }
        self.level();
        self.look();
    }

    fn send(&mut self, size: usize, named: bool) {
        let token = self.outcomes.len() as u64;
        let to = if named {
            Destination::Name(token.to_string().into())
        } else {
            address(1).into()
        };
        let queued = self.bench.machine.queued();
        let mut now = self.bench.now();
        let closed = !self.bench.machine.is_open();
        let data = Bytes::from(vec![0; size]);
        match self
            .bench
            .machine
            .send(data, Some(to), Some(Token(token)), &mut now)
        {
            Ok(()) => {
                assert!(!closed && queued < 12);
                self.outcomes.push(None);
                if named {
                    self.named.push((token, size));
                } else {
                    self.ready.push_back((token, size));
                }
            }
            Err((DatagramRefusal::Closed, back)) => {
                assert!(closed && back.len() == size);
            }
            Err((refusal, back)) => {
                assert!(!closed, "{refusal}");
                assert_eq!(back.len(), size);
            }
        }
    }

    fn resolved(&mut self, which: usize, found: bool) {
        if which >= self.asked.len() {
            return;
        }
        let (lookup, token) = self.asked.remove(which);
        let outcome = if found {
            Ok(address(2))
        } else {
            Err(DatagramError::Unresolved {
                kind: io::ErrorKind::NotFound,
            })
        };
        if let Some(place) = self.named.iter().position(|(named, _)| *named == token) {
            let named = self.named.remove(place);
            if found {
                self.ready.push_back(named);
            } else {
                self.outcome(token, "failed");
            }
        }
        let mut now = self.bench.now();
        self.bench
            .machine
            .handle_resolved(lookup, outcome, &mut now);
    }

    fn arrive(&mut self, sizes: &[usize]) {
        let mut now = self.bench.now();
        self.bench.machine.begin_round();
        for (done, size) in sizes.iter().enumerate() {
            let wish = self.bench.machine.read_wish();
            assert_eq!(self.bench.machine.wants_datagram(), wish > 0);
            if wish == 0 {
                return;
            }
            assert!(self.bench.machine.is_open() && wish + done <= 4);
            let (kept, truncated) = ((*size).min(256), *size > 256);
            let from = address(u16::try_from(self.came).unwrap());
            let data = Bytes::from(vec![0; kept]);
            self.bench
                .machine
                .handle_datagram(from, data, truncated, &mut now);
            self.waiting.push_back(self.came);
            self.came += 1;
        }
    }

    fn event(&mut self) {
        let mut now = self.bench.now();
        let promised = self.bench.machine.has_event();
        let Some((event, permit)) = self.bench.machine.poll_event(&mut now) else {
            assert!(!promised);
            return;
        };
        assert!(promised && !self.closed, "nothing comes behind the end");
        match event {
            DatagramEvent::Received { from, .. } => {
                self.permits.push_back(permit);
                let port = usize::from(from.inet().unwrap().port());
                let claimed = self.waiting.iter().position(|number| *number == port);
                self.waiting.remove(claimed.expect("it waits"));
            }
            DatagramEvent::Sent { token, .. } => self.told(format!("sent {}", token.0)),
            DatagramEvent::Failed { token, .. } => {
                self.told(format!("failed {}", token.unwrap().0));
            }
            DatagramEvent::WritePaused => {
                assert!(!std::mem::replace(&mut self.told_paused, true));
            }
            DatagramEvent::WriteResumed => {
                assert!(std::mem::replace(&mut self.told_paused, false));
            }
            DatagramEvent::Closed(detail) => {
                self.closed = true;
                if self.bench.machine.is_vacant() {
                    // There is nobody to be told more; the report has what was not sent.
                    let failed = |told: &&String| told.starts_with("failed");
                    let untold = self.expected.iter().filter(failed).count();
                    assert!(detail.unsent_tokens.len() <= untold);
                    self.expected.clear();
                }
            }
            DatagramEvent::Error { count, .. } => assert!(count > 0),
            DatagramEvent::Draining(_) | DatagramEvent::Adopted { .. } => {}
        }
    }

    fn told(&mut self, outcome: String) {
        assert_eq!(self.expected.pop_front(), Some(outcome), "in order");
    }

    /// Everything that was queued has failed, the ready ones first.
    fn all_dropped(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        let named = std::mem::take(&mut self.named);
        for (token, _) in ready.into_iter().chain(named) {
            self.outcome(token, "failed");
        }
    }

    fn look(&self) {
        let machine = &self.bench.machine;
        assert_eq!(machine.write_buffer_size(), self.size());
        assert_eq!(machine.queued(), self.ready.len() + self.named.len());
        assert!(machine.queued() <= 12 && self.size() <= 200);
        if !machine.is_over() {
            assert_eq!(machine.is_write_paused(), self.paused, "exact marks");
        }
        let out = machine.frames_out() as usize;
        // One more for a one-shot receiver.
        assert!(self.waiting.len() + out <= 5 + 1);
        assert!(machine.held() <= 700 + 256 + 200);
    }

    /// Takes everything that is to be told.
    fn finish(&mut self) {
        self.run(Step::Successor);
        while self.bench.machine.has_event() {
            self.event();
        }
        while !self.bench.machine.is_over() {
            self.run(Step::Ask);
            self.run(Step::Resolved {
                which: 0,
                found: true,
            });
            self.run(Step::Wait(500));
            self.run(Step::Transmit(4));
            self.run(Step::Events(20));
        }
        while self.bench.machine.has_event() {
            self.event();
        }
        assert!(self.closed && self.bench.machine.is_told());
        assert!(self.expected.is_empty(), "{:?}", self.expected);
        assert!(self.outcomes.iter().all(Option::is_some));
        let counts = self.bench.machine.counts();
        assert_eq!(counts.sent + counts.failed, self.outcomes.len() as u64);
        assert_eq!(counts.unread, self.waiting.len() as u64);
    }
}

proptest! {
    /// XAS-60, XAS-61, XAS-64, AIO-16, T-17.
    #[test]
    fn every_datagram_has_one_outcome_and_every_bound_holds(steps in steps()) {
        let mut witness = Witness::new();
        for step in steps {
            witness.run(step);
        }
        witness.finish();
    }
}

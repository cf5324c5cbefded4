//! Slow peers: least rates, frame deadlines, and who is to blame for a silence.

use proptest::prelude::*;

use super::*;
use crate::config::RateRule;
use crate::reason::{ClosedReason, TimeoutKind};

const TENTH: Duration = Duration::from_millis(100);

/// Ten bytes a second, counted over ten seconds: a hundred in each window.
const RATE: Option<RateRule> = Some(RateRule::new(10, seconds(10)));

const READ_RATE: Cause = Cause::Timeout {
    kind: TimeoutKind::ReadRate,
    after: seconds(10),
};

const WRITE_RATE: Cause = Cause::Timeout {
    kind: TimeoutKind::WriteRate,
    after: seconds(10),
};

/// A connection that has to move a hundred bytes in ten seconds, either way, and has no other clock.
fn paced(change: impl FnOnce(&mut ConnectionConfig)) -> Wire {
    Wire::open(config(|config| {
        config.read_rate = RATE;
        config.write_rate = RATE;
        config.frame_timeout = None;
        config.flush_timeout = seconds(1_000);
        change(config);
    }))
}

fn is_over(wire: &Wire) -> bool {
    wire.ended.is_some()
}

#[test]
fn a_frame_that_trickles_in_is_given_up_at_the_end_of_its_window() {
    let mut wire = paced(|_| {});
    wire.receive(&Receive::always(LINE));
    wire.wait(seconds(100));
    assert_eq!(wire.told(), NOTHING, "no frame has begun");
    wire.peer_sends("G");
    for _ in 0..9 {
        wire.wait(seconds(1));
        wire.peer_sends("x");
    }
    assert_eq!(wire.told(), NOTHING);
    wire.wait(seconds(1));
    assert_eq!(
        wire.told(),
        ["closed: read rate timeout after 10s, 10 bytes unread"]
    );
    assert_eq!(wire.closed().cause, READ_RATE);
    assert_eq!(wire.closed().cause.reason(), ClosedReason::Timeout);
    assert!(wire.finished, "the peer is told in good order");
}

/// It is judged window by window: what a fast beginning brought does not count for ever.
#[test]
fn each_window_must_bring_enough_by_itself() {
    let mut wire = paced(|_| {});
    wire.receive(&Receive::once(exact(10_000)));
    wire.peer_sends("x".repeat(5_000));
    wire.wait(seconds(5));
    wire.peer_sends("x".repeat(2_000));
    wire.wait(seconds(14));
    assert!(!is_over(&wire), "the first window brought enough");
    wire.wait(seconds(1));
    assert_eq!(wire.closed().cause, READ_RATE);
}

#[test]
fn a_long_frame_at_a_fair_rate_takes_as_many_windows_as_it_needs() {
    let mut wire = paced(|_| {});
    wire.receive(&Receive::once(exact(2_000)));
    for _ in 0..200 {
        wire.peer_sends("x".repeat(10));
        wire.wait(seconds(1));
    }
    assert_eq!(wire.told().len(), 1);
    assert_eq!(wire.machine.poll_timeout(), None);
}

/// The usual path: no clock is set, and the time is not even asked for.
#[test]
fn whole_frames_and_whole_answers_need_no_clock() {
    let mut machine = Connection::accepted(Arc::new(config(|_| {})));
    let mut now = Now::ask(|| panic!("nobody needs the time"));
    machine.set_interests(Interests::ALL);
    machine.adopt(&mut now).unwrap();
    machine.arm(&Receive::always(LINE), &mut now).unwrap();
    for _ in 0..3 {
        machine.handle_data(&mut BytesMut::from("a line\n"), &mut now);
        machine.handle_read_blocked(&mut now);
        while let Some((_, permit)) = machine.poll_event(&mut now) {
            machine.give_back(permit, &mut now);
        }
        machine.send("an answer\n", None).unwrap();
        machine.handle_written(10, &mut now);
        assert_eq!(machine.poll_timeout(), None);
    }
}

/// Where no frame can be unfinished there is nothing to wait for, and nothing armed means nothing
/// wanted.
#[test]
fn what_has_no_unfinished_form_is_exempt() {
    for kind in [ReceiveKind::Available, ReceiveKind::UpTo(size(2))] {
        let mut wire = paced(|_| {});
        wire.receive(&Receive::always(kind));
        for _ in 0..5 {
            wire.peer_sends("x");
            assert_eq!(wire.machine.poll_timeout(), None);
            wire.wait(seconds(20));
        }
        assert!(!is_over(&wire));
    }
    let mut wire = paced(|_| {});
    wire.receive(&Receive::once(exact(1)));
    wire.peer_sends("ab");
    wire.wait(seconds(100));
    assert_eq!(wire.told(), ["data a"]);
}

#[test]
fn the_beginning_of_a_frame_behind_whole_ones_is_clocked_once_they_are_taken() {
    for at_once in [0, 9] {
        let mut wire = paced(|_| {});
        wire.at_once = at_once;
        wire.awake = false;
        wire.receive(&Receive::always(LINE));
        wire.peer_sends("a\nb\nc");
        wire.wait(seconds(100));
        assert_eq!(wire.machine.poll_timeout(), None, "a frame waits for us");
        wire.awake = true;
        wire.drive();
        assert_eq!(wire.told(), ["line a", "line b"]);
        wire.wait(seconds(10));
        assert_eq!(wire.closed().cause, READ_RATE, "at once: {at_once}");
    }
}

#[test]
fn a_frame_that_is_complete_has_no_clock_and_the_next_one_has_its_own() {
    let mut wire = paced(|config| config.frame_timeout = Some(seconds(15)));
    wire.receive(&Receive::always(LINE));
    for _ in 0..10 {
        wire.peer_sends("be");
        wire.wait(seconds(9));
        wire.peer_sends("gun\nbe");
        assert_eq!(wire.machine.poll_timeout(), Some(wire.time + seconds(10)));
        wire.wait(seconds(9));
        wire.peer_sends("gun\n");
        assert_eq!(wire.told(), ["line begun", "line begun"]);
        assert_eq!(wire.machine.poll_timeout(), None);
    }
}

#[test]
fn a_frame_that_nobody_waits_for_any_more_has_no_clock() {
    let mut wire = paced(|config| config.frame_timeout = Some(seconds(15)));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("be");
    wire.machine.cancel_receive();
    assert_eq!(wire.machine.poll_timeout(), None);
    wire.receive(&report_after(seconds(1), Receive::once(LINE)));
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["idle: receive"]);
    assert_eq!(wire.machine.poll_timeout(), None);
    wire.receive(&Receive::once(LINE));
    assert!(wire.machine.poll_timeout().is_some());
    wire.peer_finishes();
    assert_eq!(wire.told(), ["peer finished"]);
    let half_closed = wire.time + seconds(60);
    assert_eq!(wire.machine.poll_timeout(), Some(half_closed));
}

/// However fast a line without an end comes.
#[test]
fn a_frame_must_be_complete_in_time_whatever_the_rate() {
    let mut wire = paced(|config| config.frame_timeout = Some(seconds(60)));
    wire.receive(&Receive::always(LINE));
    for _ in 0..60 {
        assert!(!is_over(&wire));
        wire.peer_sends("x".repeat(100));
        wire.wait(seconds(1));
    }
    let kind = TimeoutKind::Frame;
    let after = seconds(60);
    assert_eq!(wire.closed().cause, Cause::Timeout { kind, after });
    assert_eq!(wire.closed().unread.len(), 6_000);
}

#[test]
fn time_in_which_reading_was_paused_is_not_the_peers() {
    let mut wire = paced(|config| config.frame_timeout = Some(seconds(60)));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("begun");
    wire.machine.pause_reading();
    wire.wait(seconds(599));
    assert_eq!(wire.told(), NOTHING);
    wire.machine.resume_reading(&mut wire.now());
    wire.wait(Duration::from_millis(9_999));
    assert_eq!(
        wire.told(),
        NOTHING,
        "the window begins with the resumption"
    );
    wire.peer_sends("x".repeat(100));
    for _ in 0..4 {
        wire.wait(seconds(10));
        wire.peer_sends("x".repeat(100));
    }
    wire.wait(Duration::from_millis(9_999));
    assert_eq!(wire.told(), NOTHING, "and so does the time of the frame");
    wire.wait(seconds(1));
    assert!(is_over(&wire));
}

/// Nobody looks for longer than the window; then all that the peer did meanwhile is there at once.
#[test]
fn what_moved_while_our_thread_was_busy_counts_for_the_peer() {
    let mut wire = paced(|_| {});
    wire.receive(&Receive::once(exact(1_000)));
    wire.peer_sends("x");
    for _ in 0..5 {
        wire.time += seconds(30);
        wire.peer_sends("x".repeat(100));
        assert_eq!(wire.machine.state(), ConnectionState::Open);
    }
    wire.time += seconds(30);
    wire.drive();
    assert_eq!(wire.closed().cause, READ_RATE);

    let mut wire = paced(|_| {});
    wire.takes(0);
    wire.send(&"x".repeat(1_000));
    for _ in 0..5 {
        wire.time += seconds(30);
        wire.takes(100);
        assert_eq!(wire.machine.state(), ConnectionState::Open);
    }
    wire.time += seconds(30);
    wire.drive();
    assert_eq!(wire.closed().cause, WRITE_RATE);
}

#[test]
fn a_peer_that_takes_nothing_is_reset_and_what_was_not_sent_is_counted() {
    let mut wire = paced(|_| {});
    wire.send("taken");
    wire.wait(seconds(100));
    assert_eq!(wire.machine.poll_timeout(), None, "nothing waits");
    wire.room = 4;
    wire.send_tracked("half", 1);
    wire.send_tracked("stuck", 2);
    wire.wait(Duration::from_millis(9_999));
    assert_eq!(wire.told(), ["sent 1: 4 bytes"]);
    wire.wait(Duration::from_millis(1));
    assert_eq!(
        wire.told(),
        ["closed: write rate timeout after 10s, 5 bytes unsent"]
    );
    assert_eq!(wire.closed().cause, WRITE_RATE);
    assert_eq!(wire.closed().unsent_tokens, [Token(2)]);
    assert_eq!(wire.machine.is_over(), Some(true), "a reset");
    assert!(!wire.finished);
}

#[test]
fn a_peer_that_takes_enough_lives_however_long_it_needs() {
    let mut wire = paced(|_| {});
    wire.takes(0);
    wire.send(&"x".repeat(10_000));
    for _ in 0..99 {
        wire.wait(seconds(10) - TENTH);
        wire.takes(100);
        wire.wait(TENTH);
    }
    assert!(!is_over(&wire));
    wire.takes(100);
    assert_eq!(wire.machine.poll_timeout(), None, "nothing waits any more");
    wire.takes(0);
    wire.send("x");
    assert_eq!(wire.machine.poll_timeout(), Some(wire.time + seconds(10)));
}

/// More output is no movement, and neither is a peer that sends.
#[test]
fn only_bytes_that_are_taken_count_for_a_write_window() {
    let mut wire = paced(|_| {});
    wire.receive(&Receive::always(ReceiveKind::Available));
    wire.takes(0);
    for _ in 0..10 {
        assert!(!is_over(&wire));
        wire.send(&"x".repeat(1_000));
        wire.peer_sends("y".repeat(1_000));
        wire.wait(seconds(1));
    }
    assert_eq!(wire.closed().cause, WRITE_RATE);
    assert_eq!(wire.closed().unsent, 10_000);
}

#[test]
fn a_close_that_flushes_is_cut_short_when_the_peer_takes_nothing() {
    let mut wire = paced(|_| {});
    wire.takes(0);
    wire.send("stuck");
    wire.wait(seconds(9));
    wire.close();
    wire.wait(seconds(9));
    assert_eq!(wire.told(), NOTHING, "closing has a window of its own");
    wire.wait(seconds(1));
    assert_eq!(wire.closed().cause, Cause::LocalClose);
    assert_eq!(wire.closed().cut_short, Some(WRITE_RATE));
    assert_eq!(wire.closed().unsent, 5);
}

#[test]
fn writing_that_is_broken_has_no_clock() {
    let mut wire = paced(|_| {});
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send("stuck");
    assert_eq!(wire.machine.poll_timeout(), Some(wire.time + seconds(10)));
    let broken = io::ErrorKind::BrokenPipe.into();
    wire.machine.handle_write_error(&broken, &mut wire.now());
    let half_closed = wire.time + seconds(60);
    assert_eq!(wire.machine.poll_timeout(), Some(half_closed));
}

#[test]
fn no_rule_is_no_clock() {
    let mut wire = paced(|config| {
        config.read_rate = None;
        config.write_rate = None;
    });
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send("stuck");
    wire.peer_sends("begun");
    assert_eq!(wire.machine.poll_timeout(), None);
}

/// The age counts from adoption, and nothing that happens makes it younger.
#[test]
fn a_connection_at_the_end_of_its_life_closes_and_flushes() {
    let limit = |config: &mut ConnectionConfig| config.max_lifetime = Some(seconds(100));
    let mut wire = Wire::accepted(config(limit));
    wire.wait(seconds(50));
    wire.adopt();
    wire.receive(&Receive::always(LINE));
    for _ in 0..99 {
        wire.wait(seconds(1));
        wire.peer_sends("x\n");
        wire.send("y");
    }
    wire.takes(0);
    wire.send_tracked("last", 1);
    wire.told();
    wire.wait(seconds(1));
    assert_eq!(wire.told(), NOTHING, "it flushes first");
    assert_eq!(wire.machine.state(), ConnectionState::Closing);
    wire.takes(4);
    let last = ["sent 1: 4 bytes", "closed: lifetime timeout after 100s"];
    assert_eq!(wire.told(), last);
    assert_eq!(wire.closed().cause.reason(), ClosedReason::Timeout);
    assert!(wire.finished);
}

/// What happens to a direction between two looks at the clock.
#[derive(Debug, Clone, Copy)]
enum Move {
    Bytes(usize),
    Wait(u32),
    Pause,
    Resume,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0_usize..120).prop_map(Move::Bytes),
        4 => (1_u32..150).prop_map(Move::Wait),
        1 => Just(Move::Pause),
        2 => Just(Move::Resume),
    ];
    prop::collection::vec(one, 0..60)
}

/// The same windows, by hand: how long one has been open in tenths of a second, and what it brought.
#[derive(Debug, Default)]
struct Naive {
    age: u32,
    brought: usize,
    paused: bool,
    /// What waits in the system meanwhile.
    held: usize,
    over: bool,
}

impl Naive {
    fn pass(&mut self, step: Move) {
        match step {
            Move::Bytes(count) if self.paused => self.held += count,
            Move::Bytes(count) => self.brought += count,
            Move::Pause => self.paused = true,
            Move::Resume => {
                if std::mem::take(&mut self.paused) {
                    (self.age, self.brought) = (0, std::mem::take(&mut self.held));
                }
            }
            Move::Wait(tenths) => {
                for _ in 0..tenths {
                    self.age += 1;
                    if self.age == 100 {
                        self.over |= !self.paused && self.brought < 100;
                        (self.age, self.brought) = (0, 0);
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn read_windows_are_judged_as_one_would_by_hand(moves in moves()) {
        let mut wire = paced(|_| {});
        let mut naive = Naive::default();
        wire.receive(&Receive::once(exact(1_000_000)));
        wire.peer_sends("x");
        for step in moves {
            naive.pass(step);
            match step {
                Move::Bytes(0) => {}
                Move::Bytes(count) => wire.peer_sends(vec![b'x'; count]),
                Move::Wait(tenths) => wire.wait(TENTH * tenths),
                Move::Pause => wire.machine.pause_reading(),
                Move::Resume => {
                    wire.machine.resume_reading(&mut wire.now());
                    wire.drive();
                }
            }
            prop_assert_eq!(is_over(&wire), naive.over);
            if naive.over {
                prop_assert_eq!(&wire.closed().cause, &READ_RATE);
                break;
            }
        }
    }

    /// A pause of reading is nothing to a peer that does not take what it is sent.
    #[test]
    fn write_windows_are_judged_as_one_would_by_hand(moves in moves()) {
        let mut wire = paced(|_| {});
        let mut naive = Naive::default();
        wire.takes(0);
        wire.send(&"x".repeat(1_000_000));
        for step in moves {
            match step {
                Move::Bytes(count) => wire.takes(count),
                Move::Wait(tenths) => wire.wait(TENTH * tenths),
                Move::Pause => wire.machine.pause_reading(),
                Move::Resume => wire.machine.resume_reading(&mut wire.now()),
            }
            if !matches!(step, Move::Pause | Move::Resume) {
                naive.pass(step);
            }
            prop_assert_eq!(is_over(&wire), naive.over);
            if naive.over {
                prop_assert_eq!(&wire.closed().cause, &WRITE_RATE);
                break;
            }
        }
    }
}

/// As after a pause: what others held back is not the peer's slowness.
#[test]
fn a_frame_has_all_its_time_again_when_reading_is_no_longer_held() {
    let mut wire = Wire::open(config(|config| config.frame_timeout = Some(seconds(10))));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("half");
    wire.machine.hold_reading();
    wire.wait(seconds(9));
    wire.machine.release_reading(&mut wire.now());
    wire.wait(seconds(9));
    assert_eq!(wire.told(), NOTHING);
    wire.wait(seconds(1));
    assert_eq!(
        wire.told(),
        ["closed: frame timeout after 10s, 4 bytes unread"]
    );
}

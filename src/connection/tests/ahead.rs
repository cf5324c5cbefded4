//! Sends that were accepted ahead of the queue: they are refused, counted, told and lost as others are.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::connection::{Access, Watched};
use crate::error::SendRefusal;
use crate::line::LineEnding;

/// A connection in use whose socket takes nothing.
fn stalled(settings: ConnectionConfig) -> Wire {
    let mut wire = Wire::open(settings);
    wire.takes(0);
    wire
}

/// Pauses above 10 bytes, goes on at 4, and holds 16.
fn small() -> ConnectionConfig {
    config(|config| {
        (config.write_high, config.write_low) = (10, 4);
        config.write_capacity = 16;
    })
}

fn room(wire: &Wire) -> usize {
    wire.machine.room_ahead().0
}

/// Bytes that were accepted ahead pass the queue where they may, as far as the socket takes them; the rest is
/// queued.
fn pass(wire: &mut Wire, bytes: &[u8]) {
    let mut count = 0;
    if wire.machine.may_pass(bytes.len()) {
        count = bytes.len().min(wire.room).min(wire.gulp);
        wire.room -= count;
        wire.taken.extend_from_slice(&bytes[..count]);
    }
    wire.machine.handle_passed(count, &mut wire.now());
    if count < bytes.len() {
        wire.machine.queue_ahead(&bytes[count..]);
    }
}

/// Writing fails, and nobody has looked further.
fn breaks(wire: &mut Wire) {
    let error = io::ErrorKind::BrokenPipe.into();
    let mut now = wire.now();
    wire.machine.handle_write_error(&error, &mut now);
    assert!(wire.machine.write_fault().is_some());
}

#[test]
fn there_is_room_ahead_for_just_what_is_neither_refused_nor_told() {
    for (high, capacity) in [(10, 16), (16, 16), (0, 16), (10, 10)] {
        for queued in 0..=capacity {
            let settings = config(|config| {
                (config.write_high, config.write_low) = (high, 0);
                config.write_capacity = capacity;
            });
            let mut wire = stalled(settings.clone());
            if queued > 0 {
                wire.machine.send(vec![b'x'; queued], None).unwrap();
            }
            wire.drive();
            let paused = !wire.told().is_empty();
            assert_eq!(paused, queued > high);
            let room = room(&wire);
            if paused {
                assert_eq!(room, 0, "whoever is told to pause is to be asked");
                continue;
            }
            if room > 0 {
                wire.machine.send(vec![b'y'; room], None).unwrap();
                wire.drive();
                assert_eq!(wire.told(), NOTHING, "{high} {capacity} {queued}");
            }
            let refused = wire.machine.send("z", None).is_err();
            wire.drive();
            let paused = !wire.told().is_empty();
            assert!(refused || paused, "{high} {capacity} {queued}: not all");
        }
    }
}

#[test]
fn room_ahead_says_how_lines_end() {
    let wire = Wire::open(config(|config| config.line_ending = LineEnding::CrLf));
    assert_eq!(wire.machine.room_ahead().1, LineEnding::CrLf);
}

#[test]
fn there_is_room_ahead_only_while_sends_go_out() {
    let mut wire = Wire::accepted(small());
    assert_eq!(room(&wire), 0, "not adopted");
    wire.adopt();
    assert_eq!(room(&wire), 10);
    wire.receive(&Receive::always(LINE));
    wire.peer_finishes();
    assert_eq!(wire.machine.state(), ConnectionState::HalfClosed);
    assert_eq!(room(&wire), 10, "the peer has finished");
    wire.takes(0);
    wire.send("x");
    wire.machine.write_eof().unwrap();
    assert_eq!(room(&wire), 0, "it finishes");
    wire.takes(1);
    assert_eq!(room(&wire), 0, "it has finished");

    assert_eq!(room(&Wire::connecting(small())), 0, "connecting");
    let mut wire = stalled(small());
    wire.send("x");
    wire.close();
    assert_eq!(wire.machine.state(), ConnectionState::Closing);
    assert_eq!(room(&wire), 0, "closing");
    wire.takes(1);
    wire.peer_finishes();
    assert_eq!(room(&wire), 0, "closed");
    let mut wire = Wire::open(small());
    wire.abort();
    assert_eq!(room(&wire), 0, "aborted");
    let mut wire = Wire::open(small());
    wire.receive(&Receive::always(LINE));
    breaks(&mut wire);
    assert_eq!(room(&wire), 0, "broken");

    let machine = Connection::accepted(Arc::new(small())).with_access(Access::ReadOnly);
    let mut wire = Wire::new(machine);
    wire.adopt();
    assert_eq!(room(&wire), 0, "for reading only");
}

#[test]
fn what_was_accepted_ahead_is_queued_as_if_it_were_sent() {
    let mut wire = stalled(small());
    wire.send("12345");
    wire.machine.queue_ahead(b"67890");
    wire.drive();
    assert_eq!(
        (wire.told(), wire.machine.write_buffer_size()),
        (vec![], 10)
    );
    // As when others have sent meanwhile.
    wire.machine.queue_ahead(b"x");
    wire.drive();
    assert_eq!(wire.told(), ["write paused"]);
    wire.takes(11);
    assert_eq!(wire.told(), ["write resumed"]);
    assert_eq!(wire.taken, b"1234567890x");
}

#[test]
fn what_was_accepted_before_a_close_is_still_sent() {
    let mut wire = stalled(small());
    wire.send("sent ");
    wire.close();
    wire.machine.queue_ahead(b"too");
    wire.takes(usize::MAX);
    wire.peer_finishes();
    assert_eq!(wire.taken, b"sent too");
    assert_eq!(wire.closed().unsent, 0);
}

/// What the peer gets has no hole.
#[test]
fn what_was_accepted_before_a_close_that_drops_is_dropped_too() {
    let mut wire = stalled(small());
    wire.send("dropped ");
    let mut now = wire.now();
    wire.machine.close(Cause::LocalClose, false, None, &mut now);
    wire.machine.queue_ahead(b"too");
    wire.machine.queue_ahead(b"!");
    wire.takes(usize::MAX);
    wire.peer_finishes();
    assert_eq!(wire.taken, b"");
    assert_eq!(wire.closed().unsent, 12);
    assert_eq!(wire.closed().bytes_out, 0);
}

#[test]
fn what_was_accepted_before_an_end_is_unsent() {
    let mut wire = stalled(small());
    wire.awake = false;
    wire.send("lost ");
    wire.abort();
    wire.machine.queue_ahead(b"too");
    wire.machine.queue_ahead(b"!");
    assert_eq!(wire.machine.write_buffer_size(), 0);
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.closed().unsent, 9);
    wire.machine.queue_ahead(b"after the last word");
    assert_eq!(wire.machine.write_buffer_size(), 0);

    let mut wire = Wire::open(small());
    wire.receive(&Receive::always(LINE));
    wire.machine.send("lost ", None).unwrap();
    breaks(&mut wire);
    wire.machine.queue_ahead(b"too");
    wire.peer_finishes();
    assert_eq!(wire.closed().unsent, 8);
}

#[test]
fn only_what_nothing_stands_before_may_pass() {
    let mut wire = stalled(small());
    assert!(wire.machine.may_pass(10));
    wire.send("x");
    assert!(!wire.machine.may_pass(1), "something is queued");
    wire.takes(1);
    assert!(wire.machine.may_pass(1));
    wire.machine.write_eof().unwrap();
    assert!(!wire.machine.may_pass(1), "it finishes");

    let mut wire = Wire::open(small());
    wire.start_tls(seconds(9)).unwrap();
    assert!(!wire.machine.may_pass(1), "a handshake has the link");
    wire.secured();
    assert!(wire.machine.may_pass(1));
    // Asked for, and not yet begun.
    let mut wire = Wire::open(small());
    let mut now = wire.now();
    wire.machine.start_tls(seconds(9), 0, &mut now).unwrap();
    assert!(!wire.machine.may_pass(1), "plain bytes end here");
    assert_eq!(room(&wire), 10, "but they may be queued, for after it");
    pass(&mut wire, b"after");
    wire.drive();
    assert_eq!(wire.taken, b"");
    wire.secured();
    assert_eq!((wire.plain, &wire.taken[..]), (0, &b"after"[..]));
}

#[test]
fn what_has_passed_counts_as_what_was_queued_and_written() {
    let after = seconds(9);
    let rule = crate::config::IdleRule {
        after,
        action: crate::config::IdleAction::Close,
    };
    let settings = config(|config| config.idle_write = Some(rule));
    let [mut short, mut long] = [(); 2].map(|()| Wire::open(settings.clone()));
    for time in [seconds(1), seconds(8), seconds(3)] {
        short.wait(time);
        pass(&mut short, b"line\n");
        long.wait(time);
        long.send("line\n");
        assert_eq!(short.machine.snapshot(), long.machine.snapshot());
        let deadlines = [&mut short, &mut long]
            .map(|wire| wire.machine.poll_timeout().map(|at| at - wire.time));
        assert_eq!(deadlines, [Some(after); 2]);
    }
    assert_eq!(short.machine.snapshot().bytes_out, 15);
    assert_eq!(short.taken, long.taken);
    short.machine.handle_passed(0, &mut short.now());
    assert_eq!(short.machine.snapshot(), long.machine.snapshot());
}

#[test]
fn what_comes_behind_what_has_passed_has_its_place_in_the_stream() {
    let mut wire = Wire::open(config(|_| {}));
    wire.machine.set_carries_urgent(true);
    pass(&mut wire, b"passed");
    wire.takes(0);
    let all = wire.machine.watch_queued(0);
    assert_eq!(wire.machine.poll_watch(all), Some(Watched::Taken));
    wire.send_tracked("tracked", 1);
    let watched = wire.machine.watch_queued(7);
    wire.machine.send_urgent(b'!', Some(Token(2))).unwrap();
    wire.machine.queue_ahead(b"behind");
    assert_eq!(wire.machine.watched_taken(watched), 0);
    wire.takes(6);
    assert_eq!(wire.machine.watched_taken(watched), 6);
    assert_eq!(wire.told(), NOTHING);
    wire.takes(1);
    assert_eq!(wire.machine.poll_watch(watched), Some(Watched::Taken));
    assert_eq!(wire.told(), ["sent 1: 7 bytes"]);
    wire.takes(usize::MAX);
    assert_eq!(wire.told(), ["sent 2: 1 bytes"]);
    assert_eq!(wire.taken, b"passedtracked!behind");
    assert_eq!(wire.urgent, [13]);
    pass(&mut wire, b".");
    assert_eq!(wire.machine.send("refused", None), Ok(true));
    wire.machine.write_eof().unwrap();
    let refused = wire.machine.send("x", None).unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::WriteClosed);
}

/// What a session sends in a turn, as kinds and lengths, and how much the socket takes at the end of it.
type Turn = (Vec<(u8, usize)>, usize);

/// A session that sends in every way, on a socket that takes little. `ahead`: what may be is accepted ahead.
fn live(ahead: bool, turns: &[Turn]) -> String {
    let mut wire = stalled(config(|config| {
        (config.write_high, config.write_low) = (40, 10);
        config.write_capacity = 60;
    }));
    wire.machine.set_carries_urgent(true);
    let mut seen = String::new();
    let mut watches = Vec::new();
    for (turn, (sends, room_of_socket)) in turns.iter().enumerate() {
        // What is noted, and how much more may be.
        let (mut noted, mut room) = (Vec::new(), 0);
        for (step, &(kind, length)) in sends.iter().enumerate() {
            let body = &b"abcdefgh"[..length];
            if ahead && kind < 6 && !body.is_empty() && body.len() <= room {
                room -= body.len();
                noted.extend_from_slice(body);
                seen += "Ok ";
                continue;
            }
            if !noted.is_empty() {
                wire.machine.queue_ahead(&std::mem::take(&mut noted));
            }
            let token = Token((turn * 10 + step) as u64);
            let outcome = match kind {
                0..6 => wire.machine.send(body, None).map_err(|error| error.refusal),
                6 => wire
                    .machine
                    .send(body, Some(token))
                    .map_err(|error| error.refusal),
                7 => wire.machine.send_urgent(b'!', Some(token)),
                8 => wire
                    .machine
                    .send_message(body, None)
                    .map_err(|error| error.refusal),
                _ => {
                    watches.push(wire.machine.watch_queued(body.len()));
                    Ok(true)
                }
            };
            let refused = outcome.err().map(|refusal| refusal.to_string());
            seen += &refused.unwrap_or_else(|| "Ok".into());
            seen += " ";
            room = wire.machine.room_ahead().0;
        }
        wire.room = *room_of_socket;
        wire.gulp = 20;
        if !noted.is_empty() {
            pass(&mut wire, &noted);
        }
        wire.drive();
        wire.room = 0;
        wire.gulp = usize::MAX;
        let outcomes: Vec<_> = watches
            .iter()
            .map(|watch| wire.machine.poll_watch(*watch).is_some())
            .collect();
        seen += &format!(
            "{:?} {outcomes:?} {:?}\n",
            wire.told(),
            wire.machine.snapshot()
        );
    }
    wire.takes(usize::MAX);
    format!("{seen}{:?} {:?} {:?}", wire.told(), wire.taken, wire.urgent)
}

proptest! {
    #[test]
    fn nobody_can_tell_what_was_accepted_ahead_from_other_sends(
        turns in vec((vec((0..10_u8, 0..9_usize), 0..6), 0..50_usize), 0..40),
    ) {
        prop_assert_eq!(live(true, &turns), live(false, &turns));
    }
}

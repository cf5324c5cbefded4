//! The short way of a line is no other way.

use super::*;
use crate::frame::LineRule;

/// What a session is told of these reads, and how the machine stands then; `offered`: the short way is tried first.
fn live(offered: bool, settings: &ConnectionConfig, receive: &Receive, reads: &[&str]) -> String {
    let mut wire = Wire::open_for(all_but(Interests::URGENT), settings.clone());
    wire.receive(receive);
    wire.told();
    for read in reads {
        wire.offers = !offered;
        wire.peer_sends(read);
        // The answer is queued in the turn.
        if wire.machine.write_buffer_size() == 0 {
            let _ = wire.machine.send(Bytes::from_static(b"ok"), None);
        }
        wire.drive();
    }
    let told = wire.told();
    let deadline = wire.machine.poll_timeout().is_some();
    let (snapshot, out) = (wire.machine.snapshot(), wire.machine.frames_out());
    format!("{told:?} {snapshot:?} {out} {deadline} {:?}", wire.ended)
}

#[test]
fn what_comes_at_once_is_what_comes_the_long_way() {
    let long = "x".repeat(90) + "\n";
    let just = "y".repeat(70) + "\n";
    let scripts: [&[&str]; 9] = [
        &["a\n", "b\r\n", "\n", "\r\n", "c\r\r\n", "d\re\n"],
        &["a", "b\n", "c\n", "d"],
        &["a\nb", "c\n", "d\ne\n", "f\n"],
        &[&just, &long, "a\n", &long, &just],
        &["12345678\n", "123456789\n", "a\n"],
        &["a\n", "12345678901234567890"],
        &["a\r", "\n", "b\n"],
        &["\u{fc}\n", "a\0b\n"],
        &["a\n"],
    ];
    let rules = [
        LineRule::Lenient,
        LineRule::StripAllCr,
        LineRule::CrLf,
        LineRule::Lf,
    ];
    for rule in rules {
        for max in [8, 1000] {
            for idle in [None, Some(seconds(9))] {
                let settings = config(|config| {
                    config.line_rule = rule;
                    config.max_line = max;
                    config.idle = idle.map(|after| crate::config::IdleRule {
                        after,
                        action: crate::config::IdleAction::Close,
                    });
                });
                for receive in [
                    Receive::always(LINE),
                    times(2, LINE),
                    within(seconds(5), Receive::always(LINE)),
                    Receive::always(exact(2)),
                    Receive::always(until("b")),
                ] {
                    for reads in scripts {
                        assert_eq!(
                            live(true, &settings, &receive, reads),
                            live(false, &settings, &receive, reads),
                            "{rule:?} {max} {idle:?} {receive:?} {reads:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_line_comes_at_once_to_a_session_that_waits_for_lines_only() {
    let mut wire = Wire::open_for(all_but(Interests::URGENT), config(|_| {}));
    wire.generous = false;
    let mut now = wire.now();
    let mut offer = |wire: &mut Wire, line: &str| {
        let mut data = BytesMut::from(line);
        let told = if wire.machine.is_quiet() {
            wire.machine.handle_line_at_once(&mut data, &mut now)
        } else {
            None
        };
        assert_eq!(told.is_some(), data.is_empty());
        told.map(|(_, permit)| permit)
    };
    assert!(offer(&mut wire, "a\n").is_none(), "nothing is armed");
    wire.receive(&Receive::always(LINE));
    let permit = offer(&mut wire, "a\n").expect("it waits");
    assert_eq!(wire.machine.snapshot().frames_in, 1);
    assert!(offer(&mut wire, "b\n").is_none(), "it is at work");
    wire.machine.give_back(permit, &mut wire.now());
    wire.machine.pause_reading();
    assert!(offer(&mut wire, "b\n").is_none(), "it pauses");
    wire.machine.resume_reading(&mut wire.now());
    wire.machine
        .handle_data(&mut BytesMut::from("begun"), &mut wire.now());
    assert!(offer(&mut wire, "b\n").is_none(), "a line has begun");
}

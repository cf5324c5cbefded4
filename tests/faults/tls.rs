//! The same faults under TLS: in the handshake, after it, and in a stream that becomes TLS.

use std::time::Duration;

use switchboard::TlsError;
use switchboard::testkit::{Faults, Link, Rates};
use switchboard_tests::talking::{Begin, Sides};

use super::ms;

const BOTH: [Begin; 2] = [Begin::AtOnce, Begin::MidStream];

#[test]
fn one_byte_at_a_time_is_the_same_conversation() {
    let sides = Sides::new();
    for begin in BOTH {
        let faults = Faults::none().short_reads(1).short_writes(1).block_storm(1);
        let told = sides.talk(begin, &faults);
        assert_eq!(told, sides.talk(begin, &Faults::none()));
        told.assert_whole();
        let counts = faults.counts();
        assert!(
            counts.short_reads > 1000 && counts.short_writes > 1000,
            "{counts}"
        );
        assert!(counts.blocks > 1000, "{counts}");
    }
}

#[test]
fn late_reads_and_writes_are_the_same_conversation() {
    let sides = Sides::new();
    for begin in BOTH {
        let faults = Faults::none()
            .delay_reads(ms(70))
            .delay_writes(ms(30))
            .short_reads(100)
            .short_writes(90);
        sides.talk(begin, &faults).assert_whole();
        assert!(faults.counts().delays > 20, "{}", faults.counts());
    }
}

/// Windows smaller than a record, pieces smaller than its header.
#[test]
fn a_narrow_link_is_the_same_conversation() {
    let sides = Sides::new();
    let links = [
        Link::default().window(64),
        Link::default().chunk(3),
        Link::default().latency(ms(40)).window(200).chunk(61),
        Link::default().bandwidth(2_000),
    ];
    for link in links {
        for begin in BOTH {
            let told = sides.talk_over(link.clone(), begin, &Faults::none());
            told.assert_whole();
        }
    }
}

#[test]
fn random_faults_that_break_nothing_break_no_tls() {
    let sides = Sides::new();
    for seed in 0..40 {
        let begin = BOTH[usize::from(seed % 2 == 0)];
        let faults = Faults::random(seed);
        let told = sides.talk(begin, &faults);
        told.assert_whole();
        assert!(faults.counts().total() > 0);
    }
}

/// Resets, false ends, stalls, changed bytes, errors of every kind, at both ends: whoever began is told
/// one end, and nothing but a beginning of what was said, all of it protected.
#[test]
fn with_every_fault_at_both_ends_no_wrong_byte_is_told_and_each_ends_once() {
    let sides = Sides::new();
    let (mut whole, mut changed, mut cut) = (0, 0, 0);
    for seed in 0..400 {
        let begin = BOTH[usize::from(seed % 2 == 0)];
        let rates = Rates {
            // What is changed before it is TLS is nobody's to find.
            corrupt: if begin == Begin::AtOnce { 10 } else { 0 },
            longest_delay: Duration::from_millis(500),
            short_most: 300,
            ..Rates::harsh()
        };
        let faults = Faults::none().at_random(seed, rates);
        let told = sides.talk(begin, &faults);
        told.assert_honest();
        whole += u32::from(told.is_whole());
        for fault in told.tls_faults() {
            match fault {
                TlsError::BadRecord { .. } => changed += 1,
                TlsError::Truncated | TlsError::HandshakeEof => cut += 1,
                _ => {}
            }
        }
    }
    assert!(
        whole > 20 && changed > 5 && cut > 20,
        "{whole} whole, {changed} changed, {cut} cut"
    );
}

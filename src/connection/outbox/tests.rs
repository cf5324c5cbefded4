use super::*;
use proptest::prelude::*;

fn front(outbox: &Outbox, most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let count = outbox.slices(&mut slices, usize::MAX);
    let bytes: Vec<u8> = slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    bytes[..most.min(bytes.len())].to_vec()
}

#[test]
fn an_empty_outbox_holds_no_memory() {
    let mut outbox = Outbox::new(10, 5, 100);
    outbox.push("hello");
    assert!(outbox.tail.capacity() > 0);
    let _ = outbox.advance(5);
    assert_eq!(outbox.tail.capacity(), 0);
    assert_eq!(outbox.queue.capacity(), 0);
}

#[test]
fn one_write_is_lent_a_bounded_part() {
    let mut outbox = Outbox::new(1 << 20, 1 << 20, 1 << 20);
    let mut queued = 0;
    for length in [WRITE_AT_ONCE + 5, 100, 40_000, 3000] {
        outbox.push(vec![7; length]);
        queued += length;
    }
    let mut writes = Vec::new();
    while !outbox.is_empty() {
        let lent = front(&outbox, usize::MAX).len();
        writes.push(lent);
        let _ = outbox.advance(lent);
    }
    assert_eq!(writes, [32_768, 32_768, queued - 65_536]);
}

#[test]
fn what_is_cut_off_is_the_end_with_its_tokens() {
    for kept in [0, 1, 5_000, 5_001, 11_000, 11_003, 11_006] {
        let mut outbox = Outbox::new(1 << 20, 1 << 20, 1 << 20);
        let mut all = Vec::new();
        for (token, length) in [5_000, 6_000, 3, 3].into_iter().enumerate() {
            let part = vec![b'a' + u8::try_from(token).unwrap(); length];
            all.extend_from_slice(&part);
            outbox.push(part);
            outbox.mark(Token(token as u64), length);
        }
        let dropped = outbox.truncate(kept);
        let ends = [5_000, 11_000, 11_003, 11_006];
        let unsent = (0_u64..)
            .zip(ends)
            .filter_map(|(token, end)| (end > kept).then_some(token));
        assert!(dropped.iter().map(|token| token.0).eq(unsent), "{kept}");
        assert_eq!(outbox.size(), kept);
        let mut left = Vec::new();
        let mut sent = 0;
        while !outbox.is_empty() {
            let lent = front(&outbox, usize::MAX);
            left.extend_from_slice(&lent);
            let _ = outbox.advance(lent.len());
            while outbox.take_sent().is_some() {
                sent += 1;
            }
        }
        assert_eq!((left.as_slice(), sent + dropped.len()), (&all[..kept], 4));
    }
}

/// AIO-09, AIO-11.
#[test]
fn aio_09_it_pauses_above_high_and_resumes_at_low() {
    let mut outbox = Outbox::new(4, 2, 100);
    outbox.push("1234");
    assert!(!outbox.check_pause(), "size equals high");
    outbox.push("5");
    assert!(outbox.check_pause());
    assert!(!outbox.check_pause(), "only once");
    assert!(!outbox.advance(2).resumed, "3 is above low");
    assert!(outbox.advance(1).resumed, "2 is at low");
    let mut outbox = Outbox::new(0, 0, 100);
    outbox.push("1");
    assert!(outbox.check_pause(), "a high mark of 0 pauses at one byte");
    assert!(outbox.advance(1).resumed);
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    SendTracked(usize),
    Taken(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            (0_usize..9000).prop_map(Step::Send),
            (1_usize..9000).prop_map(Step::SendTracked),
            (0_usize..20_000).prop_map(Step::Taken),
        ],
        0..60,
    )
}

proptest! {
    /// AIO-10, AIO-12, XAS-50: the bound holds, bytes and notices keep their order, and pauses
    /// alternate strictly with resumes.
    #[test]
    fn it_never_exceeds_its_bound_never_reorders_and_alternates(steps in steps()) {
        let capacity = 30_000;
        let mut outbox = Outbox::new(10_000, 3_000, capacity);
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let mut next = 0_u8;
        let mut tokens = 0_u64;
        let mut told = 0_u64;
        let mut ends = Vec::new();
        let mut paused = false;
        for step in steps {
            match step {
                Step::Send(length) | Step::SendTracked(length) => {
                    let data: Vec<u8> = (0..length).map(|_| { next = next.wrapping_add(1); next }).collect();
                    match outbox.check_room(length) {
                        Ok(()) => {
                            sent.extend_from_slice(&data);
                            if length % 2 == 0 { outbox.push(&data[..]) } else { outbox.push(data) }
                            if matches!(step, Step::SendTracked(_)) {
                                outbox.mark(Token(tokens), length);
                                ends.push(sent.len());
                                tokens += 1;
                            }
                        }
                        Err(SendRefusal::Empty) => prop_assert_eq!(length, 0),
                        Err(SendRefusal::Full { queued, .. }) => prop_assert!(queued + length > capacity),
                        Err(other) => panic!("{other}"),
                    }
                    if outbox.check_pause() { prop_assert!(!paused); paused = true; }
                }
                Step::Taken(most) => {
                    let bytes = front(&outbox, most);
                    received.extend_from_slice(&bytes);
                    if outbox.advance(bytes.len()).resumed { prop_assert!(paused); paused = false; }
                    while let Some((token, _)) = outbox.take_sent() {
                        prop_assert_eq!(token, Token(told));
                        let end = ends[usize::try_from(told).unwrap()];
                        prop_assert!(end <= received.len(), "told too early");
                        told += 1;
                    }
                }
            }
            prop_assert!(outbox.size() <= capacity);
            prop_assert_eq!(outbox.size(), sent.len() - received.len());
            prop_assert_eq!(outbox.is_paused(), paused);
        }
        while !outbox.is_empty() {
            let bytes = front(&outbox, usize::MAX);
            received.extend_from_slice(&bytes);
            let _ = outbox.advance(bytes.len());
        }
        prop_assert_eq!(sent, received);
    }
}

/// What is in records is still sent when the rest is thrown away: it counts when it is taken.
#[test]
fn who_waits_for_what_is_cut_off_hears_what_was_taken_of_the_rest() {
    for taken_of_it in [0, 30, 40] {
        let mut outbox = Outbox::new(1 << 20, 1 << 20, 1 << 20);
        outbox.push(vec![0; 100]);
        let before = outbox.watch(100);
        outbox.push(vec![1; 100]);
        let cut = outbox.watch(100);
        outbox.push(vec![2; 100]);
        let behind = outbox.watch(100);
        let _ = outbox.advance(50);
        outbox.truncate(90);
        assert_eq!(outbox.watched(behind), Some(Watched::Lost { taken: 0 }));
        assert_eq!((outbox.watched(before), outbox.watched(cut)), (None, None));
        let _ = outbox.advance(50 + taken_of_it);
        assert_eq!(outbox.watched(before), Some(Watched::Taken));
        assert_eq!(outbox.watched_taken(cut), taken_of_it);
        outbox.clear();
        let taken = taken_of_it;
        assert_eq!(outbox.watched(cut), Some(Watched::Lost { taken }));
    }
}

#[test]
fn a_watch_that_has_ended_is_forgotten_and_the_others_are_not() {
    let mut outbox = Outbox::new(1 << 20, 1 << 20, 1 << 20);
    let watches: Vec<_> = (0..5)
        .map(|_| {
            outbox.push("byte!");
            outbox.watch(5)
        })
        .collect();
    outbox.unwatch(watches[1]);
    outbox.unwatch(watches[1]);
    let _ = outbox.advance(16);
    let known: Vec<_> = watches.iter().map(|id| outbox.watched(*id)).collect();
    let taken = Some(Watched::Taken);
    assert_eq!(known, [taken, None, taken, None, None]);
    assert_eq!(outbox.watched_taken(watches[3]), 1);
}

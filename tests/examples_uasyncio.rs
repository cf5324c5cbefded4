//! `from_uasyncio`: each item of the scheduler, at work.

use crate::examples_support::Example;

/// What it prints: each item, and what it showed.
fn shown() -> Vec<(String, String)> {
    let printed = Example::start("from_uasyncio", &[]).succeed();
    let line = |line: &str| {
        let (item, shown) = line.split_once(": ").unwrap();
        (item.to_owned(), shown.to_owned())
    };
    printed.lines().map(line).collect()
}

/// The numbers of a line.
fn numbers<const N: usize>(line: &str) -> [u64; N] {
    let numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{line}"))
}

/// UA-01: never a tick too early, and as many as it should be whenever the machine has time for it.
#[test]
fn ua_01_two_actors_blink_in_their_periods() {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let shown = shown();
        let (item, line) = &shown[0];
        assert_eq!(item, "UA-01 blink");
        let [slow, fast, took] = numbers(line);
        assert!(slow * 70 <= took && fast * 40 <= took, "{line}");
        if (13..=15).contains(&slow) && (23..=26).contains(&fast) {
            return;
        }
        seen.push(line.clone());
    }
    panic!("never in its periods: {seen:?}");
}

/// UA-02..11, 22, 23.
#[test]
fn ua_02_to_23_each_item_of_the_scheduler_does_what_it_did() {
    let shown = shown();
    let expected = [
        ("UA-02 create_task", "the value is 42"),
        (
            "UA-06 wait_for",
            "aborted operation interrupted, forgotten Connected, then None",
        ),
        (
            "UA-07 gather",
            "[Ok(40), Err(\"failed\"), Ok(30)], 2 were done",
        ),
        ("UA-08 cancel", "aborted true, asked \"good bye\""),
        ("UA-09 event", "[7, 7, 7], once more Some(7), cleared true"),
        ("UA-10 flag", "set before true, twice false, set after true"),
        ("UA-11 lock", "locked true, then [1, 2, 3]"),
        ("UA-23 call_later", "[\"called\"]"),
        ("UA-04 run", "the value is 11"),
        ("UA-22 run_forever", "stopped by a task"),
    ];
    let of = |item: &str| {
        let line = shown.iter().find(|(name, _)| name == item);
        &*line.unwrap_or_else(|| panic!("{item}: {shown:?}")).1
    };
    for (item, line) in expected {
        assert_eq!(of(item), line, "{item}");
    }
    let ids = of("UA-03 current_task");
    assert!(ids.ends_with(" are different"), "{ids}");
    let slept = of("UA-05 sleep");
    let [asked, took] = numbers(slept);
    // The machine may have other things to do.
    assert!((asked..asked + 2_000).contains(&took), "{slept}");
    assert_eq!(shown.len(), expected.len() + 3);
}

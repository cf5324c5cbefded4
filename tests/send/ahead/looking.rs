//! Whoever looks at the connection, or meets its marks, meets what was sent.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use switchboard::SendRefusal;

use super::*;

/// Whoever looks at a connection sees all that its session has sent before, queued or out.
#[test]
fn whoever_looks_sees_all_that_was_sent() {
    const BURSTS: usize = 300;
    const LINES: usize = 40;
    with_pool(|pool| async move {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let ended = Arc::new(AtomicBool::new(false));
        let (handles, handle) = mpsc::channel();
        let (mut stream, _heard) = acting(&pool, lines(), move |client, event, _| {
            let _ = handles.send(client.clone());
            for _ in 0..3 {
                client.send_line(&event.line).unwrap();
                counted.fetch_add(event.line.len() + 1, Ordering::SeqCst);
            }
        })
        .await;
        let ends = Arc::clone(&ended);
        let looking = thread::spawn(move || {
            let client = handle.recv_timeout(PATIENCE).unwrap();
            let mut looks = 0;
            while !ends.load(Ordering::SeqCst) {
                let before = sent.load(Ordering::SeqCst);
                let activity = client.info().activity;
                let seen = activity.bytes_out as usize + activity.write_buffer;
                // The line under way is not counted yet.
                let after = sent.load(Ordering::SeqCst) + 10;
                assert!(
                    (before..=after).contains(&seen),
                    "{before} {seen} {after}: {activity:?}"
                );
                let queued = client.write_buffer_size();
                assert!(queued <= sent.load(Ordering::SeqCst) + 10);
                looks += 1;
            }
            assert!(looks > 0);
        });
        peer(move || {
            for burst in 0..BURSTS {
                let numbers = burst * LINES..(burst + 1) * LINES;
                let burst: String = numbers.clone().map(|n| format!("{n}\n")).collect();
                let answer: String = numbers.map(|n| format!("{n}\n").repeat(3)).collect();
                stream.write_all(burst.as_bytes()).unwrap();
                let got = read_exact(&mut stream, answer.len());
                assert_eq!(String::from_utf8(got).unwrap(), answer);
            }
        })
        .await;
        ended.store(true, Ordering::SeqCst);
        peer(move || looking.join().unwrap()).await;
    });
}

/// The session itself, in its turn.
#[test]
fn a_session_sees_what_it_has_sent() {
    with_pool(|pool| async move {
        let (stream, _heard) = acting(&pool, lines(), |client, _, _| {
            for count in 1..100 {
                client.send("12345").unwrap();
                if count % 3 == 0 {
                    assert_eq!(client.write_buffer_size(), 5 * count);
                    assert_eq!(client.info().activity.write_buffer, 5 * count);
                }
            }
            client.close();
        })
        .await;
        assert_eq!(say(stream, "go\n").await, b"12345".repeat(99));
    });
}

/// AIO-09, AIO-10.
#[test]
fn aio_09_a_session_is_told_and_refused_at_the_very_marks_in_its_turn() {
    with_pool(|pool| async move {
        for last in ["", "x"] {
            let listen = lines().write_limits(100, 10).write_capacity(150);
            let (mut stream, heard) = acting(&pool, listen, move |client, _, _| {
                for count in 1..=10 {
                    client.send_line("123456789").unwrap();
                    assert_eq!(client.write_buffer_size(), 10 * count);
                }
                assert!(!client.info().activity.write_paused);
                if last.is_empty() {
                    return;
                }
                client.send(last).unwrap();
                assert!(client.info().activity.write_paused);
                for _ in 0..4 {
                    client.send_line("123456789").unwrap();
                }
                let full = |asked| SendRefusal::Full {
                    queued: 141,
                    capacity: 150,
                    asked,
                };
                assert_eq!(client.send_line("123456789"), Err(full(10)));
                client.send("123456789").unwrap();
                assert!(client.send_line("").is_err());
            })
            .await;
            let mut expected = b"123456789\n".repeat(10);
            if !last.is_empty() {
                expected.extend(b"x");
                expected.extend(b"123456789\n".repeat(4));
                expected.extend(b"123456789");
            }
            let got = peer(move || {
                stream.write_all(b"go\n").unwrap();
                let got = read_exact(&mut stream, expected.len());
                assert_eq!(got, expected);
                stream
            })
            .await;
            drop(got);
            let out = if last.is_empty() { 100 } else { 150 };
            let closed = Heard::Closed(0, out);
            if last.is_empty() {
                assert_eq!(hear(heard, 1).await, [closed], "nothing was told");
            } else {
                let told = hear(heard, 3).await;
                assert_eq!(told, [Heard::Paused, Heard::Resumed, closed]);
            }
        }
    });
}

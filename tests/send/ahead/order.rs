//! Everything comes whole and in order.

use std::net::Shutdown;

use bytes::Bytes;
use switchboard::LineEnding;

use super::*;

/// The order of sends is that of cause and effect, whoever sends.
#[test]
fn what_is_sent_because_of_a_send_stands_behind_it() {
    const SENDS: usize = 3_000;
    with_pool(|pool| async move {
        for wait_for_each in [1, 7, usize::MAX] {
            let other = Other::new(|client, number| match number % 2 {
                0 => client.send_line(&format!("other {number}")).unwrap(),
                _ => client.send(format!("other {number}\n")).unwrap(),
            });
            let (stream, _heard) = acting(&pool, lines(), move |client, _, _| {
                let mut waits = 0;
                for number in 0..SENDS {
                    match number % 3 {
                        0 => client.send(format!("own {number}\n")).unwrap(),
                        _ => client.send_line(&format!("own {number}")).unwrap(),
                    }
                    other.tell(client, number);
                    waits += 1;
                    if number % wait_for_each == 0 {
                        (0..waits).for_each(|_| other.wait());
                        waits = 0;
                    }
                }
                (0..waits).for_each(|_| other.wait());
                client.close();
            })
            .await;
            let got = String::from_utf8(say(stream, "go\n").await).unwrap();
            let (mut own, mut others) = (0, 0);
            for line in got.lines() {
                let (who, number) = line.split_once(' ').expect("a whole line");
                let number: usize = number.parse().unwrap();
                if who == "own" {
                    assert_eq!(number, own, "{wait_for_each}");
                    let answered = own.saturating_sub(1) / wait_for_each * wait_for_each;
                    assert!(own == 0 || others > answered, "{wait_for_each}: {number}");
                    own += 1;
                } else {
                    assert_eq!((who, number), ("other", others), "{wait_for_each}");
                    assert!(own > others, "{wait_for_each}: {number} before its cause");
                    others += 1;
                }
            }
            assert_eq!((own, others), (SENDS, SENDS));
        }
    });
}

/// Every way to send, one behind the other in one turn.
#[test]
fn all_ways_to_send_keep_their_order_in_a_turn() {
    with_pool(|pool| async move {
        let long = Arc::new("l".repeat(9 * KIB));
        let text = Arc::clone(&long);
        let listen = lines().line_ending(LineEnding::CrLf);
        let (stream, heard) = acting(&pool, listen, move |client, event, _| {
            for token in 0..3 {
                client.send_line("text").unwrap();
                client.send_line(&event.line).unwrap();
                client.send("a").unwrap();
                client.send(Bytes::from_static(b"b")).unwrap();
                client.send_msg("cd", None).unwrap();
                client.send("e").unwrap();
                client.send_with("f", token).unwrap();
                client.send(text.as_bytes().to_vec()).unwrap();
                client.send("g").unwrap();
                assert!(client.send("").is_err());
                client.send(vec![b'm'; 513]).unwrap();
                client.send(vec![b's'; 512]).unwrap();
                let parts = vec![Bytes::from_static(b"h"), Bytes::from_static(b"i")];
                client.send_many(parts, None).unwrap();
                client.send_line("").unwrap();
                assert_eq!(client.try_send(b"j").unwrap(), 1);
                client.send_line(&*"x".repeat(511)).unwrap();
                client.send("z").unwrap();
            }
            client.close();
        })
        .await;
        let got = say(stream, "got\n").await;
        let round = format!(
            "text\r\ngot\nab\0\0\0\x02cdef{long}g{}{}hi\r\nj{}\r\nz",
            "m".repeat(513),
            "s".repeat(512),
            "x".repeat(511)
        );
        assert!(got == round.repeat(3).as_bytes(), "out of order");
        let told = hear(heard, 4).await;
        let sent = |token| Heard::Sent(Token(token), 1);
        let closed = Heard::Closed(0, got.len() as u64);
        assert_eq!(told, [sent(0), sent(1), sent(2), closed]);
    });
}

/// AC-06.
#[cfg(target_os = "linux")]
#[test]
fn ac_06_an_urgent_byte_stands_where_it_was_sent_in_a_turn() {
    with_pool(|pool| async move {
        let (stream, heard) = acting(&pool, lines(), |client, _, _| {
            client.send("before").unwrap();
            client.send_urgent_with(b'!', 1).unwrap();
            client.send_line("behind").unwrap();
            client.close();
        })
        .await;
        socket2::SockRef::from(&stream)
            .set_out_of_band_inline(true)
            .unwrap();
        assert_eq!(say(stream, "go\n").await, b"before!behind\n");
        let told = hear(heard, 2).await;
        assert_eq!(told, [Heard::Sent(Token(1), 1), Heard::Closed(0, 14)]);
    });
}

#[test]
fn twenty_thousand_lines_of_one_turn_come_whole_and_in_order() {
    const LINES: usize = 20_000;
    with_pool(|pool| async move {
        let (stream, _heard) = acting(&pool, lines(), |client, _, _| {
            for number in 0..LINES {
                client.send_line(&number.to_string()).unwrap();
            }
            client.close();
        })
        .await;
        let expected: String = (0..LINES).map(|number| format!("{number}\n")).collect();
        assert!(say(stream, "go\n").await == expected.as_bytes());
    });
}

/// Writes from `bytes` until the session has to wait for its peer, or until nothing moves any more: where both
/// sides have much queued, their systems may wait for each other before. Says how much was taken.
fn stuff_until_paused(stream: &TcpStream, bytes: &[u8], client: &Client) -> usize {
    let (mut sent, mut moved) = (0, None);
    loop {
        sent += stuff(stream, &bytes[sent..]);
        let activity = client.info().activity;
        if activity.write_paused || moved == Some((sent, activity.bytes_in)) {
            return sent;
        }
        moved = Some((sent, activity.bytes_in));
        // The time that the system may need to move bytes on between its own buffers.
        thread::sleep(ms(150));
    }
}

/// AC-25: the system takes a part of what a turn has sent, or nothing.
#[test]
fn short_answers_come_whole_to_a_peer_that_floods_and_reads_late() {
    const LINES: usize = 400_000;
    with_pool(|pool| async move {
        let listen = lines().send_buffer_size(128 * KIB);
        let (handles, handle) = mpsc::channel();
        let make = move |client: Client| {
            handles.send(client.clone()).unwrap();
            Echo { client }
        };
        let stream = serve_with(&pool, listen, make).await;
        let socket = socket2::SockRef::from(&stream);
        socket.set_recv_buffer_size(256 * KIB).unwrap();
        let script: String = (0..LINES).map(|number| format!("{number}\n")).collect();
        let (mut stream, sent, script) = peer(move || {
            let client = handle.recv_timeout(PATIENCE).unwrap();
            let sent = stuff_until_paused(&stream, script.as_bytes(), &client);
            (stream, sent, script)
        })
        .await;
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&script.as_bytes()[sent..]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
            script
        });
        let got = peer(move || read_all(&mut stream)).await;
        let script = writing.join().unwrap();
        assert!(got == script.as_bytes(), "not the lines that were sent");
    });
}

/// In the turn of one connection its session sends on others too, of this thread and of others.
#[test]
fn a_turn_sends_on_other_connections_too() {
    const SENDS: usize = 2_000;
    for shards in [1, 2] {
        with(Pool::builder().shards(shards), |pool| async move {
            let everybody: Arc<Mutex<Vec<Client>>> = Arc::default();
            let all = Arc::clone(&everybody);
            let act = move |client: &Client, event: &LineReceived, _: &mut Context<Acting>| {
                let mut all = all.lock().unwrap();
                if event.line.as_bytes() == b"here" {
                    all.push(client.clone());
                    client.send_line("welcome").unwrap();
                    return;
                }
                for number in 0..SENDS {
                    for (place, one) in all.iter().enumerate() {
                        one.send_line(&format!("{place} {number}")).unwrap();
                    }
                }
                all.iter().for_each(|one| assert!(one.close()));
            };
            let (hears, _heard) = mpsc::channel();
            let act: Arc<Act> = Arc::new(act);
            let make = move |client| Acting {
                client,
                act: Arc::clone(&act),
                hears: hears.clone(),
            };
            let server = pool.listen(lines(), make).await.unwrap();
            let address = server.local_addr();
            peer(move || {
                let mut streams: Vec<_> = (0..4).map(|_| dial(address)).collect();
                for stream in &mut streams {
                    stream.write_all(b"here\n").unwrap();
                    assert_eq!(read_exact(stream, 8), b"welcome\n");
                }
                streams[1].write_all(b"go\n").unwrap();
                for (place, stream) in streams.iter_mut().enumerate() {
                    let got = String::from_utf8(read_all(stream)).unwrap();
                    let numbers = 0..SENDS;
                    let expected: String = numbers
                        .map(|number| format!("{place} {number}\n"))
                        .collect();
                    assert!(got == expected, "{place}");
                }
            })
            .await;
        });
    }
}

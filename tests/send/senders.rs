//! Many senders.

use bytes::Bytes;
use switchboard::{Listen, SendRefusal};
use switchboard_tests::*;

use super::ANY;

/// XAS-69.
#[test]
fn xas_69_sends_from_many_threads_interleave_whole_and_each_in_order() {
    const THREADS: usize = 8;
    const SENDS: usize = 500;
    with_pool(|pool| async move {
        let (mut stream, client, _trace) = serve(&pool, Listen::tcp(ANY)).await;
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let client = client.clone();
                std::thread::spawn(move || {
                    for n in 0..SENDS {
                        // From a few bytes to more than is copied together, in all three forms.
                        let body = "x".repeat(n * 37 % 6_000);
                        let record = format!("{thread}:{n}:{body}");
                        match n % 3 {
                            0 => client.send(record + "\n").unwrap(),
                            1 => client.send_line(record.as_str()).unwrap(),
                            _ => {
                                let (left, right) = record.split_at(record.len() / 2);
                                let parts = [left, right, "\n"];
                                let parts =
                                    parts.map(|part| Bytes::copy_from_slice(part.as_bytes()));
                                client.send_many(parts.into(), None).unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        let reader = std::thread::spawn(move || read_all(&mut stream));
        peer(move || {
            senders
                .into_iter()
                .for_each(|sender| sender.join().unwrap())
        })
        .await;
        client.close();
        let got = peer(move || reader.join().unwrap()).await;
        let got = String::from_utf8(got).unwrap();
        let mut next = [0; THREADS];
        for record in got.lines() {
            let mut fields = record.splitn(3, ':');
            let thread: usize = fields.next().unwrap().parse().unwrap();
            let n: usize = fields.next().unwrap().parse().unwrap();
            assert_eq!(n, next[thread], "out of order");
            next[thread] += 1;
            assert_eq!(fields.next().unwrap(), "x".repeat(n * 37 % 6_000));
        }
        assert_eq!(next, [SENDS; THREADS]);
    });
}

/// XAS-23.
#[test]
fn xas_23_a_closed_connection_refuses_and_its_neighbours_do_not_notice() {
    with_pool(|pool| async move {
        let (_closed, gone, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let (mut open, live, _live) = serve(&pool, Listen::tcp(ANY)).await;
        gone.abort();
        expect!(trace, Closed);
        let outcomes = [&gone, &live, &gone].map(|client| client.send("news").is_ok());
        assert_eq!(outcomes, [false, true, false]);
        assert_eq!(gone.send_line("x"), Err(SendRefusal::Closed));
        assert_eq!(
            gone.send_msg("x", None).unwrap_err().refusal,
            SendRefusal::Closed
        );
        assert_eq!(gone.write_eof(), Err(SendRefusal::Closed));
        assert_eq!(read_exact(&mut open, 4), b"news");
    });
}

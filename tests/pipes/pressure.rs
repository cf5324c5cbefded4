//! Pipes hold back, both ways.

use std::io::{Read, Write};

use switchboard::message::*;
use switchboard::{ClosedReason, ConnectionOptions, Token, WatchFd};
use switchboard_tests::*;

use super::{MIB, ms, open_full, pipes};

/// AC-21: as much as both sides like, and not more in memory than the limits say.
#[test]
fn ac_21_a_reader_that_does_not_read_pauses_the_writer() {
    with_pool(|pool| async move {
        let (read, write, mut to_us, mut from_us) = pipes();
        let watch = WatchFd::read_write(&read, &write).unwrap().data();
        drop((read, write));
        let (client, mut probe) = open_full(&pool, watch).await;
        client.send_with(pattern(MIB), Token(7)).unwrap();
        let _paused = expect!(probe, WritePaused);
        // The system's buffer of a pipe is full, and ours has the rest.
        until(|| client.write_buffer_size() < MIB).await;
        probe.no_more(ms(50)).await;
        assert!(client.write_buffer_size() > MIB / 2);
        let writes = std::thread::spawn(move || {
            to_us.write_all(&pattern(MIB)).unwrap();
            to_us
        });
        let reads = std::thread::spawn(move || {
            let mut got = vec![0; MIB];
            from_us.read_exact(&mut got).unwrap();
            (got, from_us)
        });
        let (mut got, mut resumed, mut sent) = (Vec::new(), false, false);
        while got.len() < MIB || !resumed || !sent {
            match probe.next().await {
                ClientEvent::DataReceived(data) => got.extend_from_slice(&data.data),
                ClientEvent::WriteResumed(_) => resumed = true,
                ClientEvent::Sent(told) => {
                    assert_eq!(told.bytes, MIB);
                    sent = true;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        assert!(got == pattern(MIB), "what came is something else");
        let to_us = writes.join().unwrap();
        let (theirs, from_us) = reads.join().unwrap();
        assert!(theirs == pattern(MIB), "what went is something else");
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        drop((to_us, from_us));
    });
}

/// AC-21: what nobody wants is left in the pipe, and holds the writer back.
#[test]
fn ac_21_nothing_is_read_that_nobody_has_asked_for() {
    with_pool(|pool| async move {
        let (read, to_us) = std::io::pipe().unwrap();
        let (client, mut probe) = open_full(&pool, WatchFd::new(&read).unwrap()).await;
        rustix::io::ioctl_fionbio(&to_us, true).unwrap();
        let mut written = 0;
        while let Ok(count) = (&to_us).write(&[b'x'; 4096]) {
            written += count;
        }
        probe.no_more(ms(50)).await;
        assert_eq!(rustix::io::ioctl_fionread(&read).unwrap(), written as u64);
        client
            .arm(RecvData::exact(written.try_into().unwrap()))
            .unwrap();
        assert_eq!(expect!(probe, DataReceived).data.len(), written);
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
    });
}

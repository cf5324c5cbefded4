//! Each kind of descriptor, with a peer that knows nothing of us.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use switchboard::{ChannelKind, ClosedReason, ConnectionOptions, WatchFd};
use switchboard_tests::*;

use super::{Fifo, open, pipes, terminal};

/// AC-21.
#[test]
fn ac_21_a_pair_of_pipes_is_a_channel() {
    with_pool(|pool| async move {
        let (read, write, mut to_us, mut from_us) = pipes();
        let watch = WatchFd::read_write(&read, &write).unwrap().lines();
        drop((read, write));
        let (client, mut probe) = open(&pool, watch).await;
        assert_eq!(client.kind(), ChannelKind::Pipe);
        to_us.write_all(b"hello\nworld\n").unwrap();
        probe.expect_line("hello").await;
        probe.expect_line("world").await;
        client.send_line("answer").unwrap();
        let mut answer = [0; 7];
        from_us.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer\n");
        drop(to_us);
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
    });
}

/// AC-21: the program at the other end is `cat`.
#[test]
fn ac_21_a_fifo_is_read_and_another_one_written() {
    with_pool(|pool| async move {
        let (there, back) = (Fifo::make(), Fifo::make());
        let mut cat = Command::new("sh")
            .args(["-c", "exec cat <\"$1\" >\"$2\"", "sh"])
            .args([there.path(), back.path()])
            .spawn()
            .map(Reaped)
            .unwrap();
        let (to, from) = (there.path().to_owned(), back.path().to_owned());
        // Opening a FIFO waits for the other side.
        let (write, read) = peer(move || {
            let write = OpenOptions::new().write(true).open(to).unwrap();
            (write, File::open(from).unwrap())
        })
        .await;
        let watch = WatchFd::read_write(&read, &write).unwrap().lines();
        drop((read, write));
        let (client, mut probe) = open(&pool, watch).await;
        for line in ["one", "two"] {
            client.send_line(line).unwrap();
            probe.expect_line(line).await;
        }
        // Its end is what ends cat, whose end is ours.
        client.write_eof().unwrap();
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
        assert!(cat.wait().success());
    });
}

/// AC-21: a writer of a FIFO may go, and another one come, while nobody looks.
#[test]
fn ac_21_a_fifo_can_get_another_writer() {
    with_pool(|pool| async move {
        let fifo = Fifo::make();
        // Never without a reader, so that nobody waits in an open.
        let both = OpenOptions::new()
            .read(true)
            .write(true)
            .open(fifo.path())
            .unwrap();
        let mut first = OpenOptions::new().write(true).open(fifo.path()).unwrap();
        let read = File::open(fifo.path()).unwrap();
        drop(both);
        let (client, mut probe) = open(&pool, WatchFd::new(&read).unwrap()).await;
        first.write_all(b"one\n").unwrap();
        drop(first);
        // Time in which the end of the first is noticed; no event tells.
        tokio::time::sleep(super::ms(50)).await;
        let mut second = OpenOptions::new().write(true).open(fifo.path()).unwrap();
        client
            .arm(switchboard::message::RecvLine::once().always())
            .unwrap();
        probe.expect_line("one").await;
        probe.no_more(super::ms(50)).await;
        second.write_all(b"two\n").unwrap();
        probe.expect_line("two").await;
        drop(second);
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
    });
}

/// AC-21: lines as they are typed, and the end that control-D is.
#[test]
fn ac_21_a_terminal_is_a_channel() {
    with_pool(|pool| async move {
        let (mut screen, inside) = terminal();
        let (client, mut probe) = open(&pool, WatchFd::new(&inside).unwrap().lines()).await;
        // All in one piece: a terminal gives one line at a time.
        screen.write_all(b"one\ntwo\nthree\n").unwrap();
        for line in ["one", "two", "three"] {
            probe.expect_line(line).await;
        }
        client.send_line("shown").unwrap();
        let shown = peer(move || {
            let mut shown = Vec::new();
            while !shown.ends_with(b"shown\r\n") {
                let mut piece = [0; 256];
                let count = screen.read(&mut piece).unwrap();
                shown.extend_from_slice(&piece[..count]);
            }
            screen
        });
        let mut screen = shown.await;
        screen.write_all(b"\x04").unwrap();
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
    });
}

/// AC-21: the window of a terminal closes, seen from inside; and the last program in it ends, seen from the
/// window.
#[test]
fn ac_21_either_side_of_a_terminal_sees_the_end_of_the_other() {
    with_pool(|pool| async move {
        let (screen, inside) = terminal();
        let (_client, mut probe) = open(&pool, WatchFd::new(&inside).unwrap().lines()).await;
        drop(screen);
        probe.expect_closed(ClosedReason::ClosedByPeer).await;

        let (screen, mut inside) = terminal();
        let (_client, mut probe) = open(&pool, WatchFd::new(&screen).unwrap().lines()).await;
        drop(screen);
        inside.write_all(b"last\n").unwrap();
        probe.expect_line("last").await;
        drop(inside);
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
    });
}

/// AC-21.
#[test]
fn ac_21_a_socketpair_is_a_channel_with_a_half_close() {
    with_pool(|pool| async move {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (client, mut probe) = open(&pool, WatchFd::new(&ours).unwrap().lines()).await;
        drop(ours);
        theirs.write_all(b"hello\n").unwrap();
        probe.expect_line("hello").await;
        client.send("bye").unwrap();
        client.write_eof().unwrap();
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"bye");
        theirs.write_all(b"still there\n").unwrap();
        probe.expect_line("still there").await;
        theirs.shutdown(Shutdown::Write).unwrap();
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
    });
}

/// AC-21: a device that tells when it is ready.
#[cfg(target_os = "linux")]
#[test]
fn ac_21_a_counter_of_events_is_a_channel() {
    use rustix::event::{EventfdFlags, eventfd};
    with_pool(|pool| async move {
        let counter = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let (client, mut probe) = open(&pool, WatchFd::new(&counter).unwrap().data()).await;
        client.send(7_u64.to_ne_bytes().to_vec()).unwrap();
        probe.expect_data(&7_u64.to_ne_bytes()).await;
        assert!(!super::blocks(&counter));
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        until(|| super::blocks(&counter)).await;
    });
}

/// AC-21, with a terminal that socat made.
#[test]
fn ac_21_a_terminal_of_socat_is_a_channel() {
    if Command::new("socat")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("SKIPPED: socat is not installed");
        return;
    }
    with_pool(|pool| async move {
        let fifo = Fifo::make();
        let link = fifo.path().with_extension("tty");
        let _socat = Command::new("socat")
            .arg(format!("PTY,link={},raw,echo=0", link.display()))
            .arg("SYSTEM:cat")
            .spawn()
            .map(Reaped)
            .unwrap();
        until(|| link.exists()).await;
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&link)
            .unwrap();
        let (client, mut probe) = open(&pool, WatchFd::new(&line).unwrap().lines()).await;
        drop(line);
        client.send_line("through socat").unwrap();
        probe.expect_line("through socat").await;
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
    });
}

//! What becomes of the descriptors: the caller's own, and those that share with it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};

use switchboard::testkit::LeakCheck;
use switchboard::{ClosedReason, ConnectionOptions, FileKind, Pool, WatchError, WatchFd};
use switchboard_tests::*;

use super::{Fifo, blocks, open, pipes, terminal};

/// AC-22.
#[test]
fn ac_22_the_caller_may_close_his_own() {
    with_pool(|pool| async move {
        let (read, write, mut to_us, mut from_us) = pipes();
        let watch = WatchFd::read_write(&read, &write).unwrap().lines();
        drop((read, write));
        // Whatever gets these numbers next is another thing.
        let _others = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let (client, mut probe) = open(&pool, watch).await;
        to_us.write_all(b"ping\n").unwrap();
        probe.expect_line("ping").await;
        client.send_line("pong").unwrap();
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        let mut all = String::new();
        from_us.read_to_string(&mut all).unwrap();
        assert_eq!(all, "pong\n");
    });
}

/// AC-22: the caller's own stays as it was, and stays his.
#[cfg(target_os = "linux")]
#[test]
fn ac_22_the_original_goes_on_blocking() {
    with_pool(|pool| async move {
        let (mut pipe, mut to_pipe) = std::io::pipe().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (screen, inside) = terminal();
        let mut probes = Vec::new();
        for watch in [
            WatchFd::new(&pipe),
            WatchFd::new(&to_pipe),
            WatchFd::new(&ours),
            WatchFd::new(&inside),
        ] {
            probes.push(open(&pool, watch.unwrap()).await);
        }
        assert!(blocks(&pipe) && blocks(&to_pipe) && blocks(&ours) && blocks(&inside));
        for (client, mut probe) in probes {
            client.close();
            probe.expect_closed(ClosedReason::ClosedByHost).await;
        }
        assert!(blocks(&pipe) && blocks(&to_pipe) && blocks(&ours) && blocks(&inside));
        to_pipe.write_all(b"mine").unwrap();
        drop(to_pipe);
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "mine");
        drop((theirs, screen));
    });
}

/// What cannot be opened anew is put back when the last channel there has closed.
#[test]
fn what_is_shared_blocks_again_after_the_last_one() {
    with_pool(|pool| async move {
        let fifo = Fifo::make();
        let both = File::options()
            .read(true)
            .write(true)
            .open(fifo.path())
            .unwrap();
        let (first, mut first_probe) = open(&pool, WatchFd::new(&both).unwrap()).await;
        let (second, mut second_probe) = open(&pool, WatchFd::new(&both).unwrap()).await;
        assert!(!blocks(&both));
        first.close();
        first_probe.expect_closed(ClosedReason::ClosedByHost).await;
        // The second one would block its thread otherwise.
        second_probe.no_more(super::ms(50)).await;
        assert!(!blocks(&both));
        second.close();
        second_probe.expect_closed(ClosedReason::ClosedByHost).await;
        until(|| blocks(&both)).await;
    });
}

/// Masters of terminals look like one file, and are not: one that is let go of ends its terminal, whoever
/// watches another one.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_ends_while_another_one_is_watched() {
    with_pool(|pool| async move {
        let (screen, mut inside) = terminal();
        let (other, _inside_other) = terminal();
        let (first, mut first_probe) = open(&pool, WatchFd::new(&screen).unwrap()).await;
        let (_second, _second_probe) = open(&pool, WatchFd::new(&other).unwrap()).await;
        drop(screen);
        first.close();
        first_probe.expect_closed(ClosedReason::ClosedByHost).await;
        rustix::io::ioctl_fionbio(&inside, true).unwrap();
        // A terminal that was hung up has nothing more to be read.
        until(|| inside.read(&mut [0]).is_ok_and(|count| count == 0)).await;
    });
}

/// What did not block before does not block afterwards.
#[test]
fn what_did_not_block_stays_so() {
    with_pool(|pool| async move {
        let fifo = Fifo::make();
        let both = File::options()
            .read(true)
            .write(true)
            .open(fifo.path())
            .unwrap();
        rustix::io::ioctl_fionbio(&both, true).unwrap();
        let (client, mut probe) = open(&pool, WatchFd::new(&both).unwrap()).await;
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        until(|| client.addr().is_none()).await;
        assert!(!blocks(&both));
    });
}

/// AC-21: what cannot be waited for is said at once, in words.
#[test]
fn ac_21_what_cannot_be_waited_for_is_refused() {
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    let directory = File::open(std::env::temp_dir()).unwrap();
    for (file, kind) in [
        (file, FileKind::RegularFile),
        (directory, FileKind::Directory),
    ] {
        let error = WatchFd::new(&file).unwrap_err();
        let WatchError::NotPollable { kind: told } = error else {
            panic!("{error}");
        };
        assert_eq!(told, kind);
    }
    let text = WatchFd::new(File::open("/dev/null").unwrap());
    if cfg!(target_os = "linux") {
        let text = text.unwrap_err().to_string();
        assert!(text.contains("character device"), "{text}");
    }
    let datagrams = UnixDatagram::unbound().unwrap();
    let error = WatchFd::new(&datagrams).unwrap_err();
    assert!(matches!(error, WatchError::NotAStream { .. }), "{error}");
}

/// Nothing is left over, whichever way a channel ended. In a process of its own: descriptors are
/// everybody's.
#[test]
fn no_descriptor_is_left_over() {
    if !alone("descriptors::no_descriptor_is_left_over") {
        return;
    }
    actix::System::new().block_on(async {
        let pool = Pool::builder().shards(0).start().unwrap();
        // What the runtime keeps is there after a first one.
        for round in 0..2 {
            let leaks = LeakCheck::begin().pool(&pool);
            let (read, write, to_us, from_us) = pipes();
            let fifo = Fifo::make();
            let both = File::options()
                .read(true)
                .write(true)
                .open(fifo.path())
                .unwrap();
            let (screen, inside) = terminal();
            drop(WatchFd::new(&read).unwrap());
            let watches = [
                WatchFd::new(&both),
                WatchFd::new(&inside),
                WatchFd::new(&screen),
                WatchFd::read_write(&read, &write),
            ];
            for (at, watch) in watches.into_iter().enumerate() {
                let (client, mut probe) = open(&pool, watch.unwrap().lines()).await;
                if at % 2 == 0 {
                    client.close();
                } else {
                    client.abort();
                }
                probe.expect_closed(ClosedReason::ClosedByHost).await;
            }
            drop((read, write, to_us, from_us, both, screen, inside, fifo));
            if round > 0 {
                leaks.settle().await;
            }
        }
        pool.stop().await;
    });
}

//! Descriptors as channels: what a TCP connection promises, pipes, FIFOs, terminals and socketpairs
//! promise too, and whoever has the same descriptor notices nothing.
#![cfg(unix)]

mod descriptors;
mod ending;
mod kinds;
mod pressure;
mod turns;
mod ways;

use std::io::{PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use switchboard::{Client, Pool, WatchFd};
use switchboard_tests::*;

const MIB: usize = 1024 * 1024;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A channel over this, and the probe that sees what comes from then on.
async fn open(pool: &Pool, watch: WatchFd) -> (Client, Probe) {
    let mut probe = Probe::new();
    pool.watch_fd(watch, probe.session()).await.unwrap();
    let client = expect!(probe, Connected).handle;
    (client, probe)
}

/// The same, with a session that handles every event.
async fn open_full(pool: &Pool, watch: WatchFd) -> (Client, Probe) {
    let mut probe = Probe::new();
    pool.watch_fd(watch, probe.full_session()).await.unwrap();
    let client = expect!(probe, Connected).handle;
    (client, probe)
}

/// Two pipes: what the channel reads and writes, and what its peer writes and reads.
fn pipes() -> (PipeReader, PipeWriter, PipeWriter, PipeReader) {
    let (read, to_us) = std::io::pipe().unwrap();
    let (from_us, write) = std::io::pipe().unwrap();
    (read, write, to_us, from_us)
}

/// Whether reads and writes of whoever has this descriptor block.
fn blocks(fd: impl AsFd) -> bool {
    !fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// A FIFO that goes away with this.
struct Fifo(PathBuf);

impl Fifo {
    fn make() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-{}-{number}.fifo", std::process::id());
        let path = std::env::temp_dir().join(name);
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            &path,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A terminal: the side of whoever holds it, and the side of the program in it.
fn terminal() -> (std::fs::File, std::fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    (master.into(), inside.into())
}

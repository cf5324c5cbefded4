//! Unix datagram sockets, with peers of std and socat.

mod files;
mod sending;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::testkit::Probe;
use switchboard::{Address, UnixName};

use super::recording::{Recording, beside, run_simply};
use super::{Echo, PATIENCE};

/// A directory for the files of one test.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-{}-{name}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn echo(pool: &Pool, path: &Path) -> Udp {
    let bind = BindUdp::unix(path);
    pool.bind_udp(bind, |udp| Echo { udp }).await.unwrap()
}

fn bounded(socket: UnixDatagram) -> UnixDatagram {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn exchange(socket: &UnixDatagram, to: &Path, bytes: &[u8]) -> Vec<u8> {
    socket.send_to(bytes, to).unwrap();
    let mut received = vec![0; 256 * 1024];
    let count = socket.recv(&mut received).unwrap();
    received.truncate(count);
    received
}

/// A socket that records what comes.
async fn recorded(pool: &Pool, probe: &Probe, bind: BindUdp) -> Udp {
    let recorder = probe.recorder();
    let session = move |_| Recording {
        recorder: recorder.clone(),
    };
    pool.bind_udp(bind, session).await.unwrap()
}

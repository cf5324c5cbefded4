//! Programs that we did not write, as child processes that cannot outlast their test.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use switchboard_tests::PATIENCE;

/// The program of this name, if it is there. `None`: it was said that the test is skipped.
///
/// # Panics
/// As [`skip`].
pub fn peer(name: &'static str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .find(|program| program.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Says why a test is skipped.
///
/// # Panics
/// When `SWITCHBOARD_REQUIRE_PEERS` is 1.
pub fn skip(why: &str) {
    let required = std::env::var("SWITCHBOARD_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "a program is required: {why}");
    eprintln!("SKIPPED: {why}");
}

/// A running program. Dropped, it is killed.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Both streams, as they come.
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

/// How a program ended, and all that it wrote on both streams.
pub struct Ended {
    pub status: ExitStatus,
    pub output: Vec<u8>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let (sender, output) = mpsc::channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        Self {
            stdin: child.stdin.take(),
            child,
            output,
            seen: Vec::new(),
        }
    }

    /// Writes to its standard input.
    pub fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its input was closed");
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until it has written this.
    pub fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text().contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(error) => panic!("no {text:?} ({error}) in:\n{}", self.text()),
            }
        }
    }

    /// Waits until it has written this and the rest of that line; gives the rest.
    pub fn rest_of_line(&mut self, start: &str) -> String {
        self.wait_for(start);
        loop {
            let text = self.text();
            let (_, rest) = text.split_once(start).unwrap();
            if let Some((line, _)) = rest.split_once('\n') {
                return line.trim().to_owned();
            }
            let bytes = self.output.recv_timeout(PATIENCE).unwrap();
            self.seen.extend(bytes);
        }
    }

    /// Closes its standard input and waits for its end.
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.text()),
            }
        }
        let output = std::mem::take(&mut self.seen);
        // Both of its streams are closed, so it has ended or is about to.
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end");
            // Asks again shortly whether the process has ended.
            thread::sleep(Duration::from_millis(5));
        };
        Ended { status, output }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// The output of a program that must have succeeded.
    pub fn succeeded(self) -> String {
        let text = self.text();
        assert!(self.status.success(), "{}:\n{text}", self.status);
        text
    }
}

/// Runs a program without any input to its end.
pub fn run(command: &mut Command) -> Ended {
    Program::start(command).end()
}

/// A directory of a test's own, removed with all that is in it.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-peers-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file of this name; says where it is.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is in the system's directory for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path as an argument.
pub fn as_str(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn forward(mut stream: impl Read + Send + 'static, sender: mpsc::Sender<Vec<u8>>) {
    thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut block) {
            // A test that has seen enough no longer looks.
            let _ = sender.send(block[..count].to_vec());
        }
    });
}

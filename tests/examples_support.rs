//! Example programs as child processes whose output is read with a time limit.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use switchboard_tests::PATIENCE;

/// A running example. Dropped, it is killed.
pub struct Example {
    name: &'static str,
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

/// How an example ended, with what it printed and nobody had read before.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Example {
    /// Starts the example of this name.
    pub fn start(name: &'static str, arguments: &[&str]) -> Self {
        Self::start_by(name, Command::new(program(name)).args(arguments))
    }

    /// The same by another program, which is given the example and its arguments behind its own.
    pub fn start_under(wrapper: &[&str], name: &'static str, arguments: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(program(name));
        Self::start_by(name, command.args(arguments))
    }

    /// Starts it with an input to be written; dropped, that ends.
    pub fn start_typing(name: &'static str, arguments: &[&str]) -> (Self, ChildStdin) {
        let mut command = Command::new(program(name));
        let mut example = Self::spawn(name, command.args(arguments).stdin(Stdio::piped()));
        let input = example.child.stdin.take().unwrap();
        (example, input)
    }

    fn start_by(name: &'static str, command: &mut Command) -> Self {
        Self::spawn(name, command.stdin(Stdio::null()))
    }

    fn spawn(name: &'static str, command: &mut Command) -> Self {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = lines_of(child.stdout.take().unwrap());
        let stderr = lines_of(child.stderr.take().unwrap());
        Self {
            name,
            child,
            stdout,
            stderr,
        }
    }

    /// Starts a server on a free port of the loopback interface and waits until it listens.
    pub fn serve(name: &'static str, arguments: &[&str]) -> (Self, SocketAddr) {
        let example = Self::start(name, &[&["127.0.0.1:0"], arguments].concat());
        let address = example.listening_at();
        (example, address)
    }

    /// The address that it prints first, when it listens.
    pub fn listening_at(&self) -> SocketAddr {
        let line = self.line();
        let address = line.strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{} printed {line:?} first", self.name));
        address.parse().unwrap()
    }

    /// The next line that it prints on stdout.
    pub fn line(&self) -> String {
        let line = self.stdout.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("{} prints no line: {error}", self.name));
        text(&line).trim_end().into()
    }

    /// Reads what it logs on stderr up to the first line that contains this.
    pub fn wait_for_log(&self, part: &str) {
        loop {
            let line = self.stderr.recv_timeout(PATIENCE);
            let line =
                line.unwrap_or_else(|error| panic!("{} never logs {part:?}: {error}", self.name));
            if text(&line).contains(part) {
                return;
            }
        }
    }

    /// Sends a signal by its name, such as `INT`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success(), "{} cannot be signalled", self.name);
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        // Both streams end when the process does.
        let stdout = self.rest_of(&self.stdout);
        let stderr = text(&self.rest_of(&self.stderr));
        let status = self.child.wait().unwrap();
        Ended {
            status,
            stdout,
            stderr,
        }
    }

    /// Waits for its end, which must be a success.
    pub fn succeed(self) -> String {
        let name = self.name;
        let ended = self.wait();
        assert_eq!(ended.status.code(), Some(0), "{name}: {}", ended.stderr);
        text(&ended.stdout)
    }

    fn rest_of(&self, stream: &Receiver<Vec<u8>>) -> Vec<u8> {
        let mut rest = Vec::new();
        loop {
            match stream.recv_timeout(PATIENCE) {
                Ok(line) => rest.extend(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("{} does not end", self.name),
            }
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The summary that a pool with these counters prints.
pub fn summary(opened: &str, reason: &str, count: usize) -> String {
    let counts: String = ["error", "closed by host", "closed by peer", "timeout"]
        .iter()
        .map(|each| format!(", {each}: {}", if *each == reason { count } else { 0 }))
        .collect();
    format!("{opened}, {count} closed{counts}, 0 live")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            // A test that has seen enough no longer looks.
            let _ = sender.send(std::mem::take(&mut line));
        }
    });
    lines
}

/// Where cargo puts the example, which is built first: a test run of this package alone builds no
/// other package's examples, and one of the whole workspace may have built them or not.
pub fn program(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    // This test is `<target>/<profile>/deps/<name>`.
    let test = std::env::current_exe().unwrap();
    let profile_dir = test.ancestors().nth(2).unwrap();
    BUILT.call_once(|| {
        let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            other => other,
        };
        // What cargo tells a test about its package would have build scripts run again, and most of the
        // workspace be built again: now, and once more when the next test run has none of it.
        let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        let mut command = Command::new(env!("CARGO"));
        ours.for_each(|name| {
            command.env_remove(name);
        });
        let status = command
            // The whole workspace, as at its top and in `cargo test --workspace`: another selection has
            // other features, for which everything would be built once more.
            .args(["build", "--quiet", "--workspace", "--examples"])
            .args(["--profile", profile])
            .args([
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ])
            .arg("--target-dir")
            .arg(profile_dir.parent().unwrap())
            .status()
            .unwrap();
        assert!(status.success(), "the examples cannot be built");
    });
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    profile_dir.join("examples").join(file)
}

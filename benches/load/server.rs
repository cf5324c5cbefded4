//! A server under test: a child process on a core of its own.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::link::Target;
use crate::machine::pin_to_any;
use crate::tls::Credentials;

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long a server that listens is left alone, to finish what it does at its start.
const SETTLE: Duration = Duration::from_millis(50);

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wire {
    /// Lines over TCP.
    Plain,
    /// The same with TLS from the start.
    Tls,
    /// Datagrams.
    Udp,
    /// Lines over TCP, with work for each of them, on as many threads as `--shards` says.
    Work,
}

impl Wire {
    /// Its name in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
            Self::Work => "tcp, with work",
        }
    }
}

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct ServerSpec {
    /// Its name in the tables.
    pub(crate) name: String,
    /// Program and arguments; the address to listen on is appended.
    pub(crate) command: Vec<String>,
    pub(crate) wire: Wire,
    /// What it is, with its versions, for the reader of the results.
    pub(crate) about: String,
}

/// Where a server of a slice runs, and what it is told.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) cores: Vec<usize>,
    /// Arguments between those of its command and the address.
    pub(crate) arguments: Vec<String>,
}

/// A running server. It is killed when this is dropped, and when the load generator dies.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens, and how to speak to it.
    pub(crate) target: Target,
}

impl Server {
    /// Starts a server in its place and waits until it says `listening on ADDR`.
    ///
    /// # Errors
    /// The program cannot be started, ends, does not say so in time, or listens to the world.
    pub(crate) fn start(
        spec: &ServerSpec,
        place: &Place,
        credentials: &Credentials,
    ) -> io::Result<Self> {
        let (program, arguments) = spec.command.split_first().expect("a command has a program");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(&place.arguments)
            .arg("127.0.0.1:0")
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let tls = match spec.wire {
            Wire::Plain | Wire::Udp | Wire::Work => None,
            Wire::Tls => {
                command
                    .env("TLS_CERTIFICATE", credentials.certificate())
                    .env("TLS_KEY", credentials.key());
                Some(credentials.client())
            }
        };
        let cores = place.cores.clone();
        let prepare = move || {
            pin_to_any(&cores)?;
            Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
        };
        // SAFETY: between `fork` and `exec` the closure makes two system calls on values of its
        // own; it takes no lock and, as the cores were tried before, allocates nothing.
        unsafe { command.pre_exec(prepare) };
        let mut child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        // From here on a drop kills the child, whatever comes.
        let mut server = Self {
            child,
            target: Target {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                tls,
            },
        };
        let address = address_from(stdout)?;
        if !address.ip().is_loopback() {
            return Err(io::Error::other(format!(
                "{address} is not a loopback address"
            )));
        }
        server.target.address = address;
        thread::sleep(SETTLE);
        Ok(server)
    }

    /// Adds to a fault of a scenario that the server has ended, if it has.
    pub(crate) fn explain(&mut self, fault: io::Error) -> io::Error {
        match self.child.try_wait() {
            Ok(Some(status)) => io::Error::other(format!("{fault}; the server ended, {status}")),
            _ => fault,
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the server has already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds the address in what the server prints, and goes on reading so that it can go on printing.
fn address_from(stdout: ChildStdout) -> io::Result<SocketAddr> {
    let (found, address) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if let Some(address) = listening_on(&line) {
                // Only the first one has a reader.
                let _ = found.try_send(address);
            }
        }
    });
    address.recv_timeout(START_LIMIT).map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            "the server did not print `listening on ADDR`",
        )
    })
}

fn listening_on(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_stand_anywhere_in_the_line() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 4711)));
        assert_eq!(listening_on("listening on 127.0.0.1:4711"), address);
        assert_eq!(
            listening_on("INFO echo: listening on 127.0.0.1:4711 with 1 shard"),
            address
        );
        assert_eq!(listening_on("listening"), None);
    }
}

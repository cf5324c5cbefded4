//! The system's side of a child process: starting it, signals, and its end.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::pin::Pin;
use std::process::{Command, ExitStatus};
use std::task::{Context, Poll};

use rustix::process::{Signal, kill_process, kill_process_group};

use crate::options::{SpawnProcess, Stdio};

/// The number of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Pid(rustix::process::Pid);

/// Whom signals go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) pid: Pid,
    /// Whether it leads a group, which gets them too.
    pub(super) group: bool,
}

impl Pid {
    pub(super) fn get(self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

/// A child process that is waited for.
pub(super) struct Child {
    target: Target,
    exit: Option<Pin<Box<dyn Future<Output = io::Result<ExitStatus>>>>>,
}

/// A child process that was just started, and our ends of its pipes.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) target: Target,
    pub(super) pipes: [Option<OwnedFd>; 3],
}

/// Starts it.
///
/// # Errors
/// What the system says: no such program, no right to run it, no descriptor or memory left (AIO-24).
pub(super) fn start(spawn: &SpawnProcess) -> io::Result<Started> {
    let mut command = Command::new(&spawn.program);
    command.args(&spawn.args);
    if spawn.env_clear {
        command.env_clear();
    }
    for (name, value) in &spawn.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = &spawn.current_dir {
        command.current_dir(directory);
    }
    if spawn.process_group {
        command.process_group(0);
    }
    let [input, output, errors] = spawn.stdio.map(system);
    command.stdin(input).stdout(output).stderr(errors);
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()?;
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw)
        .map(Pid)
        .ok_or_else(|| io::Error::other("the system gave the process no number"))?;
    let pipes = [
        child
            .stdin
            .take()
            .map(tokio::process::ChildStdin::into_owned_fd)
            .transpose()?,
        child
            .stdout
            .take()
            .map(tokio::process::ChildStdout::into_owned_fd)
            .transpose()?,
        child
            .stderr
            .take()
            .map(tokio::process::ChildStderr::into_owned_fd)
            .transpose()?,
    ];
    let target = Target {
        pid,
        group: spawn.process_group,
    };
    let child = Child {
        target,
        exit: Some(Box::pin(async move { child.wait().await })),
    };
    Ok(Started {
        child,
        target,
        pipes,
    })
}

fn system(stdio: Stdio) -> std::process::Stdio {
    match stdio {
        Stdio::Piped => std::process::Stdio::piped(),
        Stdio::Null => std::process::Stdio::null(),
        Stdio::Inherit => std::process::Stdio::inherit(),
    }
}

impl Child {
    /// Waits for its end, and takes it off the system's table.
    pub(super) fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<i32> {
        let Some(exit) = &mut self.exit else {
            return Poll::Pending;
        };
        exit.as_mut().poll(cx).map(|status| {
            self.exit = None;
            // Nothing but somebody else's waiting for our child can fail here.
            status.map_or(-1, code)
        })
    }
}

/// Sends a signal to a process that is known to be there still.
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no such signal, else what the system says.
pub(super) fn signal(target: Target, number: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(number)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no such signal"))?;
    let outcome = if target.group {
        kill_process_group(target.pid.0, signal)
    } else {
        kill_process(target.pid.0, signal)
    };
    Ok(outcome?)
}

/// The exit code, or minus the number of the signal (AIO-17).
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| -signal))
        .unwrap_or(-1)
}

impl Drop for Child {
    /// Nobody waits for it any more: it is ended, and its remains are taken off the system's table.
    fn drop(&mut self) {
        let Some(exit) = self.exit.take() else {
            return;
        };
        let _ = signal(self.target, Signal::KILL.as_raw());
        // It signals once more, while the number is certainly still that of our child.
        drop(exit);
        // The runtime would do so too, but perhaps this was the last of its threads.
        let pid = self.target.pid.0;
        let reap =
            move || rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        let reaper = std::thread::Builder::new().name("switchboard-reaper".into());
        let _ = reaper.spawn(reap);
    }
}

//! Commands to a process as messages to its actor.

use actix::Message;
use bytes::Bytes;
use switchboard_core::{SendError, SendRefusal};

use crate::client::ClientInfo;
use crate::message::{Abort, Close, GetInfo, SendData, WriteEof};

use super::{Process, SignalError};

/// A command that a process obeys.
pub trait ProcessCommand: Message + Sized {
    /// Carries it out.
    fn run(self, process: &Process) -> Self::Result;
}

/// Sends a signal to a process, such as 10 for SIGUSR1; see [`Process::signal`] (AIO-19).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), SignalError>")]
pub struct Signal(pub i32);

impl ProcessCommand for Signal {
    fn run(self, process: &Process) -> Self::Result {
        process.signal(self.0)
    }
}

/// Asks a process to end (SIGTERM); see [`Process::terminate`] (AIO-19).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), SignalError>")]
pub struct Terminate;

impl ProcessCommand for Terminate {
    fn run(self, process: &Process) -> Self::Result {
        process.terminate()
    }
}

/// Ends a process (SIGKILL); see [`Process::kill`] (AIO-19).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), SignalError>")]
pub struct Kill;

impl ProcessCommand for Kill {
    fn run(self, process: &Process) -> Self::Result {
        process.kill()
    }
}

impl ProcessCommand for Close {
    /// The deadline is the grace.
    fn run(self, process: &Process) -> bool {
        if self.flush {
            process.close_within(self.deadline)
        } else {
            process.abort()
        }
    }
}

impl ProcessCommand for Abort {
    fn run(self, process: &Process) -> bool {
        process.abort()
    }
}

impl ProcessCommand for GetInfo {
    fn run(self, process: &Process) -> ClientInfo {
        process.info()
    }
}

impl ProcessCommand for SendData {
    fn run(self, process: &Process) -> Result<(), SendError<Bytes>> {
        match self.token {
            Some(token) => process.send_with(self.data, token),
            None => process.send(self.data),
        }
    }
}

impl ProcessCommand for WriteEof {
    fn run(self, process: &Process) -> Result<(), SendRefusal> {
        process.write_eof()
    }
}

//! The pipes of a process: connections whose events its session is told as the process's.

use std::io;
use std::sync::{Arc, OnceLock, Weak};

use switchboard_core::connection::Event as CoreEvent;
use switchboard_core::{Cause, ClientId, ClosedDetail, Interests, IoOperation, Line};

use crate::message::{
    ClientEvent, PipeClosed, PipeData, PipeLine, Sent, WritePaused, WriteResumed,
};

use super::shared::ProcessShared;

/// What a connection knows that is a pipe of a process.
#[derive(Debug, Clone)]
pub(crate) struct PipeOf {
    process: Weak<ProcessShared>,
    id: ClientId,
    fd: i32,
    /// How it ended, once its session takes that.
    ended: OnceLock<ClosedDetail>,
}

impl PipeOf {
    pub(super) fn new(process: &Arc<ProcessShared>, fd: i32) -> Self {
        Self {
            id: process.id,
            process: Arc::downgrade(process),
            fd,
            ended: OnceLock::new(),
        }
    }

    /// What of its events the session is told, by what it handles of those of a process. The end of a pipe is
    /// always told, if only to the process.
    pub(crate) fn interests(&self, of_session: Interests) -> Interests {
        let handles = |interest| of_session.contains(interest);
        let common = Interests::CLOSED;
        if self.fd == 0 {
            [
                Interests::SENT,
                Interests::WRITE_PAUSED,
                Interests::WRITE_RESUMED,
            ]
            .into_iter()
            .fold(common, |all, each| all.with_if(each, handles(each)))
        } else {
            let lines = handles(Interests::PIPE_LINE);
            let data = handles(Interests::PIPE_DATA);
            common
                .with_if(Interests::LINE, lines)
                // What nobody wants is thrown away.
                .with_if(Interests::DATA, data || !lines)
                .with_if(Interests::MESSAGE, data)
        }
    }

    pub(crate) const fn is_input(&self) -> bool {
        self.fd == 0
    }

    pub(crate) fn line(&self, line: Line) -> ClientEvent {
        ClientEvent::PipeLine(PipeLine::new(self.id, self.fd, line))
    }

    pub(crate) fn data(&self, data: bytes::Bytes) -> ClientEvent {
        ClientEvent::PipeData(PipeData::new(self.id, self.fd, data))
    }

    /// The typed message for what the machine of the pipe told, if it is the process's concern.
    pub(crate) fn event(&self, event: CoreEvent) -> Option<ClientEvent> {
        Some(match event {
            CoreEvent::Line(line) => self.line(line),
            CoreEvent::Data(data) | CoreEvent::Message(data) => self.data(data),
            CoreEvent::Sent { token, bytes } => ClientEvent::Sent(Sent::new(self.id, token, bytes)),
            CoreEvent::WritePaused => ClientEvent::WritePaused(WritePaused::new(self.id)),
            CoreEvent::WriteResumed => ClientEvent::WriteResumed(WriteResumed::new(self.id)),
            CoreEvent::Closed(detail) => {
                let mut detail = Box::new(Arc::unwrap_or_clone(detail));
                if self.is_input() {
                    left_alone(&mut detail);
                }
                ClientEvent::PipeClosed(PipeClosed::new(self.id, self.fd, detail))
            }
            _ => return None,
        })
    }

    /// Keeps what ended the pipe, if this is its end. `true`: it is, and has to be [told](Self::told).
    pub(crate) fn ends(&self, event: &CoreEvent) -> bool {
        match event {
            CoreEvent::Closed(detail) => self.ended.set(ClosedDetail::clone(detail)).is_ok(),
            _ => false,
        }
    }

    /// The end of the pipe was told, or nobody is left to be told.
    pub(crate) fn told(&self) {
        if let (Some(process), Some(detail)) = (self.process.upgrade(), self.ended.get()) {
            process.pipe_told(self.fd, detail);
        }
    }

    /// The session failed or ended, which concerns the process.
    pub(crate) fn session_gone(&self, cause: Cause) {
        if let Some(process) = self.process.upgrade() {
            process.session_gone(cause);
        }
        // Perhaps it was the end that it failed to handle.
        self.told();
    }
}

/// Of an input that was closed at the other end, as every process does that ends. Only if something was to be
/// sent still is it an error, as asyncio has it.
fn left_alone(detail: &mut ClosedDetail) {
    let gone = matches!(
        detail.cause,
        Cause::Io {
            operation: IoOperation::Write,
            kind: io::ErrorKind::BrokenPipe,
            ..
        }
    );
    if gone && detail.unsent == 0 {
        detail.cause = Cause::PeerFinished;
    }
}

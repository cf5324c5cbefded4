//! The pipes of a process: connections whose events its session is told as the process's.

use std::sync::{Arc, Weak};

use switchboard_core::connection::Event as CoreEvent;
use switchboard_core::{Cause, ClientId, ClosedDetail, Interests, Line};

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
}

impl PipeOf {
    pub(super) fn new(process: &Arc<ProcessShared>, fd: i32) -> Self {
        Self {
            id: process.id,
            process: Arc::downgrade(process),
            fd,
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
            common
                .with_if(Interests::LINE, lines)
                // What nobody wants is thrown away.
                .with_if(Interests::DATA, handles(Interests::PIPE_DATA) || !lines)
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
            CoreEvent::Data(data) => self.data(data),
            CoreEvent::Sent { token, bytes } => ClientEvent::Sent(Sent::new(self.id, token, bytes)),
            CoreEvent::WritePaused => ClientEvent::WritePaused(WritePaused::new(self.id)),
            CoreEvent::WriteResumed => ClientEvent::WriteResumed(WriteResumed::new(self.id)),
            CoreEvent::Closed(detail) => {
                ClientEvent::PipeClosed(PipeClosed::new(self.id, self.fd, detail))
            }
            _ => return None,
        })
    }

    /// What ended the pipe, if this is its end.
    pub(crate) fn end(event: &CoreEvent) -> Option<ClosedDetail> {
        match event {
            CoreEvent::Closed(detail) => Some(ClosedDetail::clone(detail)),
            _ => None,
        }
    }

    /// The end of the pipe was told.
    pub(crate) fn told(&self, detail: &ClosedDetail) {
        if let Some(process) = self.process.upgrade() {
            process.pipe_told(self.fd, detail);
        }
    }

    /// The session failed or ended, which concerns the process.
    pub(crate) fn session_gone(&self, cause: Cause) {
        if let Some(process) = self.process.upgrade() {
            process.session_gone(cause);
        }
    }
}

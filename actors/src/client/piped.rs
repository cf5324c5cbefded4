//! A connection that is a pipe of a child process: what it tells is told as the process's.

use switchboard_core::ClosedDetail;

use crate::message::ClientEvent;

use super::Client;
use super::shared::{Shared, SharedEvent};

#[cfg(unix)]
impl Shared {
    pub(crate) const fn is_pipe_of_process(&self) -> bool {
        self.pipe_of.is_some()
    }

    /// The typed message for what the machine told, if anybody is to be told; the end of a pipe is put aside.
    pub(super) fn told_as(
        &self,
        event: SharedEvent,
        client: &Client,
        end: &mut Option<ClosedDetail>,
    ) -> Option<ClientEvent> {
        let Some(pipe) = &self.pipe_of else {
            return Some(ClientEvent::from_core(event, client));
        };
        if let Some(detail) = self.end_of_pipe(&event) {
            *end = Some(detail);
        }
        pipe.event(event)
    }

    /// What ended the pipe, if this is the end of one.
    pub(super) fn end_of_pipe(&self, event: &SharedEvent) -> Option<ClosedDetail> {
        self.pipe_of.as_ref()?;
        crate::process::PipeOf::end(event)
    }

    /// The end of the pipe was told.
    pub(super) fn pipe_told(&self, end: Option<ClosedDetail>) {
        if let (Some(pipe), Some(end)) = (&self.pipe_of, end) {
            pipe.told(&end);
        }
    }
}

#[cfg(not(unix))]
impl Shared {
    pub(crate) const fn is_pipe_of_process(&self) -> bool {
        false
    }

    pub(super) fn told_as(
        &self,
        event: SharedEvent,
        client: &Client,
        _: &mut Option<ClosedDetail>,
    ) -> Option<ClientEvent> {
        Some(ClientEvent::from_core(event, client))
    }

    pub(super) const fn end_of_pipe(&self, _: &SharedEvent) -> Option<ClosedDetail> {
        None
    }

    pub(super) fn pipe_told(&self, _: Option<ClosedDetail>) {}
}

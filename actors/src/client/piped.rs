//! A connection that is a pipe of a child process: what it tells is told as the process's.

use crate::message::ClientEvent;

use super::Client;
use super::shared::Shared;
use super::turn::SharedEvent;

#[cfg(unix)]
impl Shared {
    pub(crate) const fn is_pipe_of_process(&self) -> bool {
        self.pipe_of.is_some()
    }

    /// The typed message for what the machine told, if anybody is to be told; `ends` is set at the end of a pipe.
    pub(super) fn told_as(
        &self,
        event: SharedEvent,
        client: &Client,
        ends: &mut bool,
    ) -> Option<ClientEvent> {
        let Some(pipe) = &self.pipe_of else {
            return Some(ClientEvent::from_core(event, client));
        };
        *ends |= pipe.ends(&event);
        pipe.event(event)
    }

    /// Whether this is the end of a pipe.
    pub(super) fn ends_pipe(&self, event: &SharedEvent) -> bool {
        self.pipe_of.as_ref().is_some_and(|pipe| pipe.ends(event))
    }

    /// The end of the pipe was told.
    pub(super) fn pipe_told(&self) {
        if let Some(pipe) = &self.pipe_of {
            pipe.told();
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
        _: &mut bool,
    ) -> Option<ClientEvent> {
        Some(ClientEvent::from_core(event, client))
    }

    pub(super) const fn ends_pipe(&self, _: &SharedEvent) -> bool {
        false
    }

    pub(super) const fn pipe_told(&self) {}
}

//! Who tells the connections of a shard that an urgent byte has come (AC-06, XAS-70).
//!
//! One task per shard sleeps until there is one. It is not on the path of data: a connection that it never
//! tells anything reads as if there were no such bytes.

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};

use switchboard_core::ClientId;

use crate::transport::{Transport, UrgentDoor, UrgentPoll};

use super::ShardLocal;
use super::task::ShardTask;

/// Hears of urgent bytes, from when it is first needed until its shard ends.
#[derive(Default)]
pub(super) struct Ear(RefCell<Hearing>);

#[derive(Default)]
enum Hearing {
    #[default]
    Unneeded,
    On {
        poll: Rc<UrgentPoll>,
        _task: ShardTask,
    },
    Over,
}

/// Ends it with its shard, whatever still holds on to what the shard has shared.
pub(super) struct HearingEnd(Rc<ShardLocal>);

impl Drop for HearingEnd {
    fn drop(&mut self) {
        let before = self.0.ear.0.replace(Hearing::Over);
        drop(before);
    }
}

impl ShardLocal {
    /// Makes it ready where it will be needed, so that it takes nothing later. What could not be had then is
    /// asked for again.
    pub(super) fn prepare_for_urgent(self: &Rc<Self>, door: Option<UrgentDoor>) -> HearingEnd {
        if let Some(door) = door {
            let _ = self.listen_for_urgent(|| Ok(door));
        }
        HearingEnd(Rc::clone(self))
    }

    /// A connection's transport came up here. Without a descriptor to wait with, or memory of the system,
    /// its urgent bytes are noticed when it is read.
    pub(crate) fn add_for_urgent(self: &Rc<Self>, id: ClientId, transport: &dyn Transport) {
        if let Some(socket) = transport.urgent_socket()
            && let Ok(poll) = self.listen_for_urgent(UrgentDoor::open)
        {
            let _ = poll.add(&socket, id.as_u64());
        }
    }

    /// It goes down here.
    pub(crate) fn remove_for_urgent(&self, transport: &dyn Transport) {
        if let Some(socket) = transport.urgent_socket()
            && let Hearing::On { poll, .. } = &*self.ear.0.borrow()
        {
            poll.remove(&socket);
        }
    }

    fn listen_for_urgent(
        self: &Rc<Self>,
        door: impl FnOnce() -> io::Result<UrgentDoor>,
    ) -> io::Result<Rc<UrgentPoll>> {
        let mut hearing = self.ear.0.borrow_mut();
        match &*hearing {
            Hearing::Unneeded => {}
            Hearing::On { poll, .. } => return Ok(Rc::clone(poll)),
            Hearing::Over => return Err(io::ErrorKind::Interrupted.into()),
        }
        let poll = Rc::new(UrgentPoll::at(door()?)?);
        let task = tokio::task::spawn_local(hear(Rc::downgrade(self), Rc::clone(&poll)));
        *hearing = Hearing::On {
            poll: Rc::clone(&poll),
            _task: ShardTask(task.abort_handle()),
        };
        Ok(poll)
    }

    fn urgent_came(&self, id: ClientId) {
        let lingering = || self.lingering.borrow().get(&id).cloned();
        if let Some(channel) = self.channel(id).or_else(lingering) {
            channel.urgent_came();
        }
    }
}

async fn hear(local: Weak<ShardLocal>, poll: Rc<UrgentPoll>) {
    while let Ok(ids) = poll.next().await
        && let Some(local) = local.upgrade()
    {
        for id in ids {
            local.urgent_came(ClientId::from_u64(id));
        }
    }
}

//! The task of a connection's actor: alone at first, in an actix context from when somebody has its address.
//!
//! Few connections are ever sent a command as a message, and a mailbox with its context is as large as all the
//! rest of an idle actor. So the actor gets them when its address is first asked for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::dev::ContextFut;
use actix::dev::channel::{AddressReceiver, channel};
use actix::{Addr, AsyncContext, Context, WeakAddr};

use super::actor::Driver;
use super::shared::{Rare, wake};
use super::{ClientActor, Shared};

/// How many commands may wait where somebody minds; actix's own default.
const MAILBOX: usize = 16;

/// Where an actor's commands arrive, once somebody could send some.
pub(super) struct Post {
    address: WeakAddr<ClientActor>,
    /// Until the actor has taken it.
    mailbox: Option<AddressReceiver<ClientActor>>,
}

impl Post {
    /// What the actor is to take.
    pub(super) const fn take(&mut self) -> Option<AddressReceiver<ClientActor>> {
        self.mailbox.take()
    }
}

impl Shared {
    /// The address of its actor, while that is there.
    pub(super) fn addr(self: &Arc<Self>) -> Option<Addr<ClientActor>> {
        let mut core = self.lock();
        core.home?;
        if let Some(Rare {
            post: Some(post), ..
        }) = core.rare()
        {
            return post.address.upgrade();
        }
        let (sender, mailbox) = channel(MAILBOX);
        let address = Addr::new(sender);
        core.make_rare().post = Some(Post {
            address: address.downgrade(),
            mailbox: Some(mailbox),
        });
        // It takes its mailbox in its next look.
        wake(core);
        Some(address)
    }
}

/// Runs the actor of a connection.
pub(super) enum ClientTask {
    Alone(ClientActor),
    InContext(Box<ContextFut<ClientActor, Context<ClientActor>>>),
    /// From the one to the other.
    Moving,
}

impl ClientTask {
    fn enter(&mut self, mailbox: AddressReceiver<ClientActor>) {
        if let Self::Alone(actor) = std::mem::replace(self, Self::Moving) {
            let mut ctx = Context::with_receiver(mailbox);
            ctx.spawn(Driver);
            *self = Self::InContext(Box::new(ctx.into_future(actor)));
        }
    }
}

impl Future for ClientTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Self::Alone(actor) = this {
            if actor.drive(cx).is_ready() {
                return Poll::Ready(());
            }
            let Some(mailbox) = actor.take_mailbox() else {
                return Poll::Pending;
            };
            this.enter(mailbox);
        }
        match this {
            Self::InContext(future) => Pin::new(future).poll(cx),
            Self::Alone(_) | Self::Moving => Poll::Pending,
        }
    }
}

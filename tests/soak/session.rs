//! The sessions of a world: each kind receives in another way, and all write into the book.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::Rng;
use switchboard::{Client, SessionContext};

use super::account::{Account, Book, Role};

/// How a session receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sends every line back.
    Echo,
    /// Takes lines and says nothing.
    Lines,
    /// Takes whatever comes.
    Data,
    /// Arms one receive after the other, each for other amounts.
    OneByOne,
    /// Takes lines, and changes its mind in the middle of them: pauses, cancels, closes.
    Fickle,
    /// Arms nothing.
    Deaf,
}

impl Kind {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        match rng.u8(0..10) {
            0..2 => Self::Echo,
            2..3 => Self::Lines,
            3..5 => Self::Data,
            5..7 => Self::OneByOne,
            7..9 => Self::Fickle,
            _ => Self::Deaf,
        }
    }
}

/// Sessions that write into this book.
pub(super) fn factory(
    book: &Book,
    role: Role,
) -> impl Fn(Client) -> Subject + Clone + Send + Sync + 'static {
    let book = book.clone();
    move |client| {
        let account = book.open(&client, role);
        let kind = account.lock().unwrap_or_else(PoisonError::into_inner).kind;
        Subject {
            client,
            kind,
            account,
            armed: 0,
        }
    }
}

pub(super) struct Subject {
    client: Client,
    kind: Kind,
    account: Arc<Mutex<Account>>,
    armed: usize,
}

impl Actor for Subject {
    type Context = SessionContext<Self>;
}

impl Subject {
    fn note(&self, event: &ClientEvent) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.note(event);
    }

    /// What the workload wants to happen at the next event.
    fn misbehave(&self, ctx: &mut SessionContext<Self>) {
        let (panics, stops) = {
            let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
            account.misdeed(&self.client)
        };
        if stops {
            ctx.stop();
        }
        // A panic of which the hook makes no noise.
        if panics {
            std::panic::resume_unwind(Box::new("drawn by the workload"));
        }
    }

    fn send(&self, payload: Vec<u8>) {
        if self.client.send(payload.clone()).is_ok() {
            let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
            account.accepted(&payload, None);
        }
    }

    /// Other lines came with this one; they must come later all the same.
    fn change_its_mind(&mut self, ctx: &mut SessionContext<Self>) {
        self.armed += 1;
        if self.armed % 5 == 1 {
            self.client.pause_reading();
            ctx.run_later(Duration::from_millis(3), |session, _| {
                session.client.resume_reading();
            });
        }
        if self.armed % 7 == 2 {
            self.client.cancel_recv();
            // Refused when it is closing.
            let _ = self.client.arm(RecvLine::once().always());
        }
        if self.armed.is_multiple_of(200) {
            self.client.close();
        }
    }

    fn arm_next(&mut self) {
        self.armed += 1;
        let few = NonZeroUsize::MIN.saturating_add(self.armed * 7 % 300);
        // Refused when it is closing.
        let _ = match self.armed % 4 {
            0 => self.client.arm(RecvLine::once()),
            1 => self.client.arm(RecvData::exact(few)),
            2 => self.client.arm(RecvData::available()),
            _ => self.client.arm(RecvData::up_to(few)),
        };
    }
}

macro_rules! notes {
    ($($event:ident),*) => {
        $(impl Handler<$event> for Subject {
            type Result = ();

            fn handle(&mut self, event: $event, ctx: &mut Self::Context) {
                self.note(&ClientEvent::$event(event));
                self.misbehave(ctx);
            }
        })*
    };
}

notes!(ConnectFailed, Sent, Disconnected, Reconnecting, Closed);

impl Subject {
    fn opened(&mut self, event: &ClientEvent, ctx: &mut SessionContext<Self>) {
        self.note(event);
        self.misbehave(ctx);
        let _ = match self.kind {
            Kind::Echo | Kind::Lines | Kind::Fickle => self.client.arm(RecvLine::once().always()),
            Kind::Data => self.client.arm(RecvData::available().always()),
            Kind::Deaf => Ok(()),
            Kind::OneByOne => {
                self.arm_next();
                Ok(())
            }
        };
    }
}

impl Handler<Accepted> for Subject {
    type Result = ();

    fn handle(&mut self, event: Accepted, ctx: &mut Self::Context) {
        self.opened(&ClientEvent::Accepted(event), ctx);
    }
}

impl Handler<Connected> for Subject {
    type Result = ();

    fn handle(&mut self, event: Connected, ctx: &mut Self::Context) {
        self.opened(&ClientEvent::Connected(event), ctx);
    }
}

impl Handler<Adopted> for Subject {
    type Result = ();

    fn handle(&mut self, event: Adopted, ctx: &mut Self::Context) {
        self.opened(&ClientEvent::Adopted(event), ctx);
    }
}

impl Handler<LineReceived> for Subject {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        let line = event.line.clone();
        self.note(&ClientEvent::LineReceived(event));
        self.misbehave(ctx);
        match self.kind {
            Kind::Echo => self.send([&line[..], line.ending().as_bytes()].concat()),
            Kind::OneByOne => self.arm_next(),
            Kind::Fickle => self.change_its_mind(ctx),
            Kind::Lines | Kind::Data | Kind::Deaf => {}
        }
    }
}

impl Handler<DataReceived> for Subject {
    type Result = ();

    fn handle(&mut self, event: DataReceived, ctx: &mut Self::Context) {
        self.note(&ClientEvent::DataReceived(event));
        self.misbehave(ctx);
        if self.kind == Kind::OneByOne {
            self.arm_next();
        }
    }
}

switchboard::session!(Subject);

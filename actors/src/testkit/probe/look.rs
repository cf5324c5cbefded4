//! Looking: what a test can expect of all connections of a probe, or of one.

use std::panic::Location;
use std::time::Duration;

use switchboard_core::{ClientId, ClosedReason, Token};

use super::Probe;
use super::inbox::Inbox;
use super::kind::{EventKind, client_of, describe, quote, quote_bytes};
use crate::client::Client;
use crate::message::*;

/// A [`Probe`] that looks at one connection, or with another patience.
#[derive(Debug)]
#[must_use = "it does nothing until it is told what to expect"]
pub struct Look<'a> {
    inbox: &'a mut Inbox,
    /// The only connection that is looked at.
    client: Option<ClientId>,
    patience: Duration,
}

impl<'a> Look<'a> {
    pub(super) const fn new(inbox: &'a mut Inbox, patience: Duration) -> Self {
        Self {
            inbox,
            client: None,
            patience,
        }
    }

    /// Looks at one connection only; what others tell waits to be looked at.
    pub const fn of(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// Looks with another patience.
    pub const fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    const fn look(&mut self) -> Look<'_> {
        Look {
            inbox: &mut *self.inbox,
            client: self.client,
            patience: self.patience,
        }
    }

    /// The next event, or `None` when time is up.
    async fn take(&mut self, at: &Location<'_>) -> Option<ClientEvent> {
        self.inbox.next(self.client, self.patience, at).await
    }

    /// The next event, as what `pick` makes of it or gives back.
    async fn pick<T>(
        mut self,
        at: &Location<'_>,
        wanted: String,
        pick: impl FnOnce(ClientEvent) -> Result<T, ClientEvent>,
    ) -> T {
        let got = match self.take(at).await.map(pick) {
            Some(Ok(picked)) => return picked,
            Some(Err(other)) => {
                format!("{} of client {}", describe(&other), client_of(&other))
            }
            None => format!("nothing within {:?}", self.patience),
        };
        let of = self.client.map(|client| format!(" of client {client}"));
        let why = format!("expected {wanted}{}, got {got}", of.unwrap_or_default());
        self.inbox.fail(at, &why)
    }

    async fn expect_that<E: EventKind>(
        self,
        at: &Location<'_>,
        wanted: String,
        fits: impl FnOnce(&E) -> bool,
    ) -> E {
        let pick = |event| match E::from_event(event) {
            Ok(event) if fits(&event) => Ok(event),
            Ok(unfit) => Err(unfit.into()),
            Err(other) => Err(other),
        };
        self.pick(at, wanted, pick).await
    }

    async fn nothing_for(mut self, time: Duration, at: &Location<'_>) {
        self.patience = time;
        if let Some(event) = self.take(at).await {
            let (client, got) = (client_of(&event), describe(&event));
            let why = format!("expected nothing for {time:?}, got {got} of client {client}");
            self.inbox.fail(at, &why);
        }
    }
}

/// The expectations are the same for all connections and for one.
macro_rules! expectations {
    ($look:ty) => {
        /// What is expected. Each panics, with the timeline, if something else comes, if nothing comes
        /// in time, or if the order contract is broken.
        impl $look {
            /// The next event, whatever it is.
            ///
            /// # Panics
            ///
            /// If none comes in time, or if the order contract is broken.
            #[allow(
                clippy::should_implement_trait,
                reason = "the word fits: it is awaited"
            )]
            #[track_caller]
            pub fn next(&mut self) -> impl Future<Output = ClientEvent> {
                let at = Location::caller();
                self.look().pick(at, "an event".into(), Ok)
            }

            /// An event of this kind.
            ///
            /// # Panics
            ///
            /// If another one comes or none in time, or if the order contract is broken.
            #[track_caller]
            pub fn expect<E: EventKind>(&mut self) -> impl Future<Output = E> {
                let at = Location::caller();
                self.look().expect_that(at, E::NAME.into(), |_| true)
            }

            /// [`Accepted`] or [`Connected`]; the handle of the connection.
            ///
            /// # Panics
            ///
            /// If another event comes or none in time, or if the order contract is broken.
            #[track_caller]
            pub fn expect_open(&mut self) -> impl Future<Output = Client> {
                let pick = |event| match event {
                    ClientEvent::Accepted(Accepted { handle, .. })
                    | ClientEvent::Connected(Connected { handle, .. }) => Ok(handle),
                    other => Err(other),
                };
                let at = Location::caller();
                self.look().pick(at, "Accepted or Connected".into(), pick)
            }

            /// A line with exactly this text, decoded by its own encoding.
            ///
            /// # Panics
            ///
            /// If another event comes or none in time, or if the order contract is broken.
            #[track_caller]
            pub fn expect_line(&mut self, text: &str) -> impl Future<Output = LineReceived> {
                let at = Location::caller();
                let wanted = format!("LineReceived {}", quote(text.as_bytes()));
                let fits = move |got: &LineReceived| got.line.text().is_ok_and(|line| line == text);
                self.look().expect_that(at, wanted, fits)
            }

            /// One [`DataReceived`] with exactly these bytes.
            ///
            /// # Panics
            ///
            /// If another event comes or none in time, or if the order contract is broken.
            #[track_caller]
            pub fn expect_data(&mut self, bytes: &[u8]) -> impl Future<Output = DataReceived> {
                let at = Location::caller();
                let wanted = format!("DataReceived {}", quote_bytes(bytes));
                let fits = move |got: &DataReceived| got.data == bytes;
                self.look().expect_that(at, wanted, fits)
            }

            /// A length-prefixed message of exactly these bytes.
            ///
            /// # Panics
            ///
            /// If another event comes or none in time, or if the order contract is broken.
            #[track_caller]
            pub fn expect_message(
                &mut self,
                bytes: &[u8],
            ) -> impl Future<Output = MessageReceived> {
                let at = Location::caller();
                let wanted = format!("MessageReceived {}", quote_bytes(bytes));
                let fits = move |got: &MessageReceived| got.message == bytes;
                self.look().expect_that(at, wanted, fits)
            }

            /// The notice of the send with this token.
            ///
            /// # Panics
            ///
            /// If another event comes or none in time, or if the order contract is broken.
            #[track_caller]
            pub fn expect_sent(&mut self, token: impl Into<Token>) -> impl Future<Output = Sent> {
                let (at, token) = (Location::caller(), token.into());
                let wanted = format!("Sent token {}", token.0);
                let fits = move |got: &Sent| got.token == token;
                self.look().expect_that(at, wanted, fits)
            }

            /// The end, for this reason.
            ///
            /// # Panics
            ///
            /// If another event comes or none in time, or if the order contract is broken.
            #[track_caller]
            pub fn expect_closed(&mut self, reason: ClosedReason) -> impl Future<Output = Closed> {
                let at = Location::caller();
                let wanted = format!("Closed {reason}");
                let fits = move |got: &Closed| got.reason == reason;
                self.look().expect_that(at, wanted, fits)
            }

            /// Waits for so long; nothing may come, and nothing be left that nobody has looked at.
            ///
            /// # Panics
            ///
            /// If an event comes, or if the order contract is broken.
            #[track_caller]
            pub fn no_more(&mut self, time: Duration) -> impl Future<Output = ()> {
                let at = Location::caller();
                self.look().nothing_for(time, at)
            }

            /// Takes all that was recorded and not yet looked at.
            ///
            /// # Panics
            ///
            /// If the order contract is broken.
            #[track_caller]
            pub fn so_far(&mut self) -> Vec<ClientEvent> {
                let Look { inbox, client, .. } = self.look();
                inbox.look(Location::caller());
                std::iter::from_fn(|| inbox.take(client)).collect()
            }
        }
    };
}

expectations!(Probe);
expectations!(Look<'_>);

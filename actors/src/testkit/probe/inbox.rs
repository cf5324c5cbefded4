//! What a probe was told: events that nobody has looked at yet, and the timeline of all.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::panic::Location;
use std::time::Duration;

use switchboard_core::ClientId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::kind::{client_of, describe};
use super::order::Order;
use super::recorder::{Entry, News, Recorder};
use crate::message::ClientEvent;

/// How many events a timeline keeps; the earlier ones are left out of it, and counted.
const TIMELINE: usize = 4096;

#[derive(Debug)]
pub(super) struct Inbox {
    entries: mpsc::UnboundedReceiver<Entry>,
    /// Keeps the channel open: its end would say nothing.
    pub(super) recorder: Recorder,
    pub(super) order: Order,
    waiting: VecDeque<ClientEvent>,
    /// How many sessions of the probe live.
    sessions: usize,
    timeline: Timeline,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let (recorder, entries) = Recorder::new();
        Self {
            entries,
            recorder,
            order: Order::new(),
            waiting: VecDeque::new(),
            sessions: 0,
            timeline: Timeline::new(),
        }
    }

    /// Takes in all that was recorded.
    ///
    /// # Panics
    ///
    /// If the order contract is broken.
    pub(super) fn look(&mut self, at: &Location<'_>) {
        if let Some(breach) = self.breach() {
            self.fail(at, &breach);
        }
    }

    /// Takes in all that was recorded, and says what broke the order contract, once.
    pub(super) fn breach(&mut self) -> Option<String> {
        while let Ok(entry) = self.entries.try_recv() {
            self.take_in(entry);
        }
        self.order.take_breach()
    }

    /// The earliest event of this connection, or of any, that nobody has looked at.
    pub(super) fn take(&mut self, client: Option<ClientId>) -> Option<ClientEvent> {
        let fits = |event| client.is_none_or(|client| client_of(event) == client);
        let position = self.waiting.iter().position(fits)?;
        self.waiting.remove(position)
    }

    /// The same, waiting for one; `None` when time is up.
    pub(super) async fn next(
        &mut self,
        client: Option<ClientId>,
        patience: Duration,
        at: &Location<'_>,
    ) -> Option<ClientEvent> {
        let next = async {
            loop {
                self.look(at);
                if let Some(event) = self.take(client) {
                    return event;
                }
                self.wait().await;
            }
        };
        tokio::time::timeout(patience, next).await.ok()
    }

    /// Waits until every session is gone or an event waits; whether it was so in time.
    pub(super) async fn ended(&mut self, patience: Duration, at: &Location<'_>) -> bool {
        let ended = async {
            loop {
                self.look(at);
                if self.sessions == 0 || !self.waiting.is_empty() {
                    return;
                }
                self.wait().await;
            }
        };
        tokio::time::timeout(patience, ended).await.is_ok()
    }

    pub(super) const fn sessions(&self) -> usize {
        self.sessions
    }

    /// Panics with the reason and the timeline, in which is what has come meanwhile.
    pub(super) fn fail(&mut self, at: &Location<'_>, why: &str) -> ! {
        let also = self.breach().map(|breach| format!("\nand {breach}"));
        let also = also.unwrap_or_default();
        panic!("{at}: {why}{also}\n{}", self.timeline);
    }

    pub(super) fn report(&self, why: &str) -> String {
        format!("{why}\n{}", self.timeline)
    }

    /// Waits for one more entry.
    async fn wait(&mut self) {
        if let Some(entry) = self.entries.recv().await {
            self.take_in(entry);
        }
    }

    fn take_in(&mut self, entry: Entry) {
        let Entry { at, news } = entry;
        match news {
            News::Made { open } => {
                self.sessions += 1;
                if let Some(channel) = open {
                    self.order.made(channel);
                }
            }
            News::Event(event) => {
                self.timeline.add(at, client_of(&event), describe(&event));
                self.order.event(&event);
                self.waiting.push_back(event);
            }
            News::Gone(client) => {
                self.sessions -= 1;
                if self.order.gone(client) {
                    let text = "(the session is gone)".to_owned();
                    self.timeline.add(at, client, text);
                }
            }
        }
    }
}

/// What happened and when, in words: it keeps no payload and no handle alive.
#[derive(Debug)]
struct Timeline {
    began: Instant,
    lines: VecDeque<(Duration, ClientId, String)>,
    left_out: usize,
}

impl Timeline {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            lines: VecDeque::new(),
            left_out: 0,
        }
    }

    fn add(&mut self, at: Instant, client: ClientId, text: String) {
        if self.lines.len() == TIMELINE {
            self.lines.pop_front();
            self.left_out += 1;
        }
        // Another thread's clock may not be the one that this test has stopped.
        let since = at.saturating_duration_since(self.began);
        self.lines.push_back((since, client, text));
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timeline, in seconds since the probe began:")?;
        if self.lines.is_empty() {
            f.write_str(" nothing happened")?;
        }
        if self.left_out > 0 {
            write!(f, "\n  ({} earlier events are left out)", self.left_out)?;
        }
        for (since, client, text) in &self.lines {
            write!(
                f,
                "\n  +{:.3} s  client {client}  {text}",
                since.as_secs_f64()
            )?;
        }
        f.write_char('\n')
    }
}

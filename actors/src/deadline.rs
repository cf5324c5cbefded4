//! The one deadline of an actor: a sleep that is armed for the nearest of all.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use crate::client::clock;

/// Keeps one sleep armed for the nearest deadline. It may fire early, never late.
#[derive(Debug, Default)]
pub(crate) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Sleeps until then at most; `sleeps` remembers until when. A moment that has passed wakes at once.
    pub(crate) fn keep(
        &mut self,
        deadline: Option<Instant>,
        sleeps: &mut Option<Instant>,
        cx: &mut Context<'_>,
    ) {
        let Some(deadline) = deadline else {
            *sleeps = None;
            return;
        };
        let armed = sleeps.filter(|armed| *armed <= deadline);
        if armed.is_some_and(|armed| armed > clock()) {
            return;
        }
        let at = tokio::time::Instant::from_std(deadline);
        let sleep = match &mut self.0 {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        *sleeps = Some(deadline);
    }
}

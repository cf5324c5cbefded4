//! Events that are not received datagrams, while they wait for the session.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use crate::connection::Interests;
use crate::reason::IoOperation;

use super::DatagramEvent;

/// From so many waiting notices on, changes of a level that cancel out are left out.
const LEVEL_NOTICES: usize = 16;
/// How many reported errors wait at most; those behind them are only counted.
pub(super) const MOST_ERRORS: usize = 16;
/// The most notices that an empty queue keeps room for.
const KEPT_ROOM: usize = 64;

/// Bounded: by the sends that may wait for a notice, the datagrams that may be queued, and a few.
#[derive(Debug, Default)]
pub(super) struct Notices {
    queue: VecDeque<DatagramEvent>,
    /// Told first: they are about what was sent before.
    errors: VecDeque<Reported>,
    /// How many failed datagrams wait to be told, and their bytes.
    failed: usize,
    failed_bytes: usize,
}

/// An error that the system reported, and how often in a row.
#[derive(Debug)]
struct Reported {
    operation: IoOperation,
    kind: io::ErrorKind,
    errno: Option<i32>,
    count: u64,
}

impl Notices {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.errors.is_empty()
    }

    pub(super) const fn failed(&self) -> usize {
        self.failed
    }

    pub(super) const fn failed_bytes(&self) -> usize {
        self.failed_bytes
    }

    pub(super) fn push(&mut self, event: DatagramEvent) {
        if let DatagramEvent::Failed { data, .. } = &event {
            self.failed += 1;
            self.failed_bytes += data.len();
        }
        if event.is_write_level() && self.queue.len() >= LEVEL_NOTICES && self.cancels_out(&event) {
            return;
        }
        self.queue.push_back(event);
    }

    /// Joins an error to the last one if it is the same; `false`: too many others wait.
    pub(super) fn push_error(&mut self, operation: IoOperation, error: &io::Error) -> bool {
        let (kind, errno) = (error.kind(), error.raw_os_error());
        if let Some(last) = self.errors.back_mut()
            && (last.operation, last.kind, last.errno) == (operation, kind, errno)
        {
            last.count += 1;
            return true;
        }
        let fits = self.errors.len() < MOST_ERRORS;
        if fits {
            self.errors.push_back(Reported {
                operation,
                kind,
                errno,
                count: 1,
            });
        }
        fits
    }

    pub(super) fn pop(&mut self) -> Option<DatagramEvent> {
        if let Some(reported) = self.errors.pop_front() {
            return Some(DatagramEvent::Error {
                operation: reported.operation,
                kind: reported.kind,
                errno: reported.errno,
                count: reported.count,
            });
        }
        let event = self.queue.pop_front()?;
        if let DatagramEvent::Failed { data, .. } = &event {
            self.failed -= 1;
            self.failed_bytes -= data.len();
        }
        if self.queue.is_empty() && self.queue.capacity() > KEPT_ROOM {
            self.queue = VecDeque::new();
        }
        Some(event)
    }

    /// A successor is told first how things stand, then what was not told yet of what it handles.
    pub(super) fn hand_over(
        &mut self,
        interests: Interests,
        first: impl IntoIterator<Item = DatagramEvent>,
        spent: &mut Vec<Bytes>,
    ) {
        let mut before = std::mem::take(self);
        for event in first {
            self.push(event);
        }
        for event in before.queue.drain(..) {
            if interests.contains(event.interest()) && !event.is_write_level() {
                self.push(event);
            } else {
                spent.extend(event.into_data());
            }
        }
        if interests.contains(Interests::UDP_ERROR) {
            self.errors = before.errors;
        }
    }

    pub(super) fn clear(&mut self, spent: &mut Vec<Bytes>) {
        let before = std::mem::take(self);
        let data = before
            .queue
            .into_iter()
            .filter_map(DatagramEvent::into_data);
        spent.extend(data);
    }

    /// A session that falls behind need not hear of levels that have changed back meanwhile.
    fn cancels_out(&mut self, level: &DatagramEvent) -> bool {
        let last = self.queue.iter().rposition(DatagramEvent::is_write_level);
        let Some(last) = last else {
            return false;
        };
        // A session that hears of one of the two only has the same one waiting.
        if std::mem::discriminant(&self.queue[last]) != std::mem::discriminant(level) {
            self.queue.remove(last);
        }
        true
    }
}

//! How fast the peer must be: a least rate in each direction, and a deadline for each frame.
//!
//! A clock runs only while somebody waits for the peer: for the rest of a frame that has begun, or for
//! room to write. A window that brought too little is judged only when the socket was asked once more
//! and had nothing: what came or went while our own thread was busy counts for the peer.

use crate::config::RateRule;
use crate::now::Now;
use crate::reason::{Cause, TimeoutKind};

use super::secure::Security;
use super::state::{ReadHalf, State, WriteHalf};
use super::{Connection, ReadWish};

/// The windows of both directions. They belong to the timers: who stops all clocks shuts them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Not shut while a frame is unfinished, whether or not it has a clock.
    reading: PackedWindow,
    writing: PackedWindow,
}

/// One direction's window; `since` is how many bytes had moved when it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    /// Nobody waits for the peer.
    Shut,
    Open {
        since: u64,
    },
    /// Its time is up; what the socket says next decides.
    Ended {
        since: u64,
    },
}

/// A [`Window`] in one word: every connection has two. Nobody moves as many bytes as there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PackedWindow(u64);

impl PackedWindow {
    const SHUT: Self = Self(0);
    const OPEN: u64 = 1;
    const ENDED: u64 = 2;

    const fn get(self) -> Window {
        let since = self.0 >> 2;
        match self.0 & 3 {
            Self::OPEN => Window::Open { since },
            Self::ENDED => Window::Ended { since },
            _ => Window::Shut,
        }
    }

    fn is_shut(self) -> bool {
        self == Self::SHUT
    }

    const fn open(since: u64) -> Self {
        Self(since << 2 | Self::OPEN)
    }

    const fn ended(since: u64) -> Self {
        Self(since << 2 | Self::ENDED)
    }
}

const fn too_slow(kind: TimeoutKind, rule: RateRule) -> Cause {
    Cause::Timeout {
        kind,
        after: rule.window,
    }
}

/// Reading.
impl Connection {
    /// Whether bytes of a frame wait for the rest of it.
    fn is_frame_begun(&self) -> bool {
        !self.inbound.is_ready()
            && !self.inbound.is_empty()
            && self.inbound.armed().is_some()
            && !self.has_fault()
            && matches!(
                self.state,
                State::Open {
                    read: ReadHalf::Open,
                    ..
                }
            )
    }

    /// How much has come in all, those parts of a record included that nobody can read yet.
    fn come(&self) -> u64 {
        self.bytes_in + self.records_under_way().incoming
    }

    /// Starts the clocks of a frame that has begun, stops those of one that is complete.
    #[inline]
    pub(super) fn pace_reading(&mut self, now: &mut Now) {
        // Mostly nothing has begun, and nothing begins.
        let begins = !self.inbound.is_ready() && !self.inbound.is_empty();
        if begins || !self.timers.pace.reading.is_shut() {
            self.change_pace(now);
        }
    }

    fn change_pace(&mut self, now: &mut Now) {
        match (self.timers.pace.reading.get(), self.is_frame_begun()) {
            (Window::Shut, true) => self.start_frame_clocks(now),
            (Window::Open { .. } | Window::Ended { .. }, false) => self.stop_frame_clocks(),
            _ => {}
        }
    }

    /// Reading goes on after a pause of ours: the peer has all its time again.
    pub(super) fn restart_frame_clocks(&mut self, now: &mut Now) {
        if !self.timers.pace.reading.is_shut() {
            self.start_frame_clocks(now);
        }
    }

    /// The frame that has begun is complete, or nobody waits for it any more.
    pub(super) fn stop_frame_clocks(&mut self) {
        if !self.timers.pace.reading.is_shut() {
            self.timers.pace.reading = PackedWindow::SHUT;
            self.timers.clear(TimeoutKind::ReadRate);
            self.timers.clear(TimeoutKind::Frame);
        }
    }

    fn start_frame_clocks(&mut self, now: &mut Now) {
        self.open_read_window(now);
        if let Some(after) = self.config.frame_timeout {
            self.timers.start(TimeoutKind::Frame, now.get(), after);
        }
    }

    fn open_read_window(&mut self, now: &mut Now) {
        let since = self.come();
        self.timers.pace.reading = PackedWindow::open(since);
        if let Some(rule) = self.config.read_rate {
            self.timers
                .start(TimeoutKind::ReadRate, now.get(), rule.window);
        }
    }

    pub(super) fn frame_timed_out(&mut self, now: &mut Now) {
        let Some(after) = self.config.frame_timeout else {
            return;
        };
        let kind = TimeoutKind::Frame;
        if !self.is_frame_begun() {
            self.stop_frame_clocks();
        } else if self.read_wish() == ReadWish::Nothing {
            self.timers.start(kind, now.get(), after);
        } else {
            self.begin_close(Cause::Timeout { kind, after }, None, now);
        }
    }

    pub(super) fn read_window_ended(&mut self, now: &mut Now) {
        match self.timers.pace.reading.get() {
            Window::Open { since } if self.is_frame_begun() => {
                if self.read_wish() == ReadWish::Nothing {
                    self.open_read_window(now);
                } else {
                    self.timers.pace.reading = PackedWindow::ended(since);
                }
            }
            _ => self.stop_frame_clocks(),
        }
    }

    /// There is nothing to read: a window that has ended is judged by what it brought.
    #[inline]
    pub(super) fn judge_reading(&mut self, now: &mut Now) {
        if matches!(self.timers.pace.reading.get(), Window::Ended { .. }) {
            self.judge_window(now);
        }
    }

    fn judge_window(&mut self, now: &mut Now) {
        let (Window::Ended { since }, Some(rule)) =
            (self.timers.pace.reading.get(), self.config.read_rate)
        else {
            return;
        };
        if !self.is_frame_begun() {
            self.stop_frame_clocks();
        } else if self.come().saturating_sub(since) >= rule.least() {
            self.open_read_window(now);
        } else {
            self.begin_close(too_slow(TimeoutKind::ReadRate, rule), None, now);
        }
    }
}

/// Writing.
impl Connection {
    /// The socket takes no more, and output waits: its window opens, or is judged if it has ended.
    pub(super) fn pace_writing(&mut self, now: &mut Now) {
        let Some(rule) = self.config.write_rate else {
            return;
        };
        if !self.is_output_waiting() {
            return;
        }
        match self.timers.pace.writing.get() {
            Window::Shut => self.open_write_window(rule, now),
            Window::Open { .. } => {}
            Window::Ended { since } if self.gone().saturating_sub(since) >= rule.least() => {
                self.open_write_window(rule, now);
            }
            Window::Ended { .. } => self.give_up_writing(rule),
        }
    }

    /// How much was sent in all, those parts of a record included that the peer cannot read yet.
    fn gone(&self) -> u64 {
        self.bytes_out + self.records_under_way().outgoing
    }

    /// Nothing waits to be written any more.
    #[inline]
    pub(super) fn shut_write_window(&mut self) {
        if !self.timers.pace.writing.is_shut() {
            self.timers.pace.writing = PackedWindow::SHUT;
            self.timers.clear(TimeoutKind::WriteRate);
        }
    }

    pub(super) fn write_window_ended(&mut self) {
        match self.timers.pace.writing.get() {
            Window::Open { since } if self.is_output_waiting() => {
                self.timers.pace.writing = PackedWindow::ended(since);
            }
            _ => self.shut_write_window(),
        }
    }

    fn open_write_window(&mut self, rule: RateRule, now: &mut Now) {
        let since = self.gone();
        self.timers.pace.writing = PackedWindow::open(since);
        self.timers
            .start(TimeoutKind::WriteRate, now.get(), rule.window);
    }

    const fn is_output_waiting(&self) -> bool {
        !self.outbox.is_empty()
            && !matches!(self.security, Security::Shaking(_))
            && matches!(
                self.state,
                State::Open {
                    write: WriteHalf::Open | WriteHalf::Finishing,
                    ..
                } | State::Closing(_)
            )
    }

    /// What is queued cannot be sent: there is nothing to flush for.
    fn give_up_writing(&mut self, rule: RateRule) {
        let cause = too_slow(TimeoutKind::WriteRate, rule);
        if matches!(self.state, State::Closing(_)) {
            self.cut_short(cause, true);
        } else {
            self.end(cause, None, true);
        }
    }
}

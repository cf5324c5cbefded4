//! What a session sends in its turn on the connection's own thread, ahead of the connection's lock.
//!
//! Taking the lock costs more than copying a short line. So in its turn a session notes short sends on the
//! thread's pad, and whoever takes the lock next, on whatever thread, first moves what is noted into the outbox.
//! Nobody sees the connection without it; what others send, having heard of it, stands behind it; and a session
//! that has heard of what others did looks at the connection again, since they have marked its pad as stale.
//!
//! A session that is alone meets the capacity and the high mark exactly. Where another thread sends in the very
//! moment in which a line is noted, the two together may pass them by that line.

use std::cell::{Cell, UnsafeCell};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::{io, ptr};

use switchboard_core::{Connection, LineEnding, Now};

use crate::transport::Transport;

use super::Shared;
use super::shared::Core;

#[cfg(test)]
mod tests;

/// How many bytes a pad holds: the answers to most bursts.
const PAD: usize = 16 * 1024;
/// What is longer is not noted: copying it twice would cost as much as the lock.
const SHORT: usize = 512;

/// The pads of threads that have ended.
static FREE: Mutex<Vec<&'static Pad>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: Mine = const {
        Mine {
            pad: Cell::new(None),
            user: Cell::new(ptr::null()),
            room: Cell::new(0),
            ending: Cell::new(LineEnding::Lf),
        }
    };
    static KEEPER: Keeper = const { Keeper };
}

/// A thread's pad, as its own thread sees it.
struct Mine {
    pad: Cell<Option<&'static Pad>>,
    /// The connection whose session is in its turn and may note what it sends.
    user: Cell<*const Shared>,
    /// How many bytes more it may.
    room: Cell<usize>,
    /// How its lines end that have no ending of their own.
    ending: Cell<LineEnding>,
}

/// Gives a thread's pad to the next thread.
struct Keeper;

impl Drop for Keeper {
    fn drop(&mut self) {
        let pad = MINE.with(|mine| mine.user.get().is_null().then(|| mine.pad.take()));
        // One that is in use stays where it is, for ever: others may look at it.
        if let Some(Some(pad)) = pad {
            free_pads().push(pad);
        }
    }
}

fn free_pads() -> MutexGuard<'static, Vec<&'static Pad>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of one connection at a time. Only its own thread notes, without a lock; what is noted is moved under the
/// lock of the connection.
pub(super) struct Pad {
    bytes: UnsafeCell<[u8; PAD]>,
    /// How many of the bytes are noted: these do not change any more.
    noted: AtomicUsize,
    /// How many of them were moved.
    moved: AtomicUsize,
    /// Whether another thread has had the lock since the session began to note.
    stale: AtomicBool,
}

#[allow(
    unsafe_code,
    reason = "two threads have the same bytes, but never the same part of them"
)]
mod bytes {
    use super::{Ordering, PAD, Pad, copy};

    // SAFETY: all but `bytes` is atomic. Bytes from `noted` on are touched by the pad's own thread only, and it
    // does not touch those before; `noted` goes back only when no other thread can get at the pad.
    unsafe impl Sync for Pad {}

    impl Pad {
        /// Notes bytes that lie in two pieces, both at once, on the pad's own thread. The caller has checked the
        /// room.
        #[inline]
        pub(super) fn note(&self, front: &[u8], back: &[u8]) {
            let start = self.noted.load(Ordering::Relaxed);
            let end = start + front.len() + back.len();
            assert!(end <= PAD, "no more is noted than was allowed");
            let pad = self.bytes.get().cast::<u8>();
            // SAFETY: the range is within the pad, and nobody else touches what is behind `noted`.
            let room = unsafe { std::slice::from_raw_parts_mut(pad.add(start), end - start) };
            let (to_front, to_back) = room.split_at_mut(front.len());
            copy(front, to_front);
            to_back.copy_from_slice(back);
            self.noted.store(end, Ordering::Release);
        }

        /// What was noted and not yet moved, to be called under the connection's lock. From now on it was moved.
        pub(super) fn take(&self) -> &[u8] {
            let noted = self.noted.load(Ordering::Acquire);
            let moved = self.moved.load(Ordering::Relaxed);
            self.moved.store(noted, Ordering::Relaxed);
            assert!(
                moved <= noted && noted <= PAD,
                "no more is moved than was noted"
            );
            let from = self.bytes.get().cast::<u8>();
            // SAFETY: the range is within what was noted, which does not change while somebody has the lock: its
            // own thread needs the lock to go back.
            unsafe { std::slice::from_raw_parts(from.add(moved), noted - moved) }
        }
    }
}

/// Copies bytes that are mostly a line of 32 to 64, in pieces whose size the compiler knows.
#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    const PIECE: usize = 32;
    if let (Some(first), Some(last)) = (from.first_chunk::<PIECE>(), from.last_chunk::<PIECE>())
        && let length = from.len()
        && length <= 2 * PIECE
    {
        // The two overlap.
        to[..PIECE].copy_from_slice(first);
        to[length - PIECE..length].copy_from_slice(last);
    } else {
        to.copy_from_slice(from);
    }
}

impl Pad {
    const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new([0; PAD]),
            noted: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
            stale: AtomicBool::new(false),
        }
    }

    /// Nothing is noted any more; on its own thread, when no connection has it.
    fn clear(&self) {
        self.noted.store(0, Ordering::Relaxed);
        self.moved.store(0, Ordering::Relaxed);
        self.stale.store(false, Ordering::Relaxed);
    }
}

impl Mine {
    #[inline]
    fn pad(&self) -> &'static Pad {
        self.pad.get().unwrap_or_else(|| self.new_pad())
    }

    #[cold]
    fn new_pad(&self) -> &'static Pad {
        let free = free_pads().pop();
        let pad = free.unwrap_or_else(|| Box::leak(Box::new(Pad::new())));
        self.pad.set(Some(pad));
        // Perhaps the thread is past that; then nobody gets the pad after it.
        let _ = KEEPER.try_with(|_| ());
        pad
    }
}

impl Core {
    /// The session is about to handle something: in its turn on this thread it may note what it sends.
    #[inline]
    pub(super) fn begin_noting(&mut self, shared: &Shared) {
        if !self.turn_at_home || self.pad.is_some() {
            return;
        }
        let (room, ending) = self.machine.room_ahead();
        MINE.with(|mine| {
            // A turn within another one's: that one has the pad.
            if room > 0 && mine.user.get().is_null() {
                self.pad = Some(mine.pad());
                mine.user.set(shared);
                mine.room.set(room.min(PAD));
                mine.ending.set(ending);
            }
        });
    }

    /// Somebody has taken the lock: moves what is noted into the outbox.
    pub(super) fn move_noted(&mut self, pad: &'static Pad) {
        let is_own = MINE.with(|mine| mine.pad.get().is_some_and(|mine| ptr::eq(mine, pad)));
        if !is_own {
            // Before it is looked at: so little more than a line comes too late for what is done now.
            pad.stale.store(true, Ordering::Relaxed);
        }
        let bytes = pad.take();
        if !bytes.is_empty() {
            self.machine.queue_ahead(bytes);
        }
        if is_own {
            self.end_noting();
        }
    }

    /// Nothing is noted any more, and all that was is where it belongs; on the pad's own thread.
    #[inline]
    pub(super) fn end_noting(&mut self) {
        if let Some(pad) = self.pad.take() {
            MINE.with(|mine| mine.user.set(ptr::null()));
            pad.clear();
        }
    }
}

/// Writes what is noted straight to the transport, where nothing is queued before it; what is not taken is
/// queued.
pub(super) fn write_noted(
    pad: &Pad,
    machine: &mut Connection,
    transport: &mut dyn Transport,
    cx: &mut TaskContext<'_>,
    now: &mut Now,
) {
    let bytes = pad.take();
    if bytes.is_empty() {
        return;
    }
    let written = if machine.may_pass(bytes.len()) {
        Pin::new(transport).poll_write(cx, bytes)
    } else {
        Poll::Pending
    };
    let count = match written {
        Poll::Ready(Ok(count)) => count.min(bytes.len()),
        _ => 0,
    };
    machine.handle_passed(count, now);
    if count < bytes.len() {
        machine.queue_ahead(&bytes[count..]);
    }
    if let Poll::Ready(Err(error)) = written
        && error.kind() != io::ErrorKind::Interrupted
    {
        machine.handle_write_error(&error, now);
    }
}

impl Shared {
    /// Sends what is short without the lock, if the session is in its turn here and nothing speaks against it.
    /// `false`: nothing was done.
    #[inline]
    pub(super) fn note(&self, bytes: &[u8]) -> bool {
        MINE.with(|mine| mine.user.get() == ptr::from_ref(self) && mine.note(bytes, &[]))
    }

    /// The same for a line that has no ending of its own, if `ending` does not say otherwise.
    #[inline]
    pub(super) fn note_line(&self, body: &[u8], ending: Option<LineEnding>) -> bool {
        MINE.with(|mine| {
            let ending = ending.unwrap_or_else(|| mine.ending.get());
            mine.user.get() == ptr::from_ref(self) && mine.note(body, ending.as_bytes())
        })
    }
}

impl Mine {
    #[inline]
    fn note(&self, front: &[u8], back: &[u8]) -> bool {
        let (room, length) = (self.room.get(), front.len() + back.len());
        let Some(pad) = self.pad.get() else {
            return false;
        };
        // An empty send is refused, which others do.
        if length == 0 || length > SHORT || length > room || pad.stale.load(Ordering::Relaxed) {
            return false;
        }
        self.room.set(room - length);
        pad.note(front, back);
        true
    }
}

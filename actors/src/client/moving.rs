//! How bytes move between a machine and its transport.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::BytesMut;
use switchboard_core::connection::ReadWish;
use switchboard_core::{Connection, Now};

use crate::shard::ReadSlot;
use crate::transport::{Hangup, Received, Transport};

use super::home::Berth;
use super::shared::Core;

/// How many bytes one wake may write before others get their turn.
const WRITE_BUDGET: usize = 1024 * 1024;
/// How many bytes one wake may read before others get their turn.
const READ_BUDGET: usize = 256 * 1024;
/// How many chunks one write gathers.
const GATHER: usize = 16;

/// Writes what the machine has, until it has nothing or the socket takes no more.
pub(super) fn write(
    machine: &mut Connection,
    transport: &mut dyn Transport,
    cx: &mut TaskContext<'_>,
    now: &mut Now,
) {
    let mut budget = WRITE_BUDGET;
    while machine.write_buffer_size() > 0 {
        if budget == 0 {
            cx.waker().wake_by_ref();
            return;
        }
        let written = match machine.poll_transmit_whole() {
            Some(bytes) => Pin::new(&mut *transport).poll_write(cx, bytes),
            None => match write_parts(machine, transport, cx) {
                Some(written) => written,
                None => break,
            },
        };
        match written {
            Poll::Ready(Ok(0)) => {
                let error = io::ErrorKind::WriteZero.into();
                machine.handle_write_error(&error, now);
            }
            Poll::Ready(Ok(count)) => {
                budget = budget.saturating_sub(count);
                machine.handle_written(count, now);
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(Err(error)) => machine.handle_write_error(&error, now),
            Poll::Pending => {
                if machine.tls().is_some() {
                    machine.handle_under_way(transport.under_way(), now);
                }
                machine.handle_write_blocked(now);
                return;
            }
        }
    }
    if machine.wants_finish() {
        match Pin::new(transport).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => machine.handle_finished(now),
            // A socket that the peer has reset cannot be finished any more, and need not be.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                machine.handle_finished(now);
            }
            Poll::Ready(Err(error)) => machine.handle_write_error(&error, now),
            Poll::Pending => {}
        }
    }
}

/// Writes what does not lie in one piece, or an urgent byte; `None`: nothing is to be written now.
fn write_parts(
    machine: &Connection,
    transport: &mut dyn Transport,
    cx: &mut TaskContext<'_>,
) -> Option<Poll<io::Result<usize>>> {
    let mut slices = [IoSlice::new(&[]); GATHER];
    Some(match machine.poll_transmit(&mut slices) {
        0 => {
            let byte = machine.poll_transmit_urgent()?;
            transport.poll_send_urgent(cx, byte).map_ok(|()| 1)
        }
        1 => Pin::new(transport).poll_write(cx, &slices[0]),
        count => Pin::new(transport).poll_write_vectored(cx, &slices[..count]),
    })
}

/// What a read brought: its bytes are in the slot.
pub(super) type Read = Poll<io::Result<Received>>;

/// Reads while the machine wants it, and hands over what came. `true`: the task is woken when there is more. `came`
/// is what the first read has brought already, if there was one.
#[inline(never)]
pub(super) fn read(
    machine: &mut Connection,
    transport: &mut dyn Transport,
    slot: &mut ReadSlot<'_>,
    mut came: Option<Read>,
    cx: &mut TaskContext<'_>,
    now: &mut Now,
) -> bool {
    let mut budget = READ_BUDGET;
    while machine.read_wish() != ReadWish::Nothing {
        if budget == 0 {
            cx.waker().wake_by_ref();
            return true;
        }
        let hears = machine.hears_urgent();
        if hears {
            take_urgent(machine, transport, now);
            if !machine.wants_urgent() {
                // The next read may pass one: the session has to take what waits.
                return false;
            }
        }
        let (read, buffer) = match came.take() {
            Some(read) => (read, slot.buffer()),
            None => read_once(transport, slot, cx),
        };
        if hears {
            take_urgent(machine, transport, now);
        }
        match read {
            Poll::Ready(Ok(Received { count: 0, .. })) => machine.handle_eof(now),
            Poll::Ready(Ok(Received { count, more })) => {
                budget = budget.saturating_sub(count);
                machine.handle_data(buffer, now);
                if !hears && !more && machine.read_wish() == ReadWish::Data {
                    machine.handle_read_blocked(now);
                    return true;
                }
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(Err(error)) => machine.handle_read_error(&error, now),
            Poll::Pending => {
                if machine.tls().is_some() {
                    machine.handle_under_way(transport.under_way(), now);
                }
                machine.handle_read_blocked(now);
                return true;
            }
        }
    }
    false
}

/// One read, into the slot.
#[inline]
pub(super) fn read_once<'a>(
    transport: &mut dyn Transport,
    slot: &'a mut ReadSlot<'_>,
    cx: &mut TaskContext<'_>,
) -> (Read, &'a mut BytesMut) {
    let buffer = slot.prepare();
    (transport.poll_receive(cx, buffer), buffer)
}

/// Takes urgent bytes, and looks out for more.
pub(super) fn hear(
    core: &mut Core,
    transport: &mut dyn Transport,
    cx: &mut TaskContext<'_>,
    now: &mut Now,
) {
    loop {
        core.hearing = core.machine.wants_urgent();
        if !core.hearing {
            return;
        }
        match transport.poll_urgent(cx) {
            Poll::Ready(byte) => core.machine.handle_urgent(byte, now),
            Poll::Pending => return,
        }
    }
}

/// Takes the urgent byte that a read has come upon, or that waits before the first one.
#[cold]
fn take_urgent(machine: &mut Connection, transport: &mut dyn Transport, now: &mut Now) {
    while machine.wants_urgent()
        && let Some(byte) = transport.take_urgent()
    {
        machine.handle_urgent(byte, now);
    }
}

/// Looks out for the peer's end while nobody reads.
pub(super) fn watch(
    core: &mut Core,
    transport: &mut dyn Transport,
    berth: &Berth,
    cx: &mut TaskContext<'_>,
    now: &mut Now,
) {
    loop {
        core.watching = core.wants_watch();
        if !core.watching {
            return;
        }
        let hangup = transport.poll_hangup(cx);
        if hangup.is_ready() {
            // It may have come just before the end.
            hear(core, transport, cx, now);
        }
        match hangup {
            Poll::Pending => return,
            Poll::Ready(Ok(Hangup::Finished)) => core.machine.handle_eof(now),
            // What is unread comes first.
            Poll::Ready(Ok(Hangup::Behind)) => {}
            Poll::Ready(Err(error)) => {
                let mut slot = berth.read_slot();
                while core.machine.wants_rest() {
                    let buffer = slot.prepare();
                    match transport.poll_receive(cx, buffer) {
                        Poll::Ready(Ok(Received { count: 1.., .. })) => {
                            core.machine.handle_rest(buffer);
                        }
                        _ => break,
                    }
                }
                core.machine.handle_reset(&error, now);
            }
        }
    }
}

//! What mostly happens, in few steps: a session waits for lines, and one short line comes, alone.
//!
//! Nothing here is done otherwise than the long way would do it; the tests compare the two.

use bytes::BytesMut;

use crate::line::Line;
use crate::now::Now;

use super::credit::Permit;
use super::secure::Security;
use super::{Connection, Interests};

impl Connection {
    /// Whether nothing is to be done and nothing to be told until more comes: it is open both ways, waits for a
    /// frame that is not complete, and no rule is in force beside. Not every connection of which that is true
    /// is known by this; those with clocks are looked at the long way.
    #[inline]
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.is_fully_open()
            && self.inbound.awaits_frame()
            && self.notices.is_empty()
            && !self.reading_paused
            && !self.reading_held
            && !self.vacant
            && !self.interest.readable
            && !self.interest.writable
            && !self.has_fault()
            && !self.outbox.is_paused()
            && !self.timers.are_any()
            && !self.interests.contains(Interests::URGENT)
            && matches!(self.security, Security::Plain | Security::Secured(_))
    }

    /// Bytes came while it [was quiet](Self::is_quiet): if they are one short line, and nothing else is under way,
    /// it is the next [`Event::Line`](super::Event::Line), with the credit that it took. If not, nothing was done
    /// with them: [`handle_data`](Self::handle_data) is to be told.
    #[inline]
    pub fn handle_line_at_once(
        &mut self,
        data: &mut BytesMut,
        now: &mut Now,
    ) -> Option<(Line, Permit)> {
        if self.batch.is_some() || self.credit.frames_out() > 0 {
            return None;
        }
        let (line, length) = self.inbound.take_at_once(data)?;
        self.bytes_in += length as u64;
        if let Some(seldom) = &mut self.seldom {
            seldom.under_way.incoming = 0;
        }
        self.touch_read(now);
        self.frames_in += 1;
        Some((line, self.credit.take(Permit::one(length))))
    }

    /// Whether it is as quiet as it was, although a [line came](Self::handle_line_at_once).
    #[inline]
    #[must_use]
    pub fn stays_quiet(&self) -> bool {
        let stays = !self.reading_held && !self.timers.are_any();
        debug_assert_eq!(stays, self.is_quiet());
        stays
    }

    /// What was told while it [was quiet](Self::is_quiet), and has been so since, was handled: its credit comes
    /// back, which changes nothing else.
    #[inline]
    pub fn give_back_when_quiet(&mut self, permit: Permit) {
        self.credit.give_back(permit);
    }
}

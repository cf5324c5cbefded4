//! What must be true of a connection whatever has happened to it.

use super::*;

impl Witness {
    /// Looks at what has happened since the last look.
    pub(super) fn look(&mut self) {
        assert!(self.accepted.starts_with(&self.wire.taken));
        let sent = |place: &&usize| **place < self.wire.taken.len();
        assert!(self.urgent.iter().take_while(sent).eq(&self.wire.urgent));
        if let Security::Asked { plain } = self.security {
            assert!(self.wire.taken.len() <= plain, "protected bytes in plain");
        }
        let events = std::mem::take(&mut self.wire.events);
        for event in &events {
            self.check(event);
            self.seen += 1;
        }
        match self.wire.ended.take() {
            Some(Event::Closed(detail)) => {
                self.check_closed(&detail);
                self.wire.ended = Some(Event::Closed(detail));
            }
            Some(Event::ConnectFailed(error)) => {
                assert_eq!(self.seen, 0, "it is told alone");
                assert!(self.wire.taken.is_empty() && !self.adopted);
                assert_eq!(error.unsent, self.accepted.len());
                self.wire.ended = Some(Event::ConnectFailed(error));
            }
            _ => {}
        }
    }

    fn check(&mut self, event: &Event) {
        let (interest, name) = interest_of(event);
        assert!(self.interests.contains(interest), "{name} is not handled");
        if self.adopted && self.interests.contains(Interests::OPENED) {
            let opens = matches!(event, Event::Opened);
            assert_eq!(opens, self.seen == 0, "opened first and once");
        }
        match event {
            Event::Line(_) | Event::Data(_) | Event::Message(_) => {
                let (receive, completed) = self.armed.as_mut().expect("something was armed");
                if let Repeat::Times(count) = receive.repeat {
                    assert!(*completed < count.get());
                }
                *completed += 1;
                if let Security::Secured { frames } = &mut self.security {
                    *frames += 1;
                }
                self.cursor += naive::taken(&receive.kind, event, &self.wire.came[self.cursor..]);
            }
            Event::Sent { token, bytes } => {
                let tracked = self.tracked[self.sent];
                assert_eq!((*token, *bytes), (tracked.token, tracked.bytes));
                assert!(tracked.end <= self.wire.taken.len(), "told too early");
                self.sent += 1;
            }
            Event::TlsStarted(_) => {
                let frames = 0;
                assert_eq!(
                    self.security,
                    Security::Secured { frames },
                    "it comes first"
                );
            }
            Event::PeerFinished => {
                assert!(!self.peer_finished, "once");
                self.peer_finished = true;
            }
            Event::WritePaused | Event::WriteResumed if self.hears_levels() => {
                let paused = matches!(event, Event::WritePaused);
                assert_ne!(paused, self.paused, "they alternate");
                self.paused = paused;
            }
            _ => {}
        }
    }

    fn hears_levels(&self) -> bool {
        let both = Interests::WRITE_PAUSED.with(Interests::WRITE_RESUMED);
        self.interests.contains(both)
    }

    fn check_closed(&self, detail: &ClosedDetail) {
        let wire = &self.wire;
        assert_eq!(detail.unread, wire.came[self.cursor..], "unread");
        let taken = wire.taken.len();
        assert_eq!(detail.unsent, self.accepted.len() - taken, "unsent");
        let unsent = self.tracked.iter().filter(|tracked| tracked.end > taken);
        let unsent: Vec<_> = unsent.map(|tracked| tracked.token).collect();
        assert_eq!(detail.unsent_tokens, unsent);
        if !self.session_gone && self.interests.contains(Interests::SENT) {
            assert_eq!(
                self.sent + unsent.len(),
                self.tracked.len(),
                "one outcome each"
            );
        }
        if !self.session_gone && self.adopted && self.interests.contains(Interests::OPENED) {
            assert!(self.seen > 0, "opened was told");
        }
        assert_eq!(detail.bytes_out, taken as u64);
        let secured = matches!(self.security, Security::Secured { .. });
        assert_eq!(detail.tls.is_some(), secured);
        assert!(detail.bytes_in >= wire.came.len() as u64);
    }

    /// Who waits for bytes to be taken hears how many were.
    pub(super) fn check_watches(&self) {
        let taken = self.wire.taken.len();
        for (watch, bytes) in &self.watches {
            let outcome = self.wire.machine.poll_watch(*watch);
            let of_it = taken.clamp(bytes.start, bytes.end) - bytes.start;
            match outcome.expect("it is over") {
                Watched::Taken => assert!(taken >= bytes.end, "not all was taken"),
                Watched::Lost { taken } => {
                    assert_eq!(taken, of_it);
                    assert!(taken < bytes.len());
                }
            }
        }
    }
}

const fn interest_of(event: &Event) -> (Interests, &'static str) {
    match event {
        Event::Opened => (Interests::OPENED, "Opened"),
        Event::Line(_) => (Interests::LINE, "Line"),
        Event::Data(_) => (Interests::DATA, "Data"),
        Event::Message(_) => (Interests::MESSAGE, "Message"),
        Event::Sent { .. } => (Interests::SENT, "Sent"),
        Event::WritePaused => (Interests::WRITE_PAUSED, "WritePaused"),
        Event::WriteResumed => (Interests::WRITE_RESUMED, "WriteResumed"),
        Event::PeerFinished => (Interests::PEER_FINISHED, "PeerFinished"),
        Event::Idle(_) => (Interests::IDLE, "Idle"),
        Event::Readable => (Interests::READABLE, "Readable"),
        Event::Writable => (Interests::WRITABLE, "Writable"),
        Event::Urgent(_) => (Interests::URGENT, "Urgent"),
        Event::Adopted { .. } => (Interests::ADOPTED, "Adopted"),
        Event::TlsStarted(_) => (Interests::TLS_STARTED, "TlsStarted"),
        Event::Draining(_) => (Interests::DRAINING, "Draining"),
        Event::Disconnected(_) => (Interests::DISCONNECTED, "Disconnected"),
        Event::Reconnecting { .. } => (Interests::RECONNECTING, "Reconnecting"),
        Event::Closed(_) => (Interests::CLOSED, "Closed"),
        Event::ConnectFailed(_) => (Interests::CONNECT_FAILED, "ConnectFailed"),
    }
}

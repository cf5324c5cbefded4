//! What the script of a wire is made of: what time, the peer, the socket and the session do.

use super::wire::ROUNDS;
use super::*;

impl Wire {
    /// Lets time pass, deadline by deadline.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.time + time;
        for _ in 0..ROUNDS {
            match self.machine.poll_timeout() {
                Some(at) if at <= end => {
                    self.time = self.time.max(at);
                    self.drive();
                }
                _ => {
                    self.time = end;
                    self.drive();
                    return;
                }
            }
        }
        panic!("deadline after deadline: {:?}", self.machine);
    }

    /// The peer sends, in one segment.
    pub(super) fn peer_sends(&mut self, bytes: impl AsRef<[u8]>) {
        self.incoming
            .push_back(Incoming::Bytes(bytes.as_ref().to_vec()));
        self.drive();
    }

    /// The peer finishes sending.
    pub(super) fn peer_finishes(&mut self) {
        self.incoming.push_back(Incoming::Eof);
        self.drive();
    }

    /// The connection is reset: reading fails once everything that came was read.
    pub(super) fn peer_resets(&mut self) {
        self.incoming
            .push_back(Incoming::Error(io::ErrorKind::ConnectionReset));
        self.drive();
    }

    /// Writing fails from now on.
    pub(super) fn writing_breaks(&mut self) {
        self.write_error = Some(io::ErrorKind::BrokenPipe);
    }

    /// The socket takes so many more bytes.
    pub(super) fn takes(&mut self, count: usize) {
        self.room = count;
        self.drive();
    }

    pub(super) fn arm(&mut self, receive: &Receive) -> Result<(), ArmError> {
        let armed = self.machine.arm(receive, &mut self.now());
        self.drive();
        armed
    }

    /// Arms a receive that must succeed.
    pub(super) fn receive(&mut self, receive: &Receive) {
        self.arm(receive).unwrap();
    }

    pub(super) fn send(&mut self, bytes: &str) {
        self.machine.send(bytes, None).unwrap();
        self.drive();
    }

    pub(super) fn send_tracked(&mut self, bytes: &str, token: u64) {
        self.machine.send(bytes, Some(Token(token))).unwrap();
        self.drive();
    }

    pub(super) fn close(&mut self) -> bool {
        let was_open = self
            .machine
            .close(Cause::LocalClose, true, None, &mut self.now());
        self.drive();
        was_open
    }

    pub(super) fn abort(&mut self) -> bool {
        let was_open = self.machine.abort(Cause::LocalAbort);
        self.drive();
        was_open
    }

    /// The session gives all credit back.
    pub(super) fn give_back(&mut self) -> bool {
        let all = self.permits.drain(..).fold(Permit::NONE, Permit::join);
        let resumed = self.machine.give_back(all, &mut self.now());
        self.drive();
        resumed
    }

    /// Asks for TLS, as the session does.
    pub(super) fn start_tls(&mut self, within: Duration) -> Result<Bytes, StartTlsError> {
        let started = self.machine.start_tls(within, 0, &mut self.now());
        self.drive();
        started
    }

    /// The handshake is done.
    pub(super) fn secured(&mut self) {
        assert!(std::mem::take(&mut self.shaking), "there is no handshake");
        self.machine.handle_secured(facts(), &mut self.now());
        self.drive();
    }

    /// The handshake failed; `linked`: the link is still there.
    pub(super) fn handshake_fails(&mut self, error: TlsError, linked: bool) {
        assert!(std::mem::take(&mut self.shaking), "there is no handshake");
        let error = error.into();
        self.machine
            .handle_handshake_failed(&error, linked, &mut self.now());
        self.drive();
    }

    /// The stream ends without close_notify: reading fails once everything that came was read.
    pub(super) fn peer_is_cut_off(&mut self) {
        self.incoming.push_back(Incoming::Truncated);
        self.drive();
    }
}

//! One peer: its lines to the dialogue or into a mail, and what follows from them.

use std::time::Duration;

use switchboard::LineRule;
use switchboard::prelude::*;
use switchboard::tls::{StartTls, TlsServer};

use super::dialogue::{Dialogue, Security, Step};
use super::message::Collector;
use super::printer::{Print, Printer};
use super::reply::Reply;

/// How long a server waits for a command, or for the next line of a mail (RFC 5321 4.5.3.2.7).
const PATIENCE: Duration = Duration::from_secs(300);
/// How long before the end of a drain whoever is still in mid-mail is told to go.
const LAST_WORD: Duration = Duration::from_secs(1);
/// So many faults of one peer, and it is told to go.
const MOST_FAULTS: u32 = 10;

/// What all sessions share.
#[derive(Clone)]
pub struct Service {
    pub printer: Addr<Printer>,
    /// What STARTTLS leads to, if it is offered.
    pub tls: Option<TlsServer>,
    /// The largest mail in octets.
    pub max_size: usize,
}

/// A listener for such sessions. A line has its deadline, however slowly it is typed before that: so a
/// least rate, which would cut the connection without a word, is not needed.
pub fn listen(address: &str) -> Listen {
    Listen::tcp(address).read_rate(None)
}

/// What the next line is.
enum Expecting {
    Command,
    Text(Collector),
    /// A TLS handshake, and no line.
    Tls,
}

pub struct Session {
    client: Client,
    service: Service,
    dialogue: Dialogue,
    expecting: Expecting,
    faults: u32,
    /// Version and cipher.
    tls: Option<String>,
    /// Whether the pool drains, so that the mail under way is the last.
    is_last: bool,
}

impl Session {
    pub fn new(client: Client, service: Service) -> Self {
        let security = match service.tls {
            Some(_) => Security::Offered,
            None => Security::Impossible,
        };
        Self {
            dialogue: Dialogue::new(security, service.max_size),
            client,
            service,
            expecting: Expecting::Command,
            faults: 0,
            tls: None,
            is_last: false,
        }
    }

    /// Lines end with LF here, and each keeps the CR before it: so a line that does not end as it must
    /// can be answered instead of cutting the connection. One that is longer than the connection's
    /// longest line, far above what the protocol allows, still does.
    fn receive(&self) {
        let line = RecvLine::once().rule(LineRule::Lf).always();
        // Refused only when the connection is closing, here and below; then nobody waits for it.
        let _ = self.client.arm(line.timeout(PATIENCE).report_timeout());
    }

    fn answer(&mut self, reply: &Reply) {
        let _ = self.client.send(reply.to_string());
        if reply.is_fault() {
            self.faults += 1;
            if self.faults == MOST_FAULTS {
                self.leave(&Reply::new(421, "4.7.0", "too many faults"));
            }
        }
    }

    fn leave(&self, reply: &Reply) {
        let _ = self.client.send(reply.to_string());
        self.client.close();
    }

    fn obey(&mut self, line: &[u8]) {
        match self.dialogue.command(line) {
            Step::Answer(reply) => self.answer(&reply),
            Step::Data(reply) => {
                self.expecting = Expecting::Text(Collector::new(self.service.max_size));
                self.answer(&reply);
            }
            Step::StartTls(reply) => self.start_tls(&reply),
            Step::Quit(reply) => self.leave(&reply),
        }
    }

    /// Whoever can put bytes between a peer and us can put commands behind its STARTTLS, so that they
    /// seem to have come over TLS (CVE-2011-0411). Nothing may stand there, and nothing of it is obeyed.
    fn start_tls(&mut self, reply: &Reply) {
        self.client.cancel_recv();
        if self.client.info().activity.unread > 0 {
            let what = "nothing may follow STARTTLS before its answer";
            return self.leave(&Reply::new(501, "5.5.1", what));
        }
        let Some(tls) = self.service.tls.clone() else {
            return;
        };
        self.answer(reply);
        self.expecting = Expecting::Tls;
        if self.client.start_tls(StartTls::server(tls)).is_err() {
            // What came in that moment is plaintext, or the connection is closing.
            self.client.close();
        }
    }

    /// The mail is taken when it is printed, and only then.
    fn deliver(&mut self, collector: Collector, ctx: &mut SessionContext<Self>) {
        let Some(envelope) = self.dialogue.take_envelope() else {
            return;
        };
        let text = match collector.finish() {
            Ok(text) => text,
            Err(fault) => {
                self.answer(&fault.into());
                return self.leave_if_last();
            }
        };
        let mail = Print {
            peer: self.client.peer_addr(),
            tls: self.tls.clone(),
            envelope,
            text,
        };
        let printed = self.service.printer.send(mail).into_actor(self);
        ctx.wait(printed.map(|printed, session, _| {
            let reply = match printed {
                Ok(Ok(number)) => {
                    session.faults = 0;
                    Reply::new(250, "2.0.0", format!("this is mail {number}"))
                }
                Ok(Err(_)) | Err(_) => Reply::new(451, "4.3.0", "it cannot be printed"),
            };
            session.answer(&reply);
            session.leave_if_last();
        }));
    }

    fn leave_if_last(&self) {
        if self.is_last {
            self.leave(&Reply::new(421, "4.3.2", "shutting down"));
        }
    }
}

impl Actor for Session {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Session {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.answer(&Reply::new(220, "", "localhost ESMTP switchboard"));
        self.receive();
    }
}

impl Handler<LineReceived> for Session {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, ctx: &mut Self::Context) {
        match &mut self.expecting {
            Expecting::Command => self.obey(&msg.line),
            Expecting::Text(collector) => {
                if collector.take(&msg.line)
                    && let Expecting::Text(collector) =
                        std::mem::replace(&mut self.expecting, Expecting::Command)
                {
                    self.deliver(collector, ctx);
                }
            }
            Expecting::Tls => {}
        }
    }
}

impl Handler<TlsStarted> for Session {
    type Result = ();

    fn handle(&mut self, msg: TlsStarted, _: &mut Self::Context) {
        self.tls = Some(msg.tls.to_string());
        self.dialogue.secured();
        self.expecting = Expecting::Command;
        self.receive();
        self.leave_if_last();
    }
}

impl Handler<Idle> for Session {
    type Result = ();

    fn handle(&mut self, _: Idle, _: &mut Self::Context) {
        self.leave(&Reply::new(421, "4.4.2", "nothing came for 5 minutes"));
    }
}

impl Handler<Draining> for Session {
    type Result = ();

    fn handle(&mut self, msg: Draining, ctx: &mut Self::Context) {
        self.is_last = true;
        if matches!(self.expecting, Expecting::Command) {
            return self.leave_if_last();
        }
        // At the deadline the pool would cut the connection without a word.
        let left = msg.deadline.saturating_sub(LAST_WORD);
        ctx.run_later(left, |session, _| session.leave_if_last());
    }
}

impl Handler<PeerFinished> for Session {
    type Result = ();

    /// Closes, as without this handler, but not before the mail that is being printed is answered: the
    /// end of the peer waits behind it.
    fn handle(&mut self, _: PeerFinished, _: &mut Self::Context) {}
}

impl Handler<Closed> for Session {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        if msg.reason == ClosedReason::Error {
            eprintln!("{}: {}", msg.client, msg.detail);
        }
    }
}

session!(Session);

//! The books: what each connection's session was told and what it sent.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard::message::ClientEvent;
use switchboard::testkit::World;
use switchboard::{Cause, Client, ClosedDetail, ClosedReason, Token, Totals};

use super::Seen;
use super::peer::{End, Peer, pattern};
use super::session::Kind;

/// All accounts of a world, in the order in which they were opened.
#[derive(Clone, Default)]
pub(super) struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    accounts: Vec<(Client, Arc<Mutex<Account>>)>,
    next: Option<Kind>,
    connected: u64,
}

pub(super) struct Account {
    pub(super) kind: Kind,
    pub(super) panics: bool,
    pub(super) stops: bool,
    /// Whether the session has ended before its connection: it is told nothing more.
    pub(super) gone: bool,
    opened: bool,
    failed: bool,
    closed: Option<Box<ClosedDetail>>,
    received: Vec<u8>,
    sent: Vec<u8>,
    tokens: u64,
    /// Tracked sends without an outcome.
    waiting: VecDeque<Token>,
    wrong: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Account {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            panics: false,
            stops: false,
            gone: false,
            opened: false,
            failed: false,
            closed: None,
            received: Vec::new(),
            sent: Vec::new(),
            tokens: 0,
            waiting: VecDeque::new(),
            wrong: Vec::new(),
        }
    }

    pub(super) fn next_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// The next bytes to send: known by their place in the stream.
    pub(super) fn to_send(&self, bytes: usize) -> Vec<u8> {
        let from = self.sent.len() as u64;
        (from..from + bytes as u64).map(pattern).collect()
    }

    pub(super) fn accepted(&mut self, bytes: &[u8], token: Option<Token>) {
        self.sent.extend_from_slice(bytes);
        self.waiting.extend(token);
    }

    pub(super) fn note(&mut self, event: &ClientEvent) {
        let first = matches!(
            event,
            ClientEvent::Accepted(_) | ClientEvent::Connected(_) | ClientEvent::ConnectFailed(_)
        );
        if self.closed.is_some() || self.failed {
            self.wrong.push(format!("{} after the end", event.name()));
        }
        if first == self.opened {
            self.wrong.push(format!("{} out of place", event.name()));
        }
        self.opened |= first;
        match event {
            ClientEvent::LineReceived(event) => {
                self.received.extend_from_slice(&event.line);
                self.received
                    .extend_from_slice(event.line.ending().as_bytes());
            }
            ClientEvent::DataReceived(event) => self.received.extend_from_slice(&event.data),
            ClientEvent::Sent(event) => {
                let due = self.waiting.pop_front();
                if due != Some(event.token) {
                    self.wrong.push(format!("{:?} out of order", event.token));
                }
            }
            ClientEvent::ConnectFailed(_) => self.failed = true,
            ClientEvent::Closed(event) => self.closed = Some(event.detail.clone()),
            _ => {}
        }
    }

    /// What the session was told must fit what its peer did.
    fn balance(&mut self, peer: Option<&Peer>) -> Result<(), String> {
        if let Some(wrong) = self.wrong.first() {
            return Err(wrong.clone());
        }
        let came = peer.map(|peer| peer.came.borrow());
        let came = came.as_deref().map_or(&[][..], Vec::as_slice);
        if !self.sent.starts_with(came) {
            return Err("the peer got other bytes than were sent".to_owned());
        }
        let written = peer.map_or(0, |peer| peer.written.get());
        let expected: Vec<u8> = (0..written).map(pattern).collect();
        let Some(detail) = &self.closed else {
            if !self.gone && !self.failed && self.opened {
                return Err("it was never told Closed".to_owned());
            }
            return prefix(&self.received, &expected);
        };
        let taken = [&self.received[..], &detail.unread].concat();
        prefix(&taken, &expected)?;
        if detail.cause == Cause::PeerFinished && taken != expected {
            return Err(format!(
                "the peer wrote {written} bytes and finished, {} came",
                taken.len()
            ));
        }
        let outcome = detail.bytes_out + detail.unsent as u64;
        if outcome != self.sent.len() as u64 {
            return Err(format!(
                "{} bytes were accepted, {} were sent and {} not",
                self.sent.len(),
                detail.bytes_out,
                detail.unsent
            ));
        }
        if detail.bytes_out < came.len() as u64 {
            return Err("the peer got more than was sent".to_owned());
        }
        let in_order = detail.cut_short.is_none() && detail.cause.reason() != ClosedReason::Error;
        let finished = peer.is_some_and(|peer| peer.end.get() == Some(End::Finished));
        if finished && in_order && came.len() as u64 != detail.bytes_out {
            return Err(format!(
                "{} bytes were sent, the peer got {} and the end",
                detail.bytes_out,
                came.len()
            ));
        }
        let untold: Vec<_> = self.waiting.iter().copied().collect();
        if untold != detail.unsent_tokens {
            return Err(format!(
                "no outcome was told for {untold:?}, but Closed names {:?}",
                detail.unsent_tokens
            ));
        }
        Ok(())
    }
}

fn prefix(bytes: &[u8], of: &[u8]) -> Result<(), String> {
    if of.starts_with(bytes) {
        return Ok(());
    }
    let same = bytes.iter().zip(of).take_while(|(a, b)| a == b).count();
    Err(format!(
        "of {} received bytes {same} are those that the peer wrote ({} in all)",
        bytes.len(),
        of.len()
    ))
}

impl Book {
    /// What the next session is like.
    pub(super) fn set_next(&self, kind: Kind) {
        lock(&self.0).next = Some(kind);
    }

    pub(super) fn open(&self, client: &Client) -> Arc<Mutex<Account>> {
        let mut pages = lock(&self.0);
        let kind = pages.next.unwrap_or(Kind::Echo);
        let account = Arc::new(Mutex::new(Account::new(kind)));
        pages.accounts.push((client.clone(), Arc::clone(&account)));
        account
    }

    /// How an attempt to connect ended for the one who asked.
    pub(super) fn outbound(&self, connected: bool) {
        lock(&self.0).connected += u64::from(connected);
    }

    pub(super) fn with(&self, number: usize, act: impl FnOnce(&mut Account, &Client)) {
        let found = {
            let pages = lock(&self.0);
            let count = pages.accounts.len().max(1);
            pages.accounts.get(number % count).cloned()
        };
        if let Some((client, account)) = found {
            act(&mut lock(&account), &client);
        }
    }

    pub(super) fn violations(&self) -> Result<(), String> {
        let accounts = lock(&self.0).accounts.clone();
        for (client, account) in accounts {
            if let Some(wrong) = lock(&account).wrong.first() {
                return Err(format!("connection {}: {wrong}", client.id()));
            }
        }
        Ok(())
    }

    pub(super) fn balance(
        &self,
        world: &World,
        peers: &[Rc<Peer>],
        totals: &Totals,
    ) -> Result<Seen, String> {
        let by_address: BTreeMap<_, _> = peers
            .iter()
            .filter_map(|peer| Some((peer.address.get()?, peer)))
            .collect();
        let mut seen = Seen::default();
        let (mut closed, mut gone, mut opened) = ([0; 4], 0, 0);
        let pages = lock(&self.0);
        for (client, account) in &pages.accounts {
            let mut account = lock(account);
            // Outbound, the peer is at the far address, and our own tells which of them it is.
            let address = if client.is_outbound() {
                client.local_addr()
            } else {
                client.peer_addr()
            };
            let peer = address.and_then(|address| by_address.get(&address));
            let known = peer.is_some();
            if !known && !account.failed && !account.gone {
                // Peers that only ask whether a pool still serves are not kept.
                if account.closed.is_none() {
                    return Err(format!("connection {} never ended", client.id()));
                }
            } else {
                account
                    .balance(peer.map(|peer| &***peer))
                    .map_err(|wrong| format!("connection {}: {wrong}", client.id()))?;
            }
            if let Some(detail) = &account.closed {
                closed[detail.cause.reason() as usize] += 1;
                world.note(format_args!("{}: {detail}", client.id()));
            } else if account.gone && !account.failed {
                gone += 1;
            }
            opened += u64::from(!account.failed);
            seen.connections += 1;
            seen.received += account.received.len() as u64;
            seen.sent += account.sent.len() as u64;
        }
        let told: u64 = closed.iter().sum();
        if told + gone != totals.closed_in_all() {
            return Err(format!(
                "{told} were told Closed and {gone} sessions were gone, but {totals}"
            ));
        }
        if opened != totals.accepted + totals.connected || pages.connected != totals.connected {
            return Err(format!(
                "{opened} sessions opened, {} connects succeeded, but {totals}",
                pages.connected
            ));
        }
        Ok(seen)
    }
}

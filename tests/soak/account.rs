//! The books: what each connection's sessions were told and what they sent.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard::message::ClientEvent;
use switchboard::testkit::World;

use switchboard::{
    Cause, Client, ClosePhase, ClosedDetail, ClosedReason, CrashPolicy, TimeoutKind, Token, Totals,
};
use tokio::time::Instant;

use super::Seen;
use super::page::{Page, Peers};
use super::peer::{Peer, pattern};
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

/// What becomes of a connection that loses its session, or its link.
#[derive(Clone, Copy)]
pub(super) struct Role {
    pub(super) policy: CrashPolicy,
    pub(super) reconnects: bool,
}

pub(super) struct Account {
    pub(super) kind: Kind,
    role: Role,
    /// At so many of the next events the session panics.
    pub(super) panics: u32,
    pub(super) stops: bool,
    /// Whether the connection was closed or aborted here.
    pub(super) ends: bool,
    /// Whether its peer has reset it while its reading was paused.
    pub(super) left: bool,
    /// Whether that was not noticed.
    unnoticed: bool,
    /// Whether the session has ended before its connection, and no other one has come: it is told
    /// nothing more.
    gone: bool,
    /// When sessions that panicked had a successor.
    recent: VecDeque<Instant>,
    /// Whether a successor must come.
    due: bool,
    successors: u32,
    /// Whether the session has not heard where it is.
    fresh: bool,
    /// Whether there is a link, as far as the sessions know.
    linked: bool,
    failed: bool,
    ended: bool,
    /// Links that are over.
    past: Vec<Page>,
    /// The link that there is, or the next one.
    page: Page,
    /// Bytes of links that are over.
    sent_before: u64,
    tokens: u64,
    /// Tracked sends without an outcome.
    waiting: VecDeque<Token>,
    wrong: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Account {
    fn new(kind: Kind, role: Role) -> Self {
        Self {
            kind,
            role,
            panics: 0,
            stops: false,
            ends: false,
            left: false,
            unnoticed: false,
            gone: false,
            recent: VecDeque::new(),
            due: false,
            successors: 0,
            fresh: false,
            linked: false,
            failed: false,
            ended: false,
            past: Vec::new(),
            page: Page::default(),
            sent_before: 0,
            tokens: 0,
            waiting: VecDeque::new(),
            wrong: Vec::new(),
        }
    }

    pub(super) fn address(&self) -> Option<std::net::SocketAddr> {
        self.page.address
    }

    pub(super) fn next_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// The next bytes to send: known by their place in the stream of all links.
    pub(super) fn to_send(&self, bytes: usize) -> Vec<u8> {
        let from = self.sent_before + self.page.sent.len() as u64;
        (from..from + bytes as u64).map(pattern).collect()
    }

    pub(super) fn accepted(&mut self, bytes: &[u8], token: Option<Token>) {
        self.page.sent.extend_from_slice(bytes);
        self.waiting.extend(token);
    }

    /// What the workload wants the session to do at this event: to panic, or to stop.
    pub(super) fn misdeed(&mut self, client: &Client) -> (bool, bool) {
        let panics = self.panics > 0;
        self.panics = self.panics.saturating_sub(1);
        if panics {
            let lives = !client.is_closed() && !self.ends && !self.stops;
            self.due = lives && self.may_restart();
        }
        self.gone |= panics || self.stops;
        (panics, self.stops && !panics)
    }

    fn may_restart(&mut self) -> bool {
        let CrashPolicy::Restart { max, within } = self.role.policy else {
            return false;
        };
        let now = Instant::now();
        self.recent.retain(|then| now - *then <= within);
        self.recent.len() < max as usize
    }

    /// Another session has taken the place of one that panicked.
    fn succeeded(&mut self) {
        if !self.gone || self.role.policy == CrashPolicy::Close {
            self.wrong.push("a successor without need".to_owned());
        }
        // Also one that need not have come, since the link was ending, counts.
        self.recent.push_back(Instant::now());
        self.gone = false;
        self.due = false;
        self.fresh = true;
        self.successors += 1;
    }

    pub(super) fn note(&mut self, event: &ClientEvent) {
        if self.ended || self.failed {
            self.wrong.push(format!("{} after the end", event.name()));
        }
        let (opens, anywhere) = match event {
            ClientEvent::Accepted(_) | ClientEvent::Connected(_) => (true, false),
            ClientEvent::ConnectFailed(_) => (!self.past.is_empty(), false),
            ClientEvent::Reconnecting(_) => (true, false),
            ClientEvent::Closed(event) => (
                event.detail.phase == ClosePhase::Reconnecting,
                self.past.is_empty() && !self.linked,
            ),
            _ => (false, false),
        };
        let failed = matches!(event, ClientEvent::ConnectFailed(_)) && !self.linked;
        if opens == self.linked && !anywhere && !failed {
            self.wrong.push(format!("{} out of place", event.name()));
        }
        match event {
            ClientEvent::Accepted(event) => self.open(event.handle.peer_addr()),
            ClientEvent::Connected(event) => self.open(event.local_addr),
            ClientEvent::Adopted(event) => {
                if event.restarts != self.successors {
                    let (told, made) = (event.restarts, self.successors);
                    self.wrong.push(format!("restart {told} told, {made} made"));
                }
                self.fresh = false;
            }
            ClientEvent::LineReceived(event) => {
                self.check_seated();
                self.page.received.extend_from_slice(&event.line);
                let ending = event.line.ending().as_bytes();
                self.page.received.extend_from_slice(ending);
            }
            ClientEvent::DataReceived(event) => {
                self.check_seated();
                self.page.received.extend_from_slice(&event.data);
            }
            ClientEvent::Sent(event) => {
                let due = self.waiting.pop_front();
                if due != Some(event.token) {
                    self.wrong.push(format!("{:?} out of order", event.token));
                }
            }
            ClientEvent::ConnectFailed(_) => self.failed = true,
            ClientEvent::Disconnected(event) => self.link_lost(&event.detail),
            ClientEvent::Closed(event) => {
                self.ended = true;
                self.end_page(&event.detail);
            }
            _ => {}
        }
    }

    fn open(&mut self, address: Option<std::net::SocketAddr>) {
        self.linked = true;
        self.fresh = false;
        self.page.opened = true;
        // None if the link is over by now.
        self.page.address = address;
    }

    fn check_seated(&mut self) {
        if self.fresh {
            self.wrong.push("data before Adopted".to_owned());
        }
    }

    fn link_lost(&mut self, detail: &ClosedDetail) {
        self.linked = false;
        self.left = false;
        // What was accepted since it was lost goes over the next link.
        let over = detail.bytes_out + detail.unsent as u64;
        let over = usize::try_from(over).unwrap_or(usize::MAX);
        let later = self.page.sent.split_off(over.min(self.page.sent.len()));
        self.sent_before += self.page.sent.len() as u64;
        self.end_page(detail);
        self.page.sent = later;
    }

    /// Each tracked send that has no notice is named.
    fn end_page(&mut self, detail: &ClosedDetail) {
        for token in &detail.unsent_tokens {
            if self.waiting.pop_front() != Some(*token) {
                self.wrong.push(format!("{token:?} has another outcome"));
            }
        }
        let idle = matches!(
            detail.cause,
            Cause::Timeout {
                kind: TimeoutKind::Idle,
                ..
            }
        );
        self.unnoticed |= self.left && idle;
        self.page.end = Some(Box::new(detail.clone()));
        self.past.push(std::mem::take(&mut self.page));
    }

    fn balance(&self, peers: &Peers<'_>) -> Result<(), String> {
        if let Some(wrong) = self.wrong.first() {
            return Err(wrong.clone());
        }
        if self.due {
            return Err("no session has followed one that panicked".to_owned());
        }
        if self.linked && !self.gone && !self.ended {
            return Err("it was never told Closed".to_owned());
        }
        if self.ended && !self.waiting.is_empty() {
            return Err(format!("no outcome was told for {:?}", self.waiting));
        }
        let pages = self.past.iter().chain([&self.page]);
        pages.into_iter().try_for_each(|page| page.balance(peers))
    }
}

/// What the sessions of all accounts were told, to be held against the counters.
#[derive(Default)]
struct Told {
    /// Links.
    opened: u64,
    /// Links beyond each connection's first.
    again: u64,
    closed: [u64; 4],
    /// Connections without a link whose session had gone: their last links may be untold, or none.
    unsure: u64,
    /// Ends that nobody was told.
    gone: u64,
}

impl Told {
    fn add(&mut self, account: &Account) {
        let links = account.past.iter().filter(|page| page.opened);
        let links = links.count() as u64 + u64::from(account.linked && !account.ended);
        self.opened += links;
        self.again += links.saturating_sub(1);
        for detail in account.past.iter().filter_map(|page| page.end.as_ref()) {
            if detail.phase != ClosePhase::Reconnecting {
                self.closed[detail.cause.reason() as usize] += 1;
            }
        }
        if account.gone && !account.ended && !account.failed {
            self.unsure += u64::from(account.role.reconnects);
            self.gone += u64::from(account.linked);
        }
    }

    fn check(&self, connected: u64, totals: &Totals) -> Result<(), String> {
        let told: u64 = self.closed.iter().sum::<u64>() + self.gone;
        // A session that is gone may have missed several ends of links.
        let fits = |told: u64, counted: u64| told == counted || (self.unsure > 0 && told < counted);
        if !fits(told, totals.closed_in_all()) {
            return Err(format!(
                "{told} ends were told, {} of them to nobody, but {totals}",
                self.gone
            ));
        }
        if !fits(self.opened, totals.accepted + totals.connected)
            || !fits(connected + self.again, totals.connected)
        {
            return Err(format!(
                "{} links were told, {connected} connects succeeded, {} links came again, but {totals}",
                self.opened, self.again
            ));
        }
        let error = ClosedReason::Error as usize;
        if self.gone + self.unsure == 0 && self.closed[error] != totals.closed[error] {
            return Err(format!("{:?} were told, but {totals}", self.closed));
        }
        Ok(())
    }
}

impl Book {
    /// What the sessions of the next connection are like.
    pub(super) fn set_next(&self, kind: Kind) {
        lock(&self.0).next = Some(kind);
    }

    /// The account of a connection: a new one, or that of the session before this one.
    pub(super) fn open(&self, client: &Client, role: Role) -> Arc<Mutex<Account>> {
        let mut pages = lock(&self.0);
        let known = pages.accounts.iter().find(|(known, _)| known == client);
        if let Some((_, account)) = known {
            lock(account).succeeded();
            return Arc::clone(account);
        }
        let kind = pages.next.unwrap_or(Kind::Echo);
        let account = Arc::new(Mutex::new(Account::new(kind, role)));
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
        let by_address: Peers<'_> = peers
            .iter()
            .filter_map(|peer| Some((peer.address.get()?, peer)))
            .collect();
        let (mut seen, mut told) = (Seen::default(), Told::default());
        let pages = lock(&self.0);
        for (client, account) in &pages.accounts {
            let account = lock(account);
            account
                .balance(&by_address)
                .map_err(|wrong| format!("connection {}: {wrong}", client.id()))?;
            // What is held up on its way comes when it is read.
            if account.unnoticed && world.faults().counts().delays == 0 {
                return Err(format!(
                    "connection {}: a reset was not noticed",
                    client.id()
                ));
            }
            for page in &account.past {
                if let Some(detail) = &page.end {
                    world.note(format_args!("{}: {detail}", client.id()));
                }
                seen.received += page.received.len() as u64;
                seen.sent += page.sent.len() as u64;
            }
            told.add(&account);
            seen.connections += 1;
            seen.successors += u64::from(account.successors);
        }
        seen.links = told.again;
        told.check(pages.connected, totals)?;
        Ok(seen)
    }
}

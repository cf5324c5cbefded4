//! Everything that the crate logs: this list is an interface, and nothing else logs.
//!
//! Target `switchboard`. Payloads are never logged.
//!
//! | span | level | fields |
//! |---|---|---|
//! | `pool` | info | `name` |
//! | `server` | info | `id`, `addr` |
//! | `connection` | debug | `id`, `peer` |
//! | `supervisor` | info | `name` |
//!
//! | event | level | fields |
//! |---|---|---|
//! | `listening` | info | none but those of its span |
//! | `listener closed` | info | `reason`, `accepted`, `live`, `rejected` |
//! | `listener failed` | error | `text` |
//! | `listener restarted` | info | `restarts` |
//! | `listener suspended` | info | `how` |
//! | `listener resumed` | info | none but those of its span |
//! | `accepting paused` | warn | `pause`, `error` |
//! | `peers shed` | warn | `count` |
//! | `alarm raised` | warn | `live` |
//! | `alarm cleared` | info | `live` |
//! | `accept fault` | debug | `error` |
//! | `peer rejected` | debug | `peer`, `reason` |
//! | `peer gone` | debug | `peer` |
//! | `connected` | debug | `id`, `peer` |
//! | `opened` | debug | `id` |
//! | `process exited` | debug | `id`, `code` |
//! | `tls started` | debug | `id`, `tls` |
//! | `handshake failed` | debug | `peer`, `error` |
//! | `tls not verified` | warn | none: a client was built that accepts every certificate |
//! | `tls key log` | warn | `side` |
//! | `tls reloaded` | info | `what`, `host` if it is not the default |
//! | `connection failed` | debug | `id`, `error` |
//! | `connection closed` | debug | `id`, `reason`, `detail` |
//! | `disconnected` | debug | `id`, `reason`, `detail`, `pause` |
//! | `reconnecting` | debug | `id`, `pause`, `error` |
//! | `session panicked` | error | `id`, `event` if it is known, `text` |
//! | `actor panicked` | error | `actor`, `text` |
//! | `shard failed` | error | `shard`, `text` |
//! | `shard restarted` | info | `shard` |
//! | `child failed` | error | `child`, `text` |
//! | `child restarted` | info | `child`, `restarts` |
//! | `child killed` | warn | `child`, `grace` |
//! | `escalated` | error | `restarts`, `period` |
//! | `worker ended` | error | `worker`, `restart_in` |
//! | `worker restarted` | info | `worker`, `restarts` |
//! | `worker left behind` | warn | `worker` |
//! | `not adopted` | warn | `id`, `error` |
//! | `memory pressure` | warn | `used`, `budget` |
//! | `memory relieved` | info | `used`, `budget` |
//! | `pool draining` | info | `deadline`, `pace` if there is one, `flush` |
//! | `pool drained` | info | `live`, `finished`, `given_up`, `untold`, `paced`, `overdue`, `aborted` |
//! | `pool stopping` | info | `grace` |
//! | `pool stopped` | info | `accepted`, `connected`, `live` |

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use switchboard_core::{
    Address, ArmError, ClientId, ClosedDetail, ClosedReason, ConnectError, RejectReason, ServerId,
    TlsInfo,
};
use tracing::{Span, debug, debug_span, error, info, info_span, warn};

use crate::client::Client;
use crate::drain::{Drain, DrainReport};
use crate::pool::Totals;
#[cfg(unix)]
use crate::process::Process;
use crate::server::{ServerInfo, Suspend};
use crate::udp::Socket;

const TARGET: &str = "switchboard";

/// Shows an address that may be missing.
struct Maybe<A>(Option<A>);

impl<A: fmt::Display> fmt::Display for Maybe<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("-"),
        }
    }
}

pub(crate) fn pool_span(name: &str) -> Span {
    info_span!(target: TARGET, parent: None, "pool", name)
}

pub(crate) fn server_span(pool: &Span, id: ServerId, address: &Address) -> Span {
    info_span!(target: TARGET, parent: pool, "server", %id, addr = %address)
}

pub(crate) fn connection_span(parent: &Span, client: &Client) -> Span {
    debug_span!(
        target: TARGET,
        parent: parent,
        "connection",
        id = %client.id(),
        peer = %Maybe(client.peer()),
    )
}

/// Of a process, which is a connection to who reads the log; its peer is its number.
#[cfg(unix)]
pub(crate) fn process_span(pool: &Span, process: &Process) -> Span {
    debug_span!(
        target: TARGET,
        parent: pool,
        "connection",
        id = %process.id(),
        peer = %format_args!("pid {}", process.pid()),
    )
}

#[cfg(unix)]
pub(crate) fn process_exited(id: ClientId, code: i32) {
    debug!(target: TARGET, %id, code, "process exited");
}

/// Of a socket, which is a connection to who reads the log; its peer is the address it is connected to.
pub(crate) fn socket_span(pool: &Span, socket: &Socket) -> Span {
    let info = socket.info();
    debug_span!(
        target: TARGET,
        parent: pool,
        "connection",
        id = %info.id,
        peer = %Maybe(info.peer_addr),
    )
}

pub(crate) fn server_opened(span: &Span) {
    info!(target: TARGET, parent: span, "listening");
}

pub(crate) fn server_closed(span: &Span, reason: ClosedReason, info: &ServerInfo) {
    info!(
        target: TARGET,
        parent: span,
        %reason,
        accepted = info.accepted,
        live = info.live,
        rejected = info.rejected,
        "listener closed"
    );
}

pub(crate) fn server_failed(span: &Span, text: &str) {
    error!(target: TARGET, parent: span, text, "listener failed");
}

pub(crate) fn server_restarted(span: &Span, restarts: u64) {
    info!(target: TARGET, parent: span, restarts, "listener restarted");
}

pub(crate) fn server_suspended(span: &Span, how: Suspend) {
    info!(target: TARGET, parent: span, ?how, "listener suspended");
}

pub(crate) fn server_resumed(span: &Span) {
    info!(target: TARGET, parent: span, "listener resumed");
}

pub(crate) fn accept_paused(span: &Span, pause: Duration, error: &io::Error) {
    warn!(target: TARGET, parent: span, ?pause, %error, "accepting paused");
}

pub(crate) fn accept_fault(span: &Span, error: &io::Error) {
    debug!(target: TARGET, parent: span, %error, "accept fault");
}

/// At most one line in each pause.
pub(crate) fn shed(span: &Span, count: u64) {
    warn!(target: TARGET, parent: span, count, "peers shed");
}

pub(crate) fn alarm(span: &Span, raised: bool, live: usize) {
    if raised {
        warn!(target: TARGET, parent: span, live, "alarm raised");
    } else {
        info!(target: TARGET, parent: span, live, "alarm cleared");
    }
}

pub(crate) fn rejected(span: &Span, peer: Option<SocketAddr>, reason: RejectReason) {
    debug!(target: TARGET, parent: span, peer = %Maybe(peer), %reason, "peer rejected");
}

pub(crate) fn gone(span: &Span, peer: Option<SocketAddr>) {
    debug!(target: TARGET, parent: span, peer = %Maybe(peer), "peer gone");
}

pub(crate) fn connected(client: &Client) {
    debug!(target: TARGET, id = %client.id(), peer = %Maybe(client.peer()), "connected");
}

/// A socket or a process.
pub(crate) fn opened(id: ClientId) {
    debug!(target: TARGET, %id, "opened");
}

pub(crate) fn tls_started(client: &Client, tls: &TlsInfo) {
    debug!(target: TARGET, id = %client.id(), %tls, "tls started");
}

/// Of a peer that became no connection.
#[cfg(feature = "tls")]
pub(crate) fn handshake_failed(peer: Option<SocketAddr>, error: &io::Error) {
    debug!(target: TARGET, peer = %Maybe(peer), %error, "handshake failed");
}

#[cfg(feature = "tls")]
pub(crate) fn tls_not_verified() {
    warn!(target: TARGET, "tls not verified");
}

#[cfg(feature = "tls")]
pub(crate) fn tls_key_log(side: &str) {
    warn!(target: TARGET, side, "tls key log");
}

#[cfg(feature = "tls")]
pub(crate) fn tls_reloaded(what: &str, host: Option<&str>) {
    info!(target: TARGET, what, host, "tls reloaded");
}

pub(crate) fn connect_failed(client: &Client, error: &ConnectError) {
    debug!(target: TARGET, id = %client.id(), %error, "connection failed");
}

pub(crate) fn disconnected(client: &Client, detail: &ClosedDetail, pause: Duration) {
    let reason = detail.cause.reason();
    debug!(target: TARGET, id = %client.id(), %reason, %detail, ?pause, "disconnected");
}

pub(crate) fn reconnecting(client: &Client, pause: Duration, error: &ConnectError) {
    debug!(target: TARGET, id = %client.id(), ?pause, %error, "reconnecting");
}

pub(crate) fn closed(id: ClientId, detail: &ClosedDetail) {
    let reason = detail.cause.reason();
    debug!(target: TARGET, %id, %reason, %detail, "connection closed");
}

pub(crate) fn session_panicked(id: ClientId, event: Option<&'static str>, text: &str) {
    error!(target: TARGET, %id, event, text, "session panicked");
}

pub(crate) fn not_adopted(client: &Client, error: &ArmError) {
    warn!(target: TARGET, id = %client.id(), %error, "not adopted");
}

pub(crate) fn actor_panicked(actor: &str, text: &str) {
    error!(target: TARGET, actor, text, "actor panicked");
}

pub(crate) fn shard_failed(span: &Span, shard: usize, text: &str) {
    error!(target: TARGET, parent: span, shard, text, "shard failed");
}

pub(crate) fn shard_restarted(span: &Span, shard: usize) {
    info!(target: TARGET, parent: span, shard, "shard restarted");
}

pub(crate) fn supervisor_span(pool: &Span, name: &str) -> Span {
    info_span!(target: TARGET, parent: pool, "supervisor", name)
}

pub(crate) fn child_failed(span: &Span, child: &str, text: &str) {
    error!(target: TARGET, parent: span, child, text, "child failed");
}

pub(crate) fn child_restarted(span: &Span, child: &str, restarts: u64) {
    info!(target: TARGET, parent: span, child, restarts, "child restarted");
}

pub(crate) fn child_killed(span: &Span, child: &str, grace: Duration) {
    warn!(target: TARGET, parent: span, child, ?grace, "child killed");
}

pub(crate) fn escalated(span: &Span, restarts: u32, period: Duration) {
    error!(target: TARGET, parent: span, restarts, ?period, "escalated");
}

pub(crate) fn worker_ended(pool: &Span, worker: usize, restart_in: Option<Duration>) {
    error!(target: TARGET, parent: pool, worker, ?restart_in, "worker ended");
}

pub(crate) fn worker_restarted(pool: &Span, worker: usize, restarts: u64) {
    info!(target: TARGET, parent: pool, worker, restarts, "worker restarted");
}

pub(crate) fn worker_left(pool: &Span, worker: usize) {
    warn!(target: TARGET, parent: pool, worker, "worker left behind");
}

pub(crate) fn memory_pressure(span: &Span, used: usize, budget: usize) {
    warn!(target: TARGET, parent: span, used, budget, "memory pressure");
}

pub(crate) fn memory_relieved(span: &Span, used: usize, budget: usize) {
    info!(target: TARGET, parent: span, used, budget, "memory relieved");
}

pub(crate) fn pool_draining(span: &Span, drain: &Drain) {
    let (deadline, flush) = (drain.within, drain.flush);
    info!(target: TARGET, parent: span, ?deadline, pace = drain.pace, ?flush, "pool draining");
}

pub(crate) fn pool_drained(span: &Span, report: &DrainReport) {
    info!(
        target: TARGET,
        parent: span,
        live = report.live,
        finished = report.finished,
        given_up = report.given_up,
        untold = report.untold,
        paced = report.paced,
        overdue = report.overdue,
        aborted = report.aborted,
        "pool drained"
    );
}

pub(crate) fn pool_stopping(span: &Span, grace: Duration) {
    info!(target: TARGET, parent: span, ?grace, "pool stopping");
}

pub(crate) fn pool_stopped(span: &Span, totals: &Totals) {
    info!(
        target: TARGET,
        parent: span,
        accepted = totals.accepted,
        connected = totals.connected,
        live = totals.live,
        "pool stopped: {totals}"
    );
}

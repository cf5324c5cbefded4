//! What a pool tells those who subscribed to it.

use std::net::SocketAddr;
use std::time::Duration;

use actix::Message;
use switchboard_core::{ClientId, ClosedReason, RejectReason, ServerId};

/// Something that happened to a pool, a listener, or a session. See
/// [`Pool::subscribe`](crate::Pool::subscribe).
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
#[non_exhaustive]
pub enum PoolEvent {
    /// A listener listens.
    ServerOpened {
        /// The listener.
        server: ServerId,
        /// Its real IP address; that of a Unix socket is 0.0.0.0:0, and
        /// [`Server::address`](crate::Server::address) tells its name.
        local_addr: SocketAddr,
    },
    /// A listener closed. Its connections stay (XAS-28).
    ServerClosed {
        /// The listener.
        server: ServerId,
        /// By whom: this side, or an error of the listening socket.
        reason: ClosedReason,
    },
    /// A listener failed: its actor panicked, or its socket died. Its connections stay.
    ServerFailed {
        /// The listener.
        server: ServerId,
        /// What happened.
        text: String,
        /// After which pause it is started again; `None`: it failed too often, and closes.
        restart_in: Option<Duration>,
    },
    /// A listener that had failed, or whose shard had, is back at its address (T-05).
    ServerRestarted {
        /// The listener.
        server: ServerId,
        /// How often, in all.
        restarts: u64,
    },
    /// A shard failed: its thread ended, and so did its connections, or its actor panicked.
    ShardFailed {
        /// Which one.
        shard: usize,
        /// What happened.
        text: String,
        /// After which pause it is started again; `None`: shards failed too often, and the pool stops.
        restart_in: Option<Duration>,
    },
    /// A shard was started again, with its listeners.
    ShardRestarted {
        /// Which one.
        shard: usize,
    },
    /// A peer was accepted and closed at once, because of a limit (XAS-25) or of its address.
    AcceptRejected {
        /// The listener.
        server: ServerId,
        /// The peer.
        peer_addr: Option<SocketAddr>,
        /// Why.
        reason: RejectReason,
    },
    /// The connections of a listener have come up to the high mark of its alarm. Told once, until it is
    /// cleared.
    AlarmRaised {
        /// The listener.
        server: ServerId,
        /// How many there are.
        live: usize,
    },
    /// The connections of a listener have gone down to the low mark of its alarm, also after the
    /// listener has closed.
    AlarmCleared {
        /// The listener.
        server: ServerId,
        /// How many there are.
        live: usize,
    },
    /// The system has no descriptor or memory left for another peer: nobody is accepted for a while
    /// (XAS-27). Told once per pause.
    AcceptPaused {
        /// The listener.
        server: ServerId,
        /// For how long.
        pause: Duration,
        /// What the system said.
        error: String,
        /// How many peers that had waited through the pause before were closed, with the descriptor in
        /// reserve.
        shed: u64,
    },
    /// A session panicked, or the factory that should have made it (XAS-22, AC-09). Told once per
    /// session.
    SessionFailed {
        /// The connection.
        client: ClientId,
        /// The event that was being handled, if it was one.
        event: Option<&'static str>,
        /// The text of the panic.
        text: String,
        /// Whether the connection stays open and gets another session; if not, it is closed with reason
        /// Error, unless it was closing already.
        restarted: bool,
    },
    /// A supervised child panicked, or the process that it stands for ended badly.
    ChildFailed {
        /// The name of its supervisor.
        supervisor: String,
        /// Its name.
        child: String,
        /// The text of the panic, or how the process ended.
        text: String,
        /// After which pause it is started again; `None`: it is not.
        restart_in: Option<Duration>,
    },
    /// A supervised child was started again.
    ChildRestarted {
        /// The name of its supervisor.
        supervisor: String,
        /// Its name.
        child: String,
        /// How often, in all.
        restarts: u64,
    },
    /// A worker's thread ended, and with it the sessions that lived there.
    WorkerEnded {
        /// Its position in [`PoolStatus::workers`](crate::PoolStatus::workers).
        worker: usize,
        /// After which pause it is started again; `None`: it is not, too many were.
        restart_in: Option<Duration>,
    },
    /// A worker's thread was started again.
    WorkerRestarted {
        /// Its position in [`PoolStatus::workers`](crate::PoolStatus::workers).
        worker: usize,
        /// How often, in all.
        restarts: u64,
    },
    /// Something failed more often than its intensity allows: the children of a supervisor, which are
    /// stopped, a listener, which is closed, or shards or workers, and then the pool
    /// stops.
    Escalated {
        /// The name of the supervisor; `server s0.1` for a listener, `shard 0` for a shard.
        supervisor: String,
    },
    /// The connections hold more bytes than the pool's memory budget: those that hold most stop reading,
    /// and if that does not help some are ended. Told once, until it is relieved.
    MemoryPressure {
        /// Bytes that they hold.
        used: usize,
        /// Bytes that they may hold.
        budget: usize,
    },
    /// They hold no more than four fifths of the budget again, and read on.
    MemoryRelieved {
        /// Bytes that they hold.
        used: usize,
        /// Bytes that they may hold.
        budget: usize,
    },
    /// So many events were left out because the subscriber's mailbox was full.
    Missed {
        /// How many.
        events: u64,
    },
}

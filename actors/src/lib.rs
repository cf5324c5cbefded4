#![doc = include_str!("../../README.md")]
#![deny(unsafe_code)]

pub mod blocking;
pub mod client;
pub mod coming_from;
mod context;
mod deadline;
mod drain;
mod error;
mod failure;
mod handle;
mod handlers;
pub mod message;
mod options;
mod placement;
mod places;
mod pool;
#[cfg(unix)]
pub mod process;
mod relay;
mod run;
mod sequence;
mod server;
mod session;
mod shard;
mod states;
pub mod stream;
mod supervisor;
pub mod telemetry;
#[cfg(feature = "testkit")]
pub mod testkit;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/off.rs"]
mod tls;
pub mod transport;
mod turn;
pub mod udp;
mod workers;

pub use client::{Client, ClientActor, ClientInfo, ExtraInfo, RecvError, SendSlot, SentError};
pub use context::{SessionContext, SessionHost};
pub use drain::{Drain, DrainReport};
pub use error::{
    AcceptError, ChangeError, Error, ListenError, ListenPhase, PoolDraining, PoolStopped,
    StartError, SuspendError,
};
pub use failure::HandlerFailed;
pub use handle::Handle;
pub use handlers::Handlers;
pub use message::PoolEvent;
#[cfg(unix)]
pub use options::WatchFd;
pub use options::{
    AtLimit, BindUdp, Connect, ConnectPlace, ConnectTarget, ConnectionOptions, Interface, Listen,
    ListenPlace, ListenTarget, Multicast, SocketOptions,
};
#[cfg(unix)]
pub use options::{InheritError, Inherited, WhichInherited};
#[cfg(unix)]
pub use options::{SpawnProcess, Stdio};
pub use placement::Placement;
pub use pool::{
    Connecting, GetFailureHandler, Pool, PoolActor, PoolBuilder, PoolStatus, SetFailureHandler,
    Stop, Stopping, Subscribe, Totals,
};
#[cfg(unix)]
pub use process::{Process, ProcessActor, SignalError, SpawnError};
pub use relay::{Relayed, relay};
pub use run::{Background, default_pool};
pub use server::{
    Acceptor, CloseServer, ListenState, Rejections, Resume, Server, ServerActor, ServerGuard,
    ServerInfo, ServerLimits, SetLimits, SetLimitsError, Suspend, SwapSession, TlsCounts,
};
pub use session::{IntoSession, Session};
pub use supervisor::{
    ChildSpec, ChildStatus, OnEscalation, Restart, Strategy, Supervise, SuperviseError, Supervisor,
};
pub use transport::{ChannelKind, PeerCredentials};
#[cfg(unix)]
pub use transport::{FileKind, WatchError};
pub use udp::{BindError, OpenRaw, Peers, Raw, RawActor, Udp, UdpActor};
pub use workers::WorkerStatus;

pub use switchboard_core::{
    AcceptRate, AccessList, Address, Alarm, ArmError, AsLine, BackoffConfig, BackoffError,
    BufferSlot, BufferSlots, Cause, CertificateError, Cidr, CidrError, Cipher, ClientId,
    ClosePhase, ClosedDetail, ClosedReason, ConfigError, ConnectError, ConnectPhase,
    ConnectionConfig, ConnectionState, CrashPolicy, DatagramError, DatagramRefusal, Destination,
    Encoding, Fifo, FifoEmpty, FrameError, Gate, IdleAction, IdleRule, Interests, IoOperation,
    LimitsError, Line, LineEnding, LineRule, OnTimeout, Payload, RateError, RateRule, Receive,
    ReceiveKind, ReconnectConfig, RejectReason, Repeat, SendError, SendRefusal, ServerId,
    SlotError, SlotsError, StartTlsError, TimeoutKind, TlsError, TlsInfo, TlsVersion, Token,
    Undecodable, UnixName, UnknownEncoding,
};

/// Everything that a session usually needs, actix's own prelude included.
pub mod prelude {
    pub use actix::prelude::{
        Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, AtomicResponse, Context, Handler,
        Message, Recipient, WrapFuture,
    };
    pub use bytes::Bytes;

    pub use crate::message::{
        Accepted, Adopted, Closed, ConnectFailed, Connected, DataReceived, DatagramFailed,
        DatagramReceived, Disconnected, Draining, Idle, LineReceived, MessageReceived,
        PeerFinished, PipeClosed, PipeData, PipeLine, ProcessExited, Readable, Reconnecting,
        RecvData, RecvLine, RecvMsg, RecvUntil, Sent, TlsStarted, UdpError, UrgentReceived,
        Writable, WritePaused, WriteResumed,
    };
    pub use crate::{
        AtLimit, BindUdp, Client, ClientId, ClosedReason, Connect, ConnectionOptions, Drain,
        Handlers, Line, Listen, Placement, Pool, PoolEvent, Server, SessionContext, Token, Udp,
        session,
    };
}

#[doc(hidden)]
pub mod __private {
    pub use actix::{Actor, Handler};

    pub use crate::session::{Outlet, Probe, Seat, Unhandled, attach_actor};
    pub use crate::turn::Burst;
}

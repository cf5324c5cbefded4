//! Sockets that this process was started with, by systemd's protocol (sd_listen_fds(3)).

use std::env;
use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use listenfd::ListenFd;
use socket2::SockRef;

use super::Listen;
use crate::transport::check_listening;

/// The most sockets that are taken over.
const MOST: usize = 1024;
/// What a socket is called that was given no name.
const UNNAMED: &str = "unknown";

/// The sockets that this process was started with: `LISTEN_FDS` says how many, `LISTEN_FDNAMES` what they
/// are called, `LISTEN_PID` whom they are for (ACO-01).
///
/// Each is taken by its position, from 0 on, or by its name; of several with the same name the first that
/// is left is taken. A listener that is taken becomes options as always, with the address, the backlog and
/// the file that it has; it is open already, so that nobody is refused while this process starts.
///
/// ```no_run
/// use switchboard::prelude::*;
/// use switchboard::Inherited;
///
/// # async fn start<F, S>(pool: Pool, session: F) -> Result<(), Box<dyn std::error::Error>>
/// # where F: Fn(Client) -> S + Send + Sync + 'static, S: switchboard::IntoSession {
/// let mut inherited = Inherited::from_env()?;
/// let listen = if inherited.is_empty() {
///     Listen::tcp("127.0.0.1:7000")
/// } else {
///     inherited.take_listener(0)?
/// };
/// pool.listen(listen.lines(), session).await?;
/// # Ok(())
/// # }
/// ```
pub struct Inherited {
    sockets: ListenFd,
    slots: Vec<Slot>,
}

struct Slot {
    name: String,
    is_taken: bool,
}

/// Which inherited socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhichInherited {
    /// By its position, from 0 on.
    Position(usize),
    /// By its name.
    Name(String),
}

/// An inherited socket that could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// A variable that is not what the protocol says.
    #[error("{variable} is {value:?}, which {why}")]
    Malformed {
        /// Which one.
        variable: &'static str,
        /// What it is.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is none at this position, or of this name.
    #[error("there is no inherited socket {which}")]
    NoSuch {
        /// Which one was asked for.
        which: WhichInherited,
    },
    /// It was taken before.
    #[error("the inherited socket {which} is taken already")]
    Taken {
        /// Which one was asked for.
        which: WhichInherited,
    },
    /// It is of another kind, and stays where it is.
    #[error("the inherited socket {which} is no {wanted}: {source}")]
    WrongKind {
        /// Which one was asked for.
        which: WhichInherited,
        /// What it was taken for.
        wanted: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It is a stream socket that does not listen. It is closed.
    #[error("the inherited socket {which} is no listener: {source}")]
    NotListening {
        /// Which one was asked for.
        which: WhichInherited,
        /// What the system says.
        source: io::Error,
    },
}

impl Inherited {
    /// What the environment says. There are none if it says nothing, or if what it says is for another
    /// process, and none when it is asked again: `LISTEN_FDS` and `LISTEN_PID` are removed from it. So
    /// it is to be asked at the start, before there are other threads that look into the environment.
    ///
    /// # Errors
    /// When a variable is not what the protocol says; then nothing is taken.
    pub fn from_env() -> Result<Self, InheritError> {
        if variable("LISTEN_PID")
            .is_some_and(|pid| !pid.is_empty() && pid != std::process::id().to_string())
        {
            // Not for us, whatever it says.
            return Ok(Self {
                sockets: ListenFd::empty(),
                slots: Vec::new(),
            });
        }
        let count = match variable("LISTEN_FDS") {
            None => 0,
            Some(value) => match value.parse() {
                Ok(count @ 0..=MOST) => count,
                Ok(_) => {
                    let why = format!("is more than {MOST}");
                    return Err(malformed("LISTEN_FDS", value, why));
                }
                Err(_) => return Err(malformed("LISTEN_FDS", value, "is no number".into())),
            },
        };
        let names = variable("LISTEN_FDNAMES");
        if let Some(names) = &names
            && count > 0
            && names.split(':').count() != count
        {
            let why = format!("does not name {count} sockets");
            return Err(malformed("LISTEN_FDNAMES", names.clone(), why));
        }
        let sockets = ListenFd::from_env();
        let names = names.as_deref().unwrap_or_default().split(':');
        let names = names.chain(std::iter::repeat(""));
        let slots = names.take(sockets.len()).map(|name| Slot {
            name: if name.is_empty() { UNNAMED } else { name }.to_owned(),
            is_taken: false,
        });
        let slots = slots.collect();
        Ok(Self { sockets, slots })
    }

    /// How many there were, those that were taken included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Their names, in the order of their positions; `unknown` for those without.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| slot.name.as_str())
    }

    /// Takes a listener of TCP or of Unix streams, whichever it is, for [`Pool::listen`](crate::Pool::listen).
    ///
    /// # Errors
    /// When there is no such socket, it is taken already, or of another kind.
    pub fn take_listener(
        &mut self,
        which: impl Into<WhichInherited>,
    ) -> Result<Listen, InheritError> {
        let which = which.into();
        let at = self.find(&which)?;
        let (listen, listening) = if let Ok(Some(unix)) = self.sockets.take_unix_listener(at) {
            let listening = check_listening(&SockRef::from(&unix));
            (Listen::adopt_unix(unix), listening)
        } else {
            let tcp = taken(self.sockets.take_tcp_listener(at), "listener", &which)?;
            let listening = check_listening(&SockRef::from(&tcp));
            (Listen::adopt(tcp), listening)
        };
        self.slots[at].is_taken = true;
        match listening {
            Ok(()) => Ok(listen),
            Err(source) => Err(InheritError::NotListening { which, source }),
        }
    }

    /// Takes a UDP socket.
    ///
    /// # Errors
    /// As for [`take_listener`](Self::take_listener).
    pub fn take_udp(
        &mut self,
        which: impl Into<WhichInherited>,
    ) -> Result<UdpSocket, InheritError> {
        let which = which.into();
        let at = self.find(&which)?;
        let socket = taken(self.sockets.take_udp_socket(at), "UDP socket", &which)?;
        self.slots[at].is_taken = true;
        Ok(socket)
    }

    /// Takes a socket of Unix datagrams.
    ///
    /// # Errors
    /// As for [`take_listener`](Self::take_listener).
    pub fn take_unix_datagram(
        &mut self,
        which: impl Into<WhichInherited>,
    ) -> Result<UnixDatagram, InheritError> {
        let which = which.into();
        let at = self.find(&which)?;
        let socket = self.sockets.take_unix_datagram(at);
        let socket = taken(socket, "socket of Unix datagrams", &which)?;
        self.slots[at].is_taken = true;
        Ok(socket)
    }

    /// The position of a socket that is left.
    fn find(&self, which: &WhichInherited) -> Result<usize, InheritError> {
        let is_meant = |(at, slot): &(usize, &Slot)| match which {
            WhichInherited::Position(position) => at == position,
            WhichInherited::Name(name) => slot.name == *name,
        };
        let mut meant = self.slots.iter().enumerate().filter(is_meant).peekable();
        let which = || which.clone();
        if meant.peek().is_none() {
            return Err(InheritError::NoSuch { which: which() });
        }
        match meant.find(|(_, slot)| !slot.is_taken) {
            Some((at, _)) => Ok(at),
            None => Err(InheritError::Taken { which: which() }),
        }
    }
}

/// What was taken from a place that holds something.
fn taken<T>(
    result: io::Result<Option<T>>,
    wanted: &'static str,
    which: &WhichInherited,
) -> Result<T, InheritError> {
    let which = || which.clone();
    match result {
        Ok(Some(socket)) => Ok(socket),
        Ok(None) => Err(InheritError::Taken { which: which() }),
        Err(source) => Err(InheritError::WrongKind {
            which: which(),
            wanted,
            source,
        }),
    }
}

/// Empty means nothing, as for systemd.
fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

const fn malformed(variable: &'static str, value: String, why: String) -> InheritError {
    InheritError::Malformed {
        variable,
        value,
        why,
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl fmt::Display for WhichInherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => write!(f, "at position {position}"),
            Self::Name(name) => write!(f, "named {name:?}"),
        }
    }
}

impl From<usize> for WhichInherited {
    fn from(position: usize) -> Self {
        Self::Position(position)
    }
}

impl From<&str> for WhichInherited {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

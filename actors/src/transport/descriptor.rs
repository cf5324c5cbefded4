//! Descriptors that were given, looked at before they are watched.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, Stat, fcntl_getfl, fstat};
use rustix::net::SocketType;
use switchboard_core::Access;

/// A descriptor that cannot be watched (AC-21).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The system cannot tell when it is ready: it always is, and a read may block all the same (epoll(7)
    /// refuses it). Read it with `std::fs`, on a thread that may block.
    #[error("a {kind} cannot be waited for, read or write it as a file")]
    NotPollable {
        /// What it is.
        kind: FileKind,
    },
    /// A socket without a stream of bytes: its messages would lose their bounds.
    #[error("a socket of type {kind:?} has no stream of bytes")]
    NotAStream {
        /// Its type as the system counts them (socket(2)).
        kind: u32,
    },
    /// It was to be read, and is open for writing only.
    #[error("it is open for writing only")]
    WriteOnly,
    /// It was to be written, and is open for reading only.
    #[error("it is open for reading only")]
    ReadOnly,
    /// It is not open, or there are no descriptors left to duplicate it.
    #[error("the descriptor cannot be taken: {0}")]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for WatchError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// What a descriptor stands for that cannot be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A file with contents.
    RegularFile,
    /// A directory.
    Directory,
    /// A disk.
    BlockDevice,
    /// A device without a queue to wait at, such as `/dev/null`.
    CharacterDevice,
    /// Something else.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegularFile => "regular file",
            Self::Directory => "directory",
            Self::BlockDevice => "block device",
            Self::CharacterDevice => "character device of this kind",
            Self::Other => "descriptor of this kind",
        })
    }
}

/// A duplicate of a descriptor that can be watched.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(super) fd: OwnedFd,
    pub(super) nature: Nature,
    pub(super) access: Access,
    /// Which file it is, and how that was opened, whatever we use it for.
    pub(super) file: (u64, u64),
    pub(super) opened: Access,
}

/// How its bytes are moved without blocking, and what its end looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// A pipe without a name.
    Pipe,
    Socket,
    /// A terminal. A pseudo-terminal's other side opens anew each time (`/dev/ptmx`), and to open a serial
    /// line may move its control lines: only what a login gets is `reopens`.
    Terminal {
        reopens: bool,
    },
    /// A FIFO, which opened anew forgets a writer that has come and gone; or a device.
    Named,
    /// Something that has no file: all of them look like one.
    Nameless,
}

impl Descriptor {
    /// Duplicates it, to be used this way, or in the way that it was opened for.
    pub(crate) fn new(fd: impl AsFd, way: Option<Access>) -> Result<Self, WatchError> {
        let fd = fd.as_fd();
        let stat = fstat(fd)?;
        let opened = opened(fcntl_getfl(fd)?)?;
        let access = used(opened, way)?;
        let nature = nature(fd, &stat)?;
        Ok(Self {
            fd: fd.try_clone_to_owned()?,
            nature,
            access,
            file: key(fd, &stat),
            opened,
        })
    }

    pub(super) const fn is_socket(&self) -> bool {
        matches!(self.nature, Nature::Socket)
    }
}

/// How it was opened.
fn opened(flags: OFlags) -> Result<Access, WatchError> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if flags.contains(OFlags::PATH) {
        return Err(rustix::io::Errno::BADF.into());
    }
    let mode = flags & OFlags::RWMODE;
    Ok(if mode == OFlags::RDWR {
        Access::ReadWrite
    } else if mode == OFlags::WRONLY {
        Access::WriteOnly
    } else {
        Access::ReadOnly
    })
}

/// How it is used.
const fn used(opened: Access, way: Option<Access>) -> Result<Access, WatchError> {
    match (opened, way) {
        (opened, None) => Ok(opened),
        (Access::WriteOnly, Some(Access::ReadOnly | Access::ReadWrite)) => {
            Err(WatchError::WriteOnly)
        }
        (Access::ReadOnly, Some(Access::WriteOnly | Access::ReadWrite)) => {
            Err(WatchError::ReadOnly)
        }
        (_, Some(way)) => Ok(way),
    }
}

fn nature(fd: BorrowedFd<'_>, stat: &Stat) -> Result<Nature, WatchError> {
    let refused = |kind| Err(WatchError::NotPollable { kind });
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => refused(FileKind::RegularFile),
        FileType::Directory => refused(FileKind::Directory),
        FileType::BlockDevice => refused(FileKind::BlockDevice),
        FileType::Fifo if is_nameless_pipe(fd) => Ok(Nature::Pipe),
        FileType::Fifo => Ok(Nature::Named),
        FileType::Socket => match rustix::net::sockopt::socket_type(fd)? {
            SocketType::STREAM => Ok(Nature::Socket),
            kind => Err(WatchError::NotAStream {
                kind: kind.as_raw(),
            }),
        },
        FileType::CharacterDevice if !is_pollable(fd)? => refused(FileKind::CharacterDevice),
        FileType::CharacterDevice if rustix::termios::isatty(fd) => Ok(Nature::Terminal {
            reopens: is_of_a_login(stat),
        }),
        FileType::CharacterDevice => Ok(Nature::Named),
        _ if is_pollable(fd)? => Ok(Nature::Nameless),
        _ => refused(FileKind::Other),
    }
}

/// What tells files apart.
fn key(fd: BorrowedFd<'_>, stat: &Stat) -> (u64, u64) {
    if let Some(number) = master_of(fd, stat) {
        return (u64::MAX, number);
    }
    // Both have other types on other systems.
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "the types differ between systems"
    )]
    (
        u64::try_from(stat.st_dev).unwrap_or(0),
        u64::try_from(stat.st_ino).unwrap_or(0),
    )
}

/// Where the system shows what a descriptor of ours stands for, and where it can be opened anew.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn path(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_nameless_pipe(fd: BorrowedFd<'_>) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // The path of a FIFO begins with a slash.
    std::fs::read_link(path(fd)).is_ok_and(|name| name.as_os_str().as_bytes().starts_with(b"pipe:"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn is_nameless_pipe(_: BorrowedFd<'_>) -> bool {
    false
}

/// Whether it is a terminal that a login, or a window, gives to programs (devices.txt of Linux).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_of_a_login(stat: &Stat) -> bool {
    matches!(
        (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev)
        ),
        (4, 0..=63) | (5, 0 | 1) | (136..=143, _)
    )
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn is_of_a_login(_: &Stat) -> bool {
    false
}

/// Which terminal it is the master of: all masters are opened as one file, and look like it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn master_of(fd: BorrowedFd<'_>, stat: &Stat) -> Option<u64> {
    let (major, minor) = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        || (major, minor) != (5, 2)
    {
        return None;
    }
    let name = rustix::pty::ptsname(fd, Vec::new()).ok()?;
    name.to_str().ok()?.rsplit('/').next()?.parse().ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn master_of(_: BorrowedFd<'_>, _: &Stat) -> Option<u64> {
    None
}

/// Whether epoll takes it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_pollable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    use rustix::event::epoll;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let data = epoll::EventData::new_u64(0);
    match epoll::add(&poll, fd, data, epoll::EventFlags::empty()) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::PERM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn is_pollable(_: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(true)
}

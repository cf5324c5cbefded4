//! Reading and writing without blocking, and without a trace for others.
//!
//! Whether a read blocks is a flag (`O_NONBLOCK`) of the open file description, which a duplicate shares with
//! its original: to set it on standard input is to set it for the shell that started us, and for all of
//! its pipeline. So:
//! - on a socket each call says for itself that it must not block;
//! - a pipe, or the terminal of a login, is opened anew through `/proc` (Linux): a description of our own;
//! - for all else, and where that fails, the flag is set, and cleared when the last of our channels there
//!   closes. Until then others see it, and a program that is killed leaves it behind.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use switchboard_core::Access;
use tokio::io::ReadBuf;

use super::descriptor::{Descriptor, Nature};

/// The most that one read takes, in bytes.
const MOST: usize = 32 * 1024;

/// A descriptor of our own that never blocks.
#[derive(Debug)]
pub(super) struct NonBlocking {
    fd: OwnedFd,
    pub(super) nature: Nature,
    pub(super) access: Access,
    _loan: Option<Loan>,
}

impl NonBlocking {
    pub(super) fn open(descriptor: &Descriptor) -> io::Result<Self> {
        let reopened = match descriptor.nature {
            Nature::Pipe | Nature::Terminal { reopens: true } => reopen(descriptor),
            _ => None,
        };
        let (fd, loan) = match reopened {
            Some(fd) => (fd, None),
            None if descriptor.is_socket() => (descriptor.fd.try_clone()?, None),
            None => (descriptor.fd.try_clone()?, Some(Loan::take(descriptor)?)),
        };
        Ok(Self {
            fd,
            nature: descriptor.nature,
            access: descriptor.access,
            _loan: loan,
        })
    }

    pub(super) const fn is_socket(&self) -> bool {
        matches!(self.nature, Nature::Socket)
    }

    /// Reads into what is unfilled.
    pub(super) fn read(&self, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
        // Not zeroed before, unlike what is unfilled would have to be.
        let mut landing = [MaybeUninit::uninit(); MOST];
        let room = buf.remaining().min(MOST);
        let landing = &mut landing[..room];
        let (read, _) = if self.is_socket() {
            rustix::net::recv(&self.fd, landing, RecvFlags::DONTWAIT)?.0
        } else {
            rustix::io::read(&self.fd, landing)?
        };
        buf.put_slice(read);
        Ok(read.len())
    }

    pub(super) fn write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(if self.is_socket() {
            let mut nothing = SendAncillaryBuffer::default();
            rustix::net::sendmsg(&self.fd, bufs, &mut nothing, SEND)?
        } else {
            rustix::io::writev(&self.fd, bufs)?
        })
    }

    /// Finishes our direction of a socket, for everybody who has it.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, Shutdown::Write)?)
    }

    /// Whether there is something to be read.
    pub(super) fn is_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&self.fd).is_ok_and(|count| count > 0)
    }
}

impl AsFd for NonBlocking {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for NonBlocking {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Neither waits nor raises SIGPIPE, whatever the program does about that signal.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;

/// A description of our own, if the system gives one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reopen(descriptor: &Descriptor) -> Option<OwnedFd> {
    let way = match descriptor.access {
        Access::ReadWrite => OFlags::RDWR,
        Access::ReadOnly => OFlags::RDONLY,
        Access::WriteOnly => OFlags::WRONLY,
    };
    let flags = way | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = super::descriptor::path(descriptor.fd.as_fd());
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn reopen(_: &Descriptor) -> Option<OwnedFd> {
    None
}

/// Our use of a description that others have too. The flag is not cleared while another channel of ours may
/// be on the same description, which the system does not tell; on the same file, in the same way, it may.
#[derive(Debug)]
struct Loan {
    key: Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    file: (u64, u64),
    opened: Access,
    /// Tells those apart that look like one file. 0: it is a file.
    alone: u64,
}

/// All loans of one key.
struct Loans {
    key: Key,
    count: usize,
    /// Descriptions whose flag is to be cleared after the last one.
    set: Vec<OwnedFd>,
}

static LOANS: Mutex<Vec<Loans>> = Mutex::new(Vec::new());
static ALONE: AtomicU64 = AtomicU64::new(1);

impl Loan {
    fn take(descriptor: &Descriptor) -> io::Result<Self> {
        let key = Key {
            file: descriptor.file,
            opened: descriptor.opened,
            alone: match descriptor.nature {
                Nature::Nameless => ALONE.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            },
        };
        let mut all = loans();
        let flags = fcntl_getfl(&descriptor.fd)?;
        let mut set = Vec::new();
        if !flags.contains(OFlags::NONBLOCK) {
            set.push(descriptor.fd.try_clone()?);
            fcntl_setfl(&descriptor.fd, flags | OFlags::NONBLOCK)?;
        }
        match all.iter_mut().find(|loans| loans.key == key) {
            Some(loans) => {
                loans.count += 1;
                loans.set.append(&mut set);
            }
            None => all.push(Loans { key, count: 1, set }),
        }
        Ok(Self { key })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut all = loans();
        let Some(at) = all.iter().position(|loans| loans.key == self.key) else {
            return;
        };
        all[at].count -= 1;
        if all[at].count == 0 {
            for fd in all.swap_remove(at).set {
                if let Ok(flags) = fcntl_getfl(&fd) {
                    let _ = fcntl_setfl(&fd, flags - OFlags::NONBLOCK);
                }
            }
        }
    }
}

fn loans() -> MutexGuard<'static, Vec<Loans>> {
    LOANS.lock().unwrap_or_else(PoisonError::into_inner)
}

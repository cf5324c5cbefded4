//! The file of a listening Unix socket: whose it is, and when it goes.
//!
//! A socket's file outlives its process, and binding to a file that is there fails. To remove it blindly
//! would take the address away from a server that lives. So a listener holds a lock (`flock`) on a file
//! beside it: who has the lock may replace the file and remove it, and a process that dies has it no more.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use socket2::{Domain, SockAddr, Socket, Type};

/// How often the lock is tried for while others come and go.
const TRIES: usize = 64;

/// A socket's file that is ours for as long as this lives.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Which file it is: another one may be there by now.
    identity: Identity,
    /// Let go of behind the file.
    _lock: Lock,
}

type Identity = (u64, u64);

impl SocketFile {
    /// Binds a socket to this path. What a process that died has left there is replaced.
    pub(crate) fn bind(path: &Path, socket: &Socket, address: &SockAddr) -> io::Result<Self> {
        // So that it is found again from wherever the process works then.
        let absolute = std::path::absolute(path)?;
        let lock = Lock::take(&absolute)?;
        clear(path, address)?;
        socket.bind(address)?;
        let identity = identity(&fs::symlink_metadata(&absolute)?);
        Ok(Self {
            path: absolute,
            identity,
            _lock: lock,
        })
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| identity(&found) == self.identity && found.file_type().is_socket());
        if is_ours {
            // What cannot be removed is left over, and the next listener replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &fs::Metadata) -> Identity {
    (file.dev(), file.ino())
}

/// Removes a socket that nobody accepts on.
fn clear(path: &Path, address: &SockAddr) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let text = "there is a file that is no socket, which is never removed";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    // Of the same type or of another one: a socket that lives is told apart from one that does not.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        _ => Err(in_use("somebody without a lock has it")),
    }
}

fn in_use(who: &str) -> io::Error {
    io::Error::new(
        ErrorKind::AddrInUse,
        format!("the address is in use: {who}"),
    )
}

/// A lock that ends with its process. Its file is removed by who has it, so that who opened the file before
/// holds a lock on nothing, and has to look again.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(socket: &Path) -> io::Result<Self> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..TRIES {
            let file = open(&path).map_err(|error| {
                let text = format!("its lock {}: {error}", path.display());
                io::Error::new(error.kind(), text)
            })?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(in_use("another listener holds its lock"));
                }
                Err(error) => return Err(error.into()),
            }
            if is_at(&file, &path) {
                return Ok(Self { path, file });
            }
        }
        Err(in_use("others take and leave its lock"))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is let go of: from then on it is another's, as it is if somebody else has removed
        // ours. What is left over can be locked anew.
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether this file is the one that the path names.
fn is_at(file: &File, path: &Path) -> bool {
    let there = fs::symlink_metadata(path).map(|found| identity(&found));
    there.is_ok_and(|there| file.metadata().is_ok_and(|own| identity(&own) == there))
}

fn open(path: &Path) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_link)
        .open(path)
}

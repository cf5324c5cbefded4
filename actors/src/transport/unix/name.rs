//! Between the names of Unix sockets and the addresses that the system takes.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use socket2::{SockAddr, SockRef};
use switchboard_core::UnixName;

/// How many bytes a path may have, behind which there is a zero byte; an abstract name has one before it.
pub(super) const MOST: usize =
    size_of::<libc::sockaddr_un>() - offset_of!(libc::sockaddr_un, sun_path) - 1;

/// The name as the system takes it.
pub(super) fn address(name: &UnixName) -> io::Result<SockAddr> {
    match name {
        UnixName::Unnamed => Err(bad("a Unix socket without a name cannot be reached".into())),
        UnixName::Path(path) => {
            let bytes = path.as_os_str().as_bytes();
            check("the path", bytes)?;
            if bytes.contains(&0) {
                return Err(bad("the path has a zero byte in it".into()));
            }
            SockAddr::unix(path)
        }
        UnixName::Abstract(name) => {
            check("the abstract name", name)?;
            if cfg!(not(any(target_os = "linux", target_os = "android"))) {
                let what = "only Linux has abstract names of Unix sockets";
                return Err(io::Error::new(io::ErrorKind::Unsupported, what));
            }
            let mut bytes = vec![0];
            bytes.extend_from_slice(name);
            SockAddr::unix(std::ffi::OsStr::from_bytes(&bytes))
        }
    }
}

fn check(what: &str, bytes: &[u8]) -> io::Result<()> {
    let length = bytes.len();
    if length == 0 {
        Err(bad(format!("{what} is empty")))
    } else if length > MOST {
        let text = format!("{what} has {length} bytes, that of a Unix socket at most {MOST}");
        Err(bad(text))
    } else {
        Ok(())
    }
}

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Our own name of a socket.
pub(crate) fn local_name(socket: &impl AsFd) -> io::Result<UnixName> {
    SockRef::from(socket).local_addr().map(|name| of(&name))
}

/// The name of the socket at the other end.
pub(crate) fn peer_name(socket: &impl AsFd) -> io::Result<UnixName> {
    SockRef::from(socket).peer_addr().map(|name| of(&name))
}

fn of(address: &SockAddr) -> UnixName {
    if let Some(path) = address.as_pathname() {
        UnixName::Path(path.into())
    } else if let Some(name) = address.as_abstract_namespace() {
        UnixName::Abstract(name.into())
    } else {
        UnixName::Unnamed
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_cannot_be_a_name_is_refused_in_clear_words() {
        let long = "x".repeat(MOST + 1);
        for (name, why) in [
            (UnixName::Unnamed, "without a name".to_owned()),
            (UnixName::Path(Path::new("").into()), "is empty".to_owned()),
            (
                UnixName::Path(Path::new("a\0b").into()),
                "zero byte".to_owned(),
            ),
            (
                UnixName::Path(Path::new(&long).into()),
                format!(
                    "has {} bytes, that of a Unix socket at most {MOST}",
                    MOST + 1
                ),
            ),
            (UnixName::Abstract([].into()), "is empty".to_owned()),
            (
                UnixName::Abstract(long.as_bytes().into()),
                "abstract name has".to_owned(),
            ),
        ] {
            let error = address(&name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
            assert!(error.to_string().contains(&why), "{error}");
        }
    }

    #[test]
    fn the_longest_names_are_names() {
        let longest = "x".repeat(MOST);
        let path = UnixName::Path(Path::new(&longest).into());
        assert_eq!(of(&address(&path).unwrap()), path);
        if cfg!(target_os = "linux") {
            for name in [longest.as_bytes(), b"a\0b"] {
                let name = UnixName::Abstract(name.into());
                assert_eq!(of(&address(&name).unwrap()), name);
            }
        }
    }
}

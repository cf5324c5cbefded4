//! The files of Unix sockets: whose they are, and when they go.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use switchboard::{Listen, ListenPhase, Pool};
use switchboard_tests::{Probe, with_pool};

use super::programs::Directory;
use super::{dial, echo, exchange};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("sock.lock")
}

async fn refused(pool: &Pool, path: &Path) -> (ErrorKind, String) {
    let error = pool
        .listen(Listen::unix(path), Probe::new().session())
        .await
        .unwrap_err();
    assert_eq!(error.phase, ListenPhase::Bind);
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    (error.source.kind(), text)
}

#[test]
fn the_file_has_the_permissions_that_were_asked_for() {
    let directory = Directory::new();
    with_pool(async |pool| {
        for bits in [0o600, 0o660, 0o777, 0o000] {
            let path = directory.path(&format!("{bits:o}.sock"));
            let server = echo(&pool, Listen::unix(&path).permissions(bits)).await;
            assert_eq!(mode(&path), bits);
            server.close().await;
        }
    });
}

#[test]
fn nothing_is_left_when_the_listener_is_closed() {
    let directory = Directory::new();
    let path = directory.path("gone.sock");
    with_pool(async |pool| {
        for _ in 0..3 {
            let server = echo(&pool, Listen::unix(&path)).await;
            let mut stream = dial(&path);
            assert_eq!(exchange(&mut stream, b"a\n"), b"a\n");
            assert!(path.exists() && lock_of(&path).exists());
            server.close().await;
            assert!(!path.exists() && !lock_of(&path).exists());
            // Its connections stay.
            assert_eq!(exchange(&mut stream, b"b\n"), b"b\n");
        }
    });
}

/// A process that died has left its file, and perhaps that of its lock.
#[test]
fn what_a_dead_process_has_left_is_replaced() {
    let directory = Directory::new();
    let path = directory.path("stale.sock");
    drop(UnixListener::bind(&path).unwrap());
    fs::write(lock_of(&path), "").unwrap();
    assert!(path.exists());
    with_pool(async |pool| {
        echo(&pool, Listen::unix(&path)).await;
        assert_eq!(exchange(&mut dial(&path), b"new\n"), b"new\n");
    });
}

#[test]
fn a_living_listener_keeps_its_address() {
    let directory = Directory::new();
    let path = directory.path("living.sock");
    with_pool(async |pool| {
        echo(&pool, Listen::unix(&path)).await;
        let (kind, text) = refused(&pool, &path).await;
        assert_eq!(kind, ErrorKind::AddrInUse);
        assert!(text.contains("another listener holds its lock"), "{text}");
        assert_eq!(exchange(&mut dial(&path), b"mine\n"), b"mine\n");
    });
}

/// A server that knows nothing of our lock: of streams, with a full backlog, of datagrams.
#[test]
fn a_foreign_server_keeps_its_address() {
    let directory = Directory::new();
    let path = directory.path("foreign.sock");
    let full = directory.path("full.sock");
    let datagrams = directory.path("datagrams.sock");
    let foreign = UnixListener::bind(&path).unwrap();
    let busy = UnixListener::bind(&full).unwrap();
    socket2::SockRef::from(&busy).listen(0).unwrap();
    let _waits = dial(&full);
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&datagrams).unwrap();
    with_pool(async |pool| {
        for path in [&path, &full, &datagrams] {
            let (kind, text) = refused(&pool, path).await;
            assert_eq!(kind, ErrorKind::AddrInUse, "{text}");
            assert!(text.contains("somebody without a lock"), "{text}");
            assert!(path.exists() && !lock_of(path).exists());
        }
    });
    drop(foreign);
}

/// What is no socket is never removed.
#[test]
fn a_file_that_is_no_socket_is_kept() {
    let directory = Directory::new();
    let file = directory.write("file.sock", "precious");
    let folder = directory.path("folder.sock");
    fs::create_dir(&folder).unwrap();
    let link = directory.path("link.sock");
    std::os::unix::fs::symlink(directory.path("nowhere"), &link).unwrap();
    with_pool(async |pool| {
        for path in [&file, &folder, &link] {
            let (kind, text) = refused(&pool, path).await;
            assert_eq!(kind, ErrorKind::AlreadyExists, "{text}");
            assert!(text.contains("never removed"), "{text}");
        }
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(folder.is_dir() && link.is_symlink());
}

/// Who has put another socket there in spite of the lock keeps it.
#[test]
fn only_its_own_file_is_removed() {
    let directory = Directory::new();
    let path = directory.path("swapped.sock");
    with_pool(async |pool| {
        let server = echo(&pool, Listen::unix(&path)).await;
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        server.close().await;
        assert!(path.exists());
        dial(&path);
        drop(other);
    });
}

/// Nor is the lock of who listens there now.
#[test]
fn only_its_own_lock_is_removed() {
    let directory = Directory::new();
    let path = directory.path("cleaned.sock");
    with_pool(async |pool| {
        let first = echo(&pool, Listen::unix(&path)).await;
        // Such as who cleans up old files does.
        fs::remove_file(&path).unwrap();
        fs::remove_file(lock_of(&path)).unwrap();
        let second = echo(&pool, Listen::unix(&path)).await;
        first.close().await;
        assert!(path.exists() && lock_of(&path).exists());
        let (_, text) = refused(&pool, &path).await;
        assert!(text.contains("another listener holds its lock"), "{text}");
        assert_eq!(exchange(&mut dial(&path), b"second\n"), b"second\n");
        second.close().await;
        assert!(!path.exists() && !lock_of(&path).exists());
    });
}

/// Of many that start and end at once exactly one has the address at any time.
#[test]
fn of_many_starters_one_has_the_address() {
    let directory = Directory::new();
    let path = directory.path("race.sock");
    let starters: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut held = 0;
                with_pool(async |pool| {
                    for _ in 0..50 {
                        let listen = Listen::unix(&path);
                        match pool.listen(listen, Probe::new().session()).await {
                            Ok(server) => {
                                held += 1;
                                dial(&path);
                                let (kind, _) = refused(&pool, &path).await;
                                assert_eq!(kind, ErrorKind::AddrInUse);
                                dial(&path);
                                server.close().await;
                            }
                            Err(error) => {
                                assert_eq!(error.source.kind(), ErrorKind::AddrInUse, "{error}");
                            }
                        }
                    }
                });
                held
            })
        })
        .collect();
    let held: u32 = starters
        .into_iter()
        .map(|starter| starter.join().unwrap())
        .sum();
    assert!(held > 0);
    assert!(!path.exists() && !lock_of(&path).exists());
}

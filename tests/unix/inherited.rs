//! Sockets that a process is started with.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use switchboard::{InheritError, Inherited};
use switchboard_tests::{PATIENCE, Reaped, is_rerun, until, with_pool};

use super::programs::{Directory, Program, peer};
use super::{bounded, dial, echo, exchange};

const SERVE: &str = "inherited::a_process_serves_the_sockets_that_it_was_started_with";
const WRONG: &str = "inherited::an_environment_that_lies_is_refused";

/// A test of this executable in a process of its own that has two sockets at 3 and 4.
fn started(test: &str, sockets: [OwnedFd; 2], environment: &str) -> Command {
    let [first, second] = sockets;
    let script = format!("exec 3<&0 4<&1 0</dev/null 1>&2; {environment} exec \"$@\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(switchboard_tests::RERUN, "1")
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second));
    command
}

/// Takes all kinds by position and by name, and serves.
fn serve() {
    let mut inherited = Inherited::from_env().unwrap();
    assert_eq!(inherited.len(), 2);
    assert_eq!(inherited.names().collect::<Vec<_>>(), ["web", "local"]);
    assert!(matches!(
        inherited.take_udp(0),
        Err(InheritError::WrongKind { .. })
    ));
    assert!(matches!(
        inherited.take_unix_datagram("local"),
        Err(InheritError::WrongKind { .. })
    ));
    assert!(matches!(
        inherited.take_listener(2),
        Err(InheritError::NoSuch { .. })
    ));
    assert!(matches!(
        inherited.take_listener("other"),
        Err(InheritError::NoSuch { .. })
    ));
    let tcp = inherited.take_listener(0).unwrap();
    let unix = inherited.take_listener("local").unwrap();
    for again in [inherited.take_listener("web"), inherited.take_listener(1)] {
        assert!(
            matches!(again, Err(InheritError::Taken { .. })),
            "{again:?}"
        );
    }
    // Asked again there is nothing.
    assert!(Inherited::from_env().unwrap().is_empty());
    with_pool(async |pool| {
        let tcp = echo(&pool, tcp).await;
        let unix = echo(&pool, unix).await;
        // The peers say when it is over, by leaving.
        until(|| tcp.info().closed[2] == 1 && unix.info().closed[2] == 1).await;
    });
}

/// ACO-01, and the tables' "systemd socket": whoever connected before the process was there is served.
#[test]
fn a_process_serves_the_sockets_that_it_was_started_with() {
    if is_rerun() {
        serve();
        return;
    }
    let directory = Directory::new();
    let path = directory.path("local.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let mut early = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    early.write_all(b"early\n").unwrap();
    let mut local = dial(&path);
    let environment = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:local";
    let mut command = started(SERVE, [tcp.into(), unix.into()], environment);
    let mut child = Reaped(command.spawn().unwrap());
    // The sockets are the child's alone now.
    drop(command);
    let mut answer = [0; 6];
    early.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"early\n");
    assert_eq!(exchange(&mut local, b"local\n"), b"local\n");
    drop((early, local));
    assert!(child.wait().success());
}

/// What is for another process is nobody's here, and what makes no sense is an error that names it.
#[test]
fn an_environment_that_lies_is_refused() {
    if is_rerun() {
        let outcome = Inherited::from_env();
        match std::env::var("EXPECTED").unwrap().as_str() {
            "empty" => assert!(outcome.unwrap().is_empty()),
            "no listener" => {
                let mut inherited = outcome.unwrap();
                assert_eq!(
                    inherited.names().collect::<Vec<_>>(),
                    ["unknown", "unknown"]
                );
                let refused = inherited.take_listener("unknown").unwrap_err();
                assert!(
                    matches!(refused, InheritError::NotListening { .. }),
                    "{refused}"
                );
                inherited.take_udp("unknown").unwrap();
            }
            variable => {
                let refused = outcome.unwrap_err();
                let InheritError::Malformed { variable: told, .. } = &refused else {
                    panic!("{refused}");
                };
                assert_eq!(*told, variable);
            }
        }
        return;
    }
    for (expected, environment) in [
        ("empty", "LISTEN_PID=1 LISTEN_FDS=2"),
        ("empty", "LISTEN_PID=1 LISTEN_FDS=two"),
        ("empty", "LISTEN_PID=$$ LISTEN_FDS="),
        ("no listener", "LISTEN_PID=$$ LISTEN_FDS=2"),
        ("LISTEN_FDS", "LISTEN_PID=$$ LISTEN_FDS=two"),
        ("LISTEN_FDS", "LISTEN_PID=$$ LISTEN_FDS=4000000000"),
        (
            "LISTEN_FDNAMES",
            "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=one",
        ),
    ] {
        let (stream, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut command = started(WRONG, [stream.into(), udp.into()], environment);
        let mut child = Reaped(command.env("EXPECTED", expected).spawn().unwrap());
        assert!(child.wait().success(), "{environment}");
    }
}

const ACTIVATED: &str = "inherited::systemd_starts_it_when_somebody_connects";

/// As systemd does it: the process is started by the first who connects, and serves it.
#[test]
fn systemd_starts_it_when_somebody_connects() {
    if is_rerun() {
        let mut inherited = Inherited::from_env().unwrap();
        let listen = inherited.take_listener("door").unwrap();
        with_pool(async |pool| {
            let server = echo(&pool, listen).await;
            until(|| server.info().closed[2] == 1).await;
        });
        return;
    }
    let Some(activate) = peer("systemd-socket-activate") else {
        return;
    };
    let directory = Directory::new();
    let path = directory.path("door.sock");
    let mut command = Command::new(activate);
    command
        .arg(format!("--setenv={}=1", switchboard_tests::RERUN))
        .arg("--fdname=door")
        .args(["-l", path.to_str().unwrap()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", ACTIVATED, "--nocapture", "--test-threads=1"]);
    let mut program = Program::start(&mut command);
    program.wait_for("Listening on");
    let mut stream = bounded(std::os::unix::net::UnixStream::connect(&path).unwrap());
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(exchange(&mut stream, b"open\n"), b"open\n");
    drop(stream);
    program.end().succeeded();
}

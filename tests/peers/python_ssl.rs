//! Python's `ssl`, as the client of our server and as the server of our client.

use std::process::Command;

use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{Cause, TlsError, TlsVersion};

use crate::ours::{Dialled, Server};
use crate::programs::{Directory, Program, peer, run};
use switchboard_tests::certificates::Authority;

/// Says a line, reads it back, and goes: as TLS wants it, or without a word.
const CLIENT: &str = r#"
import socket, ssl, sys
host, port, ca, going, version = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.maximum_version = getattr(ssl.TLSVersion, version)
plain = socket.create_connection((host, int(port)), timeout=20)
tls = context.wrap_socket(plain, server_hostname="localhost")
print(tls.version(), tls.cipher()[0], tls.cipher()[2])
tls.sendall(b"hello from Python\n")
back = b""
while not back.endswith(b"\n"):
    back += tls.recv(1)
assert back == b"hello from Python\n", back
if going == "unwrap":
    tls.unwrap().close()
elif going == "close":
    tls.close()
"#;

/// Takes one connection, answers one line, and goes.
const SERVER: &str = r#"
import socket, ssl, sys
cert, key, going, version = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
context.maximum_version = getattr(ssl.TLSVersion, version)
listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(20)
print("PORT", listener.getsockname()[1], flush=True)
plain, _ = listener.accept()
plain.settimeout(20)
tls = context.wrap_socket(plain, server_side=True)
line = b""
while not line.endswith(b"\n"):
    line += tls.recv(1)
tls.sendall(b"taken: " + line)
if going == "unwrap":
    tls.unwrap().close()
elif going == "close":
    tls.close()
"#;

const VERSIONS: [(&str, TlsVersion); 2] = [
    ("TLSv1_2", TlsVersion::Tls12),
    ("TLSv1_3", TlsVersion::Tls13),
];

/// How the connection ended for us when the peer said that it would, and when it just went.
fn assert_ending(cause: &Cause, going: &str, version: &str) {
    match going {
        "unwrap" => assert_eq!(*cause, Cause::PeerFinished, "{version}"),
        _ => assert_eq!(*cause, Cause::Tls(TlsError::Truncated), "{version}"),
    }
}

/// AIO-40; ACO-13: an end that the peer announced, and a stream that was cut, are not the same.
#[test]
fn aco_13_a_python_client_that_just_goes_is_told_from_one_that_says_good_bye() {
    let Some(python) = peer("python3") else {
        return;
    };
    let (authority, directory) = (Authority::new("the test's own"), Directory::new());
    let ca = directory.write("ca.pem", &authority.pem());
    let identity = authority.issue(&["localhost"]).identity();
    let server = Server::start(TlsServer::builder(identity).build().unwrap());
    for (name, version) in VERSIONS {
        for going in ["unwrap", "close"] {
            let mut client = Command::new(&python);
            client.args(["-c", CLIENT, "127.0.0.1"]);
            client.arg(server.address.port().to_string());
            let told = run(client.arg(&ca).args([going, name])).succeeded();
            let info = server.log.secured();
            assert_eq!(info.version, version);
            // Python names the suites of TLS 1.2 as OpenSSL does.
            let bits = info.cipher.bits.to_string();
            assert!(told.trim_end().ends_with(&format!(" {bits}")), "{told}");
            assert!(
                version == TlsVersion::Tls12 || told.contains(info.cipher.name),
                "{told}"
            );
            assert_ending(&server.log.closed().cause, going, name);
        }
    }
}

/// XAS-35, AIO-40, ACO-13.
#[test]
fn aco_13_a_python_server_that_just_goes_is_told_from_one_that_says_good_bye() {
    let Some(python) = peer("python3") else {
        return;
    };
    let (authority, directory) = (Authority::new("the test's own"), Directory::new());
    let certificate = authority.issue(&["localhost"]);
    let cert = directory.write("server.crt", &certificate.certificate);
    let key = directory.write("server.key", &certificate.key);
    for (name, version) in VERSIONS {
        for going in ["unwrap", "close"] {
            let mut command = Command::new(&python);
            command.args(["-c", SERVER]).arg(&cert).arg(&key);
            let mut server = Program::start(command.args([going, name]));
            let address = format!("127.0.0.1:{}", server.rest_of_line("PORT "));
            let tls = TlsClient::builder(authority.roots()).build().unwrap();
            let dialled = Dialled::start(&address, tls, "localhost", "hello from Rust\n");
            assert_eq!(dialled.log.secured().version, version);
            assert_eq!(dialled.log.line(), "taken: hello from Rust");
            assert_ending(&dialled.log.closed().cause, going, name);
            server.end().succeeded();
        }
    }
}

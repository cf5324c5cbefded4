//! What the examples say when they cannot do their job.

use std::net::{TcpListener, UdpSocket};

use crate::examples_support::Example;

const SERVERS: [&str; 8] = [
    "echo",
    "tcp_server",
    "echo_server",
    "protocol_echo_server",
    "tls_echo",
    "https_hello",
    "smtp_sink",
    "tcp_proxy",
];
const CLIENTS: [&str; 4] = [
    "tcp_client",
    "http_get",
    "protocol_echo_client",
    "sequential_client",
];
const UDP: [&str; 3] = ["dns_static", "udp_receiver", "udp_sender"];

/// Exit code 1, and one line on stderr that names the address.
fn fails_on(name: &'static str, address: &str) {
    fails(name, &[address], address);
}

/// The same of both halves of the chat.
fn chat_fails(role: &str, address: &str) {
    let arguments = match role {
        "server" => &[role, address][..],
        _ => &[role, address, "Ada"],
    };
    fails("chat", arguments, address);
}

fn fails(name: &'static str, arguments: &[&str], address: &str) {
    // A terminal's place is taken by a pipe: some of them read it.
    let (example, _input) = Example::start_typing(name, arguments);
    let ended = example.wait();
    let said = &ended.stderr;
    assert_eq!(ended.status.code(), Some(1), "{name}: {said}");
    // `echo` also logs that its pool stops.
    let lines: Vec<_> = said
        .lines()
        .filter(|line| !line.contains(" INFO "))
        .collect();
    let [line] = lines[..] else {
        panic!("{name}: {said}");
    };
    assert!(line.starts_with("error: "), "{name}: {said}");
    assert!(line.contains(address), "{name}: {said}");
}

/// XAS-24: the servers of XAS-71, AC-25, AIO-44 and ACO-15.
#[test]
fn xas_24_a_busy_port_is_one_line_that_names_the_address() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    for name in SERVERS {
        fails_on(name, &busy.local_addr().unwrap().to_string());
    }
    chat_fails("server", &busy.local_addr().unwrap().to_string());
    let busy = UdpSocket::bind("127.0.0.1:0").unwrap();
    for name in ["dns_static", "udp_receiver"] {
        fails_on(name, &busy.local_addr().unwrap().to_string());
    }
}

/// XAS-34: the clients of XAS-71, AC-24, AIO-45, ACO-14 and ACO-15.
#[test]
fn xas_34_a_refused_connection_is_one_line_that_names_the_address() {
    // Bound and not listening: nobody else can take the port, and it refuses.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    bound.bind(&any.into()).unwrap();
    let refuses = bound.local_addr().unwrap().as_socket().unwrap();
    for name in CLIENTS {
        fails_on(name, &refuses.to_string());
    }
    chat_fails("client", &refuses.to_string());
}

/// XAS-71, AC-24, AC-25, AIO-44, AIO-45, ACO-14, ACO-15.
#[test]
fn xas_71_a_bad_address_is_one_line_that_names_it() {
    for name in SERVERS.iter().chain(&CLIENTS).chain(&UDP) {
        fails_on(name, "nonsense");
        fails_on(name, "127.0.0.1:65536");
    }
    for role in ["server", "client"] {
        chat_fails(role, "nonsense");
        chat_fails(role, "127.0.0.1:65536");
    }
}

#[test]
fn arguments_that_cannot_be_obeyed_are_named_and_the_exit_code_is_2() {
    let cases: [(&str, &[&str], &str); 15] = [
        ("tls_echo", &["--nonsense"], "--nonsense"),
        ("tls_echo", &["--ca"], "--ca"),
        ("https_hello", &["127.0.0.1:0", "more"], "more"),
        ("smtp_sink", &["--nonsense"], "--nonsense"),
        ("smtp_sink", &["127.0.0.1:0", "more"], "more"),
        ("smtp_sink", &["--cert", "file"], "--key"),
        ("smtp_sink", &["--no-tls", "--ca", "file"], "--no-tls"),
        ("smtp_sink", &["--max-size", "much"], "much"),
        ("smtp_sink", &["--max-size", "1"], "65536"),
        ("smtp_sink", &["--max-size"], "--max-size"),
        ("dns_static", &["--zone"], "--zone"),
        (
            "dns_static",
            &["www.example.org=192.0.2.1"],
            "www.example.org",
        ),
        ("ping", &["--nonsense"], "--nonsense"),
        ("ping", &["-c", "0", "localhost"], "0"),
        ("ping", &[], "host"),
    ];
    for (name, arguments, part) in cases {
        let ended = Example::start(name, arguments).wait();
        let said = &ended.stderr;
        assert_eq!(ended.status.code(), Some(2), "{name}: {said}");
        let first = said.lines().next().unwrap();
        assert!(
            first.starts_with("error: ") && first.contains(part),
            "{name}: {said}"
        );
        assert!(said.contains("usage: "), "{name}: {said}");
    }
    for name in ["tls_echo", "https_hello", "smtp_sink", "dns_static", "ping"] {
        assert!(
            Example::start(name, &["--help"])
                .succeed()
                .starts_with("usage: ")
        );
    }
}

#[test]
fn a_certificate_that_cannot_be_read_or_written_is_one_line_that_names_it() {
    let missing = "/nonexistent/file.pem";
    let cases: [(&str, &[&str]); 3] = [
        ("tls_echo", &["127.0.0.1:0", "--ca", missing]),
        ("smtp_sink", &["127.0.0.1:0", "--ca", missing]),
        (
            "smtp_sink",
            &["127.0.0.1:0", "--cert", missing, "--key", missing],
        ),
    ];
    for (name, arguments) in cases {
        let ended = Example::start(name, arguments).wait();
        assert_eq!(ended.status.code(), Some(1), "{name}: {}", ended.stderr);
        let [line] = ended.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("{name}: {}", ended.stderr);
        };
        assert!(
            line.starts_with("error: ") && line.contains(missing),
            "{name}: {line}"
        );
    }
}

//! What a client asks for decides what it gets.

use std::time::Duration;

use bytes::Bytes;
use switchboard::prelude::*;
use switchboard::tls::{TlsClient, TlsServer, UnknownHost};
use switchboard::{
    Cause, ChangeError, Connect, CrashPolicy, Listen, Receive, ReceiveKind, TlsError,
};
use switchboard_tests::certificates::{Authority, Issued};
use switchboard_tests::*;

use super::{listen, meet, talk};

/// Three certificates and a server that has them.
fn houses(authority: &Authority) -> (switchboard::tls::TlsServerBuilder, [Issued; 3]) {
    let issued = [
        authority.issue(&["a.example"]),
        authority.issue(&["b.example"]),
        authority.issue(&["*.c.example"]),
    ];
    let server = TlsServer::builder(issued[0].identity())
        .host("b.example", issued[1].identity())
        .host("*.c.example", issued[2].identity());
    (server, issued)
}

#[test]
fn each_host_has_its_certificate_and_a_wildcard_is_for_one_label() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (server, issued) = houses(&authority);
        let pins = issued
            .iter()
            .map(|one| switchboard::tls::fingerprint(&one.der));
        // Names are not verified, so that the server's choice is seen whatever it is.
        let client = TlsClient::pinned(pins).resumption(false).build().unwrap();
        let mut far = Probe::new();
        let address = listen(&pool, &server.build().unwrap(), &far)
            .await
            .local_addr();
        for (name, which) in [
            ("a.example", 0),
            ("b.example", 1),
            ("B.Example", 1),
            ("x.c.example", 2),
            ("c.example", 0),
            ("x.y.c.example", 0),
            ("x.b.example", 0),
            // No name is asked for with an address.
            ("127.0.0.1", 0),
        ] {
            let tls = talk(address, &pool, &client, name, &mut far).await;
            assert_eq!(
                tls.peer_certificates,
                [Bytes::from(issued[which].der.clone())],
                "{name}"
            );
        }
        far.finish();
    });
}

#[test]
fn with_refuse_nobody_sees_a_certificate_who_does_not_know_its_name() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (server, _) = houses(&authority);
        let server = server.unknown_host(UnknownHost::Refuse).build().unwrap();
        let client = TlsClient::builder(authority.roots()).build().unwrap();
        let mut far = Probe::new();
        let address = listen(&pool, &server, &far).await.local_addr();
        for name in ["a.example", "b.example", "x.c.example"] {
            talk(address, &pool, &client, name, &mut far).await;
        }
        for name in ["c.example", "x.y.c.example", "x.a.example", "127.0.0.1"] {
            let (near, there) = meet(address, &pool, &client, name, &mut far).await;
            assert!(
                matches!(
                    near,
                    Err(TlsError::Alert {
                        name: "unrecognized_name",
                        ..
                    })
                ),
                "{name}: {near:?}"
            );
            let name = (name != "127.0.0.1").then(|| name.to_owned());
            assert_eq!(there, Err(TlsError::UnknownHost { name }));
        }
        far.finish();
    });
}

#[test]
fn sessions_come_from_the_factory_of_the_host_that_was_asked_for() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (server, _) = houses(&authority);
        let client = TlsClient::builder(authority.roots()).build().unwrap();
        let (mut a, mut b, mut c) = (Probe::new(), Probe::new(), Probe::new());
        let listen = Listen::tcp("127.0.0.1:0")
            .lines()
            .host_session("B.example", b.session())
            .tls(server.build().unwrap())
            .host_session("*.c.example", c.session());
        let address = pool
            .listen(listen.clone(), a.session())
            .await
            .unwrap()
            .local_addr();
        for _ in 0..2 {
            talk(address, &pool, &client, "a.example", &mut a).await;
            talk(address, &pool, &client, "b.example", &mut b).await;
            talk(address, &pool, &client, "x.c.example", &mut c).await;
        }
        // A handshake that fails is told to whom the peer has asked for.
        let stranger = TlsClient::builder(Authority::new("theirs").roots())
            .build()
            .unwrap();
        for (name, probe) in [
            ("a.example", &mut a),
            ("b.example", &mut b),
            ("x.c.example", &mut c),
        ] {
            let (near, there) = meet(address, &pool, &stranger, name, probe).await;
            near.unwrap_err();
            there.unwrap_err();
        }
        // One that never asks, to the others'.
        peer(move || {
            let mut peer = dial(address);
            std::io::Write::write_all(&mut peer, b"GET / HTTP/1.1\r\n\r\n").unwrap();
            read_all(&mut peer);
        })
        .await;
        assert_eq!(
            expect!(a, Closed).detail.cause,
            Cause::Tls(TlsError::NotTls)
        );
        for probe in [a, b, c] {
            probe.finish();
        }
    });
}

/// Handles nothing of what comes in.
struct Deaf;

impl Actor for Deaf {
    type Context = SessionContext<Self>;
}

impl Handler<Closed> for Deaf {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {}
}

session!(Deaf);

#[test]
fn a_session_by_host_that_cannot_be_is_refused_when_the_listener_opens() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (server, _) = houses(&authority);
        let server = server.build().unwrap();
        let probe = Probe::new();
        let plain = || Listen::tcp("127.0.0.1:0");
        let tls = || plain().tls(server.clone());
        for (listen, why) in [
            (
                plain().host_session("b.example", probe.session()),
                "sessions by host need tls",
            ),
            (
                tls().lines().host_session("b.example", |_| Deaf),
                "LineReceived",
            ),
            (tls().host_session("b b", probe.session()), "b b"),
            (
                tls()
                    .host_session("b.example", probe.session())
                    .host_session("b.example", probe.session()),
                "twice",
            ),
            (
                tls().on_workers(true).host_session("b.example", |_| Deaf),
                "workers",
            ),
        ] {
            let refused = pool.listen(listen, probe.session()).await.unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
        // Nor can it come to be so later.
        let listen = tls().host_session("b.example", |_| Deaf);
        let server = pool.listen(listen, probe.session()).await.unwrap();
        let refused = server.set_options(|config| {
            config.first_receive = Some(Receive::always(ReceiveKind::Line {
                rule: None,
                encoding: None,
                max: None,
            }));
        });
        assert!(
            matches!(refused, Err(ChangeError::Unhandled { .. })),
            "{refused:?}"
        );
        probe.finish();
    });
}

/// Panics at the first line; its successor answers.
struct Mortal {
    client: Client,
    name: &'static str,
    first: bool,
}

impl Actor for Mortal {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Mortal {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        assert!(!self.first, "as planned");
        let _ = self.client.send_line(self.name);
    }
}

session!(Mortal);

fn mortal(name: &'static str) -> impl Fn(Client) -> Mortal + Clone + Send + Sync + 'static {
    let born = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    move |client| Mortal {
        client,
        name,
        first: !born.swap(true, std::sync::atomic::Ordering::SeqCst),
    }
}

#[test]
fn a_successor_comes_from_the_same_host_as_the_session_that_panicked() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (server, _) = houses(&authority);
        let client = TlsClient::builder(authority.roots()).build().unwrap();
        let policy = CrashPolicy::Restart {
            max: 3,
            within: Duration::from_secs(60),
        };
        let listen = Listen::tcp("127.0.0.1:0")
            .lines()
            .on_crash(policy)
            .tls(server.build().unwrap())
            .host_session("b.example", mortal("b"));
        let address = pool.listen(listen, mortal("a")).await.unwrap().local_addr();
        for (host, name) in [("b.example", "b"), ("a.example", "a")] {
            let mut near = Probe::new();
            let connect = Connect::tcp(address).lines().tls(client.clone());
            let one = pool
                .connect(connect.server_name(host), near.session())
                .await
                .unwrap();
            expect!(near, Connected);
            expect!(near, TlsStarted);
            one.send_line("one").unwrap();
            one.send_line("two").unwrap();
            near.expect_line(name).await;
            one.close();
            expect!(near, Closed);
            near.finish();
        }
    });
}

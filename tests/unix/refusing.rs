//! What cannot be on a Unix socket, said in clear words.

use std::io::ErrorKind;
use std::time::Duration;

use switchboard::testkit::MemoryNet;
use switchboard::{
    AccessList, Connect, ConnectPhase, ConnectionOptions, Listen, ListenPhase, Pool, ServerLimits,
    SetLimitsError,
};
use switchboard_tests::{Probe, with, with_pool};

use super::echo;
use super::programs::Directory;

async fn refusal(pool: &Pool, listen: Listen) -> (ListenPhase, ErrorKind, String) {
    let error = pool
        .listen(listen, Probe::new().session())
        .await
        .unwrap_err();
    (error.phase, error.source.kind(), error.to_string())
}

/// What goes by the addresses of peers is refused and not left out: it may be somebody's protection.
#[test]
fn options_that_a_unix_socket_cannot_have_are_refused() {
    let directory = Directory::new();
    let path = directory.path("options.sock");
    with_pool(async |pool| {
        let only = || AccessList::new().allow("10.0.0.0/8".parse().unwrap());
        for (listen, why) in [
            (Listen::unix(&path).only_v6(true), "only_v6"),
            (Listen::unix(&path).access(only()), "go by IP addresses"),
            (Listen::unix(&path).max_per_ip(3), "go by IP addresses"),
            (Listen::unix(&path).permissions(0o1777), "the most is 777"),
            (
                Listen::tcp("127.0.0.1:0").permissions(0o660),
                "a file of its own",
            ),
        ] {
            let (phase, kind, text) = refusal(&pool, listen).await;
            assert_eq!(
                (phase, kind),
                (ListenPhase::Options, ErrorKind::InvalidInput)
            );
            assert!(text.contains(why), "{text}");
        }
        let connect = Connect::unix(&path).local_addr("127.0.0.1:0".parse().unwrap());
        let error = pool
            .connect(connect, Probe::new().session())
            .await
            .unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Options);

        // What means nothing there, or is so anyway, does no harm.
        let listen = Listen::unix(&path)
            .nodelay(false)
            .keepalive(Duration::from_secs(9));
        let server = echo(&pool, listen).await;
        let limits = ServerLimits::new().max_per_ip(3);
        assert_eq!(server.set_limits(limits), Err(SetLimitsError::NoAddresses));
        assert_eq!(
            server.set_limits(ServerLimits::new().max_connections(3)),
            Ok(())
        );
    });
}

#[test]
fn a_name_that_cannot_be_is_refused_with_the_reason() {
    let directory = Directory::new();
    let long = directory.path(&"x".repeat(120));
    with_pool(async |pool| {
        let (phase, kind, text) = refusal(&pool, Listen::unix(&long)).await;
        assert_eq!((phase, kind), (ListenPhase::Bind, ErrorKind::InvalidInput));
        assert!(
            text.contains("bytes, that of a Unix socket at most"),
            "{text}"
        );
        let error = pool
            .connect(Connect::unix(&long), Probe::new().session())
            .await
            .unwrap_err();
        assert_eq!(
            (error.phase, error.kind),
            (ConnectPhase::Local, ErrorKind::InvalidInput)
        );
        let (_, kind, _) = refusal(&pool, Listen::unix("")).await;
        assert_eq!(kind, ErrorKind::InvalidInput);
        let (_, kind, text) = refusal(&pool, Listen::unix(directory.path("no/where.sock"))).await;
        assert_eq!(kind, ErrorKind::NotFound, "{text}");
        let nobody = Connect::unix(directory.path("nobody.sock"));
        let error = pool
            .connect(nobody, Probe::new().session())
            .await
            .unwrap_err();
        assert_eq!(
            (error.phase, error.kind),
            (ConnectPhase::Connect, ErrorKind::NotFound)
        );
        assert!(error.attempts.is_empty());
    });
}

#[test]
fn a_network_without_unix_sockets_says_so() {
    with(
        Pool::builder().shards(0).network(MemoryNet::new()),
        async |pool| {
            let (_, kind, text) = refusal(&pool, Listen::unix("/a.sock")).await;
            assert_eq!(kind, ErrorKind::Unsupported, "{text}");
            let connect = Connect::unix("/a.sock");
            let error = pool
                .connect(connect, Probe::new().session())
                .await
                .unwrap_err();
            assert_eq!(
                (error.kind, error.target.as_str()),
                (ErrorKind::Unsupported, "/a.sock")
            );
        },
    );
}

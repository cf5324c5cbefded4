//! The names and files of sockets.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Instant;

use switchboard::udp::SendToError;

use super::*;
use crate::recording::run_without_leaks;

#[test]
fn its_file_goes_when_it_closes_and_a_stale_one_is_replaced() {
    run_simply(|pool| async move {
        let directory = Directory::new("file");
        let at = directory.file("server");
        // Left over: its owner is gone.
        drop(UnixDatagram::bind(&at).unwrap());
        assert!(at.exists());
        let udp = echo(&pool, &at).await;
        assert!(fs::symlink_metadata(&at).unwrap().file_type().is_socket());
        let error = pool.open_udp(BindUdp::unix(&at)).await.unwrap_err();
        assert_eq!(
            error.source.kind(),
            std::io::ErrorKind::AddrInUse,
            "{error}"
        );
        let own = directory.file("peer");
        let to = at.clone();
        beside(move || {
            let peer = bounded(UnixDatagram::bind(&own).unwrap());
            assert_eq!(exchange(&peer, &to, b"hello"), b"hello");
            fs::remove_file(own).unwrap();
        })
        .await;
        udp.close();
        udp.wait_closed().await;
        assert_eq!(directory.names(), Vec::<String>::new());

        // One that lives, without our lock.
        let other = UnixDatagram::bind(&at).unwrap();
        let error = pool.open_udp(BindUdp::unix(&at)).await.unwrap_err();
        assert_eq!(
            error.source.kind(),
            std::io::ErrorKind::AddrInUse,
            "{error}"
        );
        drop(other);
        fs::remove_file(&at).unwrap();
        fs::write(&at, "precious").unwrap();
        let error = pool.open_udp(BindUdp::unix(&at)).await.unwrap_err();
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(fs::read(&at).unwrap(), b"precious");
        assert_eq!(directory.names(), ["server"]);
    });
}

#[test]
fn another_ones_file_stays() {
    run_simply(|pool| async move {
        let directory = Directory::new("other");
        let at = directory.file("server");
        let udp = echo(&pool, &at).await;
        fs::remove_file(&at).unwrap();
        let other = UnixDatagram::bind(&at).unwrap();
        udp.close();
        udp.wait_closed().await;
        assert_eq!(directory.names(), ["server"]);
        drop(other);
        // One that was adopted stays its owner's.
        let kept = directory.file("kept");
        let socket = UnixDatagram::bind(&kept).unwrap();
        let udp = pool.open_udp(BindUdp::adopt_unix(socket)).await.unwrap();
        assert_eq!(udp.local_addr(), Some(Address::from(kept)));
        udp.close();
        udp.wait_closed().await;
        assert_eq!(directory.names(), ["kept", "server"]);
    });
}

#[test]
fn its_permissions_are_as_asked_for() {
    run_simply(|pool| async move {
        let directory = Directory::new("permissions");
        for mode in [0o600, 0o660, 0o777, 0o000] {
            let at = directory.file("server");
            let bind = BindUdp::unix(&at).permissions(mode);
            let udp = pool.open_udp(bind).await.unwrap();
            let found = fs::symlink_metadata(&at).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode);
            udp.close();
            udp.wait_closed().await;
        }
        for bind in [
            BindUdp::unix_abstract("x"),
            BindUdp::unix_unnamed(),
            BindUdp::new("127.0.0.1:0"),
        ] {
            let error = pool.open_udp(bind.permissions(0o600)).await.unwrap_err();
            assert!(error.to_string().contains("permissions"), "{error}");
        }
    });
}

#[test]
fn names_that_cannot_be_and_options_of_ip_are_refused() {
    run_simply(|pool| async move {
        let directory = Directory::new("refused");
        let at = directory.file("server");
        for bind in [
            BindUdp::unix(directory.file(&"x".repeat(200))),
            BindUdp::unix(""),
            BindUdp::unix(directory.file("no/such/directory")),
            BindUdp::unix(&at).broadcast(true),
            BindUdp::unix(&at).ttl(3),
            BindUdp::unix(&at).join(std::net::Ipv4Addr::new(239, 1, 1, 1)),
            BindUdp::unix(&at).connect("127.0.0.1:9"),
        ] {
            assert!(pool.open_udp(bind).await.is_err());
        }
        assert_eq!(directory.names(), Vec::<String>::new());
        let udp = pool.open_udp(BindUdp::unix_unnamed()).await.unwrap();
        let error = udp.sent_to("x", "localhost:9", None).await.unwrap_err();
        assert!(matches!(error, SendToError::Failed(_)), "{error}");
    });
}

#[test]
fn unix_sockets_leave_no_descriptors() {
    let name = "unix::files::unix_sockets_leave_no_descriptors";
    run_without_leaks(name, |pool| async move {
        let directory = Directory::new("leaks");
        let began = Instant::now();
        for round in 0..50 {
            let at = directory.file("server");
            let udp = echo(&pool, &at).await;
            let taken = pool.open_udp(BindUdp::unix(&at)).await;
            assert!(taken.is_err());
            let peer = bounded(UnixDatagram::bind(directory.file("peer")).unwrap());
            peer.send_to(b"x", &at).unwrap();
            if round % 2 == 0 {
                udp.close();
            } else {
                udp.abort();
            }
            udp.wait_closed().await;
            fs::remove_file(directory.file("peer")).unwrap();
        }
        assert!(began.elapsed() < PATIENCE);
        assert_eq!(directory.names(), Vec::<String>::new());
    });
}

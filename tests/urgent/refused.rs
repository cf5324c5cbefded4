//! Where there are no urgent bytes, they are refused and nothing else happens.

use switchboard::testkit::MemoryNet;
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{Connect, ConnectionOptions, Listen, Pool, SendRefusal};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

/// AC-06: it would stand between the records.
#[test]
fn ac_06_tls_refuses_an_urgent_byte_and_goes_on() {
    with_pool(|pool| async move {
        let authority = Authority::new("test authority");
        let identity = authority.issue(&["localhost", "127.0.0.1"]).identity();
        let server = TlsServer::builder(identity).build().unwrap();
        let trusted = TlsClient::builder(authority.roots()).build().unwrap();
        let (mut far, mut near) = (Probe::new(), Probe::new());
        let listen = Listen::tcp("127.0.0.1:0").lines().tls(server);
        let server = pool.listen(listen, far.session()).await.unwrap();
        let connect = Connect::tcp(server.local_addr()).lines().tls(trusted);
        let client = pool.connect(connect, near.session()).await.unwrap();
        let _ = expect!(near, Connected);
        let _ = expect!(near, TlsStarted);
        let refused = client.send_urgent(b'!');
        assert_eq!(refused, Err(SendRefusal::NotSupported));
        client.send_line("protected").unwrap();
        let _ = expect!(far, Accepted);
        let _ = expect!(far, TlsStarted);
        far.expect_line("protected").await;
        client.close();
        let _ = expect!(far, Closed);
        let _ = expect!(near, Closed);
    });
}

/// AC-06.
#[test]
fn ac_06_a_network_without_urgent_bytes_refuses_them() {
    let net = MemoryNet::new();
    with(
        Pool::builder().shards(1).network(net.clone()),
        |pool| async move {
            let mut probe = Probe::new();
            let listen = Listen::tcp("10.0.0.1:1").lines();
            pool.listen(listen, probe.session()).await.unwrap();
            let _peer = net.connect("10.0.0.1:1").await.unwrap();
            let client = expect!(probe, Accepted).handle;
            let refused = client.send_urgent_with(b'!', 1);
            assert_eq!(refused, Err(SendRefusal::NotSupported));
            assert!(!client.is_closed());
        },
    );
}

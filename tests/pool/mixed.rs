//! One stop for channels of every kind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use switchboard::message::*;
use switchboard::{
    BindUdp, Cause, ChannelKind, ClosedReason, Connect, ConnectionOptions, Listen, Pool, Udp,
    WatchFd,
};
use switchboard_tests::*;

use super::ANY;

/// AC-23: what `close_all` does to a map of dispatchers, file dispatchers and datagram sockets.
#[test]
fn ac_23_a_stop_closes_tcp_udp_and_pipes_and_tells_each_once() {
    with(Pool::builder().shards(2), async |pool| {
        // TCP: a listener, whom it accepted, and a connection of our own.
        let mut accepted = Probe::new();
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, accepted.session()).await.unwrap();
        let mut peer_in = dial(server.local_addr());
        expect!(accepted, Accepted);
        let (outside, outside_addr) = listener();
        let mut outbound = Probe::new();
        let connect = Connect::tcp(outside_addr).lines();
        let client = pool.connect(connect, outbound.session()).await.unwrap();
        expect!(outbound, Connected);
        let (mut peer_out, _) = outside.accept().unwrap();
        client.send("bye").unwrap();
        // UDP: one that is bound, and one that is connected to it.
        let mut bound = Probe::new();
        let session = bound.session_for::<Udp>();
        let udp = pool.bind_udp(BindUdp::new(ANY), session).await.unwrap();
        let address = udp.local_addr().unwrap().inet().unwrap();
        let mut connected = Probe::new();
        let (session, bind) = (connected.session_for::<Udp>(), BindUdp::send_only());
        let bind = bind.connect(address);
        pool.bind_udp(bind, session).await.unwrap();
        // Pipes: one that is read, and one that is written.
        let (read, mut to_us) = std::io::pipe().unwrap();
        let mut reader = Probe::new();
        let watch = WatchFd::new(&read).unwrap().lines();
        pool.watch_fd(watch, reader.session()).await.unwrap();
        expect!(reader, Connected);
        let (mut from_us, write) = std::io::pipe().unwrap();
        let mut writer = Probe::new();
        let watch = WatchFd::new(&write).unwrap();
        let pipe = pool.watch_fd(watch, writer.session()).await.unwrap();
        expect!(writer, Connected);
        drop((read, write));
        pipe.send("bye").unwrap();

        let open = pool.connections().await.unwrap();
        let count = |kind| open.iter().filter(|info| info.kind == kind).count();
        assert_eq!(open.len(), 6, "{open:?}");
        for kind in [ChannelKind::Tcp, ChannelKind::Udp, ChannelKind::Pipe] {
            assert_eq!(count(kind), 2, "{kind}");
        }

        // The peers finish when they see the end, so that nothing has to be waited for.
        let ends = peer(move || {
            let mut last = String::new();
            from_us.read_to_string(&mut last).unwrap();
            (read_all(&mut peer_in), read_all(&mut peer_out), last)
        });
        let since = Instant::now();
        let (totals, (inbound, outgoing, last)) = tokio::join!(pool.stop(), ends);
        let took = since.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(totals.closed, [0, 6, 0, 0], "all by this side: {totals}");
        // What was queued was sent, and each peer sees its end.
        assert_eq!(
            (&*inbound, &*outgoing, &*last),
            (&b""[..], &b"bye"[..], "bye")
        );
        let broken = to_us.write(b"x").unwrap_err();
        assert_eq!(broken.kind(), std::io::ErrorKind::BrokenPipe);
        assert!(TcpStream::connect(server.local_addr()).is_err());
        assert!(udp.is_closed() && udp.local_addr().is_none());

        // The stop has told each its end, once, before it was over.
        for probe in [
            &mut accepted,
            &mut outbound,
            &mut bound,
            &mut connected,
            &mut reader,
            &mut writer,
        ] {
            let told = probe.so_far();
            let [ClientEvent::Closed(closed)] = &told[..] else {
                panic!("{told:?}");
            };
            assert_eq!(closed.reason, ClosedReason::ClosedByHost);
            assert_eq!(closed.detail.cause, Cause::PoolStopped);
            assert_eq!(closed.detail.unsent, 0);
        }
    });
}

//! Limits that change while peers come, and limits that pools share.

use std::io::ErrorKind;

use switchboard::prelude::*;
use switchboard::{Gate, ServerLimits, SetLimits, SetLimitsError};

use super::{END, Greeter, HERE, Seen, dial_from, greet, sees, settle, simulate, visit};

#[test]
fn every_limit_changes_by_method_and_by_message() {
    simulate(async |world| {
        let (pool, net) = (world.pool(), world.net());
        let server = greet(&pool, Listen::tcp(HERE).max_connections(1)).await;
        let (_first, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, Seen::LetIn);
        let (mut second, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, Seen::Nothing);
        let limits = ServerLimits::new().max_connections(2).max_per_ip(2);
        server.set_limits(limits).unwrap();
        assert_eq!(sees(&mut second).await, Seen::LetIn);
        // The prefix counts who was there before it had a limit.
        server.set_max_connections(9);
        assert_eq!(visit(net, "10.1.0.1").await.1, END);
        assert_eq!(visit(net, "10.1.0.2").await.1, Seen::LetIn);

        // Who waits already is told by the new policy.
        settle().await;
        server.set_max_connections(2);
        let (mut waiting, seen) = visit(net, "10.1.0.2").await;
        assert_eq!(seen, Seen::Nothing);
        let limits = ServerLimits::new().at_limit(AtLimit::Answer("busy\n".into()));
        let changed = server
            .addr()
            .unwrap()
            .send(SetLimits(limits))
            .await
            .unwrap();
        changed.unwrap();
        assert_eq!(sees(&mut waiting).await, Seen::End(b"busy\n".to_vec()));
        let by = server.info().rejections;
        assert_eq!((by.prefix, by.limit), (1, 1));
    });
}

#[test]
fn limits_that_cannot_be_change_nothing() {
    simulate(async |world| {
        let (pool, net) = (world.pool(), world.net());
        let server = greet(&pool, Listen::tcp(HERE)).await;
        let long = AtLimit::Answer(vec![b'x'; 2000].into());
        let limits = ServerLimits::new().max_connections(0).at_limit(long);
        let refused = server.set_limits(limits);
        assert_eq!(refused, Err(SetLimitsError::LongAnswer { bytes: 2000 }));
        assert_eq!(visit(net, "10.1.0.1").await.1, Seen::LetIn);
        server.close().await;
        let refused = server.set_limits(ServerLimits::new());
        assert_eq!(refused, Err(SetLimitsError::Closed));
    });
}

#[test]
fn pools_that_share_a_limit_are_exact_together_outbound_connections_included() {
    simulate(async |world| {
        let net = world.net();
        let process = Gate::new(3);
        let pool = || world.builder().share_limit(process.clone());
        let (front, back) = (pool().start().unwrap(), pool().start().unwrap());
        greet(&front, Listen::tcp(HERE)).await;
        let there = "10.0.0.2:7000";
        let rejects = Listen::tcp(there).at_limit(AtLimit::Reject);
        let server = greet(&back, rejects).await;
        let (first, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, Seen::LetIn);
        let elsewhere = net.listen("10.0.0.3:7000").unwrap();
        let connect = || Connect::tcp("10.0.0.3:7000").lines();
        let out = back.connect(connect(), |client| Greeter { client });
        let out = out.await.unwrap();
        let mut third = net.connect(there).await.unwrap();
        assert_eq!(sees(&mut third).await, Seen::LetIn);
        assert_eq!(process.live(), 3);

        let (mut waiting, seen) = visit(net, "10.1.0.2").await;
        assert_eq!(seen, Seen::Nothing);
        assert_eq!(sees(&mut net.connect(there).await.unwrap()).await, END);
        assert_eq!(server.info().rejections.limit, 1);
        let refused = front.connect(connect(), |client| Greeter { client }).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::QuotaExceeded);
        assert!(
            refused.to_string().contains("limit of 3 they share"),
            "{refused}"
        );

        // A place that is left in one pool goes to who waits in the other.
        drop(third);
        assert_eq!(sees(&mut waiting).await, Seen::LetIn);
        let mut next = dial_from(net, "10.1.0.3").await;
        assert_eq!(sees(&mut next).await, Seen::Nothing);
        process.set_limit(4);
        assert_eq!(sees(&mut next).await, Seen::LetIn);
        drop((first, waiting, next, elsewhere));
        out.abort();
        settle().await;
        assert_eq!(process.live(), 0);
    });
}

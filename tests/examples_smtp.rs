//! The inside of the `smtp_sink` example: what each command is answered, and what time does.

#[path = "../examples/smtp_sink/dialogue.rs"]
mod dialogue;
#[path = "../examples/smtp_sink/message.rs"]
mod message;
#[path = "../examples/smtp_sink/path.rs"]
mod path;
#[path = "../examples/smtp_sink/printer.rs"]
mod printer;
#[path = "../examples/smtp_sink/reply.rs"]
mod reply;
#[path = "../examples/smtp_sink/session.rs"]
mod session;

use std::time::Duration;

use actix::SyncArbiter;
use switchboard::testkit::{MemoryStream, Rates, Simulation, World};
use switchboard::{Drain, Pool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use dialogue::{Dialogue, Security, Step};
use printer::Printer;
use session::{Service, Session};

const MAX_SIZE: usize = 1000;

/// The codes of the answers to these commands, one after the other.
fn codes<'a>(security: Security, commands: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut dialogue = Dialogue::new(security, MAX_SIZE);
    let answer = |command: &str| {
        let (Step::Answer(reply) | Step::Data(reply) | Step::StartTls(reply) | Step::Quit(reply)) =
            dialogue.command(format!("{command}\r").as_bytes());
        let text = reply.to_string();
        assert!(text.ends_with("\r\n"), "{command}: {text}");
        text.lines().last().unwrap()[..3].to_owned()
    };
    commands.into_iter().map(answer).collect()
}

/// RFC 5321 4.1.4: the order of commands.
#[test]
fn commands_out_of_order_are_refused_and_change_nothing() {
    let script = [
        ("NOOP anything", "250"),
        ("HELP", "214"),
        ("MAIL FROM:<a@b>", "503"),
        ("RCPT TO:<a@b>", "503"),
        ("DATA", "503"),
        ("EHLO", "501"),
        ("EHLO not a name", "501"),
        ("MAIL FROM:<a@b>", "503"),
        ("EHLO name.example", "250"),
        ("RCPT TO:<a@b>", "503"),
        ("MAIL FROM:<a@b>", "250"),
        ("MAIL FROM:<a@b>", "503"),
        ("DATA", "554"),
        ("RCPT TO:<>", "501"),
        ("DATA", "554"),
        ("RCPT TO:<c@d>", "250"),
        ("DATA now", "501"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("MAIL FROM:<a@b>", "250"),
        ("RCPT TO:<c@d>", "250"),
        ("HELO name.example", "250"),
        ("DATA", "503"),
        ("mail from:<>", "250"),
        ("rcpt to:<postMASTER>", "250"),
        ("data", "354"),
        ("VRFY somebody", "252"),
        ("VRFY", "501"),
        ("EXPN list", "502"),
        ("STARTTLS now", "501"),
        ("STARTTLS", "220"),
        ("GET / HTTP/1.1", "500"),
        ("", "500"),
        ("QUIT", "221"),
    ];
    let answers = codes(Security::Offered, script.map(|(command, _)| command));
    for ((command, code), answer) in script.iter().zip(answers) {
        assert_eq!(answer, *code, "{command}");
    }
    for security in [Security::Impossible, Security::InForce] {
        let answers = codes(security, ["EHLO name.example", "STARTTLS"]);
        assert!(answers[1].starts_with("50"), "{security:?}: {answers:?}");
    }
}

/// RFC 5321 4.1.2, 4.5.3.1; RFC 1870; RFC 6152.
#[test]
fn paths_and_parameters_are_read_as_the_rfc_writes_them() {
    let long = |local, domain| format!("<{}@{}>", "l".repeat(local), "d".repeat(domain));
    let good = [
        "<>",
        "<a@b>",
        " <a@b>",
        "<a.b+c@d-e.example>",
        "<\"a b>c\\\"@\"@d.example>",
        "<a@[127.0.0.1]>",
        "<a@[IPv6:::1]>",
        "<@relay.example,@other.example:a@b>",
        "<a@b> SIZE=1000",
        "<a@b> size=7 body=8bitmime",
        "<a@b> BODY=7BIT",
        &long(64, 189),
    ];
    let bad = [
        ("", "501"),
        ("a@b", "501"),
        ("<a@b", "501"),
        ("<a>", "501"),
        ("<@b>", "501"),
        ("<a@>", "501"),
        ("<a..b@c>", "501"),
        ("<a b@c>", "501"),
        ("<\"a@c>", "501"),
        ("<a@b..c>", "501"),
        ("<a@-b>", "501"),
        ("<a@[]>", "501"),
        ("<@relay.example:>", "501"),
        ("<\u{e9}@b>", "501"),
        ("<a@b>SIZE=1", "501"),
        ("<a@b> SIZE", "501"),
        ("<a@b> SIZE=", "501"),
        ("<a@b> SIZE=-1", "501"),
        ("<a@b> SIZE=1 SIZE=1", "501"),
        ("<a@b> SIZE=1001", "552"),
        ("<a@b> SIZE=99999999999999999999", "552"),
        ("<a@b> BODY=BINARYMIME", "501"),
        ("<a@b> SMTPUTF8", "555"),
        (&long(65, 10), "501"),
        (&long(64, 190), "501"),
    ];
    let answer = |path: &str| {
        let mail = format!("MAIL FROM:{path}");
        codes(Security::Impossible, ["EHLO name.example", &mail]).remove(1)
    };
    for path in good {
        assert_eq!(answer(path), "250", "{path}");
    }
    for (path, code) in bad {
        assert_eq!(answer(path), code, "{path}");
    }
}

/// The server in this world.
async fn serve(world: &World) -> Pool {
    let service = Service {
        printer: SyncArbiter::start(1, Printer::default),
        tls: None,
        max_size: MAX_SIZE,
    };
    let session = move |client| Session::new(client, service.clone());
    let pool = world.pool();
    pool.listen(session::listen("10.0.0.1:25"), session)
        .await
        .unwrap();
    pool
}

/// What a peer is told that says this and then nothing, for ever.
async fn silent_after(world: World, says: &str) -> String {
    serve(&world).await;
    let mut peer = world.net().connect("10.0.0.1:25").await.unwrap();
    let since = tokio::time::Instant::now();
    peer.write_all(says.as_bytes()).await.unwrap();
    let mut told = String::new();
    peer.read_to_string(&mut told).await.unwrap();
    let waited = since.elapsed();
    assert!(waited >= Duration::from_secs(300), "{waited:?}");
    assert!(waited < Duration::from_secs(330), "{waited:?}");
    told
}

/// RFC 5321 4.5.3.2.7: five minutes for a command and for each line of a mail, however the bytes before
/// came.
#[test]
fn a_peer_that_says_nothing_for_five_minutes_is_told_to_go() {
    const MAIL: &str = "EHLO a.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf a line";
    for seed in 0..10 {
        let world = Simulation::seeded(seed).faults(Rates::default());
        for (says, lines) in [("", 2), ("EHLO a.example\r\nNOO", 8), (MAIL, 11)] {
            let told = world.run(|world| silent_after(world, says));
            assert!(told.starts_with("220 "), "{told}");
            assert!(
                told.ends_with("421 4.4.2 nothing came for 5 minutes\r\n"),
                "{told}"
            );
            assert_eq!(told.lines().count(), lines, "{told}");
        }
    }
}

const MAIL: &str = "EHLO a.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";

/// Reads lines through the first that starts like this.
async fn heard(peer: &mut MemoryStream, start: &str) {
    let mut line = String::new();
    loop {
        line.push(char::from(peer.read_u8().await.unwrap()));
        if line.ends_with('\n') {
            if line.starts_with(start) {
                return;
            }
            line.clear();
        }
    }
}

/// RFC 5321 3.8: a server that goes says 421, also to whoever has not ended a mail in time.
#[test]
fn a_drain_tells_who_does_not_end_a_mail_to_go() {
    Simulation::seeded(1).run(|world| async move {
        let pool = serve(&world).await;
        let mut peer = world.net().connect("10.0.0.1:25").await.unwrap();
        let half = format!("{MAIL}half a mail");
        peer.write_all(half.as_bytes()).await.unwrap();
        heard(&mut peer, "354 ").await;
        let drained = pool.drain(Drain::within(Duration::from_secs(10)));
        let since = tokio::time::Instant::now();
        let mut told = String::new();
        peer.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "421 4.3.2 shutting down\r\n");
        assert_eq!(since.elapsed().as_secs(), 9);
        drop(peer);
        drained.await;
    });
}

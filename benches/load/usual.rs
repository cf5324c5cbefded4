//! The servers in Rust: what the workspace builds.

use std::path::Path;

use crate::locked::named;
use crate::server::{ServerSpec, Wire};

/// The usual servers, where cargo puts them, built or not.
pub(crate) fn usual(folder: &Path) -> Vec<ServerSpec> {
    // Wire, name, program, the crates that it stands for, and how it answers.
    let usual: [(_, _, _, &[_], _); 19] = [
        (
            Wire::Plain,
            "tokio-lines",
            "peer-tokio-lines",
            &["tokio"],
            "a task per connection, line by line",
        ),
        (
            Wire::Plain,
            "tokio-chunks",
            "peer-tokio-chunks",
            &["tokio"],
            "a task per connection, one write per read",
        ),
        (
            Wire::Plain,
            "switchboard",
            "examples/echo",
            &["switchboard", "actix"],
            "two actors per connection",
        ),
        (
            Wire::Plain,
            "stream",
            "stream-echo",
            &["switchboard", "actix"],
            "the stream facade, a task per connection",
        ),
        (
            Wire::Plain,
            "tokio-framed",
            "peer-tokio-framed",
            &["tokio", "tokio-util"],
            "`Framed` with `LinesCodec`, line by line",
        ),
        (
            Wire::Plain,
            "actix-io",
            "peer-actix-io",
            &["actix"],
            "an actor per connection, `actix::io`; no back-pressure, may lose lines at the end",
        ),
        (
            Wire::Plain,
            "actix-server",
            "peer-actix-server",
            &["actix-server"],
            "a service per connection, line by line; a thread of its own accepts",
        ),
        (
            Wire::Plain,
            "ractor",
            "peer-ractor",
            &["ractor"],
            "a reading task and an actor per connection, line by line; no back-pressure",
        ),
        (
            Wire::Plain,
            "kameo",
            "peer-kameo",
            &["kameo"],
            "a reading task and an actor per connection, line by line",
        ),
        (
            Wire::Plain,
            "uring",
            "peer-uring",
            &["io-uring"],
            "one loop, no runtime, one send per receive; no back-pressure",
        ),
        (
            Wire::Plain,
            "uring-tokio",
            "peer-uring-tokio",
            &["io-uring", "tokio"],
            "a task per connection, woken from a ring, one send per receive; no back-pressure",
        ),
        (
            Wire::Tls,
            "tokio-rustls",
            "peer-tokio-rustls",
            &["tokio-rustls", "rustls"],
            "TLS; a task per connection, line by line",
        ),
        (
            Wire::Tls,
            "switchboard",
            "tls-echo",
            &["switchboard", "rustls"],
            "TLS; two actors per connection",
        ),
        (
            Wire::Udp,
            "tokio-udp",
            "peer-tokio-udp",
            &["tokio"],
            "UDP; `recv_from` and `send_to`",
        ),
        (
            Wire::Udp,
            "tokio-udp-try",
            "peer-tokio-udp-try",
            &["tokio"],
            "UDP; empties the socket at each wake-up",
        ),
        (
            Wire::Udp,
            "mmsg-udp",
            "peer-mmsg-udp",
            &["tokio", "nix"],
            "UDP; `recvmmsg` and `sendmmsg`, 16 at a time",
        ),
        (
            Wire::Udp,
            "switchboard",
            "udp-echo",
            &["switchboard", "actix"],
            "UDP; a session of datagrams",
        ),
        (
            Wire::Work,
            "tokio-multi",
            "peer-tokio-multi",
            &["tokio"],
            "with work for each line; a task per connection on a runtime of several threads",
        ),
        (
            Wire::Work,
            "switchboard",
            "work-echo",
            &["switchboard", "actix"],
            "with work for each line; two actors per connection, on shards",
        ),
    ];
    usual
        .into_iter()
        .map(|(wire, name, program, crates, about)| ServerSpec {
            name: name.to_owned(),
            command: vec![folder.join(program).display().to_string()],
            wire,
            about: format!(
                "{}: {about}",
                crates
                    .iter()
                    .map(|name| named(name))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_says_which_versions_it_is_of() {
        for spec in usual(Path::new("folder")) {
            assert!(
                spec.about.contains(|letter: char| letter.is_ascii_digit()),
                "{spec:?}"
            );
        }
    }
}

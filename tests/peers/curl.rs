//! `curl` against the `https_hello` example.

use std::process::Command;

use crate::examples_support::Example;
use crate::programs::{Directory, as_str, peer, run};

#[test]
fn pages_are_fetched_over_one_connection() {
    let Some(curl) = peer("curl") else { return };
    let directory = Directory::new();
    let ca = directory.path("ca.pem");
    let (example, address) = Example::serve("https_hello", &["--ca", as_str(&ca)]);
    let url = |path: &str| format!("https://localhost:{}{path}", address.port());
    let get = |arguments: &[&str], urls: &[&str]| {
        let mut command = Command::new(&curl);
        command
            .args(["--silent", "--show-error", "--max-time", "20"])
            // Whatever else the name may stand for on this machine.
            .args([
                "--resolve",
                &format!("localhost:{}:127.0.0.1", address.port()),
            ])
            .args(arguments)
            .args(urls.iter().map(|path| url(path)));
        run(&mut command)
    };
    let trusting = [
        "--cacert",
        as_str(&ca),
        "--write-out",
        "%{http_code} %{num_connects}\n",
    ];
    let told = get(&trusting, &["/", "/none", "/?query"]).succeeded();
    assert_eq!(told, "hello\n200 1\n404 Not Found\n404 0\nhello\n200 0\n");
    let told = get(&[&trusting[..], &["--head"]].concat(), &["/", "/"]).succeeded();
    assert_eq!(told.matches("Content-Length: 6\r\n").count(), 2, "{told}");
    assert!(
        told.contains("200 1\n") && told.ends_with("200 0\n"),
        "{told}"
    );
    let told = get(&[&trusting[..], &["--http1.0"]].concat(), &["/"]).succeeded();
    assert_eq!(told, "hello\n200 1\n");

    // What is not understood, or too long, is answered.
    let long = format!("/{}", "x".repeat(9_000));
    let told = get(&trusting, &[&long]).succeeded();
    assert!(told.ends_with("414 1\n"), "{told}");
    let fields: Vec<_> = (0..20)
        .map(|n| format!("X-{n}: {}", "y".repeat(1_000)))
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .flat_map(|field| ["--header", field])
        .collect();
    let told = get(&[&trusting[..], &fields].concat(), &["/"]).succeeded();
    assert!(told.ends_with("431 1\n"), "{told}");
    let told = get(&[&trusting[..], &["--data", "a=b"]].concat(), &["/"]).succeeded();
    assert!(told.ends_with("501 1\n"), "{told}");

    // T-13, from the other side: who does not know the certificate does not go on.
    let refused = get(&[], &["/"]);
    assert_eq!(refused.status.code(), Some(60), "{}", refused.text());
    example.signal("TERM");
    example.succeed();
}

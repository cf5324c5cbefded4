//! TLS, SMTP, HTTP, DNS and UDP against programs that we did not write. One that is not installed is skipped, and
//! said so on stderr; with `SWITCHBOARD_REQUIRE_PEERS=1` that is a failure instead.

mod curl;
mod dig;
#[path = "../examples_support.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod examples_support;
mod injection;
mod openssl_choices;
mod openssl_client;
mod openssl_server;
mod ours;
mod plain;
mod programs;
mod python_ssl;
mod sink;
mod smtplib;
mod swaks;
mod udp;

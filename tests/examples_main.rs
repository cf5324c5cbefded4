//! Runs the example programs as a stranger would: started, talked to over plain sockets, signalled.

mod examples_chat;
#[allow(dead_code, reason = "the inside of a program")]
mod examples_dns;
mod examples_echo;
mod examples_errors;
mod examples_http;
#[cfg(unix)]
mod examples_messages;
mod examples_pairs;
#[allow(dead_code, reason = "the inside of a program")]
mod examples_ping;
mod examples_proxy;
mod examples_sequence;
#[allow(dead_code, reason = "the inside of a program")]
mod examples_smtp;
mod examples_stdin;
mod examples_support;
mod examples_uasyncio;

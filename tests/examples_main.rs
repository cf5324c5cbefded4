//! Runs the example programs as a stranger would: started, talked to over plain sockets, signalled.

mod examples_chat;
mod examples_echo;
mod examples_errors;
mod examples_http;
mod examples_pairs;
mod examples_support;

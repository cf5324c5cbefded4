//! Promises about the pool as a whole: its scale, its handles, its stop, its threads.
//!
//! XAS-13: what the original asks users not to call (adding, removing and notifying sockets) cannot
//! be called here. Those messages are private to the crate, and their types are not exported.

mod handles;
#[cfg(unix)]
mod mixed;
mod running;
mod scale;
mod stopping;

use switchboard::{ConnectionOptions, Listen, Pool, Server};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";

async fn echo_server(pool: &Pool) -> Server {
    pool.listen(Listen::tcp(ANY).lines(), |client| Echo { client })
        .await
        .unwrap()
}

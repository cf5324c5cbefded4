//! `stream-echo ADDR`: an echo in straight lines, with the stream facade: a task per connection that reads
//! a line, writes it back, and waits while too much is queued.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};

use switchboard::prelude::*;
use switchboard::stream::{self, Reader, Writer};
use tracing_subscriber::EnvFilter;

async fn echo(mut reader: Reader, mut writer: Writer) {
    while let Ok(line) = reader.read_line().await {
        if line.is_empty() || writer.write(line).is_err() || writer.drain().await.is_err() {
            break;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    Pool::builder().name("stream-echo").run(|pool| async move {
        let server = stream::start_server(&pool, Listen::tcp(address), echo).await?;
        writeln!(io::stdout(), "listening on {}", server.local_addr())?;
        Ok(())
    })?;
    Ok(())
}

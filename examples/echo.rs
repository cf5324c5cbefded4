//! Line echo: one reply line per line, the same bytes.
use switchboard::prelude::*;

struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let _ = self.client.send_line(&msg.line);
    }
}

session!(Echo);

#[actix::main]
async fn main() -> Result<(), switchboard::Error> {
    tracing_subscriber::fmt::init();
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let pool = Pool::builder().start()?;
    let server = pool
        .listen(Listen::tcp(address).lines(), |client| Echo { client })
        .await?;
    println!("listening on {}", server.local_addr());
    pool.run_until_signal().await?;
    if let Some(totals) = pool.stop_report() {
        println!("{totals}");
    }
    Ok(())
}

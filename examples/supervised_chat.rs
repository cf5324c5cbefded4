//! A line chat in which crashes are survived: `/crash` panics your own session, and you keep your
//! connection, your nickname, and every line that you had typed behind it. `/crash room` panics the room
//! itself, which its supervisor starts again; nobody is thrown out.
//!
//! Shows what outlives whom: the connection outlives its session (`CrashPolicy::Restart`), a value kept
//! with the connection does too (`Client::set_state`), and a supervised actor gets back what its factory
//! keeps for it. Other commands: `/nick NAME`, `/who`, `/quit`.
//!
//! ```sh
//! cargo run --example supervised_chat -- 127.0.0.1:7000     # then, twice: nc 127.0.0.1 7000
//! ```

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::{ChildSpec, CrashPolicy, Supervise, Supervisor};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The longest nickname, in characters.
const LONGEST_NICK: usize = 20;

/// Who is in the room. It is the room's factory that keeps the list, so it outlives the room.
type Members = Arc<Mutex<BTreeMap<ClientId, Client>>>;

/// Kept with the connection, so it outlives the session.
#[derive(Clone)]
struct Nick(String);

fn nick_of(client: &Client) -> String {
    client
        .state()
        .map_or_else(|| format!("guest-{}", client.id()), |Nick(nick)| nick)
}

struct Room {
    members: Members,
}

impl Actor for Room {
    type Context = Context<Self>;
}

impl Room {
    fn members(&self) -> Vec<Client> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have left while there was no room.
        members.retain(|_, member| !member.is_closed());
        members.values().cloned().collect()
    }

    fn announce(&self, text: &str) {
        for member in self.members() {
            // Who takes nothing for so long that its queue is full is thrown out.
            if member.send_line(text).is_err() && !member.is_closed() {
                member.abort();
            }
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
enum Order {
    Join(Client),
    Leave(Client),
    Say(Client, String),
    Rename(Client, String),
    Who(Client),
    Crash,
}

impl Handler<Order> for Room {
    type Result = ();

    fn handle(&mut self, order: Order, _: &mut Self::Context) {
        let lock = || self.members.lock().unwrap_or_else(PoisonError::into_inner);
        match order {
            Order::Join(client) => {
                let nick = nick_of(&client);
                lock().insert(client.id(), client);
                self.announce(&format!("* {nick} is here"));
            }
            Order::Leave(client) => {
                if lock().remove(&client.id()).is_some() {
                    self.announce(&format!("* {} has left", nick_of(&client)));
                }
            }
            Order::Say(client, text) => self.announce(&format!("{}: {text}", nick_of(&client))),
            Order::Rename(client, nick) => {
                if self.members().iter().any(|member| nick_of(member) == nick) {
                    let _ = client.send_line(&format!("* {nick} is taken"));
                    return;
                }
                let earlier = nick_of(&client);
                client.set_state(Nick(nick.clone()));
                self.announce(&format!("* {earlier} is now {nick}"));
            }
            Order::Who(client) => {
                let nicks: Vec<_> = self.members().iter().map(nick_of).collect();
                let _ = client.send_line(&format!("* here: {}", nicks.join(", ")));
            }
            Order::Crash => panic!("the room was told to crash"),
        }
    }
}

/// The session of one member.
struct Chatter {
    client: Client,
    house: Supervisor,
}

impl Chatter {
    /// The room's address is another one after each of its restarts, so it is asked for each time. What
    /// this session is told next waits until the room has taken the order.
    fn tell_room(&self, order: Order, ctx: &mut SessionContext<Self>) {
        let Some(room) = self.house.addr::<Room>("room") else {
            return self.tell("* the room is being rebuilt, try again");
        };
        let taken = room.send(order).into_actor(self);
        ctx.wait(taken.map(|outcome, chatter, _| {
            if outcome.is_err() {
                chatter.tell("* the room has crashed, try again");
            }
        }));
    }

    fn tell(&self, text: &str) {
        let _ = self.client.send_line(text);
    }
}

impl Actor for Chatter {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Chatter {
    type Result = ();

    fn handle(&mut self, _: Accepted, ctx: &mut Self::Context) {
        self.tell("* welcome; /nick NAME, /who, /crash, /crash room, /quit");
        self.tell_room(Order::Join(self.client.clone()), ctx);
    }
}

impl Handler<Adopted> for Chatter {
    type Result = ();

    fn handle(&mut self, msg: Adopted, _: &mut Self::Context) {
        let nick = nick_of(&self.client);
        self.tell(&format!(
            "* your session crashed, this is number {}; you are still {nick}",
            msg.restarts + 1
        ));
    }
}

impl Handler<LineReceived> for Chatter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, ctx: &mut Self::Context) {
        let text = String::from_utf8_lossy(&msg.line);
        let me = self.client.clone();
        match text.split_once(' ').unwrap_or((&text, "")) {
            ("/crash", "") => panic!("{} typed /crash", nick_of(&me)),
            ("/crash", "room") => self.tell_room(Order::Crash, ctx),
            ("/nick", nick) if !nick.is_empty() && nick.chars().count() <= LONGEST_NICK => {
                self.tell_room(Order::Rename(me, nick.to_owned()), ctx);
            }
            ("/nick", _) => self.tell(&format!("* a nickname has 1 to {LONGEST_NICK} characters")),
            ("/who", _) => self.tell_room(Order::Who(me), ctx),
            ("/quit", _) => drop(self.client.close()),
            (command, _) if command.starts_with('/') => {
                self.tell(&format!("* there is no {command}"));
            }
            _ => self.tell_room(Order::Say(me, text.into_owned()), ctx),
        }
    }
}

impl Handler<Closed> for Chatter {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        // Nobody is left to be told how that went.
        if let (Some(room), Some(client)) = (self.house.addr::<Room>("room"), msg.handle.client()) {
            room.do_send(Order::Leave(client.clone()));
        }
    }
}

session!(Chatter);

async fn serve(pool: Pool, address: String) -> Result<(), switchboard::Error> {
    let members = Members::default();
    let theirs = Arc::clone(&members);
    let room = ChildSpec::actor("room", move || Room {
        members: Arc::clone(&theirs),
    });
    let house = pool.supervise(Supervise::new("house").child(room)).await?;
    let listen = Listen::tcp(address).lines().on_crash(CrashPolicy::Restart {
        max: 5,
        within: Duration::from_secs(10),
    });
    let chatter = move |client| Chatter {
        client,
        house: house.clone(),
    };
    let server = pool.listen(listen, chatter).await?;
    println!("listening on {}", server.local_addr());
    Ok(io::stdout().flush()?)
}

fn main() -> ExitCode {
    log_to_stderr();
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let served = Pool::builder()
        .name("chat")
        .run(|pool| serve(pool, address));
    match served {
        Ok(totals) => {
            println!("{totals}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

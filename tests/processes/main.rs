//! Child processes, with children that we did not write: `sh`, `cat`, `sleep`.
#![cfg(unix)]

mod telling;

use switchboard::Process;
use switchboard::prelude::*;
use tokio::sync::mpsc;

/// Writes down what it is told, in words.
pub struct Witness {
    pub process: Process,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Witness {
    type Context = Context<Self>;
}

macro_rules! witnesses {
    ($($event:ident: |$msg:ident| $words:expr,)*) => {
        $(impl Handler<$event> for Witness {
            type Result = ();

            fn handle(&mut self, $msg: $event, _: &mut Self::Context) {
                assert_eq!($msg.client, self.process.id());
                let _ = self.told.send($words);
            }
        })*
    };
}

witnesses! {
    PipeLine: |msg| format!("{}: {}", msg.fd, String::from_utf8_lossy(&msg.line)),
    PipeClosed: |msg| format!("closed {}", msg.fd),
    ProcessExited: |msg| format!("exited {}", msg.code),
    Sent: |msg| format!("sent {}", msg.token.0),
    WritePaused: |_msg| "paused".to_owned(),
    WriteResumed: |_msg| "resumed".to_owned(),
    Draining: |_msg| "draining".to_owned(),
    Closed: |msg| format!("end: {}", msg.reason),
}

session!(Witness);

/// A witness's factory, and what it is told.
pub fn witness() -> (
    impl Fn(Process) -> Witness + Clone + Send + Sync,
    mpsc::UnboundedReceiver<String>,
) {
    let (told, words) = mpsc::unbounded_channel();
    let made = move |process| Witness {
        process,
        told: told.clone(),
    };
    (made, words)
}

/// All that is told until the end.
pub async fn story(mut words: mpsc::UnboundedReceiver<String>) -> Vec<String> {
    let mut story = Vec::new();
    while let Some(word) = words.recv().await {
        let is_end = word.starts_with("end");
        story.push(word);
        if is_end {
            break;
        }
    }
    story
}

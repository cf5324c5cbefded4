//! The options of a child process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use switchboard_core::{ConnectionConfig, CrashPolicy, Receive};

use super::{ConnectionOptions, SocketOptions};

/// What one of the three standard descriptors of a child process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stdio {
    /// A pipe that leads here.
    #[default]
    Piped,
    /// Nothing: reading gives an end, and what is written is thrown away.
    Null,
    /// The same as ours.
    Inherit,
}

/// A child process to be started by [`Pool::spawn`](crate::Pool::spawn).
///
/// Its limits and timeouts (see [`ConnectionOptions`]) are those of each of its pipes. Unless it is said
/// otherwise, its output and its errors are received as its session takes them: as lines if it handles
/// [`PipeLine`](crate::message::PipeLine), else as they come if it handles
/// [`PipeData`](crate::message::PipeData), else they are thrown away.
#[derive(Debug, Clone)]
#[must_use = "nothing is started until it is given to a pool"]
pub struct SpawnProcess {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// `None`: it is taken away.
    pub(crate) env: BTreeMap<OsString, Option<OsString>>,
    pub(crate) env_clear: bool,
    pub(crate) current_dir: Option<PathBuf>,
    pub(crate) stdio: [Stdio; 3],
    pub(crate) process_group: bool,
    pub(crate) grace: Duration,
    pub(crate) config: ConnectionConfig,
    socket: SocketOptions,
}

/// What is started.
impl SpawnProcess {
    /// This program, looked for in `PATH` unless it has a slash in it.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            env_clear: false,
            current_dir: None,
            stdio: [Stdio::Piped; 3],
            process_group: false,
            grace: Duration::from_secs(5),
            config: ConnectionConfig::default(),
            socket: SocketOptions::default(),
        }
    }

    /// A line of shell, as by `sh -c` (asyncio's `subprocess_shell`).
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        Self::new("sh").arg("-c").arg(line)
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.args.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter();
        self.args
            .extend(arguments.map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment, which is ours otherwise.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let value = Some(value.as_ref().to_owned());
        self.env.insert(name.as_ref().to_owned(), value);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Gives it nothing of our environment; what is set stays.
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Starts it in this directory. Default: ours.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(directory.into());
        self
    }

    /// What its input is, number 0. Default: a pipe.
    pub const fn stdin(mut self, stdio: Stdio) -> Self {
        self.stdio[0] = stdio;
        self
    }

    /// What its output is, number 1. Default: a pipe.
    pub const fn stdout(mut self, stdio: Stdio) -> Self {
        self.stdio[1] = stdio;
        self
    }

    /// Where its errors go, number 2. Default: a pipe.
    pub const fn stderr(mut self, stdio: Stdio) -> Self {
        self.stdio[2] = stdio;
        self
    }

    /// Whether it leads a process group of its own. Then signals go to the whole group, so that its own
    /// children end with it, and the signals of our terminal do not reach it. What of the group handles such a
    /// signal and outlives the process gets no further one. Default: no.
    pub const fn process_group(mut self, own: bool) -> Self {
        self.process_group = own;
        self
    }

    /// How long it may take to end when it was asked to (SIGTERM), before it is ended (SIGKILL), and to read what
    /// is queued for its input, if its flush timeout is not shorter. Zero ends it at once. Default: 5 s.
    pub const fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }
}

impl SpawnProcess {
    /// What errors call it.
    pub(crate) fn target(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.program.is_empty() {
            return Err("the program has no name".into());
        }
        if self.config.reconnect.is_some() {
            return Err("a process cannot reconnect; supervise it".into());
        }
        if matches!(self.config.crash, CrashPolicy::Restart { .. }) {
            return Err("a process gets no second session; supervise it".into());
        }
        super::validate(&self.config, &self.socket)
    }

    /// What output and errors are received as.
    pub(crate) fn first_receive(&self) -> Option<&Receive> {
        self.config.first_receive.as_ref()
    }
}

impl ConnectionOptions for SpawnProcess {
    /// Its session lives with it: this has no effect.
    fn on_workers(self, _: bool) -> Self {
        self
    }

    fn config_mut(&mut self) -> &mut ConnectionConfig {
        &mut self.config
    }

    /// Pipes are no sockets: what is set here has no effect.
    fn socket_mut(&mut self) -> &mut SocketOptions {
        &mut self.socket
    }
}

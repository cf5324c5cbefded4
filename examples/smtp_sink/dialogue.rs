//! What a command means, given those before it (RFC 5321 4.1): no socket, no actor, no clock.

use super::path::{self, Path};
use super::reply::Reply;

/// The longest command with its CR LF, in octets (RFC 5321 4.5.3.1.4).
const LONGEST_COMMAND: usize = 512;
/// MAIL may be longer by SIZE (RFC 1870) and BODY (RFC 6152).
const LONGEST_MAIL: usize = LONGEST_COMMAND + 26 + 17;
/// The most recipients of a mail (RFC 5321 4.5.3.1.8).
const MOST_RECIPIENTS: usize = 100;

const HELP: &str = "commands: EHLO HELO STARTTLS MAIL RCPT DATA\nRSET NOOP VRFY HELP QUIT";

/// What to do about a command.
#[derive(Debug)]
pub enum Step {
    Answer(Reply),
    /// Answer, and take a mail.
    Data(Reply),
    /// Answer, and speak TLS from then on.
    StartTls(Reply),
    /// Answer, and close.
    Quit(Reply),
}

/// Whom a mail is from, and for whom it is.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The name that the peer gave itself.
    pub hello: String,
    pub sender: Path,
    pub recipients: Vec<Path>,
    /// Whether the peer said that octets above 127 are in it.
    pub eight_bit: bool,
}

/// Whether the connection is secured, or can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    Impossible,
    Offered,
    InForce,
}

/// How far the peer has come.
#[derive(Debug)]
enum State {
    New,
    Greeted {
        hello: String,
    },
    /// Behind MAIL.
    Mail(Envelope),
}

/// One peer's commands.
#[derive(Debug)]
pub struct Dialogue {
    state: State,
    security: Security,
    /// The largest mail in octets.
    max_size: usize,
}

impl Dialogue {
    pub const fn new(security: Security, max_size: usize) -> Self {
        Self {
            state: State::New,
            security,
            max_size,
        }
    }

    /// What the peer said before TLS is forgotten, for anybody may have said it (RFC 3207 4.2).
    pub fn secured(&mut self) {
        self.state = State::New;
        self.security = Security::InForce;
    }

    /// The envelope of the mail whose end has come.
    pub fn take_envelope(&mut self) -> Option<Envelope> {
        match std::mem::replace(&mut self.state, State::New) {
            State::Mail(envelope) => {
                let hello = envelope.hello.clone();
                self.state = State::Greeted { hello };
                Some(envelope)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Obeys what came up to a LF, without the LF.
    pub fn command(&mut self, raw: &[u8]) -> Step {
        match self.obey(raw) {
            Ok(step) => step,
            Err(refusal) => Step::Answer(refusal),
        }
    }

    fn obey(&mut self, raw: &[u8]) -> Result<Step, Reply> {
        let line = raw.strip_suffix(b"\r").unwrap_or_default();
        // Of a peer that ends lines otherwise we do not know where its commands end.
        if raw.last() != Some(&b'\r') || line.iter().any(|byte| byte.is_ascii_control()) {
            let what = "a command is text that ends with CR LF";
            return Err(Reply::new(500, "5.5.2", what));
        }
        let is_mail = line
            .get(..5)
            .is_some_and(|v| v.eq_ignore_ascii_case(b"MAIL "));
        if line.len() + 2
            > (if is_mail {
                LONGEST_MAIL
            } else {
                LONGEST_COMMAND
            })
        {
            return Err(Reply::new(500, "5.5.2", "the command is too long"));
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| Reply::new(500, "5.5.2", "a command is in ASCII"))?
            .trim_end_matches(' ');
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match (verb.to_ascii_uppercase().as_str(), argument) {
            ("EHLO", name) => self.hello(name, true),
            ("HELO", name) => self.hello(name, false),
            ("STARTTLS", argument) => self.start_tls(argument),
            ("MAIL", argument) => self.mail(argument),
            ("RCPT", argument) => self.recipient(argument),
            ("DATA", "") => self.data(),
            ("RSET", "") => {
                self.reset();
                Ok(Step::Answer(Reply::new(250, "2.0.0", "forgotten")))
            }
            ("QUIT", "") => Ok(Step::Quit(Reply::new(221, "2.0.0", "good bye"))),
            ("DATA" | "RSET" | "QUIT", _) => {
                Err(Reply::new(501, "5.5.4", "the command has no argument"))
            }
            ("NOOP", _) => Ok(Step::Answer(Reply::new(250, "2.0.0", "nothing done"))),
            ("HELP", _) => Ok(Step::Answer(Reply::new(214, "2.0.0", HELP))),
            ("VRFY", "") => Err(Reply::new(501, "5.5.4", "whom?")),
            ("VRFY", _) => {
                let what = "not verified, but everybody gets mail here";
                Ok(Step::Answer(Reply::new(252, "2.5.0", what)))
            }
            ("EXPN" | "AUTH" | "ETRN" | "BDAT", _) => {
                Err(Reply::new(502, "5.5.1", "not implemented"))
            }
            _ => Err(Reply::new(500, "5.5.2", "not a command")),
        }
    }

    fn hello(&mut self, name: &str, extended: bool) -> Result<Step, Reply> {
        if !path::is_domain(name) {
            return Err(Reply::new(501, "", "say your name or [address]"));
        }
        self.state = State::Greeted { hello: name.into() };
        let mut text = format!("localhost greets {name}");
        if extended {
            text += "\nPIPELINING\n8BITMIME\nENHANCEDSTATUSCODES\nHELP";
            text += &format!("\nSIZE {}", self.max_size);
            if self.security == Security::Offered {
                text += "\nSTARTTLS";
            }
        }
        Ok(Step::Answer(Reply::new(250, "", text)))
    }

    fn start_tls(&self, argument: &str) -> Result<Step, Reply> {
        if !argument.is_empty() {
            return Err(Reply::new(501, "5.5.4", "the command has no argument"));
        }
        match self.security {
            Security::Impossible => Err(Reply::new(502, "5.5.1", "there is no TLS here")),
            Security::InForce => Err(Reply::new(503, "5.5.1", "TLS is in force")),
            Security::Offered => Ok(Step::StartTls(Reply::new(220, "2.0.0", "go ahead"))),
        }
    }

    fn mail(&mut self, argument: &str) -> Result<Step, Reply> {
        let hello = match &self.state {
            State::New => return Err(Reply::new(503, "5.5.1", "say EHLO first")),
            State::Mail(_) => return Err(Reply::new(503, "5.5.1", "a mail is under way")),
            State::Greeted { hello } => hello.clone(),
        };
        let (sender, rest) = path_behind("FROM:", argument, "5.1.7")?;
        let mut eight_bit = false;
        let mut seen = Vec::new();
        for (keyword, value) in path::parameters(rest) {
            if seen.contains(&keyword) {
                return Err(Reply::new(501, "5.5.4", "a parameter comes twice"));
            }
            match (keyword.as_str(), value) {
                ("SIZE", Some(octets)) => self.check_size(octets)?,
                ("BODY", Some(body)) if body.eq_ignore_ascii_case("7BIT") => {}
                ("BODY", Some(body)) if body.eq_ignore_ascii_case("8BITMIME") => eight_bit = true,
                ("SIZE" | "BODY", _) => {
                    return Err(Reply::new(501, "5.5.4", "the parameter has a bad value"));
                }
                _ => return Err(Reply::new(555, "5.5.4", "not a parameter of MAIL")),
            }
            seen.push(keyword);
        }
        let answer = Reply::new(250, "2.1.0", format!("from {sender}"));
        self.state = State::Mail(Envelope {
            hello,
            sender,
            recipients: Vec::new(),
            eight_bit,
        });
        Ok(Step::Answer(answer))
    }

    /// RFC 1870: at most 20 digits.
    fn check_size(&self, octets: &str) -> Result<(), Reply> {
        if octets.is_empty() || octets.len() > 20 || !octets.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Reply::new(501, "5.5.4", "SIZE is a number"));
        }
        match octets.parse::<usize>() {
            Ok(octets) if octets <= self.max_size => Ok(()),
            // A number that does not even fit is too large, too.
            _ => Err(Reply::new(552, "5.3.4", "the mail is larger than we take")),
        }
    }

    fn recipient(&mut self, argument: &str) -> Result<Step, Reply> {
        let State::Mail(envelope) = &mut self.state else {
            return Err(Reply::new(503, "5.5.1", "say MAIL first"));
        };
        let (recipient, rest) = path_behind("TO:", argument, "5.1.3")?;
        if recipient.is_null() {
            return Err(Reply::new(501, "5.1.3", "nobody has the null address"));
        }
        if path::parameters(rest).next().is_some() {
            return Err(Reply::new(555, "5.5.4", "not a parameter of RCPT"));
        }
        if envelope.recipients.len() == MOST_RECIPIENTS {
            let what = "too many recipients, send it to the others by another mail";
            return Err(Reply::new(452, "4.5.3", what));
        }
        let answer = Reply::new(250, "2.1.5", format!("to {recipient}"));
        envelope.recipients.push(recipient);
        Ok(Step::Answer(answer))
    }

    fn data(&self) -> Result<Step, Reply> {
        match &self.state {
            State::Mail(envelope) if envelope.recipients.is_empty() => {
                Err(Reply::new(554, "5.5.1", "no valid recipients"))
            }
            State::Mail(_) => Ok(Step::Data(Reply::new(354, "", "end it with a dot alone"))),
            _ => Err(Reply::new(503, "5.5.1", "say MAIL first")),
        }
    }

    /// Forgets the mail that is under way, and not who the peer is.
    fn reset(&mut self) {
        if let State::Mail(envelope) = &mut self.state {
            let hello = std::mem::take(&mut envelope.hello);
            self.state = State::Greeted { hello };
        }
    }
}

/// The path behind `FROM:` or `TO:`, and what stands behind it.
fn path_behind<'a>(
    keyword: &str,
    argument: &'a str,
    status: &'static str,
) -> Result<(Path, &'a str), Reply> {
    let length = keyword.len();
    match argument.get(..length) {
        Some(start) if start.eq_ignore_ascii_case(keyword) => {
            Path::parse(&argument[length..]).map_err(|what| Reply::new(501, status, what))
        }
        _ => Err(Reply::new(
            501,
            "5.5.4",
            format!("{keyword}<address> is missing"),
        )),
    }
}

//! The text of a mail as it comes in behind DATA, line by line (RFC 5321 4.5.2).

use super::reply::Reply;

/// The longest line of text with its CR LF, in octets (RFC 5321 4.5.3.1.6).
const LONGEST_LINE: usize = 1000;

/// Collects a mail until the dot that ends it.
///
/// Only CR LF ends a line: what looks like the end of a mail behind a line feed alone, or behind a
/// carriage return alone, is text. Whoever took it for the end would read what follows as commands,
/// and another server might not ("SMTP smuggling"). A mail with either in it is refused at its end.
#[derive(Debug)]
pub struct Collector {
    text: Vec<u8>,
    /// The most octets of text.
    limit: usize,
    /// Whether a CR LF stands before what comes next.
    at_line_start: bool,
    fault: Option<Fault>,
}

/// What is wrong with a mail. It is told at its end, for the peer hears nothing before.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    TooLarge,
    LongLine,
    LoneCr,
    LoneLf,
}

impl Collector {
    pub const fn new(limit: usize) -> Self {
        Self {
            text: Vec::new(),
            limit,
            at_line_start: true,
            fault: None,
        }
    }

    /// Takes what came up to a LF, without the LF. `true`: it was the end of the mail.
    pub fn take(&mut self, raw: &[u8]) -> bool {
        let starts = std::mem::replace(&mut self.at_line_start, raw.ends_with(b"\r"));
        let Some(line) = raw.strip_suffix(b"\r") else {
            self.fail(Fault::LoneLf);
            return false;
        };
        if starts && line == b"." {
            return true;
        }
        let line = match line.strip_prefix(b".") {
            Some(unstuffed) if starts => unstuffed,
            _ => line,
        };
        if line.contains(&b'\r') {
            self.fail(Fault::LoneCr);
        } else if line.len() + 2 > LONGEST_LINE {
            self.fail(Fault::LongLine);
        } else if self.text.len() + line.len() + 2 > self.limit {
            self.fail(Fault::TooLarge);
        } else if self.fault.is_none() {
            self.text.extend_from_slice(line);
            self.text.extend_from_slice(b"\r\n");
        }
        false
    }

    /// The text without the dots that were stuffed into it.
    pub fn finish(self) -> Result<Vec<u8>, Fault> {
        self.fault.map_or(Ok(self.text), Err)
    }

    /// Nothing of it is kept any more, so that a refused mail costs no memory.
    fn fail(&mut self, fault: Fault) {
        self.text = Vec::new();
        self.fault.get_or_insert(fault);
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::new(552, "5.3.4", "the mail is larger than we take"),
            Fault::LongLine => Self::new(554, "5.6.0", "a line has more than 1000 octets"),
            Fault::LoneCr => Self::new(554, "5.6.0", "a carriage return stands alone"),
            Fault::LoneLf => Self::new(554, "5.6.0", "a line feed stands alone"),
        }
    }
}

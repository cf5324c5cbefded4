//! Replies: a code (RFC 5321 4.2), an enhanced status code (RFC 2034, RFC 3463), and text.

use std::borrow::Cow;
use std::fmt;

/// A reply of one or more lines. `Display` is what goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Empty where RFC 2034 wants none: in greetings, and before the data of a mail.
    status: &'static str,
    /// One or more lines, parted by LF.
    text: Cow<'static, str>,
}

impl Reply {
    pub fn new(code: u16, status: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status,
            text: text.into(),
        }
    }

    /// Whether the peer has done something wrong, for which nobody's patience is endless.
    pub const fn is_fault(&self) -> bool {
        self.code >= 500
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.text.lines().peekable();
        while let Some(line) = lines.next() {
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            write!(f, "{}{mark}{}", self.code, self.status)?;
            if !self.status.is_empty() {
                f.write_str(" ")?;
            }
            write!(f, "{line}\r\n")?;
        }
        Ok(())
    }
}

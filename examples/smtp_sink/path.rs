//! The addresses of MAIL and RCPT, and the parameters behind them (RFC 5321 4.1.2).

use std::fmt;

/// The longest path, its angle brackets included, in octets (RFC 5321 4.5.3.1.3).
const LONGEST_PATH: usize = 256;
/// RFC 5321 4.5.3.1.1.
const LONGEST_LOCAL_PART: usize = 64;
/// RFC 5321 4.5.3.1.2.
const LONGEST_DOMAIN: usize = 255;

/// A mailbox without its angle brackets and source route. Empty: the null path of a bounce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// Takes a path off the front of what stands behind `FROM:` or `TO:`; the parameters are left.
    /// The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<(Self, &str), &'static str> {
        // Not allowed by the letter, and sent by many.
        let text = text.trim_start_matches(' ');
        let inner = text.strip_prefix('<').ok_or("a path begins with <")?;
        let end = end_of_path(inner).ok_or("a path ends with >")?;
        let (path, rest) = (&inner[..end], &inner[end + 1..]);
        if path.len() + 2 > LONGEST_PATH {
            return Err("the path has more than 256 octets");
        }
        if !rest.is_empty() && !rest.starts_with(' ') {
            return Err("a space parts the path from what follows");
        }
        let mailbox = without_route(path)?;
        if !mailbox.is_empty() {
            check_mailbox(mailbox)?;
        }
        Ok((Self(mailbox.to_owned()), rest))
    }

    pub const fn is_null(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

/// Parameters as keyword and value; the keywords are in capitals.
pub fn parameters(text: &str) -> impl Iterator<Item = (String, Option<&str>)> {
    text.split(' ')
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((keyword, value)) => (keyword.to_ascii_uppercase(), Some(value)),
            None => (part.to_ascii_uppercase(), None),
        })
}

/// Whether this can be the name of a host, or an address in brackets.
pub fn is_domain(text: &str) -> bool {
    if text.len() > LONGEST_DOMAIN {
        return false;
    }
    if let Some(literal) = text.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|inside| {
            !inside.is_empty()
                && inside
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b))
        });
    }
    // An underscore is not allowed by the letter, and in the names of many a machine.
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    text.split('.').all(is_label)
}

/// Where the closing bracket is; one inside of a quoted string is no closing bracket.
fn end_of_path(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Drops a source route, which is obsolete: `@a,@b:user@c` (RFC 5321 appendix C).
fn without_route(path: &str) -> Result<&str, &'static str> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) = path.split_once(':').ok_or("the source route has no end")?;
    let is_hop = |hop: &str| hop.strip_prefix('@').is_some_and(is_domain);
    if mailbox.is_empty() || !route.split(',').all(is_hop) {
        return Err("the source route is malformed");
    }
    Ok(mailbox)
}

fn check_mailbox(mailbox: &str) -> Result<(), &'static str> {
    if !mailbox.is_ascii() {
        return Err("an address is in ASCII");
    }
    let (local, domain) = match mailbox.rsplit_once('@') {
        Some(parts) => parts,
        // The one mailbox that every host has (RFC 5321 4.5.1).
        None if mailbox.eq_ignore_ascii_case("postmaster") => return Ok(()),
        None => return Err("an address has an @"),
    };
    if local.len() > LONGEST_LOCAL_PART {
        return Err("the local part has more than 64 octets");
    }
    if !is_dot_string(local) && !is_quoted_string(local) {
        return Err("the local part is malformed");
    }
    if !is_domain(domain) {
        return Err("the domain is malformed");
    }
    Ok(())
}

fn is_dot_string(local: &str) -> bool {
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    local.split('.').all(is_atom)
}

fn is_quoted_string(local: &str) -> bool {
    let Some(inside) = local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return false;
    };
    let mut escaped = false;
    for byte in inside.bytes() {
        match byte {
            b' '..=b'~' if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            b' '..=b'~' => {}
            _ => return false,
        }
    }
    !escaped
}

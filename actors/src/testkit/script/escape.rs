//! Bytes as printable ASCII, and back.

use std::fmt::{self, Write};

/// Shows bytes in the escapes of a script's text, so that [`unescape`] gives the same bytes back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped<'a>(pub(super) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b'\r' => f.write_str("\\r")?,
                b'\n' => f.write_str("\\n")?,
                b'\t' => f.write_str("\\t")?,
                b'\\' => f.write_str("\\\\")?,
                0 => f.write_str("\\0")?,
                b' '..=b'~' => f.write_char(char::from(*byte))?,
                _ => write!(f, "\\x{byte:02X}")?,
            }
        }
        Ok(())
    }
}

/// How many columns [`Escaped`] takes.
pub(super) fn width(bytes: &[u8]) -> usize {
    let columns = bytes.iter().map(|byte| match byte {
        b'\r' | b'\n' | b'\t' | b'\\' | 0 => 2,
        b' '..=b'~' => 1,
        _ => 4,
    });
    columns.sum()
}

/// The bytes that a text with escapes means; the escape that is none if there is one.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut after = escape.chars();
        let byte = match after.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('0') => 0,
            Some('x') => {
                let digits = after.as_str().get(..2).filter(|two| is_hex(two));
                let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
                // Two ASCII digits, so two characters.
                after.nth(1);
                byte.ok_or_else(|| shown(escape, 3))?
            }
            _ => return Err(shown(escape, 1)),
        };
        bytes.push(byte);
        rest = after.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shown(escape: &str, most: usize) -> String {
    std::iter::once('\\')
        .chain(escape.chars().take(most))
        .collect()
}

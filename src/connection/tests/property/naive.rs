//! Frames as a splitter finds them that knows nothing but the whole stream and a position in it.

use super::*;

/// Body and end of the first frame of `stream`, for the kinds that do not depend on how the
/// bytes came.
pub(super) fn frame<'a>(kind: &ReceiveKind, stream: &'a [u8]) -> Option<(&'a [u8], usize)> {
    match kind {
        ReceiveKind::Line { .. } => {
            let end = stream.iter().position(|&byte| byte == b'\n')?;
            let body = &stream[..end];
            Some((body.strip_suffix(b"\r").unwrap_or(body), end + 1))
        }
        ReceiveKind::Exact(size) => Some((stream.get(..size.get())?, size.get())),
        ReceiveKind::Until { delimiter, .. } => {
            let end = stream
                .windows(delimiter.len())
                .position(|window| window == &delimiter[..])?;
            Some((&stream[..end], end + delimiter.len()))
        }
        ReceiveKind::Message { .. } => {
            let length = u32::from_be_bytes(*stream.first_chunk()?);
            let end = 4 + usize::try_from(length).unwrap();
            Some((stream.get(4..end)?, end))
        }
        ReceiveKind::Full | ReceiveKind::Available | ReceiveKind::UpTo(_) => {
            panic!("{kind:?} depends on the pieces")
        }
    }
}

pub(super) fn body(event: &Event) -> Option<&[u8]> {
    match event {
        Event::Line(line) => Some(line.as_bytes()),
        Event::Data(body) | Event::Message(body) => Some(body),
        _ => None,
    }
}

/// How many bytes a delivered event takes from the stream; checks that it is the right one.
pub(super) fn taken(kind: &ReceiveKind, event: &Event, stream: &[u8]) -> usize {
    let body = body(event).expect("it is a frame");
    match kind {
        ReceiveKind::Available | ReceiveKind::UpTo(_) => {
            assert!(!body.is_empty() && stream.starts_with(body));
            if let ReceiveKind::UpTo(most) = kind {
                assert!(body.len() <= most.get());
            }
            body.len()
        }
        kind => {
            let (expected, end) = frame(kind, stream).expect("it is complete");
            assert_eq!(body, expected, "{kind:?}");
            end
        }
    }
}

//! What the ecosystem brings runs on a stream.

use std::io::Write;
use std::net::Shutdown;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use switchboard::stream::join;
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};

use super::*;

#[test]
fn lines_codec_runs_on_a_stream() {
    with_pool(async |pool| {
        let (reader, writer, mut peer) = stream(&pool).await;
        let mut lines = Framed::new(join(reader, writer), LinesCodec::new());
        peer.write_all(b"one\r\ntwo\nlast").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        for expected in ["one", "two", "last"] {
            assert_eq!(lines.next().await.unwrap().unwrap(), expected);
        }
        assert!(lines.next().await.is_none());
        lines.send("three").await.unwrap();
        SinkExt::<&str>::close(&mut lines).await.unwrap();
        assert_eq!(read_all(&mut peer), b"three\n");
    });
}

#[test]
fn length_delimited_codec_runs_on_a_stream() {
    with_pool(async |pool| {
        let (reader, writer, mut peer) = stream(&pool).await;
        let mut frames = Framed::new(join(reader, writer), LengthDelimitedCodec::new());
        let large = Bytes::from(pattern(MIB));
        let echoing = std::thread::spawn(move || {
            let back = exchange_frames(&mut peer);
            peer.write_all(&back).unwrap();
        });
        frames.send(Bytes::from_static(b"small")).await.unwrap();
        frames.send(large.clone()).await.unwrap();
        assert_eq!(frames.next().await.unwrap().unwrap(), "small");
        assert_eq!(frames.next().await.unwrap().unwrap(), large);
        echoing.join().unwrap();
        let (mut reader, writer) = frames.into_inner().into_split();
        drop(writer);
        assert_eq!(reader.read(1).await.unwrap(), "");
    });
}

/// Both frames, as they are on the wire.
fn exchange_frames(peer: &mut TcpStream) -> Vec<u8> {
    read_exact(peer, 4 + 5 + 4 + MIB)
}

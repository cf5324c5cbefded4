//! Python's asyncio streams, as the peer of both of ours: byte-exact, in random pieces, with half-closes.

use std::process::Command;

use bytes::Bytes;
use switchboard::Listen;
use switchboard::stream::start_server;

use super::ways::Way;
use super::*;
use crate::programs::{Program, peer as program};

/// Sends everything in random pieces while it takes everything in random pieces, finishes, and says what it has
/// taken, which must be the same.
const CLIENT: &str = r#"
import asyncio, hashlib, random, sys
port, seed, count = map(int, sys.argv[1:])
rng = random.Random(seed)
data = rng.randbytes(count)

async def send(writer):
    at = 0
    while at < count:
        size = rng.choice([1, 2, 100, 4096, 70000])
        writer.write(data[at:at + size])
        at += size
        await writer.drain()
    writer.write_eof()

async def take(reader):
    back = b""
    while chunk := await reader.read(rng.choice([1, 7, 5000, 65536])):
        back += chunk
    return back

async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, back = await asyncio.gather(send(writer), take(reader))
    writer.close()
    await writer.wait_closed()
    assert back == data, (len(back), len(data))
    print("SAME", hashlib.sha256(back).hexdigest(), flush=True)

asyncio.run(asyncio.wait_for(main(), 20))
"#;

/// Serves one client: sends back what it takes, in random pieces, finishes when it has, and ends.
const SERVER: &str = r#"
import asyncio, random, sys
rng = random.Random(int(sys.argv[1]))

async def main():
    done = asyncio.get_running_loop().create_future()

    async def echo(reader, writer):
        taken = 0
        while chunk := await reader.read(rng.choice([1, 7, 5000, 65536])):
            taken += len(chunk)
            while chunk:
                size = rng.choice([1, 100, 9000, 65536])
                writer.write(chunk[:size])
                chunk = chunk[size:]
            await writer.drain()
        writer.write_eof()
        writer.close()
        await writer.wait_closed()
        done.set_result(taken)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    print("TAKEN", await asyncio.wait_for(done, 20), flush=True)

asyncio.run(main())
"#;

/// A dialogue of lines, exact reads and delimiters, all as Python does it.
const DIALOGUE: &str = r#"
import asyncio, sys
port = int(sys.argv[1])

async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.writelines([b"a line\n", b"exact", b"until;", b"rest"])
    await writer.drain()
    writer.write_eof()
    assert await reader.readline() == b"A LINE\n"
    assert await reader.readexactly(5) == b"EXACT"
    assert await reader.readuntil(b";") == b"UNTIL;"
    assert await reader.read(-1) == b"REST"
    assert reader.at_eof()
    writer.close()
    await writer.wait_closed()
    print("DONE", flush=True)

asyncio.run(asyncio.wait_for(main(), 20))
"#;

const COUNT: usize = 300_000;

fn python(script: &str, arguments: &[String]) -> Option<Program> {
    let python = program("python3")?;
    let mut command = Command::new(python);
    Some(Program::start(command.args(["-c", script]).args(arguments)))
}

async fn ends(program: Program) -> String {
    peer(move || program.end().succeeded()).await
}

/// Sends back what comes, in pieces of random sizes.
async fn echo(mut reader: Reader, mut writer: Writer) {
    loop {
        let chunk = reader.read(fastrand::usize(1..70_000)).await.unwrap();
        if chunk.is_empty() {
            break;
        }
        writer.write(chunk).unwrap();
        writer.drain().await.unwrap();
    }
    writer.write_eof().unwrap();
}

#[test]
fn ua_13_an_asyncio_client_gets_its_bytes_back() {
    with_pool(async |pool| {
        let server = start_server(&pool, Listen::tcp(ANY), echo).await.unwrap();
        for seed in 0..4 {
            let port = server.local_addr().port();
            let arguments = [port.to_string(), seed.to_string(), COUNT.to_string()];
            let Some(client) = python(CLIENT, &arguments) else {
                return;
            };
            let said = ends(client).await;
            assert!(said.contains("SAME"), "{said}");
        }
        server.close().await;
        server.wait_drained().await;
    });
}

#[test]
fn ua_12_an_asyncio_server_sends_our_bytes_back() {
    with_pool(async |pool| {
        for seed in 0..4_u64 {
            let Some(mut server) = python(SERVER, &[seed.to_string()]) else {
                return;
            };
            let (server, port) = peer(move || {
                let port = server.rest_of_line("PORT ");
                (server, port)
            })
            .await;
            let connect = Connect::tcp(format!("127.0.0.1:{port}"));
            let (mut reader, writer) = open_connection(&pool, connect).await.unwrap();
            let mut random = fastrand::Rng::with_seed(seed);
            let data: Bytes = std::iter::repeat_with(|| random.u8(..))
                .take(COUNT)
                .collect();
            let mut sent = data.clone();
            let sending = tokio::task::spawn_local(async move {
                // One in two as uasyncio's does it.
                let mut writer = if seed % 2 == 0 {
                    writer
                } else {
                    writer.buffered()
                };
                while !sent.is_empty() {
                    let size = random.usize(1..20_000).min(sent.len());
                    writer.write(sent.split_to(size)).unwrap();
                    writer.drain().await.unwrap();
                }
                writer.write_eof().unwrap();
                writer
            });
            let back = reader.read_to_end(COUNT).await.unwrap();
            assert!(back == data, "bytes are lost or changed");
            let mut writer = sending.await.unwrap();
            writer.close();
            writer.wait_closed().await.unwrap();
            let said = ends(server).await;
            assert!(said.contains(&format!("TAKEN {COUNT}")), "{said}");
        }
    });
}

#[test]
fn an_asyncio_client_understands_every_read_and_write() {
    with_pool(async |pool| {
        let shout = async |mut reader: Reader, mut writer: Writer| {
            let mut say = |bytes: Bytes| writer.write(bytes.to_ascii_uppercase()).unwrap();
            say(reader.read_line().await.unwrap());
            say(reader.read_exact(5).await.unwrap());
            say(reader.read_until(";").await.unwrap());
            say(reader.read_to_end(64).await.unwrap());
        };
        let server = start_server(&pool, Listen::tcp(ANY), shout).await.unwrap();
        let port = server.local_addr().port().to_string();
        let Some(client) = python(DIALOGUE, &[port]) else {
            return;
        };
        let said = ends(client).await;
        assert!(said.contains("DONE"), "{said}");
    });
}

/// Each way to use a connection, opened by it or by us, with Python at the other end.
#[test]
fn asyncio_talks_to_every_way_to_use_a_connection() {
    with_pool(async |pool| {
        for (seed, way) in (0..).zip(Way::ALL) {
            let mut random = fastrand::Rng::with_seed(seed);
            if way.is_opened_by_peer() {
                let listening = way.listen(&pool).await;
                let port = listening.address.port();
                let arguments = [port.to_string(), seed.to_string(), COUNT.to_string()];
                let Some(client) = python(CLIENT, &arguments) else {
                    return;
                };
                let mut end = listening.accepted().await;
                end.echo(&mut random).await;
                let said = ends(client).await;
                assert!(said.contains("SAME"), "{way:?}: {said}");
            } else {
                let Some(mut server) = python(SERVER, &[seed.to_string()]) else {
                    return;
                };
                let (server, port) = peer(move || {
                    let port = server.rest_of_line("PORT ");
                    (server, port)
                })
                .await;
                let address = format!("127.0.0.1:{port}").parse().unwrap();
                let mut end = way.connect(&pool, address).await;
                let sent: Bytes = std::iter::repeat_with(|| random.u8(..))
                    .take(COUNT)
                    .collect();
                let back = end.exchange(sent.clone(), &mut random).await;
                assert!(back == sent, "{way:?}: bytes are lost or changed");
                let said = ends(server).await;
                assert!(said.contains(&format!("TAKEN {COUNT}")), "{way:?}: {said}");
            }
        }
    });
}

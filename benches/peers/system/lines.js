// lines.js ADDR: a line echo with node:net.
//
// The lines of a read are found one by one; cork and uncork make one system call of their answers. Reading
// stops while the socket has too much to write.
'use strict';

const net = require('node:net');

const NEWLINE = 10;

function echo(socket) {
  let rest = null;
  socket.on('data', (data) => {
    if (rest !== null) {
      data = Buffer.concat([rest, data]);
    }
    let start = 0;
    let goesOn = true;
    socket.cork();
    for (let end; (end = data.indexOf(NEWLINE, start)) !== -1; start = end + 1) {
      goesOn = socket.write(data.subarray(start, end + 1));
    }
    socket.uncork();
    rest = start < data.length ? data.subarray(start) : null;
    if (!goesOn && socket.writableNeedDrain) {
      socket.pause();
    }
  });
  socket.on('drain', () => socket.resume());
  socket.on('error', () => socket.destroy());
}

const [host, port] = process.argv[process.argv.length - 1].split(':');
const server = net.createServer({ noDelay: true }, echo);
server.listen({ host, port: Number(port), backlog: 1024 }, () => {
  const { address, port } = server.address();
  console.log(`listening on ${address}:${port}`);
});

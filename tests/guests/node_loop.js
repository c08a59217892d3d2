// Guest: a Node program with a timer, a worker, a child's pipe of its own and a file.
const { Worker } = require('worker_threads');
const readline = require('readline');
const net = require('net');
let value = 'before';
let ticks = 0;
setInterval(() => { ticks += 1; }, 5);
const worker = new Worker(`
  const { parentPort } = require('worker_threads');
  let sum = 0;
  parentPort.on('message', (n) => { sum += n; parentPort.postMessage(sum); });
`, { eval: true });
const server = net.createServer((socket) => socket.on('data', (d) => socket.write(d)));
const asked = [];
worker.on('message', (sum) => asked.shift()(sum));
server.listen(0, '127.0.0.1', () => {
  console.log('ready');
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const [verb, word] = line.split(' ');
    if (verb === 'set') { value = word; console.log('ok'); }
    else if (verb === 'get') console.log('ok ' + value);
    else if (verb === 'add') { asked.push((sum) => console.log('ok ' + sum)); worker.postMessage(Number(word)); }
    else if (verb === 'tick') { const from = ticks; setTimeout(() => console.log(ticks > from ? 'ok' : 'err'), 50); }
    else if (verb === 'echo') {
      const client = net.connect(server.address().port, '127.0.0.1', () => client.write(word));
      client.on('data', (d) => { console.log('ok ' + d); client.destroy(); });
    } else if (verb === 'crash') process.abort();
    else process.exit(0);
  });
});

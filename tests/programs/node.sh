#!/bin/bash
# node.sh - node: V8's own heap beside ours, worker threads, libuv, children.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >main.js <<'END'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto'), zlib = require('zlib'), http = require('http');
const fs = require('fs'), util = require('util'), { execFile, spawnSync } = require('child_process');
const hash = s => crypto.createHash('sha256').update(s).digest('hex');
if (!isMainThread) {
  const m = new Map();
  for (let i = 0; i < 50000; i++) m.set('k' + (i % 997), Buffer.alloc(100 + i % 50, i % 256));
  parentPort.postMessage(hash(Buffer.concat([...m.values()])) + workerData);
  return;
}
async function main() {
  const text = Array.from({ length: 50000 }, (_, i) => `row ${i * 7919 % 10007}`).join('\n');
  console.log(hash(text), JSON.stringify(text).length, text.match(/row (\d)\1+$/gm).length);
  for (const [z, u] of [['gzip', 'gunzip'], ['brotliCompress', 'brotliDecompress']]) {
    const packed = await util.promisify(zlib[z])(text);
    console.log(z, (await util.promisify(zlib[u])(packed)).toString() === text);
  }
  const workers = [1, 2, 3].map(n => new Promise((ok, no) => {
    const w = new Worker(__filename, { workerData: n }); w.on('message', ok); w.on('error', no); }));
  console.log(await Promise.all(workers));
  const key = crypto.pbkdf2Sync('p', 's', 2000, 32, 'sha512').toString('hex');
  console.log(key, (await util.promisify(crypto.scrypt)('p', 's', 32)).toString('base64'));
  const server = http.createServer((q, r) => { let n = 0;
    q.on('data', d => n += d.length).on('end', () => r.end(q.url + n)); });
  await new Promise(ok => server.listen(7001, process.env.addr, ok));
  const ask = i => new Promise((ok, no) => { const q = http.request(
    { host: process.env.addr, port: 7001, path: '/' + i, method: 'POST' }, r => { let s = '';
      r.on('data', d => s += d).on('end', () => ok(s)); }); q.on('error', no); q.end('x'.repeat(i * 100)); });
  const got = await Promise.all(Array.from({ length: 200 }, (_, i) => ask(i)));
  console.log(got[199], new Set(got).size); server.close();
  console.log((await util.promisify(execFile)('sh', ['-c', 'echo child; exit 0'])).stdout.trim());
  console.log(spawnSync('cat', { input: 'piped' }).stdout.toString(), spawnSync('false').status);
  let garbage; for (let i = 0; i < 300; i++) garbage = new Array(50000).fill({ i }); if (global.gc) global.gc();
  await fs.promises.writeFile('out.txt', text); console.log(fs.readFileSync('out.txt').length);
  const wasm = new WebAssembly.Module(Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1,
    127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]));
  console.log(new WebAssembly.Instance(wasm).exports.add(40, 2), 2n ** 200n, new Intl.NumberFormat('de').format(12345.6));
  process.on('SIGUSR2', () => { console.log('signal'); process.exitCode = 9; clearInterval(t); });
  const t = setInterval(() => {}, 1000); process.kill(process.pid, 'SIGUSR2');
  console.error('to stderr');
}
main();
END
	echo 'setTimeout(() => { throw new TypeError("uncaught") }, 10)' >throw.js
}

script()
{
	status node --expose-gc "$input/main.js"
}

endings()
{
	status node "$input/throw.js"
	status node -e 'process.exit(7)'
	status node -p '[1, 2, 3].map(x => x * 2)'
	status node -e 'syntax error' 2>/dev/null
	status node --max-old-space-size=50 -e 'process.abort()' 2>/dev/null
	seq 1 1000 | status node -e 'process.stdin.on("data",
		d => process.stdout.write(String(d.length > 0))).on("end",
		() => console.log("end"))' | tail -c 20
}

compare script node dash
compare endings node
finish

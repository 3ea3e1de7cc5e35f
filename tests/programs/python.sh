#!/bin/bash
# python.sh - python3: objects by the million, threads, processes, extensions.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >data.py <<'END'
import array, collections, ctypes, decimal, gc, hashlib, itertools, json, mmap
import re, sqlite3, struct, sys, weakref, zlib, bz2, lzma, pickle, random
random.seed(1)
tree = lambda: collections.defaultdict(tree)
root = tree()
for i in range(30000):
    root[i % 10][i % 101][i] = str(i) * (i % 7)
text = json.dumps(root, sort_keys=True)
print(len(text), hashlib.sha256(text.encode()).hexdigest())
for pack in zlib, bz2, lzma:
    assert pack.decompress(pack.compress(text.encode())) == text.encode()
class Node:
    def __init__(self, other): self.other, self.pad = other, bytearray(100)
refs = []
for i in range(5000):
    a = Node(None); b = Node(a); a.other = b
    refs.append(weakref.ref(a))
del a, b
gc.collect(); print(sum(r() is not None for r in refs))
words = [''.join(random.choices('abc', k=5)) for _ in range(50000)]
print(collections.Counter(words).most_common(2), len(set(words)))
print(len(re.findall(r'(a+)b\1', ' '.join(words))))
print(sorted(words, key=lambda w: (w[::-1], w))[::9999])
decimal.getcontext().prec = 500; print(decimal.Decimal(2).sqrt() % 1)
db = sqlite3.connect(':memory:')
db.execute('create table t(a, b)')
db.executemany('insert into t values(?, ?)', ((i, w) for i, w in enumerate(words)))
print(db.execute('select b, sum(a) from t group by b order by 2 desc').fetchone())
buf = (ctypes.c_char * 1000)(); ctypes.memset(buf, 65, 999)
print(ctypes.CDLL(None).strlen(buf)); libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p; p = libc.malloc(50)
libc.free(ctypes.c_void_p(p))
m = mmap.mmap(-1, 1 << 20); m[5:10] = b'hello'; print(m.find(b'lo'), struct.calcsize('3sq'))
print(pickle.loads(pickle.dumps(dict(root[3][7]), 5))[1013], sys.getrecursionlimit())
print(sum(itertools.islice(itertools.accumulate(array.array('q', range(10 ** 5))), 50000)))
gen = (x * x for x in range(10 ** 5)); print(sum(gen)); big = 7 ** 20000
print(len(hex(big)), big % 1000007)
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
try: deep(10 ** 6)
except RecursionError: print('too deep')
try: bytearray(1 << 60)
except MemoryError: print('no memory')
print('to stderr', file=sys.stderr); raise SystemExit(6)
END
	cat >procs.py <<'END'
import asyncio, concurrent.futures as cf, multiprocessing as mp, os, queue
import signal, subprocess, sys, threading, time
def work(n): return sum(len(str(i) * 3) for i in range(n))
if __name__ == '__main__':
    q = queue.Queue(); out = []
    def run():
        while (n := q.get()) is not None: out.append(work(n))
    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads: t.start()
    for n in range(400): q.put(n * 10)
    for t in threads: q.put(None)
    for t in threads: t.join()
    print(sum(out))
    with mp.get_context('fork').Pool(3) as pool: print(sum(pool.map(work, range(300))))
    with cf.ProcessPoolExecutor(2, mp.get_context('spawn')) as ex:
        print(list(ex.map(work, [10, 1000])))
    with cf.ThreadPoolExecutor(5) as ex: print(sum(ex.map(work, range(300))))
    print(subprocess.run(['sh', '-c', 'cat; exit 4'], input=b'piped', capture_output=True))
    print(subprocess.check_output('seq 1 1000 | tail -n 1', shell=True))
    p = subprocess.Popen(['sleep', '50']); p.terminate(); print(p.wait())
    async def main():
        async def serve(r, w): w.write((await r.readline()).upper()); await w.drain(); w.close()
        server = await asyncio.start_server(serve, os.environ['addr'], 7000)
        async def ask(i):
            r, w = await asyncio.open_connection(os.environ['addr'], 7000)
            w.write(b'line %d\n' % i); got = await r.read(); w.close(); return got
        print(len(set(await asyncio.gather(*(ask(i) for i in range(100))))))
        proc = await asyncio.create_subprocess_exec('echo', 'async', stdout=-1)
        print((await proc.communicate())[0]); server.close()
    asyncio.run(main())
    r, w = os.pipe(); signal.set_wakeup_fd(w) if os.set_blocking(w, False) is None else 0
    signal.signal(signal.SIGALRM, lambda *a: print('alarm')); signal.setitimer(0, 0.1)
    print(len(os.read(r, 1))); pid = os.fork()
    if pid == 0: os._exit(len([object() for _ in range(9)]))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    threading.Thread(target=time.sleep, args=(50,), daemon=True).start()
    sys.exit('exit with a message')
END
}

python()
{
	PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$@"
}

data()
{
	status python "$input/data.py"
}

# Python's own allocator takes arenas; like this each object is a block.
data_by_malloc()
{
	export PYTHONMALLOC=malloc
	status python "$input/data.py"
}

procs()
{
	status python "$input/procs.py"
	status python -c 'import json; json.loads("[1,")'
	status python -X importtime -c 'import os; os.abort()' 2>/dev/null
}

compare data 'python3[.0-9]*'
compare data_by_malloc 'python3[.0-9]*'
compare procs 'python3[.0-9]*'
finish

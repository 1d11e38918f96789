"""A data set built, beside what any packer must do: decode every image once, and `tar` the same files.

    python benchmarks/build.py pack  [--n 2000] [--rounds 3]     cost beside the peers; two processes beside one
    python benchmarks/build.py scale [--n 136584]                cost and memory of a record, from 1,000 records on, texts only
    python benchmarks/build.py kill  [--n 5000] [--kills 20]     killed at random moments, continued: the same bytes?
    python benchmarks/build.py ray   [--n 200]                   one process, two and Ray Data: the same bytes?

Ratios are of wall time and of processor time (children included): on a busy machine only the second means anything. Images are
drawn: 8-bit speckle, half PNG, half JPEG, as published sets hold them.
"""
import argparse, os, random, shutil, signal, subprocess, sys, tempfile, time
os.environ.setdefault('OMP_NUM_THREADS', '1'); os.environ.setdefault('TQDM_DISABLE', '1')
from pathlib import Path
import numpy as np
from PIL import Image
from sartext.dataset.build import build
from sartext.records import Box, Caption, Fact, Question, Record, write_records


def drawn(folder, n, size):
    "Write `n` speckled images and their records; the images' paths"
    (folder/'p').mkdir(parents=True); out, paths = [], []
    for k in range(n):
        rng = np.random.default_rng(k); ground = np.kron(rng.gamma(2, 20, (8, 8)), np.ones((size//8, size//8)))
        name = f"p/{k}.{'jpg' if k % 2 else 'png'}"; paths.append(folder/name)
        Image.fromarray(np.clip(rng.gamma(4, .25, ground.shape)*ground, 0, 255).astype('uint8')).save(folder/name)
        out.append(Record(f'{k}', name, *ground.shape[::-1], source='drawn', licence='CC0-1.0', captions=(Caption(f'Field {k}.'),)))
    write_records(out, folder/'records.jsonl')
    return paths

def texts(n):
    "`n` records with a box, a caption and nine questions"
    for k in range(n):
        fact = Fact('count', 'ship', k % 7 + 1)
        yield Record(f'{k:06d}', f'{k:06d}.jpg', 512, 512, source='stand-in', scene=f's{k//4}', boxes=(Box('ship', 9., 9., 30., 20.),),
                     captions=(Caption(f'{k % 7 + 1} ships, view {k}.', facts=(fact,), rules=('count',)),),
                     questions=tuple(Question(f'How many ships ({q})?', str(k % 7 + 1), 'instance counting', 'How many {}?', (fact,)) for q in range(9)))

def timed(f):
    "(wall, processor) seconds of `f()`, children included"
    t, wall = os.times(), time.perf_counter(); f()
    now = os.times(); return time.perf_counter() - wall, sum(now[:4]) - sum(t[:4])

def beside(top, out, **how):
    "The same in a process of its own, as a user starts it; (wall, processor, peak MB)"
    code = ('import sys, resource, json\nfrom sartext.dataset.build import build\nif __name__ == "__main__":\n'
            f' build(sys.argv[1], sys.argv[2], **{how!r}); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024)')
    got = []
    wall, cpu = timed(lambda: got.append(subprocess.run([sys.executable, '-c', code, top/'records.jsonl', out], check=True, capture_output=True, text=True).stdout))
    return wall, cpu, float(got[0])

def same(a, b): return subprocess.run(['diff', '-rq', a, b]).returncode == 0


def pack(top, a):
    paths = drawn(top, a.n, a.size); names = top/'names'; names.write_text(''.join(f'{p}\n' for p in paths))
    def decode():
        for p in paths:
            with Image.open(p) as im: np.asarray(im)
    def packed(name, **how): return lambda: build(top/'records.jsonl', top/name, **how)
    peers = {'decode once': decode, 'tar': lambda: subprocess.run(['tar', '-cPf', top/'peer.tar', '-T', names], check=True)}
    ours = {'build, one process': packed('out1'), 'build, two processes': packed('out2', workers=2),
            'two, WebDataset alone': packed('few', workers=2, formats=['webdataset'])}
    decode(); build(top/'records.jsonl', top/'warm', pictures=['0'])    # files in memory and libraries loaded, for all alike
    best = {}
    for _ in range(a.rounds):                                           # best of several: other work only ever adds
        for name in ('out1', 'out2', 'few'): shutil.rmtree(top/name, ignore_errors=True)
        (top/'peer.tar').unlink(missing_ok=True)
        for name, f in (peers | ours).items(): best[name] = tuple(map(min, timed(f), best.get(name, (9e9, 9e9))))
    for name, (wall, cpu) in best.items(): print(f'{name:22} {1e3*wall/a.n:7.2f} ms an image, {1e3*cpu/a.n:7.2f} ms of processor')
    most = [max(best[p][k] for p in peers) for k in (0, 1)]
    for name in ours: print(f'{name}: {best[name][0]/most[0]:.2f} times the wall time of the larger peer, {best[name][1]/most[1]:.2f} times its processor time')
    one, two = best['build, one process'][0], best['build, two processes'][0]
    print(f'two processes: {one/two:.2f} times as fast as one; same bytes: {same(top/"out1", top/"out2")}')

def scale(top, a):
    for n in [m for m in (1_000, 10_000) if m < a.n] + [a.n]:
        write_records(texts(n), top/'records.jsonl')
        wall, cpu, peak = beside(top, top/f'out{n}', pictures=())
        print(f'{n:8,} records: {1e3*wall/n:6.2f} ms a record, {1e3*cpu/n:6.2f} ms of processor, peak {peak:.0f} MB')

def kill(top, a):
    "Kills at moments spread evenly over a build; each is continued, by the next build, which may be killed too"
    drawn(top, a.n, a.size); rng, notes, out, kills, alike = random.Random(0), top/'killed/.work/made.jsonl', top/'killed', [], []
    beside(top, top/'whole'); wall, _, _ = beside(top, top/'two', workers=2); alike.append(same(top/'whole', top/'two'))
    code = 'import sys\nfrom sartext.dataset.build import build\nif __name__ == "__main__": build(sys.argv[1], sys.argv[2], workers=2)'
    while len(kills) < a.kills:
        job = subprocess.Popen([sys.executable, '-c', code, top/'records.jsonl', out], stderr=subprocess.DEVNULL)
        try: job.wait(timeout=rng.uniform(0, wall))
        except subprocess.TimeoutExpired:
            job.send_signal(signal.SIGKILL); job.wait()
            kills.append((len(notes.read_bytes().splitlines()), len([*notes.parent.glob('*/note.json')])) if notes.exists() else (0, 0))
        else: alike.append(same(top/'whole', out)); shutil.rmtree(out)
    build(top/'records.jsonl', out, workers=2); alike.append(same(top/'whole', out))
    print(f'{len(kills)} kills; images + shards done at each, of {a.n} images:', *(f'{m}+{s}' for m, s in kills))
    print(f'{sum(alike)} of {len(alike)} builds with two processes, all but the first of them killed and continued or run through, have the bytes of one process')

def ray(top, a):
    drawn(top, a.n, a.size)
    for name, how in (('one', {}), ('two', dict(workers=2)), ('ray', dict(engine='ray', workers=2))):
        wall, cpu, _ = beside(top, top/name, shard=50, **how); print(f'{name}: {wall:.1f} s')
    print('same bytes:', same(top/'one', top/'two') and same(top/'one', top/'ray'))


def main():
    p = argparse.ArgumentParser(); p.add_argument('what', choices=('pack', 'scale', 'kill', 'ray'))
    p.add_argument('--n', type=int); p.add_argument('--size', type=int, default=512); p.add_argument('--kills', type=int, default=20); p.add_argument('--rounds', type=int, default=3)
    a = p.parse_args(); a.n = a.n or dict(pack=2000, scale=136_584, kill=5000, ray=200)[a.what]
    with tempfile.TemporaryDirectory() as top: globals()[a.what](Path(top), a)


if __name__ == '__main__': main()

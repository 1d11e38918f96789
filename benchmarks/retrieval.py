"""Recall of 10,000 images × 10,000 texts (512-d) beside clip_benchmark's code and a full argsort, one process each.

    python benchmarks/retrieval.py [--n 10000] [--dim 512] [--repeat 1] [--queries 320]

Prints seconds (wall clock and processor), peak memory above the start, and both as multiples of sartext's. The peers
run on the same embeddings and threads; without ties all give the same recalls, which is asserted. clip_benchmark's
`recall_at_k` is called in batches of 64, as its `evaluate` does, but only for the first `--queries` in each direction,
and the time of that part is multiplied up: all of them would take minutes. (Its ranking is linear in the queries.)
"""
import argparse, json, os, resource, subprocess, sys, time

KS = (1, 5, 10)


def data(n, dim):
    import numpy as np
    rng = np.random.default_rng(0)
    images = rng.standard_normal((n, dim), dtype=np.float32)
    texts = images + 6*rng.standard_normal((n, dim), dtype=np.float32)
    return (x/np.linalg.norm(x, axis=1, keepdims=True) for x in (images, texts))


def rates(hits): return [float(h[:, c].mean()) for h in hits for c in range(len(KS))]


def sartext(images, texts, queries, keys=None):
    from sartext.evaluate.retrieval import recall
    r = recall(images, texts, keys=keys)
    hits = r.image_to_text, r.text_to_image
    return rates(hits), rates([h[:queries] for h in hits]), None


def group_positive(images, texts, queries):
    return sartext(images, texts, queries, keys=[str(i) for i in range(len(images))])  # every key its own: same recalls


def argsort(images, texts, queries):
    import numpy as np
    scores, own = images @ texts.T, np.arange(len(images))[:, None]
    hits = [np.nonzero(np.argsort(-s, axis=1) == own)[1][:, None] < np.array(KS) for s in (scores, scores.T)]
    return rates(hits), rates([h[:queries] for h in hits]), None


def clip_benchmark(images, texts, queries):
    import torch
    from clip_benchmark.metrics.zeroshot_retrieval import batchify, recall_at_k
    scores = torch.from_numpy(texts) @ torch.from_numpy(images).t()
    positive = torch.zeros_like(scores, dtype=bool)
    positive[torch.arange(len(scores)), torch.arange(len(images))] = True
    clocks = time.perf_counter, time.process_time
    start = [clock() for clock in clocks]
    def got(s, p, k):
        return (batchify(recall_at_k, s[:queries], p[:queries], 64, 'cpu', k=k) > 0).double().mean().item()
    part = [got(scores.T, positive.T, k) for k in KS] + [got(scores, positive, k) for k in KS]
    return None, part, [(clock() - s)*(len(images)/queries - 1) for clock, s in zip(clocks, start)]


METHODS = {f.__name__: f for f in (sartext, group_positive, argsort, clip_benchmark)}


def one(name, n, dim, queries):
    "Run one method in this process and print its figures as JSON"
    images, texts = data(n, dim)
    METHODS[name](images[:99], texts[:99], 50)                               # imports are not timed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter(), time.process_time()
    whole, part, rest = METHODS[name](images, texts, queries)
    spent = [t() - s + r for t, s, r in zip((time.perf_counter, time.process_time), start, rest or (0, 0))]
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)/1024
    print(json.dumps({'seconds': spent[0], 'cpu': spent[1], 'peak_mb': peak, 'whole': whole, 'part': part}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=10_000); p.add_argument('--dim', type=int, default=512)
    p.add_argument('--repeat', type=int, default=1); p.add_argument('--queries', type=int, default=320)
    p.add_argument('--method', choices=METHODS, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.method: return one(a.method, a.n, a.dim, a.queries)
    found = {}
    for name in METHODS:
        runs = []
        for _ in range(a.repeat):
            sizes = (f'--{k}={getattr(a, k)}' for k in ('n', 'dim', 'queries'))
            done = subprocess.run([sys.executable, __file__, '--method', name, *sizes], capture_output=True, text=True)
            if done.returncode: print(f'{name}: not measured: {done.stderr.strip().splitlines()[-1]}'); break
            runs.append(json.loads(done.stdout))
        if runs: found[name] = min(runs, key=lambda r: r['seconds'])
    ours = found['sartext']
    print(f"{a.n:,} × {a.n:,}, {a.dim} dimensions, both directions, {os.cpu_count()} cores; "
          f"mean recall {100*sum(ours['whole'])/6:.2f}; * from {a.queries} queries a direction")
    print(f"{'':16s}{'seconds':>9s}{'cpu s':>9s}{'peak MB':>9s}{'× time':>9s}{'× cpu':>9s}{'× memory':>9s}")
    for name, r in found.items():
        for part in ('whole', 'part'):                                       # rounding may turn a single query
            same = r[part] is None or max(abs(x - y) for x, y in zip(r[part], ours[part])) <= 1.01/a.queries
            assert same, (name, r[part], ours[part])
        times = ''.join(f'{r[k]/ours[k]:9.1f}' for k in ('seconds', 'cpu', 'peak_mb'))
        print(f"{name + '*'*(r['whole'] is None):16s}{r['seconds']:9.1f}{r['cpu']:9.1f}{r['peak_mb']:9.0f}{times}")


if __name__ == '__main__': main()

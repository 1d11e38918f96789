"""Seconds a training step with and without `sartext.train.keep_memory`, one process each, same pictures and weights.

    python benchmarks/training.py [--steps 12] [--size 128] [--batch 64]

Prints the median step in seconds of each, the share of it spent in the system, peak memory, and the ratio.
"""
import argparse, json, resource, statistics, subprocess, sys, time


def job(keep, steps, size, batch):
    import numpy as np, torch
    from sartext import train
    from sartext.models.starts import start
    from sartext.records import Caption, Record
    if not keep: train.keep_memory = lambda: False
    model, n = start('packaged', size=size), 4*batch
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8))
    captions = tuple((Caption(f'{i} ships.'),) for i in range(n))
    pairs = {'sar': train.Pairs(pixels, captions, tuple(Record(str(i), f'{i}.png', size, size) for i in range(n)))}
    texts = train.text_table(model, pairs['sar'].said())
    stage, times = train.Stage('sar', (('sar', 1.),), steps, batch_size=batch, frozen_blocks=2), [time.perf_counter()]
    check = train._check_finite
    train._check_finite = lambda *a: (times.append(time.perf_counter()), check(*a))
    train.run_stage(model, stage, pairs, texts)
    used = resource.getrusage(resource.RUSAGE_SELF)
    gaps = [b - a for a, b in zip(times[2:], times[3:])]
    print(json.dumps({'step': statistics.median(gaps), 'system': used.ru_stime/(used.ru_utime + used.ru_stime),
                      'peak_gb': used.ru_maxrss/1e6}))


def main():
    p = argparse.ArgumentParser(); p.add_argument('--job')
    for name, value in (('steps', 12), ('size', 128), ('batch', 64)): p.add_argument(f'--{name}', type=int, default=value)
    a = p.parse_args()
    if a.job: return job(a.job == 'kept', a.steps, a.size, a.batch)
    sizes, found = ['--steps', a.steps, '--size', a.size, '--batch', a.batch], {}
    for way in ('returned', 'kept', 'returned', 'kept'):        # twice, in turn: the better of each
        out = subprocess.run([sys.executable, __file__, '--job', way, *map(str, sizes)], capture_output=True, text=True, check=True)
        one = json.loads(out.stdout.splitlines()[-1])
        if way not in found or one['step'] < found[way]['step']: found[way] = one
    for way, r in found.items():
        print(f"{way:9} {r['step']:.3f} s a step, {a.batch/r['step']:.0f} images/s, {r['system']:.0%} in the system, peak {r['peak_gb']:.1f} GB")
    print(f"kept is {found['returned']['step']/found['kept']['step']:.2f} times as fast")


if __name__ == '__main__': main()

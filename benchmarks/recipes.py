"""A recipe at 1,000, 3,000, 10,000, 30,000 records and in full: does a record cost the same however many there are?

    python benchmarks/recipes.py NAME OUT [--sizes 1000 3000 10000 30000 0] [--pictures 10000] [--side 128] [--workers 2]
                                          [--stages compose build] [--results benchmarks/recipes.json]

NAME is a recipe (sar-text, sarlang-1m), OUT a folder on a disk with room for all runs; 0 is the size printed by its paper.
Pictures are drawn for the same share of the records at every size. Each stage runs in a process of its own: `compose`
(stand-ins, captions, questions, pictures) and `build` (split, shards, card). Printed and written: wall clock and processor
seconds (own and of all workers), the largest resident memory of the parent and of a worker, bytes written.
"""
import argparse, json, os, platform, resource, subprocess, sys, time
from pathlib import Path


def size_of(folder): return sum(p.stat().st_size for p in Path(folder).rglob('*') if p.is_file())


def run(stage, name, out, n, pictures, side, workers):
    "One stage in this process; what it took"
    from sartext.dataset import recipes
    out, start = Path(out), time.perf_counter()
    if stage == 'compose':
        found = recipes.compose(name, out, records=n or None, pictures=pictures, side=side, workers=workers)
        found = {k: found[k] for k in ('records', 'pictures', 'captions', 'questions', 'applications', 'classes')}
        size = (out/'records.jsonl').stat().st_size + size_of(out/'pictures')
    else:
        found, size = recipes.pack(name, out, workers=workers)['built'], size_of(out/'data')
    wall, usage = time.perf_counter() - start, [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return dict(recipe=name, stage=stage, wall_s=round(wall, 1), cpu_s=round(sum(u.ru_utime + u.ru_stime for u in usage), 1),
                parent_mb=round(usage[0].ru_maxrss/1024), worker_mb=round(usage[1].ru_maxrss/1024), bytes=size, found=found)


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument('name'); parse.add_argument('out', type=Path)
    parse.add_argument('--sizes', type=int, nargs='+', default=[1000, 3000, 10_000, 30_000, 0])
    parse.add_argument('--pictures', type=int, default=10_000); parse.add_argument('--side', type=int, default=128)
    parse.add_argument('--workers', type=int, default=2); parse.add_argument('--stages', nargs='+', default=['compose', 'build'])
    parse.add_argument('--results', type=Path); parse.add_argument('--one', action='store_true', help=argparse.SUPPRESS)
    a = parse.parse_args()
    from sartext.dataset.recipes import read_recipe
    full, rows = read_recipe(a.name).records, []
    if a.one: print(json.dumps(run(a.stages[0], a.name, a.out, a.sizes[0], a.pictures, a.side, a.workers))); return
    for n in a.sizes:
        for stage in a.stages:
            count = n or full
            command = [sys.executable, __file__, a.name, a.out/str(count), '--one', '--stages', stage, '--sizes', n, '--side', a.side,
                       '--pictures', a.pictures*count//full, '--workers', a.workers]
            said = subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, 'TQDM_DISABLE': '1'})
            row = dict(json.loads(said.stdout.splitlines()[-1]), records=count, workers=a.workers, side=a.side); rows.append(row)
            print(f"{a.name} {stage:8}{count:9,} records  {row['wall_s']:8.1f} s  {row['cpu_s']:8.1f} s of processor  "
                  f"{1000*row['cpu_s']/count:6.2f} ms a record  {row['parent_mb']:5} + {row['worker_mb']} MB  {row['bytes']/1e6:9,.1f} MB", flush=True)
    if a.results:
        old = json.loads(a.results.read_text())['runs'] if a.results.exists() else []
        new = {(r['recipe'], r['stage'], r['records']) for r in rows}
        runs = [r for r in old if (r['recipe'], r['stage'], r['records']) not in new] + rows
        runs.sort(key=lambda r: (r['recipe'], r['stage'], r['records']))
        machine = f'{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}'
        a.results.write_text(json.dumps(dict(machine=machine, runs=runs), indent=1) + '\n')


if __name__ == '__main__': main()

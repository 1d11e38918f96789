"""A million questions over a set as large as SARDet-100K, beside one JSON parse of the same COCO file.

    python benchmarks/questions.py [--n 116598] [--folder FOLDER] [--seed 0]

The set is drawn by seed: 116,598 pictures with 245,653 boxes in the published class shares, boxes only. Nine pictures in
ten hold one category, the others two; a third of the pictures with several objects have them in a row. Three processes:
one writes the COCO file, one parses it (best of three), one asks, of each application as many an image as SARLANG-1M has. That one draws records in blocks of 100, so that it
streams; only the asking is timed. Printed: seconds (processor and wall clock) and their ratio, the largest resident
memory when a tenth and when all is asked, the counts beside SARLANG-1M's, types, balance of yes and no, and the accuracy
of the most frequent answer and of the most frequent answer of the question's type.
"""
import argparse, gc, json, random, resource, subprocess, sys, tempfile, time
from collections import Counter
from itertools import islice
from pathlib import Path

IMAGES, BOXES = 116_598, 245_653
RECORDS = 118_331                   # of SARLANG-1M, whose questions are counted
SHARES = {'ship': .4698, 'aircraft': .2048, 'bridge': .1389, 'tank': .1217, 'car': .0481, 'harbor': .0166}
SIDE = 512


def counts_of(n, seed):
    "How many boxes each of `n` pictures has: 1 and a geometric tail, 245,653 for 116,598"
    r, total = random.Random(f'{seed} counts'), round(n*BOXES/IMAGES)
    counts = [1 + min(int(r.expovariate(.64)), 60) for _ in range(n)]
    while (off := total - sum(counts)):                  # even out to the exact total
        for i in r.sample(range(n), min(abs(off), n)):
            if off > 0: counts[i] += 1
            elif counts[i] > 1: counts[i] -= 1
    return counts


def picture(i, n, seed):
    "Boxes (category, x, y, w, h) of one picture"
    r = random.Random(f'{seed} {i}')
    kinds = r.choices([*SHARES], [*SHARES.values()], k=2 if r.random() < .1 else 1)
    w, h, in_row = r.uniform(8, 70), r.uniform(8, 70), n > 2 and r.random() < .33
    x, y, angle = r.uniform(0, SIDE*.4), r.uniform(0, SIDE*.4), r.uniform(.2, 1)
    def box(j):
        if in_row: return kinds[0], x + min(w*1.3*j, SIDE*.5)*angle, y + min(h*1.3*j, SIDE*.5)*(1.2 - angle), w, h
        return r.choice(kinds), r.uniform(0, SIDE - w), r.uniform(0, SIDE - h), w, h
    return [(k, *(round(v, 1) for v in b)) for k, *b in map(box, range(n))]


def write(path, n, seed):
    "The COCO file, with the keys SARDet-100K's has"
    names, ids = [*SHARES], iter(range(10**9))
    counts = counts_of(n, seed)
    images = [dict(id=i, file_name=f'{i:07}.jpg', width=SIDE, height=SIDE) for i in range(n)]
    boxes = [dict(id=next(ids), image_id=i, category_id=names.index(k), bbox=b, area=round(b[2]*b[3], 2), iscrowd=0)
             for i, m in enumerate(counts) for k, *b in picture(i, m, seed)]
    text = dict(images=images, annotations=boxes, categories=[dict(id=i, name=k) for i, k in enumerate(names)])
    path.write_text(json.dumps(text))
    kinds = Counter(b['category_id'] for b in boxes)
    return dict(images=n, boxes=len(boxes), mb=path.stat().st_size/1e6, shares={k: kinds[i]/len(boxes) for i, k in enumerate(names)})


def parse(path):
    text, best = path.read_text(), None
    for _ in range(3):
        start = time.process_time(), time.perf_counter()
        json.loads(text)
        took = time.process_time() - start[0], time.perf_counter() - start[1]
        best = min(best or took, took)
    return dict(cpu=best[0], wall=best[1])


def ask(n, seed):
    from sartext.cli import COLLECT
    from sartext.narrate.questions import SARLANG, ask, balance, class_shares, share_out, tally
    from sartext.records import Box, Record
    gc.set_threshold(*COLLECT)                           # as the command does
    names = tuple(SHARES)
    counts = counts_of(n, seed)
    def records():
        for i, m in enumerate(counts):
            yield Record(f'{i:07}', f'{i:07}.jpg', SIDE, SIDE, labelled_classes=names, boxes=tuple(Box(*b) for b in picture(i, m, seed)))
    shares = class_shares(islice(records(), 5000))       # enough to know how common each class is
    def mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
    averages = {a: count/RECORDS for a, count in SARLANG.items()}
    stream, answers, cpu, wall, done, memory = records(), Counter(), 0., 0., 0, {}
    while block := list(islice(stream, 100)):
        start = time.process_time(), time.perf_counter()
        asked = [ask(r, seed, share_out(averages, done + i), shares=shares) for i, r in enumerate(block)]
        cpu, wall = cpu + time.process_time() - start[0], wall + time.perf_counter() - start[1]
        for _ in tally(asked, answers): pass
        done += len(block)
        if done >= n//10: memory.setdefault('tenth', mb())
    from sartext.narrate.questions import abstract
    types = {t for _, t, *_ in answers}
    return dict(cpu=cpu, wall=wall, memory=memory | {'all': mb()}, questions=sum(answers.values()), types=len(types),
                abstract=len({abstract(t) for t in types}), rows=balance(answers))


def show(rows):
    def cell(v): return '–' if v is None else f'{v:.3f}' if isinstance(v, float) else f'{v:,}' if isinstance(v, int) else v
    for row in [{k: k for k in rows[0]}, *rows]: print(*(f'{cell(v):>{22 if k == "application" else 13}}' for k, v in row.items()))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=IMAGES); parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path); parser.add_argument('--job', choices=('write', 'parse', 'ask'))
    a = parser.parse_args()
    folder = a.folder or Path(tempfile.mkdtemp()); path = folder/'coco.json'
    if a.job:
        print(json.dumps(write(path, a.n, a.seed) if a.job == 'write' else parse(path) if a.job == 'parse' else ask(a.n, a.seed)))
        sys.exit()
    def job(name):
        run = [sys.executable, __file__, '--job', name, '--n', str(a.n), '--seed', str(a.seed), '--folder', str(folder)]
        return json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    made, parsed, asked = job('write'), job('parse'), job('ask')
    print(f"{made['images']:,} pictures, {made['boxes']:,} boxes, COCO file of {made['mb']:.0f} MB; shares",
          ', '.join(f'{k} {v:.4f}' for k, v in made['shares'].items()))
    print(f"JSON parse {parsed['cpu']:.2f} s processor, {parsed['wall']:.2f} s wall clock")
    print(f"asking     {asked['cpu']:.2f} s processor, {asked['wall']:.2f} s wall clock, one process: {asked['questions']:,} questions,",
          f"{asked['cpu']/parsed['cpu']:.1f} and {asked['wall']/parsed['wall']:.1f} × the parse")
    print(f"largest resident memory {asked['memory']['tenth']:.0f} MB after a tenth, {asked['memory']['all']:.0f} MB after all")
    print(f"{asked['types']:,} question types, {asked['abstract']} abstract ones")
    show(asked['rows'])

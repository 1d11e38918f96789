"""What captions written from boxes tell, and how varied they are: drawn records and, where it lies at hand, real SSDD.

    python benchmarks/captions.py [--n 10000] [--workers 2] [--ssdd FOLDER]

The drawn records are scenes of the training world without their radar pictures, so their captions state boxes and metadata.
FOLDER is SSDD with `JPEGImages` and `annotations/instances.json`; there the pictures are measured, too. One concise and one
complex caption a record, all sentence plans, seed 0. Printed: how many texts differ, distinct-2 (different pairs of words over all
of them), vocabulary, words a caption, and the text ceiling of mean recall, single-positive: what a perfect model could reach if it
cannot tell equal facts apart, and beside it the same for equal texts, which paraphrase alone raises.
"""
import argparse, re, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from sartext.evaluate.retrieval import normalise, text_ceiling
from sartext.narrate.annotation import narrate
from sartext.narrate.measuring import measurer
from sartext.simulate import scene, to_record
from sartext.sources.boxes import read_boxes


def drawn(index): return to_record(scene(0, index, size=128, sar=False))


def row(name, captions):
    texts = [c.text for c in captions]
    words = [re.findall(r"[\w'’-]+", t.lower()) for t in texts]
    pairs, lengths = [p for w in words for p in zip(w, w[1:])], sorted(map(len, words))
    facts = text_ceiling([frozenset(c.facts) for c in captions]).mean_recall
    strings = text_ceiling([normalise(t) for t in texts]).mean_recall
    print(f'{name:44}{len(texts):7}{len(set(texts)):8}{len(set(pairs))/len(pairs):9.4f}{len({w for ws in words for w in ws}):7}'
          f'{lengths[len(lengths)//2]:7} ({lengths[0]}–{lengths[-1]}){facts:8.1f}{strings:8.1f}', flush=True)


def table(source, records, measure=None):
    for kind in ('concise', 'complex'):
        row(f'{source}, {kind}, boxes and metadata', [narrate(r, kinds=(kind,)).captions[-1] for r in records])
    if measure: row(f'{source}, complex, measured, too', [narrate(r, kinds=('complex',), measured=measure(r)).captions[-1] for r in records])


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--n', type=int, default=10_000); p.add_argument('--workers', type=int, default=1); p.add_argument('--ssdd', type=Path)
    a = p.parse_args()
    print(f"{'captions':44}{'records':>7}{'texts':>8}{'dist-2':>9}{'vocab':>7}{'words':>7} (range)   facts strings")
    if a.ssdd:
        folder = a.ssdd/'JPEGImages'
        table('SSDD', list(read_boxes(folder, a.ssdd/'annotations'/'instances.json', decode=False)), measurer(folder))
    began = time.perf_counter()
    with ProcessPoolExecutor(a.workers) as pool: records = list(pool.map(drawn, range(a.n), chunksize=50))
    print(f'{len(records)} records drawn in {time.perf_counter() - began:.0f} s')
    table('simulated', records)


if __name__ == '__main__': main()

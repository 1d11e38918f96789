"""All n-gram metrics of many captions, beside pycocoevalcap one after the other: the same digits, and how long both take.

    python benchmarks/captioning.py [--n 10000] [--references 4] [--repeats 3]

The captions are COCO's validation captions, which pycocoevalcap carries in its SPICE jar: of each image one is scored
against the next ones. Both run here, one after the other, on the same captions: theirs as `COCOEvalCap` does it (tokenise,
BLEU, METEOR, ROUGE-L, CIDEr), ours as `sartext.evaluate.captioning.measure`, by turns, as often as asked. Exits with 1 where a digit
differs or, in the median of the turns, ours takes more than 1.2 times their METEOR alone.
"""
import argparse, json, statistics, sys, time, zipfile
from pathlib import Path
import pycocoevalcap.spice as spice
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from sartext.evaluate.captioning import METRICS, measure


def coco(n, references):
    "Captions of `n` images of COCO: the first to be scored, the next as references"
    with zipfile.ZipFile(Path(spice.__file__).parent/'spice-1.0.jar') as z:
        rows = json.loads(z.read('coco/annotations/captions_val2014.json'))['annotations']
    said = {}
    for row in rows: said.setdefault(row['image_id'], []).append(row['caption'])
    return [(said[i][0], said[i][1:1 + references]) for i in sorted(said)[:n]]


def sequential(pairs):
    "Seconds by step and scores by metric: (of the set, of each caption)"
    took, scores = {}, {}
    def timed(name, f, *args):
        start = time.perf_counter(); result = f(*args); took[name] = time.perf_counter() - start
        return result
    tokens = lambda texts: PTBTokenizer().tokenize({i: [{'caption': t} for t in of] for i, of in enumerate(texts)})
    said, refs = timed('tokens', lambda: (tokens([[s] for s, _ in pairs]), tokens([r for _, r in pairs])))
    whole, each = timed('BLEU', lambda: Bleu(4).compute_score(refs, said, verbose=0))
    scores |= {f'BLEU-{k + 1}': (whole[k], each[k]) for k in range(4)}
    for name, scorer in (('METEOR', Meteor), ('ROUGE-L', Rouge), ('CIDEr', Cider)):
        scores[name] = timed(name, lambda: scorer().compute_score(refs, said))
    return took, scores


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=10_000); p.add_argument('--references', type=int, default=4)
    p.add_argument('--repeats', type=int, default=3)
    a = p.parse_args()
    pairs, ratios, same = coco(a.n, a.references), [], True
    print(f'{len(pairs)} captions, {a.references} references each')
    for turn in range(a.repeats):
        start = time.perf_counter(); ours, = measure([pairs], [m for m in METRICS if m != 'SPICE']); mine = time.perf_counter() - start
        took, theirs = sequential(pairs)
        alike = {m: ours[m].value == whole and list(ours[m].per_image) == list(each) for m, (whole, each) in theirs.items()}
        ratios.append(mine/took['METEOR']); same &= all(alike.values())
        if not turn:
            for m, equal in alike.items(): print(f'  {m:8} {ours[m].value!r:22} {"the same in every digit" if equal else f"THEIRS {theirs[m][0]!r}"}')
        print(f"turn {turn + 1}: ours {mine:.1f} s; theirs {', '.join(f'{name} {seconds:.1f}' for name, seconds in took.items())}, "
              f'one after the other {sum(took.values()):.1f} s; ours is {ratios[-1]:.2f} of their METEOR alone', flush=True)
    print(f'median {(median := statistics.median(ratios)):.2f}')
    sys.exit(not same or median > 1.2)


if __name__ == '__main__': main()

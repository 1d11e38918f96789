"""Do a packaged SAR-RS-CoCa's captions state more than the caption of the nearest training picture?

    python benchmarks/coca.py OUT [--scenes 8000] [--test 400] [--steps 500] [--batch 32] [--lr 1e-3] [--seed 0] [--threads 2]

Scenes of the training world are drawn into OUT (kept: another run goes on from there) and narrated with concise captions of the
seen plans. The model is trained on the first of them, radar pictures alone, and writes a caption of each of the others, greedily.
Beside it stand the narrator's own caption, the most frequent one and that of the nearest training picture, by the untouched image
tower, by the trained model's one vector and by its grid of tokens. Printed: precision, recall and F1 of the facts as the checker
reads them, n-gram metrics (four references a picture), 95 % bootstrap intervals over scenes and the paired differences.
"""
import argparse, json, time
from collections import Counter
from pathlib import Path


def vectors(start, pixels, batch=64):
    "Unit vectors (N, …) of each picture: of the untouched map's mean, the one vector, the grid of tokens"
    import torch
    from sartext.models.starts import normalise
    rows = [], [], []
    with torch.inference_mode():
        for i in range(0, len(pixels), batch):
            x = normalise(pixels[i:i + batch], start.preprocess); one, tokens = start.model.visual(x)
            for own, y in zip(rows, (start.model.visual.trunk(x).mean((2, 3)), one, tokens.flatten(1))):
                own.append(torch.nn.functional.normalize(y, dim=-1).half())
    return [torch.cat(r).float() for r in rows]


def read(folder, records, preprocess):
    "Pixels (N, 3, side, side), uint8, grey three times without a copy"
    import torch
    from sartext.imagery.read import display_image
    from sartext.models.starts import to_pixels
    grey = torch.stack([to_pixels([display_image(folder/r.image)], preprocess)[0][0] for r in records])
    return grey[:, None].expand(-1, 3, -1, -1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('out', type=Path)
    for name, value in dict(scenes=8000, test=400, size=128, steps=500, batch=32, lr=1e-3, frozen=2, seed=0, threads=2).items():
        p.add_argument(f'--{name}', type=type(value), default=value)
    a = p.parse_args()
    import torch
    from sartext.evaluate.captioning import Protocol, Scores, measure, measure_facts
    from sartext.evaluate.retrieval import interval
    from sartext.models import coca
    from sartext.narrate.annotation import narrate
    from sartext.records import read_records
    from sartext.simulate import write_world
    from sartext.train import Pairs, Stage, first_caption, run_stage
    torch.set_num_threads(a.threads)
    n = a.scenes + a.test
    drawn = write_world(a.out/'world', n, seed=3, size=a.size, workers=a.threads)
    records = [narrate(r, 0, kinds=('concise',), per_image=4, plans='seen') for r in read_records(drawn)]
    start = coca.start(size=a.size, seed=a.seed)
    pixels = read(drawn.parent, records, start.preprocess)
    train, test = (Pairs(pixels[s], tuple(r.captions for r in records[s]), tuple(records[s])) for s in (slice(a.scenes), slice(a.scenes, n)))
    lines, known, scenes = [first_caption(c).text for c in train.captions], {r.id: r for r in test.records}, [r.scene for r in test.records]
    before = [vectors(start, group.pixels)[0] for group in (test, train)]
    began = time.perf_counter()
    run_stage(start, Stage('sar', (('sar', 1.),), a.steps, lr=a.lr, batch_size=a.batch, frozen_blocks=a.frozen), {'sar': train}, None, a.seed)
    spent = time.perf_counter() - began
    near = lambda asked, given: [lines[i] for i in (asked @ given.T).argmax(1)]
    (_, *own), (_, *asked) = vectors(start, train.pixels), vectors(start, test.pixels)
    said = {'SAR-RS-CoCa': coca.captions(start, test.pixels), 'narrator': [first_caption(c).text for c in test.captions],
            'most frequent': [Counter(lines).most_common(1)[0][0]]*a.test, 'nearest, untouched tower': near(*before),
            'nearest, its own vector': near(asked[0], own[0]), 'nearest, its own tokens': near(asked[1], own[1])}
    print(f'{a.scenes} scenes, {a.test} others to test on, {a.size} px; {a.steps} steps of {a.batch}: {spent/60:.1f} minutes, '
          f'{a.steps*a.batch/spent:.0f} pictures a second, {a.threads} threads')
    facts = {who: measure_facts({i: [t] for i, t in zip(known, texts)}, known) for who, texts in said.items()}
    for (who, m), texts in zip(facts.items(), said.values()):
        words, = measure([[(t, [c.text for c in r.captions]) for t, r in zip(texts, test.records)]], ['BLEU-4', 'METEOR', 'ROUGE-L', 'CIDEr'])
        s = Scores(m, Protocol(a.test, '0'), tuple(known), tuple(scenes))
        print(f"{who:26} fact F1 {s.interval('fact F1')}  precision {100*m['fact precision'].value:.0f} recall {100*m['fact recall'].value:.0f}  "
              + '  '.join(f'{k} {100*v.value:.1f}' for k, v in words.items()) + f'  {len(set(texts))} different')
    ours = facts['SAR-RS-CoCa']['fact F1'].shares
    for who in said:
        if who.startswith('nearest'): print(f'SAR-RS-CoCa − {who}: {interval(100*(ours - facts[who]["fact F1"].shares), scenes)}')
    (a.out/'captions.json').write_text(json.dumps([dict(id=i, **{w: t[k] for w, t in said.items()}) for k, i in enumerate(known)], indent=1))


if __name__ == '__main__': main()

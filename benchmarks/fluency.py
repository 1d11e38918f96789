"""How much a language model is surprised by the narrator's captions of real images, beside people, peers and dull baselines.

    python benchmarks/fluency.py DATA [--n 100] [--seed 0] [--plans] [--worst 5]

DATA is the folder of real data the tests use (SARTEXT_DATA). Captions of both kinds are written from the boxes of SSDD,
MSTAR's scenes and OpenSARShip and from the masks of oil spills, a flood and land cover; RSICD's captions are
people's, one an image, and those that the rules change stand there before and after. `--n` captions of each, drawn by
seed; masks are few, so eight captions of each are written to draw from. `--plans` adds the median of each sentence
plan, `--worst` so many captions of each group that surprise most. About a second a caption on one slow core.
"""
import argparse, random, tempfile
from collections import defaultdict
from pathlib import Path
from sartext.evaluate.fluency import fluency_table, plan_table, read, shuffled
from sartext.narrate.annotation import narrate
from sartext.narrate.measuring import measurer
from sartext.narrate.rewriting import rewrite
from sartext.narrate.segmentation import narrate_mask
from sartext.records import Problems, Sar
from sartext.sources.boxes import read_boxes
from sartext.sources.masks import read_masks

MSTAR = dict(zip('0123456789', '2S1 BMP2 BRDM2 BTR60 BTR70 D7 T62 T72 ZIL131 ZSU23-4'.split()))
CLASSES = {'oil_spill': '"0,0,0",Sea Surface\n"0,255,255",Oil Spill\n"255,0,0",Look-alike\n"153,76,0",Ship\n"0,153,0",Land\n',
           'sen1floods11': '-1,no data\n0,not water\n1,water\n',
           'terramind_s1': '1,water\n2,trees\n3,flooded vegetation\n4,crops\n5,built area\n6,bare ground\n7,snow/ice\n9,rangeland\n'}
# published captions, word for word, and the form of question that carries raw coordinates
PEERS = {'SAR-TEXT, as published': 'A ship appears in open water.', 'CAESAR, as published': 'Several storage tanks are be detected.',
         'SARLANG, question': 'What object in area [120, 48, 62, 31]?'}


def boxed(data, seed):
    "Captions of real images with boxes"
    sets = ((data/'ssdd'/'JPEGImages', data/'ssdd'/'annotations'/'instances.json', {}),
            (data/'mstar_scenes'/'JPEGImages', data/'mstar_scenes'/'Annotations', dict(slack=7, names=MSTAR)),
            (data/'opensarship', data/'opensarship', {}))
    for images, annotations, options in sets:
        measure = measurer(images, Problems('skip'))
        for r in read_boxes(images, annotations, problems=Problems('skip'), decode=False, **options):
            yield from narrate(r, seed, measured=measure(r)).captions


def masked(data, seed):
    "Captions of real images with masks"
    with tempfile.TemporaryDirectory() as tmp:
        def classes(name): (Path(tmp)/f'{name}.csv').write_text(CLASSES[name]); return Path(tmp)/f'{name}.csv'
        oil, flood, land = data/'oil_spill', data/'sen1floods11', data/'terramind_s1'
        sets = (('/', read_masks(oil/'images', oil/'masks', classes('oil_spill'), index_dir=Path(tmp)/'index')),
                (flood, read_masks(flood/'S1', flood/'Labels', classes('sen1floods11'), endings=('_S1Hand', '_LabelHand'),
                                   sar=Sar(sensor='Sentinel-1', quantity='db', polarisations=('VV', 'VH')))),
                (land, read_masks(land/'S1RTC', land/'LULC', classes('terramind_s1'), sar=Sar(quantity='db'))))
        for images, records in sets:
            for r in records: yield from narrate_mask(r, images, seed, per_image=8).captions


def human(data, seed):
    "One caption an image of RSICD's test images"
    folder, of = data/'optical_captions'/'rsicd', defaultdict(list)
    for name, text in zip(*((folder/f'test_{k}.txt').read_text('utf-8').splitlines() for k in ('filename', 'caps'))): of[name].append(text)
    rng = random.Random(seed)
    return [rng.choice(of[name]) for name in sorted(of)]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data', type=Path); p.add_argument('--n', type=int, default=100); p.add_argument('--seed', type=int, default=0)
    p.add_argument('--plans', action='store_true'); p.add_argument('--worst', type=int, default=0)
    a = p.parse_args()
    rng = random.Random(a.seed)
    def some(items): return rng.sample(items, min(a.n, len(items)))
    told = {'a2c': list(boxed(a.data, a.seed)), 'sa2c': list(masked(a.data, a.seed))}
    ours = {f'{route}, {kind}': some([c for c in captions if c.kind == kind])
            for route, captions in told.items() for kind in ('concise', 'complex')}
    people = human(a.data, a.seed)
    changed = some([(t, new) for t in people if (new := rewrite(t).text) != t])
    groups = {name: [c.text for c in captions] for name, captions in ours.items()}
    groups |= {'rewritten: before': [t for t, _ in changed], 'rewritten: after': [t for _, t in changed],
               'people, optical (RSICD)': some(people),
               'a2c, concise, words shuffled': [shuffled(t, a.seed) for t in groups['a2c, concise']],
               'the same for every image': ['There is a ship in the image.'], **{k: [t] for k, t in PEERS.items()}}
    print(fluency_table(groups))
    for name, captions in ours.items() if a.plans else (): print(f'\n{name}\n{plan_table(captions)}')
    for name in [*ours, 'rewritten: after'] if a.worst else ():
        print(f'\n{name}')
        for r in sorted(read(groups[name]), key=lambda r: -r.perplexity)[:a.worst]: print(f'{r.perplexity:6.0f}  {r.text}')


if __name__ == '__main__': main()

"""The real SAR–optical pairs of the experiment *observations*, cut from the data the tests use, with their captions.

    python benchmarks/pairs.py DATA OUT
    sartext experiments observations --images OUT --annotations OUT/records.jsonl

DATA is the folder of real data (SARTEXT_DATA); OUT gets 123 pairs of PNG and `records.jsonl`: tiles of `sar_optical/sih1733` and of
`terramind_s1` as `nbs/data/README.md` describes them, the captions written by eye (`nbs/data/optical_captions.csv`), rewritten for SAR.
"""
import argparse, csv, re
from functools import lru_cache
from pathlib import Path
import numpy as np
import rasterio
from PIL import Image
from sartext.imagery.read import display_image
from sartext.narrate.rewriting import narrate_pairs
from sartext.records import Record, write_records

CAPTIONS = Path(__file__).parents[1]/'nbs/data/optical_captions.csv'


@lru_cache(None)
def grey(path): return display_image(path)

@lru_cache(None)
def colour(path):
    if path.suffix == '.jpg': return np.array(Image.open(path).convert('RGB'))
    with rasterio.open(path) as f: return np.moveaxis(f.read(), 0, 2).astype('uint8')

def tile(data, name):
    "(SAR file, optical file, x, y, side) of a tile by its name"
    if m := re.fullmatch(r'sih1733_p(\d)_r(\d)_c(\d)', name):
        n, row, column = map(int, m.groups())
        return *(data/f'sar_optical/sih1733/pair{n}_{kind}.jpg' for kind in ('sar', 'optical')), 256*column, 256*row, 256
    place, quarter = re.fullmatch(r'terramind_(.*?)(?:_q(\d))?', name).groups()
    files = (next((data/'terramind_s1'/kind).glob(f'{place}*')) for kind in ('S1RTC', 'S2RGB'))
    return (*files, 0, 0, 224) if quarter is None else (*files, 112*(int(quarter) % 2), 112*(int(quarter)//2), 112)

def pairs(data, out):
    with open(CAPTIONS, encoding='utf-8') as f: rows = list(csv.DictReader(f))
    for name, caption in ((r['image'], r['caption']) for r in rows):
        sar, optical, x, y, side = tile(data, name)
        for kind, pixels in (('sar', grey(sar)), ('optical', colour(optical))):
            Image.fromarray(pixels[y:y + side, x:x + side]).save(out/f'{name}_{kind}.png')
        yield Record(name, f'{name}_sar.png', side, side, source='real pairs', optical_caption=caption, partners={'optical': f'{name}_optical.png'})


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', type=Path); parser.add_argument('out', type=Path)
    a = parser.parse_args(); a.out.mkdir(parents=True, exist_ok=True)
    print(write_records(narrate_pairs(pairs(a.data, a.out)), a.out/'records.jsonl'), 'pairs in', a.out)

"Tiles keep boxes, masks and places true; checked pixel by pixel on drawn scenes and on real Gaofen-3 and Sentinel-1"
from pathlib import Path
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings, strategies as st
from PIL import Image
from sartext.imagery.read import read_image
from sartext.imagery.tiles import (channels, coarser_record, composite, cut_box, cut_image, cut_record, windows, write_ladder,
                                   write_tif, write_tiles)
from sartext.records import BadInput, Box, Problems, Record, Sar

side = st.integers(1, 90)

@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 128), st.data())
def test_windows_cover_every_pixel_once_or_more(width, height, size, draw):
    overlap = draw.draw(st.integers(0, size - 1)); seen = np.zeros((height, width), bool)
    for x, y, w, h in windows(width, height, size, overlap):
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height and w == min(size, width) and h == min(size, height)
        seen[y:y + h, x:x + w] = True
    assert seen.all()

@settings(max_examples=200, deadline=None)
@given(side, side, side, side, side, side, side, side)
def test_a_cut_box_is_what_can_be_seen_of_it(bx, by, bw, bh, x, y, w, h):
    "Held against a box drawn as pixels"
    canvas = np.zeros((200, 200), bool); canvas[by:by + bh, bx:bx + bw] = True
    tile = canvas[y:y + h, x:x + w]; have = cut_box(Box('ship', bx, by, bw, bh), x, y, w, h, least=.3)
    share = tile.sum()/canvas.sum()
    if abs(share - .3) > 1e-9: assert (have is None) == (share < .3)
    if have:
        rows, columns = np.nonzero(tile)
        assert (have.x, have.y, have.x + have.w, have.y + have.h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert have.attributes.get('visible', 1) == pytest.approx(share, abs=1e-3)

def test_a_turned_box_is_cut_as_its_outline():
    "The share of a polygon by counting fine pixels inside"
    from matplotlib.path import Path
    ring = ((10., 0.), (40., 20.), (30., 35.), (0., 15.)); box = Box('ship', 0, 0, 40, 35, polygon=ring, angle=33.7)
    fine = np.stack(np.meshgrid(np.arange(.05, 40, .1), np.arange(.05, 35, .1)), -1).reshape(-1, 2)
    inside = fine[Path(ring).contains_points(fine)]
    for x, y, w, h in ((15, 5, 30, 30), (0, 0, 20, 40), (5, 10, 10, 10), (-5, -5, 100, 100)):
        seen = inside[(inside[:, 0] >= x) & (inside[:, 0] < x + w) & (inside[:, 1] >= y) & (inside[:, 1] < y + h)]
        have = cut_box(box, x, y, w, h, least=.01)
        assert have.attributes.get('visible', 1) == pytest.approx(len(seen)/len(inside), abs=.01)
        assert (have.x, have.y) == pytest.approx(seen.min(0) - (x, y), abs=.15) and (have.angle is None) == (have.attributes.get('visible', 1) < 1)

def test_everything_a_file_says_is_kept(tmp_path):
    stored = np.arange(2*60*80, dtype='int16').reshape(2, 60, 80) - 3000
    write_tif(tmp_path/'s.tif', stored, 'EPSG:32633', (20, 0, 4e5, 0, -20, 5e6), -32768, dict(quantity='db'), ('VV', 'VH'), (.01, .01), (0, 0))
    cut_image(tmp_path/'s.tif', (30, 10, 20, 40), tmp_path/'t')
    with rasterio.open(tmp_path/'s.tif') as a, rasterio.open(tmp_path/'t.tif') as b:
        assert (b.dtypes, b.nodata, b.scales, b.descriptions, b.tags()['quantity']) == (a.dtypes, a.nodata, a.scales, a.descriptions, 'db')
        assert b.crs == a.crs and b.transform*(0, 0) == a.transform*(30, 10)
        np.testing.assert_array_equal(b.read(), stored[:, 10:50, 30:50])

def test_faults_are_named_and_the_rest_goes_on(tmp_path):
    Image.fromarray(np.full((50, 60), 90, np.uint8)).save(tmp_path/'good.png')
    (tmp_path/'cut.png').write_bytes((tmp_path/'good.png').read_bytes()[:60])
    np.save(tmp_path/'empty.npy', 0); write_tif(tmp_path/'nan.tif', np.full((1, 50, 60), np.nan, 'float32'))
    said = Problems('skip')
    records = [Record(n, n, 60, 50) for n in ('cut.png', 'lost.png', '../good.png', 'good.png')] + [Record('nan', 'nan.tif', 60, 50), Record('size', 'good.png', 60, 51)]
    tiles = list(write_tiles(records, tmp_path, tmp_path/'out', 32, problems=said))
    assert {t.scene for t in tiles} == {'good.png'} and len(tiles) == 4 and len(said) == 5, [str(p) for p in said]
    assert all(w in str(p) for w, p in zip(('cut.png', 'lost.png', 'leads out', 'nan.tif: no tile is filled', '60×50'), said))
    assert not list((tmp_path/'out').glob('nan*')), 'a tile without data was left behind'
    with pytest.raises(BadInput, match='lost.png'): list(write_tiles([Record('lost', 'lost.png', 60, 50)], tmp_path, tmp_path/'o2'))

def test_captions_of_the_whole_do_not_reach_the_tile():
    from sartext.records import Caption
    r = Record('a', 'a.png', 100, 100, boxes=(Box('ship', 45, 45, 10, 10), Box('ship', 96, 0, 4, 4)), captions=(Caption('two ships'),),
               optical_caption='two ships', split='train')
    t = cut_record(r, (0, 0, 48, 100))
    assert not t.captions and not t.optical_caption and not t.split and t.boxes == () and t.extra == {'cut_objects': 1} and t.scene == 'a'
    assert cut_record(r, (0, 0, 48, 100), .2).extra == {}

def test_ladder_of_display_and_masks(tmp_path):
    grey = np.kron(np.uint8([[10, 200], [60, 120]]), np.ones((4, 4), np.uint8)); Image.fromarray(grey).save(tmp_path/'g.png')
    Image.fromarray((grey > 100).astype('uint8')).save(tmp_path/'m.png')
    r = Record('g', 'g.png', 8, 8, mask='m.png', boxes=(Box('tank', 4, 0, 4, 4),), sar=Sar(pixel_spacing=(1., 1.), resolution=(3., 3.)))
    small, = write_ladder([r], tmp_path, tmp_path/'o', (4,))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path/'o'/small.image)), [[10, 200], [60, 120]])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path/'o'/small.mask)), [[0, 1], [0, 1]])
    assert (small.boxes[0].x, small.boxes[0].w, small.sar.pixel_spacing, small.sar.resolution) == (1, 1, (4, 4), (4, 4))
    assert coarser_record(r, 1).boxes == r.boxes

def test_gaofen(data, tmp_path):
    "Real uint16 quad-pol files: tiles hold the very pixels, and the four make a colour image"
    files = sorted((data/'gf3_quadpol').glob('*1_*.tif*')); assert len(files) == 4, files
    for f in files:
        tiles = list(write_tiles([Record(f.stem, f.name, 512, 512)], f.parent, tmp_path, 200, 40)); assert 4 <= len(tiles) <= 9
        for tile in tiles:
            x, y = map(int, tile.id.split('-')[-2:])
            with rasterio.open(f) as whole, rasterio.open(tmp_path/tile.image) as part:
                np.testing.assert_array_equal(whole.read()[:, y:y + 200, x:x + 200], part.read()); assert part.dtypes == ('uint16',)
    stack = [read_image(f) for f in files]
    from dataclasses import replace
    both = replace(stack[0], array=np.concatenate([r.array for r in stack]), polarisations=tuple(r.polarisations[0] for r in stack))
    values, names = channels(both); assert names == ('HH', 'HV', 'VV') and composite(values).std() > 20

def test_a_piece_of_a_ship_is_never_denied(tmp_path):
    "Half a ship in the tile: the tile is left out, or nothing is said of ships"
    from sartext.narrate.annotation import narrate
    Image.fromarray(np.full((100, 200), 90, np.uint8)).save(tmp_path/'a.png')
    r = Record('a', 'a.png', 200, 100, boxes=(Box('ship', 80, 20, 50, 40),), labelled_classes=('ship', 'harbor'))
    assert [t.id for t in write_tiles([r], tmp_path, tmp_path/'o', 100, least=.7)] == []
    tiles = list(write_tiles([r], tmp_path, tmp_path/'p', 100, least=.7, slivers=True))
    assert len(tiles) == 2 and all(t.labelled_classes == ('harbor',) and 'ship' not in c.text for t in tiles for c in narrate(t).captions)

def test_no_tile_takes_the_place_of_another(tmp_path):
    grey = np.arange(64, dtype='uint8').reshape(8, 8)
    Image.fromarray(grey).save(tmp_path/'a.jpg', quality=95); Image.fromarray(grey//32).save(tmp_path/'a.png'); Image.fromarray(grey).save(tmp_path/'a.bmp')
    tile, = write_tiles([Record('a', 'a.jpg', 8, 8, mask='a.png')], tmp_path, tmp_path/'o', 8)
    assert np.asarray(Image.open(tmp_path/'o'/tile.image)).max() > 50 and set(np.unique(Image.open(tmp_path/'o'/tile.mask))) == {0, 1}
    for write in (lambda rs: write_tiles(rs, tmp_path, tmp_path/'p', 8), lambda rs: write_ladder(rs, tmp_path, tmp_path/'q', (2,))):
        with pytest.raises(BadInput, match='rename one'): list(write([Record('a', 'a.jpg', 8, 8), Record('b', 'a.bmp', 8, 8)]))

@pytest.mark.parametrize('mask, want', [(np.repeat(np.uint8([[1, 2], [2, 1]])[..., None], 3, 2), 'png'), (np.int16([[-1, 3], [3, -1]]), 'tif'),
                                        (np.float32([[1, 2], [2, 1]]), 'png')], ids=('grey as RGB', 'int16', 'float'))
def test_masks_of_every_kind_get_coarser(tmp_path, mask, want):
    big = np.kron(mask, np.ones((4, 4) + (1,)*(mask.ndim - 2), mask.dtype)); Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path/'a.png')
    if mask.dtype == np.uint8: Image.fromarray(big).save(tmp_path/'m.png')
    else: write_tif(tmp_path/'m.tif', big[None])
    r = Record('a', 'a.png', 8, 8, mask='m.png' if mask.dtype == np.uint8 else 'm.tif')
    small, = write_ladder([r], tmp_path, tmp_path/'o', (4,))
    from sartext.imagery.read import read_mask
    np.testing.assert_array_equal(read_mask(tmp_path/'o'/small.mask), mask if mask.ndim == 2 else mask[..., 0]); assert small.mask.endswith(want)

def test_a_ladder_needs_one_grid(tmp_path):
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(tmp_path/'a.png'); Image.fromarray(np.ones((32, 48), np.uint8)).save(tmp_path/'m.png')
    for bad in (Record('a', 'a.png', 64, 64, mask='m.png'), Record('a', 'a.png', 640, 640), Record('a', '../x/a.png', 64, 64)):
        with pytest.raises(BadInput, match='says|leads out'): list(write_ladder([bad], tmp_path, tmp_path/'o'))

def sparse(path, side, **how):
    "A TIFF that claims `side`² pixels and holds none"
    with rasterio.open(path, 'w', driver='GTiff', width=side, height=side, count=1, dtype='uint8', tiled=True, sparse_ok=True, compress='deflate', **how): pass

def test_a_bomb_is_no_scene(tmp_path):
    "10⁵ × 10⁵ pixels in a few MB: one sentence, at once, and the others go on; for tiles and for the ladder, as image and as mask"
    sparse(tmp_path/'bomb.tif', 100_000); Image.fromarray(np.full((64, 64), 9, np.uint8)).save(tmp_path/'a.png')
    small = Record('a', 'a.png', 64, 64)
    for write in (lambda rs, p: write_tiles(rs, tmp_path, tmp_path/'o', 32, problems=p), lambda rs, p: write_ladder(rs, tmp_path, tmp_path/'l', (2,), p)):
        said = Problems('skip'); done = list(write([Record('bomb', 'bomb.tif', 100_000, 100_000), small], said))
        assert {t.scene for t in done} == {'a'} and len(said) == 1 and 'claims 100000×100000 pixels' in said[0].reason and 'tiles' not in said[0].remedy
        with pytest.raises(BadInput, match='bomb.tif: claims'): list(write([Record('b', 'bomb.tif', 100_000, 100_000)], Problems()))

def test_pictures_are_decoded_once(tmp_path, monkeypatch):
    "However many tiles: image and mask are decoded once each, and the tiles hold the very pixels"
    from PIL import ImageFile
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400), dtype='uint8')
    Image.fromarray(pixels).save(tmp_path/'a.png'); Image.fromarray(pixels//64).save(tmp_path/'m.png'); loads = []
    load = ImageFile.ImageFile.load
    def counted(self): loads.append(self.tile != [] and Path(self.filename).name); return load(self)
    monkeypatch.setattr(ImageFile.ImageFile, 'load', counted)
    tiles = list(write_tiles([Record('a', 'a.png', 400, 300, mask='m.png')], tmp_path, tmp_path/'o', 64, 8))
    assert len(tiles) > 30 and loads.count('a.png') == loads.count('m.png') == 1
    for t in tiles:
        x, y = map(int, t.id.split('-')[1:])
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path/'o'/t.image)), pixels[y:y + 64, x:x + 64])
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path/'o'/t.mask)), pixels[y:y + 64, x:x + 64]//64)

@pytest.mark.parametrize('how', [{}, dict(tiled=True, blockxsize=256, blockysize=256)], ids=('rows', 'squares'))
@pytest.mark.parametrize('kind', ['dn', 'db', 'linear', 'complex', 'display'])
def test_a_ladder_in_parts_is_that_of_the_whole(tmp_path, monkeypatch, how, kind):
    "Small parts against one that holds all: the same values, place and meaning, whatever is stored; a mask likewise"
    from sartext.imagery import tiles
    rng = np.random.default_rng(1); power = np.float32(rng.gamma(4, 50, (1, 611, 700)))
    stored = dict(dn=power.astype('uint16') + 1, db=10*np.log10(power) - 40, linear=power, complex=np.sqrt(power)*np.exp(1j*power).astype('complex64'),
                  display=power.clip(0, 255).astype('uint8'))[kind]
    if kind in ('db', 'linear'): stored[:, :100] = np.nan
    if how == {} and kind == 'linear': stored[:, 200:280] = np.nan
    with rasterio.open(tmp_path/'s.tif', 'w', driver='GTiff', width=700, height=611, count=1, dtype=stored.dtype, crs='EPSG:32631',
                       transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **how) as f: f.write(stored)
    classes = np.int16(power[0] > 200); classes[500:, 600:] = 7
    with rasterio.open(tmp_path/'m.tif', 'w', driver='GTiff', width=700, height=611, count=1, dtype='int16', **how) as f: f.write(classes[None])
    r = Record('s', 's.tif', 700, 611, mask='m.tif')
    whole, = write_ladder([r], tmp_path, tmp_path/'whole', (3,)); monkeypatch.setattr(tiles, 'PART', 3*700*7)
    parts, = write_ladder([r], tmp_path, tmp_path/'parts', (3,)); assert len(tiles.parts_of(tmp_path/'s.tif', 3)) > 20
    assert parts == whole
    a, b = (read_image(tmp_path/d/whole.image) for d in ('whole', 'parts'))
    np.testing.assert_array_equal(a.array, b.array); assert (a.quantity, a.crs, a.transform) == (b.quantity, b.crs, b.transform)
    assert np.isfinite(b.array).any() and a.array.shape == (1, 203, 233)
    np.testing.assert_array_equal(*(np.asarray(Image.open(tmp_path/d/whole.mask)) for d in ('whole', 'parts')))

def test_a_ladder_of_a_whole_scene_needs_little_memory(tmp_path):
    "1.2·10⁸ pixels, more than are read at once elsewhere; as float32 they are 484 MB"
    import subprocess, sys
    side = 11_000
    with rasterio.open(tmp_path/'s.tif', 'w', driver='GTiff', width=side, height=side, count=1, dtype='uint16', tiled=True, compress='lzw') as f:
        for y in range(0, side, 1000): f.write(np.full((1, 1000, side), 100 + y//1000, 'uint16'), window=rasterio.windows.Window(0, y, side, 1000))
    code = """import resource, sys
from sartext.imagery.tiles import read_image, write_ladder, write_tiles
from sartext.records import Record
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
low, = write_ladder([Record('s', 's.tif', 11000, 11000)], sys.argv[1], sys.argv[1] + '/o', (10,))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)/1024)
a = read_image(sys.argv[1] + '/o/' + low.image).array
assert a.shape == (1, 1100, 1100) and all((a[0, k*100:k*100 + 100] == 100 + k).all() for k in range(11))"""
    done = subprocess.run([sys.executable, '-c', code, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 400, done.stdout

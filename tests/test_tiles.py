"Tiles keep boxes, masks and places true; checked pixel by pixel on drawn scenes and on real Gaofen-3 and Sentinel-1"
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

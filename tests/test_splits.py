"Splits cannot leak: properties of the groups, order independence, and the published duplicates of SSDD"
import json, os, time
from collections import Counter
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from sartext.dataset import splits
from sartext.records import BadInput, Box, Problems, Record

root = Path(__file__).parent.parent
SSDD = Path(os.environ.get('SARTEXT_DATA', root/'../shared/data'))/'ssdd'
needs_ssdd = pytest.mark.skipif(not (SSDD/'duplicates.txt').exists(), reason='SSDD is not there: set SARTEXT_DATA')

@pytest.fixture(scope='module')
def ssdd():
    "Records of SSDD, their fingerprints and the published groups of byte-identical pictures"
    coco = json.loads((SSDD/'annotations/instances.json').read_text())
    records = [Record(Path(i['file_name']).stem, i['file_name'], i['width'], i['height'], source='ssdd') for i in coco['images']]
    twins = [set(line.split()) for line in (SSDD/'duplicates.txt').read_text().splitlines() if line.strip()]
    images = next(p for p in (SSDD/'JPEGImages', SSDD/'images') if p.exists())
    return records, splits.fingerprints(records, images, workers=2), twins

@needs_ssdd
def test_ssdd_duplicates_share_a_split(ssdd):
    records, prints, twins = ssdd
    for seed in range(20):
        split = {r.id: r.split for r in splits.assign_splits(records, SSDD, seed=seed, prints=prints)}
        assert set(split.values()) == {'train', 'val', 'test'}
        for group in twins: assert len({split[k] for k in group if k in split}) <= 1, group

@needs_ssdd
def test_ssdd_groups_are_the_published_ones_and_ten_look_alikes(ssdd):
    records, prints, twins = ssdd
    here = {r.id for r in records}
    exact = {g.ids for g in splits.duplicate_groups(records, SSDD, prints, threshold=None)}
    published = {tuple(sorted(t & here)) for t in twins if len(t & here) > 1}
    assert published <= exact
    assert exact - published <= {('000117', '000118')}             # same pixels, another file
    hashes = sorted({p.phash for p in prints.values()} - {''})
    assert len(splits.near_pairs(hashes)) <= 12 and len(hashes) > 900

@needs_ssdd
def test_ssdd_official_split_leaks_and_is_mended(ssdd):
    records, prints, _ = ssdd
    official = [replace(r, split='test' if r.id[-1] in '19' else 'train') for r in records]
    assert len(splits.leakage(official, SSDD, prints)) >= 4
    with pytest.raises(BadInput, match="on_leak='move'"): splits.assign_splits(official, SSDD, prints=prints)
    moved = splits.assign_splits(official, SSDD, prints=prints, on_leak='move')
    assert splits.leakage(moved, SSDD, prints) == [] and len(moved) == len(records)
    assert {r.id for r in official if r.split == 'test'} <= {r.id for r in moved if r.split == 'test'}   # the test set stays whole
    faults = Problems('skip')
    left = splits.assign_splits(official, SSDD, prints=prints, problems=faults)
    assert len(faults) == len(splits.leakage(official, SSDD, prints)) and len(left) < len(records)
    assert splits.leakage(left, SSDD, prints) == []

@needs_ssdd
def test_lookup_finds_what_comparing_all_finds(ssdd):
    _, prints, _ = ssdd
    hashes = sorted({p.phash for p in prints.values()} - {''})
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(''.join(hashes)), 'uint8').reshape(-1, 32), axis=1).astype('float32')
    far = bits @ (1 - bits).T; far = far + far.T
    i, j = np.nonzero(np.triu(far <= splits.NEAR, 1))
    assert splits.near_pairs(hashes) == sorted(zip(i.tolist(), j.tolist()))

def row(i, scene='', split='', modality='sar', **partners):
    return Record(f'r{i}', f'r{i}.png', 9, 9, scene=scene, split=split, modality=modality, partners=partners)

rows = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(['', '', 'a', 'b', 'c', 'd']), st.sampled_from(['', '', '', 'train', 'test'])),
                max_size=25).map(lambda ts: [row(i, s, sp, optical=f'o{o}.png') for i, (o, s, sp) in enumerate(ts)])

@settings(max_examples=80, deadline=None)
@given(rows, st.randoms(use_true_random=False), st.integers(0, 3))
def test_no_group_straddles_and_order_does_not_matter(records, random, seed):
    split = splits.assign_splits(records, '', prints={}, seed=seed, on_leak='move')
    assert [r.id for r in split] == [r.id for r in records] and splits.leakage(split, '', {}) == []
    assert all(r.split in ('train', 'val', 'test') for r in split)
    mixed = list(records); random.shuffle(mixed)
    assert {r.id: r.split for r in splits.assign_splits(mixed, '', prints={}, seed=seed, on_leak='move')} == {r.id: r.split for r in split}
    assert splits.assign_splits(split, '', prints={}, seed=seed) == split           # a good split is kept as it is

@settings(max_examples=80, deadline=None)
@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n-1), st.integers(0, n-1)), max_size=40))))
def test_connected_parts(given):
    n, edges = given
    parts = splits.connected(n, edges)
    assert sorted(k for p in parts for k in p) == list(range(n))                    # every node once
    part_of = {k: i for i, p in enumerate(parts) for k in p}
    assert all(part_of[a] == part_of[b] for a, b in edges)
    for p in parts:                                                                # and nothing is joined without a path
        seen, todo = {p[0]}, [p[0]]
        while todo:
            k = todo.pop(); new = {b if a == k else a for a, b in edges if k in (a, b)} - seen
            seen |= new; todo += new
        assert seen == set(p)

@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=12, unique=True), st.data())
def test_near_pairs_are_certain_up_to_31_bits(raw, data):
    flipped = []
    for h in raw:
        v = int.from_bytes(h, 'big')
        for k in data.draw(st.sets(st.integers(0, 255), min_size=1, max_size=31)): v ^= 1 << k
        flipped.append(f'{v:064x}')
    hashes = sorted({h.hex() for h in raw} | set(flipped))
    pairs = splits.near_pairs(hashes)
    want = {(i, j) for j in range(len(hashes)) for i in range(j) if (int(hashes[i], 16) ^ int(hashes[j], 16)).bit_count() <= 31}
    assert want <= set(pairs) and all((int(hashes[i], 16) ^ int(hashes[j], 16)).bit_count() <= splits.NEAR for i, j in pairs)

def test_growth_moves_nothing():
    old = [row(i, f's{i//2}') for i in range(400)]
    was = {r.id: r.split for r in splits.assign_splits(old, '', prints={})}
    now = {r.id: r.split for r in splits.assign_splits(old + [row(i, f's{i//2}') for i in range(400, 1000)], '', prints={})}
    assert was == {k: now[k] for k in was}
    share = Counter(now.values())
    assert abs(share['test']/1000 - .1) < .04 and abs(share['val']/1000 - .1) < .04

@pytest.mark.parametrize('n', [3, 4, 5, 8, 15])
def test_tiny_sets_have_all_three(n):
    for seed in range(10):
        assert {r.split for r in splits.assign_splits([row(i) for i in range(n)], '', prints={}, seed=seed)} == {'train', 'val', 'test'}

def test_scene_groups_hold_across_modalities():
    records = [row(i, f's{i}') for i in range(60)] + [row(100 + i, f's{i}', modality='optical') for i in range(60)]
    of = {r.id: r.split for r in splits.assign_splits(records, '', prints={})}
    assert all(of[f'r{i}'] == of[f'r{100 + i}'] for i in range(60))

def test_optical_picture_that_is_a_partner_elsewhere_follows_it(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('sar.png', 'partner.png'): Image.fromarray(rng.integers(0, 255, (64, 64), dtype='uint8')).save(tmp_path/name)
    Image.open(tmp_path/'partner.png').convert('RGB').save(tmp_path/'renamed.bmp')
    records = [Record('a', 'sar.png', 64, 64, partners={'optical': 'partner.png'}), Record('b', 'renamed.bmp', 64, 64, modality='optical')]
    assert [g.ids for g in splits.duplicate_groups(records, tmp_path)] == [('a', 'b')]

def test_two_hundred_million_pairs_within_a_minute():
    "20,000 random hashes: far from one another, and looked up instead of compared one by one (about a second)"
    rng = np.random.default_rng(0)
    hashes = sorted(rng.bytes(32).hex() for _ in range(20_000))
    start = time.process_time()
    assert splits.near_pairs(hashes) == []
    assert time.process_time() - start < 60

def test_optical_pictures_are_opened_safely(tmp_path):
    "No Ghostscript for an EPS that calls itself .png, .tif or .jpg, no bomb; palettes, 8-bit and float TIFFs are read as before"
    import rasterio, warnings
    for name in ('a.png', 'a.tif', 'a.jpg'):
        (tmp_path/name).write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n')
        with pytest.raises(BadInput, match='not an image'): splits.rgb_image(tmp_path/name)
    rgb = np.random.default_rng(0).integers(0, 255, (9, 12, 3), dtype='uint8')
    for name in ('a.png', 'a.tif', 'a.bmp', 'a.jp2'):
        Image.fromarray(rgb).save(tmp_path/name, **(dict(irreversible=False) if name == 'a.jp2' else {}))
        assert (splits.rgb_image(tmp_path/name) == rgb).all(), name
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(tmp_path/'f.tif', 'w', driver='GTiff', dtype='float32', count=4, height=9, width=12) as f: f.write(np.ones((4, 1, 1))*rgb[..., 0])
        rasterio.open(tmp_path/'big.tif', 'w', driver='GTiff', width=30000, height=30000, count=3, dtype='uint8', tiled=True, sparse_ok=True, compress='deflate').close()
    assert splits.rgb_image(tmp_path/'f.tif').shape == (9, 12, 3)
    with pytest.raises(BadInput, match='too large|more than'): splits.rgb_image(tmp_path/'big.tif')

@needs_ssdd
def test_turned_and_re_encoded_copies_are_caught(ssdd, tmp_path):
    "A copy mirrored or turned and saved anew as JPEG of another quality, planted in another split"
    records, prints, _ = ssdd
    ways = [np.fliplr, np.flipud, np.transpose, np.rot90, lambda a: np.rot90(a, 2), lambda a: np.rot90(a, 3), lambda a: np.rot90(a.T, 2)]
    planted, found = [], {}
    for k, r in enumerate(records[::13]):
        a = ways[k % len(ways)](np.asarray(Image.open(SSDD/r.image if (SSDD/r.image).exists() else SSDD/'JPEGImages'/r.image).convert('L')))
        Image.fromarray(np.ascontiguousarray(a)).save(tmp_path/f'c{k}.jpg', quality=60)
        planted.append(Record(f'copy-{k}', f'c{k}.jpg', *a.shape[::-1], split='test'))
        found[planted[-1].image] = splits.fingerprint(tmp_path/f'c{k}.jpg')
    mixed = [replace(r, split='train') for r in records] + planted
    caught = {i for g in splits.leakage(mixed, SSDD, prints | found) for i in g.ids}
    share = sum(p.id in caught for p in planted)/len(planted)
    print(f'{share:.1%} of {len(planted)}')
    assert share > .95
    alone = splits.duplicate_groups(records, SSDD, prints)
    assert sum(len(g.ids) for g in alone) < 90                        # and no others are merged for it

def test_turns_are_a_group():
    "Turning all eight views of a hash again gives the same eight"
    raw = np.random.default_rng(0).integers(0, 256, (5, 32), dtype='uint8')
    def all_of(r): return sorted(v.tobytes() for v in splits.turns(r))
    for view in splits.turns(raw): assert all_of(view) == all_of(raw)

def dealt(kinds, stratify):
    "Of each (source, class) and of all: how many are in each split"
    records = [Record(f'r{k}', f'r{k}.png', 9, 9, source=a, boxes=(Box(c, 1, 1, 3, 3),)) for k, (a, c) in enumerate(kinds)]
    split = splits.assign_splits(records, '.', prints={}, stratify=stratify)
    return {key: (Counter(r.split for r in own), len(own)) for key in {*kinds, None}
            if (own := [r for r in split if key in (None, (r.source, r.boxes[0].category))])}

def off(found): return max(abs(held[s] - share*n) for held, n in found.values() for s, share in zip(splits.SPLITS, splits.FRACTIONS))

@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from('ab'), st.sampled_from(['ship', 'harbor', 'bridge'])), min_size=60, max_size=200))
def test_dealt_shares_hold_within_every_source_and_class(kinds):
    "Single records: no split of any stratum is two records off what was asked"
    assert off(dealt(kinds, True)) < 2

def test_the_die_alone_is_further_off():
    kinds = [(a, c) for a in 'ab' for c in ('ship', 'harbor', 'bridge') for _ in range(100)]
    assert off(dealt(kinds, False)) > 3 > 2 > off(dealt(kinds, True))

def test_dealt_groups_stay_whole():
    records = [Record(f'r{k}', f'r{k}.png', 9, 9, scene=f's{k//4}', boxes=(Box('ship', 1, 1, 3, 3),)) for k in range(200)]
    assert splits.leakage(splits.assign_splits(records, '.', prints={}, stratify=True), '.', prints={}) == []

@needs_ssdd
def test_the_published_split_of_ssdd_leaks_ten_groups(ssdd):
    "Names that end in 1 or 9 are its test set: ten groups of the same bytes, and our own split has none"
    from sartext.dataset.splits import leak_table
    records, prints, _ = ssdd
    published = [replace(r, split='test' if r.id[-1] in '19' else 'train') for r in records]
    rows = leak_table(splits.leakage(published, SSDD, prints, threshold=None))
    print(rows)
    assert sum(n for *_, n, _ in rows) == 10
    ours = splits.assign_splits(records, SSDD, prints=prints)
    assert leak_table(splits.leakage(ours, SSDD, prints)) == []

def crop(path, x, y, step=10, crs='EPSG:32631', size=64, turn=0, origin=(5e5, 5e6), gcps=False):
    "A TIFF of `size`² pixels, `x`, `y` pixels right and down of `origin` in a grid turned by `turn`°"
    import rasterio
    from rasterio.control import GroundControlPoint
    at = rasterio.Affine.translation(*origin)*rasterio.Affine.rotation(turn)*rasterio.Affine(step, 0, x*step, 0, -step, -y*step)
    place = dict(transform=at)
    if gcps: place = dict(gcps=[GroundControlPoint(r, c, *(at*(c, r))) for r in (0, size/2, size) for c in (0, size/2, size)])
    a = np.random.default_rng([abs(x), abs(y), size, crs is None, round(step*1e6), round(origin[0] + 180)]).integers(1, 255, (1, size, size), dtype='uint8')
    with rasterio.open(path, 'w', driver='GTiff', dtype='uint8', count=1, width=size, height=size, crs=crs, **place) as f: f.write(a)
    return Record(path.stem, path.name, size, size)

def whys(records, folder): return [(g.ids, g.why) for g in splits.duplicate_groups(records, folder)]

def test_crops_of_one_ground_leak(tmp_path):
    "Four crops of a scene without a scene's name, neighbours overlapping by two thirds, dealt to train and test"
    records = [replace(crop(tmp_path/f'{k}.tif', 15*k, 10*k), split='test' if k % 2 else 'train') for k in range(4)]
    away = [crop(tmp_path/'away.tif', 400, 0), crop(tmp_path/'plain.tif', 0, 0, crs=None)]
    group, = splits.leakage(records + away, tmp_path)
    assert (group.ids, group.why, group.splits) == (('0', '1', '2', '3'), ('ground',), ('test', 'train'))
    with pytest.raises(BadInput, match='ground'): splits.assign_splits(records, tmp_path)
    assert len({r.split for r in splits.assign_splits([replace(r, split='') for r in records] + away, tmp_path) if r.id in group.ids}) == 1
    assert splits.duplicate_groups(records, tmp_path, scenes=False) == []

def test_one_ground_in_two_crs_by_control_points_and_across_the_date_line(tmp_path):
    from rasterio.warp import transform
    (lon,), (lat,) = transform('EPSG:32631', 'EPSG:4326', [500_100], [4_999_900])
    records = [crop(tmp_path/'utm.tif', 0, 0), crop(tmp_path/'degrees.tif', 0, 0, 1e-4, 'EPSG:4326', origin=(lon, lat)), crop(tmp_path/'gcps.tif', 40, 40, gcps=True),
               crop(tmp_path/'west.tif', -40, 0, 1e-3, 'EPSG:4326', origin=(180, 9)), crop(tmp_path/'east.tif', 0, 0, 1e-3, 'EPSG:4326', origin=(-180, 9))]
    assert whys(records, tmp_path) == [(('degrees', 'gcps', 'utm'), ('ground',)), (('east', 'west'), ('ground',))]

@pytest.mark.parametrize('turn', [0, -8, 12])
def test_a_grid_of_tiles_that_touch_is_no_group(tmp_path, turn):
    "At the edge of a UTM zone north of 60°, where the grid is turned against the meridians; one that overlaps by a tenth is found"
    origin = 2e5, 7e6
    records = [crop(tmp_path/f'{x}-{y}.tif', 64*x, 64*y, turn=turn, origin=origin) for x in range(3) for y in range(3)]
    assert whys(records, tmp_path) == []
    (ids, why), = whys([*records, crop(tmp_path/'late.tif', 64*3 - 6, 0, turn=turn, origin=origin)], tmp_path)
    assert why == ('ground',) and {'2-0', 'late'} <= {*ids} <= {'2-0', 'late', '2-1'}     # turned, it may be taken to reach the row below
    assert turn or '2-1' not in ids

def test_places_off_the_earth_are_none(tmp_path):
    crop(tmp_path/'rows.tif', 0, 99, 1, 'EPSG:4326', origin=(0, 0)); crop(tmp_path/'local.tif', 0, 0, crs='LOCAL_CS["nowhere",UNIT["metre",1]]')
    crop(tmp_path/'far.tif', 0, 0, origin=(1e30, 1e30)); Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path/'a.png')
    assert [splits.footprint(tmp_path/n) for n in ('rows.tif', 'local.tif', 'far.tif', 'a.png', 'lost.tif')] == [()]*5

boxes = st.lists(st.tuples(*[st.integers(-6, 6)]*2, *[st.integers(1, 5)]*2), min_size=1, max_size=30)

@settings(max_examples=300, deadline=None)
@given(boxes)
def test_the_sweep_connects_what_comparing_all_connects(found):
    "Whole numbers, so that edges touch often; held against all pairs"
    b = np.array([(x, y, x + w, y + h) for x, y, w, h in found], float)
    every = [(i, j) for j in range(len(b)) for i in range(j) if (np.minimum(b[i, 2:], b[j, 2:]) > np.maximum(b[i, :2], b[j, :2])).all()]
    got = splits.overlapping(b).tolist()
    assert {tuple(sorted(p)) for p in got} <= set(every) and splits.connected(len(b), got) == splits.connected(len(b), every)

def test_a_hundred_thousand_footprints_of_one_place_within_a_minute():
    "5·10⁹ pairs overlap; the sweep asks for a few of each (about a second)"
    low = np.random.default_rng(0).normal(0, .002, (100_000, 2)); start = time.process_time()
    pairs = splits.overlapping(np.concatenate([low, low + .03], 1))
    assert len(splits.connected(len(low), pairs)) == 1 and len(pairs) < 10*len(low) and time.process_time() - start < 60

def test_a_build_keeps_one_ground_together_from_notes_old_and_new(tmp_path):
    "Built, then built again from notes without and with footprints: the same split, and the bytes of it"
    from sartext.dataset import build as b
    from sartext.records import write_records, Caption
    records = [replace(crop(tmp_path/f'{k}.tif', 15*(k % 3), 500*(k//3)), captions=(Caption(f'Ground {k}.'),)) for k in range(60)]
    write_records(records, tmp_path/'r.jsonl')
    manifest = b.build(tmp_path/'r.jsonl', tmp_path/'out', images=tmp_path)
    of = {r.id: r.split for r in b.read_records(tmp_path/'out/records.jsonl')}
    assert all(len({of[str(3*k + i)] for i in range(3)}) == 1 for k in range(20)) and set(of.values()) == {'train', 'val', 'test'}
    for cut in (3, 4):
        old = tmp_path/f'old{cut}'
        def stopped(*args, **kw): raise KeyboardInterrupt
        with pytest.MonkeyPatch.context() as m:
            m.setattr(b, 'deal', stopped)
            with pytest.raises(KeyboardInterrupt): b.build(tmp_path/'r.jsonl', old, images=tmp_path)
        notes = [json.loads(line) for line in (old/b.NOTES).read_text().splitlines()]
        assert all(len(p) == 4 and len(p[3]) == 4 for n in notes for p in n['prints'].values())
        (old/b.NOTES).write_text(''.join(json.dumps(n | dict(prints={k: p[:cut] for k, p in n['prints'].items()})) + '\n' for n in notes))
        assert b.build(tmp_path/'r.jsonl', old, images=tmp_path) == manifest

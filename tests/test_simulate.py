"What the notebook of `sartext.simulate` cannot test about itself: several processes, many scenes, every layout"
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sartext.records import check_box, read_records
from sartext.simulate import (CODE, LAYOUTS, LEAST_PIXELS, NOUNS, NUMBERS, OBJECTS, SHIFTED, WORLD, cell_of, hidden, look_azimuth,
                              resolves, scene, shadow_of, to_record, write_world)


def digest(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob('*')) if p.is_file()}


@pytest.fixture(scope='module')
def scenes():
    "500 scenes, both worlds, two sizes, without the radar picture"
    return [scene(7, i, w, size, sar=False) for w, size, n in ((WORLD, 128, 250), (WORLD, 256, 100), (SHIFTED, 128, 150)) for i in range(n)]


def test_same_bytes_for_any_number_of_workers_and_any_process(tmp_path):
    write_world(tmp_path/'one', 12, seed=3, size=128)
    write_world(tmp_path/'two', 12, seed=3, size=128, workers=2)
    code = f"from sartext.simulate import write_world; write_world({str(tmp_path/'other')!r}, 12, seed=3, size=128)"
    subprocess.run([sys.executable, '-c', code], check=True, env={**os.environ, 'PYTHONHASHSEED': '5', 'OMP_NUM_THREADS': '1'})
    one, two, other = (digest(tmp_path/k) for k in ('one', 'two', 'other'))
    assert one == two == other and len(one) == 3*12 + 4         # boxes, class names, captions, records
    assert not list((tmp_path/'two').rglob('*.part'))


def test_a_scene_does_not_depend_on_the_rest_of_the_run(tmp_path):
    write_world(tmp_path/'all', 6, seed=3, size=128)
    write_world(tmp_path/'late', 2, seed=3, size=128, start=4)
    everything, late = digest(tmp_path/'all'), digest(tmp_path/'late')
    assert all(everything[k] == v for k, v in late.items() if k.split('/')[0] in ('sar', 'optical', 'masks'))
    records = {r.id: r for r in read_records(tmp_path/'all'/'records.jsonl')}
    assert all(records[r.id] == r for r in read_records(tmp_path/'late'/'records.jsonl'))


def test_all_layouts_occur(scenes):
    assert {s.layout for s in scenes} == set(LAYOUTS)
    assert {b.category for s in scenes for b in s.boxes} == set(OBJECTS)
    assert {len(s.boxes) for s in scenes} >= set(range(12))
    assert any(len({b.category for b in s.boxes}) == 2 for s in scenes)


def test_boxes_are_valid_labelled_and_large_enough(scenes):
    for s in scenes:
        for b in s.boxes:
            assert not check_box(b, *s.mask.shape[::-1], slack=0), (s.id, b)
            assert b.category in s.labelled_classes and resolves(s.sar.pixel_spacing[0], b.category), (s.id, b)
            assert max(b.w, b.h) >= .7*LEAST_PIXELS, (s.id, b)      # a turned long side shortens its box
            x, y = np.array(b.polygon).T
            assert np.allclose((x.min(), y.min(), np.ptp(x), np.ptp(y)), (b.x, b.y, b.w, b.h), atol=.011)


def test_masks_agree_with_boxes(scenes):
    for s in scenes:
        covered = np.zeros(s.mask.shape, bool)
        for b in s.boxes:
            window = (slice(int(b.y), int(np.ceil(b.y + b.h))), slice(int(b.x), int(np.ceil(b.x + b.w))))
            seen = s.mask[window] == CODE[b.category]
            y, x = np.nonzero(seen)
            assert len(y) >= 4 and np.ptp(x) + 1 > .6*b.w - 1.5 and np.ptp(y) + 1 > .6*b.h - 1.5, (s.id, b)
            covered[window] = True
        assert not (np.isin(s.mask, [CODE[o] for o in OBJECTS]) & ~covered).any(), s.id
        assert s.mask.min() >= 1 and s.mask.max() <= len(CODE)


def test_no_object_lies_on_another_or_in_a_shadow(scenes):
    for s in scenes:
        for i, a in enumerate(s.boxes):
            for b in s.boxes[:i]:
                if {a.category, b.category} == {'bridge', 'ship'}: continue     # a turned bridge has a wide box; ships pass beside it
                w, h = min(a.x + a.w, b.x + b.w) - max(a.x, b.x), min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
                assert w <= 0 or h <= 0 or w*h < .35*min(a.area, b.area), (s.id, a, b)
        spacing = s.sar.pixel_spacing[0]
        dark = shadow_of(s.height, spacing, s.look, s.sar.incidence)
        for b in s.boxes:
            window = (slice(int(b.y), int(np.ceil(b.y + b.h))), slice(int(b.x), int(np.ceil(b.x + b.w))))
            own = s.mask[window] == CODE[b.category]
            assert dark[window][own].mean() < .5, (s.id, b)      # a part may lie in the object's own shadow


def counts_in(caption: str) -> Counter:
    "Numbers of objects a caption states, read from its words alone"
    number = {w: i for i, w in enumerate(NUMBERS)} | {'a': 1, 'an': 1}
    found = Counter()
    for category, forms in NOUNS.items():
        nouns = sorted({w for pair in forms for w in pair}, key=len, reverse=True)
        colours = '(?:white|dark grey|grey|red|blue|black|silver|green|brown|yellow)'
        for m in re.finditer(rf"\b({'|'.join(number)}) (?:{colours} )?({'|'.join(nouns)})\b", caption, re.I):
            found[category] += number[m[1].lower()]
    return found


def test_optical_captions_state_the_counts_of_the_boxes(scenes):
    for s in scenes:
        truth = Counter(b.category for b in s.boxes)
        assert +counts_in(s.optical_caption) == truth, (s.optical_caption, truth)


def test_optical_captions_state_true_places(scenes):
    rows, columns = {'top': 0, 'upper': 0, 'bottom': 2, 'lower': 2}, {'left': 0, 'right': 2}
    pattern = r'(?:at|in) the (?:middle of the (left|right) side|(?:(top|bottom|upper|lower|middle) )?(left|right|center|middle)(?: corner)?)\b'
    for s in scenes:
        here, found = {cell_of(b, len(s.mask)) for b in s.boxes}, set()
        for m in re.finditer(pattern, s.optical_caption):
            found.add(3*rows.get(m[2], 1) + columns.get(m[1] or m[3], 1))
        assert found <= here and bool(found) == bool(here), (s.id, s.optical_caption, found, here)

def test_a_place_means_one_cell_to_writer_and_reader():
    from sartext.narrate.checking import read_facts
    from sartext.narrate.words import CELLS
    from sartext.simulate import PLACES
    for places in PLACES:
        for k, where in enumerate(places):
            read = [(f.value, f.number) for f in read_facts(f'Two boats are sailing on the sea, both of them {where}.') if f.kind == 'position']
            assert read == [(CELLS[k], 2)], (where, read)


def test_captions_are_well_formed(scenes):
    for s in scenes:
        t = s.optical_caption
        assert t[0].isupper() and t.endswith('.') and '  ' not in t and not re.search(r'[{}]| [,.:]', t), t
        assert not re.search(r'\b(one|a|an) (\w+ ){0,2}(ships|boats|vessels|planes|airplanes|tanks|cars|vehicles|bridges|harbors|docks)\b', t, re.I), t
        assert not re.search(r'\b[Aa] [aeiou]|\b[Aa]n [^aeiou]', t), t
        for one, verb in re.findall(r'\b(one|two|three|four|five|six|seven|eight|nine|ten) (?:of them )?(is|are)\b', t): assert (one == 'one') == (verb == 'is'), t


def test_scenes_differ():
    said = [(frozenset(Counter((b.category, cell_of(b, 128)) for b in scene(0, i, size=128, sar=False).boxes).items())) for i in range(300)]
    assert len(set(said)) > 250


def test_shifted_world_lies_outside_the_training_world():
    for i in range(40):
        s = scene(1, i, SHIFTED, 128, sar=False)
        assert not WORLD.incidence[0] <= s.sar.incidence <= WORLD.incidence[1] and s.sar.looks not in WORLD.looks
        assert s.sar.band not in WORLD.bands and s.layout not in {k for k, *_ in WORLD.layouts}
    drawn = {k: v for k, *v in SHIFTED.layouts}
    from sartext.simulate import MAIN
    for name, (low, high, _) in drawn.items():        # no training layout with the same main object has these spacings
        for other, a, b, _ in WORLD.layouts:
            if MAIN[other] == MAIN[name]: assert b < low or a > high, (name, other)


def test_files_state_what_they_hold(tmp_path):
    import rasterio
    import warnings
    path = write_world(tmp_path, 4, size=64)
    data = json.loads((tmp_path/'annotations.json').read_text())
    records = list(read_records(path))
    assert len(data['annotations']) == sum(len(r.boxes) for r in records) and len(data['images']) == 4
    assert [c['name'] for c in data['categories']] == list(OBJECTS) and all(c['id'] >= 1 for c in data['categories'])
    for r in records:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(tmp_path/r.image) as f:
                assert f.crs is None and f.transform.is_identity and f.dtypes[0] == 'float32' and f.descriptions == r.sar.polarisations
                tags = f.tags(); pixels = f.read()
        assert tags['quantity'] == 'intensity' and tags['normalisation'] == 'sigma0' and tags['polarisations'] == ','.join(r.sar.polarisations)
        assert not any('DATETIME' in k.upper() for k in tags)
        assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.mean() < 30


def test_many_objects_can_be_seen_against_their_surroundings():
    "Co-polarised brightness of the surroundings of each box is beaten by something in it, layover included"
    seen = total = 0
    for i in range(60):
        s = scene(5, i, size=128); v = next(iter(s.intensity.values()))
        for b in s.boxes:
            x0, y0, x1, y1 = (int(max(k, 0)) for k in (b.x - 3, b.y - 3, b.x + b.w + 3, b.y + b.h + 3))
            total += 1; seen += np.sort(v[y0:y1, x0:x1].ravel())[-4:].mean() > 3*np.median(v[max(y0 - 12, 0):y1 + 12, max(x0 - 12, 0):x1 + 12])
    assert seen > .95*total, (seen, total)


def test_side_and_orbit_vary_and_are_recorded(scenes):
    "Both orbits and both sides are drawn, and the azimuth each record states is the one they give, within the track's tilt"
    records = [to_record(s) for s in scenes[:60]]
    drawn = Counter((r.sar.orbit_state, r.sar.observation_direction) for r in records)
    assert set(drawn) == {(o, d) for o in ('ascending', 'descending') for d in ('right', 'left')}, drawn
    for r, s in zip(records, scenes):
        off = r.extra['look_azimuth'] - look_azimuth(r.sar.orbit_state, r.sar.observation_direction, 12.)
        assert abs((off + 180) % 360 - 180) <= 4.1 and r.extra['look_azimuth'] == s.look, (r.id, off)    # tilts from 8 to 16


def beside(s, sign):
    "Mean sigma0 of low ground half a shadow's length beyond (1) or before (-1) all that stands tall, seen from the radar"
    spacing, slope, look = s.sar.pixel_spacing[0], math.tan(math.radians(s.sar.incidence)), math.radians(s.look)
    row, column = np.nonzero(s.height > 4)
    away = .5*s.height[row, column]*slope/spacing
    row, column = (np.rint(x).astype(int) for x in (row - sign*away*math.cos(look), column + sign*away*math.sin(look)))
    inside = (away >= 1.5) & (np.minimum(row, column) >= 0) & (np.maximum(row, column) < len(s.height))
    row, column = row[inside], column[inside]; low = s.height[row, column] < 1
    return next(iter(s.intensity.values()))[row[low], column[low]].mean() if low.sum() >= 20 else np.nan


def test_shadow_falls_away_from_the_radar():
    "Drawn scenes with something tall: dark beyond it, bright before it, from whatever side the radar looks"
    found = {}
    for i in range(100):
        if (scene(11, i, size=128, sar=False).height > 4).sum() < 40: continue
        s = scene(11, i, size=128); ratio = beside(s, 1)/beside(s, -1)
        if np.isfinite(ratio): found[i] = (s.sar.orbit_state, s.sar.observation_direction), ratio
    ratios = np.array([r for _, r in found.values()])
    assert len(ratios) >= 20 and len({way for way, _ in found.values()}) == 4, found
    assert (ratios < .6).mean() > .95 and np.median(ratios) < .2, found     # one strong scatterer may stand in a shadow
    for way in {w for w, _ in found.values()}: assert np.median([r for w, r in found.values() if w == way]) < .3, (way, found)


@pytest.mark.parametrize('bad', [dict(n=0), dict(n=1, size=8)])
def test_wrong_sizes_are_named(tmp_path, bad):
    with pytest.raises(ValueError, match='at least'): write_world(tmp_path, **bad)

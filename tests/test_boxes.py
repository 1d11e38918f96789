"Reading boxes: SSDD, its four formats and the MSTAR scenes; planted faults; COCO and VOC agree; junk never escapes"
import json, math, re, shutil
from collections import Counter
from dataclasses import replace
from xml.sax.saxutils import escape
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from sartext.records import BadInput, Box, Problems, Sar, from_dict, to_json
from sartext.sources.boxes import noun, read_boxes, read_classes, read_coco, read_folders, read_voc

def skipped(read, *args, **kwargs):
    "Records and problems of a reading that goes on"
    problems = Problems('skip')
    return list(read(*args, problems=problems, **kwargs)), problems

def test_images_that_are_called_otherwise_are_one_fault(tmp_path):
    "COCO, VOC, YOLO and DOTA of three images, all renamed: one sentence with names of both sides, whatever is skipped; no image is called empty"
    for kind in ('images', 'sub/deep', 'voc', 'yolo', 'dota'): (tmp_path/kind).mkdir(parents=True)
    for k in range(3):
        Image.new('L', (32, 32)).save(tmp_path/'images'/f'scan{k}.png'); Image.new('L', (32, 32)).save(tmp_path/'sub/deep'/f'im{k}.png')
        (tmp_path/'voc'/f'im{k}.xml').write_text(f'<annotation><filename>im{k}.png</filename></annotation>')
        (tmp_path/'yolo'/f'im{k}.txt').write_text('0 .5 .5 .1 .1\n'); (tmp_path/'dota'/f'im{k}.txt').write_text('1 1 5 1 5 5 1 5 ship 0\n')
    (tmp_path/'coco.json').write_text(json.dumps(dict(images=[dict(id=k, file_name=f'im{k}.png') for k in range(3)], annotations=[], categories=[])))
    for form, given in (('coco', 'coco.json'), ('voc', 'voc'), ('yolo', 'yolo'), ('dota', 'dota')):
        for on_error in ('stop', 'skip'):
            with pytest.raises(BadInput) as e: list(read_boxes(tmp_path/'images', tmp_path/given, form, Problems(on_error), names={'0': 'ship'}))
            told = str(e.value); assert f'{given}: none of its 3 images' in told and all(n in told for n in ('im0.', 'im1.', 'scan0.png, scan1.png')), told
    with pytest.raises(BadInput, match='give .*deep as images'): list(read_coco(tmp_path/'coco.json', tmp_path/'sub'))
    (tmp_path/'images/scan0.png').rename(tmp_path/'images/im0.png'); faults = Problems('skip')       # one that fits: the others are named one by one
    assert len(list(read_coco(tmp_path/'coco.json', tmp_path/'images', faults))) == 1 and len(faults) == 2

# ── real data ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope='module')
def ssdd(data):
    folder = data/'ssdd'
    return folder, list(read_boxes(folder/'JPEGImages', folder/'annotations'/'instances.json', source='SSDD'))

def test_ssdd_coco_and_voc_are_the_same(ssdd):
    folder, coco = ssdd
    voc = list(read_boxes(folder/'JPEGImages', folder/'Annotations', source='SSDD'))
    assert len(coco) == 938 and sum(len(r.boxes) for r in coco) == 2048
    assert [to_json(r) for r in coco] == [to_json(r) for r in voc]
    assert [r.image for r in coco] == sorted(r.image for r in coco)
    assert {r.labelled_classes for r in coco} == {('ship',)} and sum(len(r.boxes) == 1 for r in coco) == 587

def test_ssdd_survives_the_record_file(ssdd):
    for r in ssdd[1]: assert from_dict(json.loads(to_json(r))) == r

def test_ssdd_formats(data):
    folder = data/'ssdd_formats'
    with pytest.raises(BadInput, match='id 1 was given'):        # the official file repeats annotation ids
        list(read_coco(folder/'coco/annotations/train.json', folder/'coco/images'))
    coco, problems = [], []
    for split in ('train', 'test'):
        found, said = skipped(read_boxes, folder/'coco/images', folder/f'coco/annotations/{split}.json')
        coco += found; problems += said
    assert {r.id: len(r.boxes) for r in coco} == {'000001': 1, '000006': 3, '000002': 1, '000015': 3}
    assert all(b.polygon for r in coco for b in r.boxes) and len(problems) == 2
    of = {r.id: r for r in coco}
    for kind, slack in (('VOC', 1), ('VOCSEG', 1), ('VOCOBB', 10)):     # a rotated box is longer than the outline it is around
        voc = [r for n in ('01', '02') for r in read_boxes(folder/kind/f'JPEGImages{n}', folder/kind/f'Annotations{n}')]
        assert {r.id: len(r.boxes) for r in voc} == {r.id: len(r.boxes) for r in coco}
        for r in voc:
            for a, b in zip(r.boxes, of[r.id].boxes):
                assert np.abs(np.subtract((a.x, a.y, a.w, a.h), (b.x, b.y, b.w, b.h))).max() <= slack
                if kind == 'VOCOBB': assert long_side(a.polygon) == pytest.approx(a.angle, abs=3) and a.center == pytest.approx(b.center, abs=6)

def long_side(polygon):
    "Angle of the long side of four corners from +x, clockwise as seen, in [0, 180)"
    p = np.array(polygon); sides = np.roll(p, -1, 0) - p
    x, y = sides[np.hypot(*sides.T).argmax()]
    return np.degrees(np.arctan2(y, x)) % 180

def test_mstar_scenes(data):
    folder = data/'mstar_scenes'
    found, problems = skipped(read_boxes, folder/'JPEGImages', folder/'Annotations')
    assert problems and all('reaches outside' in p.reason and 'slack=' in p.remedy for p in problems)  # up to 7 pixels over
    assert len(found) == 90 - len({p.file for p in problems})
    classes = dict(zip('0123456789', '2S1 BMP2 BRDM2 BTR60 BTR70 D7 T62 T72 ZIL131 ZSU23-4'.split()))
    every = list(read_boxes(folder/'JPEGImages', folder/'Annotations', slack=7, names=classes))
    assert len(every) == 90 and sum(len(r.boxes) for r in every) == 151
    assert every[0].labelled_classes == tuple(sorted(classes.values()))
    assert all(0 <= b.x and b.x + b.w <= r.width and 0 <= b.y and b.y + b.h <= r.height for r in every for b in r.boxes)

def test_opensarship_xml(data):
    broken = [p for p in sorted(data.glob('opensarship/*/Ship.xml')) if '<\\ShipList>' in p.read_text(errors='replace')]
    assert len(broken) == 2
    for p in broken:
        last = len(p.read_text().rstrip().split('\n'))
        with pytest.raises(BadInput, match=rf'line {last}: not well-formed XML at .*ShipList'): list(read_voc(p, p.parent))

# ── planted faults in real data ──────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def some(ssdd, tmp_path):
    "Twenty SSDD images with COCO and VOC annotations, to spoil"
    folder, records = ssdd
    records = records[100:120]
    (tmp_path/'images').mkdir(); (tmp_path/'voc').mkdir()
    for r in records:
        shutil.copy(folder/'JPEGImages'/r.image, tmp_path/'images'); shutil.copy(folder/'Annotations'/f'{r.id}.xml', tmp_path/'voc')
    coco = json.loads((folder/'annotations/instances.json').read_text())
    coco['images'] = [i for i in coco['images'] if i['file_name'] in {r.image for r in records}]
    ids = {i['id'] for i in coco['images']}
    coco['annotations'] = [a for a in coco['annotations'] if a['image_id'] in ids]
    return tmp_path, records, coco

def first_of(coco, n): return next(a for a in coco['annotations'] if a['image_id'] == coco['images'][n]['id'])
def half(path): path.write_bytes(path.read_bytes()[:path.stat().st_size//2])

def test_six_faults_coco(some):
    folder, records, coco = some
    name = lambda n: coco['images'][n]['file_name']
    (folder/'images'/name(0)).unlink(); half(folder/'images'/name(1))
    outside, flat, unknown, twice = (first_of(coco, n) for n in (2, 3, 4, 5))
    outside['bbox'] = [5000, 10, 20, 20]; flat['bbox'][3] = 0; unknown['category_id'] = 77; coco['annotations'].append(dict(twice))
    file = folder/'boxes.json'; file.write_text(json.dumps(coco))
    found, problems = skipped(read_boxes, folder/'images', file)
    assert len(problems) == 6 and all(p.remedy and p.reason for p in problems)
    said = [str(p) for p in problems]
    for words in ([name(0), 'is not in'], [str(folder/'images'/name(1)), 'cut short'], [f"annotation {outside['id']}", 'outside', '5000'],
                  [f"annotation {flat['id']}", 'no area'], [f"annotation {unknown['id']}", 'category id 77 is unknown'],
                  [f"annotation {twice['id']}", 'given twice']):
        assert sum(all(w in s for w in words) for s in said) == 1, words
    assert [replace(r, boxes=r.boxes) for r in found] == [replace(r, source='') for r in records[5:]]  # nothing else is lost or changed
    with pytest.raises(BadInput): list(read_boxes(folder/'images', file))

@pytest.mark.parametrize('spoil, words, lost', [
    (lambda c: c['images'][3].update(id=c['images'][4]['id']), ['cannot be told apart'], {3, 4}),
    (lambda c: c['images'].append(dict(c['images'][3])), ['are listed twice'], set()),
    (lambda c: c['images'].append({**c['images'][3], 'id': 9999}), ['described twice'], {3}),
    (lambda c: c['annotations'].append(dict(id=9999, image_id=8888, category_id=1, bbox=[1, 1, 5, 5])), ['image id 8888 is not'], set()),
    (lambda c: c['annotations'].append({**first_of(c, 3), 'id': 9999}), ['repeats the box'], set()),
    (lambda c: first_of(c, 3).update(bbox='1,2,3,4'), ['not four numbers'], {3}),
    (lambda c: first_of(c, 3).update(bbox=[1, 2, float('nan'), 4]), ['not four numbers'], {3}),
    (lambda c: first_of(c, 3).update(bbox=[1, 2, 3]), ['not four numbers'], {3}),
    (lambda c: first_of(c, 3).pop('bbox'), ['not four numbers'], {3}),
    (lambda c: first_of(c, 3).update(category_id=[1]), ['category id [1]'], {3}),
    (lambda c: first_of(c, 3).update(segmentation=[[1, 2, 3]]), ['neither polygons nor RLE'], set()),
    (lambda c: c['images'][3].update(file_name='../' + c['images'][3]['file_name']), ['below the picture folder'], {3}),
    (lambda c: c['images'][3].update(file_name='/etc/passwd'), ['below the picture folder'], {3}),
    (lambda c: c['images'][3].update(file_name=None), ['below the picture folder'], {3}),
    (lambda c: c['images'][3].update(width=c['images'][3]['height'], height=c['images'][3]['width']), ['swapped'], {3}),
    (lambda c: c['images'][3].update(width='416'), ["'416'"], {3}),
    (lambda c: c['annotations'].append('junk'), ['image id None'], set()),
    (lambda c: c['categories'].append({'id': 1, 'name': 'car'}), ["means 'ship' and 'car'"], set(range(20))),
])
def test_one_fault_coco(some, spoil, words, lost):
    folder, records, coco = some
    file = folder/'boxes.json'; spoil(coco); file.write_text(json.dumps(coco))
    found, problems = skipped(read_boxes, folder/'images', file, source='SSDD')
    assert any(all(w in str(p) for w in words) for p in problems), [str(p) for p in problems]
    assert [r.image for r in found] == [r.image for n, r in enumerate(records) if n not in lost]
    kept = {r.image: r for r in records}
    for r in found: assert r == replace(kept[r.image], labelled_classes=r.labelled_classes)
    with pytest.raises(BadInput): list(read_boxes(folder/'images', file))

@pytest.mark.parametrize('text', ['', '[]', '3', '{}', '{"images": 1, "annotations": []}', '{"images": [', '['*100_000,
                                  '{"images": [], "annotations": ' + '9'*5000 + '}'])
def test_no_coco_at_all(tmp_path, text):
    (tmp_path/'f.json').write_text(text)
    for problems in (None, Problems('skip')):       # there is no rest to go on with
        with pytest.raises(BadInput, match='f.json'): list(read_boxes(tmp_path, tmp_path/'f.json', problems=problems))
    (tmp_path/'f.json').write_bytes(b'\xff\xfe{}')
    with pytest.raises(BadInput, match='UTF-8'): list(read_boxes(tmp_path, tmp_path/'f.json'))

def test_faults_voc(some):
    folder, records, _ = some
    def change(n, old, new, count=1):
        p = folder/'voc'/f'{records[n].id}.xml'; t = p.read_text(); assert old in t; p.write_text(t.replace(old, new, count))
    box = records[2].boxes[0]
    (folder/'images'/records[0].image).unlink(); half(folder/'images'/records[1].image)
    change(2, f'<xmax>{box.x + box.w}<', '<xmax>9000<'); change(3, '<name>ship</name>', '<name></name>')
    change(4, '</annotation>', '<\\annotation>'); change(5, '<ymin>', '<ymin>top'); change(6, records[6].image, '../../x.jpg')
    change(7, f'<width>{records[7].width}<', '<width>17<'); change(8, records[8].image, records[9].image)
    text = (folder/'voc'/f'{records[4].id}.xml').read_text(); line = text[:text.index('<\\')].count('\n') + 1
    found, problems = skipped(read_boxes, folder/'images', folder/'voc', source='SSDD')
    said = [str(p) for p in problems]
    for n, words in ((0, 'is not in'), (1, 'cut short'), (2, 'outside'), (3, 'has no name'), (4, f'line {line}: not well-formed'),
                     (5, 'ymin'), (6, 'leads to no image'), (7, 'size 17×'), (9, 'described twice')):
        assert any(records[n].id in s and words in s for s in said), (words, said)
    assert len(problems) == 10 and found == records[10:]      # the tenth: image 8's file states a size that is not image 9's

def test_voc_bomb(tmp_path):
    (tmp_path/'a.xml').write_text('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation><filename>&e;</filename></annotation>')
    with pytest.raises(BadInput, match='refused for safety'): list(read_voc(tmp_path, tmp_path))

# ── small made sets ──────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('made')
    for name in ('a.png', 'b.png', 'x/c.png', 'y/c.png'):
        (folder/name).parent.mkdir(exist_ok=True); Image.fromarray(np.zeros((40, 50), 'uint8')).save(folder/name)
    return folder

def write_coco(path, objects, names=None, **extra):
    "A COCO file of {image: [(category, x, y, w, h)]}"
    names = names or sorted({o[0] for os in objects.values() for o in os})
    path.write_text(json.dumps(dict(
        images=[dict(id=i, file_name=n, width=50, height=40, license=4) for i, n in enumerate(objects)],
        annotations=[dict(id=f'{i}.{j}', image_id=i, category_id=names.index(c), bbox=b)
                     for i, os in enumerate(objects.values()) for j, (c, *b) in enumerate(os)],
        categories=[dict(id=i, name=n) for i, n in enumerate(names)], **extra), ensure_ascii=False), encoding='utf-8')
    return path

def test_ids_sources_licences(made, tmp_path):
    objects = {'y/c.png': [], 'b.png': [('storage-tank', 1, 2, 3, 4)], 'x/c.png': [('船', 1, 1, 2, 2)], 'a.png': []}
    file = write_coco(tmp_path/'f.json', objects, ['storage-tank', '船', '2S1'], licenses=[dict(id=4, name='CC-BY-4.0')],
                      info=dict(description='Made set'))
    found = list(read_coco(file, made, scene=lambda p: p.split('/')[0]))
    assert [(r.id, r.image, r.scene, len(r.boxes)) for r in found] == [
        ('a', 'a.png', 'a.png', 0), ('b', 'b.png', 'b.png', 1), ('x/c.png', 'x/c.png', 'x', 1), ('y/c.png', 'y/c.png', 'y', 0)]
    assert {(r.licence, r.source, r.labelled_classes) for r in found} == {('CC-BY-4.0', 'Made set', ('2S1', 'storage tank', '船'))}
    assert {r.licence for r in read_coco(file, made, licence='mine', names={'船': 'ship'})} == {'mine'}
    assert [b.category for r in read_coco(file, made, names={'船': 'ship'}) for b in r.boxes] == ['storage tank', 'ship']

@pytest.mark.filterwarnings('ignore:__array__ implementation')      # pycocotools 2.0.11 with numpy 2
def test_outlines_and_attributes(made, tmp_path):
    rle = dict(size=[40, 50], counts=[40*5 + 10, 8, 32, 8, 40*50 - 40*6 - 18])
    boxes = [dict(segmentation=[[1, 1, 9, 1, 9, 8], [20, 20, 24, 20, 24, 30]], iscrowd=0), dict(segmentation=rle, iscrowd=1, score=.5)]
    data = dict(images=[dict(id='i', file_name='a.png')], categories=[dict(id=0, name='ship')],
                annotations=[dict(id=i, image_id='i', category_id=0, **b) for i, b in enumerate(boxes)])
    (tmp_path/'f.json').write_text(json.dumps(data))
    (r,) = read_coco(tmp_path/'f.json', made)
    two, crowd = r.boxes
    assert two.polygon == ((20, 20), (24, 20), (24, 30)) or two.polygon == ((1, 1), (9, 1), (9, 8))
    assert len(two.attributes['parts']) == 2 and (two.x, two.y, two.w, two.h) == (1, 1, 23, 29)
    assert crowd.attributes['iscrowd'] == 1 and crowd.attributes['score'] == .5 and (crowd.x, crowd.y, crowd.w, crowd.h) == (5, 10, 2, 8)
    from pycocotools import mask
    assert mask.decode({**crowd.attributes['rle'], 'counts': crowd.attributes['rle']['counts'].encode()}).sum() == 16
    assert from_dict(json.loads(to_json(r))) == r

def test_noun():
    assert noun('Storage_Tanks') == 'storage tank' and noun('2S1') == '2S1' and noun('ZSU23-4') == 'ZSU23-4' and noun('glass') == 'glass'

def voc_text(name, objects, first):
    boxes = ''.join(f'<object><name>{escape(c)}</name><bndbox><xmin>{x + first}</xmin><ymin>{y + first}</ymin><xmax>{x + w}</xmax>'
                    f'<ymax>{y + h}</ymax></bndbox></object>' for c, x, y, w, h in objects)
    return f'<annotation><filename>{name}</filename><size><width>50</width><height>40</height></size>{boxes}</annotation>'

objects = st.lists(st.tuples(st.sampled_from(['ship', 'storage-tank', '2S1', 'Überführung', 'a<b']), st.integers(0, 40), st.integers(0, 30),
                             st.integers(1, 10), st.integers(1, 10)), max_size=6, unique_by=lambda o: o)

@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects, objects, st.sampled_from(['edges', 'pixels']))
def test_coco_and_voc_agree(made, tmp_path_factory, one, two, corners):
    folder = tmp_path_factory.mktemp('agree'); both = {'a.png': one, 'b.png': two}
    for n, o in both.items(): (folder/n).with_suffix('.xml').write_text(voc_text(n, o, corners == 'pixels'), encoding='utf-8')
    coco = list(read_coco(write_coco(folder/'f.json', both), made))
    assert coco == list(read_voc(folder, made, corners=corners))
    assert [[(b.category, b.x, b.y, b.w, b.h) for b in r.boxes] for r in coco] == [[(noun(c), *b) for c, *b in o] for o in both.values()]

junk = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
                    lambda s: st.lists(s, max_size=3) | st.dictionaries(st.sampled_from(['id', 'bbox', 'size', 'counts', 'name']), s, max_size=3),
                    max_leaves=6)

@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_junk_never_escapes(made, tmp_path_factory, draw):
    "Any value of a COCO file replaced by anything: records that can be written and read back, problems, or one BadInput"
    folder = tmp_path_factory.mktemp('junk')
    data = json.loads(write_coco(folder/'f.json', {'a.png': [('ship', 1, 2, 3, 4), ('car', 9, 9, 5, 5)], 'b.png': []},
                                 licenses=[dict(id=4, name='x')], info={}).read_text())
    data['annotations'][0]['segmentation'] = dict(size=[40, 50], counts=[2000])
    for _ in range(draw.draw(st.integers(1, 3))):
        at = data
        while isinstance(at, (dict, list)) and at:
            key = draw.draw(st.sampled_from(list(at) if isinstance(at, dict) else list(range(len(at)))))
            if not isinstance(at[key], (dict, list)) or not at[key] or draw.draw(st.integers(0, 3)) == 0:
                at[key] = draw.draw(junk); break
            at = at[key]
    (folder/'f.json').write_text(json.dumps(data))
    try: found, problems = skipped(read_coco, folder/'f.json', made)
    except BadInput: return
    for r in found: assert from_dict(json.loads(to_json(r))) == r
    for p in problems: assert p.file and p.reason and p.remedy and '\n' not in str(p)
    if not problems: assert list(read_coco(folder/'f.json', made)) == found

def test_every_part_of_an_outline_is_clipped(tmp_path):
    Image.fromarray(np.full((48, 64), 90, 'uint8')).save(tmp_path/'a.png')
    rings = [[-.5, 3, 9, 3, 9, 7], [60, 40, 64.6, 40, 64.6, 48.2]]
    coco = dict(images=[dict(id=0, file_name='a.png')], categories=[dict(id=1, name='island')],
                annotations=[dict(id=0, image_id=0, category_id=1, segmentation=rings)])
    (tmp_path/'c.json').write_text(json.dumps(coco))
    box, = next(read_coco(tmp_path/'c.json', tmp_path)).boxes
    assert box.attributes['parts'] == [[[0, 3], [9, 3], [9, 7]], [[60, 40], [64, 40], [64, 48]]]
    assert all(0 <= x <= 64 and 0 <= y <= 48 for ring in [box.polygon, *box.attributes['parts']] for x, y in ring)

# ── text formats, tables of classes, OpenSARShip ─────────────────────────────────────────────────────────────────────────
def test_yolo_and_dota_agree_with_coco(made, tmp_path):
    boxes = {'a.png': [('ship', 1, 2, 30, 4), ('storage-tank', 9, 9, 8, 8)], 'b.png': [], 'x/c.png': [('ship', 10, 10, 5, 20)], 'y/c.png': []}
    names = ['ship', 'storage-tank']
    coco = list(read_coco(write_coco(tmp_path/'f.json', boxes, names), made))
    yolo, dota = tmp_path/'yolo', tmp_path/'dota'; (yolo/'x').mkdir(parents=True); dota.mkdir()
    (yolo/'classes.txt').write_text('\n'.join(names))
    for name, objects in boxes.items():
        shares = [(names.index(c), (x + w/2)/50, (y + h/2)/40, w/50, h/40) for c, x, y, w, h in objects]
        if objects: (yolo/name).with_suffix('.txt').write_text('\n'.join(' '.join(map(str, s)) for s in shares))
        corners = [f'{x} {y} {x + w} {y} {x + w} {y + h} {x} {y + h} {c} 0' for c, x, y, w, h in objects]
        if '/' not in name: (dota/name).with_suffix('.txt').write_text('\n'.join(corners))
    plain = lambda rs: [(r.image, [(b.category, b.x, b.y, b.w, b.h) for b in r.boxes]) for r in rs]
    assert plain(read_boxes(made, yolo)) == plain(coco)                                 # both guessed
    assert plain(read_boxes(made, dota)) == plain(coco)[:2]
    assert [b.angle for r in read_boxes(made, dota) for b in r.boxes] == [0, 0]
    obb = tmp_path/'obb'; obb.mkdir(); (obb/'a.txt').write_text('0 .1 .1 .5 .5 .45 .6 .05 .2')
    tilted = [b for r in read_boxes(made, obb, 'yolo', names={'0': 'ship'}) for b in r.boxes]
    assert len(tilted) == 1 and len(tilted[0].polygon) == 4 and 30 < tilted[0].angle < 45

@pytest.mark.parametrize('format, text, words', [
    ('yolo', '0 0.5 0.5 0.1', '3 numbers'), ('yolo', '9 0.5 0.5 0.1 0.1', 'not in the table'), ('yolo', '0 0.5 x 0.1 0.1', "'x' is no number"),
    ('yolo', '0 1.5 0.5 0.1 0.1', 'outside'), ('yolo', '0 nan 0.5 0.1 0.1', 'no number'), ('yolo', '0 0.5 0.5 0 0.1', 'no area'),
    ('dota', '1 1 9 1 9 9 1 9', '8 entries'), ('dota', '1 1 9 1 9 9 one 9 ship 0', "'one' is no number"),
    ('dota', '1 1 99 1 99 9 1 9 ship 0', 'outside')])
def test_faults_in_text_formats(made, tmp_path, format, text, words):
    (tmp_path/'a.txt').write_text(text); (tmp_path/'b.txt').write_text('')
    options = {'names': {'0': 'ship'}} if format == 'yolo' else {}
    found, problems = skipped(read_boxes, made, tmp_path, format=format, **options)
    assert 'b' in {r.id for r in found} and 'a' not in {r.id for r in found}             # its count would be false
    assert len(problems) == 1 and words in str(problems[0]) and 'a.txt' in str(problems[0]) and problems[0].remedy
    with pytest.raises(BadInput, match='a.txt'): list(read_boxes(made, tmp_path, format=format, **options))

def test_yolo_without_label_files(made, tmp_path):
    (tmp_path/'classes.txt').write_text('ship')
    with pytest.raises(BadInput, match='no label file'): list(read_boxes(made, tmp_path, 'yolo'))      # the wrong folder: not "no ships"
    (tmp_path/'a.txt').write_text('')
    assert [len(r.boxes) for r in read_boxes(made, tmp_path, 'yolo')] == [0]*4                          # YOLO: no file, no objects

def test_coco_measures_and_classes_that_mean_nothing(made, tmp_path):
    foreign, names = dict(length=31, width=9, course=10, speed=3, type='tanker'), ['ship', 'Background', 'other', 'Others', 'unlabelled', 'ignore']
    data = json.loads(write_coco(tmp_path/'f.json', {'a.png': [('ship', 1, 2, 30, 4)], 'b.png': [('ship', 1, 2, 30, 4)]}, names).read_text())
    data['annotations'][0] |= foreign | {'track': 4}; data['annotations'][1]['attributes'] = foreign
    (tmp_path/'f.json').write_text(json.dumps(data))
    one, two = read_coco(tmp_path/'f.json', made)
    assert one.boxes[0].attributes == {'track': 4} and two.boxes[0].attributes == foreign
    assert one.labelled_classes == two.labelled_classes == ('ship',)

def test_class_tables(tmp_path):
    (tmp_path/'c.txt').write_text('storage-tank\n船\n2S1\n', encoding='utf-8')
    assert read_classes(tmp_path/'c.txt') == {'0': 'storage-tank', '1': '船', '2': '2S1'}
    (tmp_path/'d.yaml').write_text('names:\n  0: ship\n  4: car\n'); assert read_classes(tmp_path/'d.yaml') == {'0': 'ship', '4': 'car'}
    for name, text in (('e.txt', 'a\n\nb'), ('f.txt', ''), ('g.yaml', 'nc: 3'), ('h.yaml', '[')):
        (tmp_path/name).write_text(text)
        with pytest.raises(BadInput, match=name): read_classes(tmp_path/name)
    with pytest.raises(BadInput, match='cannot be read'): read_classes(tmp_path/'lost.txt')

def test_rsdd_rotated_boxes(made, tmp_path):
    box = '<cx>25</cx><cy>20</cy><w>20</w><h>6</h><angle>{}</angle>'
    text = '<annotation><filename>a.png</filename><object><name>ship</name><robndbox>{}</robndbox></object></annotation>'
    for angle, degrees in ((-.5236, 150), (1.5708, 90), (150, 150)):
        (tmp_path/'a.xml').write_text(text.format(box.format(angle)))
        (b,), = (r.boxes for r in read_boxes(made, tmp_path))
        assert b.angle == pytest.approx(degrees, abs=.1) and b.center == pytest.approx((25, 20), abs=.01)
        assert long_side(b.polygon) == pytest.approx(degrees, abs=.1)

def turned(folder, **angles):
    "VOC files with one rotated box each"
    text = '<annotation><filename>a.png</filename><object><name>ship</name><robndbox><cx>25</cx><cy>20</cy><w>20</w><h>6</h><angle>{}</angle></robndbox></object></annotation>'
    for p in folder.glob('*'): p.unlink()
    for name, angle in angles.items():
        Image.fromarray(np.zeros((40, 50), 'uint8')).save(folder/f'{name}.png'); (folder/f'{name}.xml').write_text(text.format(angle).replace('a.png', f'{name}.png'))
    return folder

def test_the_unit_of_angles_is_that_of_the_set(tmp_path):
    problems = Problems('skip')
    found = [r.boxes[0].angle for r in read_voc(turned(tmp_path, a=3.5, b=30, c=150), tmp_path, problems)]
    assert found == [3.5, 30, 150] and 'read as degrees' in problems.notes[0]                     # 3.5 is not 200 degrees
    problems = Problems('skip'); found = [r.boxes[0].angle for r in read_voc(turned(tmp_path, a=.5, b=1.5708, c=0), tmp_path, problems)]
    assert found == pytest.approx([28.65, 90, 0], abs=.01) and 'read as radians' in problems.notes[0] and not problems
    for angles in (dict(a=2, b=3), dict(a=.4, b=1.2, c=30)):
        for problems in (None, Problems('skip')):
            with pytest.raises(BadInput, match="radians or degrees.*angles='radians' or angles='degrees'"): list(read_voc(turned(tmp_path, **angles), tmp_path, problems))
    assert [r.boxes[0].angle for r in read_voc(turned(tmp_path, a=2, b=3), tmp_path, angles='degrees')] == [2, 3]
    assert [r.boxes[0].angle for r in read_boxes(turned(tmp_path, a=2, b=3), tmp_path, 'voc', angles='radians')] == pytest.approx([114.59, 171.89], abs=.01)
    with pytest.raises(ValueError, match='angles'): list(read_voc(tmp_path, tmp_path, angles='gon'))
    (tmp_path/'none.json').write_text('{"images": [], "annotations": []}')
    with pytest.raises(BadInput, match='robndbox'): read_boxes(tmp_path, tmp_path/'none.json', angles='degrees')

def test_one_slack_is_named_for_all(made, tmp_path):
    objects = {'a.png': [('ship', 30, 5, 22, 9)], 'b.png': [('ship', -6, 5, 20, 9)], 'x/c.png': [('ship', 45, 5, 20, 9)]}     # 2, 6, most of it outside
    problems = skipped(read_coco, write_coco(tmp_path/'f.json', objects), made)[1]
    assert ['slack=6 to clip all 2' in p.remedy for p in problems] == [True, True, False]
    assert len(list(read_coco(tmp_path/'f.json', made, Problems('skip'), slack=6))) == 2

def test_the_folder_may_be_named_twice_or_be_one_above(made, tmp_path):
    file = write_coco(tmp_path/'f.json', {'x/c.png': [('ship', 1, 2, 3, 4)]})
    assert [r.image for r in read_coco(file, made/'x')] == ['c.png'] and [r.image for r in read_coco(file, made)] == ['x/c.png']
    file = write_coco(tmp_path/'f.json', {'a.png': []}); shutil.copytree(made, tmp_path/'up'/'below')
    with pytest.raises(BadInput, match='give .*below as images'): list(read_coco(file, tmp_path/'up'))

def test_opensarship_takes_any_of_its_folders(data, monkeypatch):
    folder = data/'opensarship'; acquisition = sorted(p for p in folder.iterdir() if p.is_dir())[0]
    for images, annotations in ((acquisition, acquisition/'Ship.xml'), (acquisition/'Patch_Uint8', acquisition/'Ship.xml'), (acquisition/'Patch_Cal', folder), (acquisition, folder)):
        found, problems = skipped(read_boxes, images, annotations)
        assert len(found) == 13 and len(problems) == 1 and 'ShipList' in problems[0].reason
    monkeypatch.chdir(data)                                             # a relative and an absolute path
    assert len(skipped(read_boxes, folder, 'opensarship')[0]) == 181
    problems = skipped(read_boxes, data/'ssdd/annotations', folder)[1]
    assert len([p for p in problems if 'no chips' in p.reason and 'folder with the acquisitions' in p.remedy]) == 4

def test_opensarship(data):
    folder = data/'opensarship'
    found, problems = skipped(read_boxes, folder, folder)
    assert len(found) == 181 and len(problems) == 2 and all('</ShipList>' in p.reason and p.place for p in problems)
    with pytest.raises(BadInput, match='ShipList'): list(read_boxes(folder, folder))
    every = [b.attributes for r in found for b in r.boxes]
    assert len(every) == 181 and {r.sar.polarisations for r in found} == {('VV',)}
    assert all(0 < a.get('length', 1) < 400 and a.get('heading', 0) <= 359 and a.get('course', 0) < 360 and a.get('speed', 0) < 40 for a in every)
    assert not any('course' in a for a in every if a.get('speed', 0) < 1)                # at anchor the course is noise
    assert sum('heading' not in a for a in every) == 25 and sum('length' not in a for a in every) == 19  # 511 and 0: not known
    assert {r.spacing for r in found if r.sar.product == 'GRD'} == {10.}
    errors = [abs(math.hypot(b.w, b.h)*10 - b.attributes['length'])/b.attributes['length'] for r in found if r.spacing
              for b in r.boxes if b.attributes.get('length', 0) > 100]
    assert np.median(errors) < .25                                                       # AIS and the box are of one ship

def test_mstar_by_a_table_of_classes(data, tmp_path):
    (tmp_path/'classes.txt').write_text('2S1 BMP2 BRDM2 BTR60 BTR70 D7 T62 T72 ZIL131 ZSU23-4'.replace(' ', '\n'))
    folder = data/'mstar_scenes'
    found = list(read_boxes(folder/'JPEGImages', folder/'Annotations', slack=7, names=tmp_path/'classes.txt'))
    assert {b.category for r in found for b in r.boxes} <= set('2S1 BMP2 BRDM2 BTR60 BTR70 D7 T62 T72 ZIL131 ZSU23-4'.split())
    assert sum(len(r.boxes) for r in found) == 151

def test_outlines_become_masks_as_pycocotools_fills_them(tmp_path):
    "DFC2023: rgb and sar side by side, COCO outlines as polygons of several parts and as run-length code; the share that is told is that of the annotation"
    from pycocotools import mask as coco
    from sartext.imagery.read import read_mask
    from sartext.narrate.segmentation import narrate_masks
    from sartext.sources.masks import draw_masks, read_masks
    sar = tmp_path/'track1/train/sar'; sar.mkdir(parents=True)
    for n in (1, 2): Image.fromarray(np.random.default_rng(n).integers(1, 255, (64, 64), 'uint8')).save(sar/f'P_000{n}.tif')
    field = np.zeros((64, 64), 'uint8', order='F'); field[30:50, 5:25] = 1; code = coco.encode(field); code['counts'] = code['counts'].decode()
    parts = [[4, 4, 24, 4, 24, 14, 4, 14], [40, 40, 60, 40, 60, 60]]
    (tmp_path/'track1/roof.json').write_text(json.dumps(dict(images=[dict(id=n, file_name=f'P_000{n}.tif', width=64, height=64) for n in (1, 2)], categories=[dict(id=1, name='flat_roof'), dict(id=2, name='dome')],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 56, 56], segmentation=parts), dict(id=2, image_id=1, category_id=2, bbox=[5, 30, 20, 20], segmentation=code)])))
    names = dict(flat_roof='building', dome='building'); out = tmp_path/'track1/train/masks'
    town, bare = draw_masks(read_coco(tmp_path/'track1/roof.json', sar, names=names), sar, out); drawn = read_mask(tmp_path/'track1/train'/town.mask)
    theirs = coco.decode(coco.merge(coco.frPyObjects(parts, 64, 64))) | field
    assert set(np.unique(drawn)) == {0, 1} and abs(int((drawn == 1).sum()) - int(theirs.sum())) <= 20 and (drawn[30:50, 5:25] == 1).all()      # half a row along the slant
    assert (town.image, town.mask, town.mask_classes) == ('sar/P_0001.tif', 'masks/P_0001.png', {'1': 'building'}) and not read_mask(tmp_path/'track1/train'/bare.mask).any()
    (tmp_path/'classes.csv').write_text('0,background\n1,building\n'); again = list(read_masks(sar, out, tmp_path/'classes.csv'))
    assert [(r.mask, r.mask_classes) for r in again] == [(r.mask, r.mask_classes) for r in (town, bare)] and any('building' in c.text for c in list(narrate_masks(again, tmp_path/'track1/train'))[0].captions)
    wrong = replace(next(read_coco(tmp_path/'track1/roof.json', sar, names=names)), width=32, height=32); faults = Problems('skip')
    assert not list(draw_masks([wrong], sar, out, faults)) and 'drawn on 64×64' in str(faults[0])

def test_a_mask_takes_nobodys_place(tmp_path):
    "Masks among the images, over a link, of two images of one stem, of an image that comes later: refused, both named, the images as they were"
    from sartext.imagery.read import read_mask
    from sartext.records import Record
    from sartext.sources.masks import draw_masks
    def town(name, w): return Record(name, name, 9, 9, labelled_classes=('building',), boxes=(Box('building', 0, 0, w, 1),))
    here = tmp_path/'images'; here.mkdir(); names = ['a.tif', 'b.png', 'c.png', 'a.png']
    for n in names: Image.new('L', (9, 9), 77).save(here/n)
    before = {p.name: p.read_bytes() for p in here.iterdir()}; (tmp_path/'link').symlink_to(here)
    for out in (here, tmp_path/'link', here/'sub/..'):
        faults = Problems('skip'); assert not list(draw_masks([town(n, 2) for n in names], here, out, faults))
        assert [re.search('the mask of (.*) would overwrite the image (.*); give another folder', str(p))[0].split('; ')[0] for p in faults] == [
            f'the mask of {n} would overwrite the image {n.replace("tif", "png")}' for n in names], [*map(str, faults)]
        assert {p.name: p.read_bytes() for p in here.iterdir() if p.name != 'sub'} == before
        (here/'sub').mkdir(exist_ok=True)
    with pytest.raises(BadInput, match='a.png: the mask of a.tif would overwrite the image a.png'): list(draw_masks(map(town, names, range(2, 6)), here, here))
    faults = Problems('skip'); got = list(draw_masks([town('a.tif', 2), town('b.png', 3), town('a.png', 4), town('x/b.png', 5)], here, tmp_path/'masks', faults))
    assert [r.id for r in got] == ['a.tif', 'b.png', 'x/b.png'] and len(faults) == 1 and 'is the mask of a.tif and of a.png; rename one of the two' in str(faults[0])
    assert [int((read_mask(tmp_path/r.mask) == 1).sum()) for r in got] == [2, 3, 5]
    assert [r.mask for r in draw_masks([town('a.tif', 2)], here, tmp_path/'masks')] == ['masks/a.png']           # drawn again by another call

# ── one folder a class ───────────────────────────────────────────────────────────────────────────────────────────────────
VEHICLES = dict(zip('2S1 BMP2 BRDM2 BTR60 BTR70 D7 T62 T72 ZIL131 ZSU23-4'.split(), (299, 233, 298, 256, 233, 299, 299, 232, 299, 299)))   # 17 degrees

def test_mstar_chips_are_captioned_by_their_folder(data):
    from sartext.narrate.annotation import narrate
    folder = data/'mstar_chips'; found = list(read_boxes(folder, folder, 'folders', sar=Sar(band='X', pixel_spacing=(.3, .3)), source='MSTAR'))
    assert Counter(b.category for r in found for b in r.boxes) == VEHICLES and {len(r.boxes) for r in found} == {1}
    assert len({r.id for r in found}) == len(found) == 2747 and all(r.image.split('/')[0] == r.boxes[0].category for r in found)
    assert {r.labelled_classes for r in found} == {tuple(sorted(VEHICLES))} and all((r.boxes[0].w, r.boxes[0].h) == (r.width, r.height) == (128, 128) for r in found)
    for r in found[::300]:
        told = [c.text for c in narrate(r).captions]
        assert all(r.boxes[0].category.replace('-', '')[:2] in s.replace('-', '') for s in told) and not any(re.search(r'\b(large|small|tiny|fills)\b', s) for s in told), told
        assert from_dict(json.loads(to_json(r))) == r

def chips(top, *paths, side=40):
    for p in paths: (top/p).parent.mkdir(parents=True, exist_ok=True); Image.new('L', (side, side)).save(top/p)
    return top

RAW = '[PhoenixHeaderVer01.04]\nTargetSerNum= {}\nTargetAz= {}\nDesiredDepression= 17\nRangePixelSpacing= 0.202148\nCrossRangePixelSpacing= 0.203125\n[EndofPhoenixHeader]\n'

def test_chips_of_mstar_as_published(tmp_path):
    "17_DEG/T72/SN_132/S7/HB03787.015 with a picture made of it beside; a picture called after the whole name; a header that is none"
    top = chips(tmp_path/'17_DEG', 'T72/SN_132/S7/HB03787.png', 'T72/SN_812/S7/HB03900.016.jpg', '2S1/b01/HB19377.png', '2S1/b01/HB19378.png')
    (top/'T72/SN_132/S7/HB03787.015').write_bytes(RAW.format('132', '91.5').encode() + b'\xff'*64); (top/'T72/SN_812/S7/HB03900.016').write_bytes(RAW.format('812', '370').encode())
    (top/'2S1/b01/HB19378.000').write_bytes(b'no header')
    with pytest.raises(BadInput, match='HB19378.000: has no Phoenix header; fetch it again'): list(read_folders(top, top))
    found, problems = skipped(read_folders, top, top); of = {r.id: r for r in found}
    assert len(problems) == 1 and {r.id: r.boxes[0].category for r in found} == {'HB03787': 'T72', 'HB03900.016': 'T72', 'HB19377': '2S1', 'HB19378': '2S1'}
    assert of['HB03787'].boxes[0].attributes == {'serial': '132', 'azimuth': 91.5, 'depression': 17} and of['HB03787'].sar.pixel_spacing == (.203125, .202148)
    assert of['HB03900.016'].boxes[0].attributes == {'serial': '812', 'depression': 17}                # 370 is no azimuth
    assert of['HB19377'].boxes[0].attributes == of['HB19378'].boxes[0].attributes == {'depression': 17} and of['HB19377'].sar.incidence == 73 and of['HB19377'].spacing is None

def test_depressions_and_splits_are_no_classes(tmp_path):
    paths = 'TRAIN/17_DEG/T72/SN_132/a.png', 'TRAIN/17_DEG/2S1/b.png', 'TEST/15_DEG/T72/SN_132/c.png'
    found = list(read_folders(chips(tmp_path/'all', *paths), tmp_path/'all'))
    assert [(r.split, r.boxes[0].category, r.boxes[0].attributes['depression']) for r in found] == [('test', 'T72', 15), ('train', '2S1', 17), ('train', 'T72', 17)]
    assert [r.boxes[0].category for r in read_folders(tmp_path/'all/TRAIN', tmp_path/'all/TRAIN')] == ['2S1', 'T72'] and {c for r in found for c in r.labelled_classes} == {'2S1', 'T72'}
    with pytest.raises(BadInput, match='holds train and beside it dev'): list(read_folders(chips(tmp_path/'odd', 'train/ship/a.png', 'dev/ship/a.png'), tmp_path/'odd'))

def test_ships_with_a_table_beside_them(tmp_path):
    "FUSAR-Ship: category/subcategory, meta.csv with length and width; its look angle is no incidence, its spacing along the slant; chips without a target and of no named class"
    top = chips(tmp_path, 'Cargo/BulkCarrier/Ship_C01S02N0001.tiff', 'Fishing/Fishing/Ship_C05S01N0001.tiff', 'Others/Ship_C15S01N0001.tiff')
    (top/'meta.csv').write_text('id\tmmsi\tlength\twidth\tpolarMode\tcenterLookAngle\theightspace\twidthspace\tpath\nShip_C01S02N0001\t351445000\t229\t32\tDH\t27.28\t1.72615\t1.124222\tCargo\\BulkCarrier\n')
    found, problems = skipped(read_boxes, top, top, 'folders', names={'Cargo': 'cargo ship', 'Fishing': 'fishing vessel'})
    assert [(r.boxes[0].category, r.boxes[0].attributes, r.spacing and round(r.spacing, 2)) for r in found] == [('cargo ship', {'length': 229, 'width': 32}, None), ('fishing vessel', {}, None)]
    assert not problems and problems.notes == ("the images in 'Others' are left out: it names no class; names=FILE gives it one",) and found[0].sar.incidence is None and found[0].spacing is None
    (top/'meta.csv').write_text('who,what\na,b\n'); assert 'no column id' in str(skipped(read_folders, top, top)[1][0])

@pytest.mark.parametrize('paths, says', [((), 'holds no folder with images'), (('a.png', 'b.png', 'c.png'), r'3 images in no class folder \(a.png, b.png, …\); give the folder that holds'),
                                         (('train/a.png', 'test/b.png'), 'in no class folder')])
def test_folders_that_name_no_class(tmp_path, paths, says):
    for on_error in ('stop', 'skip'):
        with pytest.raises(BadInput, match=says): list(read_folders(chips(tmp_path, *paths), tmp_path, Problems(on_error)))

def test_class_folders_and_their_faults(tmp_path):
    top = chips(tmp_path, 'train/ship/a.png', 'train/ship/b.png', 'test/ship/a.png', 'val/tank/c.png', 'test/lost.png'); (top/'test/tank').mkdir(); (top/'train/tank').mkdir(); (top/'train/tank/HB1.017').touch()
    (top/'train/ship/far.png').symlink_to(top/'nowhere.png'); (tmp_path.parent/'outside.png').write_bytes((top/'train/ship/a.png').read_bytes()); (top/'train/ship/out.png').symlink_to(tmp_path.parent/'outside.png')
    found, problems = skipped(read_folders, top, top)
    assert [(r.id, r.split, r.boxes[0].category) for r in found] == [('test/ship/a.png', 'test', 'ship'), ('train/ship/a.png', 'train', 'ship'), ('b', 'train', 'ship'), ('c', 'val', 'tank')]
    for says in ('far.png: is a link that leads nowhere', '1 image in no class folder (test/lost.png)', 'test/tank: holds no image', 'train/tank: holds no image, but HB1.017; make PNG', 'out.png: is a link that leads out'):
        assert sum(says in str(p) for p in problems) == 1, (says, problems)
    assert len(problems) == 5
    with pytest.raises(BadInput, match='no annotation file here.*folders'): list(read_boxes(top/'val', top/'val'))     # never guessed

def test_run_length_without_pycocotools(monkeypatch):
    import sys
    from sartext.sources.boxes import _outline
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(BadInput, match='pip install pycocotools'): _outline({'size': [4, 6], 'counts': [4, 2, 2, 2, 14]})

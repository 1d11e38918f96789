"""Hostile input at every door: refused in one sentence that names file, place and remedy, or skipped while the rest goes on.
Two tables: images (whatever reads an image, alone or in a folder of three) and texts (whatever reads a file of words)."""
import io, json, os, pickle, re, resource, shutil, signal, struct, tarfile, time, warnings, zipfile, zlib
from contextlib import contextmanager
from functools import cache
from pathlib import Path
import numpy as np
from PIL import Image
import pytest
from conftest import sartext
from sartext.records import BadInput, Box, Caption, Problems, Record, Sar, read_records, write_records

W, H = 64, 48
SECONDS, MEMORY = 10, 3 << 29          # of computing; a door that takes more, or 1.5 GB on top of what there was, is a fault of ours

@contextmanager
def bounded():
    "Time and memory of what runs inside: more raises"
    def late(*_): raise AssertionError(f'took more than {SECONDS} s')
    had = int(Path('/proc/self/statm').read_text().split()[0])*resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS); old = signal.signal(signal.SIGVTALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (had + MEMORY, hard)); signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try: yield
    finally: signal.setitimer(signal.ITIMER_VIRTUAL, 0); signal.signal(signal.SIGVTALRM, old); resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

def told(e: BadInput, name: str):
    "One sentence that names the file, what is wrong and what to do"
    p = e.problem; words = str(e)
    assert name in words and p.reason and p.remedy and '\n' not in words and 'Traceback' not in words, words
    assert 'fit into memory' not in words, words        # it was tried, then
    return words

def contents(folder): return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()}

# --- hostile images, all as `path`; None for the size where it is the one of the others

def noise(seed=0, size=(W, H)): return np.random.default_rng(seed).integers(1, 255, size[::-1], dtype='uint8')
def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

def png(path, side, data=b'\0'*1000):
    "A PNG that claims `side` × `side` grey pixels and holds `data`"
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0))
                     + chunk(b'IDAT', data) + chunk(b'IEND', b''))

@cache
def zeros(side):
    packer = zlib.compressobj(1); row = bytes(side + 1)
    return b''.join([*(packer.compress(row*100) for _ in range(side//100)), packer.flush()])

def laughing(path):
    "A sound small PNG with a text chunk that becomes 200 MB"
    Image.fromarray(noise()).save(path); raw = path.read_bytes()
    path.write_bytes(raw[:33] + chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(200 << 20), 9)) + raw[33:])

def bmp(path): path.write_bytes(b'BM' + struct.pack('<IHHI', 1054, 0, 0, 1078 - 24) + struct.pack('<IiiHHIIiiII', 40, 100_000, 100_000, 1, 8, 0, 0, 0, 0, 256, 0) + bytes(2000))

def squeezed(path, side=30_000): png(path, side, zeros(side))       # sound, 900 MB of zeros in a file of 4 MB

def tif(path, array=None, size=(W, H), **how):
    import rasterio
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        array = array if array is None else np.atleast_3d(array).transpose(2, 0, 1)
        kw = dict(dtype=array.dtype, count=len(array)) if array is not None else dict(dtype='float32', count=1)
        w, h = size if array is None else array.shape[:0:-1]
        with rasterio.open(path, 'w', driver='GTiff', width=w, height=h, **{**kw, **how}) as f:
            if array is not None: f.write(array)

def sparse(path, side): tif(path, size=(side, side), tiled=True, blockxsize=4096, blockysize=4096, sparse_ok=True, compress='deflate')
def flat(value, **how): return lambda path: tif(path, np.full((H, W), value, 'float32'), **how)

def cut(kind, share):
    def make(path):
        if kind == 'TIFF': tif(path, noise().astype('float32'), compress='deflate')
        else: Image.fromarray(noise()).save(path, kind)
        whole = path.read_bytes(); path.write_bytes(whole[:int(len(whole)*share)])
    return make

def npy(path):
    f = io.BytesIO(); np.save(f, noise()); path.write_bytes(f.getvalue())

class Code:
    def __reduce__(self): return exec, ("raise SystemExit('unpickled')",)

def linked(path): Image.fromarray(noise(9)).save(path.parents[2]/'outside.png'); path.symlink_to(path.parents[2]/'outside.png')
def nowhere(path): path.symlink_to('/no/such/file.png')

IMAGES = {'header 100,000²': lambda p: png(p, 100_000), 'zeros 30,000²': squeezed, 'sparse TIFF 1,000,000²': lambda p: sparse(p, 1_000_000), 'all NaN': flat(np.nan), 'all Inf': flat(np.inf),
    'only no data': flat(-9999, nodata=-9999), **{f'{k} cut at {s:.0%}': cut(k, s) for k in ('PNG', 'JPEG', 'TIFF') for s in (.1, .5, .99)},
    **{f'{k} cut at 50%': cut(k, .5) for k in ('BMP', 'GIF', 'WEBP', 'JPEG2000')}, 'BMP header 100,000²': bmp, 'PNG with a text of 200 MB': laughing,
    'empty': lambda p: p.touch(), 'text': lambda p: p.write_text('no image'), 'npy': npy, 'pickle': lambda p: p.write_bytes(pickle.dumps(Code())),
    'EPS': lambda p: p.write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n'), 'folder': lambda p: p.mkdir(),
    'link out': linked, 'link to nothing': nowhere}
SIZES = {'header 100,000²': 100_000, 'BMP header 100,000²': 100_000, 'zeros 30,000²': 30_000, 'sparse TIFF 1,000,000²': 1_000_000}

# --- doors for images: a folder of three, the second of them hostile → names of those that came through

def trio(folder, hostile, kinds=('in',)):
    "a.png, b.png and c.png in each of `kinds`; b.png of the first is the hostile one"
    for k, kind in enumerate(kinds):
        (folder/'top'/kind).mkdir(parents=True, exist_ok=True)
        for i, n in enumerate('abc'):
            path = folder/'top'/kind/f'{n}.png'
            if k == 0 and n == 'b': IMAGES[hostile](path)
            else: Image.fromarray(noise(i) if kind != 'masks' else noise(i)//128 + 1).save(path)
    return folder/'top'

def records_of(top, hostile, slot='image', kind='in'):
    "Records whose second names the hostile file as image, mask or partner"
    side = SIZES.get(hostile) if slot == 'image' else None
    for n in 'abc':
        w, h = (side, side) if side and n == 'b' else (W, H)
        other = {'mask': dict(mask=f'masks/{n}.png', mask_classes={'1': 'water', '2': 'forest'}), 'optical': dict(partners={'optical': f'optical/{n}.png'}, optical_caption='a ship'),
                 'image': {}}[slot]
        yield Record(n, f'in/{n}.png', w, h, boxes=(Box('ship', 5, 6, 9, 4),), labelled_classes=('ship',),
                     captions=(Caption('One ship.'),), **other)

def coco(folder, hostile, problems):
    from sartext.sources.boxes import read_coco
    top = trio(folder, hostile)
    (folder/'boxes.json').write_text(json.dumps(dict(images=[dict(id=i, file_name=f'{n}.png') for i, n in enumerate('abc')],
        annotations=[dict(id=i, image_id=i, category_id=1, bbox=[5, 6, 9, 4]) for i in range(3)], categories=[dict(id=1, name='ship')])))
    return [r.id for r in read_coco(folder/'boxes.json', top/'in', problems)]

def voc(folder, hostile, problems):
    from sartext.sources.boxes import read_voc
    top = trio(folder, hostile); (folder/'voc').mkdir()
    for n in 'abc':
        (folder/f'voc/{n}.xml').write_text(f'<annotation><filename>{n}.png</filename><object><name>ship</name><bndbox><xmin>5</xmin>'
            '<ymin>6</ymin><xmax>14</xmax><ymax>10</ymax></bndbox></object></annotation>')
    return [r.id for r in read_voc(folder/'voc', top/'in', problems)]

def yolo(folder, hostile, problems):
    from sartext.sources.boxes import read_yolo
    top = trio(folder, hostile); (folder/'labels').mkdir()
    for n in 'abc': (folder/f'labels/{n}.txt').write_text('0 .5 .5 .1 .1\n')
    return [r.id for r in read_yolo(folder/'labels', top/'in', problems, {0: 'ship'})]

def dota(folder, hostile, problems):
    from sartext.sources.boxes import read_dota
    top = trio(folder, hostile); (folder/'labels').mkdir()
    for n in 'abc': (folder/f'labels/{n}.txt').write_text('5 6 14 6 14 10 5 10 ship 0\n')
    return [r.id for r in read_dota(folder/'labels', top/'in', problems)]

def folders(folder, hostile, problems):
    from sartext.sources.boxes import read_folders
    top = trio(folder, hostile, ('ship',)); return [r.id for r in read_folders(top, top, problems)]

def masked(slot):
    def door(folder, hostile, problems):
        from sartext.sources.masks import read_masks
        top = trio(folder, hostile, ('masks', 'in') if slot == 'mask' else ('in', 'masks')); (folder/'classes.csv').write_text('1,water\n2,forest\n')
        return [r.id for r in read_masks(top/'in', top/'masks', folder/'classes.csv', problems)]
    return door

def paired(slot):
    def door(folder, hostile, problems):
        from sartext.sources.masks import read_pairs
        top = trio(folder, hostile, ('optical', 'in') if slot == 'optical' else ('in', 'optical'))
        (folder/'said.csv').write_text('image,caption\n' + ''.join(f'{n}.png,a ship\n' for n in 'abc'))
        return [r.id for r in read_pairs(top/'in', top/'optical', folder/'said.csv', problems)]
    return door

def built(slot):
    def door(folder, hostile, problems):
        from sartext.dataset.build import build
        kinds = {'image': ('in',), 'mask': ('masks', 'in'), 'optical': ('optical', 'in')}[slot]
        top = trio(folder, hostile, kinds); write_records(records_of(top, hostile, slot), folder/'r.jsonl')
        build(folder/'r.jsonl', folder/'out', images=top, problems=problems)
        return [r.id for r in read_records(folder/'out/records.jsonl') if slot == 'image' or r.mask or r.partners]
    return door

def stage(slot, work):
    def door(folder, hostile, problems):
        top = trio(folder, hostile, ('masks', 'in') if slot == 'mask' else ('in',))
        return work(list(records_of(top, hostile, slot)), top, folder/'out', problems)
    return door

def tiled(records, top, out, problems):
    from sartext.imagery.tiles import write_tiles
    return [r.scene for r in write_tiles(records, top, out, 32, problems=problems)]

def laddered(records, top, out, problems):
    from sartext.imagery.tiles import write_ladder
    return [r.scene for r in write_ladder(records, top, out, (2,), problems=problems)]

def printed(records, top, out, problems):
    from sartext.dataset.splits import fingerprints
    return [Path(p).stem for p in fingerprints(records, top, problems=problems)]

def measured(records, top, out, problems):
    from sartext.narrate.measuring import measurer
    measure = measurer(top, problems); return [r.id for r in records if measure(r)]

def masks_told(records, top, out, problems):
    from sartext.narrate.segmentation import narrate_mask
    return [r.id for r in records if len(narrate_mask(r, top, problems=problems).captions) > 1]

FOLDERS = {'sources.boxes COCO': coco, 'sources.boxes VOC': voc, 'sources.boxes YOLO': yolo, 'sources.boxes DOTA': dota, 'sources.boxes folders': folders,
    'sources.masks image': masked('image'), 'sources.masks mask': masked('mask'), 'sources.masks pair, SAR': paired('image'),
    'sources.masks pair, optical': paired('optical'), 'build image': built('image'), 'build mask': built('mask'), 'build optical': built('optical'),
    'tiles': stage('image', tiled), 'tiles mask': stage('mask', tiled), 'ladder': stage('image', laddered), 'ladder mask': stage('mask', laddered),
    'splits': stage('image', printed), 'measuring': stage('image', measured), 'segmentation': stage('mask', masks_told)}

MASKS = {d for d in FOLDERS if 'mask' in d or d == 'segmentation'} - {'sources.masks image', 'sources.masks mask'}
VOID = {'all NaN', 'all Inf', 'only no data'}         # of a mask: nothing is labelled, so nothing is said and nothing is at fault
COSTLY = {'header 100,000²', 'sparse TIFF 1,000,000²', 'all NaN', 'TIFF cut at 50%', 'EPS', 'link out'}     # for build: a second each

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('hostile, door', [(h, d) for h in IMAGES for d in FOLDERS if not (d in MASKS and h in VOID)
                                           and (h in COSTLY or not d.startswith('build'))], ids=str)
def test_one_hostile_image_among_three(door, hostile, tmp_path):
    "Stopped: one sentence that names the file. Skipped: named, and the others come through"
    stop, skip = tmp_path/'stop', tmp_path/'skip'; stop.mkdir(); skip.mkdir()
    with bounded(), pytest.raises(BadInput) as e: FOLDERS[door](stop, hostile, Problems('stop'))
    lost = hostile in ('folder', 'link to nothing') and door in ('sources.boxes YOLO', 'sources.boxes DOTA')    # no image at all, then
    print(f'{door} × {hostile}: {told(e.value, "b.txt" if lost else "b.png")}'.replace(str(tmp_path), '…'))
    faults = Problems('skip')
    with bounded(): good = FOLDERS[door](skip, hostile, faults)
    if hostile.startswith('TIFF cut') and door.startswith('tiles'): good = {*good} - {'b'}       # what comes before the damage is sound
    assert {*good} == {'a', 'c'} and faults and all(p.reason and p.remedy for p in faults), (good, faults)
    assert any(('b.txt' if lost else 'b.png') in str(p) for p in faults), faults
    assert {p.name for p in tmp_path.iterdir()} == {'stop', 'skip'} and not list(tmp_path.rglob('.*.part'))

# --- hostile texts: a sound file, spoilt in every way, at every door that reads words

LAUGHS = b'<!DOCTYPE a [<!ENTITY a "ha">' + b''.join(b'<!ENTITY %c "%s">' % (98 + i, b'&%c;' % (97 + i)*10) for i in range(9)) + b']>'
BOX = 'dict(id=1, image_id=1, category_id=1, bbox=[5, 6, 9, 4])'
LINE = b'{"id":"a","image":"a.png","width":64,"height":48}\n'

def captions(path, problems):
    from sartext.sources.texts import read_captions
    return read_captions(path, problems)

def classes(path, problems):
    from sartext.sources.texts import read_classes
    return read_classes(path)

def boxes(path, problems):
    from sartext.sources.boxes import read_coco, read_dota, read_voc, read_yolo
    Image.fromarray(noise()).save(path.parent/'a.png'); kind = path.suffix
    if kind == '.json': return list(read_coco(path, path.parent, problems))
    if kind == '.xml': return list(read_voc(path, path.parent, problems))
    return list(read_dota(path, path.parent, problems) if b'ship' in SOUND[path.parent.name][1] else read_yolo(path.parent, path.parent, problems, {0: 'ship'}))

def opensarship(path, problems):
    from sartext.sources.boxes import read_opensarship
    (path.parent/'Patch_Uint8').mkdir(); Image.fromarray(noise()).save(path.parent/'Patch_Uint8/Cargo_x30_y20_vv.png')
    return list(read_opensarship(path, path.parent, problems))

def chips(path, problems):
    from sartext.sources.boxes import read_folders
    (path.parent/'ship').mkdir(); Image.fromarray(noise()).save(path.parent/'ship/a.png'); return list(read_folders(path.parent, path.parent, problems))

def calibration(path, problems):
    from sartext.imagery.calibration import read_calibration
    return read_calibration(path)

def safe(path, problems):
    from sartext.imagery.calibration import read_safe
    return read_safe(path)

def lines(path, problems): return list(read_records(path, problems))

def ratings(path, problems):
    from sartext.narrate.auditing import read_ratings
    return read_ratings(path)

def class_tables(path, problems):
    from sartext.sources.masks import class_table
    table = class_table(path); return [*table.values, *table.colours]

def predicted(path, problems):
    from sartext.evaluate.answering import read_predictions
    return read_predictions(path, problems)

def rs5m(path, problems):
    from sartext.narrate.auditing import read_rs5m
    return read_rs5m(path)

def pairs_listed(path, problems):
    from sartext.dataset.shards import read_csv
    return list(read_csv(path, problems))

def shard(path, problems):
    from sartext.dataset.shards import read_parquet, read_tars
    return list((read_tars if path.suffix == '.tar' else read_parquet)(path, problems))

def rewritten(path, problems):
    from sartext.narrate.rewriting import rewrite_file
    count = rewrite_file(path, path.parent/'out.txt', problems=problems); return range(count['lines'])

def checked(path, problems):
    from sartext.narrate.checking import check_file
    score = check_file([Record('a', 'a.png', W, H, boxes=(Box('ship', 5, 6, 9, 4),), labelled_classes=('ship',))], path, path.parent/'out.jsonl', problems=problems)
    return range(score.captions)

def shards(kind):
    from sartext.dataset.shards import Sample, write_parquet, write_tars
    import tempfile
    with tempfile.TemporaryDirectory() as tmp:
        samples = [Sample(n, Record(n, f'{n}.png', W, H, captions=(Caption('One ship.'),)), bytes(noise(i))) for i, n in enumerate('abc')]
        return (write_tars if kind == 'tar' else write_parquet)(samples, tmp, 'x')[0].read_bytes()

def vectors():
    numbers = ''.join(f'<{t} count="2">{v}</{t}>' for t, v in (('pixel', '0 9'), ('sigmaNought', '5 5'), ('betaNought', '5 5'), ('gamma', '5 5')))
    return ('<calibration><adsHeader><polarisation>VV</polarisation><swath>IW</swath></adsHeader>'
            + ''.join(f'<calibrationVector><line>{n}</line>{numbers}</calibrationVector>' for n in (0, 9)) + '</calibration>').encode()

SHIP = ('<ShipList><ship><SARShipInformation>' + ''.join(f'<{p}_{k}>{v}</{p}_{k}>' for p, x, y in (('Head', 20, 10), ('Tail', 40, 30), ('UpperLeft', 0, 0),
        ('LowerRight', 63, 47), ('Center', 30, 20)) for k, v in (('x', x), ('y', y))) + '</SARShipInformation></ship></ShipList>').encode()
MANIFEST = (b'<XFDU><platform><familyName>SENTINEL-1</familyName></platform><instrumentMode><mode>IW</mode></instrumentMode>'
            b'<standAloneProductInformation><productType>GRD</productType></standAloneProductInformation></XFDU>')
RATED = 'item,rater,relevance,hallucination,fluency,errors,note,record,image,route,source,kind,caption'
SOUND = {   # door → name of the file, its sound content, how it is read
    'captions CSV': ('said.csv', b'image,caption\na.png,one ship\nb.png,two ships\n', captions),
    'captions JSON': ('said.json', json.dumps([dict(image=f'{n}.png', caption='one ship') for n in 'ab']).encode(), captions),
    'captions JSON lines': ('said.jsonl', b'{"image":"a.png","caption":"one ship"}\n{"image":"b.png","caption":"two ships"}\n', captions),
    'classes JSON': ('names.json', b'{"1": "water", "2": "forest"}', classes), 'classes YAML': ('data.yaml', b'names: {0: ship, 1: bridge}\n', classes),
    'COCO': ('boxes.json', json.dumps(dict(images=[dict(id=1, file_name='a.png')], annotations=[eval(BOX)], categories=[dict(id=1, name='ship')])).encode(), boxes),
    'VOC': ('a.xml', b'<annotation><filename>a.png</filename><object><name>ship</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>14</xmax><ymax>10</ymax></bndbox></object></annotation>', boxes),
    'YOLO': ('a.txt', b'0 0.50 0.50 0.10 0.10\n0 0.20 0.20 0.10 0.10\n', boxes), 'DOTA': ('a.txt', b'5 6 14 6 14 10 5 10 ship 0\n15 16 24 16 24 20 15 20 ship 0\n', boxes),
    'folders CSV': ('meta.csv', b'id,length,width\na,120,20\nb,90,12\n', chips),
    'OpenSARShip': ('Ship.xml', SHIP, opensarship), 'calibration': ('calibration-a.xml', vectors(), calibration), 'SAFE': ('manifest.safe', MANIFEST, safe),
    'records': ('r.jsonl', LINE + LINE.replace(b'"a', b'"b'), lines), 'auditing RS5M': ('rs5m.csv', b'image_path,description,relevance_detail,hallucination,fluency\na.jpg,a pier,4,5,5\n', rs5m),
    'classes CSV': ('classes.csv', b'1,water\n2,forest\n', class_tables), 'predictions CSV': ('VQA_result.csv', b'image,question,predicted\na.png,How many?,3\nb.png,Is there a ship?,yes\n', predicted),
    'ratings CSV': ('ratings.csv', (RATED + '\ni1,anna,4,5,5,,,a,a.png,a2c,,concise,One ship.\ni2,anna,4,5,5,,,b,b.png,a2c,,concise,Two ships at the quay.\n').encode(), ratings),
    'shards CSV': ('train.csv', b'filepath\ttitle\nimages/a.png\tOne ship.\n', pairs_listed), 'shards tar': ('x.tar', shards('tar'), shard),
    'shards Parquet': ('x.parquet', shards('parquet'), shard), 'rewrite JSON lines': ('in.jsonl', b'{"caption":"a red ship"}\n{"caption":"two green trees"}\n', rewritten),
    'rewrite text': ('in.txt', 'a red ship at the quay\nan été scene\n'.encode(), rewritten), 'check captions': ('said.csv', b'id,caption\na,one ship\n', checked)}

def halfway(raw, new): return raw[:len(raw)//2] + new + raw[len(raw)//2:]
def deep(name, raw):
    if name.endswith(('.xml', '.safe')): return b'<a>'*100_000 + b'</a>'*100_000
    return b'['*100_000 + b']'*100_000

SPOILT = {**{f'cut at {s:.0%}': lambda name, raw, s=s: raw[:min(int(len(raw)*s), len(raw) - 4)] for s in (.1, .5, .99)},
    'empty': lambda name, raw: b'', 'UTF-16': lambda name, raw: raw.decode('latin-1').encode('utf-16'), 'NUL': lambda name, raw: halfway(raw, b'\0'),
    'Latin-1': lambda name, raw: halfway(raw, b'\xe9'), 'pickle': lambda name, raw: pickle.dumps(Code()), '10 MB in one field': lambda name, raw: raw.replace(b'ship', b'x'*10**7).replace(b'pier', b'x'*10**7),
    'wrong column': lambda name, raw: b'who,what\n' + raw.split(b'\n', 1)[-1] if name.endswith('.csv') else raw[:0], 'wrong delimiter': lambda name, raw: raw.replace(b',', b'|').replace(b'\t', b'|'),
    '100,000 deep': deep, 'entities': lambda name, raw: LAUGHS + raw.replace(b'>', b'>&j;', 1) if raw[:1] == b'<' else raw[:0]}

def spoil(door, way, folder):
    name, raw, read = SOUND[door]; folder = folder/door; folder.mkdir(parents=True); path = folder/name
    path.write_bytes(raw if way is None else SPOILT[way](name, raw)); return path, read

@pytest.mark.parametrize('door', SOUND)
def test_the_sound_text_is_read(door, tmp_path):
    path, read = spoil(door, None, tmp_path); problems = Problems(); got = read(path, problems)
    assert got if hasattr(got, '__len__') else got is not None

# What is read all the same. A file of lines that was cut is a shorter file of lines, where the cut leaves whole ones; none at all are told
# by the command, which then has nothing to do. A long or odd word is a word. XML may be UTF-16. Zeros after the end of a tar are no loss.
CUT = {'cut at 10%', 'cut at 50%', 'cut at 99%'}
READ = {'rewrite text': {*CUT, 'NUL', 'empty', 'wrong delimiter'}, 'captions CSV': {*CUT, 'NUL', 'empty'},
    'folders CSV': {'cut at 99%', 'NUL'}, 'captions JSON': {'10 MB in one field'}, 'captions JSON lines': {'cut at 50%', 'empty', '10 MB in one field'}, 'classes YAML': {'10 MB in one field'},
    'COCO': {'10 MB in one field'}, 'VOC': {'10 MB in one field', 'UTF-16'}, 'YOLO': {'cut at 50%', 'empty'}, 'DOTA': {'cut at 99%', 'empty', '10 MB in one field'},
    'OpenSARShip': {'10 MB in one field'}, 'calibration': {'UTF-16'}, 'SAFE': {'UTF-16'}, 'records': {'cut at 50%', 'empty'}, 'shards tar': {'cut at 99%'},
    'rewrite JSON lines': {'empty'}, 'shards CSV': {'cut at 99%'}, 'auditing RS5M': {'cut at 99%'},
    'check captions': {*CUT, 'empty'}, 'ratings CSV': {'NUL'}, 'predictions CSV': {*CUT, 'NUL', 'empty'}, 'classes CSV': {'cut at 50%', 'cut at 99%', 'wrong column'}}

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('way', SPOILT)
@pytest.mark.parametrize('door', SOUND)
def test_a_spoilt_text_is_refused(door, way, tmp_path):
    path, read = spoil(door, way, tmp_path)
    if path.read_bytes() == SOUND[door][1] or way in ('wrong column', 'entities') and not path.stat().st_size: pytest.skip('leaves it as it is')
    outcome = 'read'
    try:
        with bounded(): read(path, Problems('stop'))
    except BadInput as e: outcome = told(e, path.name)
    print(f'{door} × {way}: {outcome}'.replace(str(tmp_path), '…')[:300])
    assert (outcome == 'read') == (way in READ.get(door, ()))
    shutil.rmtree(path.parent); path, read = spoil(door, way, tmp_path); faults = Problems('skip')
    try:
        with bounded(): read(path, faults)
    except BadInput as e: told(e, path.name)
    else: assert faults or outcome == 'read'
    assert {p.name for p in tmp_path.iterdir()} == {door} and not list(tmp_path.rglob('.*.part'))

# --- names that lead out: in every file that names images, the sound ones come through and nothing outside is touched

OUT = ('../outside.png', '../../outside.png', 'in/../../outside.png', '/etc/passwd.png', '..\\outside.png', 'C:\\outside.png', '\\\\host\\outside.png', 'link/outside.png', 'a\0.png')

def named_coco(top, name, problems):
    from sartext.sources.boxes import read_coco
    (top.parent/'boxes.json').write_text(json.dumps(dict(images=[dict(id=i, file_name=n) for i, n in enumerate(('a.png', name, 'c.png'))],
        annotations=[dict(id=i, image_id=i, category_id=1, bbox=[5, 6, 9, 4]) for i in range(3)], categories=[dict(id=1, name='ship')])))
    return [r.id for r in read_coco(top.parent/'boxes.json', top, problems)]

def named_voc(top, name, problems):
    from sartext.sources.boxes import read_voc
    (top.parent/'voc').mkdir()
    for k, n in enumerate(('a.png', name.replace('\0', '&#9;'), 'c.png')):
        (top.parent/f'voc/{k}.xml').write_text(f'<annotation><filename>{n}</filename></annotation>')
    return [r.id for r in read_voc(top.parent/'voc', top, problems)]

def named_records(top, name, problems):
    (top.parent/'r.jsonl').write_text(''.join(json.dumps(dict(id=i, image=n, width=W, height=H)) + '\n' for i, n in zip('abc', ('a.png', name, 'c.png'))))
    from sartext.imagery.tiles import write_tiles
    return sorted({r.scene for r in write_tiles(read_records(top.parent/'r.jsonl', problems), top, top.parent/'out', 32, problems=problems)})

def named_built(top, name, problems):
    from sartext.dataset.build import build
    (top.parent/'r.jsonl').write_text(''.join(json.dumps(dict(id=i, image=f'{i}.png', width=W, height=H, captions=[dict(text='A ship.')], partners=dict(optical=n))) + '\n'
                                              for i, n in zip('abc', ('a.png', name, 'c.png'))))
    build(top.parent/'r.jsonl', top.parent/'out', images=top, problems=problems)
    return sorted(r.id for r in read_records(top.parent/'out/records.jsonl') if r.partners)

NAMING = {'COCO file_name': named_coco, 'VOC filename': named_voc, 'records image': named_records, 'build optical': named_built}

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('door, name', [(d, n) for d in NAMING for n in OUT if d != 'build optical' or n in OUT[:1] + OUT[-2:-1]])
def test_a_name_that_leads_out_is_refused(door, name, tmp_path):
    def world(folder):
        (folder/'deep/in').mkdir(parents=True); Image.fromarray(noise(9)).save(folder/'outside.png'); shutil.copy(folder/'outside.png', folder/'deep/outside.png'); (folder/'deep/in/link').symlink_to(folder)
        for i, n in enumerate('abc'): Image.fromarray(noise(i)).save(folder/f'deep/in/{n}.png')
        return folder/'deep/in'
    with bounded(), pytest.raises(BadInput) as e: NAMING[door](world(tmp_path/'stop'), name, Problems('stop'))
    assert e.value.problem.remedy and '\n' not in str(e.value); print(f'{door} × {name!r}: {e.value}'.replace(str(tmp_path), '…'))
    before = {p: (tmp_path/'stop'/p).read_bytes() for p in ('outside.png', 'deep/outside.png')}; faults = Problems('skip')
    with bounded(): good = NAMING[door](world(tmp_path/'skip'), name, faults)
    assert good == ['a', 'c'] and faults, (good, faults)
    for side in ('stop', 'skip'):
        assert {p: (tmp_path/side/p).read_bytes() for p in before} == before and {p.name for p in (tmp_path/side).iterdir()} == {'outside.png', 'deep'}
        assert sorted(p.name for p in (tmp_path/side/'deep/in').iterdir()) == ['a.png', 'b.png', 'c.png', 'link']

# --- nothing done is lost: what an earlier run wrote is there, byte for byte, after a run that was refused

@pytest.mark.parametrize('args, spoil_it', [
    (['narrate', '--images', 'in', '--annotations', 'boxes.json', '--out', 'o.jsonl'], lambda w: (w/'in/b.png').write_bytes(b'no image')),
    (['narrate', '--images', 'in', '--annotations', '.', '--format', 'voc', '--out', 'o.jsonl'], lambda w: (w/'b.xml').write_bytes(LAUGHS + b'<annotation>&j;</annotation>')),
    (['rewrite', 'said.csv', '--out', 'o.csv'], lambda w: (w/'said.csv').write_bytes('image,caption\n'.encode('utf-16'))),
    (['check', 'r.jsonl', '--out', 'o.jsonl'], lambda w: (w/'r.jsonl').write_bytes((w/'r.jsonl').read_bytes()[:-20])),
    (['build', '--records', 'r.jsonl', '--images', 'in', '--out', 'o'], lambda w: png(w/'in/b.png', 100_000))],
    ids=lambda a: ' '.join(a[:1] + a[-3:-2]) if isinstance(a, list) else '')
def test_what_an_earlier_run_wrote_outlives_a_refused_one(args, spoil_it, tmp_path):
    (tmp_path/'in').mkdir()
    for i, n in enumerate('abc'):
        Image.fromarray(noise(i)).save(tmp_path/f'in/{n}.png')
        (tmp_path/f'{n}.xml').write_text(f'<annotation><filename>{n}.png</filename><object><name>ship</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>14</xmax><ymax>10</ymax></bndbox></object></annotation>')
    (tmp_path/'boxes.json').write_text(json.dumps(dict(images=[dict(id=i, file_name=f'{n}.png') for i, n in enumerate('abc')],
        annotations=[dict(id=i, image_id=i, category_id=1, bbox=[5, 6, 9, 4]) for i in range(3)], categories=[dict(id=1, name='ship')])))
    if '--format' in args: (tmp_path/'boxes.json').unlink()
    (tmp_path/'said.csv').write_text('image,caption\na.png,A white ship.\nb.png,A red roof.\n')
    write_records([Record(n, f'{n}.png', W, H, boxes=(Box('ship', 5, 6, 9, 4),), labelled_classes=('ship',), captions=(Caption('One ship.'),)) for n in 'abc'], tmp_path/'r.jsonl')
    def made(): return {p: v for p, v in contents(tmp_path).items() if p.startswith('o') and not p.startswith('o/.work/')}
    first = sartext(*args, cwd=tmp_path); assert first.returncode == 0, first.stdout + first.stderr
    inputs = {p: v for p, v in contents(tmp_path).items() if not p.startswith('o')}; whole = made(); spoil_it(tmp_path); again = sartext(*args, cwd=tmp_path)
    assert again.returncode == 1 and len(again.stderr.strip().splitlines()) == 1 and 'Traceback' not in again.stderr, again.stdout + again.stderr
    assert whole and made() == {p: v for p, v in whole.items() if p != 'o/manifest.json'}       # without it a set counts as unfinished
    for p, v in inputs.items(): (tmp_path/p).write_bytes(v)
    assert sartext(*args, cwd=tmp_path).returncode == 0 and made() == whole

# --- the command: exit code 1, one sentence, nothing written

@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world'); (folder/'in').mkdir()
    for n in 'abc': Image.fromarray(noise(ord(n))).save(folder/f'in/{n}.png')
    write_records([Record(n, f'{n}.png', W, H, boxes=(Box('ship', 5, 6, 9, 4),), labelled_classes=('ship',), captions=(Caption('One ship.'),)) for n in 'abc'], folder/'in/r.jsonl')
    (folder/'deep.json').write_bytes(b'['*100_000); (folder/'wide.csv').write_bytes('image,caption\n'.encode('utf-16')); (folder/'there').mkdir()
    (folder/'odd.jsonl').write_text('{"id": "a", "image": "../../etc/passwd.png", "width": 9, "height": 9}\n'); (folder/'m.pt').write_bytes(pickle.dumps(Code()))
    (folder/'bomb').mkdir(); png(folder/'bomb/a.png', 100_000)
    return folder

@pytest.mark.parametrize('args, words', [
    (['narrate', '--images', 'in', '--annotations', 'deep.json', '--out', 'x.jsonl'], 'deep.json: nested too deeply'),
    (['narrate', '--images', 'in', '--annotations', 'in', '--format', 'yolo', '--out', 'x.jsonl'], 'no label file'),
    (['narrate', '--images', 'in', '--optical', 'in', '--optical-captions', 'wide.csv', '--out', 'x.jsonl'], 'wide.csv, line 1: not UTF-8'),
    (['narrate', '--images', 'in', '--masks', 'in', '--classes', 'wide.csv', '--out', 'x.jsonl'], 'not UTF-8'),
    (['check', 'in/r.jsonl', '--captions', 'wide.csv', '--out', 'x.jsonl'], 'wide.csv, line 1: not UTF-8'),
    (['check', 'in/r.jsonl', '--out', 'there'], 'there: is a folder where a file is wanted; name a file in it'),
    (['rewrite', 'wide.csv', '--out', 'x.txt'], 'wide.csv, line 1: not UTF-8'), (['rewrite', 'm.pt', '--out', 'there/'], 'there: is a folder where a file is wanted'),
    (['build', '--records', 'odd.jsonl', '--out', 'x'], 'give a path below the picture folder'), (['leaks', 'm.pt'], 'm.pt, line 1'),
    (['tiles', 'odd.jsonl', '--out', 'x'], 'give a path below the picture folder'), (['tiles', 'bomb', '--out', 'x'], 'a.png: far too large'),
    (['tiles', 'in/r.jsonl', '--out', 'in'], 'is there already and not empty'), (['tiles', 'there', '--out', 'x'], 'there: gives no tile')],
    ids=lambda a: ' '.join(a) if isinstance(a, list) else '')
def test_the_command_refuses_in_one_sentence(args, words, world):
    before = contents(world); r = sartext(*args, cwd=world)
    assert r.returncode == 1 and len(r.stderr.splitlines()) == 1 and r.stderr.startswith('sartext: ') and words in r.stderr, r.stdout + r.stderr
    assert '.part' not in r.stderr and contents(world) == before and not (world/'x').exists()

def test_tiles_of_a_folder_that_holds_one_bomb(world, tmp_path):
    for p in (world/'in').glob('*.png'): shutil.copy(p, tmp_path/p.name)
    png(tmp_path/'d.png', 100_000); flat(np.nan)(tmp_path/'e.tif')
    r = sartext('tiles', tmp_path, '--size', 32, '--overlap', 8, '--ladder', 2, '--out', 'out', '--on-error', 'skip', cwd=tmp_path)
    assert r.returncode == 0 and 'of 4 images, 3 problems' in r.stdout and 'd.png' in r.stderr and 'e.tif' in r.stderr, r.stdout + r.stderr
    cut = list(read_records(tmp_path/'out/records.jsonl')); own = [t for t in cut if t.scene == 'a']
    assert {t.id for t in own} == {f'a-{x}-{y}' for x in (0, 24, 32) for y in (0, 16)} | {'a-2x-0-0'} and len(cut) == 21
    assert all((tmp_path/'out'/t.image).is_file() for t in cut) and len((tmp_path/'out/records.problems.jsonl').read_text().splitlines()) == 3
    assert not list(tmp_path.glob('.*')) and not (tmp_path/'out/.ladder').exists()

def test_a_smaller_world_takes_the_place_of_a_larger_one(tmp_path):
    from sartext.simulate import write_world
    write_world(tmp_path, 3, size=64); (tmp_path/'sar/mine-0-000001.tif').touch(); write_world(tmp_path, 1, size=64)
    assert [p.name for p in sorted((tmp_path/'sar').iterdir())] == ['mine-0-000001.tif', 'sim-0-000000.tif']
    assert all(len(list((tmp_path/sub).iterdir())) == 1 for sub in ('optical', 'masks'))

def test_a_dead_server_is_asked_three_times(tmp_path):
    (tmp_path/'in.txt').write_text(''.join(f'{n} red ships at the quay\n' for n in ('two', 'three', 'four', 'five', 'six')))
    r = sartext('rewrite', 'in.txt', '--out', 'out.txt', '--llm', 'http://127.0.0.1:9/v1', '--model', 'm', cwd=tmp_path)
    assert r.returncode == 0 and 'server: not reachable 3' in r.stdout and 'server: no longer asked after 3 failures in a row 2' in r.stdout, r.stdout + r.stderr
    kept = (tmp_path/'out.txt').read_text(); assert len(kept.splitlines()) == 5 and 'red' not in kept and 'ships at the quay' in kept

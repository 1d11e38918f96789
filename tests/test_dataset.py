"A built data set: the same bytes wherever and however it is built, readable by others, safe to read"
import hashlib, io, json, os, pickle, random, shutil, signal, struct, subprocess, sys, tarfile, time, tracemalloc, zlib
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from conftest import real_data
from sartext.dataset import build as b
from sartext.dataset import shards as sh
from sartext.narrate.annotation import narrate
from sartext.narrate.facts import box_facts, metadata_facts
from sartext.narrate.segmentation import narrate_masks
from sartext.records import BadInput, Box, Caption, Fact, Problems, Question, Record, Sar, note_images, read_records, write_records
from sartext.sources.boxes import read_boxes
from sartext.sources.masks import read_masks

def world(folder, n=24, size=64):
    "Drawn records: SAR (8 bit and float GeoTIFF), optical partners, masks, optical-only records, two byte-equal pictures"
    import rasterio
    (folder/'p').mkdir(parents=True); out = []
    for k in range(n):
        rng = np.random.default_rng(k); a = rng.gamma(3, 10, (size, size)); x, y = rng.integers(5, size - 15, 2); a[y:y+9, x:x+9] += 150
        low = np.add.outer(np.arange(size)*rng.normal(), np.arange(size)*rng.normal())
        a = np.clip(a + 40*np.sin(low/rng.uniform(5, 15)) + 40, 1, 255)
        if k % 6 == 5:
            name = f'p/{k}.tif'
            with rasterio.open(folder/name, 'w', driver='GTiff', width=size, height=size, count=1, dtype='float32', crs='EPSG:32631',
                               transform=rasterio.transform.from_origin(5e5, 5e6, 10, 10)) as f: f.write((a/255).astype('float32')**2, 1)
        else: name = f'p/{k}.png'; Image.fromarray(a.astype('uint8')).save(folder/name)
        known = dict(width=size, height=size, source='drawn', scene=f's{k//2}', boxes=(Box('ship', float(x), float(y), 9., 9.),))
        said = (Caption(f'A ship in picture {k}.'), Caption('One ship.\tIt is "bright".', kind='complex'))
        more = {}
        if k % 3 == 0:
            Image.fromarray(np.dstack([a]*3).astype('uint8')[::-1]).save(folder/f'p/{k}.opt.png')
            Image.fromarray((a > 120).astype('uint8')*2).save(folder/f'p/{k}.mask.png')
            more = dict(partners={'optical': f'p/{k}.opt.png'}, optical_caption='A white ship.', mask=f'p/{k}.mask.png', mask_classes={'2': 'ship'})
        sar = Sar(quantity='intensity', pixel_spacing=(10., 10.)) if name.endswith('tif') else Sar()
        out.append(Record(f'pic {k}', name, captions=said, sar=sar, **known, **more))
    (folder/'p/copy.png').write_bytes((folder/'p/0.png').read_bytes())
    out.append(replace(out[0], id='copy', image='p/copy.png', scene='', partners={}, optical_caption='', mask=None))
    out += [Record(f'o{k}', f'p/{k}.opt.png', size, size, modality='optical', scene=f's{k//2}', captions=(Caption('A white ship.', route='given'),))
            for k in range(0, n, 6)]
    write_records(out, folder/'records.jsonl')
    return out

def contents(folder): return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}

@pytest.fixture(scope='module')
def data(tmp_path_factory):
    top = tmp_path_factory.mktemp('data'); records = world(top/'in')
    return top, records, b.build(top/'in/records.jsonl', top/'out', shard=10, workers=1)

def test_same_bytes_in_another_folder_with_two_workers_as_another_user(data, monkeypatch):
    top, records, manifest = data
    monkeypatch.setenv('USER', 'somebody'); monkeypatch.setenv('TZ', 'Asia/Tokyo'); monkeypatch.setattr(time, 'time', lambda: 2e9)
    (top/'moved/deep').mkdir(parents=True); write_records(records, top/'moved/deep/r.jsonl'); note_images(top/'moved/deep/r.jsonl', top/'in')
    assert b.build(top/'moved/deep/r.jsonl', top/'other place/out', shard=10, workers=2) == manifest
    assert contents(top/'other place/out') == contents(top/'out')
    assert str(top) not in ''.join(p.read_text() for p in (top/'out').rglob('*.json*')) + (top/'out/README.md').read_text()

def test_manifest_lists_every_file(data):
    top, _, manifest = data
    files = contents(top/'out'); files.pop('manifest.json')
    assert {n: hashlib.sha256(v).hexdigest() for n, v in files.items()} == manifest['files'] and b.verify(top/'out') == []

def test_rebuild_with_other_parameters_leaves_nothing_behind(data):
    top, records, manifest = data
    b.build(top/'in/records.jsonl', top/'twice', shard=2, size=32)
    assert b.build(top/'in/records.jsonl', top/'twice', shard=10) == manifest and contents(top/'twice') == contents(top/'out')

def test_killed_and_started_again_gives_the_same_bytes_and_keeps_work(data):
    top, _, manifest = data
    code = ('import sys, time\nfrom sartext.dataset import build as b\nmake = b._make\n'
            'def slow(job, old=None): time.sleep(.05); return make(job, old)\nb._make = slow\n'
            'b.build(sys.argv[1], sys.argv[2], shard=10)')
    job = subprocess.Popen([sys.executable, '-c', code, top/'in/records.jsonl', top/'killed'], stderr=subprocess.DEVNULL)
    until = time.time() + 60
    notes = lambda: [json.loads(l) for l in (top/'killed'/b.NOTES).read_bytes().split(b'\n')[:-1]] if (top/'killed'/b.NOTES).exists() else []
    while time.time() < until and len(notes()) < 6: time.sleep(.01)
    job.send_signal(signal.SIGKILL); assert job.wait() == -signal.SIGKILL
    with pytest.raises(BadInput, match='goes on where it stopped'): b.load(top/'killed', 'train')
    notes = notes(); kept = {name for n in notes for name in n['files']}
    when = {name: (top/'killed'/name).stat().st_mtime_ns for name in kept}
    assert 6 <= len(notes) < 25
    damaged = sorted(kept)[0]; (top/'killed'/damaged).write_bytes(b'half')            # a damaged file is made again, not believed
    assert b.build(top/'in/records.jsonl', top/'killed', shard=10) == manifest
    assert contents(top/'killed') == contents(top/'out')
    again = [n for n in kept if (top/'killed'/n).stat().st_mtime_ns != when[n]]
    assert damaged in again and {n.split('.')[0] for n in again} == {damaged.split('.')[0]}   # that picture alone

def test_killed_while_sharding_with_two_workers(data):
    top, _, manifest = data
    code = ('import os, signal, sys\nfrom sartext.dataset import build as b\n'
            'def stop(*a, **k): os.kill(os.getpid(), signal.SIGKILL)\nb.save_figures = stop\n'
            'b.build(sys.argv[1], sys.argv[2], shard=10, workers=2)')
    job = subprocess.run([sys.executable, '-c', code, top/'in/records.jsonl', top/'late'], stderr=subprocess.DEVNULL)
    assert job.returncode == -signal.SIGKILL and not (top/'late/manifest.json').exists() and list((top/'late/webdataset').glob('*.tar'))
    assert b.build(top/'in/records.jsonl', top/'late', shard=10, workers=2) == manifest and contents(top/'late') == contents(top/'out')

@pytest.mark.parametrize('change', ['none', 'damaged shard', 'damaged part', 'another filter', 'similarity', 'a folder inside', 'a link'])
def test_finished_shards_are_kept(data, tmp_path, monkeypatch, change):
    top, records, _ = data
    code = ('import os, signal, sys\nfrom sartext.dataset import build as b\nwrite, made = b.write_shard, []\n'
            'def stop(samples, paths):\n if len(made) == 2: os.kill(os.getpid(), signal.SIGKILL)\n made.append(1); return write(samples, paths)\n'
            'b.write_shard = stop\nb.build(sys.argv[1], sys.argv[2], shard=10)')
    assert subprocess.run([sys.executable, '-c', code, top/'in/records.jsonl', tmp_path/'o'], stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    done = sorted(p.parent.name for p in (tmp_path/'o/.work').glob('*/note.json')); assert len(done) == 2
    when = {p: p.stat().st_mtime_ns for n in done for p in (tmp_path/'o').glob(f'*/{n}.*')}; assert len(when) == 4
    if change == 'damaged shard': (tmp_path/'o/webdataset'/f'{done[0]}.tar').write_bytes(b'half')
    if change == 'damaged part': (tmp_path/'o/.work'/done[0]/'records.jsonl').write_text('')
    if change == 'a folder inside': (tmp_path/'o/.work'/done[0]/'.ipynb_checkpoints').mkdir()
    if change == 'a link':                                                              # what lies behind it is not ours
        (tmp_path/'o/.work'/done[0]).rename(tmp_path/'theirs'); (tmp_path/'o/.work'/done[0]).symlink_to(tmp_path/'theirs')
    filters = {'another filter': b.Filters(words=(3, 5)), 'similarity': b.Filters(similarity=lambda r, c: 1.)}.get(change, b.Filters())
    made, pack = [], b._pack
    monkeypatch.setattr(b, '_pack', lambda job, here: made.append(job['name']) or pack(job, here))
    b.build(top/'in/records.jsonl', tmp_path/'o', shard=10, filters=filters)
    again = {'none': [], 'another filter': done, 'similarity': done}.get(change, done[:1])
    if change == 'a link': assert (tmp_path/'theirs/note.json').exists()
    assert [n for n in made if n in done] == again and len(made) > len(again)
    assert {p for p in when if p.stat().st_mtime_ns == when[p]} == {p for p in when if p.name.split('.')[0] not in again}
    b.build(top/'in/records.jsonl', tmp_path/'new', shard=10, filters=filters)
    assert contents(tmp_path/'o') == contents(tmp_path/'new')                           # no notes, and the same bytes

def test_no_leak_in_any_modality_and_copies_together(data):
    top, _, _ = data
    scenes = {(s, m): {r.scene for r, _ in b.load(top/'out', s, m)} for s in b.SPLITS for m in ('sar', 'optical')}
    for s in ('val', 'test'):
        assert scenes[s, 'sar'] and not (scenes[s, 'sar'] | scenes[s, 'optical']) & (scenes['train', 'sar'] | scenes['train', 'optical'] - {''})
    split = {r.id: r.split for r in read_records(top/'out/records.jsonl')}
    assert split['copy'] == split['pic 0']
    where = {}
    for r in read_records(top/'out/records.jsonl'):
        for p in {r.image, *r.partners.values()}: where.setdefault(hashlib.sha256((top/'out'/p).read_bytes()).hexdigest(), set()).add(r.split)
    assert all(len(v) == 1 for v in where.values())                  # checked on what was written, not on what was meant

def test_load_optical_gives_partners_and_optical_records(data):
    top, _, _ = data
    got = [r for r, png in b.load(top/'out', 'train', 'optical') if png[:4] == b'\x89PNG']
    assert all(r.modality == 'optical' and r.captions for r in got) and any(r.id.endswith('.optical') for r in got) and any(r.id.startswith('o') for r in got)
    assert all(r.modality == 'sar' for r, _ in b.load(top/'out', 'train'))

def test_shrunk_pictures_carry_their_boxes(data):
    top, records, _ = data
    b.build(top/'in/records.jsonl', top/'small', size=32)
    old = {r.id: r for r in records}
    for r, png in b.load(top/'small', 'train'):
        im = np.asarray(Image.open(io.BytesIO(png)))
        assert im.shape == (r.height, r.width) == (32, 32) and r.boxes[0].x == old[r.id].boxes[0].x/2
        if old[r.id].spacing: assert r.spacing == 20
        box = r.boxes[0]; inside = im[int(box.y)+1:int(box.y+box.h), int(box.x)+1:int(box.x+box.w)]
        assert inside.mean() > im.mean()
        if r.mask: assert set(np.unique(np.asarray(Image.open(top/'small'/r.mask)))) <= {0, 2}

def test_webdataset_reads_the_tars(data):
    wds = pytest.importorskip('webdataset')
    top, _, _ = data
    tars = [str(p) for p in sorted((top/'out/webdataset').glob('train-*.tar'))]
    theirs = list(wds.WebDataset(tars, shardshuffle=False).decode('pil').to_tuple('png', 'txt', 'json'))
    ours = [r for r, _ in b.load(top/'out', 'train')]
    assert [t[2]['id'] for t in theirs] == [r.id for r in ours] and [t[1] for t in theirs] == [r.captions[0].text for r in ours]
    assert theirs[0][0].size == (64, 64)

def test_datasets_reads_the_parquet_and_the_folder(data, tmp_path):
    datasets = pytest.importorskip('datasets')
    top, _, manifest = data
    files = [str(p) for p in sorted((top/'out/parquet').glob('train-*.parquet'))]
    one = datasets.load_dataset('parquet', data_files={'train': files}, cache_dir=str(tmp_path))['train']
    assert isinstance(one.features['image'], datasets.Image) and one[0]['image'].size == (64, 64)
    whole = datasets.load_dataset(str(top/'out'), 'sar', cache_dir=str(tmp_path))
    assert set(whole) == {'train', 'validation', 'test'} and whole['train'].num_rows == one.num_rows
    partner = next(row for row in one if row['optical']); assert partner['optical'].mode == 'RGB'
    held = next(r for r, _ in b.load(top/'out', 'train') if r.id == partner['id'])
    assert np.array_equal(partner['mask'], Image.open(top/'out'/held.mask)) and partner['before'] is None and partner['questions'] == partner['answers'] == []
    assert {c for row in one for c in row['captions']} >= {'One ship.\tIt is "bright".'}

def test_open_clip_reads_the_csv(data, monkeypatch):
    theirs = pytest.importorskip('open_clip_train.data')
    top, _, _ = data
    monkeypatch.chdir(top/'out')
    got = theirs.CsvDataset('csv/train.csv', np.asarray, 'filepath', 'title', sep='\t', tokenizer=lambda t: t)
    want = [(r.image, c.text) for r, _ in b.load(top/'out', 'train') for c in r.captions]
    assert list(zip(got.images, got.captions)) == want and got[0][0].shape == (64, 64) and got[1][1] == 'One ship.\tIt is "bright".'

def hostile(path, name, data=b'x', kind=tarfile.REGTYPE, link=''):
    with tarfile.open(path, 'w') as t:
        entry = tarfile.TarInfo(name); entry.size, entry.type, entry.linkname = len(data) if kind == tarfile.REGTYPE else 0, kind, link
        t.addfile(entry, io.BytesIO(data))
    return path

class Bomb:
    def __reduce__(self): return exec, ("raise SystemExit('unpickled')",)

@pytest.mark.parametrize('name, kind, link', [
    ('../../.bashrc.json', tarfile.REGTYPE, ''), ('/etc/passwd.txt', tarfile.REGTYPE, ''), ('a/b.png', tarfile.REGTYPE, ''), ('a\\b.png', tarfile.REGTYPE, ''),
    ('a.pkl', tarfile.REGTYPE, ''), ('a.pyd', tarfile.REGTYPE, ''), ('a.npy', tarfile.REGTYPE, ''), ('a.png', tarfile.SYMTYPE, '/etc/passwd'),
    ('a.png', tarfile.LNKTYPE, 'b.png'), ('a', tarfile.DIRTYPE, ''), ('a.png', tarfile.CHRTYPE, ''), ('.png', tarfile.REGTYPE, '')])
def test_hostile_tar_is_refused(tmp_path, name, kind, link):
    path = hostile(tmp_path/'t.tar', name, pickle.dumps(Bomb()), kind, link)
    with pytest.raises(BadInput, match='t.tar'): list(sh.read_tars(path))
    faults = Problems('skip'); assert list(sh.read_tars(path, faults)) == [] and len(faults) == 1

def test_faulty_samples_are_named(tmp_path):
    for n, (name, data) in enumerate([('a.json', b'{'), ('a.json', b'[]'), ('a.json', b'\xff'), ('a.json', b'{"id": "a"}'), ('a.png', b'')]):
        with tarfile.open(tmp_path/f'{n}.tar', 'w') as t:
            for k, v in {'a.json': b'{"id":"a","image":"a.png","width":9,"height":9}', 'a.png': b'p', name: data}.items():
                if v: entry = tarfile.TarInfo(k); entry.size = len(v); t.addfile(entry, io.BytesIO(v))
        with pytest.raises(BadInput, match='sample a'): list(sh.read_tars(tmp_path/f'{n}.tar'))

def test_given_split_that_leaks(data, tmp_path):
    top, records, _ = data
    given = [replace(r, split='test' if r.id == 'copy' else 'train') for r in records]
    write_records(given, tmp_path/'r.jsonl')
    with pytest.raises(BadInput, match="copy \\(test\\).*on_leak='move'"): b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in')
    b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in', on_leak='move')
    split = {r.id: r.split for r in read_records(tmp_path/'o/records.jsonl')}
    assert split['pic 0'] == split['pic 1'] == split['copy'] == 'test' and split['pic 8'] == 'train'

def test_problems_are_named_and_the_rest_is_built(tmp_path):
    records = world(tmp_path/'in', 12)
    (tmp_path/'in/p/1.png').unlink(); (tmp_path/'in/p/2.png').write_bytes((tmp_path/'in/p/2.png').read_bytes()[:200])
    (tmp_path/'in/p/3.opt.png').write_bytes(b'no picture'); Image.new('L', (9, 9)).save(tmp_path/'in/p/4.png')
    (tmp_path/'in/records.jsonl').open('a').write('{"id": "cut\n')
    with pytest.raises(BadInput): b.build(tmp_path/'in/records.jsonl', tmp_path/'stop')
    faults = Problems('skip')
    manifest = b.build(tmp_path/'in/records.jsonl', tmp_path/'out', problems=faults, workers=2)
    assert {p.file for p in faults if p.file.startswith('p/')} == {'p/1.png', 'p/2.png', 'p/3.opt.png', 'p/4.png'} and len(faults) == 5
    assert manifest['counts']['images'] == len(records) - 3 and b.verify(tmp_path/'out') == []
    kept = {r.id: r for r in read_records(tmp_path/'out/records.jsonl')}
    assert kept['pic 3'].partners == {} and 'pic 1' not in kept
    assert len((tmp_path/'out/problems.jsonl').read_text().splitlines()) == 5 and str(tmp_path) not in (tmp_path/'out/problems.jsonl').read_text()

def test_strange_folder_is_left_alone(data, tmp_path):
    top, _, _ = data
    (tmp_path/'thesis.tex').write_text('years')
    with pytest.raises(BadInput, match='holds other files'): b.build(top/'in/records.jsonl', tmp_path)
    assert (tmp_path/'thesis.tex').read_text() == 'years' and len(list(tmp_path.iterdir())) == 1

def test_foreign_manifest_makes_no_folder_ours(data, tmp_path):
    top, _, _ = data
    for n, text in enumerate(['{"name": "web app", "files": ["images/holiday.png"]}', '[]', '{"sartext": 1}', 'no JSON', '['*100_000]):
        out = tmp_path/str(n); (out/'images').mkdir(parents=True)
        (out/'manifest.json').write_text(text); (out/'images/holiday.png').write_bytes(b'the sea')
        before = contents(out)
        with pytest.raises(BadInput, match='holds other files'): b.build(top/'in/records.jsonl', out)
        assert contents(out) == before
    (tmp_path/'w/.work').mkdir(parents=True); (tmp_path/'w/.work/diary.json').write_text('{}')
    with pytest.raises(BadInput, match='holds other files'): b.build(top/'in/records.jsonl', tmp_path/'w')

def test_only_our_own_files_are_tidied_away(data, tmp_path):
    top, _, _ = data
    b.build(top/'in/records.jsonl', tmp_path/'o', shard=2)
    strange = {'images/holiday.png', 'webdataset/train-000777.tar', 'figures/mine/plot.png', 'notes.txt', '.work/diary.json', 'images/.cache.part'}
    for name in strange: (tmp_path/'o'/name).parent.mkdir(exist_ok=True); (tmp_path/'o'/name).write_bytes(b'years')
    for name in ('images/.pic-0-x.png.17.part', 'images/.holiday.png.17.part'): (tmp_path/'o'/name).write_bytes(b'')
    known = next(n for n in contents(tmp_path/'o') if n.startswith('images/pic-0') and n.endswith('.png')).split('/')[1]
    (tmp_path/f'o/images/.{known}.17.part').write_bytes(b'')                             # a picture of ours, cut off
    manifest = b.build(top/'in/records.jsonl', tmp_path/'o', shard=10)
    left = set(contents(tmp_path/'o')) - set(manifest['files']) - {'manifest.json'}
    assert left == strange | {'images/.pic-0-x.png.17.part', 'images/.holiday.png.17.part'} and b.verify(tmp_path/'o') == []

def test_bad_records_leave_a_good_data_set_alone(data, tmp_path):
    top, _, _ = data
    b.build(top/'in/records.jsonl', tmp_path/'o'); before = contents(tmp_path/'o')
    (tmp_path/'r.jsonl').write_bytes((top/'in/records.jsonl').read_bytes() + b'{"id": "caf\xe9"}\n')
    with pytest.raises(BadInput, match='not UTF-8'): b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in')
    with pytest.raises(OSError): b.build(tmp_path/'lost.jsonl', tmp_path/'o', images=top/'in')
    assert contents(tmp_path/'o') == before and b.verify(tmp_path/'o') == []

def test_shrunk_records_state_only_what_is_true(tmp_path):
    records = [narrate(replace(r, boxes=r.boxes + (Box('ship', 20., 30., 30., 5., attributes={'rle': {'size': [64, 64], 'counts': 'x'},
                       'parts': [[[20., 30.], [50., 30.], [50., 35.]], [[20., 30.], [22., 30.], [22., 32.]]]}),),
                       sar=replace(r.sar, sensor='drawn', pixel_spacing=(3., 3.)), captions=(Caption('Nothing tested.', route='given'),)), per_image=4)
               if r.modality == 'sar' else r for r in world(tmp_path/'in', 12)]
    write_records(records, tmp_path/'in/records.jsonl')
    whole = b.build(tmp_path/'in/records.jsonl', tmp_path/'whole')
    assert whole['counts']['dropped'] == {'captions': 0, 'questions': 0} and 'were left out: shrinking' not in (tmp_path/'whole/README.md').read_text()
    for size in (48, 21, 8):
        manifest = b.build(tmp_path/'in/records.jsonl', tmp_path/'small', size=size)
        new = list(read_records(tmp_path/'small/records.jsonl')); n = manifest['counts']['dropped']['captions']
        for r in new:
            facts = {*box_facts(r), *metadata_facts(r)}
            assert all(set(c.facts) <= facts for c in r.captions)
            if r.modality == 'sar':
                box = r.boxes[-1]; assert 'rle' not in box.attributes and box.attributes['parts'][0][1] == [50*size/64, 30*size/64]
                assert r.captions[0].text == 'Nothing tested.'
        assert n > 0 and n == sum(len(r.captions) for r in records) - sum(len(r.captions) for r in new) == whole['counts']['captions'] - manifest['counts']['captions']
        assert f'{n:,} captions and questions of the source records were left out' in (tmp_path/'small/README.md').read_text()

def test_optical_partner_denies_nothing(data):
    top, _, _ = data
    r = replace(next(r for r, _ in b.load(top/'out', 'train') if 'optical' in r.partners), labelled_classes=('ship', 'bridge'))
    assert box_facts(b.optical_partner(r)) == () and b.optical_partner(r).labelled_classes == ()

def bomb(path, side=30_000):
    "A PNG of a few bytes that claims `side` × `side` pixels"
    chunk = lambda t, d: struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d))
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0))
                     + chunk(b'IDAT', zlib.compress(b'\0'*1000)) + chunk(b'IEND', b''))

def eps(path): path.write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n/x {stop} def\nshowpage\n')

@pytest.mark.parametrize('hostile, said', [(bomb, 'too large|more than'), (lambda p: bomb(p, 11_000), 'more than'), (eps, 'not an image')],
                         ids=['bomb', 'small bomb', 'eps'])
def test_hostile_partners_masks_and_pictures_are_named(tmp_path, monkeypatch, hostile, said):
    from PIL import EpsImagePlugin
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', lambda *a, **k: pytest.fail('Ghostscript was started'))
    world(tmp_path/'in', 12)
    for name in ('0.opt', '3.mask', '4'): hostile(tmp_path/f'in/p/{name}.png')
    with pytest.raises(BadInput, match=said): b.build(tmp_path/'in/records.jsonl', tmp_path/'stop')
    faults = Problems('skip')
    b.build(tmp_path/'in/records.jsonl', tmp_path/'out', problems=faults)
    assert {p.file for p in faults} == {'p/0.opt.png', 'p/3.mask.png', 'p/4.png'} and b.verify(tmp_path/'out') == []
    kept = {r.id: r for r in read_records(tmp_path/'out/records.jsonl')}
    assert kept['pic 0'].partners == {} and kept['pic 3'].mask is None and 'pic 4' not in kept and 'o0' not in kept

def test_no_torch_and_quick():
    code = "import sys, sartext.dataset.build; print([m for m in ('torch', 'matplotlib', 'pyarrow', 'rasterio', 'imagehash', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == '[]'

# ── images taken over byte for byte ──────────────────────────────────────────────────────────────────────────────────────
def test_images_are_taken_over_as_they_are_only_where_that_is_the_same(tmp_path):
    a = np.random.default_rng(0).gamma(3, 20, (40, 40)).clip(0, 255).astype('uint8'); grey, rgb = Image.fromarray(a), Image.fromarray(np.dstack([a]*3))
    colour, clear, turned = Image.fromarray(np.dstack([a, a//2, a])), Image.fromarray(np.dstack([a, a, a, a])), Image.Exif(); turned[0x0112] = 6
    (tmp_path/'p').mkdir(); opt = 'optical'
    for name, im, how in (('grey.png', grey, {}), ('grey.jpg', grey, {}), ('rgb.jpg', rgb, {}), ('rgb.png', rgb, {}), ('colour.png', colour, {}), ('clear.png', clear, {}),
                          ('turned.jpg', grey, dict(exif=turned)), ('film.png', grey, dict(save_all=True, append_images=[grey.transpose(0)])),
                          ('opt.jpg', colour, {}), ('opt-grey.png', grey, {}), ('16.png', Image.fromarray(a.astype('uint16')*200), {})): im.save(tmp_path/'p'/name, **how)
    (tmp_path/'p/more.png').write_bytes((tmp_path/'p/grey.png').read_bytes() + b'PK and a zip')
    same, drawn = ('grey.png', 'grey.jpg', 'rgb.jpg', 'rgb.png', 'opt.jpg'), ('colour.png', 'clear.png', 'turned.jpg', 'film.png', 'opt-grey.png', '16.png', 'more.png')
    write_records([Record(n, f'p/{n}', 40, 40, modality=opt if n.startswith('opt') else 'sar') for n in same + drawn], tmp_path/'r.jsonl')
    for size, kept in ((None, same), (40, same), (20, ())):
        b.build(tmp_path/'r.jsonl', tmp_path/f'o{size}', size=size, threshold=None)
        got = {r.id: (tmp_path/f'o{size}'/r.image) for r in read_records(tmp_path/f'o{size}/records.jsonl')}
        assert {n for n, p in got.items() if p.read_bytes() == (tmp_path/'p'/n).read_bytes()} == set(kept)
        assert all(p.suffix == ('.jpg' if n in kept and n.endswith('jpg') else '.png') for n, p in got.items())
    b.build(tmp_path/'r.jsonl', tmp_path/'smooth', speckle='lee', threshold=None)
    assert {n for n in same if (tmp_path/'smooth/images'/got[n].name).exists() and
            (tmp_path/'smooth/images'/got[n].name).read_bytes() == (tmp_path/'p'/n).read_bytes()} == set()
    for form, read in (('webdataset/*.tar', sh.read_tars), ('parquet/*.parquet', sh.read_parquet)):
        assert {s.record.id: s.png for s in read(sorted((tmp_path/'oNone').glob(form)))}['grey.jpg'] == (tmp_path/'p/grey.jpg').read_bytes()
    assert b.verify(tmp_path/'oNone') == []

# ── texts without images ─────────────────────────────────────────────────────────────────────────────────────────────────
def stand_in(n, asked=9):
    "Records whose images nobody has"
    for k in range(n):
        fact = Fact('count', 'ship', k % 5 + 1)
        yield Record(f't{k}', f'far/{k//2}.jpg', 64, 64, source='stand-in', licence='CC-BY-4.0', scene=f'place {k//4}', captions=(Caption(f'{k % 5 + 1} ships, view {k}.', facts=(fact,)),),
                     questions=tuple(Question(f'How many ships ({q})?', str(k % 5 + 1), facts=(fact,)) for q in range(asked)))

def test_records_without_image_are_packed_as_texts_and_said(data, tmp_path):
    datasets = pytest.importorskip('datasets')
    top, records, _ = data
    write_records([*records, *stand_in(60)], tmp_path/'r.jsonl')
    with pytest.raises(BadInput, match='No such file'): b.build(tmp_path/'r.jsonl', tmp_path/'all', images=top/'in')
    told = Problems(); manifest = b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in', pictures='present', shard=10, problems=told)
    n = manifest['counts']; assert (n['records'], n['images'], n['texts_only'], n['questions']) == (len(records) + 60, len(records), 60, 540)
    assert any('60 of 89 records are packed as texts only' in s for s in told.notes) and '60 of 89 records come without their image' in (tmp_path/'o/README.md').read_text()
    every = list(read_records(tmp_path/'o/records.jsonl')); bare = [r for r in every if r.extra.get('texts_only')]
    assert {r.image for r in bare} == {f'far/{k}.jpg' for k in range(30)} and len(bare) == 60 and sum(n['text_splits'].values()) == 60
    assert len({(r.scene, r.split) for r in bare}) == 15                                    # two records of one image, four of one place: one split
    assert all(r.image.startswith('images/') for s in b.SPLITS for r, _ in b.load(tmp_path/'o', s))
    rows = datasets.load_dataset(str(tmp_path/'o'), 'texts', cache_dir=str(tmp_path/'cache')); rows = [row for s in rows.values() for row in s]
    assert len(rows) == 60 and all(row['image'] is None and json.loads(row['record'])['questions'] for row in rows)
    assert not list((tmp_path/'o').glob('webdataset/texts*')) and b.verify(tmp_path/'o') == []
    listed = b.build(tmp_path/'r.jsonl', tmp_path/'ids', images=top/'in', pictures=[r.id for r in records], shard=10)
    assert listed['parameters']['pictures']['ids'] == len(records) and contents(tmp_path/'ids')['records.jsonl'] == contents(tmp_path/'o')['records.jsonl']
    assert b.build(tmp_path/'r.jsonl', tmp_path/'none', pictures=())['counts']['images'] == 0
    with pytest.raises(BadInput, match=r'pictures=\(\)'): b.build(tmp_path/'r.jsonl', tmp_path/'typo', images=tmp_path/'typo', pictures='present')

def test_rows_are_light_however_much_is_said(tmp_path):
    write_records(stand_in(3000, 40), tmp_path/'r.jsonl'); assert (tmp_path/'r.jsonl').stat().st_size > 4000*3000
    tracemalloc.start(); rows = b._rows(tmp_path/'r.jsonl', tmp_path, (), Problems()); held, most = tracemalloc.get_traced_memory(); tracemalloc.stop()
    assert len(rows) == 3000 and held < 700*3000 and most < held + 20e6                     # bytes a record; a run of 200 parsed lines on top

# ── filters, overlaps, other sets ────────────────────────────────────────────────────────────────────────────────────────
def not_glowing(record, caption): return 0. if 'glowing' in caption.text else 1.

def test_filters_count_what_they_remove(tmp_path):
    records = world(tmp_path/'in', 24); extra = {'pic 1': 'A ship on the water!', 'pic 2': 'Ship.', 'pic 3': 'Nine ships are in the image.', 'pic 4': 'A glowing ship in the image.'}
    records = [replace(r, captions=(Caption('A ship on the water.'), *r.captions[1:], *([Caption(extra[r.id])] if r.id in extra else []))) for r in records]
    write_records(records, tmp_path/'in/records.jsonl')
    strict = b.Filters(duplicates=True, words=(2, 30), contradictions=True, similarity=not_glowing, least=.5)
    manifest = b.build(tmp_path/'in/records.jsonl', tmp_path/'o', filters=strict, workers=2)
    assert manifest['counts']['filtered'] == {'duplicate images': 1, 'duplicate captions': 1, 'length': 1, 'contradiction': 1, 'similarity': 1}
    assert manifest['parameters']['filters'] == {'duplicates': True, 'words': [2, 30], 'contradictions': True, 'similarity': {'by': 'not_glowing', 'least': .5}}
    left = {r.id: r for r in read_records(tmp_path/'o/records.jsonl')}; card = (tmp_path/'o/README.md').read_text()
    assert 'pic 0' not in left and 'copy' in left and not {c.text for r in left.values() for c in r.captions} & set(extra.values())
    assert '| contradiction | captions | 1 |' in card and b.verify(tmp_path/'o') == [] and not list((tmp_path/'o/images').glob('pic-0-*'))
    assert b.build(tmp_path/'in/records.jsonl', tmp_path/'all')['counts']['filtered'] == {}

def test_sets_that_contain_one_another_are_refused(data, tmp_path):
    top, records, _ = data
    write_records([replace(r, source='SARDet-100K' if r.scene < 's4' and r.scene else 'HRSID', split='train' if r.scene < 's4' and r.scene else 'test')
                   for r in records if r.id not in ('copy', 'pic 0')], tmp_path/'r.jsonl')
    with pytest.raises(BadInput, match="SARDet-100K and HRSID share.*on_overlap='keep'"): b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in', on_leak='move')
    b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in', on_leak='move', on_overlap='keep')
    assert 'SARDet-100K and HRSID share the images of HRSID' in (tmp_path/'o/README.md').read_text()

def test_a_finished_set_gives_way_to_other_records_by_force_alone(data, tmp_path):
    top, records, _ = data
    b.build(top/'in/records.jsonl', tmp_path/'o'); before = contents(tmp_path/'o')
    write_records(records[:20], tmp_path/'r.jsonl')
    with pytest.raises(BadInput, match='other records.*force=True'): b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in')
    assert contents(tmp_path/'o') == before
    b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in', force=True); assert b.verify(tmp_path/'o') == []
    b.build(tmp_path/'r.jsonl', tmp_path/'new', images=top/'in'); assert contents(tmp_path/'new') == contents(tmp_path/'o')

def test_what_is_hardly_meant_is_told(data, tmp_path):
    top, records, _ = data
    write_records([replace(r, captions=()) for r in records[:12]], tmp_path/'r.jsonl'); told = Problems()
    b.build(tmp_path/'r.jsonl', tmp_path/'o', images=top/'in', problems=told)
    assert any('12 of 12 records have no caption' in s for s in told.notes) and sum('fewer than 20' in s for s in told.notes) == 2
    (tmp_path/'coco.json').write_text(json.dumps(dict(info={}, images=[], annotations=[])))
    with pytest.raises(BadInput, match='COCO.*sartext narrate'): b.build(tmp_path/'coco.json', tmp_path/'c')

# ── engines and kills ────────────────────────────────────────────────────────────────────────────────────────────────────
def test_killed_six_times_at_random(tmp_path):
    rng, moments = np.random.default_rng(1), random.Random(1); (tmp_path/'p').mkdir()
    for k in range(400): Image.fromarray(rng.gamma(3, 20, (32, 32)).clip(0, 255).astype('uint8')).save(tmp_path/f'p/{k}.png')
    write_records([Record(f'{k}', f'p/{k}.png', 32, 32, captions=(Caption(f'View {k}.'),)) for k in range(400)], tmp_path/'r.jsonl')
    manifest = b.build(tmp_path/'r.jsonl', tmp_path/'whole', shard=50)
    code = ('import sys\nfrom sartext.dataset import build as b\nif __name__ == "__main__":\n print("go", flush=True)\n'
            ' b.build(sys.argv[1], sys.argv[2], shard=50, workers=2)')
    ends = []
    for _ in range(6):
        job = subprocess.Popen([sys.executable, '-c', code, tmp_path/'r.jsonl', tmp_path/'killed'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        job.stdout.readline()
        try: job.wait(timeout=moments.uniform(.1, 1.5))
        except subprocess.TimeoutExpired: job.kill(); job.wait()
        ends.append(job.returncode)
    assert -signal.SIGKILL in ends                      # at least one was killed at work
    assert b.build(tmp_path/'r.jsonl', tmp_path/'killed', shard=50) == manifest and contents(tmp_path/'killed') == contents(tmp_path/'whole')

def test_one_process_two_and_ray_give_the_same_bytes(data):
    "The same records with every engine; that Ray was at work is asked of it, for a build that fell back to processes would pass as well"
    pytest.importorskip('ray.data', reason='pip install "sartext[ray]" to try it')
    top, _, manifest = data                                         # built with one process
    assert b.build(top/'in/records.jsonl', top/'two', shard=10, workers=2) == manifest and contents(top/'two') == contents(top/'out')
    code = ('import sys\nfrom sartext.dataset import build as b\nif __name__ == "__main__":\n b.build(sys.argv[1], sys.argv[2], shard=10, workers=2, engine="ray")\n'
            ' import ray\n print("Ray", ray.is_initialized() and ray.cluster_resources()["CPU"])')
    run = subprocess.run([sys.executable, '-c', code, top/'in/records.jsonl', top/'ray'], check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    assert run.stdout.splitlines()[-1] == 'Ray 2.0', run.stdout
    assert contents(top/'ray') == contents(top/'out') and b.verify(top/'ray') == []

def test_ray_is_handed_a_part_of_the_jobs_at_a_time(monkeypatch):
    from types import SimpleNamespace as N
    from sartext.dataset.splits import spread
    begun = []
    def jobs():
        for k in range(2000): begun.append(k); yield k
    class Rows(list):                           # of Ray what is used here, without Ray: from_items, map, iter_rows
        def map(self, f): return Rows([f(row) for row in self])
        def iter_rows(self): return iter(self)
    context = N(execution_options=N(preserve_order=False), enable_progress_bars=True)
    data = N(from_items=lambda rows, override_num_blocks: Rows(rows), DataContext=N(get_current=lambda: context))
    ray = N(data=data, is_initialized=lambda: True, cluster_resources=lambda: {'CPU': 2.})
    monkeypatch.setitem(sys.modules, 'ray', ray); monkeypatch.setitem(sys.modules, 'ray.data', data)
    done = spread(abs, jobs(), engine='ray')
    assert next(done) == 0 and len(begun) < 300
    assert [0, *done] == list(range(2000)) and context.execution_options.preserve_order

def test_an_image_is_decoded_once_and_its_bytes_are_hashed_once(tmp_path, monkeypatch):
    rng, hashed, decoded, sha, decoder = np.random.default_rng(0), [], [], hashlib.sha256, Image._getdecoder
    Image.fromarray(rng.integers(0, 255, (64, 64)).astype('uint8')).save(tmp_path/'a.png'); data = (tmp_path/'a.png').read_bytes()
    monkeypatch.setattr(hashlib, 'sha256', lambda d=b'', **k: hashed.append(bytes(d)) or sha(d, **k))
    monkeypatch.setattr(Image, '_getdecoder', lambda *a: decoded.append(a[1]) or decoder(*a))
    made = b._make(b._job(Record('a', 'a.png', 64, 64), 'a', tmp_path, tmp_path/'out', None))
    assert hashed.count(data) == 1 and decoded == ['zip'] and made['prints']['a.png'][0] == made['files']['images/a.png'] == sha(data).hexdigest()

def test_an_image_is_read_once_to_be_packed_and_a_shard_never_to_be_hashed(data, tmp_path, monkeypatch):
    import builtins
    top, _, manifest = data
    read, hashed, opened, sha = [], [], builtins.open, b._sha
    def counting(path, mode='r', *a, **k):
        if mode == 'rb' and str(path).startswith(f'{tmp_path}/o/images/'): read.append(str(path))
        return opened(path, mode, *a, **k)
    monkeypatch.setattr(b, '_sha', lambda path: hashed.append(str(path)) or sha(path)); monkeypatch.setattr(b, 'open', counting, raising=False)
    assert b.build(top/'in/records.jsonl', tmp_path/'o', shard=10) == manifest
    assert len(read) == len(set(read)) == sum(name.startswith('images/') for name in manifest['files'])
    assert hashed and not [p for p in hashed if p.endswith(('.tar', '.parquet'))]

def test_one_set_of_processes_serves_the_whole_build(data, tmp_path, monkeypatch):
    from sartext.dataset import splits
    pools = []
    class Pool(splits.ProcessPoolExecutor):
        def __init__(self, *a, **k): pools.append(a); super().__init__(*a, **k)
    monkeypatch.setattr(splits, 'ProcessPoolExecutor', Pool)
    assert b.build(data[0]/'in/records.jsonl', tmp_path/'o', shard=10, workers=2) == data[2] and pools == [(2,)]

def test_formats_asked_for_alone_are_written(data, tmp_path):
    top, _, manifest = data
    assert b.build(top/'in/records.jsonl', tmp_path/'o', shard=10) == manifest
    for formats in (['csv'], ['parquet', 'webdataset'], []):
        few = b.build(top/'in/records.jsonl', tmp_path/'o', shard=10, formats=formats)
        assert {n.split('/')[0] for n in few['files'] if '/' in n} == {'images', 'figures', *formats} and b.verify(tmp_path/'o') == []
        assert {p.name for p in (tmp_path/'o').iterdir()} == {n.split('/')[0] for n in few['files']} | {'manifest.json'}         # what was there goes
        assert {n: s for n, s in few['files'].items() if n != 'README.md'}.items() <= manifest['files'].items() and few['parameters']['formats'] == sorted(formats)
        assert [r.id for r, _ in b.load(tmp_path/'o', 'train')] == [r.id for r, _ in b.load(top/'out', 'train')]
        for name, said in (('parquet', 'load_dataset'), ('webdataset', 'webdataset'), ('csv', 'csv/train.csv'), ('parquet', 'configs:')):
            assert (said in (tmp_path/'o/README.md').read_text()) == (name in formats)
    for formats in (['webdataset'], ['parquet']):
        b.build(top/'in/records.jsonl', tmp_path/'t', shard=10, formats=formats, pictures=[], force=True)
        assert ('are the configuration `texts`' in (tmp_path/'t/README.md').read_text()) == (formats == ['parquet'])
    with pytest.raises(ValueError, match="'zip'"): b.build(top/'in/records.jsonl', tmp_path/'no', formats=['zip'])
    assert not (tmp_path/'no').exists()

def test_look_alikes_are_sought_once_a_build(data, tmp_path):
    from sartext.dataset.splits import _near
    _near.cache_clear(); b.build(data[0]/'in/records.jsonl', tmp_path/'o')
    assert _near.cache_info().misses == 1 and _near.cache_info().hits == 2

def test_large_images_make_small_row_groups(tmp_path, monkeypatch):
    from pyarrow.parquet import ParquetFile
    some = [sh.Sample(f'{k}', Record(f'{k}', f'{k}.png', 9, 9), bytes(100)) for k in range(5)]
    monkeypatch.setattr(sh, 'HELD', 250); [path] = sh.write_parquet(some, tmp_path, 'a')
    assert ParquetFile(path).metadata.num_row_groups == 3 and list(sh.read_parquet(path)) == some

def parquet_samples(more):
    rng = np.random.default_rng(3)
    def png(): f = io.BytesIO(); Image.fromarray(rng.integers(0, 255, (8, 9), 'uint8')).save(f, 'PNG'); return f.getvalue()
    asked = (Question('How many ships are there?', '2'), Question('Is there a car?', 'no', options=('yes', 'no')))
    return [sh.Sample(f's{k}', Record(f's{k}', f's{k}.png', 9, 8, questions=asked[:k]), png(), {name: png() for name in sh.OTHERS[:k]} if more else {}) for k in range(4)]

def test_parquet_holds_masks_partners_and_questions(tmp_path):
    datasets = pytest.importorskip('datasets'); some = parquet_samples(True); [path] = sh.write_parquet(some, tmp_path, 'train', group=2)
    assert list(sh.read_parquet(path)) == some and [*some[3].others] == ['before', 'mask', 'optical']
    assert sh.write_parquet(iter(some), tmp_path/'again', 'train', group=2)[0].read_bytes() == path.read_bytes()
    rows = datasets.load_dataset('parquet', data_files=str(path), cache_dir=str(tmp_path/'cache'))['train']
    assert all(isinstance(rows.features[k], datasets.Image) for k in ('image', *sh.OTHERS))
    assert [[k for k in sh.OTHERS if row[k]] for row in rows] == [list(sh.OTHERS[:k]) for k in range(4)]
    for s, row in zip(some, rows):
        assert (row['questions'], row['answers']) == ([q.question for q in s.record.questions], [q.answer for q in s.record.questions])
        for k, held in s.others.items(): assert np.array_equal(row[k], Image.open(io.BytesIO(held)))

def test_parquet_without_a_mask_and_of_before_there_were_any(tmp_path):
    import pyarrow.parquet as pq
    some = parquet_samples(False); [path] = sh.write_parquet(some, tmp_path, 'train'); table = pq.read_table(path); table.validate(full=True)
    assert all(table[k].null_count == 4 for k in sh.OTHERS) and list(sh.read_parquet(path)) == some
    [path] = sh.write_parquet(with_all := parquet_samples(True), tmp_path/'all', 'train')
    pq.write_table(pq.read_table(path).drop_columns(['before', 'mask', 'questions', 'answers']), tmp_path/'old.parquet')
    assert list(sh.read_parquet(tmp_path/'old.parquet')) == [replace(s, others={k: v for k, v in s.others.items() if k == 'optical'}) for s in with_all]

def test_packing_loads_no_pandas(tmp_path):
    code = ('import sys\nfrom sartext.dataset.shards import *\nfrom sartext.records import Record\n'
            'write_parquet([Sample("a", Record("a", "a.png", 9, 9), b"x")], sys.argv[1], "a")\nassert "pyarrow" in sys.modules and "pandas" not in sys.modules')
    subprocess.run([sys.executable, '-c', code, tmp_path], check=True)

def test_without_ray_it_is_said_how_to_come_by_it(data, tmp_path, monkeypatch):
    top, _, _ = data
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(BadInput, match=r'pip install "sartext\[ray\]"'): b.build(top/'in/records.jsonl', tmp_path/'o', engine='ray')
    assert not (tmp_path/'o').exists()

# ── real data ────────────────────────────────────────────────────────────────────────────────────────────────────────────
VEHICLES = dict(zip('0123456789', '2S1 BMP2 BRDM2 BTR60 BTR70 D7 T62 T72 ZIL131 ZSU23-4'.split()))     # inferred: their source names none

def real_records(data, index):
    "Records of seven public sets, each with source, licence and captions where it is annotated"
    def of(found, source, licence, sub=''):
        for r in found:
            at = lambda p: p and f'{sub}{p}'
            r = replace(r, id=f'{source} {r.id}', source=source, licence=licence, split='', scene=r.scene and f'{source} {r.scene}', image=at(r.image), mask=r.mask and at(r.mask),
                        partners={k: at(p) for k, p in r.partners.items()})
            yield from narrate_masks([r], '/') if r.mask else [narrate(r) if r.boxes else r]
    def table(name, text): (index/name).write_text(text); return index/name
    d = data.as_posix().lstrip('/')
    yield from of(read_boxes(data/'ssdd/JPEGImages', data/'ssdd/Annotations', problems=Problems('skip')), 'SSDD', 'free for research', f'{d}/ssdd/JPEGImages/')
    yield from of(read_boxes(data/'mstar_scenes/JPEGImages', data/'mstar_scenes/Annotations', slack=7, names=VEHICLES), 'MSTAR', 'public release (AFRL)', f'{d}/mstar_scenes/JPEGImages/')
    yield from of(read_boxes(data/'opensarship', data/'opensarship', problems=Problems('skip')), 'OpenSARShip', 'for research (SJTU)', f'{d}/opensarship/')
    oil = table('oil.csv', '"0,0,0",Sea Surface\n"0,255,255",Oil Spill\n"255,0,0",Look-alike\n"153,76,0",Ship\n"0,153,0",Land\n')
    yield from of(read_masks(data/'oil_spill/images', data/'oil_spill/masks', oil, index_dir=index/'index', root='/'), 'Oil spill', 'free for research on request')
    flood = table('flood.csv', '-1,no data\n0,not water\n1,water\n')
    yield from of(read_masks(data/'sen1floods11/S1', data/'sen1floods11/Labels', flood, endings=('_S1Hand', '_LabelHand'), root='/',
                             sar=Sar(sensor='Sentinel-1', quantity='db', polarisations=('VV', 'VH'))), 'Sen1Floods11', 'public with citation')
    land = table('land.csv', '1,water\n2,trees\n3,flooded vegetation\n4,crops\n5,built area\n6,bare ground\n7,snow/ice\n9,rangeland\n')
    yield from of(read_masks(data/'terramind_s1/S1RTC', data/'terramind_s1/LULC', land, optical=data/'terramind_s1/S2RGB', root='/', sar=Sar(quantity='db')), 'TerraMesh', 'Apache-2.0')
    for p in sorted((data/'gf3_quadpol').glob('*.tiff')):
        yield Record(f'GF-3 {p.stem}', p.as_posix().lstrip('/'), 512, 512, source='Gaofen-3', licence='academic use', scene=f'GF-3 {p.stem.split("_")[0]}',
                     sar=Sar(sensor='Gaofen-3', band='C', polarisations=(p.stem.split('_')[1],)))

def test_seven_public_sets_in_one_build_read_by_others(tmp_path, monkeypatch):
    data_home = real_data()
    datasets, wds, theirs = pytest.importorskip('datasets'), pytest.importorskip('webdataset'), pytest.importorskip('open_clip_train.data')
    records = list(real_records(data_home, tmp_path)); write_records(records, tmp_path/'r.jsonl')
    manifest = b.build(tmp_path/'r.jsonl', tmp_path/'o', images='/', shard=100, fractions=(.6, .2, .2))
    card = (tmp_path/'o/README.md').read_text(); kept = list(read_records(tmp_path/'o/records.jsonl'))
    assert {r.source for r in kept} == {'SSDD', 'MSTAR', 'OpenSARShip', 'Oil spill', 'Sen1Floods11', 'TerraMesh', 'Gaofen-3'} and all(r.licence and f'| {r.source} | {r.licence} |' in card for r in kept)
    assert {c.route for r in kept for c in r.captions} == {'a2c', 'sa2c'} and str(data_home) not in card
    whole = datasets.load_dataset(str(tmp_path/'o'), 'sar', cache_dir=str(tmp_path/'cache'))
    assert sum(s.num_rows for s in whole.values()) == manifest['counts']['images'] == len(records) and all(row['image'].size[0] and row['licence'] for s in whole.values() for row in s)
    tars = [str(p) for p in sorted((tmp_path/'o/webdataset').glob('*.tar'))]
    got = {s['json']['id']: s.get('png', s.get('jpg')).size for s in wds.WebDataset(tars, shardshuffle=False).decode('pil')}
    assert got == {r.id: (r.width, r.height) for r in kept}
    told = [s for s in wds.WebDataset(tars, shardshuffle=False) if theirs.filter_no_caption_or_no_image(s)]
    assert len(told) == sum(bool(r.captions) for r in kept)
    monkeypatch.chdir(tmp_path/'o'); csv = theirs.CsvDataset('csv/train.csv', np.asarray, 'filepath', 'title', sep='\t', tokenizer=lambda t: t)
    assert len(csv) and all(len(csv[k]) == 2 for k in range(len(csv)))

# --- which polarisations a picture shows, and several files of records
def _dual(folder, n=3):
    "Rasters of VV and VH with a caption for each, and one grey picture"
    from sartext.imagery.tiles import write_tif
    rng, out = np.random.default_rng(0), []
    sar = Sar(quantity='db', polarisations=('VV', 'VH'))
    def says(p): return Caption(f'In {p}.', facts=(Fact('metadata', 'polarisation', p),))
    for k in range(n):
        write_tif(folder/f'{k}.tif', rng.normal(-12, 4, (2, 40, 48)).astype('float32'), tags=dict(quantity='db', polarisations='VV,VH'))
        out.append(Record(f'{k}', f'{k}.tif', 48, 40, sar=sar, captions=(says('VV'), says('VH'), Caption('Water is dark.', facts=(Fact('scattering', 'water', 'dark'),)), Caption('Water.'))))
    Image.fromarray(rng.integers(0, 256, (40, 48), 'uint8')).save(folder/'grey.png')
    out.append(Record('grey', 'grey.png', 48, 40, sar=Sar(polarisations=('HH',)), captions=(says('HH'),)))
    write_records(out, folder/'records.jsonl')
    return folder/'records.jsonl'

@pytest.mark.parametrize('view, shown, mode, dark', [({}, ('VV',), 'L', True), (dict(band='VV'), ('VV',), 'L', True), (dict(band='VH'), ('VH',), 'L', False),
                                                     (dict(composite='vv-vh-ratio'), ('VV', 'VH'), 'RGB', False)], ids=str)
def test_captions_are_true_of_the_polarisation_packed(tmp_path, view, shown, mode, dark):
    from sartext.imagery.read import read_image, to_display
    records = _dual(tmp_path); b.build(records, tmp_path/'out', fractions=(1, 0, 0), formats=(), **view)
    packed = {r.id: (r, Image.open(io.BytesIO(png))) for r, png in b.load(tmp_path/'out', 'train')}
    for k in '012':
        r, image = packed[k]
        assert r.sar.shown == r.sar.polarisations == shown and image.mode == mode
        assert [c.text for c in r.captions] == [*(f'In {p}.' for p in shown), *['Water is dark.']*dark, 'Water.']
        if mode == 'L': assert (np.asarray(image) == to_display(read_image(tmp_path/f'{k}.tif'), shown[0])).all()
    r, image = packed['grey']; assert r.sar.shown == ('HH',) and image.mode == 'L' and [c.text for c in r.captions] == ['In HH.']
    assert b.build(records, tmp_path/'two', fractions=(1, 0, 0), formats=(), workers=2, **view)['files'] == b.build(records, tmp_path/'out', fractions=(1, 0, 0), formats=(), **view)['files']
    other = dict(band='VH') if view != dict(band='VH') else {}          # another view in the same folder: nothing of the old one stays
    assert b.build(records, tmp_path/'out', fractions=(1, 0, 0), formats=(), **other)['files'] == b.build(records, tmp_path/'new', fractions=(1, 0, 0), formats=(), **other)['files']

def test_what_a_raster_does_not_hold_is_not_shown(tmp_path):
    records = _dual(tmp_path)
    for view, says in ((dict(band='HH'), 'holds VV and VH, no HH'), (dict(composite='pauli'), 'so pauli cannot be shown'), (dict(composite='hh-hv-vv'), 'no HH')):
        with pytest.raises(BadInput, match=says): b.build(records, tmp_path/'no', formats=(), **view)
        kept = Problems('skip'); counts = b.build(records, tmp_path/'some', formats=(), problems=kept, force=True, **view)['counts']
        assert counts['images'] == 1 and len(kept) == 3
    for view in (dict(band='XX'), dict(composite='rgb'), dict(band='VV', composite='pauli')):
        with pytest.raises(ValueError): b.build(records, tmp_path/'no', formats=(), **view)
    assert not (tmp_path/'no/images').exists()

def test_files_of_records_become_one_set(tmp_path):
    for name in ('a', 'b/deep'):
        (tmp_path/name).mkdir(parents=True); made = list(read_records(_dual(tmp_path/name)))
        write_records([replace(r, id=f'{name[0]}-{r.id}', extra=dict(mine=1)) for r in made], tmp_path/name/'records.jsonl')
    files = [tmp_path/'a/records.jsonl', tmp_path/'b/deep/records.jsonl']
    made = b.build(files, tmp_path/'out', formats=()); assert made['counts']['images'] == 8 and not list(tmp_path.glob('.*'))
    assert {r.id: r.extra for r in read_records(tmp_path/'out/records.jsonl')} == {f'{n}-{k}': dict(mine=1) for n in 'ab' for k in ('0', '1', '2', 'grey')}
    assert b.build(files, tmp_path/'out', formats=()) == made
    with open(files[1], 'a') as f: f.write('{"id": 3}\n' + files[0].read_text())
    with pytest.raises(BadInput, match=r'records.jsonl, line 5'): b.build(files, tmp_path/'no', formats=())
    kept = Problems('skip'); assert b.build(files, tmp_path/'no', formats=(), problems=kept)['counts']['images'] == 8
    clash, = [p for p in kept if 'has 4 ids' in p.reason]
    assert clash.file == str(files[1]) and 'that a/records.jsonl has too' in clash.reason and '--prefix' in clash.remedy
    written = (tmp_path/'no/problems.jsonl').read_text(); assert {json.loads(l)['file'] for l in written.splitlines()} == {'b/deep/records.jsonl'} and str(tmp_path) not in written
    shutil.copytree(tmp_path/'b/deep', tmp_path/'c/far/deep'); again = b.build([files[0], tmp_path/'c/far/deep/records.jsonl'], tmp_path/'c/no', formats=(), problems=Problems('skip'))
    assert again['records'] == json.loads((tmp_path/'no/manifest.json').read_text())['records']                # where they lie changes nothing
    with pytest.raises(ValueError, match='empty list'): b.build([], tmp_path/'none')

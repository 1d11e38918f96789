"A built data set: the same bytes wherever and however it is built, readable by others, safe to read"
import hashlib, io, json, os, pickle, signal, struct, subprocess, sys, tarfile, time, zlib
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from sartext.dataset import build as b
from sartext.dataset import shards as sh
from sartext.narrate.annotation import narrate
from sartext.narrate.facts import box_facts, metadata_facts
from sartext.records import BadInput, Box, Caption, Problems, Record, Sar, note_images, read_records, write_records

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
            'def slow(job): time.sleep(.05); return make(job)\nb._make = slow\n'
            'b.build(sys.argv[1], sys.argv[2], shard=10)')
    job = subprocess.Popen([sys.executable, '-c', code, top/'in/records.jsonl', top/'killed'], stderr=subprocess.DEVNULL)
    until = time.time() + 60
    while time.time() < until and len(list((top/'killed/.work').glob('*.json'))) < 6: time.sleep(.01)
    job.send_signal(signal.SIGKILL); assert job.wait() == -signal.SIGKILL
    with pytest.raises(BadInput, match='goes on where it stopped'): b.load(top/'killed', 'train')
    notes = list((top/'killed/.work').glob('*.json')); kept = {name for n in notes for name in json.loads(n.read_text())['files']}
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

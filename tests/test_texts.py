"Files of captions and of class names: every form is read alike in every place that takes one; faults are named with their place"
import json
import numpy as np
import pytest
from PIL import Image
from sartext.narrate.captioners import given
from sartext.narrate.checking import check_file
from sartext.records import BadInput, Box, Problems, Record
from sartext.sources.masks import class_table, read_pairs
from sartext.sources.texts import class_key, finder, read_captions, read_classes

SAID = ('Three ships, two of them at the left.', 'Ships in a port.')
ROWS = [{'image': 'a.png', 'caption': t} for t in SAID]
FORMS = {  # name of the file → its text: one image with two captions
    'head.csv': 'image,caption\n' + ''.join(f'a.png,"{t}"\n' for t in SAID), 'bare.csv': ''.join(f'a.png,"{t}"\n' for t in SAID),
    'windows.csv': '\ufeffFilePath;Title\r\n' + ''.join(f'D:\\set\\a.png;{t}\r\n' for t in SAID), 'tab.tsv': 'image\tcaption\n' + ''.join(f'a.png\t{t}\n' for t in SAID),
    'text.txt': ''.join(f'a.png\t{t}\n' for t in SAID), 'lines.jsonl': ''.join(json.dumps(r) + '\n' for r in ROWS),
    'lines.json': ''.join(json.dumps(r) + '\n' for r in ROWS), 'lists.jsonl': json.dumps({'filename': 'a.png', 'sentences': [{'raw': t} for t in SAID]}),
    'object.json': json.dumps({'a.png': SAID}, indent=1), 'rows.json': json.dumps(ROWS, indent=1),
    'karpathy.json': json.dumps({'images': [{'filename': 'a.png', 'imgid': 3, 'sentences': [{'raw': t, 'tokens': []} for t in SAID]}]}),
    'coco.json': json.dumps({'images': [{'id': 3, 'file_name': 'a.png'}], 'annotations': [{'id': i, 'image_id': 3, 'caption': t} for i, t in enumerate(SAID)]})}

@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pair')
    for kind in ('sar', 'optical'):
        (folder/kind).mkdir(); Image.fromarray(np.full((40, 50), 90, 'uint8')).save(folder/kind/'a.png')
    return folder

@pytest.mark.parametrize('name', FORMS)
def test_every_form_of_captions_is_read_alike_everywhere(name, pair, tmp_path):
    file = tmp_path/name; file.write_text(FORMS[name], encoding='utf-8')
    assert [*read_captions(file).values()] == [SAID]
    assert given(file)('elsewhere/a.png') == SAID
    drawn = {r.optical_caption for seed in range(9) for r in read_pairs(pair/'sar', pair/'optical', file, seed=seed)}
    assert drawn == {*SAID}                                             # one of several, by seed
    record = Record('a', next(iter(read_captions(file))), 50, 40, boxes=(Box('ship', 1, 1, 9, 9),), labelled_classes=('ship',))
    assert check_file([record], file).captions == 2

def test_published_captions(data):
    folder = data/'optical_captions'
    sydney, ucm = read_captions(folder/'sydney/dataset_sydney.json'), read_captions(folder/'ucm/ucm_test_coco_format.json')
    assert (len(sydney), sum(map(len, sydney.values()))) == (613, 3065) and (len(ucm), sum(map(len, ucm.values()))) == (210, 1050)
    assert sydney['1.tif'][0].startswith('A residential area')

@pytest.mark.parametrize('name, text, place, why', [
    ('a.csv', 'image,caption\na.png,Three ships, two left\n', 'line 2', '3 cells in 2 columns'), ('b.csv', 'image,caption\na.png,"Three\n', 'line 2', 'not valid CSV'),
    ('c.csv', 'id,words\n1,a\n2,b\n', 'line 2', "no column with the caption among ['id', 'words']"), ('d.csv', 'image,caption\na.png,\n', 'line 2', 'the caption is empty'),
    ('e.csv', 'image,caption\n,Ships.\n', 'line 2', 'names no image'), ('f.jsonl', '{"image": "a.png", "caption": 5}', 'line 1', "the caption is '5', no text"),
    ('g.json', '{"image": "a.png",\n "caption": }', 'line 2', 'not valid JSON'), ('h.json', '[3]', 'entry 1', 'no object'),
    ('i.jsonl', '{"image": "a.png", "caption": "A port."}\n{"image"\n', 'line 2', 'not valid JSON')])
def test_a_faulty_file_of_captions_is_named(tmp_path, name, text, place, why):
    (tmp_path/name).write_text(text)
    with pytest.raises(BadInput, match=name): read_captions(tmp_path/name)
    faults = Problems('skip'); read_captions(tmp_path/name, faults)
    assert len(faults) == 1 and faults[0].place == place and why in faults[0].reason and faults[0].remedy

def test_line_separators_within_json_are_no_ends_of_lines(tmp_path):
    (tmp_path/'u.jsonl').write_text(json.dumps({'image': 'a.png', 'caption': 'One.\u2028Two.'}, ensure_ascii=False), encoding='utf-8')
    assert read_captions(tmp_path/'u.jsonl') == {'a.png': ('One.\u2028Two.',)}

def test_a_caption_finds_its_image():
    find = finder(['D:/x/train/a.png', 'D:/x/test/a.png', 'v1.5', 'only.tif', 'two.png', 'two.tif'])
    assert find('/here/test/a.tif') == 'D:/x/test/a.png' and find('only.png') == 'only.tif' and find('v1.6') == '' and find('two.tif') == 'two.tif'
    with pytest.raises(LookupError, match='could be'): find('a.png')

def test_one_caption_for_two_images_is_none(pair, tmp_path):
    for kind in ('sar', 'optical'):
        for sub in 'xy':
            (tmp_path/kind/sub).mkdir(parents=True); Image.open(pair/'sar/a.png').save(tmp_path/kind/sub/'1.png')
    (tmp_path/'c.csv').write_text('image,caption\n1.png,Ships.\n'); faults = Problems('skip')
    assert [r.optical_caption for r in read_pairs(tmp_path/'sar', tmp_path/'optical', tmp_path/'c.csv', faults)] == ['', '']
    assert [p.place for p in faults] == ['1.png'] and 'x/1 or y/1' in faults[0].reason

TABLE = {'1': 'water', '2': 'Oil spill'}
@pytest.mark.parametrize('name, text', [('a.csv', '1,water\n2,Oil spill\n'), ('b.csv', 'value,name\n1,water\n\n2,Oil spill,#ff0000\n'), ('c.txt', '# made\n1 water\n2: Oil spill\n'),
    ('d.tsv', '1\twater\n2\tOil spill\tFFAA00\n'), ('e.json', '{"1": "water", "2": "Oil spill"}'), ('f.yaml', 'names:\n  1: water\n  2: Oil spill\n')])
def test_every_form_of_class_names_serves_boxes_and_masks(tmp_path, name, text):
    (tmp_path/name).write_text(text)
    assert read_classes(tmp_path/name) == TABLE and class_table(tmp_path/name).classes == {'1': 'water', '2': 'oil spill'}

def test_names_without_values_serve_boxes_only(tmp_path):
    (tmp_path/'n.txt').write_text('ship\nstorage tank\n'); (tmp_path/'w.csv').write_text('Storage-Tanks,tank\n船,ship\n', encoding='utf-8')
    assert read_classes(tmp_path/'n.txt') == {'0': 'ship', '1': 'storage tank'} and read_classes(tmp_path/'w.csv') == {'Storage-Tanks': 'tank', '船': 'ship'}
    for name in ('n.txt', 'w.csv'):
        with pytest.raises(BadInput, match='neither a value nor a colour'): class_table(tmp_path/name)

@pytest.mark.parametrize('text, place', [('1,water\n1,land\n', 'line 2'), ('1,water\n#00ff00,land\n', 'line 2'), ('0,0,300,sea\n', 'line 1'), ('1,water\nland,2\n', 'line 2'),
                                         ('ship\n\ntank\n', 'line 2'), ('', ''), ('1,\n', '')])
def test_a_faulty_table_of_classes_is_named(tmp_path, text, place):
    (tmp_path/'t.csv').write_text(text)
    with pytest.raises(BadInput, match='t.csv') as e: read_classes(tmp_path/'t.csv')
    assert e.value.problem.place == place and e.value.problem.remedy

def test_class_key(): assert [class_key(k) for k in ('-1', '#00ffff', 'Ships', '2S1')] == [-1, (0, 255, 255), 'Ships', '2S1']

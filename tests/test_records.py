"Records from other people's files: whatever a line holds, a record of the right types or one sentence that names the line"
import json
from dataclasses import replace
import pytest
from hypothesis import given, settings, strategies as st
from sartext.records import (BadInput, Box, Caption, Fact, Problems, Question, Record, Sar, below, from_dict, map_outline, read_records,
                             to_json, write_records)

FULL = Record('a', 'p/a.png', 64, 48, source='drawn', scene='s', split='train', licence='CC0-1.0',
              sar=Sar('S1', 'C', 'IW', 'GRD', 'intensity', 'sigma0', ('VV', 'VH'), 35.5, 4, 3.7, pixel_spacing=(10., 10.)),
              boxes=(Box('ship', 1, 2.5, 3, 4, polygon=((1, 2), (3, 4.5), (2, 2)), angle=10., attributes={'track': [1, {'x': None}]}),),
              mask='m/a.png', mask_classes={'1': 'water'}, labelled_classes=('ship',), partners={'optical': 'o/a.png'}, optical_caption='A ship.',
              captions=(Caption('One ship.', facts=(Fact('count', 'ship', 1), Fact('position', 'ship', 'center', 1)), rules=('plan:1',)),),
              questions=(Question('How many?', '1', facts=(Fact('count', 'ship', 1),)),), extra={'cloud': .5, 'extra': [1]})

def test_everything_comes_back(): assert from_dict(json.loads(to_json(FULL))) == FULL

def changed(path, value):
    "The parsed line of `FULL` with `value` at `path`: 'sar.looks', 'captions.0.text'"
    d = json.loads(to_json(FULL)); at = d; *way, last = [int(k) if k.isdigit() else k for k in path.split('.')]
    for k in way: at = at[k]
    at[last] = value
    return d

@pytest.mark.parametrize('path, value, said', [
    ('source', ['x'], "source is ['x']; give text"), ('scene', {}, 'scene is {}'), ('licence', None, 'licence is None'), ('id', 5, 'id is 5'), ('id', '', 'id'),
    ('optical_caption', 3, 'optical_caption'), ('width', '64', "width is '64'; give a whole number"), ('width', True, 'width is True'),
    ('width', 64.0, 'width'), ('height', -3, 'height is -3'), ('split', 'dev', 'split'), ('modality', 'radar', 'modality'), ('boxes', {}, 'boxes is {}'),
    ('captions', 'A ship.', 'captions'), ('captions.0', 'A ship.', 'caption 0'), ('captions.0.text', 5, 'caption 0.text is 5'),
    ('captions.0.kind', 'zzz', "caption 0.kind is 'zzz'"), ('captions.0.route', 'nope', "caption 0.route is 'nope'"),
    ('captions.0.rules', [1], 'caption 0.rules'), ('captions.0.facts', 5, 'facts'), ('captions.0.facts.0', 5, 'fact is 5'),
    ('captions.0.facts.0.kind', 'colour', 'colour'), ('captions.0.facts.0.value', [1], 'fact.value'), ('captions.0.facts.0.number', '1', 'fact.number'),
    ('questions.0.answer', 1, 'question 0.answer'), ('labelled_classes', 'ship', 'labelled_classes'), ('labelled_classes', [1], 'give a list of texts'),
    ('mask_classes', {'1': 2}, 'mask_classes'), ('mask_classes', [], 'mask_classes'), ('partners', ['o.png'], 'partners'), ('partners', {'optical': 5}, 'optical is 5'),
    ('boxes.0.category', 5, 'box 0.category is 5'), ('boxes.0.category', '', 'category'), ('boxes.0.x', '1', "box 0.x is '1'"), ('boxes.0.w', float('nan'), 'box 0.w'),
    ('boxes.0.h', 0, 'no area'), ('boxes.0.w', 10**400, ''), ('boxes.0.angle', float('inf'), 'box 0.angle'), ('boxes.0.polygon', [[1, 2], [3]], 'pairs'),
    ('boxes.0.polygon', [1, 2], 'pairs'), ('boxes.0.attributes', [], 'attributes'), ('sar', 'C', "sar is 'C'"), ('sar.incidence', 'steep', "sar.incidence is 'steep'"),
    ('sar.incidence', 91, '0 to 90'), ('sar.incidence', -1, '0 to 90'), ('sar.looks', -3, 'sar.looks is -3; give a number above 0'), ('sar.enl', 0, 'above 0'),
    ('sar.polarisations', 'VV', "sar.polarisations is 'VV'; give a list of texts"), ('sar.polarisations', [1], 'list of texts'), ('sar.pixel_spacing', [10], 'two numbers'),
    ('sar.pixel_spacing', ['a', 'b'], 'two numbers'), ('sar.resolution', [1, 0], 'two numbers'), ('sar.band', 5, 'sar.band'), ('sar.quantity', 'decibel', 'decibel'),
    ('sar.colour', 1, 'unknown keys')])
def test_wrong_values_are_refused(tmp_path, path, value, said):
    (tmp_path/'r.jsonl').write_text(json.dumps(changed(path, value)) + '\n')
    with pytest.raises(BadInput) as e: list(read_records(tmp_path/'r.jsonl'))
    assert said in str(e.value) and 'r.jsonl, line 1: ' in str(e.value) and len(str(e.value)) < 500

HOSTILE = ['../x.png', '..\\..\\x.png', 'a\\..\\x.png', '/etc/passwd', 'C:\\x.png', 'C:x.png', '\\\\host\\x.png', 'a/../../x', '', ' ', '.', 'a\0b', 5, None, ['a']]

@pytest.mark.parametrize('name', HOSTILE, ids=repr)
def test_paths_stay_below_the_folder(name):
    assert below(name) == ''
    for key in ('image', 'partners.optical', 'partners.before', *(['mask'] if name else [])):
        with pytest.raises(ValueError): from_dict(changed(key, name))

def test_a_backslash_is_no_slash_in_a_record():
    assert below('train\\a.png') == 'train/a.png'                         # an annotation written on Windows
    with pytest.raises(ValueError, match='forward slashes'): from_dict(changed('image', 'train\\a.png'))

def test_bad_lines_are_named_and_the_rest_is_read(tmp_path):
    good = [to_json(replace(FULL, id=f'g{i}')).encode() for i in range(3)]
    lines = [good[0], good[1].replace(b'drawn', b'\xff\xfe'), b'['*200_000, b'{"a":'*200_000, b'{"id": 1' + b'0'*5000 + b'}', b'[]', b'null', b'"x"', b'', b'  ',
             good[1].replace(b'"g1"', b'"\\ud800"'), good[0], good[1] + b'\r', b'\0', good[2]]
    (tmp_path/'r.jsonl').write_bytes(b'\n'.join(lines))
    faults = Problems('skip'); got = [r.id for r in read_records(tmp_path/'r.jsonl', faults)]
    assert got == ['g0', 'g1', 'g2'] and all(p.file == str(tmp_path/'r.jsonl') and p.reason and p.remedy for p in faults)
    assert [p.place for p in faults] == [f'line {n}' for n in (2, 3, 4, 5, 6, 7, 8, 11, 12, 14)]
    assert 'not UTF-8' in faults[0].reason and 'nested too deeply' in faults[1].reason

values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                      lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(['x', 'text', 'kind', 'category', 'w']), v, max_size=3), max_leaves=8)
places = ['id', 'image', 'width', 'source', 'split', 'sar', 'boxes', 'boxes.0', 'boxes.0.x', 'boxes.0.polygon', 'boxes.0.category', 'mask', 'mask_classes', 'partners',
          'partners.optical', 'labelled_classes', 'captions', 'captions.0', 'captions.0.kind', 'captions.0.facts', 'captions.0.facts.0', 'captions.0.facts.0.value',
          'questions', 'questions.0', 'sar.looks', 'sar.polarisations', 'sar.pixel_spacing', 'unknown']

@settings(max_examples=400, deadline=None)
@given(st.sampled_from(places), values)
def test_whatever_a_line_holds(tmp_path_factory, place, value):
    "A record that can be written and read again, or one problem"
    folder = tmp_path_factory.mktemp('r'); (folder/'r.jsonl').write_text(json.dumps(changed(place, value)))
    faults = Problems('skip'); got = list(read_records(folder/'r.jsonl', faults))
    assert len(got) + len(faults) == 1
    if got and 'unknown' not in place:
        hash(got[0]); write_records(got, folder/'again.jsonl'); list(read_records(folder/'again.jsonl', Problems('skip')))

def test_outlines_move_as_a_whole():
    box = Box('island', 0, 0, 9, 9, polygon=((0, 0), (4, 4)), attributes={'parts': [[[0, 0], [4, 4]], [[8, 9]]], 'name': 'x'})
    moved = map_outline(box, lambda x, y: (x*2, y*3))
    assert moved.polygon == ((0, 0), (8, 12)) and moved.attributes == {'parts': [[[0, 0], [8, 12]], [[16, 27]]], 'name': 'x'}
    for odd in (None, 3, 'ab', [1], [[1]], [[[1, 2, 3]]], [[['a', 'b']]]):
        box = Box('x', 0, 0, 1, 1, attributes={'parts': odd}); assert map_outline(box, lambda x, y: (x/2, y/2)) == box

"What 42_answering cannot test about itself: many pairs by kind, properties, faults, SARLANG's rule, real questions and files"
import base64, csv, io, json, random
from collections import Counter
import numpy as np
import pytest
from PIL import Image
from conftest import sartext
from hypothesis import given, settings, strategies as st
from sartext.evaluate.answering import (CASES, DEFECTS, KINDS, Item, AnswerSheet, agreement, answers_table, baselines, defects, difference,
                                        draw_items, evaluate_answers, items_of, judged, kind_of_answer, match_predictions,
                                        official, picture_features, read_items, read_predictions, sarlang_rule, score_answer, score_answers)
from sartext.narrate.questions import ask
from sartext.narrate.words import CELLS, PLACES, number_word, place
from sartext.evaluate.scores import answer_sheet, read_sheets, write_sheets
from sartext.records import BadInput, Box, Problems, Record, write_records
from sartext.sources.boxes import read_coco

MANY, HAVE, WHERE, WHAT = 'How many ships are in the image?', 'Is there a ship in the image?', 'Where is the ship?', 'What is the target in the image?'
KIND = 'Which categories of objects are in the image?'
# question, right answer, what was said; the right ones, then the wrong ones
RIGHT = [
    *((MANY, '4', s) for s in ('4', '4.', ' 4 ', 'four', 'Four', 'There are four.', 'there are 4 ships', 'The image shows 4 vessels.', '4 ships.', '**4**',
                               'I count four ships in the image.', 'approximately 4', 'about four', 'exactly four', '4.0', '４', 'Answer: 4', 'The answer is 4.',
                               '<think>maybe 3 or 5</think>4', 'There are 4 ships and 2 bridges.', '4 ships, 2 of them at the top', 'Four ships, each about 120 m long.',
                               'How many ships are in the image? 4', 'The number of ships is 4', '\\boxed{4}', 'probably four')),
    *((MANY, '0', s) for s in ('0', 'zero', 'There are no ships.', 'none', 'None.', 'No ships', 'There are no vessels in the image', "There aren't any ships.",
                               'No visible ships.', 'There is no ship.')),
    *((MANY, '1', s) for s in ('1', 'one', 'There is one ship.', 'A ship', 'There is a ship.', 'Only a single ship.', 'just one', 'There is a single vessel.')),
    *((MANY, '21', s) for s in ('21', 'twenty-one', 'twenty one ships', '21 boats')),
    (MANY, '12', 'a dozen'), (MANY, '6', 'half a dozen'), (MANY, '6', 'a half dozen ships'), (MANY, '24', '2 dozen ships'), (MANY, '200000', 'two hundred thousand'),
    (MANY, '2500', 'two thousand five hundred'), (MANY, '1234567', '1,234,567'), (WHAT, 'ship', 'No doubt a ship.'), (WHAT, 'ship', 'A bridge? No, a ship.'), (WHAT, 'ship', 'a ship?'), (HAVE, 'yes', 'A ship? Yes.'),
    (MANY, '12', 'twelve'), (MANY, '105', 'one hundred and five'), (MANY, '1204', '1,204 ships'), (MANY, 'two', '2'), (MANY, '2', 'two'),
    ('How many percent are covered with water?', '40', '40 %'), ('How many percent are covered with water?', '40', 'about 40 percent'),
    *((HAVE, 'yes', s) for s in ('yes', 'Yes.', 'YES', 'yes, there is', 'Yes, there are two ships.', 'There is a ship in the image.', 'There are ships.', 'Yeah', 'I can see a ship.',
                                 'Indeed.', 'A vessel is visible.', 'yes!', 'True', 'There are three ships.', '**Yes**', 'Answer: yes', 'There is.', 'Yes, no doubt.')),
    *((HAVE, 'no', s) for s in ('no', 'No.', 'No, there is not.', 'There are no ships.', 'There is no ship in the image.', "There isn't a ship.", 'None.', 'no ships', 'nope',
                                'A ship cannot be seen.', 'No, there are none.', 'False', 'No ship is visible.', "I can't see any ships.", 'Not present.', 'no, only a bridge')),
    *((WHERE, 'top left', s) for s in ('top left', 'Top-left', 'upper left', 'in the upper left corner', 'the top left part of the image', 'At the top left.', 'upper-left area', 'left top')),
    *((WHERE, 'left', s) for s in ('left', 'on the left side', 'middle left', 'left center', 'in the left part of the image', 'the left-hand side', 'not right, but left')),
    *((WHERE, 'center', s) for s in ('center', 'centre', 'in the middle', 'the central area', 'in the middle of the image')),
    *((WHERE, 'bottom', s) for s in ('bottom', 'lower middle', 'at the bottom center', 'the lower part')),
    *((WHAT, 'ship', s) for s in ('ship', 'Ship', 'a ship', 'ships', 'vessel', 'boat', 'The target is a ship.', 'It is a large ship.', 'a ship in the harbor', 'a ship rather than a bridge',
                                  'ship, not bridge', 'It looks like a boat.', 'The object is likely a vessel.', 'A ship moored at the pier', 'a ship and its wake')),
    ('What pattern do the ships form: row, cluster or spread?', 'row', 'The ships form a row.'), ('What is it?', 'built-up area', 'urban'),
    (WHERE, 'left', 'on the far left'), (WHERE, 'left', 'far left side, opposite the right'), (WHERE, 'bottom', 'It is at the bottom, running from left to right.'), ('What is the dominant land cover?', 'forest', 'Forest covers most of the image.'),
    ('Which land covers are in the image?', 'forest, road, water', 'trees, roads, and water bodies'),
    (WHAT, 'storage tank', 'an oil tank'), (WHAT, 'aircraft', 'airplane'), (WHAT, 'aircraft', 'The object is a plane.'), (WHAT, 'harbor', 'harbour'), (WHAT, 'T72', 'a T-72 tank'),
    (WHAT, 'storage tank', 'Storage_Tank'), (WHAT, 'zeppelin', 'Zeppelins'), (WHAT, 'bridge', 'a harbor bridge'), (WHAT, 'forest', 'trees'), ('Which land cover?', 'water', 'sea'),
    *((KIND, 'bridge, ship', s) for s in ('ship, bridge', 'bridges and ships', 'ships; bridges', 'The image shows ships and a bridge.', 'vessel, bridge', '1. ship\n2. bridge', 'ship/bridge')),
    (KIND, 'ship', 'ships'), (KIND, 'ship', 'Only ships.'), (KIND, 'none', 'None'), (KIND, 'none', 'There are no objects.'),
    ('Where?', '[10, 20, 30, 40]', '[10, 20, 30, 40]'), ('Where?', '[10, 20, 30, 40]', '(12, 22, 30, 40)'), ('Where?', '[10, 20, 30, 40]', '10 20 30 40'),
    ('How is it shaped: wide, tall or square?', 'wide', 'It is wide.'), ('Is the orbit ascending or descending?', 'ascending', 'an ascending pass'),
    ('Describe the sea state.', 'The sea is rough near the pier.', 'the sea is rough near the pier'),
]
WRONG = [
    *((MANY, '4', s, c) for s, c in (('5', 'another answer'), ('14', 'another answer'), ('40', 'another answer'), ('fourteen', 'another answer'), ('four or five', 'two answers'),
                                     ('3-4', 'two answers'), ('between 3 and 4', 'two answers'), ('at least four', 'no answer'), ('more than 4', 'no answer'), ('up to four', 'no answer'),
                                     ('several ships', 'no answer'), ('many', 'no answer'), ('', 'empty'), ('   ', 'empty'), ('nan', 'empty'), (None, 'missing'), ('not sure', 'no answer'),
                                     ('4,5', 'another answer'), ('-4', 'another answer'), ('not 4', 'no answer'), ('ships', 'no answer'), ('4 m', 'no answer'), ('T72', 'no answer'),
                                     ('It cannot be counted.', 'no answer'), ('yes', 'no answer'), ('four or more', 'no answer'), ('3 at the top, 4 at the bottom', 'two answers'))),
    *((MANY, '1', s, c) for s, c in (('10', 'another answer'), ('11', 'another answer'), ('one or two', 'two answers'), ('this one', 'no answer'), ('no ships', 'another answer'))),
    (MANY, '0', 'There are no ships but one boat.', 'two answers'), (MANY, '2', '12 ships', 'another answer'), (MANY, '3', '3,5', 'another answer'), (MANY, '2', '3 ships and 2 bridges', 'another answer'),
    *((HAVE, 'no', s, c) for s, c in (('yes', 'another answer'), ('not sure', 'no answer'), ('unknown', 'no answer'), ('yes and no', 'two answers'), ('yes or no', 'two answers'), ('maybe', 'no answer'),
                                      ('There is a bridge.', 'no answer'), ('ship', 'no answer'), ("I don't know", 'no answer'), ('No idea', 'no answer'), ('There is a ship.', 'another answer'),
                                      ('No, there is a ship.', 'two answers'), ('nothing can be said: it is unclear', 'no answer'), ('It cannot be determined.', 'no answer'))),
    *((HAVE, 'yes', s, c) for s, c in (('no', 'another answer'), ('There are no ships', 'another answer'), ('Yes, there are no ships', 'two answers'), ('eyes', 'no answer'), ('3', 'no answer'))),
    ('Are there more ships than bridges?', 'yes', 'There are more bridges than ships.', 'no answer'),
    ('Is there a ship at the top left?', 'yes', 'There is a ship at the bottom right.', 'no answer'),
    *((WHERE, 'left', s, c) for s, c in (('top left', 'another answer'), ('right', 'another answer'), ('left or right', 'two answers'), ('left and top', 'two answers'), ('not left', 'no answer'),
                                         ('to the left of the bridge', 'no answer'), ('west', 'no answer'), ('from left to right', 'no answer'), ('everywhere', 'no answer'))),
    (WHERE, 'top left', 'left', 'another answer'), (WHERE, 'top left', 'top left and bottom right', 'two answers'), (WHERE, 'top', 'top right', 'another answer'),
    *((WHAT, 'ship', s, c) for s, c in (('not a ship', 'no answer'), ('bridge', 'another answer'), ('a ship or a bridge', 'two answers'), ('ship and bridge', 'two answers'), ('container ship', 'related'),
                                        ('spaceships', 'another answer'), ('neither ship nor bridge', 'no answer'), ('a ship and a zeppelin', 'two answers'), ('none', 'no answer'),
                                        ('a bridge, not a ship', 'another answer'), ('the ship lock', 'another answer'), ('flagship store', 'another answer'), ('unclear', 'no answer'))),
    *((q, r, s, 'no answer') for r in ('yes', 'no') for q in (HAVE, 'Answer the question. ' + HAVE) for s in (HAVE, HAVE.rstrip('?'), HAVE.upper(), 'Is there any ship?', 'If there were a ship in the image, it would be bright',
                                                                                         'I check whether there is a ship in the image.', 'There is a ship?')),
    *((WHAT, 'ship', s, 'no answer') for s in ('anything but a ship', 'hardly a ship', 'I doubt it is a ship', 'I doubt that it is a ship.', 'a ship? No.', 'unlikely a ship', 'If it were a ship, it would be long.')),
    *((WHERE, 'top left', s, 'no answer') for s in ('far from the top left', 'opposite the top left', 'anything but top left', 'hardly top left', 'top left? No.')),
    *((MANY, '4', s, 'no answer') for s in ('I doubt there are 4 ships', 'hardly 4 ships', '4? No.')), (MANY, '0', 'There are hardly any ships.', 'no answer'),
    (HAVE, 'yes', 'I doubt there is a ship.', 'another answer'), (MANY, '1234567', '1234568', 'another answer'), (MANY, '1000000', '1000001 ships', 'another answer'), (MANY, '12', 'half a dozen', 'another answer'),
    ('Are there more than 1234567 ships?', 'yes', 'There are more than 1234568 ships.', 'no answer'),
    ('Where?', '[1, 2, 3, 4]', '[1, 2, 1000000, 4]', 'another answer'), ('Where?', '[1, 2, 3, 4]', '[0.00001, 2, 300, 4]', 'another answer'),
    ('Where?', '[1, 2, 3, 4]', '[1e999, 2, 3, 4]', 'no answer'),
    (WHAT, 'aircraft', 'helicopter', 'related'), (WHAT, 'T72', 'T62', 'another answer'),
    *((KIND, 'bridge, ship', s, 'another answer') for s in ('ship', 'ship, bridge, car', 'ships and cars', 'None', 'ships, but no bridges', 'ship, bridge and zeppelin')),
    (KIND, 'none', 'ship', 'another answer'), (KIND, 'ship', 'ship and car', 'another answer'),
    ('Where?', '[10, 20, 30, 40]', '[100, 20, 30, 40]', 'another answer'), ('Where?', '[10, 20, 30, 40]', '[.1, .2, .3, .4]', 'another answer'), ('Where?', '[10, 20, 30, 40]', 'top left', 'no answer'),
    ('Where?', '[10, 20, 30, 40]', '[10, 20, 30, 40] or [50, 60, 7, 8]', 'two answers'), ('Where?', '[10, 20, 30, 40]', '[10, 20, 0, 0]', 'another answer'),
    ('How is it shaped: wide, tall or square?', 'wide', 'tall', 'another answer'), ('How is it shaped: wide, tall or square?', 'wide', 'wide or tall', 'two answers'),
    ('How is it shaped: wide, tall or square?', 'wide', 'not wide', 'no answer'),
]

def test_there_are_many_pairs(): assert len(RIGHT) + len(WRONG) >= 150

@pytest.mark.parametrize('question, reference, said', RIGHT)
def test_right(question, reference, said):
    v = score_answer(said, reference, question)
    assert v.right and v.case == 'equal' and v.why, v

@pytest.mark.parametrize('question, reference, said, case', WRONG)
def test_wrong(question, reference, said, case):
    v = score_answer(said, reference, question)
    assert not v.right and v.case == case and v.case in CASES and v.kind in KINDS and v.why and v.reference, v

@pytest.mark.parametrize('said, right', [('B', 1), ('B.', 1), ('(B)', 1), ('b', 0), ('B. 16', 1), ('16', 1), ('Option B', 1), ('sixteen ships', 1), ('B. 18', 0), ('C', 0), ('A or B', 0), ('F', 0), ('', 0),
                                         ('The answer is B', 1), ('17', 0)])
def test_choices(said, right): assert score_answer(said, '16', MANY, ('13', '16', '18')).right == right

def test_the_seven_defects_of_the_published_rule():
    assert len(DEFECTS) == 7
    assert [sarlang_rule(p, t) for _, t, p in DEFECTS] == ['right']*5 + ['wrong', 'judge']
    assert [score_answer(p, t, q).right for q, t, p in DEFECTS] == [False]*5 + [True]*2
    assert all(row[-1] for row in defects().rows)

def published(predicted, truth):
    "The rule written again, from the words of its description"
    truth, predicted = truth.lower(), predicted.lower()
    if predicted.find(truth) >= 0: return 'right'
    if truth in {'yes', 'no'} or truth.isdigit() and str(int(truth)) == truth and int(truth) < 100: return {True: 'right', False: 'wrong'}[truth == predicted]
    return 'judge'

@given(st.sampled_from(['1', '99', '100', '07', 'yes', 'no', 'Ship', 'top left', '']), st.text(alphabet='yesno Ship1907tplf', max_size=12))
def test_rule_is_the_published_one(truth, said): assert sarlang_rule(said, truth) == published(said, truth)

# --- properties --------------------------------------------------------------------------------------------------
@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_numbers_in_any_writing(a, b):
    for said in (str(b), number_word(b), number_word(b, 999), f'There are {b} ships.', f'{number_word(b).capitalize()} ships are visible'):
        assert score_answer(said, str(a), MANY).right == (a == b), said

@settings(deadline=None, max_examples=300)
@given(*[st.lists(st.floats(), min_size=4, max_size=4)]*2, st.sampled_from(['{!r}', '{:g}', '{:f}', '{:.3e}']))
def test_boxes_of_any_floats_have_a_verdict(a, b, form):
    said, right = ('[' + ', '.join(map(form.format, box)) + ']' for box in (a, b))
    assert score_answer(said, right, 'Where?').why

@settings(deadline=None)
@given(st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=2), st.lists(st.floats(1e-3, 1e7), min_size=2, max_size=2), st.sampled_from(['{!r}', '{:g}', '{:.9e}']))
def test_a_box_is_the_same_in_any_writing(corner, size, form):
    box = [*map(float, map('{:.5e}'.format, [*corner, *size]))]
    if min(size) < 1e-2*max(map(abs, corner)): box[:2] = 0., 0.                # else rounding moves the corner by a box
    assert score_answer('[' + ', '.join(map(form.format, box)) + ']', str(box), 'Where?').right, box

@pytest.mark.parametrize('style', PLACES)
def test_places_as_the_narrator_says_them(style):
    for a in CELLS:
        for b in CELLS: assert score_answer(f'The ship is {place(b, style, "the image")}.', a, WHERE).right == (a == b), (style, a, b)

@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60), st.sampled_from([('4', MANY), ('no', HAVE), ('left', WHERE), ('ship', WHAT), ('bridge, ship', KIND), ('[1, 2, 3, 4]', 'Where?'), ('A long day at sea.', '')]))
def test_any_text_has_a_verdict(said, asked):
    v = score_answer(said, *asked)
    assert v.right == (v.case == 'equal') and v.why

SHIPS = Record('bay', 'bay.png', 300, 300, source='x', labelled_classes=('ship', 'bridge', 'car', 'aircraft', 'harbor'),
               boxes=(Box('ship', 20, 20, 30, 12), Box('ship', 22, 40, 28, 12), Box('ship', 140, 130, 12, 40), Box('bridge', 60, 250, 200, 24)))

def asked(n=8):
    from dataclasses import replace
    return [ask(replace(SHIPS, id=f'b{i}', image=f'b{i}.png', boxes=SHIPS.boxes[i % 3:]), per_application=6) for i in range(n)]

def test_canonical_answers_are_right_only_where_they_are_equal():
    items = items_of(asked())
    for seed in range(8):
        said = [i.reference for i in items]
        if seed: random.Random(seed).shuffle(said)
        for i, p, v in zip(items, said, score_answers(items, said).verdicts): assert v.right == (p == i.reference), (i, p, v)

def test_constant_and_shuffled_score_what_theory_says():
    items = items_of(asked(30)); refs = Counter(i.reference for i in items); n = len(items)
    for word in ('yes', 'no', '2', 'ship'): assert score_answers(items, [word]*n).accuracy == pytest.approx(100*refs[word]/n)
    echo = score_answers(items, [i.question for i in items])
    assert echo.by('kind')['yes/no'].accuracy == 0 == echo.accuracy
    runs = []
    for seed in range(40):
        said = [i.reference for i in items]; random.Random(seed).shuffle(said); runs.append(score_answers(items, said).accuracy)
    assert np.mean(runs) == pytest.approx(100*sum((k/n)**2 for k in refs.values()), abs=4*np.std(runs)/len(runs)**.5)

def test_baselines_do_not_see_the_test_answers():
    from dataclasses import replace
    items = items_of(asked(12)); train, test = items[:len(items)//2], items[len(items)//2:]
    a = baselines(test, train); b = baselines([replace(i, reference='zzz') for i in test], train)
    for name in a: assert a[name].predictions == b[name].predictions, name
    assert [*a] == ['random', 'majority', 'majority of the type', 'question only']
    assert baselines(test, [replace(i, reference='yes') for i in train])['question only'].predictions == ('yes',)*len(test)

def test_each_half_has_a_scene():
    items = items_of(asked(2))
    for seed in range(20): assert len(baselines(items, seed=seed)['majority']) == len(items)
    with pytest.raises(ValueError, match='of one scene'): baselines(items_of(asked(1)))

@pytest.mark.parametrize('shape', [(1, 1), (5, 60), (7, 7), (8, 3), (9, 9)])
def test_small_pictures_have_features(shape):
    x = picture_features(np.arange(1., 1 + np.prod(shape)).reshape(shape))
    assert x.shape == (128,) and np.isfinite(x).all()

@pytest.mark.parametrize('said', ['1 thousand '*2000, 'one ' + 'thousand '*2000, '9'*500])
def test_endless_numbers_are_wrong(said): assert not score_answer(said, '4', MANY).right

def test_few_are_drawn_from_applications_by_seed():
    items = items_of(asked(10)); drawn = [{i.application for i in draw_items(items, 3, seed)} for seed in range(20)]
    assert {*map(len, drawn)} == {3} and set().union(*drawn) == {i.application for i in items}

def test_intervals_and_tables():
    items = items_of(asked(20)); chance = random.Random(1); said = [i.reference if chance.random() < .6 else 'unknown' for i in items]
    a, b = score_answers(items, said, 'a'), score_answers(items, ['yes']*len(items), 'b')
    i = a.interval(); assert i.low < a.accuracy < i.high and i.scenes == 20
    t = answers_table([a, b]); assert len(t.rows) == 2 and t.header[-1] == 'published rule' and '[' in t.rows[0][1]
    assert difference(a, b).verdict == 'wins' and difference(b, a).mean == -difference(a, b).mean
    assert a.by('class')['ship'].accuracy >= 0 and sum(map(len, a.by('kind').values())) == len(items)
    one = a.where(lambda i: i.image == 'b0.png'); assert one.interval() is None and 'too few' in answers_table([one]).markdown()
    assert sum(official(a).values()) == pytest.approx(100)

def test_a_judge_that_fails_or_talks():
    a = score_answers(items_of(asked(3)), ['yes']*len(items_of(asked(3))))
    assert judged(a, lambda p: 'Both right and wrong') == [None]*len(a) and judged(a, lambda p: 'not right') == [None]*len(a)
    truth = [v.right for v in a.verdicts]
    assert agreement(a, truth)['kappa'] == 1 and agreement(a, [not t for t in truth])['kappa'] < 0

# --- files -------------------------------------------------------------------------------------------------------
def test_files_of_all_kinds(tmp_path):
    records = asked(4); items = items_of(records); write_records(records, tmp_path/'r.jsonl')
    rows = [(i.image, i.reference, i.question, i.reference) for i in items]
    with open(tmp_path/'VQA_result.csv', 'w', newline='', encoding='utf-8') as f: csv.writer(f).writerows(rows)
    with open(tmp_path/'bom.csv', 'w', newline='', encoding='utf-8-sig') as f: csv.writer(f).writerows([('image', 'predicted', 'question', 'truth'), *rows])
    (tmp_path/'p.jsonl').write_text(''.join(json.dumps(dict(image=f'D:/author/{a}', prediction=p, question=q.upper())) + '\n' for a, p, q, _ in rows))
    for name in ('VQA_result.csv', 'bom.csv', 'p.jsonl'):
        a, dull = evaluate_answers(tmp_path/name, tmp_path/'r.jsonl')
        assert a.accuracy == 100 and len(a) == len(items)
        sheet = answer_sheet(a, dull, 'asked'); assert read_sheets(write_sheets([sheet], tmp_path/'s.json')) == [sheet] and sheet.scores['right'].value == 100
    assert evaluate_answers(tmp_path/'VQA_result.csv')[0].accuracy == 100          # by its own truth

def test_vlmevalkit_by_index(tmp_path):
    def image(k):
        buffer = io.BytesIO(); Image.new('L', (40, 30), k).save(buffer, 'PNG'); return base64.b64encode(buffer.getvalue()).decode()
    rows = [('index', 'image', 'question', 'answer', 'category'), (7, image(1), 'How many ships?', '2', 'instance counting'), (9, image(2), 'How many ships?', '3', 'instance counting')]
    with open(tmp_path/'q.tsv', 'w', newline='') as f: csv.writer(f, delimiter='\t').writerows(rows)
    (tmp_path/'p.csv').write_text('index,question,answer,prediction\n9,How many ships?,3,three\n7,How many ships?,2,3\n')
    a, _ = evaluate_answers(tmp_path/'p.csv', tmp_path/'q.tsv')
    assert [v.right for v in a.verdicts] == [False, True]

@pytest.mark.parametrize('text, said', [
    ('image,question,said\nb0.png,How many?,3\n', 'name the columns image, predicted, question, truth'),
    ('image,predicted\nb0.png,3\n', 'no column with the question'),
    ('image,predicted,question\nb0.png,3,How many?\nb0.png,4,How many?\n', 'answered twice'),
    ('image,predicted,question\nb0.png,3,What else?\n', 'is no question of the set'),
    ('image,predicted,question\nb0.png,3 ships, yes,What else?\n', 'put a text with commas in quotes')])
def test_faults_of_files(tmp_path, text, said):
    (tmp_path/'p.csv').write_text(text); write_records(asked(2), tmp_path/'r.jsonl')
    with pytest.raises(BadInput, match=said): evaluate_answers(tmp_path/'p.csv', tmp_path/'r.jsonl')

def test_more_faults(tmp_path):
    write_records(asked(2), tmp_path/'r.jsonl'); items = read_items(tmp_path/'r.jsonl')
    (tmp_path/'latin.csv').write_bytes('image,predicted,question\nb0.png,Schiff Küste,How many?\n'.encode('latin-1'))
    with pytest.raises(BadInput, match='not UTF-8 text'): read_predictions(tmp_path/'latin.csv')
    with pytest.raises(BadInput, match='cannot be read'): read_predictions(tmp_path/'lost.csv')
    (tmp_path/'nan.jsonl').write_text(''.join(json.dumps(dict(image=i.image, question=i.question, prediction=float('nan'))) + '\n' for i in items))
    faults = Problems('skip'); got = match_predictions(items, read_predictions(tmp_path/'nan.jsonl', faults), 'p', faults)
    assert not faults and set(score_answers(items, got).cases()) == {'empty'}
    assert set(score_answers(items, [None]*len(items)).cases()) == {'missing'}
    (tmp_path/'extra.csv').write_text('image,predicted,question\nzz.png,3,How many ships?\n'); faults = Problems('skip')
    with pytest.raises(BadInput, match='answers no question of the set'): evaluate_answers(tmp_path/'extra.csv', tmp_path/'r.jsonl', problems=faults)
    with open(tmp_path/'extra.csv', 'a', newline='') as f: csv.writer(f).writerow((items[0].image, 'unknown', items[0].question))
    a, _ = evaluate_answers(tmp_path/'extra.csv', tmp_path/'r.jsonl', problems=(faults := Problems('skip')))
    assert a.accuracy == 0 and a.cases()['missing'] == len(items) - 1 and 'is no question' in str(faults[0])
    with pytest.raises(BadInput, match='its truth is'): match_predictions(items[:1], [type(read_predictions(tmp_path/'extra.csv')[0])('line 1', items[0].image, items[0].question, 'x', 'other')])
    with pytest.raises(ValueError, match='one an item'): score_answers(items, ['3'])

def test_sheet_is_on_the_disk_at_once(tmp_path):
    items = draw_items(items_of(asked(40)), 30)
    assert len(items) == 30 == len({(i.image, i.question) for i in items}) and len({i.application for i in items}) == 6
    for k, i in enumerate(items):
        AnswerSheet(tmp_path/'me.csv').add(i, f'"{i.reference}", I think\n')
        assert len(read_predictions(tmp_path/'me.csv')) == k + 1
    assert AnswerSheet(tmp_path/'me.csv').todo(items) == []

def test_a_sheet_reads_what_it_wrote(tmp_path):
    items = [Item('a.png', 'Is there a ship?', 'yes'), Item('a.png', 'Is there a ship', 'yes'), Item('sar\\b.png', 'How many ships?', '2')]
    sheet = AnswerSheet(tmp_path/'me.csv')
    for i in items: sheet.add(i, i.reference)
    again = AnswerSheet(tmp_path/'me.csv')
    assert again.all == sheet.all and again.todo(items) == [] and again.score(items).accuracy == 100
    assert match_predictions(items, read_predictions(tmp_path/'me.csv')) == ['yes', 'yes', '2']

def test_two_desks_on_one_sheet(tmp_path):
    "What another desk wrote meanwhile stays, and is known"
    items = [Item('a.png', 'Is there a ship?', 'yes'), Item('b.png', 'How many ships?', '2')]
    one, other = AnswerSheet(tmp_path/'me.csv'), AnswerSheet(tmp_path/'me.csv')
    one.add(items[0], 'yes'); other.add(items[1], 'two'); assert other.get(items[0]) == 'yes' and other.todo(items) == AnswerSheet(tmp_path/'me.csv').todo(items) == []
    whole = (tmp_path/'me.csv').read_text(); (tmp_path/'me.csv').write_text('a,b\n1,2\n')
    with pytest.raises(BadInput, match='me.csv'): other.add(items[0], 'no')
    assert (tmp_path/'me.csv').read_text() == 'a,b\n1,2\n' and whole.count('\n') == 3

def test_a_person_at_the_desk_is_scored(tmp_path):
    "Thirty questions by keyboard and mouse, with a break, then the command on what was written: the same questions for the baselines"
    pytest.importorskip('ipywidgets')
    from sartext.explore import answer_desk
    told = asked(40); write_records(told, tmp_path/'asked.jsonl'); items = read_items(tmp_path/'asked.jsonl')
    def sit(n):
        ui = answer_desk(items, tmp_path, tmp_path/'a b.csv'); p = ui.parts
        for _ in range(n):
            item, quick = ui.desk.item, {b.description: b for b in p['quick'].children}; seen.append(item)
            answer = item.reference if len(seen) % 3 else 'unknown'
            if answer in quick: quick[answer].click()
            else: p['answer']._handle_custom_msg({'event': 'submit'}, []); p['answer'].value = answer       # as the page sends them
        return ui
    seen = []; assert sit(11).desk.left == 19; ui = sit(19)
    assert ui.desk.left == 0 and 'thank you' in ui.parts['status'].value and len({*seen}) == 30 and {i.application for i in seen} == {i.application for i in items}
    args = ['evaluate', 'answers', '--predictions', 'a b.csv', '--questions', 'asked.jsonl', '--out', 's.json', '--name', 'a person']
    r = sartext(*args, '--answered', cwd=tmp_path, env={'LC_ALL': 'C'}); assert r.returncode == 0, r.stderr
    sheet, = read_sheets(tmp_path/'s.json'); assert sheet.n == 30 and sheet.scores['right'].value == pytest.approx(100*20/30) and f'30 of {len(items)} questions have an answer' in r.stdout and sheet.protocol == 'exact canonical forms, of what was answered'
    fitted = baselines(items)['question only']; own = [v.right for i, v in zip(fitted.items, fitted.verdicts) if i in seen]; assert sheet.baselines['question only']['right'].value == pytest.approx(100*np.mean(own))
    r = sartext(*args, cwd=tmp_path); assert read_sheets(tmp_path/'s.json')[0].n == len(items) and f'{len(items) - 30} of {len(items)} questions have no prediction' in r.stdout
    r = sartext('evaluate', 'answers', '--predictions', 'a b.csv', '--answered', cwd=tmp_path); assert r.returncode == 1 and '--questions' in r.stderr and len(r.stderr.splitlines()) == 1

@pytest.mark.parametrize('args, wanted', [(['answers', '--predictions', 'none.csv'], 'the answers'), (['answers', '--predictions', 'said.csv', '--questions', 'none.csv'], 'the questions'),
                                          (['captions', '--predictions', 'none.json', '--references', 'none.json'], 'the captions')])
def test_the_remedy_names_what_was_asked_for(args, wanted, tmp_path):
    (tmp_path/'said.csv').write_text('image,question,predicted\na.png,How many?,3\n')
    r = sartext('evaluate', *args, cwd=tmp_path); assert r.returncode == 1 and r.stderr.endswith(f'give the file with {wanted}\n'), r.stderr

def test_numbers_in_files_keep_their_digits(tmp_path):
    (tmp_path/'p.jsonl').write_text('{"image": "a.png", "question": "How many?", "prediction": 1234568, "truth": 1234567.0}\n')
    said, = read_predictions(tmp_path/'p.jsonl'); assert (said.prediction, said.truth) == ('1234568', '1234567')

# --- real data ---------------------------------------------------------------------------------------------------
def test_questions_of_real_ships(data):
    records = [ask(r) for r in list(read_coco(data/'ssdd/annotations/instances.json', data/'ssdd/JPEGImages'))[:300]]
    items = items_of(records); words = {'number': 'I see {} of them', 'position': 'in the {} of the image', 'yes/no': '{}, as far as I see'}
    said = [words.get(kind_of_answer(i.reference, i.question), 'the {}').format(i.reference) for i in items]
    assert score_answers(items, [i.reference for i in items]).accuracy == 100 == score_answers(items, said).accuracy
    assert baselines(items)['question only'].accuracy > baselines(items)['random'].accuracy

@pytest.mark.parametrize('task', ['Ship_Counting', 'Aircraft_Counting', 'Object_Recognition', 'Scene_Classification', 'Aircraft_Classification_Detection',
                                  'Polarization_Orientation_Inference'])
def test_multiple_choice_of_sareval(data, task):
    path = data/'sareval'/f'{task}.json'; rows = json.loads(path.read_text())
    items = read_items(path, Problems('skip'))
    assert len(items) == len(rows) and all(i.options for i in items)
    assert score_answers(items, [r['ground_truth'] for r in rows]).accuracy == 100
    letters = score_answers(items, [r['ground_truth_option'] for r in rows])
    wrong = [(i, p, v) for i, p, v in zip(items, letters.predictions, letters.verdicts) if not v.right]
    assert len(wrong) <= .02*len(rows), wrong[:3]                                   # a few letters of theirs name another option
    other = [next(o for o in i.options if o != i.reference) for i in items]
    assert score_answers(items, other).accuracy == 0

"Questions over many drawn, simulated and real pictures: true answers, evidence, balance, odd input"
import re, sys
from collections import Counter
from dataclasses import replace
import numpy as np
import pytest
from conftest import root
from sartext.narrate.facts import box_facts, mask_facts
from sartext.narrate.questions import (APPLICATIONS, FORMS, GENERIC, Scene, _cover_list, _cover_main, _direction, _name, _possible, abstract, ask, ask_all, balance, class_shares, kinds_of,
                                       one_sided, part_of, tally)
from sartext.narrate.words import CELLS, COVERS, NOUNS, ancestors, forbidden, nameable, spoken
from sartext.records import Box, Caption, Fact, Record, Sar, from_dict, rng_for, to_json

SARDET = ('ship', 'aircraft', 'car', 'tank', 'bridge', 'harbor')
ANSWERS = {'shape': {'wide', 'tall', 'square'}, 'pattern': {'row', 'cluster', 'spread', 'yes', 'no'},
           'direction': {'horizontal', 'vertical', 'rising', 'falling', 'left', 'right', 'ascending', 'descending'},
           'object positioning': {*CELLS, 'yes', 'no'}}

def drawn(i, kinds=3, most=9, labelled=SARDET):
    "A picture with up to `most` objects, in rows, clusters or anywhere"
    r = rng_for(0, 'drawn', i)
    names, n, how = r.sample(SARDET, r.randint(1, kinds)), r.randint(1, most), r.choice(['row', 'cluster', 'any', 'any'])
    w, h, x, y = r.uniform(8, 60), r.uniform(8, 60), r.uniform(0, 180), r.uniform(0, 180)
    def box(j):
        if how == 'row': return Box(names[0], x + 20*j, y + 11*j, w, h)
        if how == 'cluster': return Box(r.choice(names), x + r.uniform(0, 120), y + r.uniform(0, 120), w/2, h/2)
        return Box(r.choice(names), r.uniform(0, 512 - w), r.uniform(0, 400 - h), w, h)
    return Record(f'drawn-{i}', f'{i}.png', 512, 400, labelled_classes=labelled, boxes=tuple(map(box, range(n))))

@pytest.fixture(scope='module')
def asked(): return list(ask_all(map(drawn, range(600)), per_application=3))

def one_class(shown=1.):
    "A set that labels ships only, like SSDD; a share of its pictures shows some"
    def only_ships(i):
        record = drawn(i, labelled=('ship',))
        return replace(record, boxes=tuple(replace(b, category='ship') for b in record.boxes) if i < shown*400 else ())
    return [only_ships(i) for i in range(400)]

def test_a_set_of_one_class_is_asked_what_has_both_answers():
    "Where every picture shows the one labelled class, no question is asked that can only be answered yes"
    answers, forms = {}, Counter()
    for record in ask_all(one_class(), per_application=4):
        for q in record.questions:
            forms[form_of(q)] += 1
            if q.answer in ('yes', 'no'): answers.setdefault(q.application, Counter())[q.answer] += 1
    assert not {'presence', 'is predominant', 'is target', 'either', 'both', 'region is'} & {*forms}, forms
    assert {'object identification', 'region referring', 'object positioning', 'others'} == {*answers}
    assert all(min(c.values()) > .4*sum(c.values()) > 60 for c in answers.values()), answers
    assert forms['presence there'] > 800 and forms['region holds'] > 200

def test_one_class_that_is_not_always_there_is_asked_for():
    records = one_class(.6); shares = class_shares(records)
    counts = Counter(q.answer for r in ask_all(records, shares=shares, per_application=4) for q in r.questions if form_of(q) == 'presence')
    assert .4 < shares['ship'] < .7 and min(counts['yes'], counts['no']) > 100, counts
    assert not [q for r in ask_all(records, per_application=4) for q in r.questions if form_of(q) == 'presence']     # nobody said that some are empty

@pytest.mark.parametrize('written', [(name,) for name in NOUNS if name not in GENERIC] + [(n,) for n in ('T72', '船', '2S1', 'a{b}[c]', 'Lava Field')])
def test_a_choice_holds_the_answer_as_it_is_written(written):
    "Whatever is offered, the answer is one of the words offered, whole and unchanged: an exact comparison can score it"
    others = [n for n in ('ship', 'bridge', 'car', 'oil tank') if not {*kinds_of(n)} & {*kinds_of(written[0])} - {'object'}]
    record = Record(written[0], 'r.png', 512, 512, labelled_classes=(*written, *others), boxes=tuple(
        Box(written[0], 40 + 90*i, 30 + 80*i, 60, 20) for i in range(3)))
    seen = Counter()
    for q in (q for i in range(6) for q in ask(record, seed=i, per_application=12).questions):
        form = form_of(q); seen[form] += 1
        if form in ('either', 'region either'):
            offered = {n: spoken(_name(n, None)) for n in (_name(written[0], None), *map(_name, others, [None]*9))}
            said = [n for n, w in offered.items() if re.search(rf'(?<![\w-]){re.escape(w)}(?![\w-])', q.question)]
            assert q.answer in said and len(said) == 2, (q, said)
        elif form in ('options', 'target options', 'shape', 'shape there', 'arranged'):
            offered = re.split(', | or ', re.search(r'([^:?.]*)[?.]$', q.question)[1].strip())
            if ':' in q.question: assert q.answer in offered, q
            assert q.answer in re.split(r', | or |: |[?.]| ', q.question) or q.answer in offered, q
    assert seen['either'] > 3 and seen['region either'] > 10 and seen['options'] > 5, seen

def test_every_fact_is_one_of_the_picture(asked):
    "Evidence is what `box_facts` states; a region and a half of the picture are held against the boxes"
    halves = {'left half': lambda b: b.x + b.w <= 256, 'right half': lambda b: b.x >= 256,
              'top half': lambda b: b.y + b.h <= 200, 'bottom half': lambda b: b.y >= 200}
    for record in asked:
        stated = {*box_facts(record)}
        for q in record.questions:
            assert q.facts, q
            for f in {*q.facts} - stated:
                same = [b for b in record.boxes if _name(b.category, None) == f.subject]
                if f.value in halves: assert f.number == sum(map(halves[f.value], same)), (q, f)
                else:
                    assert f.kind == 'position' and (m := re.fullmatch(r'\[(\d+), (\d+), (\d+), (\d+)\]', f.value)), (q, f)
                    if f.number == 0:
                        x, y, w, h = map(int, m.groups())
                        assert x + w <= 512 and y + h <= 400 and not [b for b in same if b.x < x + w and x < b.x + b.w and b.y < y + h and y < b.y + b.h], (q, f)
                    else: assert any(max(abs(a - int(v)) for a, v in zip((b.x, b.y, b.w, b.h), m.groups())) <= 1 for b in same), (q, f)

def names_of(record): return [_name(b.category, None) for b in record.boxes]

def wanted(q, record):
    "The answer worked out again from the boxes and the type alone, where the type says enough; else None"
    names = re.findall(r'\[([a-z ]+)\]', q.type); form = abstract(q.type)
    count = Counter(_name(b.category, None) for b in record.boxes); n = [count[o] for o in names]
    yes = {True: 'yes', False: 'no'}
    form_of = next((f for f, (_, ws) in FORMS.items() if form in {re.sub(r'{(a|one|many)2?}', '[]', w) for w in ws}), '')
    number = int(re.search(r'\d+', q.question)[0]) if '{n}' in q.type else None
    kin = {a for o in count for a in ancestors(o)}                       # a car is a vehicle
    return {'presence': lambda: yes[names[0] in kin], 'kinds': lambda: ', '.join(sorted(count)), 'how many': lambda: str(n[0]),
            'both': lambda: yes[all(n)], 'together': lambda: str(sum(n)), 'more': lambda: yes[n[0] > n[1]],
            'same number': lambda: yes[n[0] == n[1]], 'difference': lambda: str(n[0] - n[1]),
            'more than': lambda: yes[n[0] > number], 'fewer than': lambda: yes[n[0] < number],
            'exactly': lambda: yes[n[0] == number], 'either': lambda: names[0] if n[0] else names[1],
            'predominant': lambda: max(count, key=count.get), 'most common': lambda: max(count, key=count.get),
            'target': lambda: names_of(record)[0], 'is target': lambda: yes[names == names_of(record)],
            'is predominant': lambda: yes[2*n[0] > len(record.boxes)]}.get(form_of, lambda: None)()

def test_answers_are_true(asked):
    checked = Counter()
    for record in asked:
        for q in record.questions:
            if (answer := wanted(q, record)) is not None:
                assert q.answer == answer, (q, record.boxes); checked[part_of(q)] += 1
    assert checked['object identification'] > 1500 and checked['instance counting'] > 800 and checked['reasoning'] > 400, checked

def test_one_object_is_a_target_and_several_are_objects(asked):
    "Nobody is asked what most of the objects are where there is one, or for 'the target' where there are several"
    seen = Counter()
    for record in asked:
        for q in record.questions:
            if q.application != 'object classification': continue
            assert ('target' in form_of(q)) == (len(record.boxes) == 1), q
            if len(record.boxes) == 1: assert not re.search(r'\b(objects|most|mostly|mainly|predominant)\b', q.question), q
            seen[form_of(q)] += 1
    assert min(seen[f] for f in ('target', 'target options', 'is target', 'predominant', 'options', 'is predominant')) > 10, seen

def test_answers_are_canonical(asked):
    for record in asked:
        for q in record.questions:
            part = part_of(q)
            if part == 'image description': continue
            assert q.answer in ANSWERS.get(part, {q.answer}), q
            assert q.answer == q.answer.strip().lower() and '{' not in q.question and q.question[-1] in '?.', q
            if part == 'instance counting': assert q.answer.isdigit(), q
            assert not forbidden(q.question) and '  ' not in q.question, q
    assert {q.application for r in asked for q in r.questions} == {*APPLICATIONS}

def test_no_is_said_only_of_labelled_classes():
    for i in range(300):
        record = ask(drawn(i, labelled=('ship', 'bridge')), per_application=6)
        for q in record.questions:
            zero = {f.subject for f in q.facts if f.kind == 'count' and f.value == 0}
            assert zero <= {'ship', 'bridge'}, q
            if q.answer in ('no', '0'): assert {'ship', 'bridge'} & {f.subject for f in q.facts}, q
    bare = [ask(drawn(i, labelled=()), per_application=6) for i in range(100)]
    assert not [q for r in bare for q in r.questions if q.answer in ('no', '0')]

def test_same_questions_whatever_the_order_and_company():
    records = [drawn(i) for i in range(40)]
    alone, together = [to_json(ask(r, seed=3)) for r in records], [to_json(r) for r in ask_all(reversed(records), seed=3)]
    assert alone == together[::-1]
    assert from_dict(__import__('json').loads(alone[0])) == ask(records[0], seed=3)
    assert alone != [to_json(ask(r, seed=4)) for r in records]

def test_asking_twice_repeats_nothing():
    once = ask(drawn(5)); twice = ask(once)
    texts = [q.question for q in twice.questions]
    assert twice.questions[:len(once.questions)] == once.questions and len(texts) == len(set(texts))

def test_yes_and_no_are_even():
    records = [drawn(i) for i in range(1500)]; counts = Counter()
    for _ in tally(ask_all(records, shares=class_shares(records)), counts): pass
    for row in balance(counts):
        if row['yes'] is not None and row['questions'] > 300: assert abs(row['yes'] - .5) < .07, row
    rows = {r['application']: r for r in balance(counts)}
    assert rows['object identification']['question_only'] < .62 and rows['reasoning']['majority'] < .62

def test_first_look_misses_no_pattern():
    seen = Counter()
    for i in range(800):
        record = drawn(i, kinds=1)
        for f in box_facts(record):
            if f.kind != 'relation' or f.value not in ('row', 'cluster', 'spread') or f.number != len(record.boxes): continue
            cells = {g.value: g.number for g in box_facts(record) if g.kind == 'position'}
            assert f.value in _possible([*record.boxes], record, cells), (f, record.boxes); seen[f.value] += 1
    assert min(seen[k] for k in ('row', 'cluster', 'spread')) >= 5, seen

def test_places_on_a_line_are_not_asked():
    "A lone object whose centre is on a line of the grid: neither where it is nor whether it is there"
    record = Record('line', 'l.png', 300, 300, labelled_classes=SARDET, boxes=(Box('ship', 90, 40, 20, 20),))
    assert not ask(record, per_application=20, applications=('object positioning',)).questions
    clear = replace(record, boxes=(Box('ship', 130, 40, 20, 20),))
    assert {q.answer for q in ask(clear, per_application=20, applications=('object positioning',)).questions} == {'top', 'yes', 'no'}

def test_spacing_limits_what_is_asked():
    far = Record('far', 'f.png', 500, 500, sar=Sar(pixel_spacing=(10., 10.)), labelled_classes=('car', 'ship'),
                 boxes=(Box('ship', 10, 10, 20, 20), Box('car', 300, 300, 2, 2)))
    text = ' '.join(q.question + q.answer for q in ask(far, per_application=12).questions)
    assert 'ship' in text and not re.search(r'\b(car|vehicle)', text)
    exact = Record('t', 't.png', 128, 128, sar=Sar(pixel_spacing=(.3, .3)), boxes=(Box('T72', 50, 50, 30, 15),))
    assert 'T-72' in {q.answer for q in ask(exact, per_application=9).questions}

@pytest.mark.parametrize('name', ['storage-tank', '2S1', '船', 'a{b}[c]', '{n}', 'Fähre', "d'Arc's", 'x'*300, '%s', '7'])
def test_odd_names(name):
    record = Record('odd', 'o.png', 400, 400, labelled_classes=(name, 'ship'), boxes=tuple(
        Box(name, 10 + 60*i, 20 + 9*i, 40, 22) for i in range(4)) + (Box('ship', 300, 300, 40, 30),))
    asked = ask(record, per_application=8, prefix=True)
    written = nameable(_name(name, None), None)
    assert any(q.answer == written for q in asked.questions) and from_dict(__import__('json').loads(to_json(asked))) == asked

def test_nothing_and_very_much():
    assert ask(Record('e', 'e.png', 9, 9)).questions == ()
    empty = ask(Record('e', 'e.png', 9, 9, labelled_classes=SARDET), per_application=5)
    assert {q.answer for q in empty.questions if q.application != 'image description'} == {'no', '0'}
    r = rng_for(0, 'crowd')
    crowd = Record('c', 'c.png', 5000, 5000, labelled_classes=SARDET, boxes=tuple(
        Box(r.choice(SARDET), r.uniform(0, 4900), r.uniform(0, 4900), r.uniform(5, 60), r.uniform(5, 60)) for _ in range(5000)))
    asked = ask(crowd, per_application=5)
    assert len(asked.questions) > 20 and all(wanted(q, crowd) in (None, q.answer) for q in asked.questions)

def test_land_cover():
    record = Record('m', 'm.png', 256, 256, mask='m.png', mask_classes={'1': 'water', '2': 'trees', '3': 'crops', '9': 'ship'})
    facts = (Fact('proportion', 'water', 58), Fact('proportion', 'trees', 31), Fact('proportion', 'unlabelled', 8),
             Fact('proportion', 'ship', 3), Fact('position', 'trees', 'left'))
    asked = next(ask_all([record], facts=lambda r: facts, per_application=40, applications=('others',)))
    answers = {(abstract(q.type), q.answer) for q in asked.questions}
    assert {part_of(q) for q in asked.questions} == {'land cover'}
    assert {a for t, a in answers if t.startswith('Which land covers')} <= {'forest, water'}
    assert {a for t, a in answers if 'percent' in t} == {'60', '30'} and {a for t, a in answers if 'part of the image can' in t} <= {'left'}
    assert all('ship' not in q.question and 'unlabelled' not in q.question + q.answer for q in asked.questions)
    assert all({*q.facts} <= {*facts} for q in asked.questions)

def test_captions_are_the_descriptions():
    facts = (Fact('count', 'ship', 1),)
    record = replace(drawn(1), captions=(Caption('A ship is there.', facts=facts), Caption('A ship. It is small.', 'complex', facts=facts)))
    got = {q.answer: q for q in ask(record, per_application=9, applications=('image description',)).questions}
    assert {*got} == {'A ship is there.', 'A ship. It is small.'} and all(q.facts == facts for q in got.values())

def test_wrong_application():
    with pytest.raises(ValueError, match="'counting' is unknown"): ask(drawn(0), applications=('counting',))

def test_category_table():
    "One name, one row: no alias, plural or synonym belongs to two"
    for table in (NOUNS, COVERS):
        owner = {}
        for name, noun in table.items():
            for word in {name.lower(), noun.plural.lower(), *noun.synonyms, *noun.aliases}:
                assert owner.setdefault(word, name) == name, f'{word!r} is of {owner[word]} and of {name}'
    assert len(COVERS) == 16

def test_types(asked):
    sys.path.insert(0, str(root/'benchmarks'))
    try: import questions as bench
    finally: sys.path.pop(0)
    counts = Counter()
    records = [Record(f'{i:07}', f'{i:07}.jpg', 512, 512, labelled_classes=SARDET, boxes=tuple(Box(*b) for b in bench.picture(i, n, 0)))
               for i, n in enumerate(bench.counts_of(4000, 0))]
    for _ in tally(ask_all(records), counts): pass
    types = {t for _, t, *_ in counts}
    assert len(types) >= 1000 and len({abstract(t) for t in types}) >= 100, len(types)

def test_optical_pictures_are_not_called_radar(asked):
    record = replace(drawn(3), modality='optical')
    assert not [q for s in range(10) for q in ask(record, seed=s, per_application=5).questions if re.search('SAR|radar', q.question)]

def test_real_boxes(data):
    from sartext.records import Problems
    from sartext.sources.boxes import read_boxes
    records = list(read_boxes(data/'ssdd'/'JPEGImages', data/'ssdd'/'Annotations', problems=Problems('skip')))[:300]
    n = 0
    for record in ask_all(records, per_application=3):
        for q in record.questions: assert wanted(q, record) in (None, q.answer), q; n += 1
    assert n > 3000

def form_of(q):
    "The form a question was asked by"
    open_ = abstract(q.type)
    return next((f for f, (_, ws) in FORMS.items() if open_ in {re.sub(r'{(a|one|many|cover)2?}', '[]', w) for w in ws}), '')

def covers_of(mask, classes):
    record = Record('m', 'm.png', *mask.shape[::-1], mask='m.png', mask_classes=classes)
    return record, mask_facts(record, mask)

def test_absent_covers_are_denied():
    record, facts = covers_of(np.repeat([[1, 2]], 50, 1).repeat(100, 0).astype('uint8'), {'1': 'water', '2': 'trees', '3': 'crops', '4': 'wetland'})
    counts = Counter(q.answer for i in range(200) for q in ask(record, seed=i, per_application=6, applications=('others',), facts=facts).questions
                     if form_of(q) == 'cover there')
    assert counts['no'] > 10 and .3 < counts['no']/sum(counts.values()) < .7, counts

def test_unlabelled_and_tiny_covers():
    mask = np.zeros((100, 100), np.uint8); mask[:, :7] = 1; mask[:5, 50:56] = 2
    record, facts = covers_of(mask, {'1': 'water', '2': 'trees'})
    scene = Scene(record, rng_for(0).random, facts)
    assert _cover_main(scene) is None and _cover_list(scene)[2] == 'forest, water'
    mask[:, 7:] = 1; mask[:5, 50:56] = 2
    record, facts = covers_of(mask, {'1': 'water', '2': 'trees'})
    assert _cover_main(Scene(record, rng_for(0).random, facts))[2] == 'water'

def test_directions_rest_on_facts_of_the_boxes():
    for angle in range(0, 180, 3):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        corners = tuple((100 + u*c - v*s, 100 + u*s + v*c) for u, v in ((-40, -10), (40, -10), (40, 10), (-40, 10)))
        xs, ys = zip(*corners)
        record = Record('d', 'd.png', 300, 300, boxes=(Box('ship', min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys),
                                                           polygon=corners, angle=float(angle)),))
        if found := _direction(Scene(record, rng_for(0).random)): assert set(found[3]) <= set(box_facts(record)), (angle, found)

def test_crowds_allow_no_question_on_all_objects():
    record = Record('c', 'c.png', 300, 300, labelled_classes=('ship', 'person', 'car', 'vehicle'), boxes=(
        Box('ship', 9, 9, 20, 9), Box('ship', 99, 9, 20, 9), Box('bridge', 9, 99, 20, 9), Box('car', 200, 200, 90, 90, attributes={'iscrowd': 1})))
    for i in range(60):
        for q in ask(record, seed=i, per_application=5).questions:
            assert form_of(q) not in ('kinds', 'predominant', 'target', 'options', 'is predominant', 'target options', 'is target', 'most common'), q
            assert not {'car', 'vehicle'} & {f.subject for f in q.facts}, q

def test_a_chip_is_not_asked_for_places():
    "In an image cut around its one target that target is at the center: nothing to ask"
    chip = Record('c', 'c.png', 100, 100, labelled_classes=('ship', 'car'), boxes=(Box('ship', 40, 44, 20, 10),))
    assert not ask(chip, per_application=20, applications=('object positioning',)).questions
    off = replace(chip, width=99, boxes=(Box('ship', 51, 44, 3, 10),))                        # wholly in the right half, and the target
    assert not [q for i in range(9) for q in ask(off, seed=i, per_application=9, applications=('others',)).questions if 'half' in form_of(q)]
    wide = replace(chip, width=400, height=400, boxes=(Box('ship', 190, 194, 20, 10),))       # an open scene may have it there too
    assert ask(wide, per_application=20, applications=('object positioning',)).questions

def test_one_sided_applications_are_named():
    counts = Counter()
    for _ in tally(ask_all(one_class()), counts): pass
    lines = one_sided(counts)
    assert [line.split(': ')[0] for line in lines] == ['object classification'] and lines[0].endswith("answers are 'ship'"), lines
    several = [drawn(i) for i in range(400)]; counts = Counter()
    for _ in tally(ask_all(several), counts): pass
    assert one_sided(counts) == []

def test_ship_types_are_asked_for():
    "One ship: in all; several: by region. The answer is the canonical type, its evidence a fact of the boxes or the region"
    def ship(x, **about): return Box('ship', x, 40, 30, 12, attributes=about)
    one = Record('one', 'o.png', 400, 300, labelled_classes=('ship',), boxes=(ship(20, type='Oil Tanker'),))
    several = replace(one, id='several', boxes=(ship(20, type='Cargo'), ship(120, type='Tanker'), ship(220), ship(320, type='bridge')))
    found = [(form_of(q), q) for r in (one, several) for i in range(40) for q in ask(r, seed=i, per_application=6).questions]
    alone, regions = ([q for form, q in found if form == f] for f in ('type one', 'region type'))
    assert {q.answer for q in alone} == {'tanker'} and {q.facts for q in alone} == {(Fact('count', 'tanker', 1),)} and set(alone[0].facts) <= {*box_facts(one)}
    where = {'[20, 40, 30, 12]': 'cargo ship', '[120, 40, 30, 12]': 'tanker'}
    assert {q.answer for q in regions} == {*where.values()}
    for q in regions:
        (f,) = q.facts
        assert f.value in q.question and where[f.value] == q.answer == f.subject, q
    plain = replace(one, boxes=(ship(20, length=90), ship(120, type='')))
    assert not [q for i in range(20) for q in ask(plain, seed=i, per_application=6).questions if 'type' in form_of(q)]

def test_types_of_opensarship(data):
    from sartext.records import Problems
    from sartext.sources.boxes import read_boxes
    records = list(read_boxes(data/'opensarship', data/'opensarship', 'opensarship', Problems('skip')))
    typed, answers = [r for r in records if 'type' in r.boxes[0].attributes], Counter()
    for record in ask_all(typed, per_application=3, applications=('object classification',)):
        told = [q for q in record.questions if form_of(q) == 'type one']
        assert all({q.answer} == {nameable(_name(record.boxes[0].attributes['type'], None), None)} and q.facts[0] in box_facts(record) for q in told)
        answers.update(q.answer for q in told)
    assert answers.total() > 200 and answers['cargo ship'] > 50 and answers['tanker'] > 50 and len(answers) >= 6, answers

def test_yes_that_is_always_true_is_named():
    counts = Counter({('object positioning', 'Is there [ship]?', 'yes', 0): 30, ('object positioning', 'Where is the [ship]?', 'top', 0): 50,
                      ('reasoning', 'Are all [ship]?', 'yes', 0): 30, ('reasoning', 'Are all [ship]?', 'no', 0): 20})
    assert one_sided(counts) == ["object positioning: 30 of 30 yes/no answers are 'yes'"]

def test_a_box_that_is_the_whole_chip_tells_no_shape():
    "A chip in a class folder has no box of its target: 128 by 128 is the shape of the chip, not of the tank"
    tank = Record('a', 'a.png', 128, 128, boxes=(Box('T72', 0, 0, 128, 128),), labelled_classes=('T72', '2S1')); tight = replace(tank, boxes=(Box('T72', 44, 54, 40, 20),))
    asked = [{part_of(q) for n in range(20) for q in ask(replace(r, id=str(n)), applications=('others',), per_application=9).questions} for r in (tank, tight)]
    assert 'shape' not in asked[0] and 'shape' in asked[1]

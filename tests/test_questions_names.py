"Whatever a class is called: nothing that is in the picture is denied or counted as none, and no stuff is counted"
import csv, re
from collections import Counter
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sartext.narrate.facts import mask_facts
from sartext.narrate.questions import APPLICATIONS, FORMS, _kin, abstract, ask
from sartext.narrate.words import COVER_WORDS, COVERS, table_text
from sartext.records import Box, Fact, Record, rng_for

ROWS = {r['name']: r for r in csv.DictReader(table_text('categories.csv').splitlines())}
OBJECTS, GROUND = ([n for n, r in ROWS.items() if r['kind'] == kind] for kind in ('object', 'cover'))

def spellings(name):
    "Every way the table has to write a name, and how files write those"
    row = ROWS[name]
    plain = {name, row['plural'], *filter(None, (row['synonyms'] + ';' + row['aliases']).split(';'))}
    return sorted(plain | {w.replace(' ', '_') for w in plain} | {w.replace(' ', '-') for w in plain} | {w.title() for w in plain} | {w.upper() for w in plain})

OWNER = {w: n for n in OBJECTS for w in spellings(n)}              # worked out from the table alone, not by the library
OWNER |= {w: n for n in GROUND for w in spellings(n) if w not in OWNER}

def chain(name):
    "The rows a row is a kind of, itself first"
    return [name, *(chain(ROWS[name]['parent']) if name in OBJECTS and ROWS[name]['parent'] else [])]
def related(a, b): return a in chain(b) or b in chain(a)

def existence(form): return form in ('presence', 'both', 'cover there', 'how many', 'how many there', 'together')
FORM = {re.sub(r'{(a|one|many|cover)2?}', '[]', w).replace('SAR image', 'image').replace('radar image', 'image'): f
        for f, (_, ws) in FORMS.items() for w in ws}
def form_of(q): return FORM[abstract(q.type).replace('SAR image', 'image').replace('radar image', 'image')]

def denied(record):
    "Names that any question of the record denies or counts as none: by its evidence, and by its answer"
    for q in record.questions:
        for f in q.facts:
            if (f.kind, f.value) in (('count', 0), ('presence', False)): yield f.subject, q
        names = re.findall(r'\[([^]]*)\]', q.type)
        if q.answer in ('no', '0') and len(names) == 1 and form_of(q) in ('presence', 'cover there', 'how many'): yield names[0], q
        if form_of(q) in ('either', 'region either'): yield from ((n, q) for n in names if n != q.answer)

@pytest.mark.parametrize('name', OBJECTS)
def test_no_kin_of_what_is_there_is_denied(name):
    "A box of every spelling; labelled are all spellings of all its kin, and one class of another kind"
    kin = [w for o in OBJECTS if related(o, name) for w in spellings(o)]
    other = next(o for o in ('ship', 'bridge', 'car') if not related(o, name)) if name != 'object' else 'ship'
    found = Counter()
    for i, written in enumerate(spellings(name)):
        labelled = tuple(rng_for(0, name, i).sample([w for w in kin if w != written], min(12, len(kin) - 1))) + (written, other)
        record = Record(f'{name} {i}', 'r.png', 512, 512, labelled_classes=labelled,
                        boxes=(Box(written, 20, 20, 40, 20), Box(written, 300, 200, 20, 40), Box(written, 30, 400, 40, 40)))
        for no, q in denied(ask(record, per_application=8)):
            assert not related(OWNER.get(no, no), name), (written, labelled, q)
            found[no] += 1
    assert name == 'object' or found[other] > 10

def masked(classes, here, unlabelled=False):
    "Record and facts of a mask: `here` of `classes` lie side by side"
    values = {str(i): c for i, c in enumerate(classes, 1)}
    mask = np.repeat([[1 + classes.index(c) for c in here]], 60, 1).repeat(90, 0).astype('uint8')
    if unlabelled: mask[:30] = 0
    record = Record(' '.join(here), 'm.png', *mask.shape[::-1], mask='m.png', mask_classes=values)
    return record, mask_facts(record, mask)

@pytest.mark.parametrize('name', GROUND)
def test_no_cover_is_denied_under_another_name(name):
    "A mask of every spelling; its table has two more spellings of the same cover, and one other cover that is not there"
    other, found = next(o for o in ('water', 'sand') if o != name), Counter()
    for i, written in enumerate(ways := spellings(name)):
        classes = list(dict.fromkeys((written, *rng_for(0, name, i).sample(ways, min(2, len(ways))), other)))
        record, facts = masked(classes, [written])
        for no, q in denied(ask(record, per_application=40, applications=('others',), facts=facts)):
            assert OWNER.get(no, no) != name, (classes, q)
            found[no] += 1
    assert found[other] > 10

@pytest.mark.parametrize('there, asked', [
    ('look-alike', 'oil look-alike'), ('Oil Look-Alike', 'look alike'), ('building', 'Built-Up'), ('road', 'urban'), ('trees', 'land'),
    ('Lava Field', 'lava_fields'), ('LAVA FIELD', 'lava field'), ('grass', 'rangeland'), ('orchards', 'tree cover')])
def test_covers_that_the_table_does_not_tell(there, asked):
    record, facts = masked([there, 'snow', asked], [there])
    no = {n for n, _ in denied(ask(record, per_application=40, applications=('others',), facts=facts))}
    assert no == {'snow and ice'}, no

@pytest.mark.parametrize('there, asked', [
    ('BRDM_2', 'military vehicle'), ('ZSU_23_4', 'ZSU234'), ('Dry Cargo Ship', 'ship'), ('other-ship', 'Ship'), ('wind farm', 'Wind_Farms'),
    ('helicopter', 'aircraft'), ('T72', 'battle tank'), ('overpass', 'bridge'), ('container ship', 'cargo'), ('urban', 'built-up area'),
    ('Look-Alike', 'oil look-alike'), ('van', 'car'), ('pier', 'port'), ('SHIPS', 'boat'), ('object', 'lava field')])
def test_names_that_the_table_does_not_tell(there, asked):
    for one, other in ((there, asked), (asked, there)):
        if 'object' in (other,): continue                          # nothing is asked of it, so nothing is denied
        boxes = tuple(Box(one, 20 + 90*i, 20 + 80*i, 40, 20) for i in range(3))
        record = Record(one, 'r.png', 512, 512, labelled_classes=(one, other, 'lock'), boxes=boxes)
        no = {n for n, _ in denied(ask(record, per_application=20))}
        assert no == (set() if one == 'object' else {'lock'}), (one, other, no)

def test_boxes_and_mask_know_of_each_other():
    "What only the mask shows is not denied of the boxes, and what only boxes show not of the mask"
    record, facts = masked(['harbour', 'water', 'buildings', 'crops'], ['harbour', 'water'])
    record = Record('b', 'b.png', record.width, record.height, boxes=(Box('Building', 5, 5, 20, 20),), mask='m.png',
                    labelled_classes=('port', 'Building', 'car'), mask_classes=record.mask_classes)
    asked = ask(record, per_application=40, facts=facts)
    assert {n for n, _ in denied(asked)} == {'car', 'cropland'}
    assert {'harbor', 'building'} & {n for n, _ in denied(ask(record, per_application=40))} == {'harbor'}       # not told of the mask

def test_what_nobody_labelled_may_be_anything():
    record, facts = masked(['water', 'trees', 'crops'], ['water', 'trees', 'water'], unlabelled=True)
    assert Fact('presence', 'cropland', False) in facts
    questions = ask(record, per_application=60, applications=('others',), facts=facts).questions
    assert questions and not [q for q in questions if q.answer in ('no', '0') and form_of(q) == 'cover there']
    assert not [q for q in questions if form_of(q) in ('cover main', 'cover more')]       # 44, 22 and 33 percent nobody labelled

names = st.sampled_from(sorted(w for w, n in OWNER.items() if n not in GROUND))
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(names, min_size=1, max_size=4), st.lists(names, max_size=10), st.sampled_from([None, .3, 3., 12.]))
def test_any_classes_together(there, labelled, spacing):
    from sartext.records import Sar
    boxes = tuple(Box(n, 9 + 77*i, 480 - 90*i, 30 + 9*i, 20) for i, n in enumerate(there))
    record = Record('any', 'a.png', 512, 512, labelled_classes=(*labelled, *there), boxes=boxes, sar=Sar(pixel_spacing=spacing and (spacing, spacing)))
    for no, q in denied(ask(record, per_application=6)):
        assert not any(related(OWNER.get(no, no), OWNER[n]) for n in there), (no, q)

STUFF = sorted(w for n in GROUND for w in spellings(n) if ROWS[n]['plural'] == n) + ['land', 'change', 'no change', 'not water']

def test_stuff_is_not_counted():
    "Water, land and sand are asked of by area only, whether masks hold them or boxes are drawn around them"
    for name in STUFF:
        boxes = tuple(Box(name, 20 + 100*i, 20 + 90*i, 60, 40) for i in range(3)) + (Box('ship', 400, 400, 30, 20),)
        record = Record(name, 's.png', 512, 512, labelled_classes=(name, 'ship', 'sea', 'land', 'car'), boxes=boxes)
        for q in ask(record, per_application=12).questions:
            assert not re.search(rf'\b({re.escape(name.lower())}s?|seas?|waters?|lands?)\b', q.question.lower().split(': ')[-1]), q
            assert q.answer.lower() != name.lower(), q

def test_covers_are_said_as_the_narrator_says_them():
    every = [*COVER_WORDS]
    for i, name in enumerate(every):
        record, facts = masked([name, every[i - 1], every[i - 2], every[i - 3]], [name, name, every[i - 1]])
        asked = ask(record, per_application=40, applications=('others',), facts=facts).questions
        said = {COVER_WORDS[n].said for n in every} | {w for c in COVERS.values() for w in c.synonyms} | {'urban areas'}
        for q in asked:
            for slot in re.findall(r'(?:covered with|share of|show any|Can|can) (.+?)(?: than|\?| be|, in| in the| larger|\. )', q.question):
                assert slot.removeprefix('most of the ').split(' than ')[0] in said, (slot, q)
            assert not re.search(r'\b(lands|waters|sands|forests|oils|grasses|grounds)\b', q.question), q
            if form_of(q) not in ('cover main', 'cover list', 'cover share', 'cover there', 'cover more', 'cover where'): assert 0, q

def test_shares_and_places_do_not_overclaim():
    "No cover that is there is given 0 percent; the largest of several is not 'most'; a place holds most of a cover"
    record, facts = masked(['water', 'trees', 'crops'], ['water']*8 + ['trees']*11 + ['crops']*10)
    few = [Fact(f.kind, f.subject, 3) if (f.kind, f.subject, f.value) == ('proportion', 'water', 28) else f for f in facts]
    assert Fact('proportion', 'water', 3) in few
    for given in (facts, few):
        for q in ask(record, per_application=60, applications=('others',), facts=given).questions:
            assert not (form_of(q) == 'cover share' and q.answer == '0'), q
            assert form_of(q) != 'cover main' or 'most' not in q.question, q
            assert form_of(q) != 'cover where' or 'most of' in q.question, q

def test_two_shares_of_one_cover_are_no_shares():
    record, _ = masked(['water'], ['water'])
    facts = (Fact('proportion', 'sea', 40), Fact('proportion', 'water', 20), Fact('proportion', 'trees', 40))
    assert not ask(record, per_application=40, applications=('others',), facts=facts).questions

def test_questions_are_shared_and_the_same_again():
    "Questions that come again are made once; a run after many others gives the same"
    from sartext.narrate import questions
    records = [Record(f'r{i}', 'r.png', 512, 512, labelled_classes=('ship', 'car', 'bridge'),
                      boxes=tuple(Box('ship', 9 + 40*j, 9 + 30*(i % 7), 20, 9) for j in range(i % 5 + 1))) for i in range(300)]
    fresh = []
    for r in records: questions._ASKED.clear(); fresh.append(ask(r, per_application=4))
    assert fresh == [ask(r, per_application=4) for r in records] == [ask(r, per_application=4) for r in records]
    assert len(questions._ASKED) <= 32_768

@pytest.mark.parametrize('one, other', [('ZIL131', 'truck'), ('T62', 'battle tank'), ('ZSU234', 'armored vehicle'), ('BTR_70', 'armored vehicle')])
def test_designations_have_kin(one, other): assert _kin(one, other)

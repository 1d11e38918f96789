"What is measured on pictures is true of planted scenes, and with it SSDD's captions say enough to tell its pictures apart"
import math, re
from collections import Counter
import numpy as np
import pytest
from sartext.narrate.annotation import narrate
from sartext.narrate.facts import box_facts, metadata_facts
from sartext.narrate.measuring import is_measured, measurer, picture_facts, side
from sartext.narrate.words import AXES, forbidden
from sartext.records import Box, Fact, Record

def sea(level=30, looks=4, shape=(240, 320), seed=0):
    return (level*np.random.default_rng(seed).gamma(looks, 1/looks, shape)).clip(0, 255)

def record(a, *boxes): return Record('a', 'a.png', a.shape[1], a.shape[0], boxes=boxes, labelled_classes=('ship',))
def measured(a, *boxes): return picture_facts(record(a, *boxes), a.clip(0, 255).astype('uint8'))

def slab(angle, length=80, width=10, shape=(240, 320)):
    "A bright ship in the middle, turned clockwise by `angle`, and the upright box around it"
    y, x = np.mgrid[:shape[0], :shape[1]]; x, y = x - shape[1]/2, y - shape[0]/2
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    on = (abs(x*c + y*s) <= length/2) & (abs(y*c - x*s) <= width/2)
    a = sea(shape=shape); a[on] = 230
    rows, columns = np.flatnonzero(on.any(1)), np.flatnonzero(on.any(0))
    return a, Box('ship', float(columns[0]), float(rows[0]), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1))

@pytest.mark.parametrize('angle, word', [(0, 'level'), (23, 'gently falling'), (45, 'falling'), (68, 'steeply falling'), (90, 'upright'),
                                         (112, 'steeply rising'), (135, 'rising'), (157, 'gently rising'), (180, 'level')])
def test_axis(angle, word):
    a, box = slab(angle)
    said = {f.value for f in measured(a, box) if f.value in AXES}
    assert said == {word}
    assert not {f.value for f in measured(slab(angle, 16, 16)[0], slab(angle, 16, 16)[1]) if f.value in AXES}   # square: no axis

@pytest.mark.parametrize('where, cut', [('left', np.s_[:, :80]), ('right', np.s_[:, 240:]), ('top', np.s_[:60]), ('bottom', np.s_[180:]),
                                        ('top left', np.s_[:100, :120]), ('bottom right', np.s_[150:, 200:])])
def test_bright_area(where, cut):
    a = sea(); a[cut] = sea(140, seed=1)[cut]
    facts = measured(a)
    share = 100*np.zeros((240, 320))[cut].size/a.size
    assert Fact('presence', 'bright area', True) in facts and Fact('position', 'bright area', where) in facts
    (said,) = [f.value for f in facts if f.kind == 'proportion']
    assert abs(said - share) <= 5
    assert Fact('presence', 'bright area', False) in measured(sea())

def test_what_grows_bright_by_and_by_is_no_area():
    facts = measured(sea()*np.linspace(.4, 2.2, 320))
    assert Fact('presence', 'bright area', True) not in facts

def test_ground_and_contrast():
    for level, word in ((4, 'very dark'), (20, 'dark'), (50, 'dim'), (90, 'medium-bright'), (140, 'bright')):
        assert Fact('scattering', 'background', word) in measured(sea(level, looks=8)), word
    grain = lambda a: {f.value for f in measured(a)} & {'smooth', 'fine-grained', 'coarse-grained'}
    assert grain(sea(looks=100)) == {'smooth'} and grain(sea()) == {'fine-grained'}
    assert grain(np.kron(sea(shape=(60, 80)), np.ones((4, 4)))) == {'coarse-grained'}
    for above, word in ((30, 'faint'), (110, 'clear'), (215, 'strong')):
        a = sea(looks=50); a[100:112, 100:140] = 30 + above
        assert Fact('scattering', 'ship', word, 1) in measured(a, Box('ship', 100, 100, 40, 12)), word

def test_no_bright_area_only_where_that_is_true():
    none = Fact('presence', 'bright area', False)
    for level in (4, 20, 50): assert none in measured(sea(level, looks=8)), level
    for level in (90, 140, 200): assert none not in measured(np.full((240, 320), float(level))), level    # bright all over
    a = sea(looks=50); a[60:180, 80:240] = 200                                  # a quarter of the picture is bright, and boxed
    assert none not in measured(a, Box('harbor', 80, 60, 160, 120))
    assert none in measured(sea(looks=50), Box('harbor', 80, 60, 160, 120))

def test_what_does_not_stand_out_is_not_faint():
    for above in (-60, -20, 0, 5):
        a = np.full((240, 320), 90.); a[100:112, 100:140] += above
        facts = measured(a, Box('ship', 100, 100, 40, 12))
        assert not [f for f in facts if f.subject == 'ship' and f.kind == 'scattering'], above
        r = record(a, Box('ship', 100, 100, 40, 12))
        assert 'faint' not in narrate(r, kinds=('complex',), measured=facts).captions[0].text

def test_clutter_in_a_roomy_box_has_no_axis(data):
    "MSTAR's boxes are four times as long as their vehicles"
    from sartext.imagery.read import display_image
    from sartext.narrate.measuring import axis
    from sartext.records import Problems
    from sartext.sources.boxes import read_boxes
    folder = data/'mstar_scenes'
    records = list(read_boxes(folder/'JPEGImages', folder/'Annotations', problems=Problems('skip'), slack=7))
    boxes = [(display_image(folder/'JPEGImages'/r.image), b) for r in records[::3] for b in r.boxes]
    assert len(boxes) > 40 and not [b for a, b in boxes if axis(a, b)]

def test_odd_pictures():
    assert picture_facts(record(np.zeros((5, 7))), np.zeros((5, 7), 'uint8'))                  # smaller than the blocks, all zero
    whole = Box('ship', 0, 0, 320, 240)
    assert not [f for f in measured(np.full((240, 320), 90.), whole) if f.subject == 'ship']    # no background is left: nothing is said
    with pytest.raises(ValueError, match='320×240 pixels, record a says 64×48'):
        picture_facts(Record('a', 'a.png', 64, 48), np.zeros((240, 320), 'uint8'))

# ---- real pictures ----
@pytest.fixture(scope='module')
def ssdd(data):
    from sartext.sources.boxes import read_boxes
    folder = data/'ssdd'
    records = list(read_boxes(folder/'JPEGImages', folder/'annotations/instances.json', decode=False))
    measure = measurer(folder/'JPEGImages')
    return [(r, measure(r)) for r in records]

def test_captions_of_measured_pictures(ssdd):
    "They state nothing but facts, in at most four sentences, and the facts alone tell more than 80 % of the pictures apart"
    from sartext.evaluate.retrieval import text_ceiling
    told = []
    for r, facts in ssdd:
        c, = narrate(r, kinds=('complex',), plans='seen', measured=facts).captions
        assert set(c.facts) <= {*box_facts(r), *metadata_facts(r), *facts}, c.text
        assert any(is_measured(f) for f in c.facts), c.text
        assert len(re.findall(r'\.(?:\s|$)', c.text)) <= 4 and not forbidden(c.text) and not re.search(r'\d', c.text), c.text
        assert not re.search(r'  | [,.;]|[{}]|None|;\.|\.\.|\b(\w+) \1\b|\ba (?:[aeio])|[;,] ?[A-Z](?!AR)|; *;', c.text), c.text
        told.append(frozenset(c.facts))
    reached = text_ceiling(told).mean_recall
    print(f'text ceiling of mean recall on the facts of complex captions: {reached:.1f}')
    assert reached >= 80

def test_five_of_each_kind_differ(ssdd):
    for r, facts in ssdd[::40]:
        texts = [c.text for c in narrate(r, per_image=5, measured=facts).captions]
        assert len(texts) == len(set(texts)) == 10

def test_every_plan_states_what_was_measured(ssdd):
    for r, facts in ssdd[::40]:
        told = [c for p in ('seen', 'held-out') for c in narrate(r, kinds=('complex',), per_image=4, plans=p, measured=facts).captions]
        assert len({c.facts for c in told}) == 1
        concise = narrate(r, kinds=('concise',), measured=facts).captions[0]
        assert concise == narrate(r, kinds=('concise',)).captions[0]                            # short ones stay as they are

def test_tone_is_told_as_a_comparison(ssdd):
    "Nothing is bright or dark by itself: the stretch of the picture is not known"
    told = [narrate(r, kinds=('complex',), measured=facts).captions[0].text for r, facts in ssdd[::9]]
    assert any('background that looks' in t for t in told) and any('brighter' in t for t in told)
    for t in told: assert not re.search(r'\bbright (area|patch|ground)\b|\b(dark|dim|bright),? [\w-]* ?background|is bright\b', t), t

def test_half_the_picture_is_no_corner():
    a = sea(); y, x = np.mgrid[:240, :320]; on = x/320 + y/240 < 1; a[on] = sea(140, seed=1)[on]
    facts = measured(a)
    assert Fact('presence', 'bright area', True) in facts and not any((f.kind, f.subject) == ('position', 'bright area') for f in facts)

def test_a_side_is_held_by_what_lies_along_it():
    "A band across the picture that ends on a part of the right side does not lie along it"
    area = np.zeros((24, 24), bool); area[6:15, 10:] = True
    assert side(area) is None and side(np.where(np.arange(24) > 18, True, False)*np.ones((24, 1), bool)) == 'right'

"SA2C: mask folders with planted faults, class tables, real masks of three sets, one floods' change pair; captions state only their facts"
import json, random, re
from dataclasses import replace
import numpy as np
import pytest
from PIL import Image
from sartext.imagery.read import Raster, read_image
from sartext.narrate.facts import mask_facts, metadata_facts, scattering_facts
from sartext.narrate.segmentation import MASK_PLANS, _raster, compose_mask, facts_of, narrate_mask, narrate_masks
from sartext.narrate.words import forbidden
from sartext.records import BadInput, Box, Fact, Problems, Record, Sar, from_dict, to_json
from sartext.imagery.read import read_mask
from sartext.sources.masks import class_table, read_masks, read_pairs

OIL = '"0,0,0",Sea Surface\n"0,255,255",Oil Spill\n"255,0,0",Look-alike\n"153,76,0",Ship\n"0,153,0",Land\n'
FLOOD, LAND = '-1,no data\n0,not water\n1,water\n', '1,water\n2,trees\n3,flooded vegetation\n4,crops\n5,built area\n6,bare ground\n7,snow/ice\n9,rangeland\n'

def written(folder, name, text): (folder/name).write_text(text); return folder/name
def sound(text): return not re.search(r'  | ,|\b(a|an|the) (a|an|the)\b|\.\.|[{}]|\bNone\b', text) and re.fullmatch(r'[A-Z“].*\.', text) and not forbidden(text)

def check(record, images, facts=None):
    "The captions of `record`: sound, and stating nothing that mask, picture and boxes do not hold"
    told = narrate_mask(record, images, per_image=3)
    known = {*(facts or facts_of(record, images)), *metadata_facts(record)}
    for c in told.captions:
        assert sound(c.text) and c.route == 'sa2c' and set(c.facts) <= known, c.text
        assert len(re.findall(r'[.;] ', c.text)) < 12 and c.text.count('. ') <= 3, c.text
    assert from_dict(json.loads(to_json(told))) == told
    return told.captions

# ── real data ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_oil_spill(data, tmp_path):
    folder = data/'oil_spill'
    records = list(read_masks(folder/'images', folder/'masks', written(tmp_path, 'oil.csv', OIL), index_dir=tmp_path/'index'))
    assert len(records) == 24 and {r.mask_classes['2'] for r in records} == {'oil spill'}
    of, root = {r.id: r for r in records}, '/'
    for id in ('img_0001', 'img_0025'):                     # checked by eye: a thin spill and four ships; a spill from edge to edge
        r = of[id]; pixels = np.asarray(Image.open(folder/'masks'/f'{id}.png').convert('RGB'))
        assert (read_mask(f'/{r.mask}') == 2).sum() == (pixels == (0, 255, 255)).all(-1).sum()
    facts = mask_facts(of['img_0025'], read_mask(f"/{of['img_0025'].mask}"))
    assert Fact('relation', 'oil spill', 'crossing', where='top to bottom') in facts and Fact('proportion', 'water', 97) in facts
    captions = check(of['img_0001'], root)
    assert any('several ships' in c.text for c in captions) and not any(' dB' in c.text for c in captions)   # 8 bit: no decibels

def test_flood_in_decibels(data, tmp_path):
    folder = data/'sen1floods11'
    r, = read_masks(folder/'S1', folder/'Labels', written(tmp_path, 'f.csv', FLOOD), endings=('_S1Hand', '_LabelHand'),
                    sar=Sar(sensor='Sentinel-1', quantity='db', polarisations=('VV', 'VH')))
    facts = facts_of(r, folder)
    assert {Fact('proportion', 'land', 73), Fact('proportion', 'water', 27), Fact('proportion', 'unlabelled', 0)} <= set(facts)
    assert any(f.kind == 'scattering' and f.subject == 'water' and f.value == 'darker' and f.number >= 6 for f in facts)
    check(r, folder, facts)
    assert not any(f.number for f in facts_of(replace(r, sar=Sar()), folder) if f.kind == 'scattering')     # decibels only guessed: none stated

def test_land_cover(data, tmp_path):
    folder = data/'terramind_s1'
    records = list(read_masks(folder/'S1RTC', folder/'LULC', written(tmp_path, 'l.csv', LAND), optical=folder/'S2RGB', sar=Sar(quantity='db')))
    assert len(records) == 3 and all(r.partners['optical'] for r in records)
    coast = next(r for r in records if r.id.startswith('282D')); facts = facts_of(coast, folder)
    assert Fact('relation', 'water', 'coast', where='right') in facts and Fact('proportion', 'forest', 37) in facts
    for r in records: check(r, folder)
    assert len(list(read_pairs(folder/'S1RTC', folder/'S2RGB'))) == 3

def test_change_pair(data, tmp_path):
    for name, to in (('bern_1', 'before'), ('bern_2', 'after'), ('bern_gt', 'masks')):
        (tmp_path/to).mkdir(); (tmp_path/to/'bern.bmp').write_bytes((data/'sar_change_bern'/f'{name}.bmp').read_bytes())
    r, = read_masks(tmp_path/'after', tmp_path/'masks', written(tmp_path, 'c.csv', '0,unchanged\n255,changed\n'), before=tmp_path/'before')
    facts = facts_of(r, tmp_path)
    assert {Fact('proportion', 'change', 1), Fact('scattering', 'change', 'darker than before')} <= set(facts)   # water where fields were
    assert all('changed' in c.text or 'change' in c.text or 'differs' in c.text or 'longer' in c.text for c in check(r, tmp_path, facts))

# ── drawn ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0); (tmp_path/'images').mkdir(); (tmp_path/'masks').mkdir()
    mask = np.ones((60, 80), np.uint8); mask[:, 40:] = 2
    for name in 'abcd':
        Image.fromarray((np.where(mask == 1, 40, 120)*rng.gamma(4, 1/4, mask.shape)).clip(0, 255).astype('uint8')).save(tmp_path/'images'/f'{name}.png')
        Image.fromarray(mask).save(tmp_path/'masks'/f'{name}.png')
    return tmp_path

@pytest.mark.parametrize('spoil, reason', [
    (lambda f: Image.new('L', (60, 80), 1).save(f/'masks/b.png'), '60×80 pixels, but b.png has 80×60'),
    (lambda f: Image.new('L', (80, 60), 9).save(f/'masks/b.png'), 'value 9 at x 0, y 0 and 4800 pixels'),
    (lambda f: Image.new('RGB', (80, 60), (1, 2, 3)).save(f/'masks/b.png'), 'colours'),
    (lambda f: (f/'masks/b.png').unlink(), 'has no mask'), (lambda f: (f/'images/b.png').unlink(), 'no image'),
    (lambda f: (f/'masks/b.png').write_bytes((f/'masks/b.png').read_bytes()[:80]), 'damaged'),
    (lambda f: (f/'images/b.png').write_bytes((f/'images/b.png').read_bytes()[:900]), 'damaged'),
    (lambda f: (f/'masks/b.png').write_bytes(b''), 'empty')])
def test_a_fault_is_named_and_the_rest_goes_on(folder, spoil, reason):
    spoil(folder); table = written(folder, 'c.txt', '1 water\n2 crops\n'); faults = Problems('skip')
    assert [r.id for r in read_masks(folder/'images', folder/'masks', table, faults)] == ['a', 'c', 'd']
    assert len(faults) == 1 and reason in str(faults[0]) and 'b.' in faults[0].file and faults[0].remedy
    with pytest.raises(BadInput, match=re.escape(reason)): list(read_masks(folder/'images', folder/'masks', table))

@pytest.mark.parametrize('name, text', [('c.csv', 'value,name\n1,Storage-Tank\n2,2S1\n'), ('c.json', '{"1": "船", "2": "Forêt"}'), ('c.txt', '1=unlabelled\n2: snow/ice'),
                                        ('c.csv', '#000001;Lava_field\n0,0,2;void\n')])
def test_odd_tables_and_names(folder, name, text):
    if '#' in text:
        for f in (folder/'masks').glob('*.png'):
            m = np.asarray(Image.open(f)); Image.fromarray(np.stack([0*m, 0*m, m], -1)).save(f)
    r = next(read_masks(folder/'images', folder/'masks', written(folder, name, text), index_dir=folder/'index'))
    for c in check(r, folder): assert c.text

@pytest.mark.parametrize('text', ['1,water\n1,crops\n', '1,water\n#000000,land\n', 'water,1\nland,2\n', '', '0,0,999,sea\n', '1,unlabelled\n'])
def test_bad_tables(tmp_path, text):
    with pytest.raises(BadInput): class_table(written(tmp_path, 'c.csv', text))

def test_any_order_and_any_kinds_give_the_same(folder):
    records = list(read_masks(folder/'images', folder/'masks', written(folder, 'c.csv', '1,water\n2,crops\n')))
    told = list(narrate_masks(records, folder, per_image=2, seed=5))
    assert told[::-1] == list(narrate_masks(records[::-1], folder, per_image=2, seed=5))
    alone = narrate_mask(records[2], folder, kinds=('complex',), seed=5)
    assert alone.captions[0] in told[2].captions and len({c.text for c in told[2].captions}) == 4

@pytest.mark.parametrize('turn, side', [(0, 'left'), (1, 'bottom'), (2, 'right'), (3, 'top')])
def test_a_turned_mask_turns_its_facts(turn, side):
    mask = np.rot90(np.where(np.arange(200)[None] < 90, 1, 2)*np.ones((200, 1), int), turn)
    r = Record('r', 'r.png', 200, 200, mask='m.png', mask_classes={'1': 'sea', '2': 'land'})
    facts = mask_facts(r, mask)
    assert Fact('relation', 'water', 'coast', where=side) in facts and Fact('position', 'water', side) in facts

def test_no_decibels_without_a_known_scale():
    rng = np.random.default_rng(1); mask = np.where(np.arange(200)[None] < 90, 1, 2)*np.ones((200, 1), int)
    r = Record('r', 'r.png', 200, 200, mask='m.png', mask_classes={'1': 'water', '2': 'crops'})
    x = (np.where(mask == 1, .01, .08)*rng.gamma(4, 1/4, mask.shape))[None].astype('float32')
    for quantity, number in (('intensity', 9), ('amplitude', None), ('dn', None), ('display', None), (None, None)):
        values = x if quantity != 'display' else np.clip(128 + 40*np.log10(x/.03), 0, 255)
        found = [f for f in scattering_facts(r, Raster(values, quantity), mask) if f.value == 'darker']
        assert found == [Fact('scattering', 'water', 'darker', number, 'cropland')] or quantity == 'amplitude' and not found[0].number
        text = ' '.join(compose_mask(r, p, random.Random(0), (*mask_facts(r, mask), *found)).text for p in MASK_PLANS.values())
        assert (' dB' in text) == bool(number)

def test_an_8_bit_copy_of_an_intensity_picture_is_not_read_as_intensity(folder):
    r = next(read_masks(folder/'images', folder/'masks', written(folder, 'c.csv', '1,water\n2,crops\n'), sar=Sar(quantity='intensity')))
    assert not any(f.number for f in facts_of(r, folder) if f.kind == 'scattering')

def test_boxes_count_what_a_mask_cannot():
    mask = np.ones((100, 100), int); mask[40:50, 20:60] = 2                    # two ships side by side are one patch
    r = Record('r', 'r.png', 100, 100, mask='m.png', mask_classes={'1': 'water', '2': 'ship'})
    from sartext.narrate.facts import box_facts
    both = replace(r, boxes=(Box('ship', 20, 40, 20, 10), Box('ship', 40, 40, 20, 10)))
    for p in MASK_PLANS.values():
        assert 'wo ships' in compose_mask(both, p, random.Random(0), (*mask_facts(both, mask), *box_facts(both))).text
        assert not any(f.kind == 'count' for f in compose_mask(r, p, random.Random(0), mask_facts(r, mask)).facts)

def test_all_is_said_of_all_pixels_only():
    mask = np.ones((300, 300), np.uint8); mask[0, :40] = 0; mask[1:5, :100] = 0
    dot, few = np.ones_like(mask), np.ones_like(mask); dot[7, 7] = 0; few[9, :12] = 2     # unlabelled; of a class too small to be named
    record = Record('w', 'w.png', 300, 300, mask='m.png', mask_classes={'1': 'water', '2': 'crops'})
    for gap, value in ((mask, False), (dot, False), (few, False), (np.ones_like(mask), True)):
        texts = ' '.join(compose_mask(record, p, random.Random(i), mask_facts(record, gap)).text for p in MASK_PLANS.values() for i in range(3))
        assert bool(re.search(r'\b(all of|nothing but)\b', texts)) == value, texts

def test_shares_add_up():
    rng = np.random.default_rng(5)
    for _ in range(200):
        shares = rng.dirichlet(np.ones(rng.integers(2, 7))*rng.choice([.2, 1, 5]))
        mask = rng.choice(len(shares), (90, 110), p=shares)                                # 0: unlabelled
        r = Record('r', 'r.png', 110, 90, mask='m.png', mask_classes={str(i): n for i, n in enumerate(
            ('', 'water', 'forest', 'cropland', 'grassland', 'wetland', 'road')) if i})
        told = {f.subject: f.value for f in mask_facts(r, mask) if f.kind == 'proportion' and type(f.value) is int}
        exact = {n: 100*(mask == i).mean() for i, n in enumerate(('unlabelled', *r.mask_classes.values()))}
        assert sum(told.values()) <= 100 and (sum(told.values()) == 100 or 0 in told.values() or len(told) < len(shares)), told
        assert all(abs(v - exact[n]) < 1 for n, v in told.items()), (told, exact)
    half = np.where(np.arange(100)[None] < 50, 1, 2)*np.ones((100, 1), int)                    # neither is the larger one
    assert not [f for f in mask_facts(Record('h', 'h.png', 100, 100, mask='m.png', mask_classes={'1': 'water', '2': 'crops'}), half)
                if f.value in ('most', 'largest')]

def test_objects_are_no_share():
    mask = np.ones((200, 200), int); mask[:, 120:] = 2; mask[20:25, 20:40] = 3; mask[90:150, 100:121] = 4
    r = Record('r', 'r.png', 200, 200, mask='m.png', mask_classes={'1': 'water', '2': 'land', '3': 'ship', '4': 'oil spill'})
    facts = mask_facts(r, mask)
    for p in MASK_PLANS.values():
        for seed in range(3):
            text = compose_mask(r, p, random.Random(seed), facts).text
            assert re.search(r'[.;] (?:[Tt]here is a ship|[Aa] ship)', text) and not re.search('as well as|together with|plus', text), text
    bare = tuple(f for f in facts if not (f.subject == 'oil spill' and f.kind in ('position', 'relation')))   # nowhere in particular
    for p in MASK_PLANS.values():
        text = compose_mask(r, p, random.Random(0), bare).text
        assert not re.search(r'(?:right|part|side|half|corner) and oil', text), text

def test_numbers_are_not_mixed():
    mask = np.ones((200, 200), int); mask[:2] = 2; mask[2:10] = 3; mask[50, 50:75] = 4
    r = Record('r', 'r.png', 200, 200, mask='m.png', mask_classes={'1': 'water', '2': 'land', '3': 'oil spill', '4': 'grass'})
    texts = [compose_mask(r, p, random.Random(0), mask_facts(r, mask)).text for p in MASK_PLANS.values()]
    assert any(' 1 percent' in t for t in texts) and not [t for t in texts if 'one percent' in t]

def test_8_bit_tiff_has_no_decibels(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(1, 250, (64, 64)).astype('uint8')).save(tmp_path/'g.tif')
    Image.fromarray(np.random.default_rng(0).random((64, 64)).astype('float32')).save(tmp_path/'f.tif')
    record = Record('g', 'g.tif', 64, 64, sar=Sar(quantity='intensity'))
    assert _raster(record, tmp_path/'g.tif').quantity == 'display' and _raster(record, tmp_path/'f.tif').quantity == 'intensity'

def of(mask, **names):
    r = Record('r', 'r.png', mask.shape[1], mask.shape[0], mask='m.png', mask_classes={str(i): n.replace('_', ' ') for n, i in names.items()})
    return [compose_mask(r, p, random.Random(s), mask_facts(r, mask)).text for p in MASK_PLANS.values() for s in range(3)], mask_facts(r, mask)

def test_only_what_spans_the_picture_is_said_to():
    for length, places in ((80, None), (120, 'top center to the center'), (200, None)):          # of 200: in one cell or two, or through
        mask = np.ones((200, 200), int); mask[:length if length == 200 else 10 + length, 98:104] = 2
        if length < 200: mask[:10, 98:104] = 1
        texts, facts = of(mask, sea=1, oil_spill=2)
        crossing = [t for t in texts if re.search('top to bottom', t)]
        assert bool(crossing) == (length == 200), crossing
        tips = [t for t in texts if 'stretch' in t]
        assert bool(tips) == (length < 200) and all(re.search('from the top center to the (bottom )?center', t) for t in tips), tips

def test_one_ship_is_one_component():
    def ships(*parts):
        mask = np.ones((200, 200), int)
        for y, x, n in parts: mask[y:y + 2, x:x + n] = 2
        return ' '.join(of(mask, sea=1, ship=2)[0])
    alone, small, speck, two = ships((20, 20, 20)), ships((20, 20, 12), (150, 150, 8)), ships((20, 20, 20), (150, 150, 1)), ships((20, 20, 20), (150, 150, 20))
    assert re.search(r'\ba ship\b', alone) and 'ships' not in alone
    for text in (small, two): assert 'ships' in text and not re.search(r'\b(a ship|one or more)\b', text), text
    assert 'one or more ships' in speck.lower() and not re.search(r'\ba ship\b', speck), speck

def test_a_whole_is_not_counted():
    mask = np.ones((200, 200), int); mask[20:40, 20:40] = 2; mask[100:130, 150:190] = 3; mask[150:180, 20:60] = 4
    for text in of(mask, sea=1, look_alike=2, built_up=3, orchard=4)[0]: assert not re.search('look-alikes|built-up areas', text), text
    mask = np.ones((200, 200), int); mask[20:60, 20:60] = 2
    for text in of(mask, sea=1, harbor=2)[0]: assert 'percent harbors' not in text and 'harbors 4 percent' not in text, text

def test_tones_are_comparisons(folder):
    r = next(read_masks(folder/'images', folder/'masks', written(folder, 'c.csv', '1,water\n2,crops\n')))
    told = [c.text for c in narrate_mask(r, folder, kinds=('complex',), per_image=6).captions]
    known = (*mask_facts(r, read_mask(folder/r.mask)), Fact('scattering', 'water', 'dark and smooth'), Fact('scattering', 'cropland', 'bright and rough'))
    told += [compose_mask(r, p, random.Random(0), known).text for p in MASK_PLANS.values() if p.kind == 'complex']
    assert any('darker and smoother than the rest' in t for t in told) and not any(re.search(r'(appears?|looks?) (dark|bright|smooth|rough)\b', t) for t in told), told

def test_a_place_is_told_once():
    mask = np.ones((200, 200), int); mask[:, 150:] = 2; mask[::9, 160:] = 3
    texts = of(mask, sea=1, grass=2, trees=3)[0]
    assert any(re.search('(?i)grass and trees .* (lie|lying) ', t) for t in texts)
    for t in texts: assert len(re.findall('right side|right part|toward the right', t.split('the water lies')[0])) <= 1 or 'shore' in t, t

def test_equal_shares_are_told_equal():
    for a, b in ((14, 14), (6, 6)):
        mask = np.ones((100, 100), int); mask.flat[:a*10] = 2; mask.flat[5000:5000 + b*10] = 3
        shares = {f.subject: f.value for f in of(mask, sea=1, land=2, oil_spill=3)[1] if f.kind == 'proportion' and type(f.value) is int}
        assert shares['land'] == shares['oil spill'] and sum(shares.values()) == 100, shares

def test_shares_beside_things_are_rounded_as_they_are():
    mask = np.ones((100, 100), int); mask.flat[:2620] = 2; mask.flat[2620:2860] = 3; mask.flat[9780:] = 4            # 71.8, 26.2, 2.4 …
    mask[40:44, 20:40] = 5
    texts, facts = of(mask, road=1, built_up=2, trees=3, grass=4, car=5)
    for name, value in (('road', 1), ('built-up area', 2), ('forest', 3), ('grassland', 4)):
        assert Fact('proportion', name, int(100*(mask == value).mean() + .5)) in facts, name

def test_a_place_belongs_to_one_object_only():
    "'a ship at the top right and storage tanks': are the tanks there, too?"
    facts = (Fact('proportion', 'water', 98), Fact('proportion', 'ship', 1), Fact('presence', 'ship', True), Fact('relation', 'ship', 'patches', 1),
             Fact('position', 'ship', 'top right', 1), Fact('proportion', 'storage tank', 1), Fact('relation', 'storage tank', 'patches', 2))
    r, texts = Record('r', 'r.png', 200, 200), [compose_mask(Record('r', 'r.png', 200, 200), p, random.Random(s), facts).text for p in MASK_PLANS.values() for s in range(4)]
    for t in texts: assert re.search(r'[Ss]torage tanks\b.*, and a ship lies ', t), t
    alone = tuple(f for f in facts if f.subject != 'water')
    for s in range(4): assert re.search('storage tanks and a ship ', compose_mask(r, MASK_PLANS['m-shows'], random.Random(s), alone).text)

def covers(plan, *facts, seed=0): return compose_mask(Record('r', 'r.png', 200, 200), MASK_PLANS[plan], random.Random(seed), facts).text

def test_covers_are_told_in_plain_words():
    def share(name, n): return Fact('proportion', name, n)
    corners = [Fact('position', 'cropland', c, 1) for c in ('top left', 'top right', 'bottom left', 'bottom right')]
    base = (share('water', 50), share('cropland', 29), share('grassland', 21), Fact('proportion', 'water', 'largest'))
    text = covers('m-shows', *base, Fact('relation', 'cropland', 'patches', 4), *corners)
    assert 'one in each corner' in text and 'more water than anything else' in text and 'a good share of grass, and four ' in text and 'some' not in text, text
    crossing = covers('m-shows', *base, Fact('relation', 'cropland', 'crossing', where='bottom to right'))
    assert 'from the bottom to the right' in crossing, crossing
    assert 'holds water on 97 percent of its area; 3 percent is unlabelled' in covers('m-h-holds', share('water', 97), share('unlabelled', 3))
    assert 'showing' in covers('m-a-picture', *base) and ', and snow and ice 21' in covers('m-covering', share('water', 50), share('cropland', 29), share('snow and ice', 21))

def test_unrelated_things_share_no_sentence():
    facts = (*(Fact('proportion', n, v) for n, v in (('water', 50), ('cropland', 30), ('forest', 19), ('ship', 1))), Fact('presence', 'ship', True),
             Fact('relation', 'ship', 'patches', 3), Fact('relation', 'forest', 'borders on', object='cropland'), Fact('position', 'cropland', 'left'))
    for plan in (p for p in MASK_PLANS if p.startswith('mx-')):
        text = covers(plan, *facts)
        assert 'border on' in text and 'ships' in text.lower() and not re.search(r'ships?[^.]*;[^.]*border', text), text

def test_it_is_the_cover_just_named():
    facts = (Fact('proportion', 'oil spill', 60), Fact('proportion', 'land', 40), Fact('scattering', 'oil spill', 'dark'), Fact('position', 'oil spill', 'left'))
    assert '. It ' in covers('mx-h-of', *facts) and covers('mx-h-of', *facts).count('The oil ') == 1

def drawn_facts(*rows): return tuple(Fact(*r) for r in rows)

def made(facts, kinds=('concise', 'complex')):
    "Captions of these facts by every plan"
    record = Record('drawn', 'd.png', 300, 300, mask='m.png', mask_classes={'1': 'water'})
    return [compose_mask(record, p, random.Random(k), facts) for p in MASK_PLANS.values() if p.kind in kinds for k in range(4)]

SEVEN = drawn_facts(('presence', 'bare ground', True), ('proportion', 'bare ground', 50), ('proportion', 'bare ground', 'largest'), ('presence', 'forest', True),
                    ('proportion', 'forest', 20), ('position', 'forest', 'right'), ('presence', 'grassland', True), ('proportion', 'grassland', 18),
                    ('relation', 'grassland', 'patches', 3), ('position', 'grassland', 'top left', 1), ('position', 'grassland', 'top right', 1),
                    ('position', 'grassland', 'bottom', 1), ('presence', 'cropland', True), ('proportion', 'cropland', 12),
                    ('presence', 'car', True), ('proportion', 'car', 0))

def test_a_list_with_semicolons_ends_before_the_objects():
    for c in made(SEVEN, ('concise',)):
        before = c.text.split('car')[0]
        assert before.count(';') <= 1 or '. ' in before, c.text          # lists and clauses are not parted by the same mark

def test_three_items_have_their_last_comma():
    for c in made(SEVEN, ('concise',)):
        assert not re.search(r', with [^;.,]+, [^;.,]+ and [^;.,]+ (?:mostly|mainly|for the most part)', c.text), c.text

def test_darker_than_the_rest_is_darker_than_each():
    rng = np.random.default_rng(0); mask = np.ones((120, 200), int); mask[:, 90:] = 2; mask[:30, 150:] = 3
    record = Record('tones', 't.png', 200, 120, mask='m.png', mask_classes={'1': 'water', '2': 'cropland', '3': 'road'})
    sigma = np.choose(mask - 1, [.02, .1, .002])*rng.gamma(8, 1/8, mask.shape)
    said = {(f.subject, f.value) for f in scattering_facts(record, Raster(sigma[None].astype('float32'), 'intensity', 'sigma0'), mask) if f.object is None}
    assert any(s == 'cropland' and str(v).startswith('bright') for s, v in said) and not any(s == 'water' for s, v in said), said

@pytest.mark.parametrize('source', ['terramind_s1', 'oil_spill'])
def test_no_two_covers_are_both_the_darkest(source, data, tmp_path):
    folder = data/source
    read = dict(oil_spill=lambda: read_masks(folder/'images', folder/'masks', written(tmp_path, 'c.csv', OIL), index_dir=tmp_path/'i', root='/'),
                terramind_s1=lambda: read_masks(folder/'S1RTC', folder/'LULC', written(tmp_path, 'c.csv', LAND), sar=Sar(quantity='db'), root='/'))
    for r in read[source]():
        tones = [str(f.value).split()[0] for f in facts_of(r, '/') if f.kind == 'scattering' and f.object is None and 'points' not in str(f.value)]
        assert tones.count('dark') <= 1 and tones.count('bright') <= 1, (r.id, tones)

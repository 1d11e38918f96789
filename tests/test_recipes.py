"Recipes: files that are checked, exact counts at any size, stand-ins that say so, real parts and the ways to absent ones"
import json, re, shutil
from collections import Counter
from dataclasses import replace
import pytest
from PIL import Image
from conftest import sartext
from sartext.dataset import recipes as rec
from sartext.dataset.recipes import RECIPES, absent, compose, even, pack, parse_recipe, plan_of, read_part, read_recipe, scaled
from sartext.narrate.questions import class_shares
from sartext.records import BadInput, Problems, read_records, table_text
from sartext.sources.catalogue import catalogue

TEXT = table_text('recipes/sarlang-1m.toml')

# the files

def test_counts_of_the_papers():
    text, lang = map(read_recipe, RECIPES)
    assert (text.records, text.captions) == (136_584, 136_584) and all(p.captions == {'concise': p.total} for p in text.parts)
    told = [p for p in lang.parts if p.captions]
    assert (lang.records, lang.captions, sum(p.total for p in told)) == (118_331, 45_650, 13_346)
    assert sum(lang.questions.values()) == 1_080_627
    assert {p.dataset: p.total for p in told} == {'SpaceNet 6': 3311, 'DFC2023': 5222, 'OpenEarthMap-SAR': 4813}
    splits = Counter()
    for p in lang.parts: splits.update(p.records)
    assert splits == {'train': 103_834, 'test': 14_497} and sum(p.records['test'] for p in told) == 4005

@pytest.mark.parametrize('name', RECIPES)
def test_parts_are_of_the_catalogue(name):
    known = catalogue()
    for p in read_recipe(name).parts:
        assert p.dataset in known and p.reader['kind'] == rec.ROUTES[p.route]
        assert known[p.dataset].images is None or p.total <= known[p.dataset].images

@pytest.mark.parametrize('name', RECIPES)
def test_the_reader_of_a_part_is_that_of_the_catalogue(name):
    known = catalogue()
    for p in read_recipe(name).parts:
        boxes = f"sources.boxes.read_{p.reader.get('format', 'coco')}"
        assert known[p.dataset].reader == {'boxes': boxes, 'masks': 'sources.masks.read_masks', 'pairs': 'sources.masks.read_pairs'}[p.reader['kind']]

def test_osdataset_is_read_as_it_is_published(tmp_path):
    "train, val and test below 256, SAR and optical image side by side: sar1.png and opt1.png; sar1 is not sar12's, nor that of another folder"
    part, = [p for p in read_recipe('sar-text').parts if p.dataset == 'OSdataset']; home = tmp_path/'root/OSdataset'
    for folder, n in (('train', 1), ('train', 12), ('test', 1)):
        (home/'256'/folder).mkdir(parents=True, exist_ok=True)
        for kind in ('sar', 'opt'): Image.new('L', (16, 16)).save(home/f'256/{folder}/{kind}{n}.png')
    (home/'512/train').mkdir(parents=True); Image.new('L', (32, 32)).save(home/'512/train/sar1.png')       # the larger edition is another folder
    (home/'captions.csv').write_text('image,caption\ntrain/opt12.png,A port.\n'); (tmp_path/'work').mkdir(); faults = Problems('skip')
    got = {r.image.split('256/')[1]: r for r in read_part(part, tmp_path/'root', tmp_path/'work', faults)}
    assert {k: r.partners['optical'].split('256/')[1] for k, r in got.items()} == {'train/sar1.png': 'train/opt1.png', 'train/sar12.png': 'train/opt12.png', 'test/sar1.png': 'test/opt1.png'}
    assert not faults and {k: r.optical_caption for k, r in got.items()} == {'train/sar1.png': '', 'train/sar12.png': 'A port.', 'test/sar1.png': ''}

def test_sen12_is_read_as_it_is_published(tmp_path):
    "s1_N and s2_N below each season, names that differ in the middle: every pair, nobody else's partner, its own caption"
    part, = [p for p in read_recipe('sar-text').parts if p.dataset == 'SEN1-2']; home = tmp_path/'root/SEN1-2'; said = {}
    for season in ('ROIs1158_spring', 'ROIs1970_fall'):
        for scene, patch in ((1, 30), (1, 31), (12, 30)):
            for k in (1, 2):
                path = home/f'{season}/s{k}_{scene}/{season}_s{k}_{scene}_p{patch}.png'; path.parent.mkdir(parents=True, exist_ok=True)
                Image.new('L' if k == 1 else 'RGB', (32, 32), len(said) + 1).save(path)
            said[path.relative_to(home).as_posix()] = f'Fields of kind {len(said)}.'
    (home/'captions.csv').write_text('image,caption\n' + ''.join(f'{k},{v}\n' for k, v in said.items()))
    got = list(rec.read_part(part, tmp_path/'root', tmp_path/'root/work'))
    assert len(got) == 6 and {r.partners['optical'].removeprefix('SEN1-2/'): r.optical_caption for r in got} == said
    for r in got: assert r.image.replace('/s1_', '/s2_').replace('_s1_', '_s2_') == r.partners['optical'] != r.image and (tmp_path/'root'/r.image).is_file()
    (home/'ROIs1970_fall/s2_12/ROIs1970_fall_s2_12_p30.png').unlink(); faults = Problems('skip')
    assert len(list(rec.read_part(part, tmp_path/'root', tmp_path/'root/work', faults))) == 5 and any('has no optical partner' in p.reason for p in faults)

@pytest.mark.parametrize('renamed', [True, False])
def test_dfc2023_is_read_when_drawn_as_its_note_says(tmp_path, renamed):
    "sarlang-1m.toml wants buildings: masks of outlines whose roof types all became building are read, masks of twelve types are refused"
    from sartext.sources.boxes import read_coco
    from sartext.sources.masks import draw_masks
    part, = [p for p in read_recipe('sarlang-1m').parts if p.dataset == 'DFC2023']; home = tmp_path/'root/DFC2023/track1'
    (home/'train/sar').mkdir(parents=True); Image.new('L', (64, 64), 9).save(home/'train/sar/P_1.tif'); types = ['flat_roof', 'dome_roof']
    (home/'roof_fine_train.json').write_text(json.dumps(dict(images=[dict(id=1, file_name='P_1.tif', width=64, height=64)], categories=[dict(id=i, name=n) for i, n in enumerate(types)],
        annotations=[dict(id=i, image_id=1, category_id=i, bbox=[30*i, 4, 20, 20], segmentation=[[30*i, 4, 30*i + 20, 4, 30*i + 20, 24, 30*i, 24]]) for i in (0, 1)])))
    names = {n: 'building' for n in types} if renamed else {}
    list(draw_masks(read_coco(home/'roof_fine_train.json', home/'train/sar', names=names), home/'train/sar', home/'train/masks')); (tmp_path/'work').mkdir()
    for note in (part.note, catalogue()['DFC2023'].note): assert 'names that call every roof type building' in note and 'draw_masks' in note
    if renamed: assert [r.mask_classes for r in read_part(part, tmp_path/'root', tmp_path/'work')] == [{'1': 'building'}]
    else:
        with pytest.raises(BadInput, match='value 2 .* is not in'): list(read_part(part, tmp_path/'root', tmp_path/'work'))

def test_footprints_of_spacenet_are_drawn_by_a_tool_of_ones_own():
    part, = [p for p in read_recipe('sarlang-1m').parts if p.dataset == 'SpaceNet 6']
    for note in (part.note, catalogue()['SpaceNet 6'].note): assert 'GeoJSON' in note and 'by your own tool' in note

WRONG = [('"SARDet-100K"', '"SARDET-200K"', 'in no row of the catalogue'), ('"a2c"', '"b2c"', "route is 'b2c'"), ('94493', '94492', 'add up to'),
         ('94493', '-1', 'train'), ('ship = 46.98', 'ship = -1', "'ship' is -1"), ('ship = 46.98', 'boat = 46.98', "'boat'"), ('45650', '45649', 'add up to'),
         ('[ask]', '[aks]', "'aks'"), ('"others" = 18479', '"other" = 18479', "'other'"), ('[[part]]', '[[part', 'not valid TOML'), ('id = "dfc2023"\n', '', 'lacks'),
         ('"dfc2023"', '"spacenet6"', '2 parts'), ('kind = "boxes"', 'kind = "masks"', 'kind = "boxes"'), ('[0.5, 2]', '[2, 0.5]', 'spacing'),
         ('size = 512', 'size = true', 'size'), ('"SARLANG-1M: captions and questions for SAR images"', '3', 'title is 3'), ('concise = 5663', 'long = 5663', "'long'"),
         ('records = 118331', 'records = "many"', "records = 'many'"), ('boxes = 199082', 'boxes = 1.5', 'boxes is 1.5'), ('classes = { 0 = "background"', 'x = { 0 = 3', '')]

@pytest.mark.parametrize('old, new, said', WRONG, ids=[w[2] or 'left to the reader' for w in WRONG])
def test_a_bad_recipe_is_refused_in_one_sentence(old, new, said):
    assert old in TEXT; changed = TEXT.replace(old, new, 1)
    if not said: parse_recipe(changed, 'my.toml'); return
    with pytest.raises(BadInput) as e: parse_recipe(changed, 'my.toml')
    p = e.value.problem
    assert p.file == 'my.toml' and p.remedy and said in str(p) and '\n' not in str(p)

AWAY = [('id = "dfc2023"', f'id = "{id}"', 'id is') for id in ('../../../escaped', '/proc/x', 'a/b', 'a b', '..', '', 'a\\\\b', 'é')]
AWAY += [('id = "dfc2023"', f'id = "dfc2023"\nfolder = "{f}"', 'folder') for f in ('../x', '/etc', 'a/../../x', '..\\\\x', 'C:x', 'a\\u0000')]
AWAY += [('masks = "track1/train/masks"', f'{k} = "../masks"', f'reader: {k}') for k in ('masks', 'before', 'optical', 'captions', 'annotations', 'classes', 'names')]
AWAY += [('dataset = "DFC2023"', 'dataset = "../DFC2023"\nget = "draw it"', 'dataset'), ('images = "train/AOI_11_Rotterdam/SAR-Intensity"', 'images = "/etc"', 'reader: images'),
         ('images = "train/AOI_11_Rotterdam/SAR-Intensity"', 'images = 3', 'reader: images'), ('classes = { 0 = "background", 1 = "building" }', 'classes = "/etc/passwd"', 'reader: classes')]

@pytest.mark.parametrize('old, new, said', AWAY)
def test_no_word_of_a_recipe_leads_out_of_its_folders(old, new, said, tmp_path):
    assert old in TEXT; path = tmp_path/'a/b/c/my.toml'; path.parent.mkdir(parents=True)
    text = TEXT.replace(old, new, 1)
    if 'classes = "' in new or 'names = "' in new: text = re.sub(r', classes = \{[^}]*\}', '', text)
    path.write_text(text); before = sorted(tmp_path.rglob('*'))
    with pytest.raises(BadInput) as e: compose(path, tmp_path/'a/b/c/out', records=60, pictures=20, side=64)
    p = e.value.problem
    assert p.file == str(path) and p.place.startswith("part '") and said in p.reason and p.remedy and '\n' not in str(p)
    assert sorted(tmp_path.rglob('*')) == before

def test_classes_and_names_may_be_tables_and_lists():
    spec = 'annotations = "Annotations/train.json"'; assert spec in TEXT
    r = parse_recipe(TEXT.replace(spec, spec + ', classes = ["ship"], names = { 0 = "../ship" }', 1), 'my.toml')
    assert r.parts[0].reader['classes'] == ['ship'] and r.parts[0].reader['names'] == {'0': '../ship'}

@pytest.mark.parametrize('text', ['', 'part = 3', 'part = [3]', 'part = []', 'part = [[]]', '\x00', 'name = 1\n[[part]]', '[[part]]\nid = 3'])
def test_odd_files(text):
    with pytest.raises(BadInput): parse_recipe(text, 'my.toml')

def test_a_file_that_is_none(tmp_path):
    (tmp_path/'a.toml').write_bytes(b'name = "Malm\xf6"')
    for name, said in (('sar-tex', 'no recipe'), (tmp_path/'a.toml', 'not UTF-8'), (tmp_path, 'no recipe')):
        with pytest.raises(BadInput, match=said): read_recipe(name)

# numbers

@pytest.mark.parametrize('name', RECIPES)
@pytest.mark.parametrize('n', [1, 7, 100, 999, 50_001])
def test_scaled_adds_up(name, n):
    r = scaled(read_recipe(name), n)
    assert sum(p.total for p in r.parts) == n == r.records and r.captions == sum(sum(p.captions.values()) for p in r.parts)
    if name == 'sar-text': assert all(p.captions == {'concise': p.total} for p in r.parts)

def test_even_hands_out_all():
    for n, total in ((1, 0), (7, 3), (3, 7), (13_346, 45_650)):
        given = [even(i, n, total) for i in range(n)]
        assert sum(given) == total and max(given) - min(given) <= 1

@pytest.mark.parametrize('name, at', [('sarlang-1m', 0), ('sarlang-1m', 1), ('sar-text', 0), ('sar-text', 1)])
def test_boxes_and_shares_are_those_of_the_recipe(name, at):
    part = read_recipe(name).parts[at]; plan = plan_of(part, 3, 500)
    assert plan.sizes.sum() == part.boxes and plan.sizes.sum(1).min() >= 1 and plan.pictured.sum() == 500
    assert plan.sizes.sum(1)[plan.pictured].max() <= rec.MOST
    whole = sum(part.classes.values())
    for k, share in enumerate(part.classes.values()):
        assert abs(plan.sizes[plan.kinds == k].sum()/part.boxes - share/whole) < 50/part.boxes
    assert (plan_of(part, 3, 500).kinds == plan_of(replace(part), 3, 500).kinds).all() and (plan_of(part, 4, 500).sizes != plan.sizes).any()

# stand-ins

@pytest.fixture(scope='module')
def lang(tmp_path_factory):
    out = tmp_path_factory.mktemp('lang')
    return out, compose('sarlang-1m', out, records=400, pictures=24, side=64)

def test_stand_ins_say_what_they_are(lang):
    out, found = lang
    records = list(read_records(out/'records.jsonl'))
    assert len(records) == found['records'] == 400
    assert all(r.source.endswith(' stand-in') and 'stand-in' in r.licence and r.sar.sensor == 'simulated' for r in records)
    assert not any(r.source in catalogue() for r in records)
    there = [r for r in records if (out/'pictures'/r.image).exists()]
    assert len(there) == 24 == found['pictures'] and all((out/'pictures'/r.mask).exists() for r in there if r.mask)
    assert not any(r.mask for r in records if r not in there)

def test_counts_of_stand_ins_are_exact(lang):
    out, found = lang
    r, count = scaled(read_recipe('sarlang-1m'), 400), Counter()
    for o in read_records(out/'records.jsonl'):
        count[o.split] += 1; count.update(c.kind for c in o.captions); count['questions'] += len(o.questions)
        assert len({c.text for c in o.captions}) == len(o.captions) and all(c.facts and c.rules for c in o.captions)
    assert sum(found['captions'].values()) == r.captions == count['concise'] + count['complex']
    assert count['questions'] == found['questions'] >= sum(r.questions.values())
    assert (count['train'], count['test']) == tuple(sum(p.records.get(s, 0) for p in r.parts) for s in ('train', 'test'))

def test_a_caption_that_repeats_another_kind_is_written_anew(tmp_path):
    "Two classes and nothing else: a complex caption came out word for word as the concise one, and the sum was one short"
    lang = read_recipe('sarlang-1m'); part = lang.parts[-1]
    record, facts = rec.stand_in(part, plan_of(part, 0, 0), 502, 0, tmp_path, 64)
    kinds = Counter(c.kind for c in rec.told(record, part, lang, 502, 0, facts).captions)
    assert kinds == {k: even(502, part.total, n) for k, n in part.captions.items()} == {'concise': 2, 'complex': 2}

def test_a_record_is_the_same_on_any_number_of_workers(tmp_path):
    for n in (1, 3): compose('sar-text', tmp_path/str(n), records=230, pictures=8, side=64, workers=n)
    a, b = ((tmp_path/n/'records.jsonl').read_bytes() for n in '13')
    assert a == b and a.count(b'\n') == 230
    pictures = [{p.name: p.read_bytes() for p in (tmp_path/n/'pictures').rglob('*.png')} for n in '13']
    assert pictures[0] == pictures[1] and len([p for p in pictures[0] if p.count('.') == 1]) == 8

def test_every_caption_of_sar_text_is_one_sentence_of_its_route(tmp_path):
    compose('sar-text', tmp_path, records=120, pictures=0); routes = {p.id: p.route for p in read_recipe('sar-text').parts}
    for r in read_records(tmp_path/'records.jsonl'):
        c, = r.captions
        assert c.kind == 'concise' and c.route == routes[re.sub(r'-0-\d+$', '', r.id)] and c.text.endswith('.')

def test_packed(lang):
    out, found = lang
    built = pack('sarlang-1m', out)['built']
    assert (built['images'], built['texts_only'], built['captions']) == (24, 376, sum(found['captions'].values()))
    card = (out/'data/README.md').read_text()
    assert 'simulated stand-in, no data of its sources' in card and 'SARDet-100K stand-in' in card
    assert json.loads((out/'recipe.json').read_text())['built'] == built

# the folder

def kept(folder): return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}

def test_a_folder_of_somebody_else_is_never_written_to(tmp_path):
    for name, text in (('records.jsonl', '{"mine": 1}\n'), ('recipe.json', '[]'), ('recipe.json', '{"cake": 3}'), ('recipe.json', 'flour')):
        out = tmp_path/f'{len(text)}'; (out/'pictures').mkdir(parents=True)
        (out/name).write_text(text); (out/'pictures/a.png').write_bytes(b'mine'); before = kept(out)
        for force in (False, True):
            with pytest.raises(BadInput, match='holds other files') as e: compose('sar-text', out, records=20, pictures=0, force=force)
            assert e.value.problem.file == str(out) and e.value.problem.remedy and kept(out) == before
    with pytest.raises(BadInput, match='holds other files'): compose('sar-text', tmp_path/'2/recipe.json', records=20, pictures=0)

def test_a_run_of_other_numbers_is_replaced_only_by_force(tmp_path):
    first = dict(records=40, pictures=12, side=64)
    compose('sar-text', tmp_path, **first); pack('sar-text', tmp_path); before = kept(tmp_path)
    for other in (dict(records=41), dict(pictures=5), dict(side=65), dict(seed=1)):
        with pytest.raises(BadInput, match='another recipe or of other numbers'): compose('sar-text', tmp_path, **first | other)
    with pytest.raises(BadInput, match='force'): compose('sarlang-1m', tmp_path, **first)
    assert kept(tmp_path) == before
    compose('sar-text', tmp_path, **first); pack('sar-text', tmp_path); assert kept(tmp_path) == before      # the very same: again
    compose('sar-text', tmp_path, **first | dict(pictures=5), force=True)
    built = pack('sar-text', tmp_path, force=True)['built']
    assert (built['images'], built['texts_only']) == (5, 35)            # none of the twelve of the first run

def test_a_run_that_was_cut_off_is_run_again(tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(rec, 'write_stream', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt): compose('sar-text', tmp_path, records=20, pictures=0)
    with pytest.raises(BadInput, match='no finished records'): pack('sar-text', tmp_path)
    with pytest.raises(BadInput, match='other numbers'): compose('sar-text', tmp_path, records=21, pictures=0)
    assert compose('sar-text', tmp_path, records=20, pictures=0)['records'] == 20

# real parts

MINE = '''name = "mine"
title = "Parts of several kinds"
records = 870
captions = 973
ask = { "instance counting" = 1 }
[[part]]
id = "ssdd"
dataset = "SSDD"
route = "a2c"
records = { test = 40 }
captions = { concise = 40, complex = 40 }
folder = "ssdd"
reader = { kind = "boxes", images = "JPEGImages", annotations = "Annotations" }
[[part]]
id = "chips"
dataset = "OpenSARShip"
route = "a2c"
records = 20
captions = { concise = 20 }
folder = "opensarship"
reader = { kind = "boxes" }
[[part]]
id = "oil"
dataset = "oil spill sample"
get = "ask its authors"
route = "sa2c"
records = 4
captions = { concise = 8, complex = 4 }
folder = "oil_spill"
sensor = "Sentinel-1"
licence = "research only"
reader = { kind = "masks", images = "images", masks = "masks", classes = { "#000000" = "sea surface", "#00ffff" = "oil spill", "#ff0000" = "look-alike", "#994c00" = "ship", "#009900" = "land" } }
[[part]]
id = "places"
dataset = "TerraMesh examples"
get = "clone the repository of TerraMind"
route = "pairing"
records = 3
captions = { concise = 3 }
spacing = [10, 10]
folder = "terramind_s1"
reader = { kind = "pairs", images = "S1RTC", optical = "S2RGB", captions = "CAPTIONS" }
[[part]]
id = "lost"
dataset = "HRSID"
route = "a2c"
records = 803
captions = { concise = 858 }
'''

@pytest.fixture(scope='module')
def real(tmp_path_factory, data):
    "Some of the real data, in a folder that captions can be written to"
    root = tmp_path_factory.mktemp('real')
    for name in ('ssdd/JPEGImages', 'ssdd/Annotations', 'opensarship', 'oil_spill', 'terramind_s1/S1RTC', 'terramind_s1/S2RGB'):
        for p in (p for p in (data/name).rglob('*') if p.is_file()):
            copy = root/p.relative_to(data); copy.parent.mkdir(parents=True, exist_ok=True); shutil.copyfile(p, copy)
    return root

@pytest.fixture
def mine(tmp_path, real):
    names = sorted(p.name for p in (real/'terramind_s1/S2RGB').glob('*.tif'))
    said = real/'terramind_s1/said.csv'
    said.write_text('image,caption\n' + ''.join(f'{n},some green fields are beside a blue lake . it is summer .\n' for n in names))
    path = tmp_path/'mine.toml'; path.write_text(MINE.replace('CAPTIONS', said.name))
    return path

def test_real_parts(mine, real, tmp_path):
    faults = Problems('skip')
    found = compose(mine, tmp_path/'out', root=real, missing='skip', problems=faults)
    records = list(read_records(tmp_path/'out/records.jsonl')); by = Counter(r.source for r in records)
    assert by == {'SSDD': 40, 'OpenSARShip': 20, 'oil spill sample': 4, 'TerraMesh examples': 3}
    assert all(r.split == ('test' if r.source == 'SSDD' else '') for r in records)
    parts = {p['id']: p for p in found['parts']}
    assert (parts['ssdd']['concise captions'], parts['ssdd']['complex captions'], parts['oil']['concise captions']) == (40, 40, 8)
    assert (parts['places']['concise captions'], parts['lost']['records']) == (3, 0)
    assert len(found['missing']) == 1 and 'HRSID' in found['missing'][0] and 'github.com/chaozhong2010/HRSID' in found['missing'][0]
    oil = next(r for r in records if r.source == 'oil spill sample'); place = records[-1]
    assert oil.licence == 'research only' and oil.sar.sensor == 'Sentinel-1' and place.spacing == 10 and place.captions[0].route == 'pairing'
    assert 'green' not in place.captions[0].text and 'summer' not in place.captions[0].text
    built = pack(mine, tmp_path/'out', problems=faults, on_leak='move')['built']
    assert built['images'] == 67 and not built.get('texts_only') and 'stand-in' not in (tmp_path/'out/data/README.md').read_text()

def test_real_parts_on_workers(mine, real, tmp_path, monkeypatch):
    faults, seen, file = [Problems('skip') for _ in range(2)], [], tmp_path/'out/records.jsonl'
    compose(mine, tmp_path/'out', root=real, missing='skip', problems=faults[1], workers=2); two = file.read_bytes()
    ask = rec.ask; monkeypatch.setattr(rec, 'ask', lambda r, *a, shares, **k: seen.append((r.source, shares)) or ask(r, *a, shares=shares, **k))
    compose(mine, tmp_path/'out', root=real, missing='skip', problems=faults[0]); one = file.read_bytes()
    assert one == two and one.count(b'\n') == 67 and faults[0] == faults[1] and faults[0].notes == faults[1].notes
    for name in ('SSDD', 'OpenSARShip'):                                # questions know how common the classes are
        known = [s for source, s in seen if source == name]
        records = [r for r in read_records(file) if r.source == name]
        assert all(s == class_shares(records) for s in known) and len(known) == len(records) and known[0]

def test_faults_and_notes_of_workers_are_ours(mine, real, tmp_path, monkeypatch):
    "Raised, or kept in the order of the records, as by one process"
    def faulty(record, images, problems):
        problems.note('seen'); problems.add(record.image, 'mask', 'is faulty', 'mend it'); return ()
    monkeypatch.setattr(rec, 'facts_of', faulty); said, root = [], tmp_path/'root'; shutil.copytree(real/'oil_spill', root/'oil_spill')
    for n in (1, 2):
        out = dict(out=tmp_path/'out', root=root, missing='skip', workers=n)
        with pytest.raises(BadInput, match='is faulty') as e: compose(mine, **out)
        kept = Problems('skip'); compose(mine, **out, problems=kept); said.append((str(e.value), *map(str, kept), kept.notes))
    faults = [s for s in said[0][1:-1] if 'is faulty' in s]
    assert said[0] == said[1] and len(faults) == 4 and faults[0] == said[0][0] and 'seen' in said[0][-1]

def test_absent_parts_stop_first(mine, data, tmp_path):
    with pytest.raises(BadInput, match='803 images of HRSID') as e: compose(mine, tmp_path/'out', root=data)
    assert e.value.problem.file == str(mine) and not (tmp_path/'out').exists()
    with pytest.raises(BadInput, match='not in'): compose('sar-text', tmp_path/'out', root=tmp_path, missing='skip')
    for d in ('HRSID', 'SEN1-2'): (tmp_path/d).mkdir()
    assert [p.place for p in absent(read_recipe('sar-text'), tmp_path)] == [f"part '{p.id}'" for p in read_recipe('sar-text').parts[1:-1]]

def test_a_reader_that_does_not_fit(mine, real, tmp_path):
    parts = {p.id: p for p in read_recipe(mine).parts}
    for id, changes in (('ssdd', {'anotations': 'x'}), ('oil', {'mask': 'masks'}), ('places', {'colour': 3})):
        wrong = replace(parts[id], reader=parts[id].reader | changes)
        with pytest.raises(BadInput, match=f"part '{id}', reader"): list(read_part(wrong, real, tmp_path/'work'))
    (tmp_path/'ssdd').symlink_to(real/'ssdd')
    with pytest.raises(BadInput, match='not below'): list(read_part(parts['ssdd'], tmp_path, tmp_path/'work'))
    bare = replace(parts['oil'], reader={'kind': 'masks', 'images': 'images'})
    with pytest.raises(BadInput, match='lacks'): list(read_part(bare, real, tmp_path/'work'))

# the command

def test_the_command(tmp_path):
    r = sartext('recipe', 'sarlang-1m', '--simulated', '--records', 50, '--pictures', 5, '--side', 64, '--out', tmp_path/'out')
    assert r.returncode == 0 and '50 records of 50' in r.stdout and (tmp_path/'out/data/manifest.json').exists()
    fewer = ('recipe', 'sarlang-1m', '--simulated', '--records', 40, '--pictures', 5, '--side', 64, '--out', tmp_path/'out'); before = kept(tmp_path/'out')
    r = sartext(*fewer); assert r.returncode == 1 and '--force' in r.stderr and 'Traceback' not in r.stderr and kept(tmp_path/'out') == before
    r = sartext(*fewer, '--force'); assert r.returncode == 0 and '40 records of 40' in r.stdout, r.stderr
    for args, code, said in ((('sar-text', '--out', tmp_path/'a'), 2, '--root'), (('sar-text', '--simulated', '--root', tmp_path, '--out', tmp_path/'a'), 2, '--root'),
                             (('sar-tex', '--simulated', '--out', tmp_path/'a'), 1, 'no recipe'), (('sar-text', '--root', tmp_path/'x', '--out', tmp_path/'a'), 1, 'no such folder'),
                             (('sar-text', '--root', tmp_path, '--out', tmp_path/'a'), 1, 'HRSID')):
        r = sartext('recipe', *args)
        assert r.returncode == code and said in r.stderr and 'Traceback' not in r.stderr, r.stderr

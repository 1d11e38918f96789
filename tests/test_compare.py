"What the tables say of arms whose truth is known"
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
import numpy as np
import pytest
from sartext import compare

SEEDS, N = range(5), 150

def made(gain, seed=0, seeds=SEEDS, spread=.0):
    "Results of 'direct-long' and of 'progressive', which is `gain` points better on average, seed by seed and picture by picture"
    rng = np.random.default_rng(seed); hard = rng.uniform(0, 100, N); res = []
    for s in seeds:
        lift = gain + spread*rng.standard_normal()
        for arm, more in (('direct-long', 0), ('progressive', lift)):
            values = hard + more + rng.normal(0, 12, N)
            res.append({'arm': arm, 'seed': s, 'steps': 1, 'samples': 1, 'seconds': 1.,
                        'columns': {'seen plans': {compare.FACTS: values.tolist()}}})
    return res

def column(n=N): return {'seen plans': SimpleNamespace(pairs=range(n), scenes=lambda: [str(i) for i in range(n)], said=lambda: [], keys=lambda: [])}
def verdict(results, **kw): return compare.difference_table(results, column(**kw))['rows'][0][1]

@pytest.mark.parametrize('gain,sign,word', [(5, '+', 'wins'), (-5, '-', 'loses'), (0, '', 'not separated')])
def test_what_is_there_is_said(gain, sign, word):
    said = verdict(made(gain)); assert said.startswith(sign) and said.endswith(word)

def test_a_difference_between_seeds_only_is_not_a_win():
    "One lucky training run of five lifts the mean, and must not be called a win"
    luck = made(0, seed=1)
    for r in luck:
        if r['arm'] == 'progressive' and r['seed'] == 3:
            r['columns']['seen plans'][compare.FACTS] = [v + 15 for v in r['columns']['seen plans'][compare.FACTS]]
    assert verdict(luck).endswith('not separated')

def test_false_wins_are_rare():
    said = [verdict(made(0, seed=s, spread=2.)) for s in range(40)]
    assert sum(not v.endswith('not separated') for v in said) <= 6

def test_pairs_are_by_seed_not_by_order():
    assert verdict(made(5)) == verdict(list(reversed(made(5))))

def test_a_missing_seed_is_refused():
    broken = [r for r in made(5) if not (r['arm'] == 'progressive' and r['seed'] == 2)]
    with pytest.raises((KeyError, ValueError)): verdict(broken)

def test_few_pictures_get_no_verdict():
    few = made(5)
    for r in few: r['columns']['seen plans'][compare.FACTS] = r['columns']['seen plans'][compare.FACTS][:60]
    assert 'too few' in verdict(few, n=60)

def test_captions_are_judged_by_their_facts(monkeypatch):
    "The narrator's own captions state only what holds; those of another picture do not; both are paired with the dull ones"
    import torch
    from sartext.models import coca
    from sartext.narrate.annotation import narrate
    from sartext.records import Box, Record
    from sartext.train import Pairs, first_caption
    def scene(i, n): return narrate(Record(f'r{i}', f'{i}.png', 90, 90, labelled_classes=('ship',), boxes=tuple(
        Box('ship', 30*k + 10, 10 + 30*(i % 3), 9, 9) for k in range(n))), kinds=('concise',), per_image=2)
    records = [scene(i, i % 3 + 1) for i in range(9)]
    pixels = torch.stack([torch.full((3, 32, 32), 25*i, dtype=torch.uint8) for i in range(9)])
    pairs = Pairs(pixels, tuple(r.captions for r in records), tuple(records))
    own, begin = [first_caption(r.captions).text for r in records], coca.start(size=32)
    def found(said):
        monkeypatch.setattr(coca, 'captions', lambda start, images, **how: said)
        return {k: np.mean(v) for k, v in compare.CAPTIONS.take(begin, {'a': compare.Column(pairs)}, None, {'sar': pairs})['a'].items()}
    right, wrong = found(own), found(own[1:] + own[:1])
    assert right['fact precision'] == 100 and right['fact F1'] > wrong['fact F1'] + 20
    assert right[compare.NEAREST] == pytest.approx(right['fact F1'], abs=.01)       # each is nearest to itself
    assert wrong[compare.NEAREST] == right[compare.NEAREST] and right[compare.FREQUENT] < right['fact F1'] - 20
    assert {'BLEU-4', 'ROUGE-L', 'CIDEr'} < set(right) and right['BLEU-4'] == pytest.approx(100, abs=.01)
    assert set(compare.CAPTIONS.beside) | {compare.CAPTIONS.protocol} < set(right)
    told = found([own[0]] + ['']*8)         # without the one picture whose caption states facts, there is no precision
    assert told['fact precision'] == 100 and 0 < told['fact F1'] < 40
    assert found(['']*9)['fact precision'] == 0

def test_answers_are_judged_by_application(monkeypatch):
    """Right answers give 100 in every application; one picture answered wrongly costs its own share and no other's; who
    looks gives other answers to the picture of another scene"""
    import torch
    from sartext.evaluate.answering import items_of
    from sartext.models import gpt
    from sartext.narrate.questions import ask
    from sartext.records import Box, Record
    from sartext.train import Pairs
    records = tuple(ask(Record(f'r{i}', f'{i}.png', 90, 90, labelled_classes=('ship', 'bridge'), boxes=tuple(
        Box('ship', 30*k + 10, 10 + 30*(i % 3), 9, 9) for k in range(i % 3 + 1)))) for i in range(6))
    pixels = torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(6, 3, 8, 8)
    pairs = Pairs(pixels, tuple(r.questions for r in records), records)
    items = items_of(records); wrong = [i for i, x in enumerate(items) if x.image == '2.png']
    def found(said, looks=True):
        told = {(i.image, i.question): a for i, a in zip(items, said)}; by_question = {q: a for (_, q), a in told.items()}
        def one(image, question): return told.get((f'{image[0, 0, 0]}.png', question), 'nothing') if looks else by_question[question]
        monkeypatch.setattr(gpt, 'answer', lambda start, images, questions, batch: [one(*x) for x in zip(images, questions)])
        return compare.ANSWERS.take(None, {'a': compare.Column(pairs)}, None, {'sar': pairs})['a']
    right = [i.reference for i in items]
    best, less = found(right), found(['' if i in wrong else a for i, a in enumerate(right)])
    names = [n for n in best if not n.endswith((compare.MAJORITY, compare.BLIND, compare.ELSEWHERE))]
    assert len(names) > 3 and all(np.mean(best[n]) == pytest.approx(100, abs=.01) for n in names)
    assert np.mean(less['accuracy']) == pytest.approx(100*(1 - len(wrong)/len(items)), abs=.01)
    assert all(np.flatnonzero(np.array(best[n]) - less[n]).tolist() in ([2], []) for n in names)
    assert np.mean(best[f'accuracy, {compare.MAJORITY}']) < 100 and set(compare.ANSWERS.beside) < set(best)
    blind = found(right, looks=False)
    assert np.mean(best[f'accuracy, {compare.ELSEWHERE}']) < 70 and blind[f'accuracy, {compare.ELSEWHERE}'] == blind['accuracy']

@pytest.fixture(scope='module')
def quizzed(tmp_path_factory):
    "A built set of small simulated scenes that have captions, of held-out plans too, and questions"
    from sartext.narrate.questions import ask
    from sartext.records import read_records, write_records
    from sartext.simulate import write_world
    at = tmp_path_factory.mktemp('quizzed'); world = write_world(at/'world', 16, seed=3, size=64)
    records = [replace(ask(r), split=('train', 'val', 'test', 'train')[i % 4])
               for i, r in enumerate(compare.tell(r for r in read_records(world) if r.modality == 'sar'))]
    write_records(records, world)
    return {'sar': compare.build_sets({'sar': world}, at/'built')['sar']}

SIZES = SimpleNamespace(start='random-gpt', image_size=32, optical_steps=1, sar_steps=1, batch_size=2, frozen_blocks=0, seeds=(0,))

def test_questions_have_no_held_out_column(quizzed):
    from sartext.models.starts import Preprocess
    from sartext.train import questions_of
    own = compare.columns(quizzed, Preprocess(32), of=questions_of)
    assert list(own) == ['seen plans'] and all(r.questions and r.captions for r in own['seen plans'].pairs.records)
    assert list(compare.columns(quizzed, Preprocess(32))) == ['seen plans', 'held-out plans']

@pytest.mark.parametrize('of', [compare.ANSWERS.of, compare.packed])
def test_answers_reach_the_test(quizzed, tmp_path, of):
    by = replace(compare.ANSWERS, of=of)
    results, tests, *_ = compare.compare_seeds(quizzed, SIZES, tmp_path, 'code', (1e-3,), ('untouched', 'direct'), by)
    assert [r['arm'] for r in results] == ['untouched', 'direct'] and list(tests) == ['seen plans']
    assert all({'accuracy', *compare.ANSWERS.beside} < set(r['columns']['seen plans']) for r in results)
    assert len(compare.gain_table(results, tests, by)['rows']) == 6
    same = compare.compare_sets({'a': quizzed['sar'], 'b': quizzed['sar']}, SIZES, tmp_path/'sets', 'code', 'direct', (1e-3,), by, dict(image_tokens=1))[0]
    assert [r['arm'] for r in same] == ['a', 'b'] and same[0]['columns'] == same[1]['columns']

def test_other_settings_of_the_measure_are_other_runs(quizzed, tmp_path):
    "What a partial measure was given counts, and so does what models are shown; the same settings are read back"
    runs = []
    def take(start, tests, texts, pairs, longest): runs.append(longest); return {n: {'accuracy': [longest]} for n in tests}
    def level(longest, **how):
        by = replace(compare.ANSWERS, take=partial(take, longest=longest), **how)
        return compare.compare_seeds(quizzed, SIZES, tmp_path, 'code', (1e-3,), ('untouched',), by)[0][0]['columns']['seen plans']
    assert [level(n)['accuracy'] for n in (8, 8, 64)] == [[8], [8], [64]] and runs == [8, 64]
    for of in (compare.concise, compare.captions_of): level(64, of=of)         # these two have the same columns
    assert runs == [8, 64, 64, 64]

def chips(n=40, classes=('tank', 'truck')):
    from sartext.records import Box, Record
    return [Record(f'{c} {i}', f'{c}/{i:03}.png', 32, 32, boxes=(Box(c, 0, 0, 32, 32),), labelled_classes=classes)
            for c in classes for i in range(n)]

def test_blocks_keep_neighbours_apart():
    "Held-out blocks are whole and contiguous, every class is in every split, and no training chip lies within the guard"
    told = compare.split_blocks(reversed(chips(57)), guard=4)
    for name in ('tank', 'truck'):
        at = {s: [int(r.id.split()[1]) for r in told if r.split == s and r.id.startswith(name)] for s in ('train', 'val', 'test')}
        assert min(abs(a - b) for a in at['train'] for b in at['val'] + at['test']) == 5
        runs = {r.scene: [] for r in told if r.split == 'test' and r.id.startswith(name)}
        for r in told:
            if r.scene in runs: runs[r.scene].append(int(r.id.split()[1]))
        assert len(runs) == 2 and all(own == list(range(own[0], own[0] + len(own))) for own in runs.values())
    assert not {r.scene for r in told if r.split == 'train'} & {r.scene for r in told if r.split != 'train'}

def test_no_pixel_of_the_target_is_left():
    chip = np.arange(64*64).reshape(64, 64)%199; chip[8:56, 8:56] = 200
    bare = compare.ground_only(chip.astype(np.uint8), seed=3)
    assert 200 not in bare and (bare[:8] == chip[:8]).all() and (bare[:, 56:] == chip[:, 56:]).all()

@pytest.fixture
def named(monkeypatch):
    "A tower whose features are given by each picture's number in its name, and sentences that lie on the labels' own axes"
    import torch
    from sartext.train import Pairs
    def rows(start, pairs, batch=128): return np.stack([start[r.id] for r in pairs.records])
    def told(start, records, label, held, most=24):
        names = sorted({label(r) for r in records}); return names, np.stack([start[n] for n in names])
    monkeypatch.setattr(compare, 'tower_rows', rows); monkeypatch.setattr(compare, 'label_rows', told)
    def pairs(records, value=0):
        said = tuple((SimpleNamespace(rules=(), kind='concise', text=''),) for _ in records)
        return Pairs(torch.full((len(records), 3, 16, 16), value, dtype=torch.uint8), said, tuple(records))
    return pairs

def test_the_nearest_sentence_names(named):
    "Right features name all, turned ones none; the most frequent label is that of training, not of the test"
    rs, axes = chips(4), {'tank': np.array([1., 0]), 'truck': np.array([0., 1])}
    features = axes | {r.id: axes[compare.class_of(r)] for r in rs}
    train, tests = {'sar': named(rs[:4] + rs[4:6])}, {'seen plans': compare.Column(named(rs))}
    def mean(found): return {k: np.mean(v) for k, v in found['seen plans'].items()}
    right = mean(compare.CLASSES.take(features, tests, None, train))
    assert right[compare.NAMED] == right['accuracy, linear probe'] == right['accuracy, nearest training picture'] == 100
    assert right['accuracy, most frequent label'] == 50 and set(right) == {compare.NAMED, *compare.CLASSES.beside}
    turned = features | {'tank': axes['truck'], 'truck': axes['tank']}
    wrong = mean(compare.CLASSES.take(turned, tests, None, train))
    assert wrong[compare.NAMED] == 0 and wrong['accuracy, linear probe'] == 100

def test_unseen_classes_are_chosen_among_themselves(named):
    rs = chips(4, ('car', 'tank', 'truck'))
    features = {r.id: np.array([1., 0]) for r in rs} | {'car': np.array([1., 0]), 'tank': np.array([.9, .1]), 'truck': np.array([0., 1])}
    asked = {'seen plans': compare.Column(named([r for r in rs if compare.class_of(r) != 'car']))}
    found = compare.UNSEEN.take(features, asked, None, {'sar': named([r for r in rs if compare.class_of(r) == 'car'])})['seen plans']
    assert list(found) == [compare.NAMED] and np.mean(found[compare.NAMED]) == 50       # all tanks, though cars lie nearest
    assert compare.UNSEEN.bounds(compare.NAMED, asked)[0] == [['chance', 50.]]

def test_counts_within_one(named):
    from sartext.records import Box, Record
    def scene(i, n): return Record(f's{i}', f'{i}.png', 99, 99, boxes=tuple(Box('ship', 9*k, 9, 8, 8) for k in range(n)))
    rs = [scene(i, n) for i, n in enumerate((1, 1, 1, 2, 3, 4))]
    features = {1: np.array([1., 0]), 2: np.array([0., 1]), 3: np.array([-1., 0]), 4: np.array([0., -1])} | {r.id: np.array([0., 1]) for r in rs}
    found = compare.COUNTS.take(features, {'all': compare.Column(named(rs))}, None, {'sar': named(rs)})['all']
    assert np.mean(found[compare.NAMED]) == pytest.approx(100/6) and np.mean(found[compare.WITHIN]) == pytest.approx(500/6)
    assert np.mean(found[f'{compare.NAMED}, most frequent label']) == 50
    assert np.mean(found[f'{compare.WITHIN}, most frequent label']) == pytest.approx(400/6)

def test_a_caption_by_eye_belongs_to_one_scene():
    "Only a test picture with the very boxes, size and spacing the caption was written for gets it"
    from sartext.records import Box
    from sartext.simulate import WORLD, scene, to_record
    def drawn(i, seed=0, size=256, split='test'): return replace(to_record(scene(seed, i, WORLD, size, sar=False)), split=split)
    own = drawn(552)
    with_it, = compare.with_written([own]); told, = with_it.captions
    assert compare.written(told) and compare.held_out(told) and told.text == compare.read_written()[own.id][1]
    assert compare.concise(with_it) == () and not told.facts
    less, moved = replace(own, boxes=own.boxes[1:]), replace(own, boxes=(*own.boxes[1:], Box('ship', 0, 0, 9, 9)))
    others = drawn(552, size=128), drawn(552, seed=1), drawn(552, split='train'), drawn(552, split='val'), drawn(549), less, moved
    assert [r.captions for r in compare.with_written(others)] == [()]*7
    known = compare.read_written()
    assert list(known) == [f'sim-0-{i:06}' for i in range(550, 850)] and all(5 < len(t.split()) < 31 for _, t in known.values())

@pytest.fixture(scope='module')
def by_eye(tmp_path_factory):
    "A built set of scenes 546–553 drawn as the profile `tiny` draws them: 550–553 are the test and have captions by eye"
    from sartext.records import read_records, write_records
    from sartext.simulate import write_world
    at = tmp_path_factory.mktemp('by_eye'); world = write_world(at/'world', 8, start=546)
    records = (replace(r, split='train' if i < 4 else 'test') for i, r in enumerate(read_records(world)))
    write_records(compare.with_written(compare.tell(records)), world)
    return compare.build_sets({'sar': world}, at/'built')

def test_captions_by_eye_are_a_column_of_their_own(by_eye):
    "The pictures and the hits of the seen plans, other texts; in no other column, in no training, not among concise captions"
    from sartext.models.starts import start
    from sartext.train import read_pairs, retrieve
    begin = start('packaged', size=32); tests = compare.columns(by_eye, begin.preprocess)
    assert list(tests) == ['seen plans', 'held-out plans', compare.WRITTEN]
    seen, eye = tests['seen plans'], tests[compare.WRITTEN]
    assert [c.text for c in eye.said()] == [t for _, t in list(compare.read_written().values())[:4]]
    assert [r.id for r in eye.pairs.records] == [r.id for r in seen.pairs.records] and (eye.pairs.pixels == seen.pairs.pixels).all()
    assert eye.keys() == seen.keys() and eye.scenes() == seen.scenes()
    assert not any(compare.written(c) for n in ('seen plans', 'held-out plans') for own in tests[n].pairs.captions for c in own)
    assert list(compare.columns(by_eye, begin.preprocess, of=compare.concise)) == ['seen plans', 'held-out plans']
    train = read_pairs(by_eye['sar'], 'train', 'sar', begin.preprocess)
    assert len(train) == 4 and not any(compare.written(c) for c in train.said())
    taught = read_pairs(by_eye['sar'], 'test', 'sar', begin.preprocess, lambda c: not compare.held_out(c))     # were they trained on
    assert not any(compare.written(c) for c in taught.said())
    names, _ = compare.label_rows(begin, eye.pairs.records, lambda r: r.id, held=True)
    assert len(names) == 4

def test_hits_of_captions_by_eye_are_those_of_the_picture(by_eye):
    "Two pictures of the same facts are a hit for either caption, although its words are its own"
    from sartext.models.starts import start
    begin = start('packaged', size=32); eye = compare.columns(by_eye, begin.preprocess)[compare.WRITTEN]
    alone = compare.recall_of(begin, {'a': eye})['a']
    same = compare.recall_of(begin, {'a': replace(eye, like=lambda r: compare.plainly(eye.pairs.records[0]))})['a']
    assert alone[compare.FACTS] == alone['single-positive'] and set(same[compare.FACTS]) == {100.}
    assert same['single-positive'] == alone['single-positive']
    low, _ = compare.RECALL.bounds(compare.FACTS, {'a': eye}); _, high = compare.RECALL.bounds('single-positive', {'a': eye})
    assert high[0][1] == 100 and low[0][1] < 100        # no two texts are alike, so the texts set no ceiling

def covered(covers, own=('water', 'land'), scenes=None):
    from sartext.records import Record
    return [Record(f't{i}', f'{i}.png', 16, 16, scene=f's{(scenes or range(99))[i]}', extra={'cover': c, 'covers': list(own)}) for i, c in enumerate(covers)]

def test_a_cover_is_chosen_among_those_its_set_tells_apart(named, monkeypatch):
    "Trees lie nearest to every tile, but the set knows no trees; always the same is right as often as the cover is there, and half of two"
    axes = {'forest': np.array([1., 0, 0]), 'land': np.array([0., 1, 0]), 'water': np.array([0., 0, 1])}
    monkeypatch.setattr(compare, 'cover_rows', lambda start, names: np.stack([axes[n] for n in names]))
    rs = covered(['water']*9 + ['land'] + ['land']*2 + ['forest'])
    rs[-1] = replace(rs[-1], extra={'cover': 'forest', 'covers': ['forest', 'land', 'water']})
    looks = {r.id: axes['forest'] + .1*axes[r.extra['cover']] for r in rs}
    found = compare.GROUND.take(looks, {'all': compare.Column(named(rs))})['all']
    assert np.mean(found[compare.NAMED]) == 100 and np.mean(found[compare.BALANCED]) == pytest.approx(100, abs=.01)
    assert {compare.GROUND.protocol, *compare.GROUND.also, *compare.GROUND.beside} < set(found)
    same = compare.GROUND.take({r.id: axes['water'] for r in rs}, {'all': compare.Column(named(rs[:10]))})['all']
    assert np.mean(same[compare.NAMED]) == 90 and np.mean(same[compare.BALANCED]) == pytest.approx(50, abs=.01)
    (_, chance), (_, usual) = compare.GROUND.bounds(compare.NAMED, {'all': compare.Column(named(rs))})[0]
    assert chance == pytest.approx((12*50 + 100/3)/13) and usual == pytest.approx(900/13)

def test_a_probe_sees_no_tile_of_the_scene():
    "Scenes that each have a look of their own teach nothing of one another; a look of the cover does, from any scene"
    kinds = np.array(['water', 'land']*20); scenes = [f's{i//4}' for i in range(40)]
    rng = np.random.default_rng(0); own = rng.normal(size=(10, 8))[np.arange(40)//4]
    twin = np.c_[own, own*np.where(kinds == 'water', 1., -1.)[:, None]]           # inside a scene the cover is plain
    alone, mixed = (compare.apart(twin, kinds, s, folds=40) for s in (scenes, range(40)))
    assert np.mean(mixed == kinds) > np.mean(alone == kinds) + .2
    assert (compare.apart(np.where(kinds == 'water', 1., 0)[:, None], kinds, scenes) == kinds).all()

def test_a_cover_is_no_object():
    "The largest cover, whatever ships lie there; a mask without a labelled cover gets none"
    from sartext.records import Record
    r = Record('a', 'a.png', 20, 20, mask='m.png', mask_classes={'1': 'sea surface', '2': 'ship', '3': 'land', '0': 'look-alike'})
    mask = np.full((20, 20), 2); mask[:5] = 1; mask[5:7] = 3
    assert compare.with_cover(r, mask).extra == {'covers': ['land', 'oil look-alike', 'water'], 'cover': 'water'}
    assert compare.with_cover(r, np.full((20, 20), 9)) == r

def test_what_is_forgotten_has_pictures_nobody_trained_on(tmp_path):
    "The optical column holds test scenes of the optical set alone, by its own captions; of other measures it is no column"
    from sartext.models.starts import Preprocess
    from sartext.train import read_pairs
    little = SimpleNamespace(n_optical=4, n_sar=4, n_val=2, n_test=3, n_shifted=2, scene_size=64, workers=1)
    built = compare.build_sets(compare.draw_sets(tmp_path/'drawn', little), tmp_path/'built')
    column = compare.columns(built, Preprocess(32))['optical']
    shown = {r.scene for r in read_pairs(built['optical'], 'train', 'optical', Preprocess(32)).records}
    assert len(column.pairs) == 3 and not shown & set(column.scenes()) and {r.modality for r in column.pairs.records} == {'optical'}
    assert 'optical' not in compare.columns(built, Preprocess(32), of=compare.concise)
    assert 'optical' not in compare.columns({'sar': built['sar']}, Preprocess(32))

"What 40_retrieval cannot test about itself: real annotations, published implementations, brute force, scale"
import itertools, json, os, subprocess, sys, time
from pathlib import Path
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sartext.evaluate.retrieval import (average, chance, expected_hits, fact_key, interval, normalise,
                                        paired_difference, random_recall, recall, recall_table, recalls, text_ceiling)
from sartext.records import Fact

DATA = Path(os.environ.get('SARTEXT_DATA', Path(__file__).parents[1]/'../shared/data'))
KS = (1, 5, 10)


def rates(r): return [*r.image_to_text.mean(0), *r.text_to_image.mean(0)]


def embeddings(n, m=None, d=32, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, d)).astype(np.float32)
    own = images if m is None else np.repeat(images, m//n, 0)
    return images, (own + 1.5*rng.normal(size=own.shape)).astype(np.float32)


def unit(x): return x/np.linalg.norm(x, axis=1, keepdims=True)


# --- brute force -------------------------------------------------------------------------------------------------
def brute(scores, right, k):
    "Share of all orders of the gallery, among those sorted by score, with a right item in the first k"
    size = len(scores)
    orders = {tuple(sorted(order, key=lambda j: -scores[j])) for order in itertools.permutations(range(size))}
    return np.mean([any(right[j] for j in order[:k]) for order in orders])


def right_pairs(n, owner, keys):
    "(N, M) by the words of the definition: own text, or a text whose key is that of one of the image's own texts"
    right = np.zeros((n, len(owner)), bool)
    for i, (j, o) in itertools.product(range(n), enumerate(owner)):
        own = {keys[t] for t in range(len(owner)) if owner[t] == i} - {''} if keys is not None else set()
        right[i, j] = o == i or (keys is not None and keys[j] in own)
    return right


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2), st.integers(0, 10**6), st.booleans())
def test_equals_every_order(n, more, seed, grouped):
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.r_[np.arange(n), rng.integers(0, n, more)])
    keys = list(rng.choice(['', 'a', 'b', 'c'], len(owner))) if grouped else None
    scores = rng.integers(0, 3, (n, len(owner))).astype(float)           # few values: many ties
    right = right_pairs(n, owner, keys)
    r = recall(scores=scores, owner=owner, keys=keys, ks=(1, 2, 3), chunk=int(rng.integers(1, 4)))
    assert [p.tolist() for p in r.positives] == [right.sum(1).tolist(), right.sum(0).tolist()]
    for c, k in enumerate((1, 2, 3)):
        np.testing.assert_allclose(r.image_to_text[:, c], [brute(s, p, k) for s, p in zip(scores, right)], atol=1e-12)
        want = [brute(s, p, k) for s, p in zip(scores.T, right.T)]
        np.testing.assert_allclose(r.text_to_image[:, c], want, atol=1e-12)
    assert np.isclose(r.per_image().mean(), r.mean_recall)


def test_hypergeometric_tail_matches_scipy():
    from scipy.stats import hypergeom
    rng = np.random.default_rng(0)
    tied = rng.integers(1, 5000, 500); right = rng.integers(1, tied + 1); above = rng.integers(0, 12, 500)
    for k in (1, 5, 10, 100):
        want = 1 - hypergeom.pmf(0, tied, right, np.clip(k - above, 0, tied))
        np.testing.assert_allclose(expected_hits(above, tied, right, k), want, atol=1e-9)


# --- published implementations -----------------------------------------------------------------------------------
@pytest.mark.parametrize('m', [None, 400])
def test_equals_naive_argsort(m):
    images, texts = embeddings(80, m)
    owner = np.arange(80) if m is None else np.repeat(np.arange(80), 5)
    s = unit(images) @ unit(texts).T
    i2t = [np.mean([i in owner[np.argsort(-row)[:k]] for i, row in enumerate(s)]) for k in KS]
    t2i = [np.mean([owner[j] in np.argsort(-row)[:k] for j, row in enumerate(s.T)]) for k in KS]
    np.testing.assert_allclose(rates(recall(images, texts, owner=owner)), i2t + t2i)


def test_equals_clip_benchmark():
    "Their protocol: a hit if any of the image's five captions is in the top K; no ties in random scores"
    theirs, torch = pytest.importorskip('clip_benchmark.metrics.zeroshot_retrieval'), pytest.importorskip('torch')
    images, texts = embeddings(120, 600, seed=1)
    owner = np.repeat(np.arange(120), 5)
    scores = torch.from_numpy(unit(texts) @ unit(images).T)
    positive = torch.zeros(scores.shape, dtype=torch.bool)
    positive[torch.arange(600), torch.from_numpy(owner)] = True
    got = lambda s, p, k: (theirs.recall_at_k(s, p, k) > 0).double().mean().item()
    want = [got(scores.T, positive.T, k) for k in KS] + [got(scores, positive, k) for k in KS]
    np.testing.assert_allclose(rates(recall(images, texts, owner=owner)), want, atol=1e-6)


def test_equals_open_clip():
    theirs, torch = pytest.importorskip('open_clip_train.train'), pytest.importorskip('torch')
    images, texts = (unit(x) for x in embeddings(200, seed=2))
    want = theirs.get_clip_metrics(torch.from_numpy(images), torch.from_numpy(texts), torch.tensor(100.))
    want = [want[f'{way}_R@{k}'] for way in ('image_to_text', 'text_to_image') for k in KS]
    np.testing.assert_allclose(rates(recall(images, texts)), want)


# --- invariance --------------------------------------------------------------------------------------------------
def test_blocks_and_order_do_not_matter():
    rng = np.random.default_rng(3)
    images, texts = (np.sign(rng.normal(size=(150, 4))) for _ in range(2))   # 16 directions: exact sums, many ties
    keys = rng.integers(0, 20, 150)
    whole = recall(images, texts, keys=keys)
    for chunk in (1, 7, 64, 1000):
        part = recall(images, texts, keys=keys, chunk=chunk)
        np.testing.assert_array_equal(part.image_to_text, whole.image_to_text)
        np.testing.assert_array_equal(part.text_to_image, whole.text_to_image)
    a, b = rng.permutation(150), rng.permutation(150)
    place = np.argsort(a)                                                    # new index of each old image
    mixed = recall(images[a], texts[b], owner=place[b], keys=keys[b])
    np.testing.assert_allclose(mixed.image_to_text, whole.image_to_text[a])
    np.testing.assert_allclose(mixed.text_to_image, whole.text_to_image[b])


def test_constant_model_gets_chance_at_any_size_of_block():
    rng = np.random.default_rng(4)
    one = rng.normal(size=(1, 33)).astype(np.float32)
    for chunk in (None, 1, 100):
        r = recall(np.repeat(one, 777, 0), np.repeat(one, 777, 0), chunk=chunk)
        np.testing.assert_allclose(rates(r), np.tile(np.array(KS)/777, 2), rtol=1e-9)


def test_tolerance_ties_what_rounding_parted():
    scores = np.array([[.5, .5 + 1e-7], [.1, .9]])
    assert recall(scores=scores).image_to_text[0, 0] == 0
    assert recall(scores=scores, tolerance=1e-6).image_to_text[0, 0] == .5


# --- faults ------------------------------------------------------------------------------------------------------
def test_faults_are_named():
    images, texts = embeddings(20)
    nan, zero = texts.copy(), images.copy(); nan[17, 3] = np.nan; zero[4] = 0
    scores = np.zeros((20, 20)); scores[9, 2] = np.inf
    for kwargs, said in ((dict(image_embeddings=images, text_embeddings=nan), 'text_embeddings, row 17: not finite'),
                         (dict(image_embeddings=zero, text_embeddings=texts), 'image_embeddings, row 4: all zeros'),
                         (dict(image_embeddings=images[0], text_embeddings=texts), r'shape \(32,\)'),
                         (dict(image_embeddings=images, text_embeddings=texts[:, :8]), 'have 32 dimensions'),
                         (dict(image_embeddings=images, text_embeddings=texts[:8]), 'do not pair up'),
                         (dict(image_embeddings=images, text_embeddings=texts, keys=['a']), '1 keys'),
                         (dict(image_embeddings=images, text_embeddings=texts, owner=[0]*20), 'image 1 has no text'),
                         (dict(image_embeddings=images, text_embeddings=texts, ks=(0,)), 'ks is'),
                         (dict(image_embeddings=images), 'give image_embeddings and text_embeddings'),
                         (dict(scores=scores), 'scores, row 9: not finite'),
                         (dict(scores=np.zeros((0, 4))), 'scores have shape')):
        with pytest.raises(ValueError, match=said): recall(**kwargs)
    with pytest.raises(ValueError, match='no keys'): text_ceiling([])
    with pytest.raises(ValueError, match='one scene'): interval(np.ones(5), ['a']*5)
    with pytest.raises(ValueError, match='3 scenes for 5 images'): interval(np.ones(5), ['a']*3)
    with pytest.raises(ValueError, match='finite'): interval([1, np.nan])
    with pytest.raises(ValueError, match='same seeds and images'): paired_difference(np.ones((5, 9)), np.ones((4, 9)))
    with pytest.raises(ValueError, match='no results'): recall_table({})


def test_texts_that_state_nothing_are_right_only_for_their_own_image():
    none = recall(scores=np.zeros((30, 30)), keys=[fact_key(())]*30)
    np.testing.assert_allclose(rates(none), np.tile(np.array(KS)/30, 2))


# --- ceilings ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize('several', [False, True])
def test_ceiling_is_reached_and_not_passed(several):
    "A perfect model reaches it with one text an image; with several, no ordering of equal texts passes it"
    rng = np.random.default_rng(5)
    owner = np.repeat(np.arange(40), 3) if several else np.arange(40)
    keys = rng.integers(0, 25, len(owner))
    top = text_ceiling(keys, owner)
    own = [set(keys[owner == i]) for i in range(40)]
    perfect = np.array([[float(k in o) for k in keys] for o in own])
    r = recall(scores=perfect, owner=owner)
    assert (r.image_to_text <= top.image_to_text + 1e-12).all()
    np.testing.assert_allclose(r.text_to_image, top.text_to_image)
    if not several: np.testing.assert_allclose(r.image_to_text, top.image_to_text)
    first = [np.flatnonzero(keys == k)[0] if k in keys else 0 for k in range(25)]
    for seed in range(200):                                                  # any scores that are equal where keys are
        value = np.random.default_rng(seed).random((40, 25)) + perfect[:, first]*(seed % 2)
        assert (recall(scores=value[:, keys], owner=owner).image_to_text <= top.image_to_text + 1e-12).all()


def ships_of_ssdd():
    path = DATA/'ssdd/annotations/instances.json'
    if not path.exists(): pytest.skip(f'no SSDD annotations at SARTEXT_DATA ({path.name})')
    coco = json.loads(path.read_text())
    boxes = {i['id']: [] for i in coco['images']}
    sizes = {i['id']: (i['width'], i['height']) for i in coco['images']}
    for a in coco['annotations']:
        (x, y, w, h), (width, height) = a['bbox'], sizes[a['image_id']]
        boxes[a['image_id']].append((int(3*(x + w/2)/width), int(3*(y + h/2)/height)))
    return list(boxes.values())


def test_ceiling_of_real_ships():
    "938 SSDD images: captions that only count can reach 6.7, with the set of 3×3 cells 35.9"
    cells = ships_of_ssdd()
    count = [(Fact('count', 'ship', len(c)),) for c in cells]
    placed = [(*n, *(Fact('position', 'ship', f'{x} {y}') for x, y in sorted(set(c)))) for n, c in zip(count, cells)]
    assert (len(cells), sum(map(len, cells)), sum(len(c) == 1 for c in cells)) == (938, 2048, 587)
    count, placed = ([fact_key(f) for f in facts] for facts in (count, placed))
    assert round(text_ceiling(count).mean_recall, 1) == 6.7
    assert round(text_ceiling(placed).mean_recall, 1) == 35.9
    rng = np.random.default_rng(0)                                           # the same counts in 200 wordings: gamed
    assert abs(text_ceiling([f'{k} {rng.integers(200)}' for k in count]).mean_recall - 82.5) < 2
    _, groups = np.unique(count, return_counts=True)                         # a constant model, group-positive
    got = recall(scores=np.zeros((938, 938)), keys=count).image_to_text[:, 0].mean()
    assert np.isclose(got, ((groups/938)**2).sum()) and round(got, 3) == .423


# --- chance, tables, intervals -----------------------------------------------------------------------------------
def test_chance_with_several_texts_an_image():
    rng = np.random.default_rng(6)
    owner, keys = np.repeat(np.arange(30), 2), rng.integers(0, 12, 60)
    want = recall(scores=np.ones((30, 60)), owner=owner, keys=keys)          # a constant model is chance
    np.testing.assert_allclose(rates(random_recall(30, owner, keys)), rates(want))
    np.testing.assert_allclose(chance(want).per_image(), want.per_image())


def test_strings_fold_and_keys_do_not_depend_on_order():
    assert normalise('  A ship, TOP-left!\n') == normalise('a SHIP top left') == 'a ship top left'
    assert normalise('3.5 m') != normalise('35 m') and normalise('−3 dB') != normalise('3 dB')
    facts = [Fact('count', 'ship', 2), Fact('position', 'ship', 'center', 1), Fact('presence', 'bridge', False)]
    assert len({fact_key(p) for p in itertools.permutations(facts)}) == 1
    assert fact_key(facts[:1]) == fact_key([Fact('count', 'ship', 2.0)]) != fact_key([Fact('count', 'ship', 20)])


def test_table_prints_dull_baselines_and_refuses_what_differs():
    images, texts = embeddings(120)
    facts = [f'{i % 50}' for i in range(120)]
    rows = [('m', r) for r in recalls(images, texts, facts, facts).values()]
    table = recall_table([*rows, ('seeds', [rows[0][1]]*5)], facts, facts, [i//4 for i in range(120)])
    names = [row[0] for row in table.rows]
    assert names == ['random']*3 + ['m']*3 + ['seeds', 'text ceiling (facts)', 'text ceiling (strings)']
    assert '(5 seeds)' in table.markdown() and all(len(row) == len(table.header) for row in table.rows)
    small = recall(images[:99], texts[:99])
    assert 'too few' in recall_table({'m': small}).rows[1][-2]
    with pytest.raises(ValueError, match='two tables'): recall_table([rows[0], ('other', small)])
    with pytest.raises(ValueError, match='not tested alike'): average([rows[0][1], rows[1][1]])


def test_paired_difference_is_fast_repeatable_and_fair():
    rng = np.random.default_rng(7)
    hard = rng.normal(0, 25, 300)
    a, b = (level + hard + rng.normal(0, .5, (5, 1)) + rng.normal(0, 8, (5, 300)) for level in (44, 40))
    start = time.perf_counter()
    d = paired_difference(a, b, np.arange(300)//3)
    assert time.perf_counter() - start < 2
    assert d.verdict == 'wins' and d == paired_difference(a, b, np.arange(300)//3)
    assert paired_difference(b, a, np.arange(300)//3).verdict == 'loses'
    assert paired_difference(a, a).verdict == 'not separated'
    assert paired_difference(a[:4], b[:4]).note and paired_difference(a[:4], b[:4]).verdict == 'not separated'
    by_seed = paired_difference(dict(zip('abcde', a)), dict(zip('edcba', b[::-1])), np.arange(300)//3)
    assert by_seed == d


def test_equal_models_seldom_win():
    "In worlds without a difference at most about one in twenty is declared one (scenes and seeds both differ)"
    rng, false = np.random.default_rng(8), 0
    for _ in range(300):
        d = rng.normal(0, .3, (5, 1)) + rng.normal(0, 1, 60) + rng.normal(0, 1, (5, 60))
        false += paired_difference(d, np.zeros_like(d), resamples=1000).verdict != 'not separated'
    assert false/300 < .07


# --- scale -------------------------------------------------------------------------------------------------------
def test_import_is_light_and_large_galleries_stay_small():
    code = ('import sys, resource, numpy as np; from sartext.evaluate.retrieval import recall\n'
            'assert not {"torch", "scipy", "matplotlib", "pandas"} & set(sys.modules)\n'
            'x = np.random.default_rng(0).normal(size=(12000, 16)).astype("f4")\n'
            'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; r = recall(x, x, ks=(1,))\n'
            'assert r.image_to_text.min() == 1\n'
            'print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)/1024)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200                                          # MB; 12,000² float32 scores alone are 549

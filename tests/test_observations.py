"What 43_observations cannot test about itself: real SAR spoiled, fusion against brute force, faults, order of the scenes"
import numpy as np
import pytest
from conftest import real_data
from sartext.evaluate.observations import SLIPS, WAYS, Curve, degrade_sar, earlier, observe, slipped, takeover
from sartext.imagery.read import read_image
from sartext.imagery.speckle import estimate_enl
from sartext.records import Box, Problems

rng = np.random.default_rng(3)
TEXTS = rng.normal(size=(150, 16)).astype('float32')
SAR, OPTICAL = (TEXTS + s*rng.normal(size=TEXTS.shape).astype('float32') for s in (1.5, 1.))


def test_real_sentinel_1_loses_looks():
    raster = read_image(next(iter(sorted((real_data()/'s1_float').glob('*.tif*')))), quantity='intensity')
    x = raster.array[0]; had = estimate_enl(x)
    worse = degrade_sar(x, had, looks=had/3)
    assert np.array_equal(np.isnan(worse), np.isnan(x)) and abs(np.nanmean(worse)/np.nanmean(x) - 1) < .05
    assert estimate_enl(worse) < .6*had and np.array_equal(worse, degrade_sar(x, had, looks=had/3), equal_nan=True)

@pytest.mark.parametrize('shape', [(64, 64), (65, 61), (7, 130)])
@pytest.mark.parametrize('k', [2, 3, 8])
def test_coarser_keeps_shape_mean_and_holes(shape, k):
    x = rng.gamma(4, .25, shape); x[:2] = np.nan
    big = rng.gamma(4, .25, (256, 256)); assert abs(degrade_sar(big, 4, coarser=k).mean() - 1) < .06
    worse = degrade_sar(x, 4, coarser=k)
    assert worse.shape == shape and np.array_equal(np.isnan(worse), np.isnan(x)) and (worse[2:] > 0).all()

def by_hand(scores):
    "Mean recall at 1, 5, 10 both ways of scores without ties, percent"
    own = np.diag(scores)
    ranks = [(scores > own[:, None]).sum(1), (scores > own[None]).sum(0)]
    return 100*np.mean([(r < k).mean() for r in ranks for k in (1, 5, 10)])

def test_fusion_against_brute_force():
    unit = lambda a: a/np.linalg.norm(a, axis=1, keepdims=True)
    s, o, t = map(unit, (SAR, OPTICAL, TEXTS)); found = observe(SAR, OPTICAL, TEXTS, scale=30)
    assert list(found) == list(WAYS)
    for way, scores in (('SAR only', s @ t.T), ('optical only', o @ t.T), ('both', unit(s + o) @ t.T)):
        assert found[way].mean_recall == pytest.approx(by_hand(scores), abs=1e-4), way
    def probable(axis): return sum(np.exp(30*x)/np.exp(30*x).sum(axis, keepdims=True) for x in (s @ t.T, o @ t.T))/2
    half = [np.mean([(r < k).mean() for k in (1, 5, 10)]) for r in
            ((probable(1) > np.diag(probable(1))[:, None]).sum(1), (probable(0) > np.diag(probable(0))[None]).sum(0))]
    assert found['late fusion'].mean_recall == pytest.approx(50*sum(half), abs=1e-3)

def test_order_of_scenes_does_not_matter():
    p = rng.permutation(len(TEXTS)); a, b = observe(SAR, OPTICAL, TEXTS), observe(SAR[p], OPTICAL[p], TEXTS[p])
    for way in WAYS: assert np.allclose(a[way].per_image()[p], b[way].per_image(), atol=1e-3), way

def test_a_missing_partner_never_helps_or_hurts_the_radar():
    gone = OPTICAL.copy(); gone[::3] = np.nan
    some, all_gone = observe(SAR, gone, TEXTS), observe(SAR, np.full_like(OPTICAL, np.nan), TEXTS)
    assert some['SAR only'].mean_recall == all_gone['SAR only'].mean_recall == all_gone['both'].mean_recall
    assert all_gone['late fusion'].mean_recall == pytest.approx(all_gone['SAR only'].mean_recall)
    assert all_gone['optical only'].mean_recall == pytest.approx(100*np.mean([k/150 for k in (1, 5, 10)]))    # chance
    assert some['optical only'].image_to_text[0, 0] == pytest.approx(1/150)
    few = OPTICAL.copy(); few[rng.random(len(few)) < .75] = np.nan; alone = np.isnan(few[:, 0]); found = observe(SAR, few, TEXTS, scale=30)
    assert found['late fusion'].per_image()[alone].mean() > found['SAR only'].per_image()[alone].mean() - 2        # no partner, no loss

def test_faults():
    bad = SAR.copy(); bad[4, 2] = np.nan
    with pytest.raises(ValueError, match='sar, row 4: not finite'): observe(bad, OPTICAL, TEXTS)
    with pytest.raises(ValueError, match='149 SAR, 150 optical'): observe(SAR[1:], OPTICAL, TEXTS)
    with pytest.raises(ValueError, match='fewer|at most|more than 0'): degrade_sar(np.ones((4, 4)), 1, looks=0)
    with pytest.raises(ValueError, match='whole number'): degrade_sar(np.ones((4, 4)), 1, coarser=1.5)
    with pytest.raises(ValueError, match='second scene'): slipped([np.zeros((4, 4, 3), 'uint8')], 'wrong', 1)
    with pytest.raises(ValueError, match='0 to 1'): slipped([], 'missing', 1.2)
    with pytest.raises(ValueError, match='do not rise'):
        takeover(Curve('cloud', (0, 1, .5), {w: np.zeros((3, 1, 9)) for w in WAYS}))

def test_slips_leave_the_rest_alone():
    images = [rng.integers(0, 255, (12, 9, 3), dtype='uint8') for _ in range(20)]; boxes = [[Box('ship', 2, 2, 3, 3)]]*20
    for slip in SLIPS:
        got = slipped(images, slip, .25, boxes)
        assert sum(a is None or a.shape != b.shape or not np.array_equal(a, b) for a, b in zip(got, images)) == 5, slip
        assert all(np.array_equal(a, b) for a, b in zip(images, slipped(images, slip, 0, boxes)))

def test_earlier_outside_and_whole():
    rgb = rng.integers(0, 255, (20, 20, 3), dtype='uint8')
    assert np.array_equal(earlier(rgb, [Box('harbor', 2, 2, 9, 9)]), rgb)
    assert np.array_equal(earlier(rgb, [Box('ship', 0, 0, 20, 20)]), rgb)           # nothing left to grow from
    cut = earlier(rgb, [Box('ship', 17, 17, 3, 3)]); assert np.array_equal(cut[:14, :14], rgb[:14, :14]) and not np.array_equal(cut, rgb)

def test_takeover_never_and_at_once():
    def flat(a, b): return Curve('cloud', (0, .5, 1), {'SAR only': np.full((3, 2, 50), a), 'optical only': np.full((3, 2, 50), b)})
    never, at_once = takeover(flat(1., 2.)), takeover(flat(2., 1.))
    assert never.crosses == 0 and 'nowhere' in str(never) and (at_once.at, at_once.low, at_once.high) == (0, 0, 0)

def test_answers_over_a_damage_by_command(tmp_path):
    "A model that gets worse comes down through the flat line of those who see nothing, where theory says; figure, table, faults"
    import csv
    from conftest import sartext
    from sartext.evaluate.answering import baselines, read_items
    from sartext.evaluate.observations import BLIND, evaluate_curve, takeover
    from sartext.records import Question, Record, rng_for, write_records
    def record(i):
        q = tuple(Question(f'Is there a {w} in the image?', 'yes' if rng_for(i, w).random() < p else 'no', 'object identification', f'Is there a [{w}] in the image?') for w, p in (('ship', .8), ('bridge', .3), ('harbor', .2), ('road', .6)))
        return Record(str(i), f'{i}.png', 9, 9, scene=f's{i//2}', questions=q)
    write_records(map(record, range(300)), tmp_path/'asked.jsonl'); items = read_items(tmp_path/'asked.jsonl')
    blind = baselines(items)['question only'].accuracy; assert 65 < blind < 80
    table = ['who,level,predictions']
    for level in (0, .2, .4, .6, .8, 1):        # right with probability 1 − level/2: as good as the blind where that is theirs
        with open(tmp_path/f'{level}.csv', 'w', newline='') as f:
            csv.writer(f).writerows([('image', 'question', 'predicted'), *((i.image, i.question, i.reference if rng_for(level, i.image, i.question).random() > level/2 else {'yes': 'no', 'no': 'yes'}[i.reference]) for i in items)])
        table.append(f'mine,{level},{level}.csv')
    (tmp_path/'points.csv').write_text('\n'.join(table[:1] + table[:0:-1]) + '\n')        # rows in another order
    args = ['evaluate', 'curve', '--points', 'points.csv', '--questions', 'asked.jsonl', '--what', 'cloud cover']
    r = sartext(*args, '--out', 'curve.png', cwd=tmp_path); assert r.returncode == 0, r.stderr
    assert 'question only is as good as mine: cloud cover 0.' in r.stdout and (tmp_path/'curve.png').read_bytes()[:4] == b'\x89PNG' and '150 scenes' in r.stdout
    found = evaluate_curve(tmp_path/'points.csv', tmp_path/'asked.jsonl', what='cloud cover')
    assert found.levels == (0, .2, .4, .6, .8, 1) and [*found.values] == ['mine', *BLIND] and found.values['mine'][0].mean() == 100
    assert np.ptp(found.values['question only'].mean((1, 2))) == 0 and found.values['question only'].mean() == pytest.approx(blind)
    when = takeover(found, 'question only', 'mine'); assert when.low < 2*(1 - blind/100) < when.high and when.high - when.low < .25
    lines = found.plot().get_lines(); assert [line.get_label() for line in lines] == ['mine', *BLIND] and np.ptp(lines[1].get_ydata()) < 1e-9
    (tmp_path/'points.csv').write_text('\n'.join([*table[:3], 'other,0,0.csv']) + '\n')
    r = sartext(*args, cwd=tmp_path); assert r.returncode == 1 and len(r.stderr.splitlines()) == 1 and "'other' has no answers at cloud cover 0.2; give them" in r.stderr
    (tmp_path/'points.csv').write_text('who,level,predictions\nmine,0,gone.csv\n'); r = sartext(*args, cwd=tmp_path); assert r.returncode == 1 and 'gone.csv' in r.stderr
    assert sartext(*args, '--out', 'curve.txt', cwd=tmp_path).returncode == 2
    for row, said in (('mine,0.0,1.csv', "'mine' has answers at 0.0 twice"), ('question only,0,1.csv', 'is the name of a baseline')):
        (tmp_path/'points.csv').write_text(f'who,level,predictions\nmine,0,0.csv\n{row}\n')
        r = sartext(*args, cwd=tmp_path); assert r.returncode == 1 and said in r.stderr and len(r.stderr.splitlines()) == 1

def test_a_curve_of_many_keeps_all_of_them():
    values = {f'w{k}': np.full((2, 1, 30), k) + np.arange(30) for k in range(7)}; assert len(Curve('x', (0, 1), values).plot().get_lines()) == 7

def test_one_scene_or_all_right_has_no_interval(tmp_path, capsys):
    "A curve of one image still has its numbers; a level 'nan' is a word; nobody is sure to the digit because all were right"
    from sartext.evaluate.observations import evaluate_curve
    from sartext.records import Question, Record, write_records
    def asked(n): return [Record(str(i), f'{i}.png', 9, 9, questions=tuple(Question(f'Is there a {w}?', 'yes' if i % 2 else 'no', 'object identification') for w in ('ship', 'road'))) for i in range(n)]
    for n in (1, 20): write_records(asked(n), tmp_path/f'{n}.jsonl')
    (tmp_path/'a.csv').write_text('image,question,predicted\n' + ''.join(f'{i}.png,Is there a {w}?,{"yes" if i % 2 else "no"}\n' for i in range(20) for w in ('ship', 'road')))
    (tmp_path/'p.csv').write_text('who,level,predictions\nme,0,a.csv\nme,nan,a.csv\n')
    found = evaluate_curve(tmp_path/'p.csv', tmp_path/'1.jsonl', tmp_path/'20.jsonl', problems=Problems('skip'))
    assert found.levels == ('0', 'nan') and '100.0 (no interval)' in capsys.readouterr().out and found.plot() is not None
    many = evaluate_curve(tmp_path/'p.csv', tmp_path/'20.jsonl'); assert many.table().rows[0][1] == '100.0 (no interval)' and '[' in many.table().rows[0][2]

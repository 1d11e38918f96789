"What 43_observations cannot test about itself: real SAR spoiled, fusion against brute force, faults, order of the scenes"
import numpy as np
import pytest
from conftest import real_data
from sartext.evaluate.observations import SLIPS, WAYS, Curve, degrade_sar, earlier, observe, slipped, takeover
from sartext.imagery.read import read_image
from sartext.imagery.speckle import estimate_enl
from sartext.records import Box

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

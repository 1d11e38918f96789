"What the tables say of arms whose truth is known"
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

def column(n=N): return {'seen plans': SimpleNamespace(pairs=range(n), scenes=lambda: [str(i) for i in range(n)], said=lambda: [])}
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

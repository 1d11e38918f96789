"What 35_encoders and the retrieval of files cannot test about themselves: foreign models through the real command, hostile and faulty files, other locales"
import json, os, pickle
from pathlib import Path
import numpy as np
import pytest
from conftest import nbs, read, sartext
from sartext.dataset.build import build
from sartext.evaluate.retrieval import read_embeddings, recall
from sartext.evaluate.scores import read_sheets
from sartext.narrate.annotation import narrate_all
from sartext.records import BadInput, Problems, read_records, write_records
from sartext.simulate import write_world
from sartext.train import embed_split, evaluate_dir
torch = pytest.importorskip('torch')

@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "A data set in a folder with a blank in its name"
    top = tmp_path_factory.mktemp('a world'); drawn = write_world(top/'world', 40, seed=5, size=64)
    write_records(narrate_all(read_records(drawn)), top/'records.jsonl'); build(top/'records.jsonl', top/'data', images=drawn.parent)
    return top/'data'

@pytest.fixture(scope='module')
def foreign(tmp_path_factory):
    "A tiny CLIP and a tiny SigLIP as transformers saves them: the makers are those of the notebook"
    cells = [c.source for c in read(nbs/'35_encoders.ipynb').cells if c.cell_type == 'code']
    known = {'torch': torch, 'Path': Path, 'tempfile': __import__('tempfile')}
    exec(next(c for c in cells if c.startswith('from tokenizers')), known)
    exec(next(c for c in cells if 'def tiny(' in c).split('\nfor kind')[0], known)
    top = tmp_path_factory.mktemp('models of others')
    return {kind: known['tiny'](top/f'my {kind}', kind) for kind in ('clip', 'siglip', 'naflex')}

@pytest.mark.parametrize('kind', ['clip', 'siglip', 'naflex'])
def test_foreign_models_are_asked_as_they_ask_themselves(built, foreign, kind, tmp_path):
    "Recall from the command equals recall from transformers' own forward pass over the same images and texts; no network is asked"
    from PIL import Image
    from transformers import AutoModel, AutoProcessor
    args = ['evaluate', 'retrieval', '--data', built, '--model', foreign[kind], '--split', 'train', '--out', tmp_path/'s.json']
    r = sartext(*args, env={'HF_HUB_OFFLINE': None, 'HF_ENDPOINT': 'http://256.0.0.1', 'LC_ALL': 'tr_TR.UTF-8' if kind == 'clip' else 'C'}); assert r.returncode == 0, r.stderr
    sheet = read_sheets(tmp_path/'s.json')[0]; records, said, _ = embed_split(built, 'train', 'sar')
    model, processor = AutoModel.from_pretrained(foreign[kind]).eval(), AutoProcessor.from_pretrained(foreign[kind])
    seen = [Image.open(built/x.image).convert('RGB') for x in records]
    with torch.inference_mode():
        out = model(**processor(text=[c.text for c in said], images=seen, padding='max_length', truncation=True, max_length=12, return_tensors='pt'))
    from sartext.models.encoders import encoder
    ours = encoder(foreign[kind])
    for rows, given in ((out.image_embeds, ours.images(seen)), (out.text_embeds, ours.texts([c.text for c in said]))):
        np.testing.assert_allclose(given, torch.nn.functional.normalize(rows, dim=-1).numpy(), atol=1e-5)
    want = recall(out.image_embeds.numpy(), out.text_embeds.numpy(), tolerance=1e-6)
    assert sheet.n == len(records) >= 10 and sheet.model == f'my {kind}' and len(sheet.made['weights']) == 8
    assert sheet.scores['mean recall'].value == pytest.approx(want.mean_recall, abs=100/len(records)) and 'random order' in sheet.baselines

def embeddings(built, path, **more):
    records, said, _ = embed_split(built, 'train', 'sar'); rng = np.random.default_rng(0); n = len(records)
    rows = dict(image_ids=[x.id for x in records], texts=[c.text for c in said], image_embeddings=rng.normal(size=(n, 4)))
    first = {t: i for i, t in reversed([*enumerate(rows['texts'])])}; told = rng.normal(size=(n, 4))
    rows['text_embeddings'] = told[[first[t] for t in rows['texts']]]
    np.savez(path, **{k: v for k, v in (rows | more).items() if v is not None}); return path, rows

def test_a_file_of_embeddings_by_command(built, tmp_path):
    "What it lacks stops the command, or is left out and told; what it has beyond the split is told; a constant model scores chance"
    path, rows = embeddings(built, tmp_path/'e é.npz'); args = ['evaluate', 'retrieval', '--data', built, '--split', 'train', '--predictions', path]
    r = sartext(*args, '--out', tmp_path/'s.json', '--name', 'theirs', env={'LC_ALL': 'C'}); assert r.returncode == 0, r.stderr
    sheet = read_sheets(tmp_path/'s.json')[0]; n = len(rows['image_ids'])
    assert sheet.model == 'theirs' and sheet.n == n and sheet.scores['mean recall'].value == pytest.approx(recall(rows['image_embeddings'], rows['text_embeddings']).mean_recall)
    embeddings(built, path, image_ids=['other', *rows['image_ids'][1:]])
    r = sartext(*args); assert r.returncode == 1 and len(r.stderr.splitlines()) == 1 and f"image '{rows['image_ids'][0]}': has no row; embed it" in r.stderr
    with pytest.raises(BadInput, match='knows no image and caption'): evaluate_dir(built, predictions=path, split='test', problems=Problems('skip'))
    problems = Problems('skip'); less = evaluate_dir(built, predictions=path, split='train', problems=problems)[0]
    assert less.n == n - 1 and less.alike != sheet.alike and len(problems) == 1 and '1 other images left aside' in problems.notes[0] and less.made['left out']
    embeddings(built, path, image_embeddings=np.ones((n, 3)), text_embeddings=np.ones((n, 3)))
    flat = evaluate_dir(built, predictions=path, split='train')[0]; assert flat.scores['mean recall'].value == pytest.approx(flat.baselines['random order']['mean recall'].value)
    assert sartext(*args, '--model', 'packaged').returncode == 2 and sartext(*args[:-2]).returncode == 2

FAULTS = {'nan': (dict(image_embeddings=np.full((9, 4), np.nan)), 'row 0: not finite'), 'zero': (dict(image_embeddings=np.zeros((9, 4))), 'all zeros'),
          'short': (dict(image_ids=['a']), 'image_ids for'), 'twice': (dict(image_ids=['a']*9), "image 'a' is there twice"), 'none': (dict(texts=None), 'has no texts'),
          'shape': (dict(image_embeddings=np.ones((9, 5))), 'dimensions'), 'object': (dict(texts=np.array([{}]*9, object)), 'pickled objects'), 'texts': (dict(texts=np.ones(9)), 'no list of texts')}

@pytest.mark.parametrize('what', FAULTS)
def test_faulty_files_are_one_sentence(what, tmp_path):
    more, says = FAULTS[what]; rng = np.random.default_rng(0)
    rows = dict(image_ids=[*'abcdefghi'], texts=[*'jklmnopqr'], image_embeddings=rng.normal(size=(9, 4)), text_embeddings=rng.normal(size=(9, 4))) | more
    np.savez(tmp_path/'e.npz', **{k: v for k, v in rows.items() if v is not None})
    with pytest.raises(BadInput, match=says) as e: read_embeddings(tmp_path/'e.npz')
    assert '\n' not in str(e.value)

class Evil:
    def __reduce__(self): return os.mkdir, ('run',)

def test_no_pickle_is_run(foreign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/'e.npz').write_bytes(pickle.dumps(Evil())); np.savez(tmp_path/'o.npz', image_ids=np.array([Evil()], object))
    (tmp_path/'old').mkdir(); torch.save({'x': torch.ones(1)}, tmp_path/'old'/'pytorch_model.bin'); (tmp_path/'old'/'pytorch_model.bin').write_bytes(pickle.dumps(Evil()))
    (tmp_path/'old'/'config.json').write_text((foreign['clip']/'config.json').read_text())
    for name in ('e.npz', 'o.npz'):
        with pytest.raises(BadInput): read_embeddings(tmp_path/name)
    from sartext.models.encoders import encoder
    with pytest.raises(BadInput, match='as a pickle'): encoder(tmp_path/'old')
    config = json.loads((foreign['clip']/'config.json').read_text()) | {'auto_map': {'AutoModel': 'mine.Mine'}, 'model_type': 'mine'}
    (tmp_path/'code').mkdir(); (tmp_path/'code'/'config.json').write_text(json.dumps(config)); (tmp_path/'code'/'mine.py').write_text('import os; os.mkdir("run")')
    (tmp_path/'code'/'model.safetensors').write_bytes((foreign['clip']/'model.safetensors').read_bytes())
    with pytest.raises(BadInput, match='cannot be loaded') as e: encoder(tmp_path/'code')
    assert '\n' not in str(e.value) and not (tmp_path/'run').exists()

def test_a_diverged_model_is_one_sentence(built, monkeypatch):
    from sartext import train
    from sartext.models.encoders import Encoder
    nan = Encoder('mine', 'x', lambda g: np.full((len(list(g)), 4), np.nan), lambda t: np.ones((len(t), 4)))
    monkeypatch.setattr(train, 'encoder_of', lambda model: nan)
    with pytest.raises(BadInput, match='model: image_embeddings, row 0: not finite.*training loss'): evaluate_dir(built, 'model', split='train')

@pytest.mark.parametrize('kind', ['packaged', 'clip'])
def test_a_damaged_image_is_named(built, foreign, kind, tmp_path):
    "By its file; else by its place among all, not in its batch; in a data set by the data set and its name there, in training too"
    import shutil
    from sartext.models import starts
    from sartext.models.encoders import encoder
    from sartext.train import read_pairs
    by, whole = encoder(foreign[kind] if kind == 'clip' else kind), np.full((9, 9), 80, np.uint8)
    (tmp_path/'bad.png').write_bytes(b'\x89PNG\r\n')
    with pytest.raises(BadInput, match='bad.png: cannot be read'): by.images([whole, tmp_path/'bad.png'])
    with pytest.raises(BadInput, match='image 66, counted from 0: cannot be read'): by.images([whole]*66 + [b'x', whole])
    shutil.copytree(built, tmp_path/'data'); lost = embed_split(built, 'train', 'sar')[0][3].image
    (tmp_path/'data'/lost).write_bytes((tmp_path/'data'/lost).read_bytes()[:60])
    for use in (lambda: embed_split(tmp_path/'data', 'train', 'sar', by), lambda: read_pairs(tmp_path/'data', 'train', 'sar', starts.Preprocess(32))):
        with pytest.raises(BadInput, match=f'data: {lost}: is damaged') as e: use()
        assert len(str(e.value).splitlines()) == 1

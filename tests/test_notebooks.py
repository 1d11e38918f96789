"Every notebook runs top to bottom in a fresh kernel and says again what it said when it was committed"
import io, json, os, re
from base64 import b64decode
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from multiprocessing import get_context
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from conftest import name_of, nbs, notebooks, read, root, sartext
from sartext.reproduce import STEPS, run_notebook, skipped

EXPERIMENTS = [p for p in notebooks() if 'experiments' in p.parts]
OTHERS = [p for p in notebooks() if p not in EXPERIMENTS]
# Every cell that is not run by machines: (notebook, its first line) → reason. None may be in tutorials or experiments.
SKIPPED: dict[tuple[str, str], str] = {}
# Cells whose decimals differ from machine to machine, since a trained model's sums of floats depend on processor and
# threads: (notebook, text in its source) → how far a number may move, here about two images of the few that are tested
VARIES: dict[tuple[str, str], float] = {
    ('45_train.ipynb', 'evaluate_dir(small'): 40., ('45_train.ipynb', "_sheets('drawn'"): 5.,
    ('45_train.ipynb', 'runs_table(folder'): .5,
    ('46_compare.ipynb', 'compare_table(results, tests)'): 25.,
    ('46_compare.ipynb', 'difference_table(results, tests)'): 25.,
    ('07_train_clip.ipynb', 'plot_bars(results'): 10., ('07_train_clip.ipynb', 'plot_bars(table'): 15.,
    ('08_train_coca.ipynb', 'plot_bars(f1'): 15., ('09_chat.ipynb', 'plot_bars('): 15.}
# Likewise figures that show what a training gave: their pixels may differ by so much in the mean, of 255. With two threads
# instead of one, the curve of tutorial 7 differs by 1.7, its bars by 0.3 and 5.5, the pictures its model finds by 18; its
# numbers by 0.8 and 10
FIGURES_VARY: dict[tuple[str, str], float] = {
    ('07_train_clip.ipynb', 'display_id=True'): 6., ('07_train_clip.ipynb', 'plot_bars(results'): 6.,
    ('07_train_clip.ipynb', 'fig.suptitle(query'): 40., ('07_train_clip.ipynb', 'plot_bars(table'): 15.,
    ('08_train_coca.ipynb', 'ax.plot(lost'): 6., ('08_train_coca.ipynb', "'102 steps': late[i]"): 15.,
    ('08_train_coca.ipynb', 'plot_bars(different'): 15., ('08_train_coca.ipynb', 'plot_bars(f1'): 10.,
    ('32_coca.ipynb', 'words_lost = '): 6., ('33_gpt.ipynb', "stages = [Stage('optical'"): 6., ('45_train.ipynb', 'plot_history(folder'): 6.,
    ('46_compare.ipynb', 'plot_arms(results, tests)'): 10.,
    ('09_chat.ipynb', "h['loss'] for h in history]"): 6., ('09_chat.ipynb', 'plot_bars('): 10., ('09_chat.ipynb', 'Chat(model'): 10.}
DECIMAL = re.compile(r'[-+]?\d+(?:\.\d+|(?= %))')
FIGURE_SLACK = 4    # pixels a figure may be larger or smaller: the inline backend cuts it to its content
# How far pixels may differ, of 255. At the same size: in the mean of the worst field of 32 by 32, for a word that changed is little
# of a page; speckle with the last grey off everywhere has 0.8 there. After scaling to the same size: in the mean of the
# whole; speckle scaled by two pixels has 4, a picture mirrored 7 to 67
FIELD, FIELD_SLACK, SCALED_SLACK = 32, 4., 5.

def first_line(cell): return next(l for l in cell.source.splitlines() if l.strip() and not l.startswith('#|'))

def test_skipped_cells_are_listed():
    found = {(p.relative_to(nbs).as_posix(), first_line(c)) for p in notebooks() for c in read(p).cells
             if c.cell_type == 'code' and skipped(c.source)}
    assert found == set(SKIPPED), 'list every skipped cell with its reason in SKIPPED'
    assert not [nb for nb, _ in found if nb.startswith(('tutorials/', 'experiments/'))], 'tutorials and experiments run whole'

@pytest.fixture(scope='module')
def executed(request, tmp_path_factory):
    "Futures of the chosen notebooks, two running at a time: most of them leave the second core idle"
    out = tmp_path_factory.mktemp('executed')
    os.environ['OMP_NUM_THREADS'] = '1'     # two run side by side: threads beyond the cores only wait for each other
    chosen = {i.callspec.params['path'] for i in request.session.items if i.function is test_notebook}
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), mp_context=get_context('spawn')) as pool:
        yield {p: pool.submit(run_notebook, p, out/p.relative_to(nbs), timeout=600, progress=False) for p in OTHERS if p in chosen}
        pool.shutdown(cancel_futures=True)
    del os.environ['OMP_NUM_THREADS']

def shown(cell):
    "What a code cell shows: its text as one, and its figures"
    text, figures = [], []
    for o in cell.get('outputs', []):
        if o.get('name') == 'stderr': continue
        data = o.get('data', {})
        if any('widget' in kind for kind in data): continue        # progress bars, shown when a person watches
        if 'image/png' in data: figures.append(Image.open(io.BytesIO(b64decode(data['image/png']))).convert('RGB'))
        else: text.append(''.join(o.get('text') or data.get('text/plain') or ''))
    return re.sub(r' at 0x[0-9a-f]+', '', ''.join(text)).strip(), figures

def slack_of(nb, cell, varies=VARIES):
    return next((v for (n, text), v in varies.items() if Path(nb).name == n and text in cell.source), 0.)

def alike(was, now, slack):
    "The same text; decimals may be `slack` apart"
    return was == now or DECIMAL.sub('#', was) == DECIMAL.sub('#', now) and all(
        abs(float(a) - float(b)) <= slack for a, b in zip(DECIMAL.findall(was), DECIMAL.findall(now)))

def test_alike():
    assert alike('mean 20.0 | 77 % of 5', 'mean 40.0 | 70 % of 5', 40) and not alike('mean 20.0', 'mean 70.0', 40)
    assert not alike('5 images, 20.0', '6 images, 20.0', 40) and not alike('+2.0 (wins)', '+2.0 (level)', 40)
    assert not alike('-2.0', '-2.1', 0.) and not alike('1.0 2.0', '1.0', 40)

def apart(was, now):
    "(of the whole, of the worst field) mean difference of the pixels of two figures; the second is scaled to the size of the first"
    a, b = (np.asarray(f, np.int16) for f in (was, now.resize(was.size, Image.Resampling.BILINEAR)))
    d = np.abs(a - b).mean(-1); (h, w), n = d.shape, FIELD
    return float(d.mean()), max(float(d[y:y + n, x:x + n].mean()) for y in range(0, h, n) for x in range(0, w, n))

def differs(was, now, slack=0.):
    "Why figure `now` is not alike to `was`, '' if it is; with `slack` only the mean of the whole is held against that"
    if any(abs(a - b) > FIGURE_SLACK for a, b in zip(was.size, now.size)): return f'its size {was.size} is now {now.size}'
    whole, worst = apart(was, now)
    if slack or was.size != now.size: return f'it is {whole:.1f} apart, more than {most}' if whole > (most := max(slack, SCALED_SLACK)) else ''
    return f'a field of it is {worst:.1f} apart, more than {FIELD_SLACK}' if worst > FIELD_SLACK else ''

def test_figures_alike():
    first, *_ = (f for c in read(nbs/'tutorials'/'01_see_a_sar_picture.ipynb').cells if c.cell_type == 'code' for f in shown(c)[1])
    pixels = np.asarray(first, int); noise = np.random.default_rng(0).integers(-1, 2, pixels.shape)
    def picture(a): return Image.fromarray(np.uint8(a.clip(0, 255)))
    assert not differs(first, first) and not differs(first, picture(pixels + noise))          # the last grey: another machine
    assert not differs(first, first.resize((first.width + 2, first.height)))
    mutated = {'mirrored': pixels[:, ::-1], 'darker by 3 %': pixels*.97, 'one pixel aside': np.roll(pixels, 1, 1), 'white': pixels*0 + 255}
    assert [name for name, a in mutated.items() if not differs(first, picture(a))] == []
    assert 'size' in differs(first, first.resize((first.width + 5, first.height)))
    half = pixels.copy(); half[:, :first.width//2] = half[:, :first.width//2][::-1]           # one of two panels on its head
    assert differs(first, picture(half)) and not differs(first, picture(half), slack=255.)
    word = pixels.copy(); word[-40:-24, 300:340] = word[-40:-24, 340:380]                     # another word in its caption
    assert differs(first, picture(word)) and apart(first, picture(word))[0] < .5

def test_varying_cells_exist():
    cells = {(p.name, c.source) for p in OTHERS for c in read(p).cells}
    assert [k for k in {*VARIES, *FIGURES_VARY} if not any(k[0] == name and k[1] in source for name, source in cells)] == []

@pytest.mark.parametrize('path', OTHERS, ids=name_of)
def test_notebook(path, executed):
    name, bad = path.relative_to(nbs).as_posix(), []
    again = [c for c in read(executed[path].result()).cells if 'injected-parameters' not in c.metadata.get('tags', [])]
    for i, (old, new) in enumerate(zip(read(path).cells, again, strict=True)):
        if old.cell_type != 'code' or skipped(old.source): continue
        (was, figures), (now, figures_now) = shown(old), shown(new)
        if not alike(was, now, slack_of(name, old)): bad.append(f'cell {i} ({first_line(old)[:60]}):\n--- committed\n{was[:800]}\n--- now\n{now[:800]}')
        if len(figures) != len(figures_now): bad.append(f'cell {i}: {len(figures)} figures are now {len(figures_now)}')
        for k, (f, g) in enumerate(zip(figures, figures_now)):
            if why := differs(f, g, slack_of(name, old, FIGURES_VARY)): bad.append(f'cell {i}, figure {k}: {why}')
    assert not bad, f'{name} says something else now; run it again and commit it\n' + '\n'.join(bad)

# What a student may well answer, and a word of what the checker must say to it: tutorial → for each exercise
WRONG = {
    '01': [{'10**(16.4/20)': 'too small', '"44 times"': 'is a number'},
           {'14*1.5*np.tan(np.radians(35))': 'the shadow of', '14*1.5/np.tan(35)': 'the shadow of', '"30 m"': 'is a number'}],
    '02': [{'"Six ships."': 'no place of a harbor', '"Five ships. One harbor is in the upper right."': 'count: ship 5', '6': 'a text in quotes',
            '"There are six ships. The two harbors are at the top left and the top right."': 'harbor top left',
            '"Six white ships. One harbor is in the upper right, the other on the left."': 'cannot see “white”',
            '"Six ships and two harbors. One harbor is in the upper right."': 'of one harbor only',
            '"Six ships. One of the harbors is in the upper right."': 'of one harbor only',
            '"Six ships. There is only one harbor, in the upper right."': 'count: harbor 1',
            '"Six ships. One harbor lies in the upper right and on the left side."': 'count: harbor 1',
            '"Six ships and three harbors. One harbor is in the upper right, the other on the left."': 'count: harbor 3',
            '"Six ships in the upper right, one harbor on the right, one on the left."': 'ship top right',
            '"Six ships. One harbor is in the upper right, the other in the lower left."': 'harbor bottom left'}],
    '03': [{'100*(mask == CODE["water"]).mean()': 'too large', '(mask != CODE["water"]).mean()': 'a share', 'mask != CODE["water"]': 'one number'}],
    '04': [{"'no'": 'a function', "lambda question: 'no'": 'right for', 'lambda question: print(end="")': 'gives nothing back'}],
    '05': [{'"Five white boats and two bridges."': 'white', '"Five boats sail below two bridges."': 'boats sail', '"Boats and two bridges."': 'both counts',
            '"Five ships near two bridges."': 'relation', '"Four boats and two bridges."': 'count ship 4', '5': 'a text in quotes'}],
    '06': [{"{'a1': 'train'}": 'these six', "dict.fromkeys(tied, 'train')": 'each part', "{**dict.fromkeys(tied, 'train'), 'e': 'test'}": 'belong together',
            "{**dict.fromkeys(tied, 'train'), 'd': 'val'}": 'only train and test', "['a1', 'a2']": 'a dictionary'}],
    '07': [{'10/len(test)': 'a share', '10': 'too small', '20': 'too large', '"16 %"': 'is a number'}],
    '08': [{'.6': 'a share', '100*(3/4 + 3/6)/2': 'too large', '[75, 50]': 'one number'}],
    '09': [{"'A'": 'did not look', "'both'": 'A or B', '2': 'a text in quotes'}],
    '10': [{'100*6/120': 'too small', 'wilson(6, 120)[1]': 'a share', 'wilson(6, 120)': 'one number', '100*wilson(6, 120)[0]': 'too small'}],
}

# Right answers that are not the folded solution: tutorial → for each exercise
RIGHT = {
    '01': [['40', '10**1.6', '"43.3"'], ['30', '21/np.tan(35*np.pi/180)']],
    '02': [['"I see six ships. One harbour lies in the upper right and the other harbour lies on the left side."',
            '"Six ships are visible. One of the harbors is in the upper right, the other one is in the middle left."',
            '"There are six ships; the first harbor is in the top right, the second is on the left."',
            '"Six ships, a harbor in the top right and a harbor on the middle left."',
            '"Six ships, one harbor in the upper right, one harbor at the left."',
            '"Six ships lie below two harbors, one at the upper right and the other at the left."',
            '"There are six ships. The two harbors are at the top right and the left."',
            '"6 ships. Both harbors are in the upper half."']],
    '04': [["lambda question: '1' if question.startswith(('How many', 'Count')) else 'No'"]],
    '08': [['60', '100*2*3/(4 + 6)']],
    '09': [["'b'", "'Model B.'"]],
}

@pytest.mark.parametrize('path', [p for p in OTHERS if 'tutorials' in p.parts], ids=name_of)
def test_solutions(path, tmp_path):
    "An exercise that nobody solved says so, in its place its folded solution and others are right, and a wrong answer is told what is wrong"
    nb, exercise, solved = read(path), None, []
    for i, c in enumerate(nb.cells):
        if c.cell_type == 'code' and re.search(r'^\w+ = \.\.\.$', c.source, flags=re.M): exercise = i
        solution = c.cell_type == 'markdown' and re.search(r'<details>.*?```python\n(.*?)```', c.source, flags=re.S)
        if not solution: continue
        assert shown(nb.cells[exercise])[0].startswith('Not solved yet')
        solved.append(exercise); exercise = None
        nb.cells[solved[-1]].solution = solution[1].strip()
    wrong = WRONG[path.name[:2]]
    assert len(solved) == len(wrong) > 0 and exercise is None, f'{path.name} has no exercise, or one without a solution or without wrong answers'
    cells, tried = [], []       # (number of the new cell, what it must say)
    for i, c in enumerate(nb.cells):
        if i not in solved: cells.append(c); continue
        k, solution = solved.index(i), c.pop('solution')
        right = (*RIGHT.get(path.name[:2], [()]*len(wrong))[k], solution)
        for answer, words in {**wrong[k], **dict.fromkeys(right, 'Right.')}.items():
            tried.append((len(cells), words)); cells.append(deepcopy(c))
            cells[-1].id, given = f'tried-{len(tried)}', re.search(r'^(\w+) = \.\.\.$', c.source, flags=re.M)
            cells[-1].source = c.source.replace(given[0], answer if answer == solution else f'{given[1]} = {answer}')
    nb.cells = cells; (tmp_path/path.name).write_text(json.dumps(nb))
    again = read(run_notebook(tmp_path/path.name, tmp_path/'solved.ipynb', timeout=600, progress=False))
    for i, words in tried:
        said = shown(again.cells[i])[0]
        assert said == 'Right.' if words == 'Right.' else said.startswith('Not yet: ') and words in said, f'{again.cells[i].source[:200]}\n→ {said}'

def test_own_pictures_of_tutorial_7(tmp_path, capsys):
    "A damaged file among a student's own is a sentence; the others are searched"
    import matplotlib; matplotlib.use('agg')
    import matplotlib.pyplot as plt
    from types import SimpleNamespace as Fake
    from sartext.imagery.read import display_image
    from sartext.records import BadInput
    cell = next(c.source for c in read(nbs/'tutorials'/'07_train_clip.ipynb').cells if 'Path(own_images)' in c.source)
    grey = np.random.default_rng(0).integers(0, 256, (64, 64), 'uint8')
    for name in ('a', 'b', 'c'): Image.fromarray(grey).save(tmp_path/f'{name}.png')
    def look(*left):
        for p in tmp_path.iterdir():
            if p.stem not in left: p.write_bytes(p.read_bytes()[:1500])
        exec(cell, dict(own_images=str(tmp_path), own_query='ships', Path=Path, display_image=display_image, BadInput=BadInput,
                        plt=plt, trained=Fake(preprocess=None), ranked=lambda model, query, pixels: range(len(pixels)),
                        to_pixels=lambda a, _: [Fake(permute=lambda *_, x=x: x) for x in a]))
        titles = [plt.figure(i).axes[0].get_title() for i in plt.get_fignums()]; plt.close('all')
        return titles, capsys.readouterr().out
    titles, said = look('a', 'c')
    assert titles == ['a.png', 'c.png'] and said.startswith('Refused: ') and 'b.png: damaged' in said and said.count('\n') == 1
    titles, said = look()
    assert titles == [] and said.count('Refused: ') == 3

@pytest.fixture(scope='module')
def smoke(tmp_path_factory):
    "One run of the whole at the smallest size"
    out = tmp_path_factory.mktemp('runs')/'smoke'
    return out, sartext('reproduce', '--profile', 'smoke', '--out', out, timeout=1200)

def test_reproduce_smoke(smoke):
    out, ran = smoke
    assert ran.returncode == 0, ran.stdout + ran.stderr
    page, text = (out/'report.html').read_text(), (out/'report.md').read_text()
    assert '<script' not in page and 'src="http' not in page and 'data:image/png' in page
    assert all(word in text for word in ('Retrieval', 'Versions', 'Time of each step', '](pieces/')), text[:2000]
    assert str(root) not in page and str(out) not in page, 'the report names this machine'
    assert {p.stem for p in (out/'notebooks').glob('*.ipynb')} == set(STEPS)

def test_reproduce_again_runs_nothing(smoke):
    out, _ = smoke
    before = (out/'steps.json').read_bytes()
    again = sartext('reproduce', '--profile', 'smoke', '--out', out)
    assert again.returncode == 0 and again.stdout.count('nothing changed, kept') == len(STEPS), again.stdout + again.stderr
    assert (out/'steps.json').read_bytes() == before

@pytest.mark.parametrize('name', [re.sub(r'^\d+_', '', p.stem) for p in EXPERIMENTS if p.stem not in STEPS])
def test_experiment_smoke(name, tmp_path):
    ran = sartext('experiments', name, '--profile', 'smoke', '--out', tmp_path/'runs', '--results', tmp_path/'results', timeout=1200)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = json.loads((tmp_path/'results'/f'{name}.json').read_text())
    assert table['tables'] and {'numbers', 'commit', 'machine', 'command', 'versions', 'seconds'} <= set(table)

def test_every_experiment_takes_the_same_parameters():
    import papermill as pm
    for p in EXPERIMENTS: assert set(pm.inspect_notebook(p)) == {'profile', 'out', 'images', 'annotations', 'seed'}, p.name

"Every notebook runs top to bottom in a fresh kernel and says again what it said when it was committed"
import json, os, re, struct
from base64 import b64decode
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import pytest
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
    ('46_compare.ipynb', 'difference_table(results, tests)'): 25.}
DECIMAL = re.compile(r'[-+]?\d+(?:\.\d+|(?= %))')
FIGURE_SLACK = 4    # pixels a figure may be larger or smaller: the inline backend cuts it to its content

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
    "What a code cell shows: its text as one, its figures as sizes"
    text, figures = [], []
    for o in cell.get('outputs', []):
        if o.get('name') == 'stderr': continue
        data = o.get('data', {})
        if any('widget' in kind for kind in data): continue        # progress bars, shown when a person watches
        if 'image/png' in data: figures.append(struct.unpack('>II', b64decode(data['image/png'])[16:24]))
        else: text.append(''.join(o.get('text') or data.get('text/plain') or ''))
    return re.sub(r' at 0x[0-9a-f]+', '', ''.join(text)).strip(), figures

def slack_of(nb, cell): return next((v for (n, text), v in VARIES.items() if nb == n and text in cell.source), 0.)

def alike(was, now, slack):
    "The same text; decimals may be `slack` apart"
    return was == now or DECIMAL.sub('#', was) == DECIMAL.sub('#', now) and all(
        abs(float(a) - float(b)) <= slack for a, b in zip(DECIMAL.findall(was), DECIMAL.findall(now)))

def test_alike():
    assert alike('mean 20.0 | 77 % of 5', 'mean 40.0 | 70 % of 5', 40) and not alike('mean 20.0', 'mean 70.0', 40)
    assert not alike('5 images, 20.0', '6 images, 20.0', 40) and not alike('+2.0 (wins)', '+2.0 (level)', 40)
    assert not alike('-2.0', '-2.1', 0.) and not alike('1.0 2.0', '1.0', 40)

def test_varying_cells_exist():
    cells = {(p.name, c.source) for p in OTHERS for c in read(p).cells}
    assert [k for k in VARIES if not any(k[0] == name and k[1] in source for name, source in cells)] == []

@pytest.mark.parametrize('path', OTHERS, ids=name_of)
def test_notebook(path, executed):
    name, bad = path.relative_to(nbs).as_posix(), []
    again = [c for c in read(executed[path].result()).cells if 'injected-parameters' not in c.metadata.get('tags', [])]
    for i, (old, new) in enumerate(zip(read(path).cells, again, strict=True)):
        if old.cell_type != 'code' or skipped(old.source): continue
        (was, figures), (now, figures_now) = shown(old), shown(new)
        if not alike(was, now, slack_of(name, old)): bad.append(f'cell {i} ({first_line(old)[:60]}):\n--- committed\n{was[:800]}\n--- now\n{now[:800]}')
        near = len(figures) == len(figures_now) and all(abs(a - b) <= FIGURE_SLACK for f, g in zip(figures, figures_now)
                                                        for a, b in zip(f, g))
        if not near: bad.append(f'cell {i}: figures {figures} are now {figures_now}')
    assert not bad, f'{name} says something else now; run it again and commit it\n' + '\n'.join(bad)

@pytest.mark.parametrize('path', [p for p in OTHERS if 'tutorials' in p.parts], ids=name_of)
def test_solutions(path, tmp_path):
    "An exercise that nobody solved says so; with its folded solution in its place it is right"
    nb, exercise, solved = read(path), None, []
    for i, c in enumerate(nb.cells):
        if c.cell_type == 'code' and re.search(r'^\w+ = \.\.\.$', c.source, flags=re.M): exercise = i
        solution = c.cell_type == 'markdown' and re.search(r'<details>.*?```python\n(.*?)```', c.source, flags=re.S)
        if not solution: continue
        assert shown(nb.cells[exercise])[0].startswith('Not solved yet')
        source = re.sub(r'^\w+ = \.\.\.$', lambda _: solution[1], nb.cells[exercise].source, flags=re.M)
        nb.cells[exercise].source = source; solved.append(exercise); exercise = None
    assert solved and exercise is None, f'{path.name} has no exercise, or one without a solution'
    (tmp_path/path.name).write_text(json.dumps(nb))
    again = read(run_notebook(tmp_path/path.name, tmp_path/'solved.ipynb', timeout=600, progress=False))
    assert [shown(again.cells[i])[0] for i in solved] == ['Right.']*len(solved)

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

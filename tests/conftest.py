"What several tests share: the notebooks, the real command, the real data where there is any"
import os, re, shutil, subprocess, sys
from pathlib import Path
import nbformat, pytest

root = Path(__file__).parent.parent
lib, nbs = root/'sartext', root/'nbs'
os.environ.setdefault('OMP_NUM_THREADS', '1')     # two notebooks run side by side on two cores

def notebooks() -> list[Path]:
    "Every notebook of the project, in reading order"
    return sorted(p for p in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)

def name_of(path) -> str: return path.relative_to(root).as_posix()
def read(path): return nbformat.read(path, 4)
def directives(cell) -> set[str]: return set(re.findall(r'^#\s*\|\s*([\w-]+)', cell.source, flags=re.M))

def modules() -> dict[str, Path]:
    "Module (dotted, below the library) → the notebook it is exported from"
    res = {}
    for p in notebooks():
        m = re.search(r'^#\s*\|\s*default_exp\s+(\S+)', '\n'.join(c.source for c in read(p).cells), flags=re.M)
        if m: res[m[1]] = p
    return res

def sartext(*args, cwd=None, env=None, timeout=600) -> subprocess.CompletedProcess:
    "Run the real command; `env` on top of this one, a value of None takes a variable away"
    full = {k: v for k, v in {**os.environ, **(env or {})}.items() if v is not None}
    return subprocess.run([Path(sys.executable).parent/'sartext', *map(str, args)], cwd=cwd, env=full, timeout=timeout,
                          capture_output=True, text=True)

def real_data() -> Path:
    "The folder with real SAR data"
    d = Path(os.environ.get('SARTEXT_DATA', root.parent/'shared'/'data'))
    if not d.is_dir(): pytest.skip('no real SAR data: set SARTEXT_DATA to its folder')
    return d

@pytest.fixture(scope='session')
def data() -> Path: return real_data()

def chromium() -> str | None:
    "The browser to drive: Chrome first, as the chromium of Ubuntu is a snap, which does not see /tmp"
    return next(filter(None, map(shutil.which, ('google-chrome', 'chromium', 'chromium-browser'))), None)

@pytest.fixture(scope='module')
def browser():
    "A real browser, without its window"
    pw = pytest.importorskip('playwright.sync_api')
    if not chromium(): pytest.skip('no chromium')
    with pw.sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium(), args=['--no-sandbox']); yield b; b.close()

def barriers(page, context=None, rules={}):
    "What keeps people from reading or working a page, by axe-core: contrast, names, roles, keys; a line each"
    Axe = pytest.importorskip('axe_playwright_python.sync_playwright').Axe
    found = Axe().run(page, context, {'rules': {name: {'enabled': False} for name in rules}}).response
    assert any(o['id'] == 'color-contrast' for o in found['passes'] + found['violations']), 'axe saw no text'
    return [f"{o['id']}: {n['html'][:150]} {n['failureSummary'][:300]}" for o in found['violations'] for n in o['nodes']]

@pytest.fixture
def power_cut(monkeypatch):
    "A function that trains as `train.train` does and is cut off in the fourth step, or another, once its loss is known"
    from sartext import train
    def run(*args, step=4, **how):
        real, calls = train._check_finite, []
        def cut(*a): calls.append(a); real(*a); assert len(calls) < step, 'power cut'
        with monkeypatch.context() as m:
            m.setattr(train, '_check_finite', cut)
            with pytest.raises(AssertionError, match='power cut'): train.train(*args, **how)
    return run

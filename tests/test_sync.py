"The library and the README are exactly what the notebooks say, and the notebooks are clean"
import os, shutil, subprocess, sys, zipfile
from pathlib import Path
import pytest
from conftest import lib, name_of, nbs, notebooks, root

def run(cmd, cwd): subprocess.run([Path(sys.executable).parent/cmd], cwd=cwd, check=True)

@pytest.fixture(scope='module')
def fresh(tmp_path_factory):
    "A copy of the project whose library was exported from nothing, and whose notebooks were cleaned"
    d = tmp_path_factory.mktemp('fresh')
    shutil.copy(root/'settings.ini', d); shutil.copytree(nbs, d/'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints'))
    run('nbdev_export', d); run('nbdev_clean', d)
    return d

def test_library_matches_notebooks(fresh):
    def files(d): return {p.relative_to(d).as_posix(): p.read_bytes() for p in (d/lib.name).rglob('*')
                          if p.is_file() and p.suffix != '.pyc'}
    want, have = files(fresh), files(root)
    assert set(have) == set(want), f"run nbdev_export; stray or missing files: {sorted(set(have)^set(want))}"
    assert [k for k in want if want[k] != have[k]] == [], 'run nbdev_export'

def test_wheel_carries_modules_and_tables(tmp_path):
    src, out = tmp_path/'src', tmp_path/'out'
    names = subprocess.run(['git', 'ls-files'], cwd=root, check=True, capture_output=True, text=True).stdout.split('\n')
    for name in filter(None, names): (src/name).parent.mkdir(parents=True, exist_ok=True); shutil.copy(root/name, src/name)
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', out, src], check=True)
    with zipfile.ZipFile(next(out.glob('*.whl'))) as z: z.extractall(out/'w')
    from sartext.narrate import words
    for table in ('catalogue.csv', 'categories.csv', 'reading.txt', 'rewriting.txt', 'written_captions.csv', 'recipes/sar-text.toml', 'recipes/sarlang-1m.toml'):
        assert (out/'w'/'sartext'/'data'/table).read_text(encoding='utf-8') == words.table_text(table)
    code = "from sartext.narrate import checking, rewriting as r; checking.vocabulary(); r.read_rules(); print(r.__file__)"
    said = subprocess.run([sys.executable, '-c', code], cwd=out/'w', check=True, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(out/'w')))
    assert said.stdout.strip().startswith(str(out/'w'))

@pytest.mark.parametrize('nb', notebooks(), ids=name_of)
def test_notebook_is_clean(fresh, nb):
    assert nb.read_text() == (fresh/nb.relative_to(root)).read_text(), 'run nbdev_clean'

def test_readme_matches_index():
    from sartext.website import readme
    text = readme(pictures=(pictures := []))
    kept = [p.read_bytes() for p in sorted((nbs/'images').glob('readme-*.png'))]
    assert ((root/'README.md').read_text(), kept) == (text, pictures), """run python -c 'from sartext.website import write_readme; write_readme()'"""

"The library and the README are exactly what the notebooks say, and the notebooks are clean"
import shutil, subprocess, sys
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
    def py(d): return {p.relative_to(d).as_posix(): p.read_bytes() for p in (d/lib.name).rglob('*.py')}
    want, have = py(fresh), py(root)
    assert set(have) == set(want), f"run nbdev_export; stray or missing modules: {sorted(set(have)^set(want))}"
    assert [k for k in want if want[k] != have[k]] == [], 'run nbdev_export'

@pytest.mark.parametrize('nb', notebooks(), ids=name_of)
def test_notebook_is_clean(fresh, nb):
    assert nb.read_text() == (fresh/nb.relative_to(root)).read_text(), 'run nbdev_clean'

def test_readme_matches_index():
    from sartext.website import readme
    assert (root/'README.md').read_text() == readme(), """run python -c 'from sartext.website import write_readme; write_readme()'"""

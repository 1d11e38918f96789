"The site: every notebook is in it, every link leads somewhere"
import re
import pytest
import yaml
from conftest import name_of, notebooks, root
from sartext.website import published, render, stage

def listed(o) -> set[str]:
    "Every notebook that a part of `_quarto.yml` names"
    if isinstance(o, dict): return set().union(*map(listed, o.values()))
    if isinstance(o, list): return set().union(*map(listed, o))
    return {o} if isinstance(o, str) and o.endswith('.ipynb') else set()

def test_every_notebook_is_in_the_sidebar():
    config = yaml.safe_load((root/'_quarto.yml').read_text())
    have = {name_of(p) for p in notebooks()}
    assert listed(config) - have == set(), '_quarto.yml names notebooks that do not exist'
    assert have - listed(config['website']['sidebar']) == set(), 'notebooks that nobody finds'

def test_no_two_pages_of_one_name():
    pages = [published(name_of(p)) for p in notebooks()]
    assert len(pages) == len(set(pages))

@pytest.fixture(scope='module')
def site(tmp_path_factory): return render(stage(dest=tmp_path_factory.mktemp('site')/'staged'))

def test_pages(site):
    for p in notebooks():
        page = site/published(p.relative_to(root/'nbs').as_posix()).replace('.ipynb', '.html')
        assert page.exists(), f'{p.name} has no page'
        at_start = r'<code[^>]*>(?:<span[^>]*>)*#\|\s*(?:export|hide|default_exp)'
        assert not re.search(at_start, page.read_text()), f'{page.name} shows directives'

def test_links_between_pages(site):
    broken = []
    for page in site.rglob('*.html'):
        for href in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if not re.match(r'\w+:|//', href) and not (page.parent/href).exists(): broken.append(f'{page.name} → {href}')
    assert not broken, broken

"The site: every notebook is in it, every link leads somewhere"
import re, shutil, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
import pytest
import yaml
from conftest import barriers, name_of, notebooks, root, sartext
from sartext.website import check_site, published, renderer

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
def ran(tmp_path_factory):
    "The real command, from another folder than the clone"
    out = tmp_path_factory.mktemp('site')
    return out/'staged', sartext('site', '--out', out/'staged', cwd=out)

@pytest.fixture(scope='module')
def site(ran): return ran[0]/'_site'

def test_command(ran):
    out, done = ran
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert f'site: {out}/_site/index.html' in done.stdout and ('untried: Quarto' in done.stdout) == (renderer() != 'quarto')

def test_check_of_the_real_pages(site):
    "Links, anchors, images and their descriptions, headings, titles, names, left-over machinery"
    assert not [str(p) for p in check_site(site)]

@pytest.mark.parametrize('plant, words', [(lambda s: s.replace('</main>', '<a href="#nowhere">x</a></main>'), 'no such place'),
                                          (lambda s: s.replace('</main>', '<p>::: {.note}</p></main>'), "':::' is shown"),
                                          (lambda s: re.sub(r'(<img[^>]*) alt="[^"]*"', r'\1', s), 'has no description')])
def test_check_finds_what_is_planted_in_a_real_page(site, tmp_path, plant, words):
    shutil.copytree(site, tmp_path/'pages'); page = tmp_path/'pages/index.html'
    page.write_text(plant(page.read_text()))
    found = check_site(tmp_path/'pages')
    assert found and all(p.file == 'index.html' and words in p.reason for p in found), found

def test_pages(site):
    for p in notebooks():
        page = site/published(p.relative_to(root/'nbs').as_posix()).replace('.ipynb', '.html')
        assert page.exists(), f'{p.name} has no page'

@pytest.mark.parametrize('page, name, place', [('checking', 'check', 'checking.html#check'), ('build', 'build', 'build.html#build'),
                                               ('tutorials/from_optical', 'rewrite', '../rewriting.html#rewrite'),
                                               ('segmentation', 'narrate_mask', 'segmentation.html#narrate_mask')])
def test_a_name_leads_to_what_its_page_means(site, page, name, place):
    assert f'<a href="{place}"><code>{name}</code></a>' in (site/f'{page}.html').read_text()

def test_addresses(site):
    "No page leads to another by the address of a site elsewhere, and what is named on code hosts is there"
    named = set()
    for page in site.rglob('*.html'):
        text = page.read_text()
        assert 'sartext.github.io' not in text, f'{page.name} leads away from this site'
        named |= set(re.findall(r'(?:sartext/blob/main|lab/tree)/([\w./-]+\.(?:ipynb|py))', text))
    assert len(named) > 40 and [f for f in named if not (root/f).exists()] == []

def test_search(site, browser):
    "The index holds headings of all pages, and the box finds them from a page in a folder"
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(); page.goto(f'http://127.0.0.1:{server.server_port}/tutorials/questions.html')
        page.locator('.navbar input').first.fill('despeckle')
        page.wait_for_function("document.querySelector('a[href=\"../speckle.html#despeckle\"]')")
        page.close(); server.shutdown()

def test_what_a_cell_says_is_not_cut(site, browser):
    "On a phone a printed caption and the checker's answer can be read to their ends"
    page = browser.new_page(viewport=dict(width=390, height=800)); page.goto((site/'tutorials/from_masks.html').as_uri(), wait_until='domcontentloaded')
    cut = page.evaluate("[...document.querySelectorAll('.cell-output pre')].map(p => [p.scrollWidth - p.clientWidth, p.innerText])")
    assert len(cut) > 5 and [text for over, text in cut if over > 0] == []; page.close()

# the renderer's own: it names no navigation; and what scrolls sideways is reached by keys in browsers of today
RENDERED = 'landmark-unique', 'scrollable-region-focusable'

@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1280, 390])
def test_pages_fit_the_window(site, browser, width, scheme):
    "No page is wider than the window, a phone's too; dark is dark; no script fails; nothing is too pale to read or without a name"
    page = browser.new_page(viewport=dict(width=width, height=800), color_scheme=scheme, reduced_motion='reduce')
    said = []; page.on('pageerror', lambda e: said.append(str(e)))
    for name in ('index', 'gallery', 'results', 'tutorials/see_a_sar_picture', 'explanations/why_progressive', 'simulate', 'explore', 'cli'):
        page.goto((site/f'{name}.html').as_uri(), wait_until='domcontentloaded')
        wide = page.evaluate('document.documentElement.scrollWidth')
        assert wide <= width, f'{name} is {wide} pixels wide'
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r'\d+', paper)[:3])) < 384) == (scheme == 'dark'), f'{name} is {paper} where {scheme} is wanted'
        assert barriers(page, rules=RENDERED) == [], name
    assert not said; page.close()

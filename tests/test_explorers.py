"The explorers as a student meets them: JupyterLab in a browser, worked by clicks, drags and keys"
import csv, re
from dataclasses import replace
import numpy as np
import pytest, rasterio
from PIL import Image
from conftest import barriers
from lab import RUN_ALL, drag, field, jupyter, open_notebook, settle, told_world, upload
from sartext.models.gpt import save_checkpoint, start
from sartext.records import Caption

pw = pytest.importorskip('playwright.sync_api')
pw.expect.set_options(timeout=20_000)      # for a busy machine

@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    with jupyter(tmp_path_factory.mktemp('home'), tmp_path_factory.mktemp('work')) as here: yield here

@pytest.fixture
def opened(browser, lab):
    "A function that runs a notebook of these cells in the lab and gives its page; what the console complains of fails the test"
    pages = []
    def start(*args): pages.append(open_notebook(browser, lab, *args)); return pages[-1][0]
    yield start
    for page, said in pages: said += barriers_of(page)
    complaints = [s for _, said in pages for s in said]
    for page, _ in pages: page.close()
    assert not complaints, complaints

def barriers_of(page):
    "What bars anyone from what the cells show, in the lab's light and in its dark"
    found = []
    for theme in ('Dark', 'Light'):
        page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", f'JupyterLab {theme}')
        page.wait_for_function(f"() => document.body.dataset.jpThemeLight == '{str(theme == 'Light').lower()}'")
        found += [f'{theme}: {s}' for s in barriers(page, ['.jp-OutputArea-output'])]
    return found

def own_pictures(folder):
    "Pictures as students have them: of a telephone, 16 bit, in three bands, complex, its parts in two bands; and one that is none"
    rng = np.random.default_rng(0); grain = rng.gamma(1, 1, (3, 120, 160)); z = rng.normal(size=(2, 120, 160)).astype('float32')
    Image.fromarray(np.tile(rng.integers(0, 256, (504, 672), dtype='uint8'), (6, 6))).save(folder/'phone.png', compress_level=1)
    (folder/'notes.png').write_text('speckle is not noise')
    for name, bands in (('chip16', np.uint16(grain[:1]*900)), ('three', np.uint8(grain.clip(0, 5)*50)), ('parts', z), ('slc', (z[:1] + 1j*z[1:]).astype('complex64'))):
        with rasterio.open(folder/f'{name}.tif', 'w', driver='GTiff', dtype=bands.dtype, count=len(bands), height=120, width=160, crs='EPSG:32633',
                           transform=rasterio.transform.from_origin(5e5, 5e6, 10, 10)) as f: f.write(bands)

def rows(path):
    "What a CSV file holds now; nothing where there is none"
    if not path.exists(): return []
    with open(path, newline='') as f: return list(csv.DictReader(f))

def unnamed(page):
    "Controls without a name that a screen reader could read"
    return page.evaluate("""() => [...document.querySelectorAll('.jp-OutputArea-output :is(input, select, textarea, button, img, [role=slider])')]
        .filter(e => e.offsetParent && e.type != 'file')
        .filter(e => !(e.labels?.length || e.title || e.textContent.trim() || e.getAttribute('aria-label')))
        .map(e => e.outerHTML.slice(0, 120))""")

def test_playground(opened, tmp_path):
    """A scene is changed by drags, clicks and keys and the caption follows; a picture of one's own comes in, or is refused
    with words; nothing flickers or moves, and all is still there when the cell is run again"""
    own_pictures(tmp_path); page = opened('play', 'from sartext.playground import playground\nplayground()')
    out = page.locator('.jp-OutputArea-output'); words = page.locator('p', has=page.locator('[title*="count"]')).first
    pw.expect(words).to_contain_text('five', timeout=60_000)
    page.screenshot(path=tmp_path/'1-first.png')
    page.evaluate("() => window.first = document.querySelector('.jp-OutputArea-output img.widget-image')")
    facts = field(page, 'facts', 'select'); top = facts.bounding_box()['y']
    assert not unnamed(page); pw.expect(page.get_by_role('slider', name='left … right, second')).to_have_count(1)
    for name in ('route', 'style'):
        label, button = page.locator(f'label:text-is("{name}")'), field(page, name, 'button'); assert label.bounding_box()['x'] + 30 < button.bounding_box()['x'], 'the label is not beside its buttons'
    # a fact, by click and by key
    facts.select_option(label='count: ship 5'); pw.expect(out.locator('mark')).to_have_text('five vessels')
    pw.expect(out).to_contain_text('the boxes of a category are counted')
    facts.press('ArrowDown'); pw.expect(out.locator('mark').first).to_have_text('in the top left part')
    page.screenshot(path=tmp_path/'2-fact.png')
    # looks by the keyboard, a box by a drag
    before = page.evaluate('() => window.first.src'); looks = field(page, 'looks', '.noUi-handle'); looks.focus()
    for _ in range(3): looks.press('ArrowRight')
    pw.expect(field(page, 'looks', '.widget-readout')).to_have_text('64'); page.wait_for_function(f'() => window.first.src != {before!r}')
    for edge in ('.noUi-handle-upper', '.noUi-handle-lower'): drag(page, field(page, 'left … right', edge), 150)
    pw.expect(words).to_contain_text(re.compile('three in the top left|one .* right')); page.screenshot(path=tmp_path/'3-dragged.png')
    # routes and styles
    page.get_by_role('button', name='mask (sa2c)').click(); pw.expect(out).to_contain_text('99 percent')
    page.get_by_role('button', name='complex').click(); field(page, 'seed').fill('4'); field(page, 'seed').press('Enter')
    facts.select_option(index=1); page.screenshot(path=tmp_path/'4-mask.png')
    page.get_by_role('button', name='optical caption (pairing)').click(); pw.expect(field(page, 'optical', 'textarea')).to_be_visible()
    page.screenshot(path=tmp_path/'5-pairing.png')
    # a picture of one's own: refused with words, then taken
    page.get_by_role('button', name='boxes (a2c)').click(); upload(page, tmp_path/'notes.png')
    pw.expect(out).to_contain_text('convert it to GeoTIFF, PNG or JPEG')
    (tmp_path/'scan.png').write_bytes(bytes(11_000_000)); warned = []
    page.once('dialog', lambda d: (warned.append(d.message), d.accept())); upload(page, tmp_path/'scan.png'); settle(page)
    assert warned == ['Refused: scan.png has 11 MB, and up to 10 MB can be uploaded; '
                      'put its path into the field "own picture" instead, or cut a piece out of it']
    for name in ('chip16', 'three', 'slc'):
        upload(page, tmp_path/f'{name}.tif'); pw.expect(page.get_by_role('img', name=f'{name}: Nothing is labelled')).to_be_visible()
    page.get_by_role('button', name='back to the scene').click(); pw.expect(words).to_contain_text(re.compile('vessel|ship')); own = field(page, 'own picture'); own.fill(str(tmp_path/'late.tif')); own.press('Enter')
    pw.expect(out).to_contain_text('no such file'); (tmp_path/'late.tif').write_bytes((tmp_path/'slc.tif').read_bytes()); own.press('Enter')       # mended, and tried again
    pw.expect(page.get_by_role('img', name='late: Nothing is labelled')).to_be_visible()
    metres = field(page, 'metres a pixel'); pw.expect(metres).to_have_value('10'); pw.expect(field(page, 'box', 'select').locator('option:checked')).to_have_text('no box yet')
    upload(page, tmp_path/'parts.tif'); pw.expect(out).to_contain_text('choose what they are in the field "its values"')
    field(page, 'its values', 'select').select_option(label='complex: bands of real and imaginary part'); pw.expect(page.get_by_role('img', name='parts: Nothing is labelled')).to_be_visible()
    upload(page, tmp_path/'phone.png'); pw.expect(out).to_contain_text('4032×3024 pixels', timeout=30_000); pw.expect(metres).to_have_value('0')
    pw.expect(page.get_by_role('status').filter(has_text='Nothing is labelled: add a box')).to_be_visible()
    name = field(page, 'it is a'); name.fill('ship'); name.press('Enter'); page.get_by_role('button', name='add a box').click()
    pw.expect(words).to_contain_text(re.compile('ship|vessel')); metres.fill('2'); metres.press('Enter'); settle(page); page.screenshot(path=tmp_path/'6-own.png')
    note = page.get_by_role('status').filter(has_text='blocks of 4×4 pixels averaged'); pw.expect(note).to_be_visible()
    assert note.evaluate('e => e.scrollHeight <= e.clientHeight'), 'what is said of the picture is cut'
    assert page.evaluate('() => document.contains(window.first)'), 'the picture was replaced instead of changed'
    assert abs(facts.bounding_box()['y'] - top) < 1, 'the page has moved'
    # the cell is run again
    page.evaluate(RUN_ALL); pw.expect(words).to_contain_text(re.compile('ship|vessel')); pw.expect(field(page, 'box', 'select')).to_contain_text('1 ship')
    pw.expect(note).to_be_visible(); pw.expect(metres).to_have_value('2')
    # and once more on a picture without a box: one is added, and moved by a drag
    upload(page, tmp_path/'chip16.tif'); pw.expect(page.get_by_role('img', name='chip16: Nothing is labelled')).to_be_visible(); page.evaluate(RUN_ALL); settle(page)
    page.get_by_role('button', name='add a box').click(); edges = field(page, 'left … right', '.widget-readout'); settle(page); before = edges.inner_text()
    drag(page, field(page, 'left … right', '.noUi-handle-upper'), 60); pw.expect(edges).not_to_have_text(before)

def test_browser(opened, tmp_path):
    "Pages are turned and captions chosen by click and by key, filters leave what they ask for, the place is kept"
    def lied(told):
        port = next(r for r in told if any(b.category == 'ship' for b in r.boxes))
        return [replace(r, captions=(Caption('There are ninety ships at the top left.', route='model'),)) if r is port else r for r in told]
    told, file = told_world(tmp_path/'world', 20, lied)
    with open(file, 'a') as f: f.write('{"id": "cut o')
    page = opened('pages', f'from sartext.browser import browser\nbrowser({file!r})')
    out = page.locator('.jp-OutputArea-output'); pw.expect(out).to_contain_text('1–12 and more; 20 captions in all', timeout=60_000)
    page.screenshot(path=tmp_path/'1-page.png'); assert not unnamed(page)
    page.evaluate("() => window.first = document.querySelector('.jp-OutputArea-output img.widget-image')")
    page.get_by_role('button', name='next page').focus(); page.keyboard.press('Enter'); pw.expect(out).to_contain_text('13–20 of 20')
    status = page.get_by_role('status').filter(has_text='is chosen'); pw.expect(status).to_contain_text('13 is chosen · Left out: 1 of the file, the first: ')
    fifteen = page.get_by_role('button', name='15 right'); fifteen.click(); pw.expect(out).to_contain_text(told[14].captions[0].text)
    pw.expect(fifteen).to_have_attribute('aria-pressed', 'true'); pw.expect(out.locator('.choice[aria-pressed=true]')).to_have_count(1)
    assert fifteen.evaluate("e => getComputedStyle(e.parentElement).borderTopColor != 'rgba(0, 0, 0, 0)' && !!e.querySelector('.fa-check')")
    page.get_by_role('button', name='next caption').press('Enter'); pw.expect(status).to_contain_text('16 is chosen')
    page.get_by_role('button', name='caption before').press('Enter'); pw.expect(status).to_contain_text('15 is chosen')
    page.screenshot(path=tmp_path/'2-next.png')
    field(page, 'verdict', 'select').select_option('wrong'); pw.expect(out).to_contain_text('1 of 1 · 1 is chosen'); pw.expect(out).to_contain_text('ninety')
    assert page.evaluate('() => document.contains(window.first)'), 'the picture was replaced instead of changed'
    page.screenshot(path=tmp_path/'3-wrong.png'); page.evaluate(RUN_ALL); pw.expect(out).to_contain_text('1 of 1 · 1 is chosen')
    words = field(page, 'words'); words.fill('zebra'); words.press('Enter'); pw.expect(out).to_contain_text('choose “all” in one of them'); pw.expect(page.get_by_role('button', name='1 wrong')).to_be_hidden()

def test_before_after(opened, tmp_path):
    "The slider is pulled across the picture and moved by keys; another filter, other numbers; the place is kept"
    page = opened('wipe', 'from sartext.before_after import before_after\nbefore_after()')
    out = page.locator('.jp-OutputArea-output'); pw.expect(out).to_contain_text('refined-lee, 7×7 pixels: equivalent looks', timeout=60_000)
    page.evaluate("() => window.first = document.querySelector('.jp-OutputArea-output img.widget-image')"); page.screenshot(path=tmp_path/'1-half.png')
    before, handle = page.evaluate('() => window.first.src'), field(page, 'wipe, %', '.noUi-handle')
    drag(page, handle, 120); page.wait_for_function(f'() => window.first.src != {before!r}')
    share = field(page, 'wipe, %', '.widget-readout'); dragged = int(share.inner_text()); assert dragged > 60
    for _ in range(4): handle.press('ArrowLeft')
    pw.expect(share).to_have_text(str(dragged - 4)); field(page, 'filter', 'select').select_option('boxcar')
    pw.expect(out).to_contain_text('boxcar, 7×7'); page.screenshot(path=tmp_path/'2-boxcar.png'); assert not unnamed(page)
    assert page.evaluate('() => document.contains(window.first)'), 'the picture was replaced instead of changed'
    page.evaluate(RUN_ALL); pw.expect(out).to_contain_text('boxcar, 7×7'); pw.expect(share).to_have_text(str(dragged - 4))

def test_search(opened, tmp_path):
    "A sentence typed finds pictures, a picture chosen finds captions, its own among them; all is kept"
    _, file = told_world(tmp_path/'world', 12)
    page = opened('find', f'from sartext.search import search\nsearch({file!r}, "packaged")')
    out = page.locator('.jp-OutputArea-output'); pw.expect(out).to_contain_text('its own comes in place', timeout=120_000)
    query = field(page, 'look for'); query.fill('A bridge is in the picture.'); query.press('Enter')
    third = page.get_by_role('button', name='3:'); pw.expect(third).to_be_visible(timeout=15_000); third.focus(); page.keyboard.press('Enter')
    pw.expect(third).to_have_attribute('aria-pressed', 'true'); pw.expect(out.get_by_role('status').first).to_contain_text('number 3 is chosen'); pw.expect(out.locator('b')).to_have_count(1); assert not unnamed(page)
    page.screenshot(path=tmp_path/'1-found.png'); page.evaluate(RUN_ALL); pw.expect(query).to_have_value('A bridge is in the picture.')

def test_rating_desk(opened, tmp_path):
    "A caption is rated by clicks and keys, each rating is in the file at once, and the work goes on where it was left"
    _, file = told_world(tmp_path/'world', 12); sheet = tmp_path/'anna.csv'
    page = opened('rate', 'from sartext.explore import rating_desk\nfrom sartext.narrate.auditing import draw_sample\nfrom sartext.records import read_records',
                  f'rating_desk(draw_sample(list(read_records({file!r})), 6, least=1), {str(tmp_path/"world")!r}, {str(sheet)!r}, "anna")')
    out = page.locator('.jp-OutputArea-output'); status = page.get_by_role('status').filter(has_text='of 6')
    pw.expect(status).to_contain_text('1 of 6 · 6 to go', timeout=60_000); page.screenshot(path=tmp_path/'1-first.png'); assert not unnamed(page)
    page.evaluate("() => window.first = document.querySelector('.jp-OutputArea-output img.widget-image')"); settle(page)
    def scale(name, mark): return field(page, name, f'button:text-is("{mark}")')
    def press(name): return page.get_by_role('button', name=name, exact=True)
    scale('relevance', 4).click(); press('save').click(); pw.expect(status).to_contain_text('Not saved: hallucination and fluency not rated yet'); assert not sheet.exists()
    scale('hallucination', 5).focus(); page.keyboard.press('Enter'); scale('fluency', 2).focus(); page.keyboard.press('Space')
    press('wrong count').click(); note = field(page, 'note'); note.fill('say, "three", not two')
    press('save').focus(); page.keyboard.press('Enter'); pw.expect(status).to_contain_text('Saved. 2 of 6 · 5 to go')
    row, = rows(sheet); assert [row[k] for k in ('rater', 'relevance', 'hallucination', 'fluency')] == ['anna', '4', '5', '2'], row
    assert 'wrong count' in row['errors'] and row['note'] == 'say, "three", not two'
    pw.expect(note).to_have_value(''); pw.expect(scale('relevance', 4)).not_to_have_class(re.compile('mod-active'))
    press('back').click(); pw.expect(note).to_have_value('say, "three", not two'); pw.expect(scale('fluency', 2)).to_have_class(re.compile('mod-active'))
    scale('fluency', 3).click(); press('save').click(); pw.expect(status).to_contain_text('Saved. 2 of 6'); assert [r['fluency'] for r in rows(sheet)] == ['3']
    before = page.evaluate('() => window.first.src'); shown = press('annotation')
    while True:                             # of some pictures nothing is annotated
        shown.click(); settle(page)
        if page.evaluate('() => window.first.src') != before: break
        press('skip').click(); settle(page); before = page.evaluate('() => window.first.src')
    page.screenshot(path=tmp_path/'2-rated.png'); assert page.evaluate('() => document.contains(window.first)'), 'the picture was replaced instead of changed'
    page.evaluate(RUN_ALL); pw.expect(status).to_contain_text('2 of 6 · 5 to go')
    # what was begun is there again, and the buttons stay where they are
    scale('relevance', 2).click(); note.fill('half'); note.blur(); settle(page); at = press('save').bounding_box()['y']
    press('skip').click(); pw.expect(note).to_have_value(''); assert abs(press('save').bounding_box()['y'] - at) < 1; press('back').click(); pw.expect(note).to_have_value('half')
    page.evaluate(RUN_ALL); pw.expect(status).to_contain_text('2 of 6, begun · 5 to go'); pw.expect(note).to_have_value('half'); pw.expect(scale('relevance', 2)).to_have_class(re.compile('mod-active'))

def test_answer_desk(opened, tmp_path):
    "Questions are answered by keys alone or by a click, each answer is in the file at once, and the work goes on where it was left"
    _, file = told_world(tmp_path/'world', 12); sheet = tmp_path/'eve.csv'
    page = opened('quiz', 'from sartext.explore import answer_desk\nfrom sartext.evaluate.answering import items_of\nfrom sartext.narrate.questions import ask\n'
                  'from sartext.records import read_records', f'items = items_of([ask(r, per_application=2) for r in read_records({file!r})])\n'
                  f'answer_desk(items, {str(tmp_path/"world")!r}, {str(sheet)!r}, n=8)')
    status = page.get_by_role('status').filter(has_text='of 8'); pw.expect(status).to_contain_text('1 of 8 · 8 to go', timeout=60_000)
    page.screenshot(path=tmp_path/'1-first.png'); assert not unnamed(page); settle(page)
    page.evaluate("() => window.first = document.querySelector('.jp-OutputArea-output img.widget-image')")
    text = field(page, 'answer'); text.press('Enter')
    pw.expect(status).to_contain_text('Not saved: nothing was typed'); assert not sheet.exists()
    # back, at the first and after a skip: what was typed and not kept is there again
    press = lambda name: page.get_by_role('button', name=name, exact=True).click()
    press('back'); pw.expect(status).to_contain_text('This is the first.'); text.fill('perhaps'); press('skip'); pw.expect(status).to_contain_text('2 of 8 · 8 to go'); pw.expect(text).to_have_value('')
    press('back'); pw.expect(status).to_contain_text('1 of 8, begun · 8 to go'); pw.expect(text).to_have_value('perhaps'); assert not sheet.exists()
    text.fill('I see, say, "three"'); text.press('Enter'); pw.expect(status).to_contain_text('Saved. 2 of 8 · 7 to go'); pw.expect(text).to_be_focused()
    assert [r['predicted'] for r in rows(sheet)] == ['I see, say, "three"']; pw.expect(text).to_have_value('')
    page.keyboard.type('two'); page.keyboard.press('Enter'); pw.expect(status).to_contain_text('Saved. 3 of 8 · 6 to go')     # without the mouse
    yes = page.get_by_role('button', name='yes', exact=True)
    for _ in range(8):
        settle(page)
        if yes.count(): break
        page.get_by_role('button', name='skip').click()
    page.screenshot(path=tmp_path/'2-yes.png'); yes.click(); pw.expect(status).to_contain_text('5 to go'); assert [r['predicted'] for r in rows(sheet)][2:] == ['yes']
    assert page.evaluate('() => document.contains(window.first)'), 'the picture was replaced instead of changed'
    page.evaluate(RUN_ALL); pw.expect(status).to_contain_text('3 of 8 · 5 to go')

def test_chat(opened, tmp_path):
    "A question is there at once, the page can be used while the model thinks, what was said is kept; a picture of one's own comes in"
    own_pictures(tmp_path)
    page = opened('talk', 'import time\nfrom sartext.chat import chat',
                  'def slow(picture, turns, question): time.sleep(3); return f"{len(turns)} before, <b>{picture.shape}</b>"\nchat(slow)')
    log, status = page.get_by_role('log', name='conversation'), page.locator('.jp-OutputArea-output').get_by_role('status'); question = field(page, 'question')
    pw.expect(log).to_contain_text('Nothing was said yet', timeout=60_000); page.screenshot(path=tmp_path/'1-first.png'); assert not unnamed(page); settle(page)
    assert page.evaluate('() => document.querySelector(".jp-OutputArea-output img.widget-image").clientHeight') == 512
    page.evaluate("() => window.first = document.querySelector('.jp-OutputArea-output img.widget-image')"); before = page.evaluate('() => window.first.src')
    question.fill('Is it cold?'); question.press('Enter'); pw.expect(log).to_contain_text('You: Is it cold? Model: thinking', timeout=3000, use_inner_text=True)
    pw.expect(question).to_have_value(''); page.screenshot(path=tmp_path/'2-thinking.png')
    # meanwhile: another question is typed and waits, another picture is looked at
    question.fill('Is it wet?'); question.press('Enter'); pw.expect(status).to_contain_text('the model still thinks'); pw.expect(question).to_have_value('Is it wet?')
    scene = field(page, 'scene'); scene.fill('5'); scene.press('Enter'); page.wait_for_function(f'() => window.first.src != {before!r}'); pw.expect(log).to_contain_text('Nothing was said yet')
    scene.fill('2'); scene.press('Enter'); pw.expect(log).to_contain_text('0 before, <b>(256, 256)</b>'); pw.expect(log).not_to_contain_text('By the annotation')
    # a question of the narrator's, by click; its answer is known
    field(page, 'suggested', 'select').select_option(index=2); pw.expect(question).not_to_have_value('Is it wet?'); known = question.input_value()
    ask = page.get_by_role('button', name='ask', exact=True); ask.click(); pw.expect(log).to_contain_text(known); pw.expect(ask).to_be_disabled()
    pw.expect(log).to_contain_text('1 before'); pw.expect(log).to_contain_text('By the annotation'); pw.expect(ask).to_be_enabled()
    page.get_by_label('the model hears what was said before').press('Space'); settle(page)
    for n in range(2): question.fill(f'Number {n}?'); question.press('Enter'); pw.expect(log.locator('p', has_text='0 before')).to_have_count(n + 2)
    pw.expect(log.get_by_text('Number 1?')).to_be_in_viewport(); page.screenshot(path=tmp_path/'3-told.png')      # the newest is in sight
    assert page.evaluate('() => document.contains(window.first)'), 'the picture was replaced instead of changed'
    question.fill('half a'); question.blur(); settle(page); page.evaluate(RUN_ALL); pw.expect(log).to_contain_text(known); pw.expect(log).to_contain_text('Number 1?'); pw.expect(question).to_have_value('half a')
    page.get_by_role('button', name='new conversation').press('Enter'); pw.expect(log).to_contain_text('Nothing was said yet')
    upload(page, tmp_path/'notes.png'); pw.expect(status).to_contain_text('convert it to GeoTIFF, PNG or JPEG')
    upload(page, tmp_path/'slc.tif'); pw.expect(status).to_contain_text('the phase is dropped'); page.screenshot(path=tmp_path/'4-own.png')
    pw.expect(field(page, 'suggested', 'select').locator('option:checked')).to_have_text('choose one')
    assert page.evaluate('() => document.querySelector(".jp-OutputArea-output img.widget-image").clientHeight') == 360, 'stretched'

def test_chat_with_a_model(opened, tmp_path):
    "A SAR-GPT from its folder answers"
    save_checkpoint(tmp_path/'gpt', start('random-gpt'))
    page = opened('gpt', f'from sartext.chat import chat\nchat({str(tmp_path/"gpt")!r}, 6)'); log, question = page.get_by_role('log'), field(page, 'question')
    pw.expect(log).to_contain_text('Nothing was said yet', timeout=90_000); settle(page); question.fill('How many ships are in the image?'); question.press('Enter')
    pw.expect(log).to_contain_text('Model:'); pw.expect(log).not_to_contain_text('thinking', timeout=60_000); pw.expect(log).not_to_contain_text('No answer')

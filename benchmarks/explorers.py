"""How long an explorer takes to answer: from the key or the click to the last thing that changes in the page.

    python benchmarks/explorers.py [--times 3] [--out times.csv]

JupyterLab and Chromium run here, as a student's do, with a kernel each for the narrator's playground, the caption browser, the search
(simulated scenes, the packaged weights), the two desks and before/after. Each change is made `--times` times; the page itself takes the
time, so the waiting of this script is not in it. The load of the machine when a table begins stands above it.
"""
import argparse, csv, os, sys, tempfile
from pathlib import Path
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent/'tests'))

# the first click, key or change starts the clock; what then changes in a picture or a text, once painted, stops it
CLOCK = """() => { window.m = {};
    for (const k of ['click', 'keydown', 'change']) window.addEventListener(k, () => { window.m.began ??= performance.now() }, true);
    new MutationObserver(all => { for (const r of all) {
        const e = r.target.nodeType == 1 ? r.target : r.target.parentElement;
        if (window.m.began && (r.type == 'attributes' ? e?.matches('img.widget-image') : e?.closest('.widget-html')))
            requestAnimationFrame(() => window.m.ended = performance.now()); }
    }).observe(document.body, {childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ['src']}); }"""

class Clock:
    "Takes the time of what is done to a page"
    def __init__(self, page, times):
        from lab import settle
        self.page, self.times, self.rows, self.settle = page, times, [], lambda: settle(page)
        page.evaluate(CLOCK)
    def __call__(self, what, *ways):
        "The time of each of `ways` in turn, `times` times"
        for act in ways*self.times:
            self.settle(); self.page.evaluate('() => { window.m = {} }'); act()
            self.page.wait_for_function('() => window.m.ended', timeout=30_000); self.settle()
            self.rows.append((what, self.page.evaluate('() => window.m.ended - window.m.began')))

def button(page, name): return page.get_by_role('button', name=name, exact=True)

def enter(page, label, value):
    from lab import field
    def act(): field(page, label).fill(str(value)); field(page, label).press('Enter')
    return act

def playground(page, clock):
    from lab import field
    page.locator('.jp-OutputArea-output [title*="count"]').first.wait_for(timeout=60_000)
    def choose(name, value): return lambda: field(page, name, 'select').select_option(index=value)
    def slide(name, key): return lambda: (field(page, name, '.noUi-handle').first.focus(), page.keyboard.press(key))
    clock('another scene', *(enter(page, 'scene', n) for n in (3, 5, 11, 2)))
    clock('another place', choose('place', 8), choose('place', 3))
    for name in ('spacing, m', 'looks', 'incidence, °'): clock(name, slide(name, 'End'), slide(name, 'ArrowLeft'), slide(name, 'Home'))
    clock('the mask, the boxes', button(page, 'mask (sa2c)').click, button(page, 'boxes (a2c)').click)
    clock('complex, concise', button(page, 'complex').click, button(page, 'concise').click)
    clock('a fact', choose('facts', 1), choose('facts', 2))
    clock('an edge of a box', slide('left … right', 'ArrowRight'), slide('left … right', 'ArrowLeft'))
    clock('another name', enter(page, 'it is a', 'bridge'), enter(page, 'it is a', 'ship'))
    clock('a box more, a box less', button(page, 'add a box').click, button(page, 'remove it').click)

def browser_pages(page, clock):
    from lab import field
    page.get_by_text('1 is chosen').wait_for(timeout=60_000)
    clock('a page on, a page back', button(page, 'next page').click, button(page, 'page before').click)
    clock('a caption on, a caption back', button(page, 'next caption').click, button(page, 'caption before').click)
    clock('a class, all', lambda: field(page, 'class', 'select').select_option('ship'), lambda: field(page, 'class', 'select').select_option(index=0))

def search_pages(page, clock):
    page.get_by_text('its own comes in place').wait_for(timeout=180_000)
    clock('a sentence', *(enter(page, 'look for', s) for s in ('A bridge is in the picture.', 'ships in a harbor')))
    clock('a picture', *(lambda n=n: page.get_by_role('button', name=f'{n}:').click() for n in (3, 1)))

def desk(page, clock):
    page.get_by_text('1 of ').wait_for(timeout=60_000)
    clock('skipped', button(page, 'skip').click)

def wipe(page, clock):
    from lab import field
    page.locator('.jp-OutputArea-output img.widget-image').first.wait_for(timeout=60_000)
    clock('another filter', *(lambda i=i: field(page, 'filter', 'select').select_option(index=i) for i in (1, 2)))

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--times', type=int, default=3, help='how often each change is made')
    parser.add_argument('--out', type=Path, help='every time, as CSV')
    a = parser.parse_args()
    from playwright.sync_api import sync_playwright
    from conftest import chromium
    from lab import jupyter, open_notebook, told_world
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp); _, told = told_world(tmp/'world', 40); world, every = str(tmp/'world'), []
        records = f'from sartext.records import read_records\nrecords = list(read_records({told!r}))\n'
        cells = {('playground', playground): 'from sartext.playground import playground\nplayground()',
                 ('caption browser', browser_pages): f'from sartext.browser import browser\nbrowser({told!r})',
                 ('search', search_pages): f'from sartext.search import search\nsearch({told!r}, "packaged")',
                 ('rating desk', desk): f'{records}from sartext.explore import rating_desk\nfrom sartext.narrate.auditing import draw_sample\n'
                         f'rating_desk(draw_sample(records, 20, least=1), {world!r}, {str(tmp/"rated.csv")!r}, "anna")',
                 ('answer desk', desk): f'{records}from sartext.explore import answer_desk\nfrom sartext.evaluate.answering import items_of\n'
                            'from sartext.narrate.questions import ask\nitems = items_of([ask(r, per_application=2) for r in records])\n'
                            f'answer_desk(items, {world!r}, {str(tmp/"answered.csv")!r}, n=20)',
                 ('before and after', wipe): 'from sartext.before_after import before_after\nbefore_after()'}
        (tmp/'home').mkdir(); (tmp/'work').mkdir()
        with jupyter(tmp/'home', tmp/'work') as here, sync_playwright() as p:
            chrome = p.chromium.launch(executable_path=chromium(), args=['--no-sandbox'])
            print(f'load of the machine at the start: {os.getloadavg()[0]:.1f}\n\n| explorer | change | n | median, ms | longest, ms |\n| --- | --- | ---: | ---: | ---: |')
            for (name, work), cell in cells.items():
                page, said = open_notebook(chrome, here, name, cell)
                clock = Clock(page, a.times); work(page, clock); page.close()
                assert not said, said
                for what in dict.fromkeys(w for w, _ in clock.rows):
                    ms = [t for w, t in clock.rows if w == what]
                    print(f'| {name} | {what} | {len(ms)} | {np.median(ms):.0f} | {max(ms):.0f} |', flush=True)
                every += [(name, *row) for row in clock.rows]
        ms = np.array([t for *_, t in every])
        print(f'| all | | {len(ms)} | {np.median(ms):.0f} | {ms.max():.0f} |\n\nwithin 300 ms: {(ms <= 300).mean():.1%}')
        if a.out:
            with open(a.out, 'w', newline='') as f: csv.writer(f).writerows([('explorer', 'change', 'ms'), *every])

if __name__ == '__main__': main()

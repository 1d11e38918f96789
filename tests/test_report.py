"The report as a reader meets it: whole without the net, in light and dark, read aloud"
import json, re, struct, zlib
from dataclasses import asdict
from html import escape
from html.parser import HTMLParser
import pytest
from sartext.records import BadInput, read_records
from sartext.reproduce import PROFILES, captions_page, report, write_piece
from sartext.simulate import write_world

def png(w=8, h=4):
    "A small PNG, all grey"
    def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    rows = b''.join(b'\0' + b'\x80'*w for _ in range(h))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 0, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows))
            + chunk(b'IEND', b''))

@pytest.fixture
def out(tmp_path):
    (tmp_path/'pieces').mkdir(); (tmp_path/'pieces/10-sample.png').write_bytes(png())
    write_piece(tmp_path, '20-numbers', 'Numbers <all> & "sundry"', 'Some *text* with <b>no markup of its own</b>.',
                tables=[dict(caption='Recall', columns=['arm', 'mR'], rows=[['a | b', 12.345], ['<script>alert(1)</script>', None]])])
    write_piece(tmp_path, '10-sample', 'Samples', figures=[dict(file='10-sample.png', alt='A grey "field"', caption='Simulated, n = 1')])
    run = dict(command='sartext reproduce', profile='tiny', seed=0, data='simulated', commit='', sizes=asdict(PROFILES['tiny']),
               machine={'processor': 'p'}, versions={'python': '3'}, steps=[dict(name='01_narrate', seconds=1.)])
    (tmp_path/'run.json').write_text(json.dumps(run))
    return tmp_path

class Tags(HTMLParser):
    def __init__(self, text): super().__init__(); self.seen, self.open, self.wrong = [], [], []; self.feed(text)
    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ('meta', 'img', 'br', 'hr'): self.open.append(tag)
    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag: self.wrong.append(tag)

def test_html(out):
    text = report(out).read_text(); tags = Tags(text)
    assert not tags.wrong and not tags.open, 'a tag is not closed'
    names = [t for t, _ in tags.seen]
    assert 'script' not in names and 'link' not in names and 'b' not in names, 'the page holds code or markup that is not its own'
    assert all(d['src'].startswith('data:image/png;base64,') and d['alt'] for t, d in tags.seen if t == 'img')
    assert [d['href'] for t, d in tags.seen if t == 'a'] == [f"#{d['id']}" for t, d in tags.seen if t == 'h2']
    assert dict(tags.seen)['html'] == {'lang': 'en'} and names.count('h1') == 1
    assert text.index('Samples</h2>') < text.index('sundry&quot;</h2>'), 'pieces come by their number'

def test_markdown(out):
    report(out); text = (out/'report.md').read_text()
    assert '![A grey "field"](pieces/10-sample.png)' in text and '| a \\| b | 12.3' in text
    assert text.index('## Samples') < text.index('## Numbers') < text.index('## How this was made')

def test_same_bytes(out):
    first = report(out).read_bytes(); assert report(out).read_bytes() == first

def test_broken_piece_is_named(out):
    (out/'pieces/30-cut.json').write_text('{"title": "cut')
    with pytest.raises(BadInput, match='30-cut.json'): report(out)

@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_in_a_browser(out, browser, scheme):
    "The page asks for nothing, fits a telephone, and its text stands out from its ground"
    page_file = report(out)
    page = browser.new_page(viewport=dict(width=360, height=740), color_scheme=scheme); asked, errors = [], []
    page.on('request', lambda r: asked.append(r.url)); page.on('pageerror', lambda e: errors.append(str(e)))
    page.goto(page_file.as_uri())
    assert [u for u in asked if not u.startswith(('file:', 'data:'))] == [] and not errors
    assert page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'), 'the page scrolls sideways'
    assert page.evaluate('document.images[0].naturalWidth') == 8
    ground, ink = (page.evaluate(f'getComputedStyle(document.body).{k}') for k in ('backgroundColor', 'color'))
    def light(c): return sum(int(v) for v in c[c.index('(') + 1:-1].split(',')[:3])
    assert (light(ground) > light(ink)) == (scheme == 'light') and abs(light(ground) - light(ink)) > 400
    page.close()

def test_captions_page(tmp_path):
    "The images drawn are those of the seed, what is said stands beside them, and a file that is not there is named"
    records = write_world(tmp_path/'world', 6, seed=1, size=96); told = list(read_records(records))
    text = captions_page(records, tmp_path/'page.html', n=4, seed=3).read_text(); tags = Tags(text)
    shown = [d['alt'].split(':')[0] for t, d in tags.seen if t == 'img']
    assert not tags.wrong and not tags.open and len(shown) == 4 and 'script' not in [t for t, _ in tags.seen] and 'href="http' not in text
    assert shown == [r.id for r in told if r.id in shown], 'in the order of the file'
    assert all(('optical' in d['alt']) and ('mask' in d['alt']) for t, d in tags.seen if t == 'img')
    assert all(escape(r.optical_caption) in text for r in told if r.id in shown)
    others = {captions_page(records, tmp_path/'page.html', n=4, seed=s).read_text() for s in (3, 4, 5)}
    assert text in others and len(others) > 1
    (tmp_path/'world'/told[0].image).unlink()
    with pytest.raises(BadInput, match=re.escape(told[0].image)): captions_page(records, tmp_path/'page.html', n=6)
    (tmp_path/'none.jsonl').write_text('')
    with pytest.raises(BadInput, match='holds no record'): captions_page(tmp_path/'none.jsonl', tmp_path/'page.html')

"The catalogue of public data sets: its table, what contains what, and fetching from servers that cut, lie or attack"
import csv, hashlib, http.server, importlib, io, json, shutil, tarfile, threading, zipfile
from dataclasses import fields, replace
from urllib.parse import urlparse
import pytest
from sartext.records import BadInput, table_text
from sartext.sources import catalogue as cat
from sartext.sources.catalogue import Catalogue, Dataset, catalogue, contains, download, fetch, overlaps, refuse_overlap, strangers, unpack

NAMED = '''SARDet-100K HRSID SSDD MSAR-1.0 SAR-AIRcraft-1.0 SADD AIR-SARShip-1.0 AIR-SARShip-2.0 OGSOD-1.0 SIVED SAR-Ship-Dataset
OpenSARShip FUSAR-Map FUSAR-Ship QXS-SAROPT SEN1-2 SEN12MS OSdataset OpenEarthMap-SAR DFC2023 BRIGHT Sen1Floods11 MSTAR SARLANG-1M
SAR-TEXT SARChat-2M SAREval RSICD RSITMD UCM-Captions Sydney-Captions NWPU-Captions HQRS-IT-210K'''.split() + ['SpaceNet 6']
TEXT = table_text('catalogue.csv')

def changed(of, **cells) -> str:
    "The table with some cells of one row changed"
    rows = list(csv.DictReader(TEXT.splitlines())); out = io.StringIO()
    assert any(r['name'] == of for r in rows) and set(cells) <= set(rows[0])
    w = csv.DictWriter(out, list(rows[0])); w.writeheader()
    w.writerows(r | (cells if r['name'] == of else {}) for r in rows)
    return out.getvalue()

# the table

def test_every_data_set_the_papers_name_has_a_row(): assert set(NAMED) <= set(catalogue())

@pytest.mark.parametrize('d', catalogue().values(), ids=lambda d: d.name)
def test_row(d):
    assert d.title and d.task and d.source_of_facts, 'what it is, and where its figures come from'
    assert isinstance(d.licence, str) and d.licence == d.licence.strip()
    for k in ('url', 'download'):
        if at := getattr(d, k): assert urlparse(at).scheme == 'https' and '.' in urlparse(at).hostname
    for k in ('images', 'width', 'height', 'objects', 'texts', 'bytes'): assert getattr(d, k) is None or type(getattr(d, k)) is int
    assert (d.metres_min is None) == (d.metres_max is None) == (d.metres_of == '')
    assert d.metres_min is None or d.metres_min <= d.metres_max and d.metres_of in ('spacing', 'resolution')
    assert d.download or not (d.sha256 or d.md5 or d.bytes)
    assert bool(d.stated_by) == bool(d.sha256 or d.md5 or d.bytes), 'who states them'
    assert d.reader or not d.tried
    if d.reader:
        module, _, f = d.reader.rpartition('.')
        assert callable(getattr(importlib.import_module(f'sartext.{module}'), f))

def test_columns_are_the_fields(): assert TEXT.splitlines()[0].split(',') == [f.name for f in fields(Dataset)]

def test_parts_of_sardet_add_up():
    t = catalogue()                      # figures that other rows repeat: ten parts, as its README counts them
    assert len(t['SARDet-100K'].contains) == 10 and t['MSAR-1.0'].objects == 1851 + 39858 + 12319 + 6368
    assert t['SAREval'].texts == 11309 + 2643 + 998 and t['MSTAR'].images == 2747 + 2425

@pytest.mark.parametrize('cells, says', [
    (dict(images='about 200'), "column 'images': 'about 200' is not a whole number"), (dict(objects='-3'), 'above 0'),
    (dict(images='12.5'), 'not a whole number'), (dict(metres_min='nan'), 'not a number'),
    (dict(url='ftp://a/b'), 'no address'), (dict(url='https://a b'), 'no address'), (dict(download='hrsid.zip'), 'no address'),
    (dict(modality='radar'), 'give one of sar'), (dict(sha256='ABC'), '64 hexadecimal'), (dict(md5='f'*31), '32 hexadecimal'), (dict(bytes='9'), "nobody states; say who does in the column 'stated_by'"), (dict(md5='f'*32), 'nobody states'),
    (dict(name=''), 'no name'),
    (dict(name='SSDD'), 'a second row for SSDD'), (dict(contains='Atlantis'), 'no row'),
    (dict(contains='HRSID'), 'contains itself'), (dict(contains='SARDet-100K'), 'contains itself')])
def test_faults_of_the_table_are_named(cells, says):
    cat.read_catalogue(TEXT)
    with pytest.raises(BadInput, match=says): cat.read_catalogue(changed('HRSID', **cells))

def test_who_states_a_checksum_is_told_as_it_is():
    "Of the three that are stated we computed one, torchgeo states two; none is its source's own"
    t = catalogue(); who = {d.name: d.stated_by for d in t.values() if d.stated_by}
    assert {k: v.split()[0] for k, v in who.items()} == {'SAREval': 'sartext,', 'SpaceNet 6': 'torchgeo', 'BRIGHT': 'torchgeo'} and 'computed' in who['SAREval']
    for name in who: assert f'stated by {who[name]}' in cat.told(replace(t[name], bytes=1)) and 'its source' not in who[name]
    for name in ('SpaceNet 6', 'BRIGHT'): assert t[name].md5 and not t[name].bytes and 'torchgeo' in t[name].source_of_facts

def test_missing_column_and_cell():
    with pytest.raises(BadInput, match='without licence'): cat.read_catalogue(TEXT.replace('licence', 'license', 1))
    with pytest.raises(BadInput, match='keep all columns'): cat.read_catalogue(TEXT.splitlines()[0] + '\nA,b,sar')
    with pytest.raises(BadInput, match='quotes'): cat.read_catalogue(TEXT.rstrip('\n') + ',more')

def test_selection_and_views():
    assert set(catalogue(task='caption', modality='optical')) == {n for n in NAMED if 'Captions' in n or n in ('RSICD', 'RSITMD', 'HQRS-IT-210K')}
    with pytest.raises(BadInput, match='no modality'): catalogue(modality='radar')
    assert len(str(catalogue()).splitlines()) == len(catalogue()) + 1 and catalogue()._repr_html_().count('<tr>') == len(catalogue()) + 1
    assert '<script>' not in Catalogue(a=Dataset('<script>', '', 'sar'))._repr_html_()

# what contains what

def test_contains_is_transitive_and_one_way():
    assert contains('SARLANG-1M', 'SSDD') and contains('sarchat 2m', 'hrsid') and contains('MMSAR', 'MSAR-1.0')
    assert not contains('SSDD', 'SARLANG-1M') and not contains('SSDD', 'SSDD') and not contains('SARDet-100K', 'RSICD')
    with pytest.raises(BadInput, match='try SARDet-100K'): contains('SARDet-100', 'SSDD')

def test_overlaps_by_a_common_part():
    (a, b, both), = overlaps(['SARChat-2M', 'SARLANG-1M', 'RSICD', 'mine'])
    assert (a, b) == ('SARChat-2M', 'SARLANG-1M') and {'SARDet-100K', 'SSDD'} <= set(both) and len(both) == 11
    assert overlaps(['HRSID', 'SSDD', 'mine', 'yours']) == [] and overlaps(['mine', 'mine']) == [('mine', 'mine', ('mine',))]

@pytest.mark.parametrize('train, test', [(['SARDet-100K'], ['HRSID']), (['hrsid'], ['SARDet-100K']), (['RSICD', 'SARLANG-1M'], ['RSITMD', 'SSDD']),
                                         (['SSDD'], ['ssdd']), (['mine'], ['mine']), (['SARChat-2M'], ['SARLANG-1M'])])
def test_overlap_is_refused_in_one_sentence_unless_forced(train, test):
    with pytest.raises(BadInput) as e: refuse_overlap(train, test)
    assert 'pass force=True' in str(e.value) and '\n' not in str(e.value)
    assert len(refuse_overlap(train, test, force=True)) == 1

@pytest.mark.parametrize('train, test, said', [(['my ships'], ['HRSID'], ['my ships: HRSID']), (['SARDet-100K'], ['mine', 'HRSID'], ['mine: SARDet-100K']),
    (['a', 'b'], ['a', 'b'], ['a: b', 'b: a']), (['mine'], ['mine'], []), (['mine'], [], []), (['SARDet-100K'], ['hrsid'], []), (['', 'SSDD'], ['HRSID', ''], []), (['mine'], [''], []), (['mine'], ['', ' ', 'HRSID'], ['mine: HRSID']), ([' '], ['HRSID'], []),
    (['mine'], ['HRSID', 'SSDD', 'SADD', 'MSTAR', 'SIVED'], ['mine: HRSID, SSDD, SADD or 2 more'])])
def test_a_source_without_a_row_is_told_once(train, test, said):
    assert strangers(train, test) == [f'{a} is not in the catalogue, so nobody can tell whether it shares images with {b}' for a, b in (s.split(': ') for s in said)]

def test_no_overlap_goes_through():
    assert refuse_overlap(['SARDet-100K', 'mine'], ['OSdataset', 'yours']) == [] == refuse_overlap([], ['HRSID'])

# fetching

BODY = bytes(range(256))*4096            # 1 MiB that is not the same everywhere

class Handler(http.server.BaseHTTPRequestHandler):
    "A server that cuts answers after `cut` bytes, and remembers what it was asked"
    def log_message(self, *a): pass
    def do_HEAD(self):
        self.send_response(200); self.send_header('Content-Length', str(len(self.server.files[self.path]))); self.end_headers()
    def do_GET(self):
        s = self.server; s.asked.append(self.headers.get('Range'))
        if self.path not in s.files: return self.send_error(404)
        if s.broken: s.broken -= 1; return self.send_error(503)
        body, start = s.files[self.path], 0
        if (r := self.headers.get('Range')) and s.ranges and self.headers.get('If-Range') == s.tag:
            start = int(r[6:-1])
            if start >= len(body): return self.send_error(416)
        self.send_response(206 if start else 200)
        if start: self.send_header('Content-Range', f'bytes {start}-{len(body) - 1}/{len(body)}')
        if s.tag: self.send_header('ETag', s.tag)
        self.send_header('Content-Length', str(len(body) - start)); self.end_headers()
        end = len(body) if not s.cuts else start + s.cuts.pop(0)
        self.wfile.write(body[start:end])

@pytest.fixture
def server():
    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    s.files, s.asked, s.cuts, s.broken, s.ranges, s.tag = {'/a.bin': BODY}, [], [], 0, True, '"one"'
    threading.Thread(target=s.serve_forever, daemon=True).start()
    s.url = f'http://127.0.0.1:{s.server_port}'
    yield s
    s.shutdown(); s.server_close()

def test_download_goes_on_after_a_cut(server, tmp_path):
    server.cuts = [300_000, 200_000]
    got = download(server.url + '/a.bin', tmp_path/'a.bin', hashlib.sha256(BODY).hexdigest())
    assert got.read_bytes() == BODY and server.asked == [None, 'bytes=300000-', 'bytes=500000-']
    assert [p.name for p in tmp_path.iterdir()] == ['a.bin']

def test_second_call_goes_on_where_the_first_one_ended(server, tmp_path):
    server.cuts = [300_000, 0, 0]
    with pytest.raises(BadInput, match='ended after 300,000 of 1,048,576 bytes; call it again'): download(server.url + '/a.bin', tmp_path/'a.bin', tries=2)
    assert not (tmp_path/'a.bin').exists()
    assert download(server.url + '/a.bin', tmp_path/'a.bin').read_bytes() == BODY and server.asked[-1] == 'bytes=300000-'

@pytest.mark.parametrize('what', ['changed', 'no ranges', 'no tag'])
def test_a_part_of_another_file_is_never_continued(server, tmp_path, what):
    server.cuts = [300_000, 0]
    if what == 'no tag': server.tag = ''
    with pytest.raises(BadInput): download(server.url + '/a.bin', tmp_path/'a.bin', tries=1)
    if what == 'changed': server.tag, server.files['/a.bin'] = '"two"', BODY[::-1]
    if what == 'no ranges': server.ranges = False
    assert download(server.url + '/a.bin', tmp_path/'a.bin').read_bytes() == server.files['/a.bin']

def test_a_part_longer_than_the_file_is_begun_again(server, tmp_path):
    (tmp_path/'a.bin.part').write_bytes(BODY*2); (tmp_path/'a.bin.part.mark').write_text('"one"')
    assert download(server.url + '/a.bin', tmp_path/'a.bin').read_bytes() == BODY

def test_wrong_hash_is_refused_and_removed(server, tmp_path):
    with pytest.raises(BadInput, match='SHA-256 is .* and not 000000000000'): download(server.url + '/a.bin', tmp_path/'a.bin', '0'*64)
    assert not [p for p in tmp_path.iterdir() if p.stat().st_size > 100]

def test_server_errors(server, tmp_path):
    with pytest.raises(BadInput, match='404'): download(server.url + '/b.bin', tmp_path/'b.bin')
    server.broken = 2
    assert download(server.url + '/a.bin', tmp_path/'a.bin').read_bytes() == BODY
    server.broken = 9
    with pytest.raises(BadInput, match='503'): download(server.url + '/a.bin', tmp_path/'c.bin', tries=2)

def zipped(path, *members):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in members: z.writestr(name, data)
    return path

def tarred(path, *members):
    with tarfile.open(path, 'w:gz') as t:
        for m, data in members:
            info = m if isinstance(m, tarfile.TarInfo) else tarfile.TarInfo(m)
            info.size = len(data); t.addfile(info, io.BytesIO(data))
    return path

def odd(kind, name='link', to='/etc/passwd'):
    info = tarfile.TarInfo(name); info.type, info.linkname = kind, to
    return info

def zip_link():
    info = zipfile.ZipInfo('link'); info.create_system, info.external_attr = 3, 0o120777 << 16
    return info

@pytest.mark.parametrize('make, end', [(zipped, 'zip'), (tarred, 'tar.gz')])
def test_unpack(tmp_path, make, end):
    got = unpack(make(tmp_path/f'a.{end}', ('x/a.txt', b'one'), ('b.txt', b'two')), tmp_path/'out', most=100)
    assert {p.relative_to(got).as_posix(): p.read_text() for p in got.rglob('*') if p.is_file()} == {'x/a.txt': 'one', 'b.txt': 'two'}
    with pytest.raises(BadInput, match='there already'): unpack(tmp_path/f'a.{end}', got)

HOSTILE = [(zipped, n) for n in ('../../out', '/out', 'x/../../out', '..\\out', 'C:out')] + [(tarred, n) for n in ('../out', '/out', 'x/../../out')]
@pytest.mark.parametrize('make, bad', HOSTILE + [(zipped, zip_link())] + [
    (tarred, odd(k)) for k in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)], ids=str)
def test_hostile_members_leave_nothing(tmp_path, make, bad):
    home = tmp_path/'deep'/'home'; home.mkdir(parents=True)
    archive = make(tmp_path/'a.x', ('fine.txt', b'fine'), (bad, b''))
    with pytest.raises(BadInput, match='leave the folder|link or a device'): unpack(archive, home/'new')
    assert sorted(p.name for p in tmp_path.rglob('*')) == ['a.x', 'deep', 'home']

@pytest.mark.parametrize('make', [zipped, tarred])
def test_bombs_doubles_and_ruins(tmp_path, make):
    with pytest.raises(BadInput, match='would come out'): unpack(make(tmp_path/'b', ('zeros', bytes(11*10**7))), tmp_path/'o')
    with pytest.raises(BadInput, match='twice'): unpack(make(tmp_path/'d', ('a/b', b'1'), ('A/B', b'2')), tmp_path/'o')
    whole = make(tmp_path/'w', ('a', BODY[:9000]), ('b', hashlib.sha256(b'x').digest()*400)).read_bytes()
    (tmp_path/'r').write_bytes(whole[:len(whole)//2])
    with pytest.raises(BadInput, match='cannot be unpacked'): unpack(tmp_path/'r', tmp_path/'o', most=10**6)
    assert not (tmp_path/'o').exists() and not list(tmp_path.glob('.*'))

def test_damaged_bytes_inside_a_zip(tmp_path):
    z = zipped(tmp_path/'z', ('a', hashlib.sha256(b'x').digest()*400)); raw = bytearray(z.read_bytes()); raw[45] ^= 255; z.write_bytes(raw)
    with pytest.raises(BadInput, match='cannot be unpacked'): unpack(z, tmp_path/'o')
    assert not (tmp_path/'o').exists()

def test_fetch_tells_asks_resumes_unpacks(server, tmp_path, capsys):
    server.files['/set v1.zip'.replace(' ', '%20')] = zipped(tmp_path/'z', ('text/a.csv', BODY)).read_bytes()
    d = Dataset('My Set', 'a test', 'sar', licence='CC0', download=server.url + '/set%20v1.zip', bytes=None)
    table, asked = Catalogue({d.name: d}), []
    assert fetch('my set', tmp_path/'data', lambda q: asked.append(q), table) is None and not server.asked
    said = capsys.readouterr().out
    assert 'CC0' in said and '4.51 kB' in said and str(tmp_path/'data'/'My-Set') in asked[0]
    server.cuts = [1000]
    home = fetch('my set', tmp_path/'data', lambda q: True, table)
    assert home == tmp_path/'data'/'My-Set' and (home/'text'/'a.csv').read_bytes() == BODY and server.asked == [None, 'bytes=1000-']
    assert sorted(p.name for p in (tmp_path/'data').iterdir()) == ['My-Set', 'My-Set.fetched.json']
    with pytest.raises(BadInput, match='there already'): fetch('my set', tmp_path/'data', None, table)
    table = Catalogue({'One file': replace(d, name='One file', download=server.url + '/a.bin')})
    assert (fetch('one file', tmp_path/'data', None, table)/'a.bin').read_bytes() == BODY

def test_a_fetch_that_fails_leaves_what_came_and_no_empty_folder(server, tmp_path):
    d = Dataset('My Set', 'a test', 'sar', download=server.url + '/gone.zip'); table = Catalogue({d.name: d})
    with pytest.raises(BadInput, match='404'): fetch('my set', tmp_path/'data', None, table)
    assert not [*(tmp_path/'data').iterdir()]
    table = Catalogue({d.name: replace(d, download=server.url + '/a.bin', sha256='0'*64)})
    with pytest.raises(BadInput, match='SHA-256'): fetch('my set', tmp_path/'data', None, table)
    assert not [*(tmp_path/'data').iterdir()]
    server.cuts = [1000, 0, 0, 0]; table = Catalogue({d.name: replace(d, download=server.url + '/a.bin')})
    with pytest.raises(BadInput, match='goes on from where it stopped'): fetch('my set', tmp_path/'data', None, table)
    assert (tmp_path/'data/My-Set.fetched/a.bin.part').stat().st_size == 1000
    assert (fetch('my set', tmp_path/'data', None, table)/'a.bin').read_bytes() == BODY
    assert sorted(p.name for p in (tmp_path/'data').iterdir()) == ['My-Set', 'My-Set.fetched.json']

SHA, MD5 = hashlib.sha256(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()

def one(server, **stated): return Catalogue({'One': Dataset('One', 'a test', 'sar', download=server.url + '/a.bin', **stated)})

@pytest.mark.parametrize('stated, says', [({}, 'not verified: the catalogue states neither size nor checksum\n'), (dict(bytes=len(BODY), stated_by='its page'), 'verified: size as the catalogue states (its page)\n'),
    (dict(sha256=SHA), 'verified: SHA-256 as the catalogue states\n'), (dict(md5=MD5, stated_by='torchgeo'), 'verified: MD5 as the catalogue states (torchgeo)\n'),
    (dict(bytes=len(BODY), sha256=SHA, md5=MD5), 'verified: size and SHA-256 and MD5 as the catalogue states\n')])
def test_what_is_stated_is_verified_and_what_came_is_noted(server, tmp_path, capsys, stated, says):
    server.cuts = [1000]                            # cut once, and gone on with
    assert (fetch('one', tmp_path, None, one(server, **stated))/'a.bin').read_bytes() == BODY and server.asked == [None, 'bytes=1000-']
    told = capsys.readouterr().out
    assert says in told and f'SHA-256 {SHA}, noted in {tmp_path/"One.fetched.json"}' in told and ('none is stated' in told) == (not {'sha256', 'md5'} & {*stated})
    assert json.loads((tmp_path/'One.fetched.json').read_text()) == dict(url=server.url + '/a.bin', file='a.bin', bytes=len(BODY), sha256=SHA)

@pytest.mark.parametrize('stated, says', [(dict(sha256='0'*64), f'its SHA-256 is {SHA[:12]}… and not 000000000000…; it was removed'), (dict(md5='0'*32), f'its MD5 is {MD5[:12]}… and not'),
    (dict(bytes=len(BODY), md5='0'*32), 'its MD5 is'), (dict(bytes=len(BODY) + 1), 'the server has 1,048,576 bytes, not the 1,048,577 that are stated')])
def test_what_is_not_as_stated_is_refused_and_leaves_nothing(server, tmp_path, stated, says):
    with pytest.raises(BadInput) as e: fetch('one', tmp_path, None, one(server, **stated))
    assert says in str(e.value) and '\n' not in str(e.value) and not [*tmp_path.iterdir()]

def test_a_size_is_held_against_a_file_begun_before(server, tmp_path):
    server.cuts = [1000, 0, 0, 0]
    with pytest.raises(BadInput, match='call it again'): fetch('one', tmp_path, None, one(server, md5=MD5))
    server.files['/a.bin'] = BODY + b'more'         # the same mark, another length: 206 tells it
    with pytest.raises(BadInput, match='that are stated'): fetch('one', tmp_path, None, one(server, bytes=len(BODY)))
    assert (tmp_path/'One.fetched/a.bin.part').stat().st_size == 1000
    server.files['/a.bin'] = BODY; assert (fetch('one', tmp_path, None, one(server, bytes=len(BODY), md5=MD5))/'a.bin').read_bytes() == BODY

def test_a_second_fetch_is_held_against_the_first(server, tmp_path, capsys):
    def again(table=one(server)):
        shutil.rmtree(tmp_path/'One', ignore_errors=True); return fetch('one', tmp_path, None, table)
    again(); again(); assert 'the same as an earlier fetch' in capsys.readouterr().out
    server.files['/a.bin'] = BODY[::-1]; server.tag = '"two"'; note = tmp_path/'One.fetched.json'; before = note.read_text()
    for asked in (3, 3):                            # what came is kept, not fetched again
        with pytest.raises(BadInput, match='SHA-256 is .* and not .* as in an earlier fetch; it is kept: remove .*One.fetched.json to take the new one, or .*a.bin to fetch it once more') as e: again()
        assert '\n' not in str(e.value) and len(server.asked) == asked and note.read_text() == before
        assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob('*')) == ['One.fetched', 'One.fetched.json', 'One.fetched/a.bin']
    note.unlink(); assert (again()/'a.bin').read_bytes() == BODY[::-1] and len(server.asked) == 3 and json.loads(note.read_text())['sha256'] == hashlib.sha256(BODY[::-1]).hexdigest()
    server.files['/b.bin'] = b'other'; other = one(server)          # another address: nothing to compare with
    assert (again(Catalogue({'One': replace(other['One'], download=server.url + '/b.bin')}))/'b.bin').read_bytes() == b'other'
    for junk in ('', '[]', '{"url": 1}', '['*100_000, '{"url": "x"}'):
        note.write_text(junk)
        with pytest.raises(BadInput, match='One.fetched.json: is no note of an earlier fetch; remove it'): again()

def test_an_error_page_served_as_an_archive_does_not_lock_the_set(server, tmp_path, capsys):
    "Nothing is noted of what could not be unpacked: the sound archive comes in as soon as the page is removed, as the sentence says"
    d = Dataset('My Set', 'a test', 'sar', download=server.url + '/a.zip'); table = Catalogue({d.name: d}); home = tmp_path/'data'
    server.files['/a.zip'] = b'<html>busy</html>'
    for _ in 'ab':
        with pytest.raises(BadInput, match='a.zip: cannot be unpacked: .*; remove it and fetch it again') as e: fetch('my set', home, None, table)
        assert '\n' not in str(e.value) and sorted(p.relative_to(home).as_posix() for p in home.rglob('*')) == ['My-Set.fetched', 'My-Set.fetched/a.zip']
    assert 'noted in' not in capsys.readouterr().out
    server.files['/a.zip'] = zipped(tmp_path/'z', ('a.csv', b'x')).read_bytes(); (home/'My-Set.fetched/a.zip').unlink()
    assert (fetch('my set', home, None, table)/'a.csv').read_bytes() == b'x' and json.loads((home/'My-Set.fetched.json').read_text())['file'] == 'a.zip'
    assert f'noted in {home/"My-Set.fetched.json"}' in capsys.readouterr().out

@pytest.mark.parametrize('name', [d.name for d in catalogue().values() if not d.download])
def test_what_must_be_fetched_by_hand_says_so(name, tmp_path):
    with pytest.raises(BadInput, match='must be fetched by hand.*unpack it to') as e: fetch(name, tmp_path)
    assert '\n' not in str(e.value) and not list(tmp_path.iterdir())

"The same input and seed give the same bytes, whatever the folder, user, clock, language and number of workers"
import hashlib
import pytest
from conftest import sartext

def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob('*')) if p.is_file()}

@pytest.fixture(scope='module')
def twice(tmp_path_factory):
    "simulate → narrate → build, twice, as two people with nothing in common would"
    people = [dict(HOME='anna', TZ='UTC', LC_ALL='C.UTF-8', PYTHONHASHSEED='1', USER='anna'),
              dict(HOME='bert', TZ='Pacific/Auckland', LC_ALL='C', PYTHONHASHSEED='2', USER='bert')]
    res = []
    for i, env in enumerate(people):
        home = tmp_path_factory.mktemp(env['USER']); env['HOME'] = str(home)
        work = home/('here' if i == 0 else 'elsewhere/with a space'); work.mkdir(parents=True)
        out = '.' if i == 0 else str(work)                     # relative for the one, absolute for the other
        for args in (['simulate', '--out', f'{out}/world', '--n', 40, '--size', 96, '--workers', i + 1],
                     ['narrate', '--images', f'{out}/world', '--annotations', f'{out}/world/annotations.json', '--out', f'{out}/records.jsonl'],
                     ['build', '--records', f'{out}/records.jsonl', '--out', f'{out}/data', '--workers', i + 1]):
            r = sartext(*args, cwd=work if i == 0 else home, env=env)
            assert r.returncode == 0, r.stderr
        res.append(work)
    return res

@pytest.mark.parametrize('part', ['world', 'records.jsonl', 'data'])
def test_same_bytes(part, twice):
    a, b = (work/part for work in twice)
    if a.is_file(): assert a.read_bytes() == b.read_bytes()
    else: assert bytes_of(a) == bytes_of(b) and len(bytes_of(a)) > 5

def test_names_no_folder(twice):
    "What is built names neither the folder nor the user"
    for work in twice:
        for p in (q for q in [work/'records.jsonl', *(work/'data').rglob('*')] if q.is_file()):
            assert str(work).encode() not in p.read_bytes() and str(work.parent).encode() not in p.read_bytes(), p.name

def test_seed_matters(twice, tmp_path):
    work = twice[0]
    r = sartext('narrate', '--images', work/'world', '--annotations', work/'world/annotations.json', '--out', tmp_path/'r.jsonl', '--seed', 1)
    assert r.returncode == 0 and (tmp_path/'r.jsonl').read_bytes() != (work/'records.jsonl').read_bytes()

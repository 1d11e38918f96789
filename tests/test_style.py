"The house style, as far as a machine can check it"
import ast, re, socket
from pathlib import Path
import pytest
from conftest import directives, modules, name_of, notebooks, read, root

MAX_LINES, MAX_MB, MAX_WIDTH = 40, 1.5, 120
EXPORT = {'export', 'exports'}
# what belongs to one machine: its folders, its name, a server on it
PRIVATE = [r'/(?:home|root|Users|tmp|work|mnt|opt|private)/[\w.]', r'\b[A-Z]:\\\\?Users', r'\b(?:127\.0\.0\.1|localhost):\d']
PRIVATE += [re.escape(str(p)) for p in (root, Path.home()) if len(p.parts) > 1]
PRIVATE += [re.escape(socket.gethostname())] if len(socket.gethostname()) > 5 else []
# what another run would print otherwise: progress bars, addresses, times
RESIDUE = {r'\d+%\|': 'a progress bar', r'\d(?:it|s)/(?:s|it)\b': 'a progress bar', r' at 0x[0-9a-f]{6,}': 'an object address',
           r'\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d': 'the time of the run'}
EMOJI = re.compile('[\U0001F300-\U0001FAFF\u2600-\u27BF\uFE0F]')

def parsed(cell):
    try: return ast.parse(re.sub(r'^\s*[%!].*', '', cell.source, flags=re.M)).body
    except SyntaxError: return []

def is_import(o): return isinstance(o, (ast.Import, ast.ImportFrom))
def body(cell): return [l for l in cell.source.splitlines() if l.strip() and not l.startswith('#|')]

def texts(cell):
    "Every text of `cell` that is committed"
    yield cell.source
    for o in cell.get('outputs', []):
        yield o.get('text', '')
        for kind, v in o.get('data', {}).items():
            if kind.startswith('text/') or kind.endswith('svg+xml'): yield ''.join(v)

def bad_cell(cell, where, previous):
    "What is wrong with a code cell; `previous` is the code cell before it, None after a markdown cell or an import cell"
    d, tree = directives(cell), parsed(cell)
    exported, outputs = d & EXPORT, cell.get('outputs', [])
    if 'nbdev_export(' in cell.source: yield f'{where}: nbdev_export() belongs on the command line'
    if any(map(is_import, tree)) and not all(map(is_import, tree)): yield f'{where}: imports and other code in one cell'
    if any(o.output_type == 'error' for o in outputs): yield f'{where}: a saved error'
    if any('widget-view' in kind for o in outputs for kind in o.get('data', {})): yield f'{where}: a saved widget or progress bar'
    if any(o.get('name') == 'stderr' for o in outputs): yield f'{where}: a saved warning or progress bar (stderr)'
    for text in list(texts(cell))[1:]:
        yield from (f'{where}: {what} in its output' for pattern, what in RESIDUE.items() if re.search(pattern, text))
    if 'parameters' in cell.metadata.get('tags', []) and d & {*EXPORT, 'eval', 'notest', 'slow', 'gpu'}:
        yield f'{where}: a parameters cell must always run and never be exported'
    if not exported: return
    if len(body(cell)) > MAX_LINES: yield f'{where}: {len(body(cell))} lines exported at once'
    if any(isinstance(o, ast.ImportFrom) and o.names[0].name == '*' for o in tree): yield f'{where}: star import in the library'
    if re.search(r'^\s*@patch', cell.source, flags=re.M): yield f'{where}: @patch'
    if re.search(r'\bfastcore\b', cell.source): yield f'{where}: fastcore is only there for tests'
    if previous is not None and directives(previous) & EXPORT and not all(map(is_import, tree)):
        yield f'{where}: two exported cells in a row; show what the first does before the next'
    yield from (f'{where}: a line of {len(l)} characters' for l in body(cell) if len(l) > MAX_WIDTH)

@pytest.mark.parametrize('path', notebooks(), ids=name_of)
def test_style(path):
    nb, bad, previous = read(path), [], None
    if not re.match(r'# .+\n\n?> .+(\n\n|\n*$)', nb.cells[0].source): bad.append('the first cell is not "# Title" and "> one line"')
    if 'widgets' in nb.metadata: bad.append('widget state is saved in the metadata')
    if path.stat().st_size > MAX_MB*2**20: bad.append(f'larger than {MAX_MB} MB')
    for i, cell in enumerate(nb.cells):
        where = f'cell {i}'
        for text in texts(cell):
            bad += [f'{where}: {m[0]!r} is of one machine' for p in PRIVATE for m in re.finditer(p, text)]
            bad += [f'{where}: emoji {m[0]!r}' for m in EMOJI.finditer(text)]
        if cell.cell_type != 'code': continue
        bad += bad_cell(cell, where, previous)
        only_imports = parsed(cell) and all(map(is_import, parsed(cell)))
        if not only_imports and body(cell): previous = cell
    assert not bad, '\n  '+'\n  '.join(bad)

@pytest.mark.parametrize('module, path', modules().items(), ids=lambda o: o if isinstance(o, str) else name_of(o))
def test_notebook_has_the_name_of_its_module(module, path):
    assert re.fullmatch(r'\d\d_' + re.escape(module.split('.')[-1]), path.stem), f'{path.name} exports sartext.{module}'

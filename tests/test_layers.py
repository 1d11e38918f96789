"Modules import only from the layers below them, and heavy libraries only inside the functions that need them"
import ast
import pytest
from conftest import lib, modules, name_of, notebooks, read

LAYERS = [{'records'}, {'imagery'}, {'simulate', 'sources'}, {'narrate'}, {'dataset'}, {'models'}, {'evaluate'}, {'train'}, {'compare'},
          {'explore', 'exercises', 'reproduce', 'website'}, {'playground', 'browser'}, {'before_after', 'search', 'chat'}, {'cli'}]
RANK = {name: i for i, layer in enumerate(LAYERS) for name in layer}
HEAVY = {'torch', 'torchvision', 'open_clip', 'transformers', 'accelerate', 'peft', 'timm', 'rasterio', 'matplotlib', 'pyarrow', 'webdataset',
         'sklearn', 'pandas', 'imagehash', 'papermill', 'nbdev', 'scipy', 'pycocotools', 'pycocoevalcap', 'IPython', 'ipywidgets'}
MAY_BE_HEAVY = {'models', 'evaluate', 'train', 'compare', 'explore'}    # who uses these uses torch
# What shows itself in a notebook may ask a layer above for it, inside the one function that does so: (module, function) → what
SHOWN = {('records', '_thumbnail'): {'imagery.read'}}
NOTEBOOKS = modules()
FILES = {p.relative_to(lib).with_suffix('').as_posix().replace('/', '.'): p for p in lib.rglob('*.py') if not p.name.startswith('_')}

def imported(tree, module) -> set[str]:
    "Dotted names that `tree` imports, also inside functions; relative ones are resolved from `module`"
    package, res = ['sartext', *module.split('.')[:-1]], set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Import): res |= {a.name for a in n.names}
        elif isinstance(n, ast.ImportFrom):
            base = package[:len(package)-n.level+1] if n.level else []
            full = '.'.join([*base, *([n.module] if n.module else [])])
            res |= {full} | {f'{full}.{a.name}' for a in n.names}
    return res

def ours(names) -> set[str]:
    "The modules of the library among dotted `names`"
    found = {n.removeprefix('sartext.') for n in names if n.startswith('sartext.')}
    return {m for m in FILES if any(n == m or n.startswith(m + '.') for n in found)}

def test_modules_and_notebooks():
    assert set(FILES) == set(NOTEBOOKS), 'every module has its notebook'
    assert {m.split('.')[0] for m in FILES} <= set(RANK), 'every module has its layer'

@pytest.mark.parametrize('module', sorted(FILES))
def test_layers(module):
    tree = ast.parse(FILES[module].read_text())
    showing = [n for n in tree.body if isinstance(n, ast.FunctionDef) and (module, n.name) in SHOWN]
    for n in showing: assert ours(imported(n, module)) == SHOWN[module, n.name], f'{n.name} shows with {SHOWN[module, n.name]} alone'
    tree.body = [n for n in tree.body if n not in showing]
    top, uses = module.split('.')[0], ours(imported(tree, module)) - {module}
    wrong = {u for u in uses if u.split('.')[0] != top and RANK[u.split('.')[0]] >= RANK[top]}
    assert not wrong, f'{module} imports {sorted(wrong)}, which is not below it'
    later = {u for u in uses if NOTEBOOKS[u].name >= NOTEBOOKS[module].name}
    assert not later, f'{module} imports {sorted(later)}, whose notebook comes later'

@pytest.mark.parametrize('module', sorted(m for m in FILES if m.split('.')[0] not in MAY_BE_HEAVY))
def test_no_heavy_import_at_the_top(module):
    tree = ast.parse(FILES[module].read_text())
    tree.body = [n for n in tree.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    heavy = {n.split('.')[0] for n in imported(tree, module)} & HEAVY
    assert not heavy, f'{module} imports {sorted(heavy)} at its top; import them in the functions that need them'

# Modules of optional extras that a notebook asks for: notebook → why it runs without them
OPTIONAL = {'20_splits': {'ray'}, '61_website': {'nbdev', 'execnb'}}     # a second way to run; the site is made by developers

def installed() -> set[str]:
    "Names of the distributions that `make install` brings: sartext's requirements and theirs, no extra"
    import re
    from importlib.metadata import PackageNotFoundError, requires
    from packaging.requirements import Requirement
    found, todo = set(), ['sartext']
    while todo:
        name = re.sub(r'[-_.]+', '-', todo.pop()).lower()
        if name in found: continue
        try: needs = requires(name) or ()
        except PackageNotFoundError: continue
        found.add(name); todo += [r.name for r in map(Requirement, needs) if not r.marker or r.marker.evaluate({'extra': ''})]
    return found

@pytest.mark.parametrize('path', notebooks(), ids=name_of)
def test_notebooks_run_after_an_install(path):
    "A notebook asks for nothing that only developers have"
    import re, sys
    from importlib.metadata import packages_distributions
    have, of = installed(), packages_distributions()
    names = {n.split('.')[0] for cell in read(path).cells if cell.cell_type == 'code' and not cell.source.startswith('%') for n in imported(ast.parse(cell.source), '')}
    asked = names - {'sartext', '', *sys.stdlib_module_names} - OPTIONAL.get(path.stem, set())
    assert not [n for n in asked if not have & {re.sub(r'[-_.]+', '-', d).lower() for d in of.get(n, ())}]

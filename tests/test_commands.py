"Every `sartext …` that a page tells its readers to type exists, with these flags and these words"
import re
from functools import cache
import pytest
from conftest import name_of, notebooks, read, root
from sartext.reproduce import PROFILES

PAGES = [root/'README.md', *notebooks()]
BLOCK = re.compile(r'^```[^\n]*\n(.*?)^```|^((?: {4}[^\n]*\n?)+)', flags=re.M | re.S)
SPAN = re.compile(r'(?<!`)`([^`\n]+)`(?!`)')
# flags of other programs that pages speak of between backticks
FOREIGN = {'--dataset-type',                                                                   # open_clip's
           '--num_machines', '--machine_rank', '--main_process_ip', '--main_process_port'}     # accelerate's

@cache
def app():
    from typer.main import get_command
    from sartext.cli import app
    return get_command(app)

def commands(group) -> list:
    "All commands below `group`, itself among them"
    return [group, *(c for sub in getattr(group, 'commands', {}).values() for c in commands(sub))]

def options(command) -> dict:
    "Flag → parameter"
    return {flag: p for p in command.params for flag in (*p.opts, *p.secondary_opts) if flag.startswith('-')} | {'--help': None}

def faults(line: str):
    "What is wrong with one command as a page shows it: […] may be left out, … stands for more, A|B is a choice"
    words = re.sub(r'[\[\]]|\s#\s.*', ' ', line.replace(r'\|', '|')).split()[1:]
    here, rest = app(), list(words)
    while rest and hasattr(here, 'commands') and re.fullmatch(r'[a-z][a-z-]*', rest[0]):
        if rest[0] not in here.commands: yield f'there is no command {rest[0]!r}'; return
        here = here.commands[rest.pop(0)]
    known = {flag: p for c in (commands(here) if hasattr(here, 'commands') else [here]) for flag, p in options(c).items()}
    parts = [part for w in rest for part in (w.split('|') if '|-' in w else [w])]
    flat = [v for part in parts for v in (part.split('=', 1) if part.startswith('--') else [part])]
    for flag, value in zip(flat, [*flat[1:], '']):
        if not re.fullmatch(r'--?[a-z][\w-]*', flag): continue
        if flag not in known: yield f'{here.name} has no {flag}'; continue
        choices = PROFILES if flag == '--profile' else getattr(getattr(known[flag], 'type', None), 'choices', None)
        bad = [v for v in value.split('|') if re.fullmatch(r'[a-z][\w-]*', v) and v not in choices] if choices else []
        if bad: yield f'{flag} takes no {bad[0]!r}, but {", ".join(map(str, choices))}'

def told(path) -> list[str]:
    "The commands and flags a page names: in blocks, in spans, and in cells that call the shell"
    if path.suffix == '.md': cells = [('markdown', path.read_text(encoding='utf-8'))]
    else: cells = [(c.cell_type, c.source) for c in read(path).cells]
    found = []
    for kind, text in cells:
        if kind == 'code': found += re.findall(r'^[!%]+\s*(sartext .*)$', text, flags=re.M); continue
        for block in BLOCK.finditer(text): found += re.findall(r'^\s*(?:!|\$ )?(sartext .*)$', block[1] or block[2], flags=re.M)
        found += [s for s in SPAN.findall(BLOCK.sub('', text)) if re.match(r'sartext [a-z…\[]|--[a-z]', s)]
    return found

@pytest.mark.parametrize('path', PAGES, ids=name_of)
def test_commands(path):
    everywhere, bad = {flag for c in commands(app()) for flag in options(c)} | FOREIGN, []
    for line in told(path):
        if line.startswith('sartext'): bad += [f'{line}: {why}' for why in faults(line)]
        else: bad += [f'{line}: no command has {flag}' for flag in re.findall(r'(?<!\S)--[a-z][\w-]*', line) if flag not in everywhere]
    assert not bad, '\n  ' + '\n  '.join(bad)

def test_commands_are_found():
    lines = told(root/'README.md')
    assert len(lines) > 30 and any(l.startswith('sartext narrate --images DIR --annotations') for l in lines) and '--clipscore MODEL' in lines

@pytest.mark.parametrize('line, word', [
    ('sartext tell --images DIR', "'tell'"), ('sartext narrate --images DIR --pictures DIR', '--pictures'), ('sartext evaluate speed', "'speed'"),
    (r'sartext reproduce --profile smoke\|huge', "'huge'"), ('sartext check RECORDS [--caption FILE]', '--caption'),
    ('sartext evaluate … --report x', '--report'), ('sartext train --data=DIR --speed=9', '--speed'), (r'sartext recipe X --root DIR\|--simulate', '--simulate')])
def test_a_wrong_command_is_seen(line, word): assert word in ' '.join(faults(line))

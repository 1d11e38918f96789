"A JupyterLab of its own with a notebook in a browser, and hands to work its widgets with: for the tests, and for benchmarks/explorers.py"
import os, socket, subprocess, sys, time, urllib.request
from contextlib import contextmanager
import nbformat
from conftest import root
from sartext.narrate.annotation import narrate
from sartext.records import read_records, write_records
from sartext.simulate import write_world

RUN_ALL = """async () => {
    const app = window.jupyterapp, panel = app.shell.currentWidget;
    await panel.context.ready; await panel.sessionContext.ready; await panel.sessionContext.session.kernel.info;
    await app.commands.execute('notebook:run-all-cells');
    return panel.content.widgets.filter(c => c.model.type == 'code' && c.model.executionCount == null).length; }"""

# what fails in the kernel when a control is changed is nowhere in the page: to the console with it
COMPLAIN = """() => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.iopubMessage.connect((_, m) => { if (m.header.msg_type == 'error') console.error('kernel: ' + m.content.evalue); }); }"""

@contextmanager
def jupyter(home, work):
    "A JupyterLab that shares nothing with the user's own; its address and the folder it shows"
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    note = home/'settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings'
    note.parent.mkdir(parents=True); note.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    own = {'CONFIG_DIR': 'config', 'DATA_DIR': 'data', 'RUNTIME_DIR': 'runtime'}
    env = os.environ | {f'JUPYTER_{k}': str(home/v) for k, v in own.items()} | {
        'IPYTHONDIR': str(home/'ipython'), 'JUPYTERLAB_SETTINGS_DIR': str(home/'settings'), 'TQDM_DISABLE': '1',
        'JUPYTERLAB_WORKSPACES_DIR': str(home/'workspaces'), 'PYTHONPATH': str(root)}
    with open(home/'log', 'w') as log:
        server = subprocess.Popen([sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--expose-app-in-browser',
            '--ip=127.0.0.1', f'--port={port}', '--IdentityProvider.token=', f'--ServerApp.root_dir={work}'],
            env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            try: urllib.request.urlopen(f'http://127.0.0.1:{port}/api/status', timeout=1); break
            except OSError: time.sleep(.3)
        else: raise RuntimeError((home/'log').read_text()[-2000:])
        yield f'http://127.0.0.1:{port}', work
    finally: server.terminate(); server.wait(30)

def open_notebook(browser, lab, name, *cells):
    "A notebook of these cells, run in a `lab`: its page, and the list that takes what the console complains of"
    url, work = lab; said = []
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nb.metadata.kernelspec = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    nbformat.write(nb, work/f'{name}.ipynb')
    page = browser.new_page(viewport=dict(width=1500, height=1250))
    page.on('pageerror', lambda e: said.append(str(e)))
    page.on('console', lambda m: said.append(f'{m.text} {m.location.get("url", "")}') if m.type == 'error' else None)
    page.goto(f'{url}/lab/tree/{name}.ipynb?reset')
    page.wait_for_function('() => window.jupyterapp?.shell?.currentWidget?.sessionContext', timeout=90_000)
    page.evaluate("() => { const a = window.jupyterapp; a.commands.execute('application:toggle-left-area'); }")
    assert page.evaluate(RUN_ALL) == 0, 'a cell did not run'
    page.evaluate(COMPLAIN)
    return page, said

def field(page, label, kind='input'): return page.locator(f':is(.widget-inline-hbox, .widget-toggle-buttons):has(> label:text-is("{label}")) {kind}').first
def settle(page):
    "Wait until the kernel has answered everything and rests"
    page.evaluate("""async () => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        for (let rests = 0, n = 0; rests < 8 && n < 600; n++) {
            await new Promise(r => setTimeout(r, 100)); rests = kernel.status == 'idle' ? rests + 1 : 0; } }""")

def drag(page, handle, dx):
    "Take hold of a slider's handle and pull it sideways"
    settle(page)        # what was asked before would put the handle back
    b = handle.bounding_box(); x, y = b['x'] + b['width']/2, b['y'] + b['height']/2
    page.mouse.move(x, y); page.mouse.down(); page.mouse.move(x + dx/2, y, steps=4); page.mouse.move(x + dx, y, steps=4); page.mouse.up()

def upload(page, path):
    with page.expect_file_chooser() as chooser: page.get_by_role('button', name='or upload one').click()
    chooser.value.set_files(path)

def told_world(folder, n, change=lambda told: told):
    "Simulated scenes with a short caption each: the records, and their file"
    write_world(folder, n, seed=4, size=128)
    told = change([narrate(r, kinds=('concise',)) for r in read_records(folder/'records.jsonl')])
    write_records(told, folder/'told.jsonl'); return told, str(folder/'told.jsonl')

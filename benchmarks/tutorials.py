"""All tutorials under papermill, one after another, and the seconds each of them takes.

    python benchmarks/tutorials.py [--out FOLDER] [--names 07 09] [--threads 1]

The tutorials have one size, the smallest (that of the profile `smoke`): a run of all of them is what a class does in an hour. Whether a run
says what the committed notebooks say, in text, numbers and figures, is for `tests/test_notebooks.py`; here only the time is taken.
The table is in Markdown: wall time, processor time of the notebook's own processes, and both sums.
"""
import argparse, os, resource, tempfile, time
from pathlib import Path

def seconds():
    "Wall clock, and processor time of all processes that were started here and have ended"
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), r.ru_utime + r.ru_stime

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='keep the executed notebooks here')
    parser.add_argument('--names', nargs='*', default=[''], help='only tutorials that begin so')
    parser.add_argument('--threads', default='1', help='OMP_NUM_THREADS of the kernels')
    a = parser.parse_args(); os.environ['OMP_NUM_THREADS'] = a.threads
    from sartext.reproduce import run_notebook
    with tempfile.TemporaryDirectory() as tmp:
        out, rows = a.out or Path(tmp), []
        print('| tutorial | seconds | of a processor |\n| --- | ---: | ---: |', flush=True)
        for path in sorted((Path(__file__).parent.parent/'nbs'/'tutorials').glob('*.ipynb')):
            if not path.name.startswith(tuple(a.names)): continue
            before = seconds(); run_notebook(path, out/path.name, timeout=600, progress=False)
            rows.append([b - c for b, c in zip(seconds(), before)])
            print(f'| {path.stem} | {rows[-1][0]:.0f} | {rows[-1][1]:.0f} |', flush=True)
    print('| together | {:.0f} | {:.0f} |'.format(*map(sum, zip(*rows))))

if __name__ == '__main__': main()

"""Seconds a training step with and without `sartext.train.keep_memory`, one process each, same pictures and weights.

    python benchmarks/training.py [--steps 12] [--size 128] [--batch 64]

Prints the median step in seconds of each, the share of it spent in the system, peak memory, and the ratio.

    python benchmarks/training.py --beside-open-clip [--images 256] [--epochs 1 3] [--size 128] [--batch 64]

The loop of sartext beside open_clip's own trainer (`open_clip_train`, which the open_clip_torch wheel carries): the same small ViT with random
weights and all of it learning, the same PNG files and captions (a CSV for open_clip), fp32, on the processor. Each decodes and changes the pictures
in its own way: open_clip reads and crops every picture again in each epoch, in a worker; sartext keeps them decoded and changes their brightness.
Every run is one process with its workers. Two lengths of run are taken, and their difference is what further epochs cost, without start and end;
a ratio above 1 says that sartext needs less. Processor time bears a busy machine better than wall time.
"""
import argparse, json, os, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path


def job(keep, steps, size, batch):
    import numpy as np, torch
    from sartext import train
    from sartext.models.starts import start
    from sartext.records import Caption, Record
    if not keep: train.keep_memory = lambda: False
    model, n = start('packaged', size=size), 4*batch
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8))
    captions = tuple((Caption(f'{i} ships.'),) for i in range(n))
    pairs = {'sar': train.Pairs(pixels, captions, tuple(Record(str(i), f'{i}.png', size, size) for i in range(n)))}
    texts = train.text_table(model, pairs['sar'].said())
    stage, times = train.Stage('sar', (('sar', 1.),), steps, batch_size=batch, frozen_blocks=2), [time.perf_counter()]
    check = train._check_finite
    train._check_finite = lambda *a: (times.append(time.perf_counter()), check(*a))
    train.run_stage(model, stage, pairs, texts)
    used = resource.getrusage(resource.RUSAGE_SELF)
    gaps = [b - a for a, b in zip(times[2:], times[3:])]
    print(json.dumps({'step': statistics.median(gaps), 'system': used.ru_stime/(used.ru_utime + used.ru_stime),
                      'peak_gb': used.ru_maxrss/1e6}))


VIT = dict(embed_dim=128, vision_cfg=dict(image_size=128, layers=6, width=192, head_width=64, patch_size=16),
           text_cfg=dict(context_length=32, vocab_size=49408, width=128, heads=2, layers=4))
THEIRS = 'import sys, open_clip; open_clip.add_model_config(sys.argv[1]); from open_clip_train.main import main; main(sys.argv[2:])'


def write_pictures(folder, n, size):
    "Speckled pictures with bright targets, and a CSV of what is on them"
    import numpy as np
    from PIL import Image
    rows = ['filepath,caption']
    for i in range(n):
        rng = np.random.default_rng(i); a, k = 40*rng.gamma(4, .25, (size, size)), 1 + i % 5
        for y, x in rng.integers(8, size - 16, (k, 2)): a[y:y + 8, x:x + 8] += 180
        Image.fromarray(a.clip(0, 255).astype(np.uint8)).convert('RGB').save(folder/f'{i}.png')
        rows.append(f'{folder/f"{i}.png"},Scene {i} shows {k} bright targets on a dark ground.')
    (folder/'pairs.csv').write_text('\n'.join(rows) + '\n')


def ours(folder, epochs, batch):
    import csv, open_clip
    from sartext import train
    from sartext.models.starts import Preprocess, Start, to_pixels
    from sartext.records import Caption, Record
    open_clip.add_model_config(folder/'small-vit.json'); size = VIT['vision_cfg']['image_size']
    start = Start('small-vit', open_clip.create_model('small-vit'), open_clip.get_tokenizer('small-vit'), Preprocess(size), VIT, {})
    with open(folder/'pairs.csv', newline='') as f: rows = list(csv.DictReader(f))
    pixels = to_pixels((Path(r['filepath']) for r in rows), start.preprocess)
    records = tuple(Record(str(i), r['filepath'], size, size) for i, r in enumerate(rows))
    pairs = {'sar': train.Pairs(pixels, tuple((Caption(r['caption']),) for r in rows), records)}
    stage = train.Stage('sar', (('sar', 1.),), epochs*len(rows)//batch, batch_size=batch, trainable='all')
    print(json.dumps(dict(loss=train.run_stage(start, stage, pairs, None)[-1]['loss'])))


def spent(command, folder):
    "Wall and processor seconds of a command with all its workers, and what it printed"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)
    if ran.returncode: sys.exit(ran.stderr[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ran.stdout + ran.stderr


def beside_open_clip(images, epochs, size, batch):
    VIT['vision_cfg']['image_size'] = size; few, many = epochs
    if images % batch or not 0 < few < many: sys.exit('--images must be a multiple of --batch, --epochs two rising numbers')
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp); write_pictures(folder, images, size); (folder/'small-vit.json').write_text(json.dumps(VIT))
        def theirs(n): return [sys.executable, '-c', THEIRS, folder/'small-vit.json', '--model', 'small-vit', '--dataset-type', 'csv', '--train-data', folder/'pairs.csv',
                               '--csv-separator', ',', '--csv-img-key', 'filepath', '--csv-caption-key', 'caption', '--batch-size', batch, '--epochs', n, '--workers', 1,
                               '--precision', 'fp32', '--device', 'cpu', '--lr', 5e-4, '--beta2', .98, '--eps', 1e-6, '--wd', .01, '--warmup', 1,
                               '--grad-clip-norm', 1, '--save-frequency', 0, '--logs', folder/'logs', '--name', f'run-{n}']
        def mine(n): return [sys.executable, Path(__file__).resolve(), '--job', f'{folder}:{n}', '--batch', batch, '--size', size]
        found = {(who, n): spent(command(n), folder) for n in (few, many) for who, command in (('open_clip_train', theirs), ('sartext', mine))}
    more = (many - few)*images; a_pair = {}
    for who in ('open_clip_train', 'sartext'):
        wall, cpu = (found[who, many][k] - found[who, few][k] for k in (0, 1)); a_pair[who] = wall, cpu
        print(f'{who:16} {more/cpu:6.1f} pairs a processor second; the whole run of {many} epochs: '
              f'{found[who, many][1]:.0f} s of processor, {found[who, many][0]:.0f} s')
    (wall, cpu), (our_wall, our_cpu) = a_pair['open_clip_train'], a_pair['sartext']
    by = f'{wall/our_wall:.2f} by wall time' if min(wall, our_wall) > .5*min(cpu, our_cpu) else 'not told by wall time: the machine is too busy'
    print(f"{images} pictures of {size}², batches of {batch}, {os.cpu_count()} cores, {os.environ.get('OMP_NUM_THREADS', 'all')} threads: "
          f"sartext is {cpu/our_cpu:.2f} times as fast by processor time, {by}")


def main():
    p = argparse.ArgumentParser(); p.add_argument('--job')
    for name, value in (('steps', 12), ('size', 128), ('batch', 64)): p.add_argument(f'--{name}', type=int, default=value)
    p.add_argument('--beside-open-clip', action='store_true'); p.add_argument('--images', type=int, default=256)
    p.add_argument('--epochs', type=int, nargs=2, default=(1, 3))
    a = p.parse_args()
    if a.beside_open_clip: return beside_open_clip(a.images, a.epochs, a.size, a.batch)
    if a.job and ':' in a.job:
        VIT['vision_cfg']['image_size'] = a.size; folder, _, n = a.job.rpartition(':')
        return ours(Path(folder), int(n), a.batch)
    if a.job: return job(a.job == 'kept', a.steps, a.size, a.batch)
    sizes, found = ['--steps', a.steps, '--size', a.size, '--batch', a.batch], {}
    for way in ('returned', 'kept', 'returned', 'kept'):        # twice, in turn: the better of each
        out = subprocess.run([sys.executable, __file__, '--job', way, *map(str, sizes)], capture_output=True, text=True, check=True)
        one = json.loads(out.stdout.splitlines()[-1])
        if way not in found or one['step'] < found[way]['step']: found[way] = one
    for way, r in found.items():
        print(f"{way:9} {r['step']:.3f} s a step, {a.batch/r['step']:.0f} images/s, {r['system']:.0%} in the system, peak {r['peak_gb']:.1f} GB")
    print(f"kept is {found['returned']['step']/found['kept']['step']:.2f} times as fast")


if __name__ == '__main__': main()

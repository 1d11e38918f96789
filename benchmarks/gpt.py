"""Does a SAR-GPT look? Its answers beside those that need no picture and those of similar pictures.

    python benchmarks/gpt.py OUT [--scenes 4000] [--test 200] [--steps 500] [--tower-steps 500] [--layers 8] [--arm both] [--seed 0] …
    python benchmarks/gpt.py OUT --costs

Scenes of the training world are drawn into OUT, and the narrator asks ten questions of each, no descriptions. A SAR-GPT learns the
questions of the first scenes, a pack a picture, and answers those of the others. Two arms: *single stage* begins with the packaged
image tower, *captions first* with the tower of a SAR-RS-CoCa that was trained on concise captions of the same training scenes.
Everything finished is kept in OUT and another run goes on from there. Printed: percent right of every application with 95 %
bootstrap intervals over scenes, beside random, majority and question-only answers and those of similar training pictures (by their
looks, and by the arm's own trained tower), the paired differences, and of each arm twenty right answers and ten wrong ones, drawn by
seed. `--costs` measures instead a training step, packed and one by one, and an answer, in seconds of processor time.
"""
import argparse, csv, time
from pathlib import Path
from coca import read


def towers(start, pixels, batch=64):
    "The mean of the image tower's grid for each picture, (N, C)"
    import torch
    from sartext.models.gpt import seen_grid
    from sartext.models.starts import normalise
    with torch.inference_mode():
        rows = [seen_grid(start.model.visual, normalise(pixels[i:i + batch], start.preprocess)).mean((2, 3)) for i in range(0, len(pixels), batch)]
    return torch.cat(rows).numpy()


def told(start, items, at, pixels, file):
    "Answers to `items` about `pixels[at]`, those of alike lengths together; each batch is kept in `file`"
    from sartext.models.gpt import answer
    kept = {(r['image'], r['question']): r['predicted'] for r in csv.DictReader(open(file))} if file.exists() else {}
    todo = sorted((k for k, i in enumerate(items) if (i.image, i.question) not in kept), key=lambda k: len(items[k].question))
    with open(file, 'a', newline='') as f:
        rows = csv.writer(f)
        if not kept and not f.tell(): rows.writerow(('image', 'question', 'predicted', 'truth'))
        for n in range(0, len(todo), 32):
            some = todo[n:n + 32]
            said = answer(start, [pixels[at[k]] for k in some], [items[k].question for k in some], 32, 12)
            for k, s in zip(some, said): kept[items[k].image, items[k].question] = s
            rows.writerows((items[k].image, items[k].question, s, items[k].reference) for k, s in zip(some, said)); f.flush()
    return [kept[i.image, i.question] for i in items]


def costs(start, pairs, batch):
    "Seconds of processor time: a training step of `batch` packs, the same questions one by one, an answer"
    import torch
    from sartext.models.gpt import answer, answering, trainable
    from sartext.models.starts import normalise
    own = [p[0].questions for p in pairs.captions[:batch]]; n = sum(map(len, own))
    module, tokens_of, _ = answering(start)
    one_by_one = [q for some in own for q in some], torch.cat([pairs.pixels[k:k + 1].expand(len(some), -1, -1, -1) for k, some in enumerate(own)])
    for learns in ('lora', 'image'):
        trainable(start.model, learns)
        for name, (said, pixels) in {'packed': ([p[0] for p in pairs.captions[:batch]], pairs.pixels[:batch]), 'one by one': one_by_one}.items():
            tokens, spent = tokens_of(said), []
            for _ in range(3):
                began = time.process_time(); module(normalise(pixels, start.preprocess), tokens)[0].mean().backward()
                spent.append(time.process_time() - began)
            print(f'{learns:6} {name:11} {tuple(tokens.shape)} tokens: {min(spent):.2f} s a step, {1e3*min(spent)/n:.0f} ms a question', flush=True)
    began = time.process_time(); answer(start, [pairs.pixels[0]]*32, [q.question for some in own for q in some][:1]*32, 32, 4)
    print(f'answering: {1e3*(time.process_time() - began)/32:.0f} ms a question', flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('out', type=Path)
    numbers = dict(scenes=4000, test=200, size=128, steps=500, batch=4, lr=1e-3, learns='lora', layers=8, rank=16, image_tokens=16, pack=10,
                   tower_steps=500, tower_batch=32, seed=0, threads=2)
    for name, value in numbers.items(): p.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    p.add_argument('--arm', choices=('single stage', 'captions first', 'both'), default='both')
    p.add_argument('--costs', action='store_true')
    a = p.parse_args()
    import torch
    from sartext.evaluate.answering import (answers_table, baselines, difference, draw_items, items_of, picture_features,
                                            score_answers, similar_image)
    from sartext.models import coca, gpt
    from sartext.narrate.annotation import narrate
    from sartext.narrate.questions import APPLICATIONS, PER_IMAGE, ask, class_shares
    from sartext.records import read_records
    from sartext.simulate import write_world
    from sartext.train import Pairs, Stage, train
    torch.set_num_threads(a.threads)
    if a.costs: a.scenes, a.test, a.out = a.batch, 0, a.out/'costs'
    n = a.scenes + a.test; drawn = a.out/'world'/'records.jsonl'
    if not drawn.exists() or sum(1 for _ in open(drawn)) != n: write_world(a.out/'world', n, seed=3, size=a.size, workers=a.threads)
    records = list(read_records(drawn)); shares = class_shares(records[:a.scenes])
    asks = {k: PER_IMAGE[k] for k in APPLICATIONS if k != 'image description'}
    records = [ask(narrate(r, 0, kinds=('concise',), per_image=4, plans='seen'), per_application=asks, shares=shares) for r in records]
    def begin(tower): return gpt.start(f'packaged-gpt{tower}', a.seed, a.size if not tower else None, image_tokens=a.image_tokens, rank=a.rank, layers=a.layers)
    first = begin(''); pixels = read(drawn.parent, records, first.preprocess)
    own, new = slice(a.scenes), slice(a.scenes, n)
    def pairs(said): return {'sar': Pairs(pixels[own], tuple(map(said, records[own])), tuple(records[own]))}
    packed = pairs(lambda r: gpt.packs(r.questions, a.pack))
    if a.costs: return costs(first, packed['sar'], a.batch)

    known, items = items_of(records[own]), items_of(records[new]); where = {r.image: k for k, r in enumerate(records)}
    at = [where[i.image] - a.scenes for i in items]
    print(f'{a.scenes} scenes with {len(known)} questions, {a.test} others with {len(items)}, {a.size} px; {a.layers or "all"} layers, {a.image_tokens} image tokens, '
          f'rank {a.rank}, {a.learns} learns, {a.steps} steps of {a.batch} packs, {a.threads} threads', flush=True)
    looks = {r.image: picture_features(x[0].numpy()) for r, x in zip(records, pixels)}
    runs = baselines(items, known, looks.get)
    arms = ('single stage', 'captions first') if a.arm == 'both' else (a.arm,)
    for arm in arms:
        tower, folder, began = '', a.out/arm.replace(' ', '-'), time.perf_counter()
        if arm == 'captions first':
            stage = Stage('sar', (('sar', 1.),), a.tower_steps, lr=1e-3, batch_size=a.tower_batch, frozen_blocks=2)
            train(coca.start(size=a.size, seed=a.seed), [stage], pairs(lambda r: r.captions), a.out/'tower', a.seed)
            tower = f"@{a.out/'tower'/'1-sar'}"
        seeing = time.perf_counter() - began; began = time.perf_counter()
        stage = Stage('sar', (('sar', 1.),), a.steps, lr=a.lr, batch_size=a.batch, trainable=a.learns)
        start, history = train(begin(tower), [stage], packed, folder, a.seed)
        learning = time.perf_counter() - began; began = time.perf_counter()
        said = told(start, items, at, pixels[new], folder/'answers.csv')
        print(f'{arm}: tower {seeing/60:.1f}, questions {learning/60:.1f}, answers {(time.perf_counter() - began)/60:.1f} minutes (0 where kept); '
              f'loss {history[0]["loss"]:.2f} → {sum(h["loss"] for h in history[-20:])/len(history[-20:]):.2f}', flush=True)
        runs[arm] = score_answers(items, said, arm); seen = dict(zip((r.image for r in records), towers(start, pixels)))
        near = f'similar image, tower of {arm}'; runs[near] = score_answers(items, similar_image(known, items, seen.get), near)
    print(answers_table([*runs.values()]).markdown())
    dull = ('majority', 'question only', 'similar image')
    for arm in arms:
        against = {k: r for k, r in runs.items() if k in dull or k == f'similar image, tower of {arm}' or k == 'single stage' != arm}
        groups = [(r.name, '', runs[arm], r) for r in against.values()]
        groups += [(r.name, g, mine, r.by('application')[g]) for r in against.values() for g, mine in runs[arm].by('application').items()]
        for name, group, mine, other in groups: print(f'{arm} − {name}, {group or "all"}: {difference(mine, other)}')
    for arm in arms:
        said = {(i.image, i.question): (s, v) for i, s, v in zip(runs[arm].items, runs[arm].predictions, runs[arm].verdicts)}
        print(f'\n{arm}: twenty right answers and ten wrong ones, drawn by seed')
        for right, some in ((True, 20), (False, 10)):
            own = [i for i in items if said[i.image, i.question][1].right == right]
            for i in draw_items(own, min(some, len(own))) if own else ():
                print(f"{'right' if right else 'WRONG'}  {i.application:22} {Path(i.image).stem}: {i.question} — {said[i.image, i.question][0]}" + ('' if right else f' (it is: {i.reference})'))


if __name__ == '__main__': main()

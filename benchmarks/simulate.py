"""Simulated scenes of 256² a second on one core, beside drawing nothing but their speckle.

    python benchmarks/simulate.py [--n 60] [--size 256]

The peer is the least any simulator must do: one gamma-distributed value for each pixel and polarisation, with NumPy.
"""
import argparse, os, time
os.environ['OMP_NUM_THREADS'] = '1'
import numpy as np
from sartext.simulate import scene


def main():
    p = argparse.ArgumentParser(); p.add_argument('--n', type=int, default=60); p.add_argument('--size', type=int, default=256)
    a = p.parse_args(); scene(0, 10**6, size=a.size)            # what is set up once
    began = time.process_time(); drawn = [len(scene(0, i, size=a.size).intensity) for i in range(a.n)]
    ours = time.process_time() - began
    rng, began = np.random.default_rng(0), time.process_time()
    for bands in drawn: rng.gamma(4., .25, (bands, a.size, a.size))
    floor = time.process_time() - began
    print(f'scenes {a.n/ours:.1f} a second, speckle alone {a.n/floor:.1f} a second: {ours/floor:.1f} times its time (processor time)')


if __name__ == '__main__': main()

"Speckle filters against their papers' formulas, pixel by pixel, on real Sentinel-1 where it is there and on drawn speckle"
import math
import numpy as np
import pytest
from sartext.imagery.read import read_image
from sartext.imagery.speckle import FILTERS, enl, estimate_enl

L, R = 4.4, 3

def drawn():
    rng = np.random.default_rng(5); x = np.full((48, 48), .05); x[:, 20:] = .4; x[30:] *= 3; x[10, 10] = 20
    return x*rng.gamma(L, 1/L, x.shape)

@pytest.fixture
def city(data): return read_image(data/'s1_float'/'sentinel1_20171021_VH_city.tif', quantity='intensity').array[0]

@pytest.fixture(params=('drawn', 'real'))
def scene(request): return drawn() if request.param == 'drawn' else request.getfixturevalue('city')[200:248, 300:348].astype(float)

def window(y, i, j, r=R): return [[y[i + a][j + b] for b in range(-r, r + 1)] for a in range(-r, r + 1)]
def moments(values):
    m = sum(values)/len(values)
    return m, sum((v - m)**2 for v in values)/len(values)

def mmse(y, m, v):
    cv = 1/L; vx = (v - m*m*cv)/(1 + cv)
    return m + min(max(vx/v if v else 0, 0), 1)*(y - m)

def boxcar(w): return moments(sum(w, []))[0]
def lee(w): return mmse(w[R][R], *moments(sum(w, [])))

def frost(w, k=2.):
    m, v = moments(sum(w, [])); above = below = 0
    for i, row in enumerate(w):
        for j, value in enumerate(row):
            weight = math.exp(-k*v/m**2*math.hypot(i - R, j - R)); above += weight*value; below += weight
    return above/below

def gamma_map(w):
    m, v = moments(sum(w, [])); ci, cu = math.sqrt(v)/m, 1/math.sqrt(L); y = w[R][R]
    if ci <= cu: return m
    if ci >= math.sqrt(2)*cu: return y
    a = (1 + cu**2)/(ci**2 - cu**2)                          # a·x² − (a − L − 1)·m·x − L·m·y = 0, its root above 0
    p = (a - L - 1)*m
    return (p + math.sqrt(p*p + 4*a*L*m*y))/(2*a)

def refined_lee(w):
    part = [[moments([w[2*i + a][2*j + b] for a in range(3) for b in range(3)])[0] for j in range(3)] for i in range(3)]
    c = part[1][1]
    right = part[0][2] + part[1][2] + part[2][2] - part[0][0] - part[1][0] - part[2][0]
    upper_right = part[0][1] + part[0][2] + part[1][2] - part[1][0] - part[2][0] - part[2][1]
    up = sum(part[0]) - sum(part[2])
    upper_left = part[0][0] + part[0][1] + part[1][0] - part[1][2] - part[2][1] - part[2][2]
    sizes = [abs(right), abs(upper_right), abs(up), abs(upper_left)]; k = sizes.index(max(sizes))
    first, second = [(part[1][2], part[1][0]), (part[0][2], part[2][0]), (part[0][1], part[2][1]), (part[0][0], part[2][2])][k]
    near_first = abs(first - c) <= abs(second - c)
    sign = 1 if near_first else -1                            # x to the right, y up, from the middle pixel
    inside = [lambda x, y: x*sign >= 0, lambda x, y: (x + y)*sign >= 0, lambda x, y: y*sign >= 0, lambda x, y: (y - x)*sign >= 0][k]
    return mmse(w[R][R], *moments([w[i][j] for i in range(7) for j in range(7) if inside(j - 3, 3 - i)]))

@pytest.mark.parametrize('name, formula', (('boxcar', boxcar), ('lee', lee), ('frost', frost), ('gamma-map', gamma_map),
                                           ('refined-lee', refined_lee)))
def test_filter_is_its_formula(scene, name, formula):
    y = scene; have = FILTERS[name](y, L)[R:-R, R:-R]; rows = y.tolist()
    want = np.array([[formula(window(rows, i, j)) for j in range(R, 48 - R)] for i in range(R, 48 - R)])
    np.testing.assert_allclose(have, want, rtol=2e-5)

def test_looks_of_a_real_image(city):
    assert 3 < estimate_enl(city) < 8       # GRD-HD of interferometric wide swath: 4.4 equivalent looks stated by ESA

def test_looks_survive_edges_and_holes():
    y = np.tile(drawn(), (5, 5)); y[:40, :40] = np.nan
    assert abs(estimate_enl(y)/L - 1) < .25 and enl(np.ones(5)) == float('inf')

"Calibration against its formulas written out pixel by pixel, and on real Sentinel-1, OpenSARShip and Gaofen-3 where they are there"
import math, shutil
from dataclasses import replace
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sartext.imagery.calibration import Table, calibrate, normalise, read_calibration, read_noise, read_safe
from sartext.imagery.read import Raster, read_image
from sartext.imagery.speckle import estimate_enl
from sartext.records import BadInput, Problems
from sartext.sources.boxes import read_opensarship

def refused(f, *words):
    with pytest.raises(BadInput) as e: f()
    for w in words: assert w in str(e.value), str(e.value)
    assert '\n' not in str(e.value)

# ── between the normalisations ───────────────────────────────────────────────────────────────────────────────────────

def by_hand(power, of, to, degrees):
    t = math.radians(degrees); sigma = {'beta0': power*math.sin(t), 'sigma0': power, 'gamma0': power*math.cos(t)}[of]
    return {'beta0': sigma/math.sin(t), 'sigma0': sigma, 'gamma0': sigma/math.cos(t)}[to]

kinds = st.sampled_from(('beta0', 'sigma0', 'gamma0'))

@settings(max_examples=60, deadline=None)
@given(kinds, kinds, st.sampled_from(('one', 'columns', 'pixels')), st.integers(0, 99))
def test_normalise_by_hand(of, to, shape, seed):
    rng = np.random.default_rng(seed); power = rng.uniform(.001, 3, (2, 4, 5)); power[0, 1, 2] = np.nan
    angle = {'one': 37., 'columns': rng.uniform(20, 50, 5), 'pixels': rng.uniform(20, 50, (4, 5))}[shape]
    want = np.array([[[by_hand(p, of, to, t) for p, t in zip(*row)] for row in zip(band, np.broadcast_to(angle, (4, 5)))] for band in power])
    for quantity, there in (('intensity', lambda p: p), ('amplitude', np.sqrt), ('db', lambda p: 10*np.log10(p))):
        have = normalise(Raster(np.float32(there(power)), quantity, of), to, angle)
        np.testing.assert_allclose(have.array, there(want), rtol=2e-5, atol=2e-5)
        assert (have.quantity, have.normalisation) == (quantity, to)

def test_normalise_refuses():
    r = Raster(np.ones((1, 3, 4), 'float32'), 'intensity', 'sigma0', path='a.tif')
    for angle in (0, -5, 90, 120, np.nan): refused(lambda: normalise(r, 'gamma0', angle), 'a.tif', 'between 0 and 90')
    refused(lambda: normalise(r, 'gamma0', np.full((3, 4), .7)), 'radians')
    refused(lambda: normalise(r, 'gamma0'), 'without the incidence angle')
    refused(lambda: normalise(r, 'gamma0', np.full(3, 30.)), 'for each column')
    for normalisation in (None, 'uncalibrated'):
        refused(lambda: normalise(replace(r, normalisation=normalisation), 'gamma0', 30), 'calibrate it first')
    for quantity in (None, 'dn', 'display', 'complex'):
        refused(lambda: normalise(replace(r, quantity=quantity), 'gamma0', 30), 'carries no calibration')
    holed = replace(r, array=np.where(np.arange(4) == 2, np.nan, r.array)); angles = np.array([30, 31, np.nan, 32])
    assert np.isfinite(normalise(holed, 'gamma0', angles).array).sum() == 9          # no angle is needed where nothing is
    assert normalise(r, 'sigma0').array is r.array

# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────

def numbers(tag, values): return f'<{tag} count="{len(values)}">{" ".join(map(str, values))}</{tag}>'
LINES, PIXELS = (-7, 30, 700, 1300), ((0, 40, 90), (0, 50, 90), (0, 40, 90), (0, 45, 90))
def gain(line, pixel): return 300 + .01*line + .5*pixel + .0005*pixel**2
HEAD = '<adsHeader><polarisation>{}</polarisation><swath>IW</swath></adsHeader>'

def calibration(pol='VV', scale=1):
    body = ''
    for line, pixels in zip(LINES, PIXELS):
        g = [scale*gain(line, p) for p in pixels]
        body += (f'<calibrationVector><azimuthTime>2021-04-01T05:26:23.794457</azimuthTime><line>{line}</line>'
                 f'{numbers("pixel", pixels)}{numbers("sigmaNought", g)}{numbers("betaNought", [x*.7 for x in g])}{numbers("gamma", [x*.9 for x in g])}'
                 f'{numbers("dn", g)}</calibrationVector>')
    return f'<?xml version="1.0"?><calibration>{HEAD.format(pol)}<calibrationVectorList count="4">{body}</calibrationVectorList></calibration>'

def noise(pol='VV'):
    body = ''.join(f'<noiseRangeVector><line>{line}</line>{numbers("pixel", p)}{numbers("noiseRangeLut", [50 + .1*line + x for x in p])}</noiseRangeVector>'
                   for line, p in zip(LINES, PIXELS))
    def block(a, b, c, d, f):
        return (f'<noiseAzimuthVector><swath>IW1</swath><firstAzimuthLine>{a}</firstAzimuthLine><firstRangeSample>{c}</firstRangeSample><lastAzimuthLine>{b}'
                f'</lastAzimuthLine><lastRangeSample>{d}</lastRangeSample>{numbers("line", [a, b])}{numbers("noiseAzimuthLut", f)}</noiseAzimuthVector>')
    return (f'<noise>{HEAD.format(pol)}<noiseRangeVectorList>{body}</noiseRangeVectorList><noiseAzimuthVectorList>'
            f'{block(0, 599, 0, 49, (1, 2))}{block(600, 1200, 0, 49, (3, 4))}{block(0, 1200, 50, 90, (.5, .5))}</noiseAzimuthVectorList></noise>')

def between(x, xs, ys):
    i = max(j for j in range(len(xs) - 1) if xs[j] <= x)
    return ys[i] + (ys[i + 1] - ys[i])*(x - xs[i])/(xs[i + 1] - xs[i])

def bilinear(line, pixel, f): return between(line, LINES, [between(pixel, p, [f(l, x) for x in p]) for l, p in zip(LINES, PIXELS)])

@pytest.fixture
def written(tmp_path):
    for pol, scale in (('VV', 1), ('VH', 2)): (tmp_path/f'cal-{pol}.xml').write_text(calibration(pol, scale)); (tmp_path/f'noise-{pol}.xml').write_text(noise(pol))
    return tmp_path

def test_calibrate_pixel_by_pixel(written):
    "Bands find their own table; the raster is cut out of the image; rows lie on both sides of a strip's edge"
    dn = np.random.default_rng(2).integers(5, 60, (2, 1100, 60)).astype('float32'); dn[0, 3, 4] = np.nan
    tables = [read_calibration(written/f'cal-{p}.xml') for p in ('VV', 'VH')]; noises = [read_noise(written/f'noise-{p}.xml') for p in ('VV', 'VH')]
    raster, corner = Raster(dn, 'dn', 'uncalibrated', ('VH', 'VV')), (100, 20)
    plain = {to: calibrate(raster, tables, to, corner=corner) for to in ('sigma0', 'beta0', 'gamma0')}
    clean = calibrate(raster, tables, noise=noises, corner=corner); seen = 0
    assert np.isnan(plain['sigma0'].array[0, 3, 4]) and np.isfinite(plain['sigma0'].array).sum() == dn.size - 1
    for b, scale in enumerate((2, 1)):
        for i in (0, 499, 500, 511, 512, 600, 1023, 1024, 1099):
            for j in (0, 19, 21, 29, 30, 31, 59):
                line, pixel = i + corner[0], j + corner[1]; a = scale*bilinear(line, pixel, gain); power = float(dn[b, i, j])**2
                for to, k in (('sigma0', 1), ('beta0', .7), ('gamma0', .9)): assert plain[to].array[b, i, j] == pytest.approx(power/(a*k)**2, rel=1e-4)
                along = .5 if pixel >= 50 else 1 + line/599 if line <= 599 else 3 + (line - 600)/600
                left = power - bilinear(line, pixel, lambda l, p: 50 + .1*l + p)*along; seen += left < 0
                assert clean.array[b, i, j] == pytest.approx(max(left, 0)/a**2, rel=1e-3, abs=1e-9)
    assert seen and np.nanmin(clean.array) == 0 and any("were below" in n for n in clean.notes)
    assert clean.normalisation == 'sigma0' and clean.quantity == 'intensity'

def test_calibrate_refuses(written):
    t = read_calibration(written/'cal-VV.xml'); r = Raster(np.ones((1, 20, 20), 'float32'), 'dn', polarisations=('VV',), path='s1.tif')
    refused(lambda: calibrate(r), 's1.tif', 'calibration table')
    refused(lambda: calibrate(replace(r, polarisations=('HH',)), t), '0 calibration tables for HH', 'VV IW')
    refused(lambda: calibrate(r, t, corner=(0, 80)), 'cal-VV.xml', 'pixels 0 … 90', '80 … 99'); refused(lambda: calibrate(r, t, corner=(1290, 0)), 'lines')
    refused(lambda: calibrate(r, t, corner=(-10, 0)), 'lines -7'); calibrate(r, t, corner=(-7, 0)); calibrate(r, t, corner=(1281, 71))
    for corner in ((1282, 71), (1281, 72), (-8, 0)): refused(lambda: calibrate(r, t, corner=corner), 'covers')
    refused(lambda: calibrate(r, t, noise=read_noise(written/'noise-VH.xml')), '0 noise tables for VV')
    refused(lambda: calibrate(replace(r, normalisation='sigma0'), t), 'already')
    for q in ('db', 'display', None): refused(lambda: calibrate(replace(r, quantity=q), t), 'no digital numbers')
    refused(lambda: calibrate(replace(r, quantity='intensity'), t), 'may be calibrated already')
    calibrate(replace(r, quantity='intensity', normalisation='uncalibrated'), t)
    assert calibrate(replace(r, polarisations=None), t).polarisations == ('VV',)

@pytest.mark.parametrize('old, new, words', [
    ('</calibration>', '', ('line 1', 'not well-formed')), ('<calibration>', '<!DOCTYPE a [<!ENTITY x "y">]><calibration>', ('refused for safety',)),
    ('count="3">0 40 90', 'count="4">0 40 90', ('vector 1', '4 numbers and holds 3')), ('0 40 90<', '0 forty 90<', ('vector 1', "'forty'")),
    ('0 50 90', '0 95 90', ('vector 2', 'ascend')), ('<line>30<', '<line>-30<', ('-7, -30, 700', 'lines that ascend')), ('<gamma count="3">', '<gamma count="3">-', ('vector 1', '<gamma>')),
    ('<gamma', '<delta', ('not well-formed',)), ('VV', '', ('no <polarisation>',)), ('<sigmaNought count="3">', '<sigmaNought count="4">5 ', ('4 numbers', '3 pixels')),
    ('<line>-7<', '<line>nan<', ('<line>',)), ('calibration>', 'noise>', ('root element is <noise>',))])
def test_broken_tables(tmp_path, old, new, words):
    text = calibration(); assert old in text
    text = text.replace(old, new) if old in ('calibration>', 'VV') else text.replace(old, new, 1)
    (tmp_path/'broken.xml').write_text(text); refused(lambda: read_calibration(tmp_path/'broken.xml'), 'broken.xml', *words)

def test_tables_of_no_file(tmp_path):
    refused(lambda: read_calibration(tmp_path/'none.xml'), 'none.xml', 'No such file'); refused(lambda: read_noise(tmp_path), 'cannot be read')
    (tmp_path/'n.xml').write_text(noise().replace('count="2">1 2<', 'count="3">1 2 3<')); refused(lambda: read_noise(tmp_path/'n.xml'), 'azimuth vector 1', '3 values for 2 lines')
    (tmp_path/'n.xml').write_text(noise().replace('noiseRangeLut', 'noiseRangeLot')); refused(lambda: read_noise(tmp_path/'n.xml'), 'no <noiseRangeLut>')

def test_first_points_of_a_published_table(tmp_path):
    "Values of a real calibration XML (S1A, stripmap S3, VV, 2021-04-01; xarray-sentinel, Apache-2.0), first three points, in ESA's layout"
    vector = lambda line: (f'<calibrationVector><azimuthTime>2021-04-01T15:28:55.111501</azimuthTime><line>{line}</line><pixel count="3">0 40 80</pixel>'
              '<sigmaNought count="3">1.219780e+02 1.219522e+02 1.219266e+02</sigmaNought><betaNought count="3">8.495000e+01 8.495000e+01 8.495000e+01</betaNought>'
              '<gamma count="3">1.140674e+02 1.140359e+02 1.140045e+02</gamma></calibrationVector>')
    (tmp_path/'c.xml').write_text('<?xml version="1.0" encoding="UTF-8"?>\n<calibration>\n  <adsHeader><missionId>S1A</missionId><polarisation>VV</polarisation><mode>S3</mode>'
        f'<swath>S3</swath></adsHeader><calibrationInformation><absoluteCalibrationConstant>1.000000e+00</absoluteCalibrationConstant></calibrationInformation>'
        f'<calibrationVectorList count="2">{vector(0)}{vector(100)}</calibrationVectorList></calibration>')
    t = read_calibration(tmp_path/'c.xml'); assert (t.polarisation, t.swath) == ('VV', 'S3')
    r = Raster(np.full((1, 50, 81), 80, 'float32'), 'dn', polarisations=('VV',)); beta = calibrate(r, t, 'beta0')
    angle = np.degrees(np.arcsin((t.values['beta0'][0]/t.values['sigma0'][0])**2)); assert angle[0] == pytest.approx(29.01, abs=.01)
    for to in ('sigma0', 'gamma0'):    # the three tables of one product and the formulas agree
        np.testing.assert_allclose(normalise(beta, to, np.interp(np.arange(81), t.pixels, angle)).array, calibrate(r, t, to).array, rtol=2e-5)

# ── real data ────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_safe(data):
    found = {p.name[:7]: read_safe(p) for p in sorted(data.glob('s1_safe_metadata/*.SAFE'))}
    have = {k: (s.mode, s.product, s.polarisations, s.orbit_state, s.datetime[:19], s.quantity, s.geometry) for k, s in found.items()}
    assert have == {'S1A_EW_': ('EW', 'SLC', ('HH', 'HV'), 'descending', '2021-04-03T12:25:36', 'complex', 'slant'),
                    'S1A_S3_': ('SM', 'SLC', ('VV', 'VH'), 'ascending', '2021-04-01T15:28:55', 'complex', 'slant'),
                    'S1B_IW_': ('IW', 'GRD', ('VV', 'VH'), 'descending', '2021-04-01T05:26:23', 'dn', 'ground'),
                    'S1B_WV_': ('WV', 'SLC', ('VV',), 'descending', '2021-04-03T08:30:25', 'complex', 'slant')}
    grd = found.pop('S1B_IW_'); assert (grd.looks, grd.incidence, grd.pixel_spacing, grd.resolution) == (5, 38.9292, (10, 10), None)
    for s in found.values(): assert (s.looks, s.incidence, s.pixel_spacing) == (None,)*3            # only their manifests are here
    assert {s.sensor for s in found.values()} == {'Sentinel-1'} and {s.normalisation for s in found.values()} == {'uncalibrated'}
    wave = data/'s1_safe_metadata'/next(p.name for p in data.glob('s1_safe_metadata/*_WV_*'))
    assert read_safe(wave, 'WV2').mode == 'WV'; refused(lambda: read_safe(wave, 'IW1'), "['WV1', 'WV2']")

def test_broken_safe(data, tmp_path):
    source = next(data.glob('s1_safe_metadata/*GRDH*')); safe = tmp_path/'a.SAFE'; shutil.copytree(source, safe)
    first = sorted((safe/'annotation').glob('*.xml'))[0]; text = first.read_text()
    for cut in (0, 9, 2000, len(text)//2, len(text) - 5): first.write_text(text[:cut]); refused(lambda: read_safe(safe), first.name, 'not well-formed')
    first.write_text(text.replace('<incidenceAngleMidSwath>', '<incidenceAngleMidSwath>x')); refused(lambda: read_safe(safe), 'incidenceAngleMidSwath', first.name)
    first.write_text(text.replace('3.892921583041158e+01</inc', '3.1e+01</inc')); assert read_safe(safe).incidence is None   # two angles are none
    first.write_text(text); manifest = (safe/'manifest.safe').read_text()
    for cut in (0, 500, len(manifest)//2): (safe/'manifest.safe').write_text(manifest[:cut]); refused(lambda: read_safe(safe), 'manifest.safe', 'not well-formed')
    (safe/'manifest.safe').write_text(manifest.replace('SENTINEL-1<', 'SENTINEL-2<')); refused(lambda: read_safe(safe), 'not a Sentinel-1 image')
    (safe/'manifest.safe').unlink(); refused(lambda: read_safe(safe), 'No such file'); refused(lambda: read_safe(first), 'root element is <product>')

def chips(data, patch):
    "Records by scene and place in it: one ship's file is called differently in Patch and Patch_Cal"
    found = read_opensarship(data/'opensarship', data/'opensarship', Problems('skip'), patch=patch, decode=False)
    return {r.scene + r.image[r.image.rindex('_x'):]: r for r in found}
def pixels(data, r): return read_image(data/'opensarship'/r.image, r.sar.quantity, r.sar.normalisation, r.sar.polarisations)

def test_opensarship_patch_and_patch_cal(data):
    "Patch_Cal is DN²/A², sigma nought as intensity: taken to beta nought by the angle of each ship, one gain is left for all of a product type"
    raw, cal = chips(data, 'Patch'), chips(data, 'Patch_Cal'); assert len(raw) == 181 and raw.keys() == cal.keys()
    gains = {'GRD': [], 'SLC': []}; lost = total = 0
    for k, r in raw.items():
        dn, sigma = pixels(data, r), pixels(data, cal[k]); assert sigma.normalisation == 'sigma0' and dn.normalisation == 'uncalibrated'
        assert dn.array.shape == sigma.array.shape and dn.polarisations == sigma.polarisations == (('VH', 'VV') if r.sar.product == 'GRD' else ('VV',))
        power = np.square(dn.array, dtype=float) if dn.quantity == 'dn' else dn.array.astype(float)
        use = sigma.array > 0; lost += (~use & (power > 0)).sum(); total += use.size*(r.sar.product == 'SLC')
        factor = np.where(use, power, np.nan)/np.where(use, sigma.array, 1)
        assert np.nanmax(factor)/np.nanmin(factor) < 1.0027                                # over a chip: below 0.012 dB
        column = np.nanmean(factor, (0, 1)); i = np.arange(len(column)); line = np.polyval(np.polyfit(i, column, 1), i)
        assert np.nanmax(np.abs(factor/line - 1)) < 2.1e-5                                 # and it is a ramp along range
        beta = normalise(sigma, 'beta0', r.sar.incidence).array
        gains[r.sar.product].append(np.sqrt(np.nanmedian(np.where(use, power, np.nan)/np.where(use, beta, 1))))
    np.testing.assert_allclose(gains['GRD'], 473.8, rtol=5e-4); np.testing.assert_allclose(gains['SLC'], 236.91, rtol=5e-4)
    assert (len(gains['GRD']), len(gains['SLC'])) == (125, 56) and (lost, total) == (4143, 183152)

@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_opensarship_zeros_of_the_complex_chips(data):
    "Patch_Cal is 0 exactly where the real part of the complex chip is 0"
    import rasterio
    calibrated = chips(data, 'Patch_Cal')
    for k, r in chips(data, 'Patch').items():
        if r.sar.product != 'SLC': continue
        with rasterio.open(data/'opensarship'/r.image) as f: real = f.read(1)
        with rasterio.open(data/'opensarship'/calibrated[k].image) as f: assert ((f.read(1) == 0) == (real == 0)).all()

def test_opensarship_calibrated_by_a_table(data):
    "A table with the gain found above, cut at the chip's place, gives Patch_Cal back"
    raw, cal = chips(data, 'Patch'), chips(data, 'Patch_Cal')
    for k in [k for k in raw if raw[k].sar.product == 'GRD'][::9]:
        dn, sigma, angle = pixels(data, raw[k]), pixels(data, cal[k]), math.radians(raw[k].sar.incidence)
        x, y = (int(v) for v in raw[k].image.rpartition('_x')[2].removesuffix('.tif').split('_y')); grid = {'sigma0': np.full((2, 2), 473.8/math.sqrt(math.sin(angle)))}
        tables = [Table(p, 'IW', np.array([y - 200., y + 200]), np.array([x - 200., x + 200]), grid) for p in ('VV', 'VH')]
        have = calibrate(dn, tables, corner=(y - 100, x - 100)); np.testing.assert_allclose(have.array, sigma.array, rtol=2.5e-3)

def test_opensarship_band_order(data):
    "The bands of the dual-polarised chips are VH, VV: held against the 8-bit chips that carry it in their name"
    from PIL import Image
    seen = 0
    for r in chips(data, 'Patch_Cal').values():
        if r.sar.polarisations != ('VH', 'VV'): continue
        a, folder = pixels(data, r).array, (data/'opensarship'/r.image).parent.parent/'Patch_Uint8'
        stem = r.image.rpartition('/')[2].removesuffix('.tif')
        for b, pol in enumerate(('vh', 'vv')):
            p = next(iter(folder.glob(f'*{stem[stem.rindex("_x"):]}_{pol}.tif')), None)
            if p is None: continue
            shown = np.asarray(Image.open(p).convert('L')).ravel().astype(float); order = [np.corrcoef(shown, np.sqrt(x).ravel())[0, 1] for x in a]
            seen += 1; assert order[b] > order[1 - b]
    assert seen > 200

def test_gaofen3_is_uncalibrated(data):
    for scene in (1, 2, 3):
        r = {p: read_image(data/'gf3_quadpol'/f'scene{scene}_{p}.tiff') for p in ('HH', 'HV', 'VH', 'VV')}
        assert {(x.quantity, x.normalisation, x.polarisations) for x in r.values()} == {('dn', 'uncalibrated', (p,)) for p in r}
        assert all(any('not calibrated' in n for n in x.notes) for x in r.values())
        refused(lambda: normalise(r['HH'], 'gamma0', 35), 'calibrate it first'); refused(lambda: calibrate(r['HH']), 'calibration table')
        assert all(3.4 < estimate_enl(x.array[0]) < 5.2 for x in r.values())                # amplitude of one look has 3.66, intensity 1
        medians = {p: np.nanmedian(x.array) for p, x in r.items()}
        assert medians['HV'] > medians['HH'] and medians['VH'] > medians['VV']            # cross above co-polarisation: channels are not on one scale

def test_real_decibels(data):
    for p in (*sorted(data.glob('terramind_s1/S1RTC/*.tif')), *sorted(data.glob('sen1floods11/S1/*.tif'))):
        refused(lambda: normalise(read_image(p), 'sigma0', 39.), p.name, 'not known')
        r = read_image(p, normalisation='gamma0'); angle = np.linspace(31, 46, r.array.shape[2]); s = normalise(r, 'sigma0', angle)
        np.testing.assert_allclose(s.array - r.array, np.broadcast_to(10*np.log10(np.cos(np.radians(angle))), r.array.shape)
                                   + 0*r.array, atol=2e-5)

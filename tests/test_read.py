"Reading images: every real data set at hand, damaged files, and properties of the stretch"
import struct, warnings, zlib
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sartext.imagery.read import (Raster, check_image, display_image, image_kind, image_size, plot, read_image, to_display)
from sartext.records import BadInput, Box

pytestmark = pytest.mark.filterwarnings('error')      # a warning in reading is a fault

def files(data, pattern):
    found = sorted(data.glob(pattern))
    assert found, f'{pattern} is not in the data folder'
    return found

def save_tif(path, bands, tags=None, **options):
    import rasterio
    bands = np.asarray(bands); bands = bands[None] if bands.ndim == 2 else bands
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(path, 'w', driver='GTiff', dtype=bands.dtype, count=len(bands), height=bands.shape[1],
                           width=bands.shape[2], **options) as f: f.write(bands); f.update_tags(**(tags or {}))
    return path

def refused(path, *words, **facts):
    "The file is refused by every reader with one `BadInput` that names it and holds `words`"
    for f in (read_image, display_image):
        with pytest.raises(BadInput) as e: f(path, **facts)
        problem = e.value.problem
        assert problem.file == str(path) and problem.reason and problem.remedy
        for w in words: assert w in str(problem), str(problem)
        assert '\n' not in str(problem)

# ── real data ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def spread(shown):
    "Share of pixels that are neither black nor white, and how many grey values are used"
    return ((shown > 0) & (shown < 255)).mean(), len(np.unique(shown))

def test_gf3(data):
    for p in files(data, 'gf3_quadpol/*.tiff'):
        r = read_image(p)
        assert r.quantity == 'dn' and r.polarisations == (p.stem[-2:],) and r.crs is None
        empty = np.isnan(r.array).mean()
        assert empty == pytest.approx(.268, abs=.001) if p.stem.startswith('scene1') else empty == 0
        inside, greys = spread(to_display(r)[~np.isnan(r.array[0])])
        assert inside > .97 and greys > 150         # a linear stretch of this heavy tail leaves nearly all of it black

def test_linear_seven_decades(data):
    r = read_image(*files(data, 's1_float/*.tif'))
    assert r.quantity is None and r.polarisations == ('VH',) and any('linear' in n for n in r.notes)
    shown = to_display(r); inside, greys = spread(shown)
    assert inside > .97 and greys > 200 and 60 < np.median(shown) < 190
    as_said = display_image(*files(data, 's1_float/*.tif'), quantity='intensity')
    np.testing.assert_array_equal(shown, as_said)

@pytest.mark.parametrize('pattern', ['sen1floods11/S1/*.tif', 'terramind_s1/S1RTC/*.tif'])
def test_decibels(data, pattern):
    for p in files(data, pattern):
        r = read_image(p)
        assert r.quantity == 'db' and len(r.array) == 2 and r.crs.startswith('EPSG:') and len(r.transform) == 6
        if 'sen1' in pattern: assert r.polarisations == ('VV', 'VH')
        else: assert r.polarisations is None       # its bands are called 'bands': not known, so not said
        assert spread(to_display(r, 1))[0] > .97
        refused(p, 'expected intensity, got negative values', "pass quantity='db'", quantity='intensity')
        assert read_image(p, polarisations=('VV', 'VH'), normalisation='gamma0').normalisation == 'gamma0'

def test_opensarship(data):
    for p in files(data, 'opensarship/*/Patch_Uint8/*.tif'): assert read_image(p).quantity == 'display'
    for p in files(data, 'opensarship/*/Patch_Cal/*.tif'): assert read_image(p).quantity is None and spread(display_image(p))[1] > 30
    for p in files(data, 'opensarship/*SLC*/Patch/*.tif')[:10]:
        refused(p, 'do not tell what they are', 'complex')
        r = read_image(p, quantity='complex')
        assert r.quantity == 'intensity' and len(r.array) == 1 and (r.array >= 0).all() and 'phase' in r.notes[0]

def test_ssdd_colour(data):
    "28 of the 938 images here have unequal channels (34 of all 1,160): they keep three bands, and are shown as the mean"
    colour = 0
    for p in files(data, 'ssdd/JPEGImages/*.jpg'):
        shown = display_image(p)
        a = np.asarray(Image.open(p).convert('RGB'))
        assert image_size(p) == shown.shape[::-1]
        if (a[..., 0] == a[..., 1]).all() and (a[..., 1] == a[..., 2]).all(): assert (shown == a[..., 0]).all()
        else:
            colour += 1; r = read_image(p)
            np.testing.assert_array_equal(shown, np.rint(a.mean(-1)))
            assert len(r.array) == 3 and any('mean of its channels' in n for n in r.notes)
    assert colour == 28

@pytest.mark.parametrize('pattern', ['mstar_chips/T72/*.jpeg', 'oil_spill/images/*.jpg', 'mstar_scenes/JPEGImages/*.jpg',
                                     'sar_optical/sih1733/*_sar.jpg'])
def test_grey_jpegs_pass_through(data, pattern):
    for p in files(data, pattern)[:24]:
        assert check_image(p) == ''
        np.testing.assert_array_equal(display_image(p), np.asarray(Image.open(p).convert('RGB'))[..., 0])

# ── damaged and odd files ────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    return (.05*rng.gamma(4, 1/4, (60, 90))).astype('float32')

@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.tif', 'a.bmp', 'b.tif'])
def test_truncated(tmp_path, scene, name):
    p = tmp_path/name
    if name == 'b.tif': save_tif(p, scene, compress='deflate', tiled=True, blockxsize=16, blockysize=16)
    elif name == 'a.tif': save_tif(p, scene)
    else: Image.fromarray(np.uint8(scene*255)).save(p)
    assert check_image(p) == '' and image_size(p) == (90, 60)
    whole = p.read_bytes()
    for share in (.3, .6, .95):
        p.write_bytes(whole[:int(len(whole)*share)])
        assert check_image(p); refused(p, 'cannot be decoded completely', 'again')

def test_wrong_files(tmp_path, scene):
    (tmp_path/'empty.png').touch(); refused(tmp_path/'empty.png', 'empty')
    (tmp_path/'text.tif').write_text('not a tiff'); refused(tmp_path/'text.tif', 'not an image', 'convert')
    refused(tmp_path/'lost.jpg', 'no such file'); refused(tmp_path, 'folder')
    assert check_image(tmp_path/'lost.jpg') and check_image(tmp_path)
    Image.fromarray(np.uint8(scene*255)).save(tmp_path/'x.png'); (tmp_path/'x.png').rename(tmp_path/'x.jpg')
    assert image_kind(tmp_path/'x.jpg') == 'PNG' and display_image(tmp_path/'x.jpg').shape == (60, 90)   # suffixes lie
    save_tif(tmp_path/'y.png', scene); assert read_image(tmp_path/'y.png').quantity is None
    refused(save_tif(tmp_path/'nan.tif', np.full((9, 9), np.nan, 'float32')), 'no pixel holds a value')
    refused(save_tif(tmp_path/'gone.tif', np.zeros((9, 9), 'uint16'), nodata=0), 'no pixel holds a value')

def test_too_large(tmp_path):
    "A PNG of a few bytes that claims 60,000 × 60,000 pixels, and a sparse TIFF of as many"
    chunk = lambda t, d: struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d))
    (tmp_path/'bomb.png').write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 60000, 60000, 8, 0, 0, 0, 0))
                                      + chunk(b'IDAT', zlib.compress(b'\0'*1000)) + chunk(b'IEND', b''))
    refused(tmp_path/'bomb.png', 'tiles')
    import rasterio
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        rasterio.open(tmp_path/'big.tif', 'w', driver='GTiff', width=60000, height=60000, count=1, dtype='float32',
                      tiled=True, sparse_ok=True, compress='deflate').close()
    assert image_size(tmp_path/'big.tif') == (60000, 60000)
    refused(tmp_path/'big.tif', '60000×60000', 'max_pixels')

def test_png_kinds(tmp_path, scene):
    grey = np.uint8(scene*255); image = Image.fromarray(grey)
    image.convert('RGB').save(tmp_path/'rgb.png'); image.convert('1').save(tmp_path/'bits.png')
    wide = np.uint16(scene*5000); Image.fromarray(wide).save(tmp_path/'wide.png')
    for n, a in (('rgb', grey), ('bits', None), ('wide', wide)):
        r = read_image(tmp_path/f'{n}.png'); assert r.array.shape == (1, 60, 90), n
        if a is not None: np.testing.assert_array_equal(r.array[0], a)
    assert r.quantity == 'dn'
    hole = np.dstack([grey, grey, grey, np.where(np.arange(90) < 30, 0, 255)*np.ones_like(grey)]).astype('uint8')
    Image.fromarray(hole).save(tmp_path/'hole.png'); r = read_image(tmp_path/'hole.png')
    assert np.isnan(r.array[:, :, :30]).all() and not np.isnan(r.array[:, :, 30:]).any()
    assert (display_image(tmp_path/'hole.png')[:, :30] == 0).all()
    import rasterio                                                                     # 16-bit colour: Pillow would cut it
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(tmp_path/'c16.png', 'w', driver='PNG', dtype='uint16', count=3, height=60, width=90) as f:
            f.write(np.stack([wide, wide + 1, wide]))
    np.testing.assert_array_equal(read_image(tmp_path/'c16.png').array[1], wide + 1)

def test_tags_and_nodata(tmp_path, scene):
    p = save_tif(tmp_path/'s.tif', np.stack([scene, scene/5]), dict(quantity='intensity', normalisation='sigma0',
                                                                   polarisations='VV,VH'), nodata=-9999)
    r = read_image(p)
    assert (r.quantity, r.normalisation, r.polarisations, r.notes) == ('intensity', 'sigma0', ('VV', 'VH'), ())
    np.testing.assert_array_equal(to_display(r, 'VH'), to_display(r, 1))
    with pytest.raises(BadInput, match="no band 'HH'"): to_display(r, 'HH')
    with pytest.raises(BadInput, match='no band 2'): to_display(r, 2)
    db = 10*np.log10(scene); db[:20] = -99; db[30, 30] = np.inf
    r = read_image(save_tif(tmp_path/'db.tif', db))
    assert np.isnan(r.array[0, :20]).all() and np.isnan(r.array[0, 30, 30]) and '-99 taken as no data' in r.notes
    assert (to_display(r)[:20] == 0).all() and spread(to_display(r)[21:])[0] > .9    # the gap does not set the stretch
    r = read_image(save_tif(tmp_path/'z.tif', np.where(scene < .01, 0, scene)), quantity='intensity')
    assert not np.isnan(r.array).any()              # zeros inside are dark pixels, no frame

def test_a_tif_may_lie_about_its_quantity(tmp_path, scene):
    p = save_tif(tmp_path/'s.tif', 10*np.log10(scene), dict(quantity='intensity'))
    refused(p, 'expected intensity, got negative values')
    r = read_image(p, quantity='db'); assert r.quantity == 'db' and any('tag says intensity' in n for n in r.notes)
    p = save_tif(tmp_path/'t.tif', scene, dict(quantity='backscatter'))
    assert any('not understood' in n for n in read_image(p).notes)

# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────────
positive = hnp.arrays('float32', hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12),
                      elements=st.floats(2**-20, 2**13, width=32))

@settings(max_examples=60, deadline=None)
@given(positive, st.floats(.01, 100))
def test_stretch_is_monotone_and_blind_to_scale(a, factor):
    shown = to_display(Raster(a[None], 'intensity')).astype(int)
    order = np.argsort(a.ravel(), kind='stable')
    assert (np.diff(shown.ravel()[order]) >= 0).all()                                         # brighter stays brighter
    if np.ptp(np.log(a)) > .1:
        for other in (Raster(a[None]*np.float32(factor), 'intensity'), Raster(np.sqrt(a)[None], 'amplitude'),
                      Raster(10*np.log10(a)[None], 'db')):
            assert np.abs(to_display(other).astype(int) - shown).max() <= 1

@settings(max_examples=60, deadline=None)
@given(positive, st.data())
def test_missing_pixels_do_not_set_the_stretch(a, draw):
    hole = draw.draw(hnp.arrays(bool, a.shape))
    if hole.all(): hole[0, 0] = False
    with_hole = np.where(hole, np.nan, a)
    shown, alone = to_display(Raster(with_hole[None], 'intensity')), to_display(Raster(a[~hole][None, None], 'intensity'))
    assert (shown[hole] == 0).all()
    np.testing.assert_array_equal(shown[~hole], alone[0])

def test_a_photograph_stays_as_it_is_stored(tmp_path):
    "Boxes are told in stored pixels, so a picture is never turned; that its file asks for it is told"
    upright, turned = Image.Exif(), Image.Exif(); upright[0x0112], turned[0x0112] = 1, 6
    for name, exif in (('upright', upright), ('turned', turned)): Image.new('L', (40, 30), 90).save(tmp_path/f'{name}.jpg', exif=exif)
    told = {name: read_image(tmp_path/f'{name}.jpg') for name in ('upright', 'turned')}
    assert [r.array.shape for r in told.values()] == [(1, 30, 40)]*2
    assert [any('Orientation' in n for n in r.notes) for r in told.values()] == [False, True]

@settings(max_examples=60, deadline=None)
@given(st.sampled_from(['png', 'jpg', 'tif', 'bmp']), st.data())
def test_damage_never_escapes(tmp_path_factory, kind, draw):
    "Whatever bytes are changed or cut: an image, or one BadInput"
    p = tmp_path_factory.mktemp('damage')/f'a.{kind}'
    a = np.random.default_rng(1).integers(0, 255, (24, 31), dtype='uint8')
    if kind == 'tif': save_tif(p, a.astype('float32'), compress='lzw')
    else: Image.fromarray(a).save(p)
    whole = bytearray(p.read_bytes())
    for _ in range(draw.draw(st.integers(0, 6))):
        whole[draw.draw(st.integers(0, len(whole) - 1))] = draw.draw(st.integers(0, 255))
    p.write_bytes(whole[:draw.draw(st.integers(0, len(whole)))])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for f in (display_image, image_size):
            try: f(p, **({'max_pixels': 10**6} if f is display_image else {}))
            except BadInput: pass
        assert isinstance(check_image(p), str)

def test_plot(tmp_path, scene):
    import matplotlib; matplotlib.use('Agg')
    ax = plot(to_display(Raster(scene[None], 'intensity')), [Box('ship', 3, 4, 9, 9)]*3, mask=np.ones((60, 90), int),
              mask_classes={'1': 'water'}, caption='A long caption that has to be wrapped below the image, for it is long. '*2)
    assert '\n' in ax.get_xlabel() and [t.get_text() for t in ax.get_legend().get_texts()] == ['water']
    ax.figure.savefig(tmp_path/'p.png'); assert image_size(tmp_path/'p.png')[0] > 100
    matplotlib.pyplot.close(ax.figure)

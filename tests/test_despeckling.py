"Learned despeckling: real Sentinel-1 chips, the choice of the network, and what is refused"
import os, warnings
from pathlib import Path
import numpy as np
import pytest
from sartext.imagery.speckle import enl, refined_lee
from sartext.models.despeckling import NETWORKS, centred, despeckle_learned, network_for
from sartext.records import BadInput, Sar

SHIPS = Path(os.environ.get('SARTEXT_DATA', Path(__file__).parent.parent/'../shared/data'))/'opensarship'
needs_ships = pytest.mark.skipif(not SHIPS.exists(), reason='OpenSARShip is not there: set SARTEXT_DATA')
GRD, SLC = Sar(sensor='Sentinel-1', mode='IW', product='GRD'), Sar(sensor='Sentinel-1', mode='IW', product='SLC')

def chips(kind, least=64, most=4):
    import rasterio
    found = sorted(p for p in SHIPS.rglob('Patch/*.tif') if f'_IW_{kind}' in p.parent.parent.name)
    for p in found:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with rasterio.open(p) as src: a = src.read()
        if min(a.shape[1:]) >= least:
            yield a
            most -= 1
        if not most: return

@needs_ships
def test_grd_chips_lose_speckle_and_keep_ship_and_level():
    "Sea smoother than before, mean amplitude kept, the brightest pixel where it was"
    assert (found := list(chips('GRDH')))
    for a in found:
        noisy = a[1].astype('float32'); clean = despeckle_learned(noisy, GRD)
        sea = np.s_[:12, :12]
        assert enl(clean[sea]**2) > 3*enl(noisy[sea]**2)
        assert abs(np.median(clean)/np.median(noisy) - 1) < .2
        peak, was = (np.array(np.unravel_index(np.argmax(x), x.shape)) for x in (clean, noisy))
        assert np.abs(peak - was).max() <= 6

@needs_ships
def test_slc_chips_by_the_tops_network():
    assert (found := list(chips('SLC', most=2)))
    for a in found:
        z = a[0] + 1j*a[1]; clean = despeckle_learned(z, SLC)
        assert enl(clean[:12, :12]**2) > 2*enl(np.abs(z[:12, :12])**2)

@pytest.mark.parametrize('sar,values,said', [
    (Sar(), np.ones((8, 8)), 'must know the sensor'),
    (Sar(sensor='Gaofen-3'), np.ones((8, 8)), 'no network was made for it'),
    (Sar(sensor='Sentinel-1', mode='IW'), np.ones((8, 8)), 'no network was made for it'),        # product unknown
    (Sar(sensor='TerraSAR-X', mode='scansar'), np.ones((8, 8), complex), 'no network was made for it'),
    (Sar(sensor='TerraSAR-X', mode='stripmap'), np.ones((8, 8)), 'no network was made for it')])
def test_what_fits_no_network_is_refused(sar, values, said):
    with pytest.raises(BadInput, match=said): despeckle_learned(values, sar)

def test_calibrated_values_and_empty_images_are_refused():
    with pytest.raises(BadInput, match='outside the range'): despeckle_learned(np.ones((8, 8)), GRD, 'sigma0')
    with pytest.raises(ValueError, match='no pixel'): despeckle_learned(np.full((8, 8), np.nan), GRD)

def test_every_network_is_chosen_by_its_own_data():
    asked = {'sar2sar': (GRD, False), 'merlin-tops': (SLC, True), 'merlin-stripmap': (Sar(sensor='TerraSAR-X', mode='SM'), True),
             'merlin-spotlight': (Sar(sensor='TanDEM-X-1', mode='Spotlight'), True)}
    assert {network_for(*a) for a in asked.values()} == set(NETWORKS)
    for name, a in asked.items(): assert network_for(*a) == name

def test_a_shifted_spectrum_is_centred_and_energy_kept():
    rng = np.random.default_rng(0); n = 128
    shape = np.exp(-((np.arange(n) - n/2)/14.)**2)
    z = np.fft.ifft2(np.fft.ifftshift(np.fft.fftshift(np.fft.fft2(rng.standard_normal((n, n)) + 1j*rng.standard_normal((n, n))))*np.roll(shape, 23)[:, None]))
    p = np.abs(np.fft.fftshift(np.fft.fft2(centred(z)))).mean(1)
    middle = (p*np.arange(n)).sum()/p.sum()
    assert abs(middle - n/2) < 2 and np.isclose((np.abs(centred(z))**2).sum(), (np.abs(z)**2).sum())

def test_a_tiny_chip_and_one_of_odd_size():
    for shape in ((7, 5), (33, 90)):
        out = despeckle_learned(np.random.default_rng(1).gamma(4, 50, shape), GRD)
        assert out.shape == shape and np.isfinite(out).all()

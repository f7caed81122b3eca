import pytest

from xas_bluesky.config import Channels, load_settings
from xas_bluesky.errors import SettingsError

DEVICES = """
[devices]
dwell = ['D']
energy = { motor = 'M' }
counters.scaler = { start = 'S', channels = { i0 = 'I' } }
"""


def test_a_channels_table_replaces_the_names_it_gives(tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_text('[channels]\nenergy = "dcm_energy"\ni0 = "I0"\n')
    assert load_settings(path).channels == Channels(energy="dcm_energy", i0="I0")
    path.write_text("")
    assert load_settings(path).channels.energy == "energy"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[channels\n", "not valid TOML.*line 1"),
        ("[channels]\nio = 'I0'\n", r"channels.io: .*; the settings here are energy, i0, itrans"),
        ("[channels]\ni0 = ''\n", r"channels.i0"),
        ("[channels]\ni0 = 5\n", r"channels.i0.*string"),
        ("[channels]\ni0 = 'energy'\n", r"share one data key"),
        ("[mono]\nbacklash = -1\n", r"mono.backlash: .*greater than or equal to 0"),
        ("[mono]\nlow = 3000\nhigh = 2000\n", r"mono: .*low 3000 eV is not below high 2000 eV"),
        ('[theory_shift]\n"S K" = { shift = -0.57, sd = 0 }\n', r"theory_shift.S K.sd: .*greater than 0"),
        ("[devices]\ndwel = 'X'\n", r"devices.dwel: .*; the settings here are addresses, connect, answer, energy, dwell"),
        ("[devices.counters.scaler]\nstrat = 'X'\n", r"devices.counters.scaler.strat: .*; the settings here are start, "),
        ("[devices.energy]\nmotor = 'with space'\n", r"devices.energy.motor: .*pattern"),
        (f"{DEVICES}[devices.stage]\nmotor = 'X'\nslots = []\n", r"devices.stage.slots: .*at least 1"),
        (
            f"{DEVICES}[devices.shutter]\nopen = 'X'\nclose = 'X'\nstatus = 'Y'\n",
            r"devices.shutter: .*open and close both put 1 to X; give two values",
        ),
        (DEVICES.replace("dwell = ['D']", ""), r"devices.dwell: Field required"),
        ("[chanels]\n", r"chanels: .*; the settings here are convention, mode, channels"),
    ],
)
def test_a_wrong_file_is_named_with_its_setting(tmp_path, text, message):
    path = tmp_path / "beamline.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"none.toml: cannot be read"):
        load_settings(tmp_path / "none.toml")

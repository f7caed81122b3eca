"""The beamline.toml of the simulated beamline that is served over Channel Access."""

from xas_bluesky.beamline_sim.ioc import SHARES, SLOT

TEMPLATE = """\
# Written by `xas-bluesky ioc`: the simulated beamline. For a real one, put its PVs in place of these (docs/beamline.md).

[channels]
fluorescence = [{fluorescence}]
icr = [{icr}]
ocr = [{ocr}]

[noise]  # every counter counts photons
i0 = "photons"
itrans = "photons"
irefer = "photons"
fluorescence = "photons"

[beam]  # plans wait while the ring current is lower, and so many seconds (s) more
least_current = 50.0
recovery = 1.0

[devices]
addresses = ["{address}"]
dwell = ["{prefix}scaler:dwell"]
ring_current = "{prefix}ring:current"

[devices.energy]
motor = "{prefix}mono"

[devices.stage]
motor = "{prefix}stage"
slots = {slots}

[devices.shutter]
open = "{prefix}shutter:open"
close = "{prefix}shutter:close"
status = "{prefix}shutter:status"

[devices.counters.scaler]
start = "{prefix}scaler:start"
done = "{prefix}scaler:done"

[devices.counters.scaler.channels]
i0 = "{prefix}scaler:i0"
itrans = "{prefix}scaler:itrans"
irefer = "{prefix}scaler:irefer"
{elements}
"""


def beamline_toml(prefix: str, slots: int, address: str) -> str:
    """Return the beamline.toml of a served beamline; `address`: of its server, as host:port."""
    numbers = range(1, len(SHARES) + 1)
    named = {kind: [f"{kind}_{number}" for number in numbers] for kind in ("fluorescence", "icr", "ocr")}
    pvs = {"fluorescence": "roi", "icr": "icr", "ocr": "ocr"}
    lines = [
        f'{name} = "{prefix}fluor:{number}:{pvs[kind]}"'
        for kind, names in named.items()
        for number, name in zip(numbers, names, strict=True)
    ]
    lists = {kind: ", ".join(f'"{name}"' for name in names) for kind, names in named.items()}
    positions = [SLOT * slot for slot in range(slots)]
    return TEMPLATE.format(prefix=prefix, address=address, slots=positions, elements="\n".join(lines), **lists)

"""Measure how fast spectra with their uncertainty are predicted: python benchmarks/throughput.py [DEVICE] [MOLECULES].

Ours and the reference network on the same molecules of QM9 in one run: graphs ready and from SMILES on; peak memory, and the
share of the device's peak (of a large matrix product on as many cores, or the GPU) that the networks' arithmetic reaches.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import torch
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.data import Batch

from xas_bluesky.candidates import Candidate
from xas_bluesky.models import collate
from xas_bluesky.models.reference_model import load_reference
from xas_bluesky.prediction import Predictor
from xas_bluesky.prediction.reference_predictor import ReferencePredictor, shipped_reference
from xas_bluesky.structures import make_graphs
from xas_bluesky.theory import read_dataset
from xas_bluesky.training.reference import bond_graph_of

EDGE = "C K"
TIMES = 3
SIDE = 2048
"""Of the matrices whose product stands for the device's peak."""
REFERENCE_BATCH = 64


def best(work: Callable[[], object]) -> float:
    """Return the shortest of some times that work takes, s."""
    times: list[float] = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def peak(device: torch.device, cores: int) -> float:
    """Return the rate of a large matrix product, operations per second."""
    one = torch.rand(SIDE, SIDE, device=device)

    def product() -> None:
        _ = (one @ one).sum().item()

    torch.set_num_threads(cores)
    product()
    rate = 2 * SIDE**3 / best(product)
    torch.set_num_threads(1)
    return rate


def main(device: str, count: int) -> None:
    """Measure, and print one JSON object."""
    torch.set_num_threads(1)
    smiles = read_dataset(Path("datasets/core_excitations/qm9.parquet")).smiles.tolist()
    candidates = [Candidate(str(at), smiles[at % len(smiles)]) for at in range(count)]
    predictor, reference = Predictor.load(device=device), ReferencePredictor.load(device)
    place = predictor.lanes[0][0]
    graphs = [made for made in make_graphs(candidates, "C", 1) if not isinstance(made, str)]
    bonds = joblib.Parallel(n_jobs=-1)(joblib.delayed(bond_graph_of)(candidate.structure) for candidate in candidates)
    network = load_reference(shipped_reference())

    def by_reference() -> None:
        for start in range(0, len(bonds), REFERENCE_BATCH):
            network.predict(Batch.from_data_list(bonds[start : start + REFERENCE_BATCH]), EDGE)

    predictor.parts(graphs[:200], EDGE)
    ready, theirs = best(lambda: predictor.parts(graphs, EDGE)), best(by_reference)
    whole = best(lambda: predictor.predict(candidates, EDGE))
    start = time.perf_counter()
    reference.predict(candidates, EDGE)
    reference_whole = time.perf_counter() - start

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        batch = collate([graph for each in graphs[:100] for graph in each]).to(place)
        for each in predictor.lanes[0][1].networks:
            each.heads[EDGE](each(batch))
    rate = counter.get_total_flops() / 100 * len(graphs) / ready
    memory = (
        torch.cuda.max_memory_allocated()
        if place.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    found = {
        "device": torch.cuda.get_device_name() if place.type == "cuda" else f"{joblib.cpu_count()} CPU cores",
        "molecules": len(graphs),
        "networks": len(predictor.lanes[0][1].networks),
        "graphs ready, molecules/s": round(len(graphs) / ready),
        "from SMILES, molecules/s": round(len(candidates) / whole),
        "reference, one network without uncertainty of its own, graphs ready, molecules/s": round(len(bonds) / theirs),
        "reference, from SMILES, molecules/s": round(len(candidates) / reference_whole),
        "peak memory, MB": round(memory / 1e6),
        "share of the device's peak": round(rate / peak(place, joblib.cpu_count()), 3),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto", int(sys.argv[2]) if len(sys.argv) > 2 else 2000)

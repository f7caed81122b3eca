"""The agent: RE(agent_xas("candidates.csv", edge="S K", sample="mine")) measures, answers, and keeps both.

Several samples: RE(agent_xas_samples([Sample("first", "list.csv"), Sample("second", "other.csv")], "S K", go_to)), where
go_to(sample) is a plan that moves the stage.
"""

from rich import print as show

from xas_bluesky.investigation import Sample  # noqa: F401
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.report import step_table
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

session = Session(devices_of(beamline), LocalPredictor(), catalog, watch=lambda step: show(step_table(step)))  # noqa: F821
agent_xas, agent_xas_samples = session.agent_xas, session.agent_xas_samples

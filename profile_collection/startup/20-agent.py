"""The agent: RE(agent_xas("candidates.csv", edge="S K", sample="mine")) measures, answers, and keeps both."""

from rich import print as show

from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.report import step_table
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

session = Session(devices_of(beamline), LocalPredictor(), catalog, watch=lambda step: show(step_table(step)))  # noqa: F821
agent_xas = session.agent_xas

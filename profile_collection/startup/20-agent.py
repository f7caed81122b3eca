"""The agent: RE(agent_xas("candidates.csv", edge="S K", sample="mine")) measures, answers, and keeps both.

Several samples: RE(agent_xas_samples([Sample("first", "list.csv"), Sample("second", "other.csv")], "S K", go_to)), where
go_to(sample) is a plan that moves the stage.
"""

from rich import print as show

from xas_bluesky.escalation import Escalation
from xas_bluesky.investigation import Sample  # noqa: F401
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.report import step_table
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

# the leading candidates are computed from first principles meanwhile, where that is installed
escalation = None if Escalation.why_not() else Escalation()
session = Session(devices_of(beamline), LocalPredictor(), catalog, lambda step: show(step_table(step)), escalation)  # noqa: F821
agent_xas, agent_xas_samples = session.agent_xas, session.agent_xas_samples

"""The agent: RE(agent_xas("candidates.csv", edge="S K", sample="mine")) measures, answers, and keeps both."""

from xas_bluesky.decision import Budget  # noqa: F401
from xas_bluesky.investigation import Sample  # noqa: F401

agent_xas, agent_xas_samples = user_plans.agent_xas, user_plans.agent_xas_samples  # noqa: F821

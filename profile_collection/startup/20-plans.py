"""The plans people type: RE(xas("S K", sample="mine")), RE(change_edge("Cu K")); each scan is reduced while it is measured.

Your own plans before each sample, as for gains and alignment: session.before_sample = [plan, ...].
"""

from xas_bluesky.completion import complete_edges
from xas_bluesky.startup import make_session, reduce_live
from xas_bluesky.user_plans import UserPlans

session = make_session(devices, catalog)  # noqa: F821
user_plans = UserPlans(session)
xas, change_edge = user_plans.xas, user_plans.change_edge
live = reduce_live(RE, devices, catalog)  # noqa: F821
complete_edges()

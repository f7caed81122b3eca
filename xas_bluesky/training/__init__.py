"""Training: data sets, fitting, baselines and figures."""

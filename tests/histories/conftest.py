"""How many histories run: PROFILE is dev, ci or deep."""

import os

from hypothesis import HealthCheck, settings

_EVERY = settings(
    stateful_step_count=5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    print_blob=True,
    report_multiple_bugs=False,
)
settings.register_profile("dev", _EVERY, max_examples=200, derandomize=True)
settings.register_profile("ci", _EVERY, max_examples=1500, derandomize=True)
settings.register_profile("deep", _EVERY, max_examples=int(os.environ.get("HISTORIES", "50000")))
settings.load_profile(os.environ.get("PROFILE", "dev"))

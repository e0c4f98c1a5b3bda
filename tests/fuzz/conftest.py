"""How many inputs: a bounded number that is the same every time, or with a profile of their own thousands.

pytest tests/fuzz                                    # under a minute
pytest tests/fuzz --hypothesis-profile thorough --hypothesis-show-statistics
"""

from hypothesis import HealthCheck, settings

SHARED = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
settings.register_profile("bounded", SHARED, derandomize=True, max_examples=100)
settings.register_profile("thorough", SHARED, max_examples=2000)
if settings.get_current_profile_name() == "default":
    settings.load_profile("bounded")

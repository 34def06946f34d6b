"""How good a plan will be, predicted from the profile."""

from meancache_plan.artifact import Plan, Quality
from meancache_plan.profile import Profile


def predict(profile: Profile, plan: Plan) -> Quality | None:
    """Predict a plan's mean latent PSNR."""
    return None

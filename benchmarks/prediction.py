"""Print the latent PSNR that was predicted beside the one that was measured, row by row.

Run ``python -m benchmarks.prediction`` after ``make schedules``, or give a profile, a schedule
solved from it, and what ``meancache-plan evaluate --json`` found for that schedule. Simply fewer
steps are no plan, so nothing is predicted for them.
"""

import argparse
from pathlib import Path

from meancache_plan import load_profile, load_schedule
from meancache_plan.judge.evaluation_field import evaluation_field
from meancache_plan.judge.findings import PLAN, load_evaluation
from meancache_plan.plan.predict import predict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", nargs="?", default="build/reference.profile.safetensors")
    parser.add_argument("schedule", nargs="?", default="schedules/reference/50-steps.json")
    parser.add_argument("evaluation", nargs="?", default="build/reference.evaluation.json")
    files = parser.parse_args()
    profile, schedule = load_profile(files.profile), load_schedule(Path(files.schedule))
    found = load_evaluation(Path(files.evaluation))
    budgets = list(found.plans())
    print(f"{'method':<14}{'B':>3}{'low':>8}{'predicted':>11}{'high':>8}{'measured':>10}  inside")
    inside: list[bool] = []
    for contender in evaluation_field(schedule, budgets):
        if contender.schedule is None or contender.budget is None:
            continue
        plan = contender.schedule.plan(contender.budget)
        record = schedule.calibrated and schedule.calibrated.record(plan.budget)
        expected = predict(profile, plan, record.fit if record and contender.name == PLAN else None)
        measured = found.row(contender.name, contender.budget).mean("psnr_latent")
        inside.append(expected.low <= measured <= expected.high)
        print(
            f"{contender.name:<14}{contender.budget:>3}{expected.low:>8.1f}"
            f"{expected.psnr_latent:>11.1f}{expected.high:>8.1f}{measured:>10.1f}"
            f"  {'yes' if inside[-1] else 'no'}"
        )
    print(f"\n{sum(inside)} of {len(inside)} measured figures lie within their interval")


if __name__ == "__main__":
    main()

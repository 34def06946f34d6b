from meancache_plan import solve
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import GainFit, PlanRecord, Quality
from meancache_plan.schedule.pruning import prune
from meancache_plan.show.terminal.quality_notes import front_table
from meancache_plan.show.terminal.views import show_schedule
from tests.fields import mixture_profile
from tests.show.shown import in_one_line

RECORD = PlanRecord(
    budget=4,
    origin="closed \x1b[31mloop",
    fit=GainFit(shrinkage=0.1, fitted=0.0123, cross_validated=0.0456),
    predicted=Quality(psnr_latent=41.26, low=30.0, high=45.0),
    validated=Quality(psnr_latent=39.9, low=38.8, high=41.0),
)


def schedule(*records: PlanRecord) -> Schedule:
    made = solve(mixture_profile(8), [4, 8])
    assert made.provenance is not None
    kept = [r for r in made.provenance.plans if r.budget not in {n.budget for n in records}]
    provenance = made.provenance.model_copy(update={"plans": (*records, *kept)})
    return made.model_copy(update={"provenance": provenance})


def test_a_plan_is_shown_with_its_origin_its_fit_and_every_known_quality() -> None:
    text = in_one_line(show_schedule(schedule(RECORD), budget=4))
    assert "from closed �[31mloop gains: deviation" in text, "its cost is in no unit"
    assert "gains: deviation 0.0123 fitted, 0.0456 cross-validated; shrinkage 0.1" in text
    assert "predicted: latents 41.3 dB (at worst 30.0, at best 45.0)" in text
    assert (
        "validated on the calibration prompts that chose it: latents 39.9 dB (38.8 to 41.0)" in text
    )
    last = in_one_line(show_schedule(schedule(RECORD), budget=8))
    assert "predicted: latents as all steps give them" in last


def test_a_fit_that_nothing_could_be_held_out_of_is_not_called_cross_validated() -> None:
    alone = GainFit(shrinkage=0.1, fitted=0.0123, cross_validated=0.0123)
    text = in_one_line(show_schedule(schedule(RECORD.model_copy(update={"fit": alone})), budget=4))
    assert "gains: deviation 0.0123 fitted; shrinkage 0.1" in text


def test_a_line_a_budget_has_what_was_predicted_and_what_replay_validated() -> None:
    text = in_one_line(show_schedule(schedule(RECORD)))
    assert "4 2.00× 41.3 dB 39.9 dB" in text
    assert "8 1.00× same – " in text
    assert "predicted from the calibration, validated on calibration prompts. --budget N" in text


def test_the_legend_explains_the_columns_that_stand_there_and_no_others() -> None:
    text = in_one_line(show_schedule(schedule()))
    assert "mean latent PSNR predicted from the calibration. --budget N" in text
    unknown = schedule().model_copy(update={"provenance": None})
    text = in_one_line(show_schedule(unknown))
    assert "fewer: steps divided by runs of the denoiser. --budget N" in text


def test_a_budget_that_was_left_out_is_shown_with_the_one_to_use() -> None:
    text = in_one_line(show_schedule(prune(schedule(), {4: 40.0, 8: 30.0}.get)))
    assert "no plan for budget 8: 30.0 dB, where budget 4 has 40.0 dB; use budget 4" in text


def test_the_table_of_budgets_has_the_most_trustworthy_figure_of_each() -> None:
    text = in_one_line(front_table(schedule(RECORD)))
    assert "4 2.00× 39.9 dB 38.8 to 41.0 8 1.00× 120.0 dB 120.0 to 120.0" in text
    unknown = schedule().model_copy(update={"provenance": None})
    assert "4 2.00× – –" in in_one_line(front_table(unknown))

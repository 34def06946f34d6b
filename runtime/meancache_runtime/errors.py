"""Everything that the runtime refuses, by name. Each message says what is wrong and what to do."""


class MeanCacheError(Exception):
    """Base of every error that meancache-runtime and meancache-plan raise on purpose."""


class ScheduleError(MeanCacheError, ValueError):
    """The file or the bytes are not a valid schedule (see ``schedules/README.md``)."""


class ScheduleNotFoundError(ScheduleError, LookupError):
    """There is no schedule in the folder or the repository where it was looked for."""


class BudgetError(MeanCacheError, ValueError):
    """The schedule has no plan for the budget that was asked for."""


class AttachError(MeanCacheError, RuntimeError):
    """The runtime cannot attach to this pipeline."""


class AlreadyAttachedError(AttachError):
    """The pipeline already follows a schedule."""


class UnsupportedPipelineError(AttachError):
    """The pipeline has no denoiser or scheduler that the runtime knows how to reach."""


class UnsupportedSchedulerError(AttachError):
    """The scheduler is not the schedule's, or one whose steps no schedule can follow."""


class StackedCacheError(AttachError):
    """Another cache answers some of the model's calls too."""


class ReplacedComponentError(AttachError):
    """The denoiser or the scheduler was replaced while a schedule was attached."""


class MismatchError(MeanCacheError, ValueError):
    """The schedule was made for something else than what it is used on."""


class ModelMismatchError(MismatchError):
    """The schedule was compiled for another model."""


class RequestMismatchError(MismatchError):
    """A run asks for another size or guidance than the calibration samples had."""


class StepCountError(MismatchError):
    """The run has another number of steps than the schedule, or starts off its grid."""


class GridMismatchError(MismatchError):
    """The run's noise levels are farther from the schedule's than it allows."""


class SwitchError(MismatchError):
    """The pipeline switches to another denoiser at a step where the schedule has no knot."""


class ReplayError(MeanCacheError, RuntimeError):
    """The host of the step machine called it out of order."""


class UnstableError(MeanCacheError, ArithmeticError):
    """A sample left the bounds within which calibration samples follow the plan."""


class NonFiniteError(MeanCacheError, ArithmeticError):
    """The model gave a velocity with NaN or infinite values at a knot."""

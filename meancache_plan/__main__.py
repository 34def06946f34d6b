"""``python -m meancache_plan`` is the ``meancache-plan`` command."""

from meancache_plan.cli import main

main()

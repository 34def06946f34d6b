"""The kit that lies beside a model's weights: schedule, report and page."""

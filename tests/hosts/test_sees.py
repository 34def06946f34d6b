"""The runtime's page says which host sees what."""

from __future__ import annotations

import pytest

from tests.hosts import sees
from tests.hosts.catalogue import HOSTS
from tests.hosts.host import Host


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_no_host_says_anything_of_the_calibrated_request(host: Host) -> None:
    same = sees.SAME if host.branches == 1 else sees.WITH_GUIDANCE
    assert sees.done(host, sees.calibrated(same)) == "—"


def test_the_table_is_what_the_hosts_do() -> None:
    written = sees.section(sees.PAGE.read_text(encoding="utf-8"))
    assert written.strip() == sees.page().strip()

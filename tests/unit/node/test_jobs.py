"""Timers and cron jobs as their sources write them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.node.jobs import CronJob, TimerJob, cron_jobs, parse_crontab, parse_timers

# systemd 252 of Debian 12
TIMERS = """[{"next":1700000000123456,"left":1700000000123456,"last":0,"passed":0,
"unit":"apt-daily.timer","activates":"apt-daily.service"},
{"next":18446744073709551615,"last":1699990000000000,"unit":"fstrim.timer","activates":"fstrim.service"},
{"next":null,"last":null,"unit":"odd.timer","activates":null}]"""

CRONTAB = """
SHELL=/bin/sh
PATH = /bin
# m h dom mon dow user command
17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly
@reboot  backup  /usr/local/bin/start  now
*/5 * * * * www-data
not a line
"""


def test_timers_come_with_their_next_and_last_run() -> None:
    assert parse_timers(TIMERS) == (
        TimerJob("apt-daily.timer", "apt-daily.service", datetime.fromtimestamp(1_700_000_000, UTC), None),
        TimerJob("fstrim.timer", "fstrim.service", None, datetime.fromtimestamp(1_699_990_000, UTC)),
        TimerJob("odd.timer", "", None, None),
    )


def test_no_answer_means_no_timers() -> None:
    assert parse_timers("") == parse_timers("null") == parse_timers("[1, {}]") == ()


def test_a_system_crontab_names_the_user() -> None:
    assert list(parse_crontab(CRONTAB, "/etc/crontab", user=None)) == [
        CronJob("17 * * * *", "root", "cd / && run-parts --report /etc/cron.hourly", "/etc/crontab"),
        CronJob("@reboot", "backup", "/usr/local/bin/start  now", "/etc/crontab"),
    ]


def test_a_persons_crontab_belongs_to_that_person() -> None:
    assert list(parse_crontab("0 3 * * 1 backup.sh --all\n", "crontabs/alice", user="alice")) == [
        CronJob("0 3 * * 1", "alice", "backup.sh --all", "crontabs/alice")
    ]


@given(st.text(max_size=200))
def test_no_text_breaks_the_readers(text: str) -> None:
    list(parse_crontab(text, "x", user=None))
    list(parse_crontab(text, "x", user="x"))
    parse_timers(text)


def test_every_place_of_cron_is_read(tmp_path: Path) -> None:
    for folder in ("etc/cron.d", "etc/cron.daily", "var/spool/cron/crontabs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/crontab").write_text("1 2 3 4 5 root a\n")
    (tmp_path / "etc/cron.d/b").write_text("@daily root b\n")
    (tmp_path / "etc/cron.d/.placeholder").write_text("@daily root hidden\n")
    (tmp_path / "etc/cron.daily/c").write_text("#!/bin/sh\n")
    (tmp_path / "var/spool/cron/crontabs/alice").write_bytes(b"@weekly \xff\n")
    jobs = cron_jobs(tmp_path)
    assert [(job.schedule, job.user) for job in jobs] == [
        ("1 2 3 4 5", "root"),
        ("@daily", "root"),
        ("@weekly", "alice"),
        ("@daily", "root"),
    ]

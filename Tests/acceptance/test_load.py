"""`waybill load`: a run against a server of its own and against one that runs, its reports, its exit codes."""

import csv
import json

import pytest

from server import run

PLAN = """
devices: 12
bundles: 60
connections: 6
arrivals: {model: poisson, rate: 60}
warmup_seconds: 0.2
mix:
- {share: 3, transactions: 4}
- {share: 1, transactions: 12, parts: 3}
faults: {resent: 0.3, repeated: 0.2, conflicting: 0.1, bad_lines: 0.1, bad_bundles: 0.1, cut: 0.2}
binary_share: 0.2
identifiers: scattered
objectives: ["findings==0", "lost==0"]
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A run in which everything that a device may do wrong is done wrong, with its report."""
    folder = tmp_path_factory.mktemp("load")
    (folder / "plan.yaml").write_text(PLAN)
    done = run("load", "run", "--plan", folder / "plan.yaml", "--report-dir", folder / "out",
               "--output", "json", check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "out", json.loads(done.stdout)


def test_everything_that_was_sent_is_found_again(faulty):
    _, report = faulty
    audit, totals = report["audit"], report["totals"]
    assert sum(audit["counts"].values()) == 0
    outcomes = totals["outcomes"]
    assert all(outcomes[each] > 0 for each in ("accepted", "duplicate", "rejected", "conflict"))
    assert audit["rows"] == audit["rows_expected"] == outcomes["accepted"]
    assert audit["receipts_verified"] == totals["bundles_acknowledged"]
    assert totals["bundles_acknowledged"] + totals["bundles_refused"] == 60
    assert totals["bundles_quarantined"] > 0 and totals["resent"] > 0 and totals["cuts"] > 0
    assert [each["is_met"] for each in report["objectives"]] == [True, True]


def test_reports_are_json_csv_and_one_page(faulty):
    folder, report = faulty
    saved = json.loads((folder / "report.json").read_text())
    assert saved["totals"] == report["totals"] and saved["series"]
    rows = list(csv.DictReader((folder / "report.csv").open()))
    assert len(rows) == len(saved["series"])
    assert sum(int(row["acknowledged"]) for row in rows) <= saved["totals"]["bundles_acknowledged"]
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 5 and "<script" not in page


def test_the_same_run_is_audited_again_from_its_ledger(faulty):
    folder, report = faulty
    again = json.loads(run("load", "audit", folder / "ledger", "--output", "json").stdout)
    assert again["receipts_verified"] == report["audit"]["receipts_verified"]
    assert sum(again["counts"].values()) == 0


def test_an_objective_that_is_not_met_is_exit_code_2(server, tmp_path):
    done = run("load", "run", "--running", "--data-dir", server.data, "--tenant", "load-slow",
               "--devices", 2, "--bundles", 3, "--slo", "ack_p50<1us", check=False)
    assert done.returncode == 2 and "ack_p50<1us" in done.stderr


def test_a_running_server_is_loaded_with_devices_that_are_kept(server, tmp_path):
    for bundles in (5, 7):
        done = run("load", "run", "--running", "--data-dir", server.data, "--tenant", "load-kept",
                   "--devices", 3, "--bundles", bundles, "--devices-file", tmp_path / "devices",
                   "--output", "json")
        report = json.loads(done.stdout)
        assert report["totals"]["bundles_settled"] == bundles
        assert report["audit"].get("rows") is None
    assert (tmp_path / "devices").stat().st_mode & 0o777 == 0o600
    listed = json.loads(run("device", "list", "--tenant", "load-kept", "--data-dir", server.data,
                            "--output", "json").stdout)
    assert len(listed) == 3


def test_a_search_for_capacity_that_finds_none_is_exit_code_2(server):
    done = run("load", "run", "--running", "--data-dir", server.data, "--tenant", "load-search",
               "--devices", 2, "--find-capacity", "--first-rate", 0.12, "--step-seconds", 9,
               "--slo", "ack_p50<1us", check=False)
    assert done.returncode == 2
    assert "no rate was found" in done.stderr


def test_a_saved_plan_is_the_same_plan(tmp_path):
    first = run("load", "plan", "--devices", 7, "--rate", 5, "--duration", 3).stdout
    (tmp_path / "plan.yaml").write_text(first)
    assert run("load", "plan", "--plan", tmp_path / "plan.yaml").stdout == first
    assert "devices: 7" in first and "constant" in first


@pytest.mark.parametrize("options, word", [
    (["--devices", 0], "devices"),
    (["--slo", "ack_p98<1s"], "ack_p98"),
    (["--arrivals", "closed", "--rate", 5], "rate"),
    (["--find-capacity"], "--slo"),
    (["--running"], "--data-dir"),
    (["--server-url", "http://127.0.0.1:1"], "--admin-url"),
])
def test_a_plan_that_cannot_be_run_is_exit_code_64(options, word):
    done = run("load", "run", *options, check=False)
    assert done.returncode == 64 and word in done.stderr


def test_chaos_is_for_a_server_of_the_runs_own(server, tmp_path):
    (tmp_path / "plan.yaml").write_text("bundles: 1\nchaos: [{at_seconds: 0, action: kill-server}]\n")
    done = run("load", "run", "--running", "--data-dir", server.data, "--plan",
               tmp_path / "plan.yaml", check=False)
    assert done.returncode == 64 and "chaos" in done.stderr


def test_limits_of_the_machine_are_measured(server, tmp_path):
    done = run("load", "limits", "--directory", tmp_path, "--server-url",
               server.address["device_url"], "--output", "json")
    limits = json.loads(done.stdout)
    assert limits["derivations_per_second"] > 0 and limits["empty_requests_per_second"] > 0
    assert limits["median_sync_us"] > 0
    assert list(tmp_path.iterdir()) == []

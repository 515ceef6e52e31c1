"""Case 34 of the faults: how long devices with one bundle wait while another one has very many queued.

The same devices send the same bundles to an idle server, and again while it works through the backlog
of one device. Their time from the answer to the receipt may at most double.
"""

import argparse
import threading
import time

import bench

report = bench.Output("fairness")


def send(server, options):
    """One bundle of each device, as fast as connections allow."""
    return server.load({
        "devices": options.devices, "bundles": options.devices, "connections": 32, "readers": 64,
        "listeners": options.listeners,
        "mix": [{"transactions": 1}], "seals_in_advance": True, "settle_seconds": 600,
        "objectives": ["findings==0"]})


def flood(server, options):
    """The backlog of one device; nothing of it is settled before all of it is there."""
    return server.load({
        "devices": 1, "bundles": options.backlog, "mix": [{"transactions": 1}], "readers": 1,
        "holds_listeners": True, "listeners": options.listeners, "settle_seconds": 1200,
        "objectives": ["findings==0"]}, devices_file="flooding.json")


def receipts(server):
    return int(server.database.query("select count(*) from waybill.receipts"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--devices", type=int, default=500, help="with one bundle each")
    parser.add_argument("--backlog", type=int, default=100_000, help="bundles of the other one")
    parser.add_argument("--listeners", type=int, default=2)
    options = parser.parse_args()
    with bench.server(options.binary, "--set", "rate-requests=0") as server:
        # Enrols them, and warms up.
        send(server, options)
        idle = bench.latency(send(server, options), "settle")
        before = receipts(server)
        found = []
        flooding = threading.Thread(target=lambda: found.append(flood(server, options)))
        flooding.start()
        bench.note(f"one device sends {options.backlog} bundles")
        while receipts(server) == before:
            if not flooding.is_alive():
                raise SystemExit("the backlog did not come to be")
            time.sleep(0.05)
        busy = bench.latency(send(server, options), "settle")
        left = before + options.backlog + options.devices - receipts(server)
        flooding.join()
        if not found:
            raise SystemExit("the backlog was not settled")
    if left < options.backlog / 10:
        raise SystemExit(f"of the backlog {left} bundles were left: the wait says nothing")
    report("backlog_left", left, "bundles")
    for name in ("p50", "p99", "max"):
        report(f"idle.{name}", idle[name], "ms")
        report(f"busy.{name}", busy[name], "ms", limit=2 * idle[name], peer="twice the idle server's")


main()

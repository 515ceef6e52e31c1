"""What a transaction costs when the table is large: settling before and after ten million rows.

The rows are made by SQL in the same table, of the same devices and with ids over the same range.
CPU time of the server and wall time are compared on the same bundles, sealed beforehand.
"""

import argparse
import time

import bench

report = bench.Output("growth")


def settle(server, options):
    found = server.load({
        "devices": options.devices, "bundles": options.bundles,
        "mix": [{"transactions": options.size}], "identifiers": options.identifiers,
        "seals_in_advance": True, "holds_listeners": True, "listeners": 2,
        "objectives": ["findings==0"]})
    return found["totals"]["transactions_per_second"]


def fill(database, rows):
    """Copies of settled rows under other ids, in ten pieces."""
    others = bench.COLUMNS.replace(" id,", " gen_random_uuid(),", 1)
    for _ in range(10):
        database.query(
            f"insert into waybill.transactions ({bench.COLUMNS}) select {others} from "
            "(select * from waybill.transactions limit 100000) settled "
            f"cross join generate_series(1, {rows // 1_000_000}) copies")
    database.query("checkpoint")
    database.query("analyze waybill.transactions")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--size", type=int, default=100, help="transactions in a bundle")
    parser.add_argument("--bundles", type=int, default=4000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--identifiers", default="ordered", choices=["ordered", "scattered"])
    options = parser.parse_args()
    with bench.server(options.binary) as server:
        empty = settle(server, options)
        report("settled_empty", empty, "tx/s")
        bench.note(f"filling the table with {options.rows} rows")
        start = time.perf_counter()
        fill(server.database, options.rows)
        bench.note(f"filled in {time.perf_counter() - start:.0f} s")
        full = settle(server, options)
        report("settled_full", full, "tx/s", limit=empty, peer="the same table nearly empty")
        report("cost_growth", empty / full, "ratio")


main()

"""Measures the way from an upload to a receipt, and in the same run the limits that hold it.

Acknowledging: 32 connections send bundles of 1,000 devices, sealed beforehand, each once;
listeners stand still meanwhile. Settling: the listeners then work off that backlog. Afterwards
every receipt and every row is audited.
Limits: requests that the same server answers to the same generator without work, the median of a
sync on the same disk, binary COPY of the settled rows into an empty table with the same columns,
keys and checks over one and two connections (psql's start included), key derivations a second in
the vector lanes that the server uses.
"""

import argparse
import sys
import time

import bench

CONNECTIONS = 32
report = bench.Output("spine")


def copy_rows_per_second(database, connections, since):
    """COPY of the rows settled after `since`, in binary, into an empty table of the same shape."""
    total, files = 0, []
    for number in range(connections):
        path = database.folder / f"rows-{connections}-{number}.bin"
        chosen = (f"select * from waybill.transactions where settled_at > '{since}' and "
                  f"get_byte(uuid_send(id), 15) % {connections} = {number} order by tenant_id, id")
        total += int(database.query(f"select count(*) from ({chosen}) rows"))
        database.query(f"copy ({chosen}) to '{path}' (format binary)")
        files.append(path)
    database.query("create table waybill.copy_probe (like waybill.transactions including all)")
    start = time.perf_counter()
    copies = [database.psql(f"copy waybill.copy_probe from '{path}' (format binary)")
              for path in files]
    if any(copy.wait() != 0 for copy in copies):
        sys.exit("COPY of the settled rows failed")
    elapsed = time.perf_counter() - start
    database.query("drop table waybill.copy_probe")
    for path in files:
        path.unlink()
    return total / elapsed


def measure(server, size, count, options):
    limits = server.limits(CONNECTIONS)
    since = server.database.query("select clock_timestamp()")
    found = server.load({
        "devices": options.devices, "connections": CONNECTIONS, "bundles": count,
        "mix": [{"transactions": size}], "seals_in_advance": True, "holds_listeners": True,
        "identifiers": options.identifiers, "listeners": options.listeners,
        "objectives": ["findings==0"]})
    report(f"empty_handler[{size}]", limits["empty_requests_per_second"], "1/s")
    report(f"median_sync[{size}]", limits["median_sync_us"], "us")
    totals, latency = found["totals"], bench.latency(found, "ack_uncorrected")
    report(f"acknowledged[{size}]", totals["acknowledged_per_second"], "bundles/s",
           limit=min(limits["empty_requests_per_second"],
                     CONNECTIONS / (2e-6 * limits["median_sync_us"])),
           peer="requests without work, or syncs")
    report(f"acknowledge_p50[{size}]", latency["p50"], "ms")
    report(f"acknowledge_p99[{size}]", latency["p99"], "ms")
    if size == 1:
        report("key_derivations", limits["derivations_per_second"], "1/s")
        report("key_derivations_all_cores", limits["derivations_per_second_all_cores"], "1/s")
        report(f"settled[{size}]", totals["transactions_per_second"], "tx/s",
               limit=limits["derivations_per_second"], peer="key derivations on one core")
    else:
        copy = copy_rows_per_second(server.database, 2, since)
        report(f"copy_two_connections[{size}]", copy, "rows/s")
        report(f"copy_one_connection[{size}]",
               copy_rows_per_second(server.database, 1, since), "rows/s")
        report(f"settled[{size}]", totals["transactions_per_second"], "tx/s", limit=copy,
               peer="COPY over two connections")
    for reason in found["generator"]["saturation"]:
        bench.note(f"the generator was saturated: {reason}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--listeners", type=int, default=2)
    parser.add_argument("--identifiers", default="ordered", choices=["ordered", "scattered"])
    parser.add_argument("--bundles", default="1:8000,100:4000,1000:600",
                        help="transactions in a bundle : bundles")
    options = parser.parse_args()
    with bench.server(options.binary) as server:
        for pair in options.bundles.split(","):
            size, count = map(int, pair.split(":"))
            measure(server, size, count, options)
        report("server_rss", server.rss_mib(), "MiB")


main()

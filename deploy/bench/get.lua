-- Asks for the same path again and again; prints the result as JSON.
function done(summary, latency)
    io.write(string.format(
        'RESULT {"answered":%d,"refused":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d}\n',
        summary.requests, summary.errors.status, summary.duration, latency:percentile(50),
        latency:percentile(99)))
end

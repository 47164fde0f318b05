-- wrk: GET the path in BENCH_PATH with the token in TOKEN.
function init(args)
    headers = {["Authorization"] = "Bearer " .. os.getenv("TOKEN"), ["Accept"] = os.getenv("BENCH_ACCEPT") or "application/json"}
    path = os.getenv("BENCH_PATH")
end

function request()
    return wrk.format("GET", path, headers)
end

function done(summary, latency)
    local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format("errors %d p50 %.2f ms p99 %.2f ms\n", errors, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end

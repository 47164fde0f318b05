-- wrk: create config maps of about 1 KB with distinct names. TOKEN in the environment.
local token = os.getenv("TOKEN")
local threads = 0
local counter = 0

function setup(thread)
    thread:set("thread_id", threads)
    threads = threads + 1
end

function init(args)
    math.randomseed(os.time() + thread_id * 7919)
    run = string.format("%06x", math.random(0, 0xffffff))
    data = string.rep("x", 900)
    headers = {["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json"}
end

function request()
    counter = counter + 1
    local name = string.format("bench-%s-%d-%d", run, thread_id, counter)
    local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"' .. name .. '"},"data":{"x":"' .. data .. '"}}'
    return wrk.format("POST", "/api/v1/namespaces/bench/configmaps", headers, body)
end

function response(status, h, body)
    if status ~= 201 and not shown then
        shown = true
        print(status, body)
    end
end

function done(summary, latency)
    local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format("errors %d p50 %.2f ms p99 %.2f ms\n", errors, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end

-- Sends prepared requests, each once: file FILE.N for thread N, records of 4 bytes length + bytes.
local threads = {}

function setup(thread)
    thread:set("number", #threads)
    table.insert(threads, thread)
end

function init(args)
    local file = assert(io.open(args[1] .. "." .. number, "rb"))
    requests = {}
    while true do
        local head = file:read(4)
        if not head then break end
        local a, b, c, d = head:byte(1, 4)
        table.insert(requests, file:read(((a * 256 + b) * 256 + c) * 256 + d))
    end
    file:close()
    next_request, answered, refused = 1, 0, 0
end

function request()
    local text = requests[next_request]
    next_request = next_request + 1
    -- Connections ask for one more while others still wait for their answers: say something
    -- harmless then, which is not counted.
    return text or "GET /v1/nothing HTTP/1.1\r\nHost: bench\r\n\r\n"
end

function response(status)
    if status == 202 then
        answered = answered + 1
    elseif status ~= 401 and status ~= 404 then
        refused = refused + 1
    end
    if answered + refused >= #requests then wrk.thread:stop() end
end

function done(summary, latency)
    local answered, refused = 0, 0
    for _, thread in ipairs(threads) do
        answered = answered + thread:get("answered")
        refused = refused + thread:get("refused")
    end
    io.write(string.format(
        'RESULT {"answered":%d,"refused":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"requests":%d}\n',
        answered, refused, summary.duration, latency:percentile(50), latency:percentile(99),
        summary.requests))
end

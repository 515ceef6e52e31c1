-- Sends prepared requests, each once: file FILE.N for thread N, records of 4 bytes length + bytes.
-- Times are taken here: wrk counts until its time is over, not until the last answer.
local ffi = require("ffi")
ffi.cdef [[
    typedef struct { long seconds; long nanoseconds; } waybill_time;
    int clock_gettime(int clock, waybill_time *time);
    int getpid(void);
    int kill(int process, int signal);
]]

local threads = {}

local function now()
    local time = ffi.new("waybill_time")
    ffi.C.clock_gettime(1, time)
    return tonumber(time.seconds) * 1e6 + tonumber(time.nanoseconds) / 1e3
end

function setup(thread)
    thread:set("number", #threads)
    table.insert(threads, thread)
end

function init(args)
    prefix, count = args[1], tonumber(args[2])
    local file = assert(io.open(prefix .. "." .. number, "rb"))
    requests = {}
    while true do
        local head = file:read(4)
        if not head then break end
        local a, b, c, d = head:byte(1, 4)
        table.insert(requests, file:read(((a * 256 + b) * 256 + c) * 256 + d))
    end
    file:close()
    next_request, answered, refused, began, ended = 1, 0, 0, 0, 0
    -- wrk asks the first thread for one request that it only looks at.
    is_looked_at = number > 0
end

function request()
    if not is_looked_at then
        is_looked_at = true
        return requests[1]
    end
    if next_request == 1 then began = now() end
    local text = requests[next_request]
    next_request = next_request + 1
    -- Nearly always `delay` holds a connection back before this: two may pass it for one request.
    return text or "GET /v1/nothing HTTP/1.1\r\nHost: bench\r\n\r\n"
end

-- A connection that has nothing left to send waits until the run is over: an answer to anything
-- harmless would count among the latencies.
function delay()
    return next_request > #requests and 3600000 or 0
end

-- The last thread that has all its answers ends the run, as Ctrl-C would.
local function finish()
    ended = now()
    io.open(prefix .. "." .. number .. ".done", "w"):close()
    for other = 0, count - 1 do
        local file = io.open(prefix .. "." .. other .. ".done")
        if not file then return end
        file:close()
    end
    ffi.C.kill(ffi.C.getpid(), 2)
end

function response(status)
    if status == 202 then
        answered = answered + 1
    elseif status ~= 401 and status ~= 404 then
        refused = refused + 1
    else
        return
    end
    if answered + refused == #requests then finish() end
end

function done(summary, latency)
    local answered, refused, began, ended = 0, 0, math.huge, 0
    for _, thread in ipairs(threads) do
        answered = answered + thread:get("answered")
        refused = refused + thread:get("refused")
        began = math.min(began, thread:get("began"))
        ended = math.max(ended, thread:get("ended"))
    end
    io.write(string.format(
        'RESULT {"answered":%d,"refused":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d}\n',
        answered, refused, ended - began, latency:percentile(50), latency:percentile(99)))
end

-- wrk -t1 -c6 -d8s -s path.lua URL -- TOKENS_FILE PATH [RARE_PATH SHARE]: one GET, with another session each time; RARE_PATH for a
-- share (0 to 1) of the calls.
local reqs, rare, n, i, share = {}, {}, 0, 0, 0

function init(args)
  for line in io.lines(args[1]) do
    local headers = { ['Authorization'] = 'Bearer ' .. line:match('%S+') }
    n = n + 1
    reqs[n] = wrk.format('GET', args[2], headers)
    if args[3] then rare[n] = wrk.format('GET', args[3], headers) end
  end
  share = tonumber(args[4] or '0')
  math.randomseed(os.time())
  i = math.random(n)
end

function request()
  i = i + 1
  if i > n then i = 1 end
  if share > 0 and math.random() < share then return rare[i] end
  return reqs[i]
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('JSON {"requests":%d,"us":%d,"p50":%d,"p90":%d,"p99":%d,"p999":%d,"bad":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency:percentile(99.9), e.connect + e.read + e.write + e.status + e.timeout))
end

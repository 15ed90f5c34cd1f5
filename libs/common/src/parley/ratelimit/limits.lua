-- Decides many limit checks in one call. Each check has several limits, and optionally a session to test for revocation.
--
-- A limit is a leaky bucket (GCRA) in integers: a unit costs `period` (microseconds), and each microsecond of Redis TIME
-- repays `count`. After any time t, exactly burst + floor(count * t / period) units have been allowed; rounding errors do
-- not accumulate. A bucket is stored as (debt, time) and expires when it is empty.
--
-- KEYS[1]  marker: exists while Redis has every active revocation
-- then for each check: [revoked session, revoked user] if it has a session, and one key for each of its limits
-- ARGV[1]  little-endian doubles: number of checks; for each check: number of limits, cost, issued_at (-1: no session),
--          forced (0|1); for each of its limits: count, period, burst
-- Returns  {marker exists, now}; for each check: outcome, wait; for each of its limits: remaining, reset
--          outcome 0 = allowed, -1 = revoked, n = refused by its n-th limit; wait and reset are in microseconds

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('MGET', unpack(KEYS))
local reply = {stored[1] and 1 or 0, now}
local debts, changed = {}, {}
local key, position = 2, 1

local function numbers(format)
  local a, b, c, d
  if format == '<dddd' then
    a, b, c, d, position = struct.unpack(format, ARGV[1], position)
  else
    a, b, c, position = struct.unpack(format, ARGV[1], position)
  end
  return a, b, c, d
end

local function debt_of(index, count)
  local name = KEYS[index]
  local debt = debts[name]
  if not debt then
    debt = 0
    if stored[index] then
      local owed, at = struct.unpack('<dd', stored[index])
      debt = math.max(0, owed - math.max(0, now - at) * count)
    end
    debts[name] = debt
  end
  return debt
end

local checks
checks, position = struct.unpack('<d', ARGV[1], position)
for _ = 1, checks do
  local limits, cost, issued_at, forced = numbers('<dddd')
  local outcome, wait, rows = 0, 0, {}
  if issued_at >= 0 then
    local not_before = stored[key + 1] and tonumber(stored[key + 1])
    if stored[key] or (not_before and issued_at <= not_before) then
      outcome = -1
    end
    key = key + 2
  end
  for i = 1, limits do
    local count, period, burst = numbers('<ddd')
    rows[i] = {KEYS[key], count, period, burst}
    local excess = debt_of(key, count) + (cost - burst) * period
    key = key + 1
    if excess > 0 and forced == 0 and outcome >= 0 and math.ceil(excess / count) > wait then
      outcome, wait = i, math.ceil(excess / count)
    end
  end
  reply[#reply + 1] = outcome
  reply[#reply + 1] = wait
  for i = 1, limits do
    local name, count, period, burst = unpack(rows[i])
    if outcome == 0 then
      debts[name] = math.max(0, debts[name] + cost * period)
      changed[name] = count
    end
    reply[#reply + 1] = math.max(0, math.floor((burst * period - debts[name]) / period))
    reply[#reply + 1] = math.ceil(debts[name] / count)
  end
end

for name, count in pairs(changed) do
  local debt = debts[name]
  if debt > 0 then
    redis.call('SET', name, struct.pack('<dd', debt, now), 'PX', math.ceil(debt / count / 1000) + 1)
  else
    redis.call('DEL', name)
  end
end
return reply

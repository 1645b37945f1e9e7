-- One step for many checks: KEYS[i] is a counter, ARGV[4i-3 .. 4i] its limit, span, sub-bucket in microseconds, and cost.
-- Answers three numbers for each: 1 or 0 (admitted), what is left, and the microseconds until more is free: when admitted,
-- until the oldest that counts leaves; when refused, until this cost would be admitted.
--
-- A counter is a list of "sub-bucket:admitted up to its end", oldest first. Its head is the newest that no longer counts, so what
-- counts is the difference between tail and head: no sum is made. Sub-buckets from `now - span` on count, which covers the
-- whole window however now lies in its sub-bucket.

local time = redis.call('TIME')
local now_micros = time[1] * 1000000 + time[2]
local answers = {}

local function entry(key, index)
  local text = redis.call('LINDEX', key, index)
  if not text then return nil end
  local colon = string.find(text, ':', 1, true)
  return tonumber(string.sub(text, 1, colon - 1)), tonumber(string.sub(text, colon + 1))
end

for i, key in ipairs(KEYS) do
  local limit, span = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local width_micros, cost = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local now = math.floor(now_micros / width_micros)
  local last, total = entry(key, -1)
  if last and last > now + span then -- the server's clock was set back by more than a window
    redis.call('DEL', key)
    last = nil
  end
  if not last then last, total = -1, 0 end
  now = math.max(now, last)

  local first, first_total = entry(key, 1)
  while first and first < now - span do
    redis.call('LPOP', key)
    first, first_total = entry(key, 1)
  end
  local _, gone = entry(key, 0)
  gone = gone or 0

  local free_micros = 0
  if total - gone + cost <= limit then
    total = total + cost
    local text = string.format('%.0f:%.0f', now, total)
    if last == -1 then
      redis.call('RPUSH', key, '-1:0', text)
    elseif last == now then
      redis.call('LSET', key, -1, text)
    else
      redis.call('RPUSH', key, text)
    end
    redis.call('PEXPIRE', key, math.ceil((span + 1) * width_micros / 1000) + 1)
    free_micros = ((first or now) + span + 1) * width_micros - now_micros
    answers[3 * i - 2] = 1
  else
    local index = 1
    while first and total - first_total + cost > limit do
      index = index + 1
      first, first_total = entry(key, index)
    end
    free_micros = ((first or now) + span + 1) * width_micros - now_micros
    answers[3 * i - 2] = 0
  end
  answers[3 * i - 1] = limit - (total - gone)
  answers[3 * i] = free_micros
end
return answers

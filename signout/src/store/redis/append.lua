-- Appends a batch, all or nothing: Redis runs no other command during a script, and writes the
-- effects of the script to the append-only file as one transaction.
--
-- KEYS
--   records: a hash from record key (kind, id) to issued_before and exp. The field `format` holds
--     the version of the format
--   log: a stream. Entry `<sequence>-0` has the field `e`: tag, tag of the previous entry, record
--   audit: a sorted set; each member is the key (16 bytes) and the content of an audit entry
-- ARGV
--   format: the version of the format
--   known: the sequence number of an entry that the log must hold; "0" means none, and then the log
--     is created if it does not exist
--   known_tag: the tag of that entry
--   first_tag: the tag of the first entry, if the log is created
--   new: tag (8 bytes) and record (33 bytes) of each entry to add
--   obsolete: records (33 bytes each) to delete, unless they have changed
--   kept: number of entries that the log keeps
--   touch: "1" makes every call a write, so that WAIT covers the writes of other services
--   broken: the tag of the last entry of a broken log that is to be replaced; empty otherwise
--   strict: "1" rejects the batch if Redis does not keep what it acknowledges
--   audit_kept: number of audit entries to keep
--   obsolete_audit: keys (16 bytes each) of audit entries to delete
--   then the audit entries to add: key and content of each
-- Returns the sequence number and tag of the last entry before the call, and the number of added
-- entries; or an error that begins with LOST, FORMAT or NOTDURABLE.
local records, log, audit = KEYS[1], KEYS[2], KEYS[3]
local format, known, known_tag, first_tag, new, obsolete, kept, touch, broken, strict, audit_kept,
  obsolete_audit = unpack(ARGV, 1, 12)

local function entry(at) return string.sub(at[2][2], 1, 8) end
local function number(id) return tonumber(string.match(id, '^%d+')) end
local function id(sequence) return string.format('%.0f-0', sequence) end

-- Checked in the same script as the write, so that a setting cannot change in between.
if strict == '1' then
  local persistence, memory = redis.pcall('INFO', 'persistence'), redis.pcall('INFO', 'memory')
  if type(persistence) ~= 'string' or type(memory) ~= 'string'
    or not string.find(persistence, 'aof_enabled:1', 1, true)
    or string.find(memory, 'maxmemory_policy:allkeys', 1, true) then
    return redis.error_reply('NOTDURABLE check the settings')
  end
end

local has = redis.call('HGET', records, 'format')
if has and has ~= format then return redis.error_reply('FORMAT ' .. has) end
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if last and entry(last) == broken then last = nil end
if known ~= '0' then
  local held = last
  if held and number(held[1]) ~= tonumber(known) then
    held = redis.call('XRANGE', log, id(tonumber(known)), id(tonumber(known)))[1]
  end
  if not (has and held and entry(held) == known_tag) then
    return redis.error_reply('LOST the entry ' .. known)
  end
elseif not (has and last) then
  redis.call('HSET', records, 'format', format)
  redis.call('DEL', log)
  redis.call('XADD', log, id(1), 'e', first_tag .. string.rep('\0', 8))
  last = {id(1), {'e', first_tag}}
end

local before, before_tag = number(last[1]), entry(last)
local sequence, tag, added = before, before_tag, 0
for at = 1, #new, 41 do
  local key, value = string.sub(new, at + 8, at + 24), string.sub(new, at + 25, at + 40)
  local old = redis.call('HGET', records, key)
  if old then
    local old_cutoff, old_exp = struct.unpack('>I8I8', old)
    local cutoff, exp = struct.unpack('>I8I8', value)
    value = (cutoff > old_cutoff and string.sub(value, 1, 8) or string.sub(old, 1, 8))
      .. (exp > old_exp and string.sub(value, 9, 16) or string.sub(old, 9, 16))
  end
  if value ~= old then
    local new_tag = string.sub(new, at, at + 7)
    redis.call('HSET', records, key, value)
    sequence, added = sequence + 1, added + 1
    redis.call('XADD', log, id(sequence), 'e', new_tag .. tag .. key .. value)
    tag = new_tag
  end
end
if added > 0 then redis.call('XTRIM', log, 'MAXLEN', '~', kept) end
for at = 1, #obsolete, 33 do
  local key = string.sub(obsolete, at, at + 16)
  if redis.call('HGET', records, key) == string.sub(obsolete, at + 17, at + 32) then
    redis.call('HDEL', records, key)
  end
end
for at = 13, #ARGV do redis.call('ZADD', audit, 0, ARGV[at]) end
if #ARGV > 12 then redis.call('ZREMRANGEBYRANK', audit, 0, -1 - tonumber(audit_kept)) end
for at = 1, #obsolete_audit, 16 do
  local key = string.sub(obsolete_audit, at, at + 15)
  redis.call('ZREMRANGEBYLEX', audit, '[' .. key, '[' .. key .. '\255')
end
if touch == '1' then redis.call('HSET', records, 'format', format) end
return {string.format('%.0f', before), before_tag, added}

-- Stores which installation the keys belong to, or fails if they belong to another one.
--
-- KEYS  records: the hash; its field `installation` lists fingerprints of API tokens, newest first
-- ARGV  adopt: "1" takes over the keys of another installation
--       then the fingerprints of this service's API tokens
-- Returns the new list, or an error that begins with INSTALLATION.
local records = KEYS[1]
local held = redis.call('HGET', records, 'installation')
local list, known, matches = {}, {}, false

local function add(fingerprint)
  if not known[fingerprint] and #list < 32 then
    known[fingerprint] = true
    list[#list + 1] = fingerprint
  end
end

for at = 2, #ARGV do add(ARGV[at]) end
if held then
  for fingerprint in string.gmatch(held, '%x+') do
    matches = matches or known[fingerprint]
  end
  if not matches and ARGV[1] ~= '1' then
    return redis.error_reply('INSTALLATION ' .. held)
  end
  if matches then
    for fingerprint in string.gmatch(held, '%x+') do add(fingerprint) end
  end
end
local text = table.concat(list, ' ')
if text ~= held then redis.call('HSET', records, 'installation', text) end
return text

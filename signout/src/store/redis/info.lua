-- Returns the sections of INFO that say whether Redis keeps what it acknowledges, or a line
-- `denied:` with the reason why they cannot be read. A script, so that in a Cluster the node that
-- has the key responds.
local text = ''
for _, section in ipairs({'persistence', 'memory'}) do
  local info = redis.pcall('INFO', section)
  if type(info) ~= 'string' then
    return 'denied:' .. (type(info) == 'table' and info.err or 'no text')
  end
  text = text .. info
end
return text

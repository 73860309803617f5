-- Returns the sections of INFO that show whether Redis keeps what it acknowledges, or `denied:` and
-- the reason why they cannot be read. It is a script so that, in a Cluster, the node with the key
-- responds.
local text = ''
for _, section in ipairs({'persistence', 'memory'}) do
  local info = redis.pcall('INFO', section)
  if type(info) ~= 'string' then
    return 'denied:' .. (type(info) == 'table' and info.err or 'no text')
  end
  text = text .. info
end
return text
